//! Scalable targets and their activities.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html>

use aws::Error;
use aws::application_autoscaling::*;
use model::{State, Tags};
use scheduler::ScalingCommand;
use scheduler::scaling::TargetBounds;

use super::errors::{invalid, submit};
use super::{read, tags, view};
use crate::door::Door;
use crate::page::Order;

pub(super) async fn register(
    door: &Door,
    request: RegisterScalableTargetRequest,
) -> Result<RegisterScalableTargetResponse, Error> {
    let service = read::service(
        request.service_namespace.as_ref(),
        request.scalable_dimension.as_ref(),
        request.resource_id.as_ref(),
    )?;
    if let Some(role) = &request.role_arn {
        check_role(role)?;
    }
    let suspended = request.suspended_state.unwrap_or_default();
    let tags = request.tags.as_ref().map(tags::read).transpose()?;
    let bounds = TargetBounds {
        service: service.clone(),
        min: read::count("MinCapacity", request.min_capacity)?,
        max: read::count("MaxCapacity", request.max_capacity)?,
        suspend_in: suspended.dynamic_scaling_in_suspended,
        suspend_out: suspended.dynamic_scaling_out_suspended,
        suspend_scheduled: suspended.scheduled_scaling_suspended,
        tags: tags.map(|tags| tags.into_iter().collect::<Tags>()),
    };
    let committed = submit(door, ScalingCommand::Register(bounds)).await?;
    let state = committed.state;
    let target = state.scaling().target(&service);
    let scalable_target_arn = target.map(|target| state.realm().scalable_target(&target.id));
    Ok(RegisterScalableTargetResponse { scalable_target_arn })
}

/// A service is scaled by the service-linked role whatever role is given, as on AWS.
fn check_role(arn: &str) -> Result<(), Error> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts[..] {
        ["arn", _, "iam", "", _, name] if name.starts_with("role/") => Ok(()),
        _ => Err(invalid(format!("RoleARN: {arn} is not the ARN of a role."))),
    }
}

pub(super) async fn deregister(
    door: &Door,
    request: DeregisterScalableTargetRequest,
) -> Result<DeregisterScalableTargetResponse, Error> {
    let service = read::service(
        request.service_namespace.as_ref(),
        request.scalable_dimension.as_ref(),
        request.resource_id.as_ref(),
    )?;
    submit(door, ScalingCommand::Deregister(service)).await?;
    Ok(DeregisterScalableTargetResponse {})
}

pub(super) fn describe(
    state: &State,
    request: &DescribeScalableTargetsRequest,
) -> Result<DescribeScalableTargetsResponse, Error> {
    read::only_ecs(request.service_namespace.as_ref(), request.scalable_dimension.as_ref())?;
    let wanted = request.resource_ids.as_deref().unwrap_or_default();
    let wanted = wanted.iter().map(|id| read::resource(id)).collect::<Result<Vec<_>, _>>()?;
    let targets = state.scaling().targets();
    let targets = targets.filter(|t| wanted.is_empty() || wanted.contains(&t.service));
    let entries = targets.map(|t| (t.service.to_string(), view::target(state, t))).collect();
    let (targets, next_token) = read::page(
        "DescribeScalableTargets",
        request.next_token.as_ref(),
        request.max_results,
        (50, Order::Ascending),
        entries,
    )?;
    Ok(DescribeScalableTargetsResponse { scalable_targets: Some(targets), next_token })
}

/// The newest first.
pub(super) fn activities(
    state: &State,
    request: &DescribeScalingActivitiesRequest,
) -> Result<DescribeScalingActivitiesResponse, Error> {
    let service = read::filter(
        request.service_namespace.as_ref(),
        request.scalable_dimension.as_ref(),
        request.resource_id.as_ref(),
    )?;
    let all = request.include_not_scaled_activities.unwrap_or(false);
    let activities = state.scaling().all_activities();
    let activities = activities
        .filter(|a| service.as_ref().is_none_or(|service| a.service == *service))
        .filter(|a| all || a.not_scaled.is_empty());
    let entries = activities
        .map(|a| {
            let at = a.started_at.as_millis();
            (format!("{at:020}/{:020}/{}", a.number, a.service), view::activity(a))
        })
        .collect();
    let (activities, next_token) = read::page(
        "DescribeScalingActivities",
        request.next_token.as_ref(),
        request.max_results,
        (50, Order::Descending),
        entries,
    )?;
    Ok(DescribeScalingActivitiesResponse { scaling_activities: Some(activities), next_token })
}
