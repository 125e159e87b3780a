//! What target tracking makes of what is seen: to scale out, to scale in, or neither.
//! <https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-target-tracking.html>
//!
//! Several policies: one that wants more is enough to scale out; all that may scale in have to want
//! fewer; the largest count wins either way.

use model::{
    NotScaled, NotScaledCode, RolloutState, ScalableTarget, ScalingPolicy, Service, State,
    TargetTracking, TrackedMetric, VerdictState,
};
use stdx::Timestamp;

use super::command::{NotScale, Scale};
use super::window::Seen;
use super::{pace, text};
use crate::decide::MOST_TASKS;

/// A policy scales in below this part of its target, and so far that it comes up to it: then a load
/// that varies by 5 % does not make it scale out again.
pub(crate) const LOW: f64 = 0.9;

/// What one policy sees.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) policy: &'a ScalingPolicy,
    pub(crate) tracking: &'a TargetTracking,
    /// So many tasks gave the metric its value.
    pub(crate) base: u32,
    /// None if there are not enough data.
    pub(crate) seen: Option<Seen>,
}

/// What ought to happen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Judgement {
    /// Nothing.
    Rest,
    /// Another desired count.
    Scale(Scale),
    /// Another desired count, which may not be.
    NotScale(NotScale),
}

/// So many tasks bring the metric to `target`, if `base` of them bring it to `value`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and a count is what is wanted"
)]
pub(crate) fn wanted(base: u32, value: f64, target: f64) -> u32 {
    // What is whole but for the last bits is whole.
    (f64::from(base) * value / target - 1e-9).ceil() as u32
}

/// So many tasks give a policy's metric its value now: those that run, or the service's healthy
/// targets in the group whose requests are counted.
pub(crate) fn base(state: &State, service: &Service, metric: &TrackedMetric) -> u32 {
    let (running, _) = state.service_counts(&service.key);
    let TrackedMetric::Requests { group, .. } = metric else { return running };
    let book = state.balancing();
    let healthy = book.targets(group).filter(|target| {
        target.draining_since.is_none()
            && book.verdict(&target.key).is_some_and(|v| v.state == VerdictState::Healthy)
    });
    u32::try_from(healthy.count()).unwrap_or(u32::MAX).min(running)
}

/// When the tasks that give a policy's metric its value last changed.
pub(crate) fn since(state: &State, service: &Service, policy: &ScalingPolicy) -> Timestamp {
    let tasks = state.tasks_of(&service.key).flat_map(|task| {
        // One that never ran has changed nothing.
        let started = task.progress.started_at;
        [started, task.progress.stopped_at.filter(|_| started.is_some())]
    });
    let mut last = tasks.flatten().max();
    if let Some(TargetTracking { metric: TrackedMetric::Requests { group, .. }, .. }) =
        policy.tracking()
    {
        let book = state.balancing();
        let verdicts = book.targets(group).filter_map(|target| book.verdict(&target.key));
        last = last.max(verdicts.map(|verdict| verdict.since).max());
    }
    // A second in which something came is not whole.
    let last = last.map(|at| at + std::time::Duration::from_secs(1));
    last.map_or(policy.updated_at, |at| at.max(policy.updated_at))
}

/// Whether ECS is replacing the service's tasks: nothing scales in meanwhile.
pub(crate) fn deploying(service: &Service) -> bool {
    service.deployments.len() > 1
        || service.primary().is_some_and(|primary| primary.rollout == RolloutState::InProgress)
}

/// What ought to happen to a service by what its policies see.
pub(crate) fn judge(
    state: &State,
    target: &ScalableTarget,
    service: &Service,
    views: &[View<'_>],
    now: Timestamp,
) -> Judgement {
    let high: Vec<(&View<'_>, Seen)> =
        views.iter().filter_map(|view| Some((view, view.seen.filter(|seen| seen.high)?))).collect();
    if high.is_empty() {
        return scale_in(state, target, service, views, now);
    }
    if target.suspended.scale_out {
        return Judgement::Rest;
    }
    let stride = pace::cooling_out(state, target, now);
    let goals = high.into_iter().map(|(view, seen)| {
        let wants = wanted(view.base, seen.value, view.tracking.target.get());
        // What is there of what the last scale-out added counts as part of this one.
        let there = stride.map_or(0, |s| view.base.min(s.to).saturating_sub(s.from));
        (wants.saturating_sub(there), wants, view, seen)
    });
    // Of equals the first by name.
    let best = goals.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let Some((goal, wants, view, seen)) = best else { return Judgement::Rest };
    let current = service.desired_count;
    if goal <= current {
        return Judgement::Rest;
    }
    let saw = text::saw_high(view.tracking, &seen, view.base, wants);
    let policy = view.policy.key.clone();
    let to = goal.clamp(target.min, target.max.max(target.min)).min(MOST_TASKS);
    if to > current {
        return Judgement::Scale(Scale { policy, from: current, to, saw });
    }
    let why = NotScaled { max: Some(target.max), ..not_scaled(NotScaledCode::AtMax) };
    Judgement::NotScale(NotScale { policy, out: true, why, saw })
}

fn scale_in(
    state: &State,
    target: &ScalableTarget,
    service: &Service,
    views: &[View<'_>],
    now: Timestamp,
) -> Judgement {
    let current = service.desired_count;
    let settled = state.service_counts(&service.key) == (current, 0);
    if target.suspended.scale_in || !settled || pace::cooling_in(state, target, now) {
        return Judgement::Rest;
    }
    let Some(low) = lowest(views, current) else { return Judgement::Rest };
    let to = low.floor.max(target.min);
    let policy = low.view.policy.key.clone();
    let saw = text::saw_low(low.view.tracking, &low.seen, low.view.base, low.wants);
    let refuse = |why: NotScaled| {
        Judgement::NotScale(NotScale { policy: policy.clone(), out: false, why, saw: saw.clone() })
    };
    if to >= current {
        return match () {
            () if low.floor < current => {
                refuse(NotScaled { min: Some(target.min), ..not_scaled(NotScaledCode::AtMin) })
            }
            () if low.exact < current.max(target.min) => {
                refuse(not_scaled(NotScaledCode::AnticipatedFlapping))
            }
            () => Judgement::Rest,
        };
    }
    if deploying(service) {
        return refuse(not_scaled(NotScaledCode::Unscalable));
    }
    Judgement::Scale(Scale { policy, from: current, to, saw })
}

/// How low all policies would go.
struct Lowest<'v, 'a> {
    /// The one that may scale in and keeps most.
    view: &'v View<'a>,
    seen: Seen,
    /// What it wants.
    wants: u32,
    /// What all want, those too that do not scale in.
    floor: u32,
    /// What all would want if they went down to their targets.
    exact: u32,
}

/// None unless all policies that may scale in see that they may.
fn lowest<'v, 'a>(views: &'v [View<'a>], current: u32) -> Option<Lowest<'v, 'a>> {
    let mut best: Option<Lowest<'v, 'a>> = None;
    let (mut floor, mut exact) = (0, 0);
    for view in views {
        let target = view.tracking.target.get();
        if view.tracking.disable_scale_in {
            let highest = view.seen.map(|seen| seen.peak.map_or(seen.value, |p| p.max(seen.value)));
            let keeps = highest.map_or(0, |value| wanted(view.base, value, target));
            (floor, exact) = (floor.max(keeps), exact.max(keeps));
            continue;
        }
        let seen = view.seen?;
        let peak = seen.peak.filter(|_| view.base == current)?;
        let wants = wanted(view.base, peak, target * LOW);
        exact = exact.max(wanted(view.base, peak, target));
        floor = floor.max(wants);
        if best.as_ref().is_none_or(|best| wants > best.wants) {
            best = Some(Lowest { view, seen, wants, floor, exact });
        }
    }
    best.map(|best| Lowest { floor, exact, ..best })
}

pub(crate) const fn not_scaled(code: NotScaledCode) -> NotScaled {
    NotScaled { code, max: None, min: None, current: None }
}
