//! Targets, policies, actions and activities as the wire has them.

use aws::application_autoscaling::*;
use model::{Adjustment, Aggregation, NotScaledCode, PolicyKind, ServiceKey, State, StepScaling};

use super::metric;
use super::read::wire;

fn resource(service: &ServiceKey) -> Option<String> {
    Some(format!("service/{service}"))
}

const DIMENSION: Option<ScalableDimension> = Some(ScalableDimension::EcsServiceDesiredCount);
const NAMESPACE: Option<ServiceNamespace> = Some(ServiceNamespace::Ecs);

pub(super) fn target(state: &State, target: &model::ScalableTarget) -> ScalableTarget {
    let realm = state.realm();
    let role = format!(
        "arn:{}:iam::{}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/\
         AWSServiceRoleForApplicationAutoScaling_ECSService",
        realm.partition, realm.account
    );
    let suspended = target.suspended;
    ScalableTarget {
        creation_time: Some(target.created_at),
        max_capacity: Some(wire(target.max)),
        min_capacity: Some(wire(target.min)),
        predicted_capacity: None,
        resource_id: resource(&target.service),
        role_arn: Some(role),
        scalable_dimension: DIMENSION,
        scalable_target_arn: Some(realm.scalable_target(&target.id)),
        service_namespace: NAMESPACE,
        suspended_state: Some(SuspendedState {
            dynamic_scaling_in_suspended: Some(suspended.scale_in),
            dynamic_scaling_out_suspended: Some(suspended.scale_out),
            scheduled_scaling_suspended: Some(suspended.scheduled),
        }),
    }
}

/// The alarms of a policy; none of a step policy, whose alarms are its users' own.
pub(super) fn alarms(state: &State, policy: &model::ScalingPolicy) -> Vec<Alarm> {
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

/// None if its target is gone.
pub(super) fn policy(state: &State, policy: &model::ScalingPolicy) -> Option<ScalingPolicy> {
    let target = state.scaling().target(&policy.key.service)?;
    let shown = ScalingPolicy {
        alarms: Some(alarms(state, policy)),
        creation_time: Some(policy.created_at),
        policy_arn: Some(state.realm().scaling_policy(target, &policy.key)),
        policy_name: Some(policy.key.name.to_string()),
        resource_id: resource(&policy.key.service),
        scalable_dimension: DIMENSION,
        service_namespace: NAMESPACE,
        ..Default::default()
    };
    Some(match &policy.kind {
        PolicyKind::TargetTracking(given) => ScalingPolicy {
            policy_type: Some(PolicyType::TargetTrackingScaling),
            target_tracking_scaling_policy_configuration: Some(tracking(given)),
            ..shown
        },
        PolicyKind::Steps(given) => ScalingPolicy {
            policy_type: Some(PolicyType::StepScaling),
            step_scaling_policy_configuration: Some(steps(given)),
            ..shown
        },
    })
}

fn seconds(length: std::time::Duration) -> i32 {
    i32::try_from(length.as_secs()).unwrap_or(i32::MAX)
}

fn tracking(given: &model::TargetTracking) -> TargetTrackingScalingPolicyConfiguration {
    let (predefined, customized) = metric::view(&given.metric);
    let (out, inward) = given.cooldowns_given;
    TargetTrackingScalingPolicyConfiguration {
        customized_metric_specification: customized,
        disable_scale_in: Some(given.disable_scale_in),
        predefined_metric_specification: predefined,
        scale_in_cooldown: inward.then(|| seconds(given.in_cooldown)),
        scale_out_cooldown: out.then(|| seconds(given.out_cooldown)),
        target_value: Some(given.target.get()),
    }
}

fn steps(given: &StepScaling) -> StepScalingPolicyConfiguration {
    let adjustment = match given.adjustment {
        Adjustment::Change => AdjustmentType::ChangeInCapacity,
        Adjustment::Percent => AdjustmentType::PercentChangeInCapacity,
        Adjustment::Exact => AdjustmentType::ExactCapacity,
    };
    let aggregation = given.aggregation.map(|aggregation| match aggregation {
        Aggregation::Average => MetricAggregationType::Average,
        Aggregation::Minimum => MetricAggregationType::Minimum,
        Aggregation::Maximum => MetricAggregationType::Maximum,
    });
    let step = |step: &model::Step| StepAdjustment {
        metric_interval_lower_bound: step.lower.map(model::Finite::get),
        metric_interval_upper_bound: step.upper.map(model::Finite::get),
        scaling_adjustment: Some(step.by),
    };
    StepScalingPolicyConfiguration {
        adjustment_type: Some(adjustment),
        cooldown: given.cooldown_given.then(|| seconds(given.cooldown)),
        metric_aggregation_type: aggregation,
        min_adjustment_magnitude: given.min_magnitude.map(wire),
        step_adjustments: Some(given.steps.iter().map(step).collect()),
    }
}

/// None if its target is gone.
pub(super) fn action(state: &State, action: &model::ScheduledAction) -> Option<ScheduledAction> {
    let target = state.scaling().target(&action.key.service)?;
    Some(ScheduledAction {
        creation_time: Some(action.created_at),
        end_time: action.ends,
        resource_id: resource(&action.key.service),
        scalable_dimension: DIMENSION,
        scalable_target_action: Some(ScalableTargetAction {
            max_capacity: action.max.map(wire),
            min_capacity: action.min.map(wire),
        }),
        schedule: Some(action.expression.clone()),
        scheduled_action_arn: Some(state.realm().scheduled_action(target, &action.key)),
        scheduled_action_name: Some(action.key.name.to_string()),
        service_namespace: NAMESPACE,
        start_time: action.starts,
        timezone: action.zone.clone(),
    })
}

pub(super) fn activity(activity: &model::ScalingActivity) -> ScalingActivity {
    use model::ActivityStatus as S;
    let status = match activity.status {
        S::InProgress => ScalingActivityStatusCode::InProgress,
        S::Successful => ScalingActivityStatusCode::Successful,
        S::Overridden => ScalingActivityStatusCode::Overridden,
        S::Unfulfilled => ScalingActivityStatusCode::Unfulfilled,
        S::Failed => ScalingActivityStatusCode::Failed,
    };
    let reasons: Vec<NotScaledReason> = activity.not_scaled.iter().map(reason).collect();
    ScalingActivity {
        activity_id: Some(activity.id.clone()),
        cause: Some(activity.cause.clone()),
        description: Some(activity.description.clone()),
        details: None,
        end_time: activity.ended_at,
        not_scaled_reasons: Some(reasons).filter(|reasons| !reasons.is_empty()),
        resource_id: resource(&activity.service),
        scalable_dimension: DIMENSION,
        service_namespace: NAMESPACE,
        start_time: Some(activity.started_at),
        status_code: Some(status),
        status_message: Some(activity.message.clone()),
    }
}

fn reason(reason: &model::NotScaled) -> NotScaledReason {
    let code = match reason.code {
        NotScaledCode::AnticipatedFlapping => "AutoScalingAnticipatedFlapping",
        NotScaledCode::Unscalable => "TargetServicePutResourceAsUnscalable",
        NotScaledCode::AtMax => "AlreadyAtMaxCapacity",
        NotScaledCode::AtMin => "AlreadyAtMinCapacity",
        NotScaledCode::AtDesired => "AlreadyAtDesiredCapacity",
    };
    NotScaledReason {
        code: Some(code.to_owned()),
        current_capacity: reason.current.map(wire),
        max_capacity: reason.max.map(wire),
        min_capacity: reason.min.map(wire),
    }
}
