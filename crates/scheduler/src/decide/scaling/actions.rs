//! Scheduled actions: put, deleted, run.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_PutScheduledAction.html>

use std::sync::Arc;

use model::{ActivityStatus, ScalableTarget, ScalingChange, ScheduledAction, ScheduledActionKey};

use super::{Entry, History, put as change, strides, target, targets};
use crate::desk::Desk;
use crate::scaling::{MOST_ACTIONS, NewAction, due, text};
use crate::{Rejection, Reply, ScalingRejection};

fn invalid(why: &str) -> Rejection {
    ScalingRejection::Invalid(why.to_owned()).into()
}

/// PutScheduledAction. What was due before does not run again.
pub(super) fn put(desk: &mut Desk<'_>, new: &NewAction) -> Result<Reply, Rejection> {
    let key = &new.key;
    target(desk, &key.service)?;
    let book = desk.state.scaling();
    let before = book.action(key);
    if before.is_none() && book.actions(&key.service).count() >= MOST_ACTIONS {
        let why = format!("A scalable target can have at most {MOST_ACTIONS} scheduled actions.");
        return Err(ScalingRejection::Limit(why).into());
    }
    let kept = before.map(|b| (b.expression.clone(), b.zone.clone(), b.schedule.clone()));
    let schedule = new.schedule.clone().or(kept);
    let (expression, zone, schedule) = schedule
        .ok_or_else(|| invalid("Schedule must be specified for a new scheduled action."))?;
    let (min, max) = new.bounds.or(before.map(|b| (b.min, b.max))).unwrap_or_default();
    match (min, max) {
        (None, None) => {
            return Err(invalid(
                "ScalableTargetAction must specify a minimum capacity, a maximum capacity or both.",
            ));
        }
        (Some(min), Some(max)) => targets::check(min, max)?,
        _ => {}
    }
    if let (Some(starts), Some(ends)) = (new.starts, new.ends)
        && ends <= starts
    {
        return Err(invalid("The end time of a scheduled action must be after its start time."));
    }
    let action = ScheduledAction {
        key: key.clone(),
        expression,
        zone,
        schedule,
        starts: new.starts,
        ends: new.ends,
        min,
        max,
        created_at: before.map_or(desk.now, |b| b.created_at),
        done_until: desk.now,
    };
    if due(&action).is_none() {
        return Err(invalid(&format!(
            "The schedule {} of the scheduled action {} is over: no time of it is still to come.",
            action.expression, key.name
        )));
    }
    change(desk, ScalingChange::PutAction(Arc::new(action)));
    Ok(Reply::Done)
}

/// DeleteScheduledAction.
pub(super) fn delete(desk: &mut Desk<'_>, key: &ScheduledActionKey) -> Result<Reply, Rejection> {
    let action = desk.state.scaling().action(key);
    action.ok_or_else(|| ScalingRejection::NoAction(key.clone()))?;
    change(desk, ScalingChange::DeleteAction(key.clone()));
    Ok(Reply::Done)
}

/// A scheduled action is due: the bounds are what it says, and a desired count outside is moved.
pub(super) fn run(desk: &mut Desk<'_>, key: &ScheduledActionKey) -> Result<Reply, Rejection> {
    let action = desk.state.scaling().action(key).ok_or(Rejection::Stale)?;
    if due(action).is_none_or(|at| at > desk.now) {
        return Err(Rejection::Stale);
    }
    let done = ScheduledAction { done_until: desk.now, ..ScheduledAction::clone(action) };
    change(desk, ScalingChange::PutAction(Arc::new(done)));
    let Ok(before) = target(desk, &key.service) else { return Ok(Reply::Done) };
    if before.suspended.scheduled {
        return Ok(Reply::Done);
    }
    let (min, max) = (action.min.unwrap_or(before.min), action.max.unwrap_or(before.max));
    let mut history = History::of(desk, &key.service);
    let what = match (action.min, action.max) {
        (Some(min), Some(max)) => format!("min capacity to {min} and max capacity to {max}"),
        (Some(min), None) => format!("min capacity to {min}"),
        (None, Some(max)) => format!("max capacity to {max}"),
        (None, None) => return Ok(Reply::Done),
    };
    let possible = min <= max;
    let cause = text::scheduled(&key.name);
    let entry = Entry {
        policy: None,
        description: format!("Setting {what}"),
        cause: cause.clone(),
        status: if possible { ActivityStatus::Successful } else { ActivityStatus::Failed },
        message: if possible {
            format!("Successfully set {what}")
        } else {
            format!(
                "Failed to set {what}: the minimum would be {min} and the maximum {max}. Give the \
                 scheduled action both."
            )
        },
        desired: None,
        not_scaled: Vec::new(),
    };
    history.add(desk, entry);
    if possible {
        let next = ScalableTarget { min, max, ..ScalableTarget::clone(before) };
        change(desk, ScalingChange::PutTarget(Arc::new(next.clone())));
        strides::into_bounds(desk, &next, &mut history, Some(cause));
    }
    Ok(Reply::Done)
}
