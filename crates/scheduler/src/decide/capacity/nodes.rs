//! Nodes, as users and those who start them have them.

use model::{
    AutoScalingGroup, AutoScalingGroupName, CapacityChange, Change, Node, NodeHealth, NodeId,
    NodeState,
};

use super::{Log, ended, live, node, put_group, put_node};
use crate::capacity::{CapacityRejection, NodeReport, words};
use crate::decide::instances;
use crate::desk::Desk;
use crate::{Rejection, Reply};

pub(super) fn set_protection(
    desk: &mut Desk<'_>,
    name: &AutoScalingGroupName,
    ids: &[NodeId],
    protected: bool,
) -> Result<Reply, Rejection> {
    live(desk, name)?;
    let mut changed = Vec::new();
    for id in ids {
        let node = node(desk, id)?;
        if node.group != *name {
            return Err(CapacityRejection::NoNode(id.clone()).into());
        }
        changed.push(Node { protected, ..Node::clone(&node) });
    }
    changed.into_iter().for_each(|node| put_node(desk, node));
    Ok(Reply::Done)
}

pub(super) fn set_health(
    desk: &mut Desk<'_>,
    id: &NodeId,
    health: NodeHealth,
    respect_grace: bool,
) -> Result<Reply, Rejection> {
    let node = node(desk, id)?;
    let group = live(desk, &node.group)?;
    let young = node.created_at + group.health_grace > desk.now;
    if health == NodeHealth::Unhealthy && respect_grace && young {
        return Ok(Reply::Done);
    }
    put_node(desk, Node { health, ..Node::clone(&node) });
    Ok(Reply::Done)
}

/// A user ends a node. Protection does not keep it: that is from scale-in.
pub(super) fn terminate(
    desk: &mut Desk<'_>,
    id: &NodeId,
    decrement: bool,
) -> Result<Reply, Rejection> {
    let node = node(desk, id)?;
    let group = live(desk, &node.group)?;
    if !node.counts() {
        return Ok(Reply::Done);
    }
    if decrement {
        if group.desired <= group.min {
            return Err(CapacityRejection::Bounds(format!(
                "Currently, desiredSize equals minSize ({}). Terminating instance without \
                 replacement will violate group's min size constraint. Either set \
                 shouldDecrementDesiredCapacity flag to false or lower group's min size.",
                group.min
            ))
            .into());
        }
        let desired = group.desired - 1;
        put_group(desk, AutoScalingGroup { desired, ..AutoScalingGroup::clone(&group) });
    }
    let cause = words::by_request(desk.now);
    leave(desk, &mut Log::of(desk, &node.group), &node, cause);
    Ok(Reply::Done)
}

/// A node is to end: it drains first if its tasks are looked after.
pub(super) fn leave(desk: &mut Desk<'_>, log: &mut Log, node: &Node, cause: String) {
    // What has not joined has nothing to drain.
    let state = match node.state {
        NodeState::Pending | NodeState::PendingWait => NodeState::Terminating,
        _ => NodeState::Draining,
    };
    // The activity of its coming, if that is still open, will not end well.
    if node.state == NodeState::Pending {
        ended(desk, node, Some("It was ended before its agent had joined.".to_owned()));
    }
    log.begin(desk, &node.id, words::terminating(&node.id), cause);
    put_node(desk, Node { state, changed_at: desk.now, waits_until: None, ..node.clone() });
}

/// Whoever starts nodes tells what became of one.
pub(super) fn report(
    desk: &mut Desk<'_>,
    id: &NodeId,
    report: &NodeReport,
) -> Result<Reply, Rejection> {
    let Some(node) = desk.state.capacity().node(id).cloned() else { return Ok(Reply::Done) };
    match report {
        NodeReport::Failed(why) if node.state == NodeState::Pending => {
            ended(desk, &node, Some(why.clone()));
            let state = NodeState::Terminating;
            let trouble = Some(why.clone());
            put_node(desk, Node { state, trouble, changed_at: desk.now, ..Node::clone(&node) });
        }
        NodeReport::Failed(_) => return Err(Rejection::Stale),
        NodeReport::Gone => gone(desk, &node)?,
    }
    Ok(Reply::Done)
}

/// A node is no more: what it was in its cluster goes too.
fn gone(desk: &mut Desk<'_>, node: &Node) -> Result<(), Rejection> {
    if node.trouble.is_none() {
        ended(desk, node, None);
    }
    let instance = super::step::instance(desk.state, &node.id).map(|i| i.key.clone());
    if let Some(key) = instance {
        instances::deregister(desk, &key, true)?;
    }
    desk.put(Change::Capacity(CapacityChange::DeleteNode(node.id.clone())));
    Ok(())
}
