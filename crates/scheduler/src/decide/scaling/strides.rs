//! Changes of a desired count: by a policy, by an alarm, into bounds; and what became of them.

use std::cmp::Ordering;
use std::sync::Arc;

use model::{
    ActivityStatus, NotScaledCode, PolicyKind, ScalableTarget, ScalingActivity, ScalingChange,
    ScalingPolicyKey, ScalingPolicyName, ServiceKey, Stride,
};

use super::{Entry, History, active, put, target};
use crate::decide::MOST_TASKS;
use crate::desk::Desk;
use crate::scaling::{
    AlarmFired, Ending, NotScale, Scale, is_told, judge, open, pace, settles, steps, text,
};
use crate::{Rejection, Reply, ScalingRejection};

/// A target tracking policy moves the desired count, if what it saw still stands.
pub(super) fn scale(desk: &mut Desk<'_>, scale: &Scale) -> Result<Reply, Rejection> {
    let Scale { policy: key, from, to, saw } = scale;
    let found = target(desk, &key.service).map_err(|_| Rejection::Stale)?;
    let service = active(desk, &key.service).ok_or(Rejection::Stale)?;
    let policy = desk.state.scaling().policy(key).ok_or(Rejection::Stale)?;
    let (high, low) = policy.alarms().ok_or(Rejection::Stale)?;
    let out = to > from;
    let barred = if out {
        found.suspended.scale_out
    } else {
        found.suspended.scale_in
            || judge::deploying(service)
            || pace::cooling_in(desk.state, found, desk.now)
    };
    let bounded = (found.min..=found.max).contains(to);
    if service.desired_count != *from || to == from || barred || !bounded {
        return Err(Rejection::Stale);
    }
    let cause = text::alarm(if out { &high } else { &low }, &key.name, saw);
    stride(desk, found, key, *from, *to, cause);
    Ok(Reply::Service(key.service.clone()))
}

/// A change of the desired count by a policy.
fn stride(
    desk: &mut Desk<'_>,
    found: &ScalableTarget,
    key: &ScalingPolicyKey,
    from: u32,
    to: u32,
    cause: String,
) {
    let stride = Stride { at: desk.now, policy: key.name.clone(), from, to };
    let mut next = found.clone();
    if to > from {
        next.last_out = Some(stride);
    } else {
        next.last_in = Some(stride);
    }
    put(desk, ScalingChange::PutTarget(Arc::new(next)));
    let mut history = History::of(desk, &key.service);
    set(desk, &key.service, to, &mut history, Some(key.name.clone()), cause);
}

/// Moves a desired count that is outside its bounds to the nearer one.
pub(super) fn into_bounds(
    desk: &mut Desk<'_>,
    target: &ScalableTarget,
    history: &mut History,
    cause: Option<String>,
) {
    let Some(service) = active(desk, &target.service) else { return };
    let current = service.desired_count;
    let (to, why) = if current < target.min {
        (target.min, format!("minimum capacity was set to {}", target.min))
    } else if current > target.max {
        (target.max, format!("maximum capacity was set to {}", target.max))
    } else {
        return;
    };
    let cause = cause.map_or(why.clone(), |cause| format!("{cause}: {why}"));
    set(desk, &target.service, to, history, None, cause);
}

/// Sets the desired count, ends the activity that this overtakes, and tells of both.
fn set(
    desk: &mut Desk<'_>,
    key: &ServiceKey,
    to: u32,
    history: &mut History,
    policy: Option<ScalingPolicyName>,
    cause: String,
) {
    let now = desk.now;
    let Some(draft) = desk.draft(key) else { return };
    draft.desired_count = to;
    if let Some(primary) = draft.deployments.first_mut() {
        primary.desired_count = to;
        primary.updated_at = now;
    }
    draft.steady_since = None;
    draft.placement_failed_at = None;
    if let Some(before) = open(desk.state, key) {
        end(desk, before, Ending::Overridden { by: to });
    }
    desk.say(key, &text::event(to, &cause));
    let entry = Entry {
        policy,
        description: text::setting(to),
        cause,
        status: ActivityStatus::InProgress,
        message: text::waiting(to),
        desired: Some(to),
        not_scaled: Vec::new(),
    };
    history.add(desk, entry);
}

fn end(desk: &mut Desk<'_>, activity: &ScalingActivity, ending: Ending) {
    let desired = activity.desired.unwrap_or_default();
    let (status, message) = match ending {
        Ending::Fulfilled => (ActivityStatus::Successful, text::fulfilled(desired)),
        Ending::Overridden { by } => (ActivityStatus::Overridden, text::overridden(desired, by)),
        Ending::Unfulfilled { running } => {
            (ActivityStatus::Unfulfilled, text::unfulfilled(desired, running))
        }
    };
    let ended_at = Some(desk.now);
    let ended = ScalingActivity { status, message, ended_at, ..activity.clone() };
    put(desk, ScalingChange::PutActivity(Arc::new(ended)));
}

/// The service has become what an activity set, or will not.
pub(super) fn settle(desk: &mut Desk<'_>, key: &ServiceKey) -> Result<Reply, Rejection> {
    let activity = open(desk.state, key).ok_or(Rejection::Stale)?;
    let ending = settles(desk.state, activity, desk.now).ok_or(Rejection::Stale)?;
    end(desk, activity, ending);
    Ok(Reply::Done)
}

/// A target tracking policy would move the desired count, and may not: told, not too often.
pub(super) fn not_scale(desk: &mut Desk<'_>, not: &NotScale) -> Result<Reply, Rejection> {
    let key = &not.policy;
    let policy = desk.state.scaling().policy(key).ok_or(Rejection::Stale)?;
    let (high, low) = policy.alarms().ok_or(Rejection::Stale)?;
    if is_told(desk.state, not, desk.now) {
        return Err(Rejection::Stale);
    }
    let cause = text::alarm(if not.out { &high } else { &low }, &key.name, &not.saw);
    refuse(desk, key, cause, not.why);
    Ok(Reply::Done)
}

fn refuse(desk: &mut Desk<'_>, key: &ScalingPolicyKey, cause: String, why: model::NotScaled) {
    let mut history = History::of(desk, &key.service);
    let entry = Entry {
        policy: Some(key.name.clone()),
        description: "Attempting to scale due to alarm triggered".to_owned(),
        cause,
        status: ActivityStatus::Failed,
        message: match why.code {
            NotScaledCode::AtMax => "Already at max capacity",
            NotScaledCode::AtMin => "Already at min capacity",
            NotScaledCode::AtDesired => "Already at desired capacity",
            NotScaledCode::AnticipatedFlapping => "Fewer tasks would soon have to be more again",
            NotScaledCode::Unscalable => {
                "ECS does not scale in while a deployment of the service is in progress"
            }
        }
        .to_owned(),
        desired: None,
        not_scaled: vec![why],
    };
    history.add(desk, entry);
}

/// An alarm tells a step policy to act.
///
/// What its cooldown, a suspension or its steps forbid is answered with a sentence for the alarm's
/// history; bounds that leave no room are an activity too.
pub(super) fn alarm(desk: &mut Desk<'_>, fired: &AlarmFired) -> Result<Reply, Rejection> {
    let key = &fired.policy;
    let found = target(desk, &key.service)?;
    let policy = desk.state.scaling().policy(key);
    let policy = policy.ok_or_else(|| ScalingRejection::NoPolicy(key.clone()))?;
    let PolicyKind::Steps(steps) = &policy.kind else {
        return not_done("A target tracking policy watches its metric itself.");
    };
    let service = active(desk, &key.service);
    let service = service.ok_or_else(|| ScalingRejection::NoService(key.service.clone()))?;
    let Some(value) = fired.value else {
        return not_done("The alarm has no value, so that no step adjustment can be chosen.");
    };
    let Some(step) = steps::step_for(steps, value, fired.threshold) else {
        return not_done("The metric is within no step adjustment of the policy.");
    };
    let current = service.desired_count;
    let wants = steps::adjusted(steps, step, current);
    let saw = format!(
        "The metric was {}, the threshold {}; the step adjustment of {} makes {wants} of {current}.",
        text::number(value),
        text::number(fired.threshold),
        step.by,
    );
    let order =
        Order { found, key, current, cause: text::alarm(&fired.alarm, &key.name, &saw), saw };
    match wants.cmp(&current) {
        Ordering::Greater => {
            let cooling = pace::cooling_out(desk.state, found, desk.now);
            // What the scale-out that cools down added counts as part of this one.
            let base = cooling.map_or(current, |stride| stride.from.min(current));
            order.out(desk, steps::adjusted(steps, step, base))
        }
        Ordering::Less => order.inward(desk, wants, judge::deploying(service)),
        Ordering::Equal => order.refuse(desk, NotScaledCode::AtDesired),
    }
}

fn not_done(why: &str) -> Result<Reply, Rejection> {
    Err(ScalingRejection::NotDone(why.to_owned()).into())
}

/// What an alarm ordered.
struct Order<'a> {
    found: &'a ScalableTarget,
    key: &'a ScalingPolicyKey,
    current: u32,
    cause: String,
    saw: String,
}

impl Order<'_> {
    fn out(self, desk: &mut Desk<'_>, goal: u32) -> Result<Reply, Rejection> {
        if self.found.suspended.scale_out {
            return not_done("Scaling out is suspended.");
        }
        if goal <= self.current {
            return not_done("An earlier scale-out of as much is in its cooldown.");
        }
        let highest = self.found.max.min(MOST_TASKS);
        let to = goal.clamp(self.found.min.min(highest), highest);
        if to <= self.current {
            return self.refuse(desk, NotScaledCode::AtMax);
        }
        self.go(desk, to)
    }

    fn inward(self, desk: &mut Desk<'_>, goal: u32, deploying: bool) -> Result<Reply, Rejection> {
        if self.found.suspended.scale_in {
            return not_done("Scaling in is suspended.");
        }
        if pace::cooling_in(desk.state, self.found, desk.now) {
            return not_done("An earlier scale-in is in its cooldown.");
        }
        let to = goal.max(self.found.min);
        if to >= self.current {
            self.refuse(desk, NotScaledCode::AtMin)
        } else if deploying {
            self.refuse(desk, NotScaledCode::Unscalable)
        } else {
            self.go(desk, to)
        }
    }

    fn go(self, desk: &mut Desk<'_>, to: u32) -> Result<Reply, Rejection> {
        stride(desk, self.found, self.key, self.current, to, self.cause);
        Ok(Reply::Service(self.key.service.clone()))
    }

    fn refuse(self, desk: &mut Desk<'_>, code: NotScaledCode) -> Result<Reply, Rejection> {
        let mut why = judge::not_scaled(code);
        match code {
            NotScaledCode::AtMax => why.max = Some(self.found.max),
            NotScaledCode::AtMin => why.min = Some(self.found.min),
            NotScaledCode::AtDesired
            | NotScaledCode::AnticipatedFlapping
            | NotScaledCode::Unscalable => why.current = Some(self.current),
        }
        let not = NotScale { policy: self.key.clone(), out: false, why, saw: self.saw };
        if !is_told(desk.state, &not, desk.now) {
            refuse(desk, self.key, self.cause, why);
        }
        Ok(Reply::Done)
    }
}
