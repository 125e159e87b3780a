//! Scaling policies.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_PutScalingPolicy.html>

use std::time::Duration;

use aws::Error;
use aws::application_autoscaling::*;
use model::{
    Adjustment, Aggregation, Finite, PolicyKind, ScalingPolicyKey, State, Step, StepScaling,
    TargetTracking,
};
use scheduler::ScalingCommand;
use scheduler::scaling::{NewScalingPolicy, check_steps};
use telemetry::metrics::alarm::AlarmQuery;

use super::errors::{invalid, submit};
use super::{metric, read, view};
use crate::door::Door;
use crate::page::Order;

/// AWS's cooldown for services where none is given.
const USUAL_COOLDOWN: Duration = Duration::from_secs(300);

pub(super) async fn put(
    door: &Door,
    request: PutScalingPolicyRequest,
) -> Result<PutScalingPolicyResponse, Error> {
    let service = read::service(
        request.service_namespace.as_ref(),
        request.scalable_dimension.as_ref(),
        request.resource_id.as_ref(),
    )?;
    let name = request.policy_name.clone().unwrap_or_default();
    let key = ScalingPolicyKey { service, name: name.into() };
    let state = door.snapshot();
    let before = state.scaling().policy(&key).map(|policy| &policy.kind);
    let kind = kind(&state, &key, &request, before)?;
    let new = NewScalingPolicy { key: key.clone(), kind };
    let state = submit(door, ScalingCommand::PutPolicy(new)).await?.state;
    let book = state.scaling();
    // Both are there unless somebody has removed them meanwhile.
    let policy_arn = book.target(&key.service).map(|t| state.realm().scaling_policy(t, &key));
    let alarms = book.policy(&key).map(|policy| view::alarms(&state, policy));
    Ok(PutScalingPolicyResponse { policy_arn, alarms })
}

/// What the policy is to do. What an update leaves out stays.
fn kind(
    state: &State,
    key: &ScalingPolicyKey,
    request: &PutScalingPolicyRequest,
    before: Option<&PolicyKind>,
) -> Result<PolicyKind, Error> {
    let tracking = request.target_tracking_scaling_policy_configuration.as_ref();
    let steps = request.step_scaling_policy_configuration.as_ref();
    let predictive = request.policy_type == Some(PolicyType::PredictiveScaling)
        || request.predictive_scaling_policy_configuration.is_some();
    if predictive {
        return Err(invalid(
            "PredictiveScaling is not built yet in Wharf; use TargetTrackingScaling, StepScaling or \
             a scheduled action.",
        ));
    }
    let of_type = |kind: &PolicyKind| match kind {
        PolicyKind::TargetTracking(_) => PolicyType::TargetTrackingScaling,
        PolicyKind::Steps(_) => PolicyType::StepScaling,
    };
    let policy_type = request.policy_type.clone().or_else(|| before.map(of_type));
    match policy_type {
        Some(PolicyType::TargetTrackingScaling) if steps.is_some() => Err(invalid(
            "StepScalingPolicyConfiguration cannot be given for a policy of type \
             TargetTrackingScaling.",
        )),
        Some(PolicyType::StepScaling) if tracking.is_some() => Err(invalid(
            "TargetTrackingScalingPolicyConfiguration cannot be given for a policy of type \
             StepScaling.",
        )),
        Some(PolicyType::TargetTrackingScaling) => match (tracking, before) {
            (Some(given), _) => self::tracking(state, key, given).map(PolicyKind::TargetTracking),
            (None, Some(before @ PolicyKind::TargetTracking(_))) => Ok(before.clone()),
            (None, _) => Err(missing("TargetTrackingScalingPolicyConfiguration")),
        },
        Some(PolicyType::StepScaling) => match (steps, before) {
            (Some(given), Some(PolicyKind::Steps(before))) => {
                self::steps(given, Some(before)).map(PolicyKind::Steps)
            }
            (Some(given), _) => self::steps(given, None).map(PolicyKind::Steps),
            (None, Some(before @ PolicyKind::Steps(_))) => Ok(before.clone()),
            (None, _) => Err(missing("StepScalingPolicyConfiguration")),
        },
        Some(PolicyType::PredictiveScaling | PolicyType::Unrecognized(_)) | None => {
            Err(missing("PolicyType"))
        }
    }
}

fn missing(member: &str) -> Error {
    invalid(format!("{member} must be specified for a new scaling policy."))
}

fn cooldown(member: &str, given: Option<i32>) -> Result<Duration, Error> {
    let seconds = read::count(member, given)?;
    Ok(seconds.map_or(USUAL_COOLDOWN, |seconds| Duration::from_secs(seconds.into())))
}

fn tracking(
    state: &State,
    key: &ScalingPolicyKey,
    given: &TargetTrackingScalingPolicyConfiguration,
) -> Result<TargetTracking, Error> {
    let target = given.target_value.filter(|value| *value > 0.0).and_then(Finite::new);
    let target = target.ok_or_else(|| invalid("TargetValue must be a number above 0."))?;
    Ok(TargetTracking {
        target,
        metric: metric::read(state, &key.service, given)?,
        out_cooldown: cooldown("ScaleOutCooldown", given.scale_out_cooldown)?,
        in_cooldown: cooldown("ScaleInCooldown", given.scale_in_cooldown)?,
        disable_scale_in: given.disable_scale_in.unwrap_or(false),
        cooldowns_given: (given.scale_out_cooldown.is_some(), given.scale_in_cooldown.is_some()),
        // The decision draws them.
        alarm_ids: Default::default(),
    })
}

fn steps(
    given: &StepScalingPolicyConfiguration,
    before: Option<&StepScaling>,
) -> Result<StepScaling, Error> {
    let adjustment = match &given.adjustment_type {
        Some(AdjustmentType::ChangeInCapacity) => Adjustment::Change,
        Some(AdjustmentType::PercentChangeInCapacity) => Adjustment::Percent,
        Some(AdjustmentType::ExactCapacity) => Adjustment::Exact,
        Some(AdjustmentType::Unrecognized(_)) | None => {
            before.map(|before| before.adjustment).ok_or_else(|| missing("AdjustmentType"))?
        }
    };
    let steps = match (&given.step_adjustments, before) {
        (Some(steps), _) => steps.iter().map(step).collect::<Result<Vec<_>, _>>()?,
        (None, Some(before)) => before.steps.clone(),
        (None, None) => return Err(missing("StepAdjustments")),
    };
    let steps = check_steps(adjustment, steps).map_err(invalid)?;
    let min_magnitude = read::count("MinAdjustmentMagnitude", given.min_adjustment_magnitude)?;
    if min_magnitude.is_some() && adjustment != Adjustment::Percent {
        return Err(invalid(
            "MinAdjustmentMagnitude can be given only for the adjustment type \
             PercentChangeInCapacity.",
        ));
    }
    let aggregation = match &given.metric_aggregation_type {
        Some(MetricAggregationType::Average) => Some(Aggregation::Average),
        Some(MetricAggregationType::Minimum) => Some(Aggregation::Minimum),
        Some(MetricAggregationType::Maximum) => Some(Aggregation::Maximum),
        Some(MetricAggregationType::Unrecognized(_)) | None => None,
    };
    Ok(StepScaling {
        adjustment,
        steps,
        min_magnitude,
        cooldown: cooldown("Cooldown", given.cooldown)?,
        cooldown_given: given.cooldown.is_some(),
        aggregation,
    })
}

fn step(given: &StepAdjustment) -> Result<Step, Error> {
    let bound = |member: &str, end: Option<f64>| {
        let refuse = || invalid(format!("{member} must be a finite number."));
        end.map(|end| Finite::new(end).ok_or_else(refuse)).transpose()
    };
    Ok(Step {
        lower: bound("MetricIntervalLowerBound", given.metric_interval_lower_bound)?,
        upper: bound("MetricIntervalUpperBound", given.metric_interval_upper_bound)?,
        by: given.scaling_adjustment.unwrap_or(0),
    })
}

pub(super) async fn delete(
    door: &Door,
    request: DeleteScalingPolicyRequest,
) -> Result<DeleteScalingPolicyResponse, Error> {
    let service = read::service(
        request.service_namespace.as_ref(),
        request.scalable_dimension.as_ref(),
        request.resource_id.as_ref(),
    )?;
    let name = request.policy_name.unwrap_or_default();
    let key = ScalingPolicyKey { service, name: name.into() };
    submit(door, ScalingCommand::DeletePolicy(key)).await?;
    Ok(DeleteScalingPolicyResponse {})
}

pub(super) async fn describe(
    door: &Door,
    request: DescribeScalingPoliciesRequest,
) -> Result<DescribeScalingPoliciesResponse, Error> {
    let state = &*door.snapshot();
    let service = read::filter(
        request.service_namespace.as_ref(),
        request.scalable_dimension.as_ref(),
        request.resource_id.as_ref(),
    )?;
    let names = request.policy_names.as_deref().unwrap_or_default();
    let policies = state.scaling().all_policies();
    let policies = policies
        .filter(|policy| service.as_ref().is_none_or(|service| policy.key.service == *service))
        .filter(|policy| names.is_empty() || names.iter().any(|n| n == policy.key.name.as_str()));
    let entries =
        policies.filter_map(|p| Some((p.key.to_string(), view::policy(state, p)?))).collect();
    let (mut policies, next_token) = read::page(
        "DescribeScalingPolicies",
        request.next_token.as_ref(),
        request.max_results,
        (10, Order::Ascending),
        entries,
    )?;
    for policy in &mut policies {
        if policy.policy_type == Some(PolicyType::StepScaling) {
            policy.alarms = Some(users_alarms(door, policy.policy_arn.as_deref()));
        }
    }
    Ok(DescribeScalingPoliciesResponse { scaling_policies: Some(policies), next_token })
}

/// The alarms of users that order a policy to act.
fn users_alarms(door: &Door, policy: Option<&str>) -> Vec<Alarm> {
    let Some(policy) = policy else { return Vec::new() };
    let query = AlarmQuery { action_prefix: Some(policy.to_owned()), ..AlarmQuery::default() };
    let alarms = door.config().telemetry.alarms(&query);
    let ordering = alarms.iter().filter(|alarm| {
        let config = &alarm.config;
        [&config.alarm_actions, &config.ok_actions, &config.insufficient_actions]
            .into_iter()
            .flatten()
            .any(|action| action == policy)
    });
    ordering
        .map(|alarm| Alarm {
            alarm_arn: Some(alarm.arn.clone()),
            alarm_name: Some(alarm.config.name.clone()),
        })
        .collect()
}
