//! What an Auto Scaling group says of itself.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-viewing-activities.html>

use model::{NodeId, ProviderName};
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
