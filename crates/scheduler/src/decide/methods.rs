//! Whether a service can be updated the way it is asked to be.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-blue-green.html>

use model::{
    Action, DeploymentController, HookTarget, RolloutMethod, RolloutStrategy, SchedulingStrategy,
    Service, ServiceTarget, Stage, State, TrafficRule,
};

use super::service_rules::{invalid, refused};
use crate::{Rejection, rollout, words};

/// Checks the method of a service with what it is behind.
pub(super) fn check(state: &State, service: &Service) -> Result<(), Rejection> {
    let method = &service.method;
    let progressive = method.strategy.is_progressive();
    if progressive && service.scheduling == SchedulingStrategy::Daemon {
        return Err(refused(words::PROGRESSIVE_DAEMON));
    }
    if *method != RolloutMethod::default() && service.controller == DeploymentController::External {
        return Err(refused(words::METHOD_EXTERNAL));
    }
    if !progressive && !method.hooks.is_empty() {
        return Err(invalid("deploymentConfiguration.lifecycleHooks", words::HOOKS_ROLLING.into()));
    }
    for hook in &method.hooks {
        let shifting = |stage: &Stage| {
            matches!(stage, Stage::TestTrafficShift | Stage::ProductionTrafficShift)
        };
        if hook.target == HookTarget::Pause && hook.stages.iter().any(shifting) {
            let member = "deploymentConfiguration.lifecycleHooks";
            return Err(invalid(member, words::PAUSE_WHILE_SHIFTING.to_owned()));
        }
    }
    if let RolloutStrategy::Early(early) = method.strategy
        && early.healthy_percent < service.config.minimum_healthy_percent
    {
        let member = "deploymentConfiguration.earlySuccessCriteria.healthyPercent";
        let minimum = service.config.minimum_healthy_percent;
        let why = format!(
            "{} is below the minimumHealthyPercent, which is {minimum}",
            early.healthy_percent
        );
        return Err(invalid(member, why));
    }
    if progressive { targets(state, service) } else { Ok(()) }
}

/// Traffic moves between groups only if it is said between which, and by which rule.
fn targets(state: &State, service: &Service) -> Result<(), Rejection> {
    let steps = match service.method.strategy {
        RolloutStrategy::Linear { .. } | RolloutStrategy::Canary { .. } => true,
        RolloutStrategy::Rolling | RolloutStrategy::Early(_) | RolloutStrategy::BlueGreen => false,
    };
    if steps && service.load_balancers.is_empty() {
        return Err(invalid("deploymentConfiguration.strategy", words::STEPS_ALONE.to_owned()));
    }
    for (at, target) in service.load_balancers.iter().enumerate() {
        pair(state, at, target)?;
    }
    Ok(())
}

fn pair(state: &State, at: usize, target: &ServiceTarget) -> Result<(), Rejection> {
    let member = |name: &str| format!("loadBalancers[{at}].advancedConfiguration.{name}");
    let (book, realm) = (state.balancing(), state.realm());
    let Some(advanced) = &target.advanced else {
        let member = format!("loadBalancers[{at}].advancedConfiguration");
        return Err(invalid(&member, words::NO_ADVANCED.to_owned()));
    };
    if advanced.alternate == target.group {
        return Err(invalid(&member("alternateTargetGroupArn"), words::SAME_GROUP.to_owned()));
    }
    let missing = |name: &str, arn: String| {
        invalid(&member(name), format!("{arn} does not exist; create it first"))
    };
    let first = book.group(&target.group);
    let Some(other) = book.group(&advanced.alternate) else {
        return Err(missing("alternateTargetGroupArn", realm.group(&advanced.alternate)));
    };
    if first.is_some_and(|first| first.protocol != other.protocol || first.kind != other.kind) {
        let why = words::OTHER_KIND_OF_GROUP.to_owned();
        return Err(invalid(&member("alternateTargetGroupArn"), why));
    }
    rule(state, &member("productionListenerRule"), &advanced.production, target)?;
    match &advanced.test {
        None => Ok(()),
        Some(test) if *test == advanced.production => {
            Err(invalid(&member("testListenerRule"), words::SAME_RULE.to_owned()))
        }
        Some(test) => {
            let arn = arn(state, test);
            rollout::action(book, test).map(|_| ()).ok_or_else(|| missing("testListenerRule", arn))
        }
    }
}

/// The production rule forwards to one of the two groups, or nothing that serves would be moved.
fn rule(
    state: &State,
    member: &str,
    rule: &TrafficRule,
    target: &ServiceTarget,
) -> Result<(), Rejection> {
    let arn = arn(state, rule);
    let Some(action) = rollout::action(state.balancing(), rule) else {
        return Err(invalid(member, format!("{arn} does not exist; create it first")));
    };
    let other = target.swapped();
    let sends = match action {
        Action::Forward(_) => {
            action.groups().any(|group| *group == target.group || *group == other.group)
        }
        Action::Redirect(_) | Action::Fixed { .. } => false,
    };
    if sends {
        return Ok(());
    }
    Err(invalid(member, format!("{arn} forwards to neither of the two target groups")))
}

fn arn(state: &State, rule: &TrafficRule) -> String {
    match rule {
        TrafficRule::Rule(id) => state.realm().rule(id),
        TrafficRule::Listener(id) => state.realm().listener(id),
    }
}
