//! Scheduled actions of groups: put, deleted, run when they are due.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-scheduled-scaling.html>

use std::sync::Arc;

use model::{
    AutoScalingGroup, CapacityChange, Change, GroupAction, GroupActionKey, NodeId, Process,
    Schedule,
};
use stdx::Timestamp;

use super::{Log, live};
use crate::capacity::{CapacityRejection, NewGroupAction, action_due, words};
use crate::desk::Desk;
use crate::{Rejection, Reply};

/// A quota of AWS.
const MOST_ACTIONS: usize = 125;

fn put_action(desk: &mut Desk<'_>, action: GroupAction) {
    desk.put(Change::Capacity(CapacityChange::PutGroupAction(Arc::new(action))));
}

fn invalid<T>(why: impl Into<String>) -> Result<T, CapacityRejection> {
    Err(CapacityRejection::Bounds(why.into()))
}

pub(super) fn put(desk: &mut Desk<'_>, news: &[NewGroupAction]) -> Result<Reply, Rejection> {
    for new in news {
        let action = made(desk, new)?;
        put_action(desk, action);
    }
    Ok(Reply::Done)
}

fn made(desk: &mut Desk<'_>, new: &NewGroupAction) -> Result<GroupAction, CapacityRejection> {
    live(desk, &new.key.group)?;
    let book = desk.state.capacity();
    let before = book.action(&new.key).cloned();
    let of_group = book.actions().filter(|action| action.key.group == new.key.group);
    if before.is_none() && of_group.count() >= MOST_ACTIONS {
        let why = format!("A group can have at most {MOST_ACTIONS} scheduled actions.");
        return Err(CapacityRejection::Limit(why));
    }
    if new.min.is_none() && new.max.is_none() && new.desired.is_none() {
        return invalid("At least one of MinSize, MaxSize and DesiredCapacity is required.");
    }
    match (new.min, new.max) {
        (Some(min), Some(max)) if min > max => {
            return invalid(format!(
                "Max bound, {max}, must be greater than or equal to min bound, {min}"
            ));
        }
        _ => {}
    }
    if let (Some(starts), Some(ends)) = (new.starts, new.ends)
        && ends <= starts
    {
        return invalid("EndTime must be after StartTime.");
    }
    let (recurrence, zone, schedule) = match (&new.recurrence, new.starts) {
        (Some((text, zone, schedule)), _) => (Some(text.clone()), zone.clone(), schedule.clone()),
        (None, Some(at)) => (None, None, Schedule::At(at)),
        (None, None) => return invalid("StartTime or Recurrence is required."),
    };
    let action = GroupAction {
        key: new.key.clone(),
        id: before.as_ref().map_or_else(|| desk.ids.uuid(), |before| before.id.clone()),
        recurrence,
        zone,
        schedule,
        starts: new.starts,
        ends: new.ends,
        min: new.min,
        max: new.max,
        desired: new.desired,
        created_at: before.as_ref().map_or(desk.now, |before| before.created_at),
        done_until: desk.now,
    };
    match action_due(&action) {
        Some(_) => Ok(action),
        None => invalid("Given start time is in the past"),
    }
}

pub(super) fn delete(desk: &mut Desk<'_>, key: &GroupActionKey) -> Result<Reply, Rejection> {
    let found = desk.state.capacity().action(key);
    found.ok_or_else(|| CapacityRejection::NoGroupAction(key.clone()))?;
    desk.put(Change::Capacity(CapacityChange::DeleteGroupAction(key.clone())));
    Ok(Reply::Done)
}

/// Runs what is due of a group's actions: the group as it is then, and when the next is due. One that
/// is never due again is gone, as on AWS.
pub(super) fn run_due(
    desk: &mut Desk<'_>,
    log: &mut Log,
    group: &AutoScalingGroup,
) -> (AutoScalingGroup, Option<Timestamp>) {
    let actions = desk.state.capacity().actions().filter(|a| a.key.group == group.name);
    let mut due: Vec<(Timestamp, Arc<GroupAction>)> = Vec::new();
    let mut next: Option<Timestamp> = None;
    let mut sooner = |at: Timestamp| next = Some(next.map_or(at, |before| before.min(at)));
    for action in actions.cloned() {
        match action_due(&action) {
            Some(at) if at <= desk.now => due.push((at, action)),
            Some(at) => sooner(at),
            None => {}
        }
    }
    due.sort_by_key(|(at, action)| (*at, action.key.clone()));
    let mut group = group.clone();
    for (_, action) in due {
        let done = GroupAction { done_until: desk.now, ..GroupAction::clone(&action) };
        match action_due(&done) {
            Some(at) => {
                sooner(at);
                put_action(desk, done);
            }
            None => {
                let key = action.key.clone();
                desk.put(Change::Capacity(CapacityChange::DeleteGroupAction(key)));
            }
        }
        if group.does(Process::ScheduledActions) && !group.deleting {
            set(desk, log, &mut group, &action);
        }
    }
    (group, next)
}

/// The bounds are what the action says, as far as they go together; the desired capacity follows.
fn set(desk: &mut Desk<'_>, log: &mut Log, group: &mut AutoScalingGroup, action: &GroupAction) {
    let min = action.min.unwrap_or(group.min);
    let max = action.max.unwrap_or(group.max);
    if min > max {
        let what = "Updating the AutoScalingGroup by a scheduled action".to_owned();
        let cause = words::executed_action(desk.now, &action.key.name);
        let failure = words::impossible(min, max);
        log.failed(desk, NodeId::from(""), what, cause, failure);
        return;
    }
    let desired = action.desired.unwrap_or(group.desired).clamp(min, max);
    let before = (group.min, group.max, group.desired);
    let why = words::scheduled(desk.now, &action.key.name, before, (min, max, desired));
    if desired != group.desired {
        group.why = why;
    }
    (group.min, group.max, group.desired) = (min, max, desired);
    super::put_group(desk, group.clone());
}
