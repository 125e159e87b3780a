//! What an Auto Scaling group says of itself.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-viewing-activities.html>

use model::{GroupActionName, GroupPolicyName, LaunchSource, NodeId, ProviderName};
use stdx::Timestamp;

/// A node is started.
pub(crate) fn launching(node: &NodeId) -> String {
    format!("Launching a new EC2 instance: {node}")
}

/// A node is ended.
pub(crate) fn terminating(node: &NodeId) -> String {
    format!("Terminating EC2 instance: {node}")
}

/// There were too few.
pub(crate) fn too_few(at: Timestamp, from: u32, to: u32) -> String {
    format!(
        "At {at} an instance was started in response to a difference between desired and actual \
         capacity, increasing the capacity from {from} to {to}."
    )
}

/// There were too many.
pub(crate) fn too_many(at: Timestamp, from: u32, to: u32, node: &NodeId) -> String {
    format!(
        "At {at} an instance was taken out of service in response to a difference between desired \
         and actual capacity, shrinking the capacity from {from} to {to}. At {at} instance {node} \
         was selected for termination."
    )
}

/// It was not well.
pub(crate) fn not_well(at: Timestamp, why: &str) -> String {
    format!("At {at} an instance was taken out of service in response to {why}.")
}

/// Somebody asked for its end.
pub(crate) fn by_request(at: Timestamp) -> String {
    format!("At {at} an instance was taken out of service in response to a user request.")
}

/// Managed scaling changed what the group should have.
pub(crate) fn managed(
    provider: &ProviderName,
    waiting: usize,
    used: u32,
    from: u32,
    to: u32,
) -> String {
    let tasks = if waiting == 1 { "task waits" } else { "tasks wait" };
    format!(
        "The capacity provider {provider} set the desired capacity from {from} to {to}: {waiting} \
         {tasks} for a place, {used} nodes are in use. "
    )
}

/// A group was made: its minimum, maximum and desired capacity.
pub(crate) fn founded(at: Timestamp, (min, max, desired): (u32, u32, u32)) -> String {
    format!(
        "At {at} a user request created an AutoScalingGroup changing the desired capacity from 0 to \
         {desired}, with the bounds {min} and {max}. "
    )
}

/// A user changed a group: its minimum and maximum, and the desired capacity before and after.
pub(crate) fn updated(at: Timestamp, (min, max): (u32, u32), from: u32, to: u32) -> String {
    format!(
        "At {at} a user request update of AutoScalingGroup constraints to min: {min}, max: {max}, \
         desired: {to} changing the desired capacity from {from} to {to}. "
    )
}

/// A user set the desired capacity.
pub(crate) fn set_by_user(at: Timestamp, from: u32, to: u32) -> String {
    format!(
        "At {at} a user request explicitly set group desired capacity changing the desired capacity \
         from {from} to {to}. "
    )
}

/// An alarm had a policy run.
pub(crate) fn alarm(
    at: Timestamp,
    alarm: &str,
    policy: &GroupPolicyName,
    from: u32,
    to: u32,
) -> String {
    format!(
        "At {at} a monitor alarm {alarm} in state ALARM triggered policy {policy} changing the \
         desired capacity from {from} to {to}. "
    )
}

/// A user had a policy run.
pub(crate) fn executed(at: Timestamp, policy: &GroupPolicyName, from: u32, to: u32) -> String {
    format!(
        "At {at} a user request executed policy {policy} changing the desired capacity from {from} \
         to {to}. "
    )
}

/// A scheduled action ran.
pub(crate) fn executed_action(at: Timestamp, action: &GroupActionName) -> String {
    format!("At {at} the scheduled action {action} executed. ")
}

/// What a scheduled action changed: minimum, maximum and desired capacity, before and after.
pub(crate) fn scheduled(
    at: Timestamp,
    action: &GroupActionName,
    before: (u32, u32, u32),
    after: (u32, u32, u32),
) -> String {
    let mut text = executed_action(at, action);
    for (what, from, to) in [
        ("min size", before.0, after.0),
        ("max size", before.1, after.1),
        ("desired capacity", before.2, after.2),
    ] {
        if from != to {
            text.push_str(&format!("Setting {what} from {from} to {to}. "));
        }
    }
    text
}

/// Why a scheduled action did nothing.
pub(crate) fn impossible(min: u32, max: u32) -> String {
    format!(
        "The minimum would be {min} and the maximum {max}. Give the scheduled action both MinSize \
         and MaxSize."
    )
}

/// Why no node can be started.
pub(crate) fn no_terms(source: &LaunchSource) -> String {
    format!(
        "The group starts its nodes by {source}, which is not there or names no InstanceType. Give \
         the group another with UpdateAutoScalingGroup."
    )
}
