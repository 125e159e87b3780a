//! What is said of deployments: how they go on, why they end.

use model::{DeploymentId, HookRun, HookTarget, RolloutMethod, Stage, TrafficShare};

use crate::rollout::Why;

/// `statusReason` of a deployment in whose place a newer one came.
pub const SUPERSEDED: &str =
    "Service deployment stopped: a newer service deployment took its place.";
/// Why a hook that was still open says nothing any more.
pub const HOOK_OVER: &str = "the deployment ended before it answered";
/// A user called StopServiceDeployment, or ContinueServiceDeployment, to go back.
pub const ROLLBACK_ASKED_FOR: &str = "Service deployment rolled back: a user asked for it.";
/// A user called StopServiceDeployment to stop where it is.
pub const STOP_ASKED_FOR: &str = "Service deployment stopped: a user asked for it. Nothing more of it \
                                  is started until UpdateService begins another.";
/// `statusReason` of a deployment of a service that was deleted.
pub const SERVICE_DELETED: &str = "Service deployment stopped: the service was deleted.";

/// A user chose so at a pause.
pub const ROLLBACK_CHOSEN: &str = "a user chose to roll back";

pub(crate) const PROGRESSIVE_DAEMON: &str =
    "The DAEMON scheduling strategy supports only the ROLLING deployment strategy.";
pub(crate) const METHOD_EXTERNAL: &str = "The EXTERNAL deployment controller supports neither a deployment strategy nor bake time, \
     lifecycle hooks and alarms: whoever makes the task sets decides how traffic moves.";
pub(crate) const HOOKS_ROLLING: &str =
    "lifecycle hooks are for the strategies BLUE_GREEN, LINEAR and CANARY; give an empty list";
pub(crate) const PAUSE_WHILE_SHIFTING: &str = "a PAUSE hook cannot be at TEST_TRAFFIC_SHIFT or PRODUCTION_TRAFFIC_SHIFT; pause before or after";
pub(crate) const STEPS_ALONE: &str =
    "LINEAR and CANARY move the traffic of load balancers; give loadBalancers, or use BLUE_GREEN";
pub(crate) const NO_ADVANCED: &str = "the strategy moves traffic between two target groups; give \
                                      alternateTargetGroupArn and productionListenerRule";
pub(crate) const SAME_GROUP: &str = "it is the same as targetGroupArn; it must be another one";
pub(crate) const OTHER_KIND_OF_GROUP: &str =
    "both target groups must have the same protocol and target type";
pub(crate) const SAME_RULE: &str =
    "it is the same as productionListenerRule; it must be another one";

/// A deployment was given up.
pub(crate) fn deployment_failed(id: &DeploymentId, why: &Why) -> String {
    let what = match why {
        Why::Breaker => "tasks failed to start.",
        Why::Alarms(_) => "alarm detected.",
        Why::Hook(_) => "a lifecycle hook did not succeed.",
        Why::User => "a user asked to roll it back.",
        Why::RuleGone(_) => "its listener rule is gone.",
    };
    format!("(deployment {id}) deployment failed: {what}")
}

/// A deployment was stopped where it was.
pub fn deployment_stopped(id: &DeploymentId) -> String {
    format!("(deployment {id}) deployment stopped.")
}

/// Alarms ended a deployment.
pub fn alarmed(names: &[String]) -> String {
    format!("ECS deployment alarms: {} went into the ALARM state.", names.join(", "))
}

/// What sends traffic is gone.
pub fn rule_gone(arn: &str) -> String {
    format!(
        "ECS deployment failed: {arn} does not exist any more, so traffic cannot be moved. Name another rule or \
         listener in advancedConfiguration."
    )
}

/// `rolloutStateReason` of a deployment that is brought back.
pub fn rolling_back_because(id: &DeploymentId, why: &str) -> String {
    format!("{why} Rolling back to deploymentId {id}.")
}

/// There is nothing to bring back.
pub fn nothing_to_bring_back(why: &str) -> String {
    format!(
        "{why} No earlier deployment of the service has completed, so there is nothing to roll back to."
    )
}

/// A hook says no.
pub fn hook_failed(run: &HookRun, why: &str) -> String {
    let stage = stage(run.stage);
    if why.is_empty() {
        return format!("Lifecycle hook {} failed at {stage}.", run.id);
    }
    format!("Lifecycle hook {} failed at {stage}: {}.", run.id, why.trim_end_matches('.'))
}

/// Nobody answered a hook.
pub fn hook_timed_out(run: &HookRun) -> String {
    format!("Lifecycle hook {} timed out at {}.", run.id, stage(run.stage))
}

/// Production traffic moved.
pub fn traffic_moved(to: &DeploymentId, share: TrafficShare) -> String {
    format!("(deployment {to}) {}% of production traffic is routed to it.", share.percent())
}

/// Who a hook asks, for messages.
pub fn hook_target(method: &RolloutMethod, run: &HookRun) -> String {
    match method.hooks.get(run.hook).map(|hook| &hook.target) {
        Some(HookTarget::Web { url, .. }) => url.clone(),
        Some(HookTarget::Pause) | None => "PAUSE".to_owned(),
    }
}

/// A stage as ECS spells it.
pub const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::ReconcileService => "RECONCILE_SERVICE",
        Stage::PreScaleUp => "PRE_SCALE_UP",
        Stage::ScaleUp => "SCALE_UP",
        Stage::PostScaleUp => "POST_SCALE_UP",
        Stage::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
        Stage::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
        Stage::PreProductionTrafficShift => "PRE_PRODUCTION_TRAFFIC_SHIFT",
        Stage::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
        Stage::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
        Stage::BakeTime => "BAKE_TIME",
        Stage::CleanUp => "CLEAN_UP",
    }
}
