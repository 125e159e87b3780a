//! How a service is updated, read from a deployment configuration and shown in one: the strategy,
//! bake time, lifecycle hooks and alarms. Percentages and circuit breaker are `service_members`'s.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>

use std::time::Duration;

use aws::Error;
use aws::ecs::{
    CanaryConfiguration, DeploymentAlarms, DeploymentConfiguration, DeploymentEarlySuccessCriteria,
    DeploymentLifecycleHook, DeploymentLifecycleHookAction, DeploymentLifecycleHookStage,
    DeploymentLifecycleHookTargetType, DeploymentLifecycleHookTimeoutConfiguration,
    DeploymentStrategy, LinearConfiguration, ServiceRevisionCleanup,
};
use model::{
    Cleanup, EarlySuccess, HookAction, HookTarget, RolloutAlarms, RolloutHook, RolloutMethod,
    RolloutStrategy, Stage, TrafficShare,
};

use crate::errors::invalid;
use crate::view;

/// The longest bake time, of a deployment and of a step: a day.
const MOST_MINUTES: i32 = 1440;
/// The longest time of a hook: a fortnight.
const MOST_HOOK_MINUTES: i32 = 20_160;
/// How a linear deployment goes unless it says otherwise.
const LINEAR: (f64, i32) = (10.0, 6);
/// How a canary deployment goes unless it says otherwise.
const CANARY: (f64, i32) = (5.0, 10);

fn at(member: &str) -> String {
    format!("deploymentConfiguration.{member}")
}

/// What a configuration asks for, where it says nothing as it was before. None without one.
pub(crate) fn read(
    before: &RolloutMethod,
    given: Option<&DeploymentConfiguration>,
) -> Result<Option<RolloutMethod>, Error> {
    let Some(given) = given else { return Ok(None) };
    let strategy = strategy(&before.strategy, given)?;
    let turned = strategy.is_progressive() != before.strategy.is_progressive();
    // What was said for the other kind of strategy does not hold for this one.
    let (bake, hooks) =
        if turned { (None, Vec::new()) } else { (before.bake, before.hooks.clone()) };
    Ok(Some(RolloutMethod {
        strategy,
        bake: match given.bake_time_in_minutes {
            Some(given) => Some(minutes(given, &at("bakeTimeInMinutes"))?),
            None => bake,
        },
        hooks: match &given.lifecycle_hooks {
            Some(hooks) => {
                hooks.iter().enumerate().map(|(n, h)| hook(n, h)).collect::<Result<_, _>>()?
            }
            None => hooks,
        },
        alarms: match &given.alarms {
            Some(given) => Some(alarms(given)?),
            None => before.alarms.clone(),
        },
    }))
}

fn strategy(
    before: &RolloutStrategy,
    given: &DeploymentConfiguration,
) -> Result<RolloutStrategy, Error> {
    let named = given.strategy.clone().unwrap_or_else(|| word(before));
    let (linear, canary) =
        (given.linear_configuration.as_ref(), given.canary_configuration.as_ref());
    if linear.is_some() && named != DeploymentStrategy::Linear {
        return Err(invalid(format!(
            "{}: it is only for the strategy LINEAR.",
            at("linearConfiguration")
        )));
    }
    if canary.is_some() && named != DeploymentStrategy::Canary {
        return Err(invalid(format!(
            "{}: it is only for the strategy CANARY.",
            at("canaryConfiguration")
        )));
    }
    let early = given.early_success_criteria.as_ref();
    if early.is_some_and(|e| e.enable == Some(true)) && named != DeploymentStrategy::Rolling {
        return Err(invalid(format!(
            "{}: it is only for the strategy ROLLING.",
            at("earlySuccessCriteria")
        )));
    }
    Ok(match named {
        DeploymentStrategy::Rolling => match early {
            Some(early) => self::early(early)?,
            None if before.is_progressive() => RolloutStrategy::Rolling,
            None => *before,
        },
        DeploymentStrategy::BlueGreen => RolloutStrategy::BlueGreen,
        DeploymentStrategy::Linear => match (linear, before) {
            (None, RolloutStrategy::Linear { .. }) => *before,
            (linear, _) => self::linear(linear)?,
        },
        DeploymentStrategy::Canary => match (canary, before) {
            (None, RolloutStrategy::Canary { .. }) => *before,
            (canary, _) => self::canary(canary)?,
        },
        DeploymentStrategy::Unrecognized(text) => {
            return Err(invalid(format!(
                "{}: \"{text}\" is none of ROLLING, BLUE_GREEN, LINEAR and CANARY.",
                at("strategy")
            )));
        }
    })
}

fn early(given: &DeploymentEarlySuccessCriteria) -> Result<RolloutStrategy, Error> {
    if given.enable != Some(true) {
        return Ok(RolloutStrategy::Rolling);
    }
    let percent = given.healthy_percent.and_then(|percent| u32::try_from(percent).ok());
    let Some(healthy_percent) = percent.filter(|percent| *percent <= 100) else {
        let member = at("earlySuccessCriteria.healthyPercent");
        return Err(invalid(format!("{member}: it is from 0 to 100, and must be given.")));
    };
    let cleanup = match &given.source_service_revision_cleanup {
        Some(ServiceRevisionCleanup::Blocking) => Cleanup::Blocking,
        Some(ServiceRevisionCleanup::Deferred) => Cleanup::Deferred,
        Some(ServiceRevisionCleanup::Unrecognized(_)) | None => {
            let member = at("earlySuccessCriteria.sourceServiceRevisionCleanup");
            return Err(invalid(format!(
                "{member}: it is BLOCKING or DEFERRED, and must be given."
            )));
        }
    };
    Ok(RolloutStrategy::Early(EarlySuccess { healthy_percent, cleanup }))
}

fn linear(given: Option<&LinearConfiguration>) -> Result<RolloutStrategy, Error> {
    let percent = given.and_then(|linear| linear.step_percent).unwrap_or(LINEAR.0);
    let bake = given.and_then(|linear| linear.step_bake_time_in_minutes).unwrap_or(LINEAR.1);
    Ok(RolloutStrategy::Linear {
        step: share(percent, 30, &at("linearConfiguration.stepPercent"))?,
        bake: minutes(bake, &at("linearConfiguration.stepBakeTimeInMinutes"))?,
    })
}

fn canary(given: Option<&CanaryConfiguration>) -> Result<RolloutStrategy, Error> {
    let percent = given.and_then(|canary| canary.canary_percent).unwrap_or(CANARY.0);
    let bake = given.and_then(|canary| canary.canary_bake_time_in_minutes).unwrap_or(CANARY.1);
    Ok(RolloutStrategy::Canary {
        share: share(percent, 1, &at("canaryConfiguration.canaryPercent"))?,
        bake: minutes(bake, &at("canaryConfiguration.canaryBakeTimeInMinutes"))?,
    })
}

/// A multiple of a tenth of a percent, at least so many of them.
fn share(percent: f64, least: u32, member: &str) -> Result<TrafficShare, Error> {
    let tenths = percent * 10.0;
    let fits = tenths.fract().abs() < 1e-6 || (1.0 - tenths.fract().abs()) < 1e-6;
    // In range, a tenth of a percent is a small whole number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 1000")]
    let whole = tenths.round().clamp(0.0, 2000.0) as u32;
    if fits && (least..=1000).contains(&whole) {
        return Ok(TrafficShare(whole));
    }
    let least = f64::from(least) / 10.0;
    Err(invalid(format!("{member}: {percent} is no multiple of 0.1 from {least:.1} to 100.0.")))
}

fn minutes(given: i32, member: &str) -> Result<Duration, Error> {
    match u64::try_from(given).ok().filter(|_| given <= MOST_MINUTES) {
        Some(minutes) => Ok(Duration::from_secs(60 * minutes)),
        None => Err(invalid(format!("{member}: it must be between 0 and {MOST_MINUTES}."))),
    }
}

fn alarms(given: &DeploymentAlarms) -> Result<RolloutAlarms, Error> {
    let names = given.alarm_names.clone().unwrap_or_default();
    let enable = given.enable.unwrap_or(false);
    if enable && names.is_empty() {
        return Err(invalid(format!("{}: it names no alarm.", at("alarms.alarmNames"))));
    }
    Ok(RolloutAlarms { names, enable, rollback: given.rollback.unwrap_or(false) })
}

fn hook(n: usize, given: &DeploymentLifecycleHook) -> Result<RolloutHook, Error> {
    let member = |name: &str| at(&format!("lifecycleHooks[{n}].{name}"));
    let target = match &given.target_type {
        Some(DeploymentLifecycleHookTargetType::Pause) => pause(given, &member)?,
        Some(DeploymentLifecycleHookTargetType::AwsLambda) | None => web(given, &member)?,
        Some(DeploymentLifecycleHookTargetType::Unrecognized(text)) => {
            let member = member("targetType");
            return Err(invalid(format!("{member}: \"{text}\" is neither AWS_LAMBDA nor PAUSE.")));
        }
    };
    let given_stages = given.lifecycle_stages.as_deref().unwrap_or_default();
    if given_stages.is_empty() {
        return Err(invalid(format!("{}: it names no stage.", member("lifecycleStages"))));
    }
    let stages = given_stages.iter().map(|s| stage(s, &member)).collect::<Result<Vec<_>, _>>()?;
    let (timeout, on_timeout) = timeout(given.timeout_configuration.as_ref(), &member)?;
    Ok(RolloutHook { target, stages, timeout, on_timeout })
}

fn pause(
    given: &DeploymentLifecycleHook,
    member: &impl Fn(&str) -> String,
) -> Result<HookTarget, Error> {
    for (name, there) in [
        ("hookTargetArn", given.hook_target_arn.is_some()),
        ("roleArn", given.role_arn.is_some()),
        ("hookDetails", given.hook_details.is_some()),
    ] {
        if there {
            return Err(invalid(format!("{}: a PAUSE hook has none.", member(name))));
        }
    }
    Ok(HookTarget::Pause)
}

/// A web address stands in place of a function.
fn web(
    given: &DeploymentLifecycleHook,
    member: &impl Fn(&str) -> String,
) -> Result<HookTarget, Error> {
    let url = given.hook_target_arn.as_deref().unwrap_or_default();
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        let member = member("hookTargetArn");
        return Err(invalid(if url.starts_with("arn:") {
            format!(
                "{member}: {url}: there are no Lambda functions in Wharf. Give the http:// or https:// URL of a web \
                 server instead; it is sent the same event, and answers with the same hookStatus."
            )
        } else {
            format!("{member}: \"{url}\" is not an http:// or https:// URL.")
        }));
    }
    let details = given.hook_details.as_ref().map(ToString::to_string);
    if details.as_ref().is_some_and(|details| !details.starts_with('{')) {
        return Err(invalid(format!("{}: it must be a JSON object.", member("hookDetails"))));
    }
    Ok(HookTarget::Web { url: url.to_owned(), details, role: given.role_arn.clone() })
}

fn stage(
    given: &DeploymentLifecycleHookStage,
    member: &impl Fn(&str) -> String,
) -> Result<Stage, Error> {
    use DeploymentLifecycleHookStage as S;
    Ok(match given {
        S::ReconcileService => Stage::ReconcileService,
        S::PreScaleUp => Stage::PreScaleUp,
        S::PostScaleUp => Stage::PostScaleUp,
        S::TestTrafficShift => Stage::TestTrafficShift,
        S::PostTestTrafficShift => Stage::PostTestTrafficShift,
        S::PreProductionTrafficShift => Stage::PreProductionTrafficShift,
        S::ProductionTrafficShift => Stage::ProductionTrafficShift,
        S::PostProductionTrafficShift => Stage::PostProductionTrafficShift,
        S::Unrecognized(text) => {
            let member = member("lifecycleStages");
            return Err(invalid(format!(
                "{member}: \"{text}\" is no stage at which a hook can run."
            )));
        }
    })
}

fn timeout(
    given: Option<&DeploymentLifecycleHookTimeoutConfiguration>,
    member: &impl Fn(&str) -> String,
) -> Result<(Duration, HookAction), Error> {
    let usual = scheduler::timing::HOOK_TIMEOUT;
    let Some(given) = given else { return Ok((usual, HookAction::Rollback)) };
    let action = match &given.action {
        None => HookAction::Rollback,
        Some(action) => hook_action(action, &member("timeoutConfiguration.action"))?,
    };
    let timeout = match given.timeout_in_minutes {
        None => usual,
        Some(n) => match u64::try_from(n).ok().filter(|_| (1..=MOST_HOOK_MINUTES).contains(&n)) {
            Some(minutes) => Duration::from_secs(60 * minutes),
            None => {
                let member = member("timeoutConfiguration.timeoutInMinutes");
                let words = format!("{member}: it must be between 1 and {MOST_HOOK_MINUTES}.");
                return Err(invalid(words));
            }
        },
    };
    Ok((timeout, action))
}

/// What becomes of a deployment, as ECS spells it.
pub(crate) fn hook_action(
    given: &DeploymentLifecycleHookAction,
    member: &str,
) -> Result<HookAction, Error> {
    match given {
        DeploymentLifecycleHookAction::Rollback => Ok(HookAction::Rollback),
        DeploymentLifecycleHookAction::Continue => Ok(HookAction::Continue),
        DeploymentLifecycleHookAction::Unrecognized(text) => {
            Err(invalid(format!("{member}: \"{text}\" is neither CONTINUE nor ROLLBACK.")))
        }
    }
}

// === Shown ===

fn word(strategy: &RolloutStrategy) -> DeploymentStrategy {
    match strategy {
        RolloutStrategy::Rolling | RolloutStrategy::Early(_) => DeploymentStrategy::Rolling,
        RolloutStrategy::BlueGreen => DeploymentStrategy::BlueGreen,
        RolloutStrategy::Linear { .. } => DeploymentStrategy::Linear,
        RolloutStrategy::Canary { .. } => DeploymentStrategy::Canary,
    }
}

fn in_minutes(duration: Duration) -> i32 {
    view::count(duration.as_secs() / 60)
}

/// Puts a method into a configuration.
pub(crate) fn show(method: &RolloutMethod, into: &mut DeploymentConfiguration) {
    into.strategy = Some(word(&method.strategy));
    match method.strategy {
        RolloutStrategy::Rolling | RolloutStrategy::BlueGreen => {}
        RolloutStrategy::Early(early) => {
            into.early_success_criteria = Some(DeploymentEarlySuccessCriteria {
                enable: Some(true),
                healthy_percent: Some(view::count(early.healthy_percent)),
                source_service_revision_cleanup: Some(match early.cleanup {
                    Cleanup::Blocking => ServiceRevisionCleanup::Blocking,
                    Cleanup::Deferred => ServiceRevisionCleanup::Deferred,
                }),
            });
        }
        RolloutStrategy::Linear { step, bake } => {
            into.linear_configuration = Some(LinearConfiguration {
                step_percent: Some(step.percent()),
                step_bake_time_in_minutes: Some(in_minutes(bake)),
            });
        }
        RolloutStrategy::Canary { share, bake } => {
            into.canary_configuration = Some(CanaryConfiguration {
                canary_percent: Some(share.percent()),
                canary_bake_time_in_minutes: Some(in_minutes(bake)),
            });
        }
    }
    into.bake_time_in_minutes = match method.bake {
        Some(bake) => Some(in_minutes(bake)),
        None if method.strategy.is_progressive() => Some(in_minutes(scheduler::timing::BAKE)),
        None => None,
    };
    if !method.hooks.is_empty() {
        into.lifecycle_hooks = Some(method.hooks.iter().map(show_hook).collect());
    }
    into.alarms = method.alarms.as_ref().map(|alarms| DeploymentAlarms {
        alarm_names: Some(alarms.names.clone()),
        enable: Some(alarms.enable),
        rollback: Some(alarms.rollback),
    });
}

fn show_hook(hook: &RolloutHook) -> DeploymentLifecycleHook {
    let mut shown = DeploymentLifecycleHook {
        lifecycle_stages: Some(
            hook.stages.iter().map(|s| scheduler::words::stage(*s).into()).collect(),
        ),
        timeout_configuration: Some(DeploymentLifecycleHookTimeoutConfiguration {
            timeout_in_minutes: Some(in_minutes(hook.timeout)),
            action: Some(show_action(hook.on_timeout)),
        }),
        ..DeploymentLifecycleHook::default()
    };
    match &hook.target {
        HookTarget::Pause => shown.target_type = Some(DeploymentLifecycleHookTargetType::Pause),
        HookTarget::Web { url, details, role } => {
            shown.target_type = Some(DeploymentLifecycleHookTargetType::AwsLambda);
            shown.hook_target_arn = Some(url.clone());
            let details = details.as_deref().map(aws::Document::from_json);
            shown.hook_details = details.and_then(Result::ok);
            shown.role_arn.clone_from(role);
        }
    }
    shown
}

pub(crate) fn show_action(action: HookAction) -> DeploymentLifecycleHookAction {
    match action {
        HookAction::Rollback => DeploymentLifecycleHookAction::Rollback,
        HookAction::Continue => DeploymentLifecycleHookAction::Continue,
    }
}

#[cfg(test)]
mod tests;
