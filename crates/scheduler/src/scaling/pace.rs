//! Cooldowns: how soon one change of a desired count follows another.
//! <https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html#target-tracking-cooldown>
//!
//! A cooldown begins when the service has become what the change made it. Until it is over, what a
//! scale-out added counts as part of the next one, so that only a larger one goes on; and a scale-in
//! is followed by no other, unless a scale-out came between.

use std::time::Duration;

use model::{PolicyKind, ScalableTarget, ScalingPolicyKey, State, Stride};
use stdx::Timestamp;

/// The scale-out whose cooldown holds.
pub(crate) fn cooling_out<'a>(
    state: &State,
    target: &'a ScalableTarget,
    now: Timestamp,
) -> Option<&'a Stride> {
    let stride = target.last_out.as_ref()?;
    let undone = target.last_in.as_ref().is_some_and(|later| later.at > stride.at);
    (!undone && cooling(state, target, stride, now)).then_some(stride)
}

/// Whether the cooldown of a scale-in holds.
pub(crate) fn cooling_in(state: &State, target: &ScalableTarget, now: Timestamp) -> bool {
    target.last_in.as_ref().is_some_and(|stride| {
        let undone = target.last_out.as_ref().is_some_and(|later| later.at >= stride.at);
        !undone && cooling(state, target, stride, now)
    })
}

fn cooling(state: &State, target: &ScalableTarget, stride: &Stride, now: Timestamp) -> bool {
    let key = ScalingPolicyKey { service: target.service.clone(), name: stride.policy.clone() };
    let length = state.scaling().policy(&key).map_or(Duration::ZERO, |policy| match &policy.kind {
        PolicyKind::Steps(steps) => steps.cooldown,
        PolicyKind::TargetTracking(tracking) if stride.to > stride.from => tracking.out_cooldown,
        PolicyKind::TargetTracking(tracking) => tracking.in_cooldown,
    });
    let mut activities = state.scaling().activities(&target.service);
    match activities.find(|a| a.started_at == stride.at && a.desired == Some(stride.to)) {
        Some(activity) if activity.is_open() => true,
        Some(activity) => activity.ended_at.unwrap_or(stride.at) + length > now,
        None => stride.at + length > now,
    }
}
