//! Lifecycle hooks: what is waited for when nodes come and go.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html>

use std::sync::Arc;

use model::{
    AutoScalingGroup, AutoScalingGroupName, HookOutcome, LifecycleHook, Node, NodeId, NodeState,
    Transition,
};

use super::{live, node, put_group, put_node};
use crate::capacity::CapacityRejection;
use crate::desk::Desk;
use crate::{Rejection, Reply};

pub(super) fn put(
    desk: &mut Desk<'_>,
    name: &AutoScalingGroupName,
    hook: &LifecycleHook,
) -> Result<Reply, Rejection> {
    let mut next = AutoScalingGroup::clone(&*live(desk, name)?);
    next.hooks.retain(|old| old.name != hook.name);
    next.hooks.push(hook.clone());
    put_group(desk, next);
    Ok(Reply::Done)
}

/// Nodes that wait for it go on at the group's next step.
pub(super) fn delete(
    desk: &mut Desk<'_>,
    name: &AutoScalingGroupName,
    hook: &str,
) -> Result<Reply, Rejection> {
    let group = live(desk, name)?;
    find(&group, hook)?;
    let mut next = AutoScalingGroup::clone(&group);
    next.hooks.retain(|old| old.name != hook);
    put_group(desk, next);
    Ok(Reply::Done)
}

pub(super) fn complete(
    desk: &mut Desk<'_>,
    name: &AutoScalingGroupName,
    hook: &str,
    id: &NodeId,
    outcome: HookOutcome,
) -> Result<Reply, Rejection> {
    let waiting = waiting(desk, name, hook, id)?;
    let next = over(&waiting, outcome, desk.now);
    put_node(desk, next);
    Ok(Reply::Done)
}

pub(super) fn extend(
    desk: &mut Desk<'_>,
    name: &AutoScalingGroupName,
    hook: &str,
    id: &NodeId,
) -> Result<Reply, Rejection> {
    let waiting = waiting(desk, name, hook, id)?;
    let group = live(desk, name)?;
    let timeout = find(&group, hook)?.timeout;
    let waits_until = Some(desk.now + timeout);
    put_node(desk, Node { waits_until, ..Node::clone(&waiting) });
    Ok(Reply::Done)
}

/// What becomes of a node when its waiting is over.
pub(super) fn over(waiting: &Node, outcome: HookOutcome, now: stdx::Timestamp) -> Node {
    let state = match (waiting.state, outcome) {
        (NodeState::PendingWait, HookOutcome::Continue) => NodeState::InService,
        // One that comes is given up; one that goes, goes either way.
        _ => NodeState::Terminating,
    };
    Node { state, changed_at: now, waits_until: None, ..waiting.clone() }
}

/// The way on which a node waits, if it does.
pub(super) const fn way(state: NodeState) -> Option<Transition> {
    match state {
        NodeState::PendingWait => Some(Transition::Launching),
        NodeState::TerminatingWait => Some(Transition::Terminating),
        NodeState::Pending
        | NodeState::InService
        | NodeState::Draining
        | NodeState::Terminating => None,
    }
}

fn find<'a>(
    group: &'a AutoScalingGroup,
    hook: &str,
) -> Result<&'a LifecycleHook, CapacityRejection> {
    let found = group.hooks.iter().find(|known| known.name == hook);
    found.ok_or_else(|| CapacityRejection::NoHook(group.name.clone(), hook.to_owned()))
}

fn waiting(
    desk: &Desk<'_>,
    name: &AutoScalingGroupName,
    hook: &str,
    id: &NodeId,
) -> Result<Arc<Node>, CapacityRejection> {
    let group = desk.state.capacity().group(name).cloned();
    let group = group.ok_or_else(|| CapacityRejection::NoGroup(name.clone()))?;
    let hook = find(&group, hook)?;
    let node = node(desk, id)?;
    if node.group != *name || way(node.state) != Some(hook.transition) {
        return Err(CapacityRejection::NotWaiting(id.clone()));
    }
    Ok(node)
}
