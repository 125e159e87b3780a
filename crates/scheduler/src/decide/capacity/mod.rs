//! Capacity: groups of nodes, what becomes of their nodes, and capacity providers.

mod actions;
mod groups;
mod hooks;
mod nodes;
mod policies;
pub(crate) mod providers;
mod step;
mod templates;

use std::sync::Arc;

use model::{
    AutoScalingGroup, AutoScalingGroupName, CapacityChange, Change, GroupActivity, Node, NodeId,
};

use crate::capacity::{CapacityCommand, CapacityRejection};
use crate::desk::Desk;
use crate::{Rejection, Reply};

pub(crate) use step::step;

pub(super) fn decide(desk: &mut Desk<'_>, command: &CapacityCommand) -> Result<Reply, Rejection> {
    use CapacityCommand as C;
    match command {
        C::CreateLaunch(new) => groups::create_launch(desk, new),
        C::DeleteLaunch(name) => groups::delete_launch(desk, name),
        C::CreateGroup(new) => groups::create(desk, new),
        C::UpdateGroup(update) => groups::update(desk, update),
        C::DeleteGroup { group, force } => groups::delete(desk, group, *force),
        C::SetDesired { group, desired, honor_cooldown } => {
            groups::set_desired(desk, group, *desired, *honor_cooldown)
        }
        C::Suspend { group, processes, suspended } => {
            groups::suspend(desk, group, processes, *suspended)
        }
        C::PutTags(group, tags) => groups::put_tags(desk, group, tags),
        C::DeleteTags(group, keys) => groups::delete_tags(desk, group, keys),
        C::SetProtection { group, nodes, protected } => {
            nodes::set_protection(desk, group, nodes, *protected)
        }
        C::SetHealth { node, health, respect_grace } => {
            nodes::set_health(desk, node, *health, *respect_grace)
        }
        C::TerminateNode { node, decrement } => nodes::terminate(desk, node, *decrement),
        C::ReportNode(node, report) => nodes::report(desk, node, report),
        C::PutHook(group, hook) => hooks::put(desk, group, hook),
        C::DeleteHook(group, name) => hooks::delete(desk, group, name),
        C::CompleteHook { group, hook, node, outcome } => {
            hooks::complete(desk, group, hook, node, *outcome)
        }
        C::ExtendHook { group, hook, node } => hooks::extend(desk, group, hook, node),
        C::CreateProvider(new) => providers::create(desk, new),
        C::UpdateProvider { name, scaling, termination_protection, draining } => {
            providers::update(desk, name, *scaling, *termination_protection, *draining)
        }
        C::DeleteProvider(name) => providers::delete(desk, name),
        C::PutClusterProviders { cluster, providers, strategy } => {
            providers::put_cluster(desk, cluster, providers, strategy)
        }
        C::CreateTemplate(new) => templates::create(desk, new),
        C::CreateVersion(new) => templates::create_version(desk, new),
        C::SetDefaultVersion(id, number) => templates::set_default(desk, id, *number),
        C::DeleteTemplate(id) => templates::delete(desk, id),
        C::DeleteVersions(id, numbers) => templates::delete_versions(desk, id, numbers),
        C::PutGroupPolicy(new) => policies::put(desk, new),
        C::DeleteGroupPolicy(key) => policies::delete(desk, key),
        C::RunGroupPolicy(run) => policies::run(desk, run),
        C::TrackGroup(scale) => policies::track(desk, scale),
        C::PutGroupActions(new) => actions::put(desk, new),
        C::DeleteGroupAction(key) => actions::delete(desk, key),
        C::StepGroup(group) => {
            step(desk, group);
            if desk.is_idle() { Err(Rejection::Stale) } else { Ok(Reply::Done) }
        }
    }
}

/// A group that takes changes.
fn live(
    desk: &Desk<'_>,
    name: &AutoScalingGroupName,
) -> Result<Arc<AutoScalingGroup>, CapacityRejection> {
    let group = desk.state.capacity().group(name).cloned();
    let group = group.ok_or_else(|| CapacityRejection::NoGroup(name.clone()))?;
    if group.deleting {
        return Err(CapacityRejection::GroupDeleting(name.clone()));
    }
    Ok(group)
}

fn node(desk: &Desk<'_>, id: &NodeId) -> Result<Arc<Node>, CapacityRejection> {
    let node = desk.state.capacity().node(id).cloned();
    node.ok_or_else(|| CapacityRejection::NoNode(id.clone()))
}

fn put_group(desk: &mut Desk<'_>, group: AutoScalingGroup) {
    desk.put(Change::Capacity(CapacityChange::PutGroup(Arc::new(group))));
}

fn put_node(desk: &mut Desk<'_>, node: Node) {
    desk.put(Change::Capacity(CapacityChange::PutNode(Arc::new(node))));
}

/// What a group begins to do becomes an activity, which ends when its node has come or gone.
struct Log {
    group: AutoScalingGroupName,
    next: u64,
}

impl Log {
    fn of(desk: &Desk<'_>, group: &AutoScalingGroupName) -> Self {
        let newest = desk.state.capacity().activities(group).next();
        Self { group: group.clone(), next: newest.map_or(0, |activity| activity.number + 1) }
    }

    fn begin(&mut self, desk: &mut Desk<'_>, node: &NodeId, description: String, cause: String) {
        let activity = GroupActivity {
            number: self.next,
            id: desk.ids.uuid(),
            node: node.clone(),
            description,
            cause,
            failure: None,
            began_at: desk.now,
            ended_at: None,
        };
        self.put(desk, activity);
    }

    /// It could not even begin.
    fn failed(
        &mut self,
        desk: &mut Desk<'_>,
        node: NodeId,
        description: String,
        cause: String,
        failure: String,
    ) {
        let activity = GroupActivity {
            number: self.next,
            id: desk.ids.uuid(),
            node,
            description,
            cause,
            failure: Some(failure),
            began_at: desk.now,
            ended_at: Some(desk.now),
        };
        self.put(desk, activity);
    }

    fn put(&mut self, desk: &mut Desk<'_>, activity: GroupActivity) {
        self.next += 1;
        let change = CapacityChange::PutActivity(self.group.clone(), Arc::new(activity));
        desk.put(Change::Capacity(change));
    }
}

/// The newest activity about a node ends, well or with a failure.
fn ended(desk: &mut Desk<'_>, node: &Node, failure: Option<String>) {
    let mut activities = desk.state.capacity().activities(&node.group);
    let Some(open) = activities.find(|a| a.node == node.id && a.ended_at.is_none()) else { return };
    let closed = GroupActivity { failure, ended_at: Some(desk.now), ..GroupActivity::clone(open) };
    let change = CapacityChange::PutActivity(node.group.clone(), Arc::new(closed));
    desk.put(Change::Capacity(change));
}
