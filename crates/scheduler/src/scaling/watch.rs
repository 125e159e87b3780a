//! What ought to happen about scaling now, as commands that are checked again when they commit.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{
    PolicyKind, ScalableTarget, ScalingActivity, ScalingPolicy, ScalingPolicyKey, Service,
    ServiceStatus, State,
};
use stdx::Timestamp;

use super::judge::{self, Judgement, View};
use super::metric::{self, Ask};
use super::window::{self, Points};
use super::{NotScale, ScalingCommand, schedule};

/// What is known of the metric of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Whose.
    pub policy: ScalingPolicyKey,
    /// Its data points.
    pub points: Points,
}

/// The same refusal by the same policy is told again after so long.
const REPEAT: Duration = Duration::from_secs(300);
/// A service that has not become what an activity set after so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// Whether there is nothing that time or metrics could move.
pub fn is_idle(state: &State) -> bool {
    let book = state.scaling();
    let tracks = || book.all_policies().any(|policy| policy.tracking().is_some());
    let waits = || book.targets().any(|t| open(state, &t.service).is_some());
    book.all_actions().next().is_none() && !tracks() && !waits()
}

/// How far back to look for data points: first a little, then, if that showed little, further.
pub fn looks() -> [Duration; 2] {
    [window::GLANCE, window::LOOK]
}

/// Whether what a first look showed is enough.
pub fn enough(points: &Points) -> bool {
    window::is_dense(points)
}

/// Which metrics the target tracking policies have to be told now.
pub fn asks(state: &State) -> Vec<Ask> {
    let tracking = state.scaling().all_policies().filter_map(|policy| {
        let tracking = policy.tracking()?;
        let service = active(state, policy)?;
        // Without a task that runs there is nothing to scale by.
        (judge::base(state, service, &tracking.metric) > 0).then(|| {
            let (question, period) = metric::question(&service.key, &tracking.metric);
            Ask { policy: policy.key.clone(), question, period }
        })
    });
    tracking.collect()
}

fn active<'a>(state: &'a State, policy: &ScalingPolicy) -> Option<&'a Service> {
    let service = state.service(&policy.key.service)?;
    (service.status == ServiceStatus::Active).then_some(&**service)
}

/// What ought to happen, by the clock and by what the metrics are.
pub fn watch(state: &State, now: Timestamp, answers: &[Answer]) -> Vec<ScalingCommand> {
    let answers: BTreeMap<&ScalingPolicyKey, &Points> =
        answers.iter().map(|answer| (&answer.policy, &answer.points)).collect();
    let mut commands = Vec::new();
    for action in state.scaling().all_actions() {
        if schedule::due(action).is_some_and(|at| at <= now) {
            commands.push(ScalingCommand::RunAction(action.key.clone()));
        }
    }
    for target in state.scaling().targets() {
        if open(state, &target.service).is_some_and(|it| settles(state, it, now).is_some()) {
            commands.push(ScalingCommand::Settle(target.service.clone()));
        }
        commands.extend(track(state, target, &answers, now));
    }
    commands
}

/// What the target tracking policies of a target want.
fn track(
    state: &State,
    target: &ScalableTarget,
    answers: &BTreeMap<&ScalingPolicyKey, &Points>,
    now: Timestamp,
) -> Option<ScalingCommand> {
    let service = state.service(&target.service)?;
    if service.status != ServiceStatus::Active {
        return None;
    }
    let views: Vec<View<'_>> = state
        .scaling()
        .policies(&target.service)
        .filter_map(|policy| {
            let PolicyKind::TargetTracking(tracking) = &policy.kind else { return None };
            let base = judge::base(state, service, &tracking.metric);
            let points = answers.get(&policy.key).copied();
            let seen = points.filter(|_| base > 0).and_then(|points| {
                let since = judge::since(state, service, policy);
                let totals = metric::totals(&tracking.metric);
                let target = tracking.target.get();
                window::look(points, totals, (target, target * judge::LOW), now, since)
            });
            Some(View { policy, tracking, base, seen })
        })
        .collect();
    if views.is_empty() {
        return None;
    }
    match judge::judge(state, target, service, &views, now) {
        Judgement::Rest => None,
        Judgement::Scale(scale) => Some(ScalingCommand::Scale(scale)),
        Judgement::NotScale(not) if is_told(state, &not, now) => None,
        Judgement::NotScale(not) => Some(ScalingCommand::NotScale(not)),
    }
}

/// Whether it has been told not long ago that a policy may not scale, for the same reason.
pub(crate) fn is_told(state: &State, not: &NotScale, now: Timestamp) -> bool {
    state
        .scaling()
        .activities(&not.policy.service)
        .take_while(|activity| {
            !activity.not_scaled.is_empty() && activity.started_at + REPEAT > now
        })
        .any(|activity| {
            activity.policy.as_ref() == Some(&not.policy.name)
                && activity.not_scaled.iter().any(|why| why.code == not.why.code)
        })
}

/// The activity that the service has yet to follow.
pub(crate) fn open<'a>(
    state: &'a State,
    service: &model::ServiceKey,
) -> Option<&'a ScalingActivity> {
    // At most one is open, and it is the newest that did something.
    let mut done = state.scaling().activities(service).filter(|a| a.desired.is_some());
    done.next().map(|activity| &**activity).filter(|activity| activity.is_open())
}

/// How an open activity ends, if it does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The service is as it was to be.
    Fulfilled,
    /// Somebody has set another desired count.
    Overridden {
        /// This.
        by: u32,
    },
    /// Time is over.
    Unfulfilled {
        /// So many tasks run.
        running: u32,
    },
}

pub(crate) fn settles(state: &State, activity: &ScalingActivity, now: Timestamp) -> Option<Ending> {
    let desired = activity.desired?;
    let (running, pending) = state.service_counts(&activity.service);
    let service = state.service(&activity.service);
    let Some(service) = service.filter(|s| s.status == ServiceStatus::Active) else {
        return Some(Ending::Overridden { by: 0 });
    };
    if service.desired_count != desired {
        return Some(Ending::Overridden { by: service.desired_count });
    }
    if (running, pending) == (desired, 0) {
        return Some(Ending::Fulfilled);
    }
    (activity.started_at + PATIENCE <= now).then_some(Ending::Unfulfilled { running })
}
