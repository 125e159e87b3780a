//! What activities and events say.
//! <https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-scaling-activities.html>

use model::{
    Finite, GroupTracking, ScalingPolicyName, ScheduledActionName, TargetTracking, TrackedMetric,
};

use super::metric;
use super::window::{LOW_WINDOWS, Seen};

/// A number as people write it: at most two places.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn tasks(count: u32) -> String {
    if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") }
}

fn nodes(count: u32) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

/// What a policy saw that scales out.
pub(crate) fn saw_high(tracking: &TargetTracking, seen: &Seen, base: u32, wanted: u32) -> String {
    high(&tracking.metric, tracking.target, seen, (base, &tasks(base)), wanted)
}

/// What a policy saw that scales in.
pub(crate) fn saw_low(tracking: &TargetTracking, seen: &Seen, base: u32, wanted: u32) -> String {
    low(&tracking.metric, tracking.target, seen, (base, &tasks(base)), wanted)
}

/// What a policy of a group saw that scales out.
pub(crate) fn nodes_high(tracking: &GroupTracking, seen: &Seen, base: u32, wanted: u32) -> String {
    high(&tracking.metric, tracking.target, seen, (base, &nodes(base)), wanted)
}

/// What a policy of a group saw that scales in.
pub(crate) fn nodes_low(tracking: &GroupTracking, seen: &Seen, base: u32, wanted: u32) -> String {
    low(&tracking.metric, tracking.target, seen, (base, &nodes(base)), wanted)
}

fn high(
    metric: &TrackedMetric,
    target: Finite,
    seen: &Seen,
    (base, them): (u32, &str),
    wanted: u32,
) -> String {
    let (value, target) = (number(seen.value), number(target.get()));
    format!(
        "Over the last {} s ({} data points) {} was {value} with {them}; the target is {target}, \
         and {base} * {value} / {target} makes {wanted}.",
        seen.window.as_secs(),
        seen.points,
        metric::name(metric),
    )
}

fn low(
    metric: &TrackedMetric,
    target: Finite,
    seen: &Seen,
    (base, them): (u32, &str),
    wanted: u32,
) -> String {
    let peak = number(seen.peak.unwrap_or(seen.value));
    let (target, low) = (target.get(), target.get() * super::judge::LOW);
    format!(
        "Over the last {} s {} was at most {peak} with {them}, below {}, which is 90 % of the \
         target {}; {base} * {peak} / {} makes {wanted}.",
        seen.window.as_secs() * u64::from(LOW_WINDOWS),
        metric::name(metric),
        number(low),
        number(target),
        number(low),
    )
}

/// The cause of what an alarm led to.
pub(crate) fn alarm(alarm: &str, policy: &ScalingPolicyName, saw: &str) -> String {
    format!("monitor alarm {alarm} in state ALARM triggered policy {policy}. {saw}")
}

/// The cause of what a scheduled action led to.
pub(crate) fn scheduled(action: &ScheduledActionName) -> String {
    format!("scheduled action name {action} was triggered")
}

/// The description of a change of a desired count.
pub(crate) fn setting(desired: u32) -> String {
    format!("Setting desired count to {desired}.")
}

/// The message of a change that the service has yet to follow.
pub(crate) fn waiting(desired: u32) -> String {
    format!(
        "Successfully set desired count to {desired}. Waiting for change to be fulfilled by ecs."
    )
}

/// The message of a change that the service has followed.
pub(crate) fn fulfilled(desired: u32) -> String {
    format!("Successfully set desired count to {desired}. Change successfully fulfilled by ecs.")
}

/// The message of a change that another overtook.
pub(crate) fn overridden(desired: u32, now: u32) -> String {
    format!("Successfully set desired count to {desired}. Found it was later changed to {now}.")
}

/// The message of a change that the service did not follow in time.
pub(crate) fn unfulfilled(desired: u32, running: u32) -> String {
    format!(
        "Successfully set desired count to {desired}. The service did not fulfill the change: {} of \
         {desired} run. Its events say why.",
        tasks(running)
    )
}

/// The event of a service whose desired count was changed.
pub(crate) fn event(desired: u32, cause: &str) -> String {
    format!("has set desired count to {desired}. Cause: {cause}")
}
