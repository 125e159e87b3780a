//! What users do with the nodes of groups.

use aws::Error;
use aws::autoscaling::{
    ActivityType, SetInstanceHealthQuery, SetInstanceHealthResponse, SetInstanceProtectionAnswer,
    SetInstanceProtectionQuery, TerminateInstanceInAutoScalingGroupType,
};
use model::{NodeHealth, NodeId};
use scheduler::CapacityCommand;

use super::errors::{invalid, not_built, required, submit};
use super::view;
use crate::door::Door;

pub(super) async fn protect(
    door: &Door,
    request: SetInstanceProtectionQuery,
) -> Result<SetInstanceProtectionAnswer, Error> {
    let group = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?;
    let Some(protected) = request.protected_from_scale_in else {
        return Err(invalid("ProtectedFromScaleIn is required."));
    };
    let nodes = request.instance_ids.unwrap_or_default();
    let nodes = nodes.iter().map(|id| NodeId::from(id.as_str())).collect();
    let command = CapacityCommand::SetProtection { group: group.into(), nodes, protected };
    submit(door, command).await?;
    Ok(SetInstanceProtectionAnswer {})
}

pub(super) async fn set_health(
    door: &Door,
    request: SetInstanceHealthQuery,
) -> Result<SetInstanceHealthResponse, Error> {
    let node = required("InstanceId", request.instance_id.as_ref())?;
    let health = match required("HealthStatus", request.health_status.as_ref())? {
        "Healthy" => NodeHealth::Healthy,
        "Unhealthy" => NodeHealth::Unhealthy,
        other => {
            return Err(invalid(format!(
                "HealthStatus: \"{other}\" is neither Healthy nor Unhealthy."
            )));
        }
    };
    let respect_grace = request.should_respect_grace_period.unwrap_or(true);
    let command = CapacityCommand::SetHealth { node: node.into(), health, respect_grace };
    submit(door, command).await?;
    Ok(SetInstanceHealthResponse {})
}

pub(super) async fn terminate(
    door: &Door,
    request: TerminateInstanceInAutoScalingGroupType,
) -> Result<ActivityType, Error> {
    let several = request.instance_ids.is_some_and(|ids| !ids.is_empty());
    not_built(&[("InstanceIds", several)])?;
    let node = NodeId::from(required("InstanceId", request.instance_id.as_ref())?);
    let Some(decrement) = request.should_decrement_desired_capacity else {
        return Err(invalid("ShouldDecrementDesiredCapacity is required."));
    };
    let command = CapacityCommand::TerminateNode { node: node.clone(), decrement };
    let state = submit(door, command).await?.state;
    let group = state.capacity().node(&node).and_then(|n| state.capacity().group(&n.group));
    let activity = group.and_then(|group| {
        let mut activities = state.capacity().activities(&group.name);
        let newest = activities.find(|activity| activity.node == node)?;
        Some(view::activity(state.realm(), group, newest))
    });
    Ok(ActivityType { activity, activities: None })
}
