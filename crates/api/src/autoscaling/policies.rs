//! Scaling policies of groups.
//! <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutScalingPolicy.html>

use std::time::Duration;

use aws::Error;
use aws::autoscaling::*;
use model::{
    Adjustment, Aggregation, Finite, GroupPolicy, GroupPolicyKey, GroupPolicyKind, GroupTracking,
    SimpleScaling, State, Step, StepScaling, TrackedMetric,
};
use scheduler::CapacityCommand;
use scheduler::capacity::{NewGroupPolicy, PolicyRun, Trigger};
use scheduler::scaling::check_steps;
use telemetry::metrics::alarm::AlarmQuery;

use super::errors::{cut, invalid, not_built, number, required, submit};
use super::groups::seconds;
use crate::application_autoscaling::metric;
use crate::door::Door;
use crate::page::{Order, Page};

/// The adjustments by their names.
pub(super) const ADJUSTMENTS: [(&str, Adjustment); 3] = [
    ("ChangeInCapacity", Adjustment::Change),
    ("ExactCapacity", Adjustment::Exact),
    ("PercentChangeInCapacity", Adjustment::Percent),
];

const SIMPLE: &str = "SimpleScaling";
const STEPS: &str = "StepScaling";
const TRACKING: &str = "TargetTrackingScaling";

pub(super) async fn put(
    door: &Door,
    request: PutScalingPolicyType,
) -> Result<PolicyARNType, Error> {
    let key = GroupPolicyKey {
        group: required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?.into(),
        name: required("PolicyName", request.policy_name.as_ref())?.into(),
    };
    let kind = match request.policy_type.as_deref().unwrap_or(SIMPLE) {
        SIMPLE => simple(&request)?,
        STEPS => steps(&request)?,
        TRACKING => tracking(&request)?,
        "PredictiveScaling" => {
            return Err(invalid(
                "PredictiveScaling is not built yet in Wharf; use TargetTrackingScaling, StepScaling \
                 or a scheduled action.",
            ));
        }
        other => {
            return Err(invalid(format!(
                "PolicyType: \"{other}\" is none of {SIMPLE}, {STEPS} and {TRACKING}."
            )));
        }
    };
    let warmup = request.estimated_instance_warmup;
    let new = NewGroupPolicy {
        key: key.clone(),
        kind,
        enabled: request.enabled.unwrap_or(true),
        warmup: warmup.map(|n| seconds("EstimatedInstanceWarmup", n)).transpose()?,
    };
    let state = submit(door, CapacityCommand::PutGroupPolicy(Box::new(new))).await?.state;
    let policy = state.capacity().policy(&key);
    Ok(PolicyARNType {
        policy_arn: policy.map(|policy| state.realm().group_policy(policy)),
        alarms: policy.map(|policy| own_alarms(&state, policy)),
    })
}

/// Refuses what belongs to another type of policy.
fn foreign(kind: &str, asked: &[(&str, bool)]) -> Result<(), Error> {
    match asked.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((member, _)) => {
            Err(invalid(format!("{member} is not supported for policy type {kind}.")))
        }
    }
}

fn adjustment(request: &PutScalingPolicyType) -> Result<Adjustment, Error> {
    let given = required("AdjustmentType", request.adjustment_type.as_ref())?;
    let known = ADJUSTMENTS.iter().find(|(name, _)| *name == given).map(|(_, kind)| *kind);
    known.ok_or_else(|| {
        invalid(format!(
            "AdjustmentType: \"{given}\" is none of ChangeInCapacity, ExactCapacity and \
             PercentChangeInCapacity."
        ))
    })
}

fn magnitude(request: &PutScalingPolicyType, kind: Adjustment) -> Result<Option<u32>, Error> {
    not_built(&[(
        "MinAdjustmentStep (use MinAdjustmentMagnitude)",
        request.min_adjustment_step.is_some(),
    )])?;
    let given = request.min_adjustment_magnitude;
    if given.is_some() && kind != Adjustment::Percent {
        return Err(invalid(
            "MinAdjustmentMagnitude is only supported for the adjustment type \
             PercentChangeInCapacity.",
        ));
    }
    given.map(|n| number("MinAdjustmentMagnitude", n)).transpose()
}

fn simple(request: &PutScalingPolicyType) -> Result<GroupPolicyKind, Error> {
    foreign(
        SIMPLE,
        &[
            ("StepAdjustments", request.step_adjustments.as_ref().is_some_and(|s| !s.is_empty())),
            ("MetricAggregationType", request.metric_aggregation_type.is_some()),
            ("EstimatedInstanceWarmup", request.estimated_instance_warmup.is_some()),
            ("TargetTrackingConfiguration", request.target_tracking_configuration.is_some()),
        ],
    )?;
    let kind = adjustment(request)?;
    let Some(by) = request.scaling_adjustment else {
        return Err(invalid("ScalingAdjustment is required for policy type SimpleScaling."));
    };
    if kind == Adjustment::Exact && by < 0 {
        return Err(invalid("ScalingAdjustment: ExactCapacity cannot be negative."));
    }
    Ok(GroupPolicyKind::Simple(SimpleScaling {
        adjustment: kind,
        by,
        min_magnitude: magnitude(request, kind)?,
        cooldown: request.cooldown.map(|n| seconds("Cooldown", n)).transpose()?,
    }))
}

fn steps(request: &PutScalingPolicyType) -> Result<GroupPolicyKind, Error> {
    foreign(
        STEPS,
        &[
            ("ScalingAdjustment", request.scaling_adjustment.is_some()),
            ("Cooldown", request.cooldown.is_some()),
            ("TargetTrackingConfiguration", request.target_tracking_configuration.is_some()),
        ],
    )?;
    let kind = adjustment(request)?;
    let given = request.step_adjustments.as_deref().unwrap_or_default();
    let given = given.iter().map(step).collect::<Result<Vec<_>, _>>()?;
    let aggregation = match request.metric_aggregation_type.as_deref() {
        None => None,
        Some("Average") => Some(Aggregation::Average),
        Some("Minimum") => Some(Aggregation::Minimum),
        Some("Maximum") => Some(Aggregation::Maximum),
        Some(other) => {
            return Err(invalid(format!(
                "MetricAggregationType: \"{other}\" is none of Minimum, Maximum and Average."
            )));
        }
    };
    Ok(GroupPolicyKind::Steps(StepScaling {
        adjustment: kind,
        steps: check_steps(kind, given).map_err(invalid)?,
        min_magnitude: magnitude(request, kind)?,
        cooldown: Duration::ZERO,
        cooldown_given: false,
        aggregation,
    }))
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

fn tracking(request: &PutScalingPolicyType) -> Result<GroupPolicyKind, Error> {
    foreign(
        TRACKING,
        &[
            ("AdjustmentType", request.adjustment_type.is_some()),
            ("ScalingAdjustment", request.scaling_adjustment.is_some()),
            ("StepAdjustments", request.step_adjustments.as_ref().is_some_and(|s| !s.is_empty())),
            ("MetricAggregationType", request.metric_aggregation_type.is_some()),
            ("MinAdjustmentMagnitude", request.min_adjustment_magnitude.is_some()),
            ("MinAdjustmentStep", request.min_adjustment_step.is_some()),
            ("Cooldown", request.cooldown.is_some()),
        ],
    )?;
    let Some(given) = &request.target_tracking_configuration else {
        return Err(invalid(
            "TargetTrackingConfiguration is required for policy type TargetTrackingScaling.",
        ));
    };
    let target = given.target_value.filter(|value| *value > 0.0).and_then(Finite::new);
    let target = target.ok_or_else(|| invalid("TargetValue must be a number above 0."))?;
    if let Some(predefined) = &given.predefined_metric_specification {
        let kind = predefined.predefined_metric_type.as_ref().map_or("", MetricType::as_str);
        return Err(invalid(format!(
            "PredefinedMetricSpecification: {kind} is not measured of groups here; track a metric of \
             CloudWatch by CustomizedMetricSpecification, such as CPUReservation of AWS/ECS."
        )));
    }
    let Some(custom) = &given.customized_metric_specification else {
        return Err(invalid("CustomizedMetricSpecification is required."));
    };
    Ok(GroupPolicyKind::Tracking(GroupTracking {
        target,
        metric: read_metric(custom)?,
        disable_scale_in: given.disable_scale_in.unwrap_or(false),
        // The decision draws them.
        alarm_ids: Default::default(),
    }))
}

/// The metric as the policies of services have it: the two services spell it alike.
fn read_metric(given: &CustomizedMetricSpecification) -> Result<TrackedMetric, Error> {
    let queries = given.metrics.as_deref().unwrap_or_default();
    let periods = queries.iter().map(|query| query.period);
    let inner = queries.iter().map(|query| query.metric_stat.as_ref().and_then(|s| s.period));
    let odd = periods.chain(inner).chain([given.period]).flatten().find(|n| *n != 60);
    if let Some(odd) = odd {
        return Err(invalid(format!(
            "Period: {odd} is not built yet in Wharf; leave it out. Data points are looked at as they \
             come, down to one a second."
        )));
    }
    let mut plain = given.clone();
    plain.period = None;
    for query in plain.metrics.iter_mut().flatten() {
        query.period = None;
        if let Some(stat) = &mut query.metric_stat {
            stat.period = None;
        }
    }
    let same = serde_json::to_value(&plain).and_then(serde_json::from_value);
    let same = same.map_err(|error| invalid(format!("CustomizedMetricSpecification: {error}")))?;
    metric::customized(&same).map_err(|error| invalid(error.message))
}

fn show_metric(tracked: &TrackedMetric) -> Option<CustomizedMetricSpecification> {
    let (_, custom) = metric::view(tracked);
    serde_json::to_value(custom?).and_then(serde_json::from_value).ok()
}

pub(super) async fn delete(
    door: &Door,
    request: DeletePolicyType,
) -> Result<DeletePolicyResponse, Error> {
    let key = named(door, request.auto_scaling_group_name, request.policy_name)?;
    submit(door, CapacityCommand::DeleteGroupPolicy(key)).await?;
    Ok(DeletePolicyResponse {})
}

/// A policy by its ARN, or by its name and group.
fn named(
    door: &Door,
    group: Option<String>,
    policy: Option<String>,
) -> Result<GroupPolicyKey, Error> {
    let given = required("PolicyName", policy.as_ref())?;
    if given.starts_with("arn:") {
        let read = door.realm().parse_group_policy(given);
        return read.map(|(_, key)| key).ok_or_else(|| {
            invalid(format!("PolicyName: {given} is not the ARN of a policy of a group here."))
        });
    }
    let group = required("AutoScalingGroupName", group.as_ref())?;
    Ok(GroupPolicyKey { group: group.into(), name: given.into() })
}

pub(super) async fn execute(
    door: &Door,
    request: ExecutePolicyType,
) -> Result<ExecutePolicyResponse, Error> {
    let policy = named(door, request.auto_scaling_group_name, request.policy_name)?;
    let honor_cooldown = request.honor_cooldown.unwrap_or(false);
    let run = PolicyRun {
        policy,
        trigger: Trigger::User { honor_cooldown },
        breach: request.metric_value.zip(request.breach_threshold),
    };
    submit(door, CapacityCommand::RunGroupPolicy(run)).await?;
    Ok(ExecutePolicyResponse {})
}

pub(super) async fn describe(
    door: &Door,
    request: DescribePoliciesType,
) -> Result<PoliciesType, Error> {
    let state = &*door.snapshot();
    let token = request.next_token.as_deref();
    let page = Page::of_100("DescribePolicies", token, request.max_records);
    let names = request.policy_names.as_deref().unwrap_or_default();
    let types = request.policy_types.as_deref().unwrap_or_default();
    let group = request.auto_scaling_group_name.as_deref();
    let policies = state.capacity().policies().filter(|policy| {
        let arn = || state.realm().group_policy(policy);
        group.is_none_or(|group| policy.key.group.as_str() == group)
            && (names.is_empty()
                || names.iter().any(|n| *n == policy.key.name.as_str() || *n == arn()))
            && (types.is_empty() || types.iter().any(|kind| kind == kind_of(policy)))
    });
    let entries = policies.map(|policy| (policy.key.to_string(), policy)).collect();
    let (policies, next_token) = cut(&page, entries, Order::Ascending)?;
    let policies = policies.into_iter().map(|policy| view(door, state, policy)).collect();
    Ok(PoliciesType { scaling_policies: Some(policies), next_token })
}

const fn kind_of(policy: &GroupPolicy) -> &'static str {
    match policy.kind {
        GroupPolicyKind::Simple(_) => SIMPLE,
        GroupPolicyKind::Steps(_) => STEPS,
        GroupPolicyKind::Tracking(_) => TRACKING,
    }
}

fn view(door: &Door, state: &State, policy: &GroupPolicy) -> ScalingPolicy {
    let small = |n: u32| i32::try_from(n).ok();
    let name = |kind: Adjustment| {
        ADJUSTMENTS.iter().find(|(_, known)| *known == kind).map(|(name, _)| (*name).to_owned())
    };
    let time = |length: Duration| i32::try_from(length.as_secs()).ok();
    let arn = state.realm().group_policy(policy);
    let base = ScalingPolicy {
        auto_scaling_group_name: Some(policy.key.group.to_string()),
        policy_name: Some(policy.key.name.to_string()),
        policy_type: Some(kind_of(policy).to_owned()),
        estimated_instance_warmup: policy.warmup.and_then(time),
        enabled: Some(policy.enabled),
        alarms: Some(match policy.tracking() {
            Some(_) => own_alarms(state, policy),
            None => users_alarms(door, &arn),
        }),
        policy_arn: Some(arn),
        step_adjustments: Some(Vec::new()),
        ..Default::default()
    };
    match &policy.kind {
        GroupPolicyKind::Simple(simple) => ScalingPolicy {
            adjustment_type: name(simple.adjustment),
            scaling_adjustment: Some(simple.by),
            min_adjustment_magnitude: simple.min_magnitude.and_then(small),
            cooldown: simple.cooldown.and_then(time),
            ..base
        },
        GroupPolicyKind::Steps(steps) => ScalingPolicy {
            adjustment_type: name(steps.adjustment),
            min_adjustment_magnitude: steps.min_magnitude.and_then(small),
            metric_aggregation_type: Some(aggregation(steps.aggregation).to_owned()),
            step_adjustments: Some(steps.steps.iter().map(step_view).collect()),
            ..base
        },
        GroupPolicyKind::Tracking(tracking) => ScalingPolicy {
            target_tracking_configuration: Some(TargetTrackingConfiguration {
                customized_metric_specification: show_metric(&tracking.metric),
                disable_scale_in: Some(tracking.disable_scale_in),
                predefined_metric_specification: None,
                target_value: Some(tracking.target.get()),
            }),
            ..base
        },
    }
}

const fn aggregation(given: Option<Aggregation>) -> &'static str {
    match given {
        None | Some(Aggregation::Average) => "Average",
        Some(Aggregation::Minimum) => "Minimum",
        Some(Aggregation::Maximum) => "Maximum",
    }
}

fn step_view(step: &Step) -> StepAdjustment {
    StepAdjustment {
        metric_interval_lower_bound: step.lower.map(Finite::get),
        metric_interval_upper_bound: step.upper.map(Finite::get),
        scaling_adjustment: Some(step.by),
    }
}

/// The two alarms of a policy that tracks a target.
fn own_alarms(state: &State, policy: &GroupPolicy) -> Vec<Alarm> {
    let realm = state.realm();
    let one = |name: String| Alarm {
        alarm_arn: Some(format!(
            "arn:{}:cloudwatch:{}:{}:alarm:{name}",
            realm.partition, realm.region, realm.account
        )),
        alarm_name: Some(name),
    };
    let Some((high, low)) = policy.alarms() else { return Vec::new() };
    let scales_in = policy.tracking().is_some_and(|tracking| !tracking.disable_scale_in);
    std::iter::once(high).chain(scales_in.then_some(low)).map(one).collect()
}

/// The alarms of users that order a policy to act.
fn users_alarms(door: &Door, policy: &str) -> Vec<Alarm> {
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
