//! Scaling policies of groups: put, deleted, run.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html>

use std::sync::Arc;
use std::time::Duration;

use model::{
    AutoScalingGroup, CapacityChange, Change, GroupPolicy, GroupPolicyKey, GroupPolicyKind,
    GroupStride, Process, State,
};
use stdx::Timestamp;

use super::{live, put_group};
use crate::capacity::{CapacityRejection, GroupScale, NewGroupPolicy, PolicyRun, Trigger, words};
use crate::desk::Desk;
use crate::scaling::steps::{adjusted, adjusted_by, step_for};
use crate::{Rejection, Reply};

/// A quota of AWS.
const MOST_POLICIES: usize = 50;

pub(super) fn put(desk: &mut Desk<'_>, new: &NewGroupPolicy) -> Result<Reply, Rejection> {
    live(desk, &new.key.group)?;
    let book = desk.state.capacity();
    let before = book.policy(&new.key).cloned();
    if before.is_none() && book.policies_of(&new.key.group).count() >= MOST_POLICIES {
        let why = format!("A group can have at most {MOST_POLICIES} scaling policies.");
        return Err(CapacityRejection::Limit(why).into());
    }
    let mut kind = new.kind.clone();
    if let GroupPolicyKind::Tracking(tracking) = &mut kind {
        let old = before.as_ref().and_then(|before| before.tracking());
        tracking.alarm_ids = match old {
            Some(old) => old.alarm_ids.clone(),
            None => (desk.ids.uuid(), desk.ids.uuid()),
        };
    }
    let policy = GroupPolicy {
        key: new.key.clone(),
        id: before.as_ref().map_or_else(|| desk.ids.uuid(), |before| before.id.clone()),
        kind,
        enabled: new.enabled,
        warmup: new.warmup,
        created_at: before.as_ref().map_or(desk.now, |before| before.created_at),
        updated_at: desk.now,
    };
    desk.put(Change::Capacity(CapacityChange::PutGroupPolicy(Arc::new(policy))));
    Ok(Reply::Done)
}

pub(super) fn delete(desk: &mut Desk<'_>, key: &GroupPolicyKey) -> Result<Reply, Rejection> {
    find(desk, key)?;
    desk.put(Change::Capacity(CapacityChange::DeleteGroupPolicy(key.clone())));
    Ok(Reply::Done)
}

fn find(desk: &Desk<'_>, key: &GroupPolicyKey) -> Result<Arc<GroupPolicy>, CapacityRejection> {
    let found = desk.state.capacity().policy(key).cloned();
    found.ok_or_else(|| CapacityRejection::NoGroupPolicy(key.clone()))
}

fn not_done<T>(why: impl Into<String>) -> Result<T, CapacityRejection> {
    Err(CapacityRejection::NotDone(why.into()))
}

/// ExecutePolicy, or an alarm's order. What a cooldown, a suspension or the steps forbid is answered
/// with a sentence, for the alarm's history or the caller.
pub(super) fn run(desk: &mut Desk<'_>, run: &PolicyRun) -> Result<Reply, Rejection> {
    let group = live(desk, &run.policy.group)?;
    let policy = find(desk, &run.policy)?;
    open(desk.state, &group, &policy)?;
    let alarm = match &run.trigger {
        Trigger::Alarm(alarm) => Some(alarm.as_str()),
        Trigger::User { .. } => None,
    };
    if alarm.is_some() && !group.does(Process::AlarmNotification) {
        return Ok(not_done("AlarmNotification is suspended for the group.")?);
    }
    let current = group.desired;
    let (wants, cooldown) = match &policy.kind {
        GroupPolicyKind::Simple(simple) => {
            check_cooldown(desk.state, &group, &run.trigger, desk.now)?;
            let by = adjusted_by(simple.adjustment, simple.by, simple.min_magnitude, current);
            (by, simple.cooldown.unwrap_or(group.cooldown))
        }
        GroupPolicyKind::Steps(steps) => {
            let Some((value, threshold)) = run.breach else {
                return Ok(not_done(
                    "A step scaling policy needs MetricValue and BreachThreshold to choose a step \
                     adjustment.",
                )?);
            };
            let Some(step) = step_for(steps, value, threshold) else {
                return Ok(not_done("The metric is within no step adjustment of the policy.")?);
            };
            let wants = adjusted(steps, step, current);
            let warming = warming(&group, desk.now);
            // What nodes that warm up add counts as part of this step.
            let base = warming.map_or(current, |stride| stride.from.min(current));
            if wants > current && adjusted(steps, step, base) <= current {
                return Ok(not_done("Nodes that an earlier step started are warming up.")?);
            }
            if wants < current && warming.is_some() {
                return Ok(not_done("Nothing scales in while new nodes are warming up.")?);
            }
            (adjusted(steps, step, base), Duration::ZERO)
        }
        GroupPolicyKind::Tracking(_) => {
            return Ok(not_done("A target tracking policy watches its metric itself.")?);
        }
    };
    let to = wants.clamp(group.min, group.max.max(group.min));
    if to == current {
        return match alarm {
            Some(_) => Ok(not_done(format!(
                "The group has its desired capacity of {current} already, with the bounds {} and \
                 {}.",
                group.min, group.max
            ))?),
            None => Ok(Reply::Done),
        };
    }
    let name = &policy.key.name;
    let why = match alarm {
        Some(alarm) => words::alarm(desk.now, alarm, name, current, to),
        None => words::executed(desk.now, name, current, to),
    };
    go(desk, &group, &policy, to, why, cooldown);
    Ok(Reply::Done)
}

/// Whether policies may move the group at all.
fn open(
    state: &State,
    group: &AutoScalingGroup,
    policy: &GroupPolicy,
) -> Result<(), CapacityRejection> {
    if !policy.enabled {
        return not_done("The scaling policy is disabled.");
    }
    match state.capacity().provider_of(&group.name) {
        Some(provider) if provider.scaling.is_some() => not_done(format!(
            "The managed scaling of the capacity provider {} sets the group's size; disable it to \
             scale by policies.",
            provider.name
        )),
        Some(_) | None => Ok(()),
    }
}

fn go(
    desk: &mut Desk<'_>,
    group: &AutoScalingGroup,
    policy: &GroupPolicy,
    to: u32,
    why: String,
    cooldown: Duration,
) {
    let warmup = match &policy.kind {
        GroupPolicyKind::Simple(_) => Duration::ZERO,
        GroupPolicyKind::Steps(_) | GroupPolicyKind::Tracking(_) => {
            policy.warmup.unwrap_or(group.cooldown)
        }
    };
    let stride = GroupStride { at: desk.now, from: group.desired, to, cooldown, warmup };
    put_group(desk, AutoScalingGroup { desired: to, why, stride: Some(stride), ..group.clone() });
}

/// A target tracking policy moves the group.
pub(super) fn track(desk: &mut Desk<'_>, scale: &GroupScale) -> Result<Reply, Rejection> {
    let group = live(desk, &scale.policy.group)?;
    let policy = find(desk, &scale.policy).map_err(|_| Rejection::Stale)?;
    let allowed = open(desk.state, &group, &policy).is_ok();
    let bounded = (group.min..=group.max).contains(&scale.to);
    let same = group.desired == scale.from && scale.to != scale.from;
    let Some((high, low)) = policy.alarms() else { return Err(Rejection::Stale) };
    if !allowed || !bounded || !same || !group.does(Process::AlarmNotification) {
        return Err(Rejection::Stale);
    }
    let alarm = if scale.to > scale.from { high } else { low };
    let name = &policy.key.name;
    let why = words::alarm(desk.now, &alarm, name, scale.from, scale.to);
    go(desk, &group, &policy, scale.to, format!("{why}{} ", scale.saw), Duration::ZERO);
    Ok(Reply::Done)
}

/// The last stride out, while what it started is warming up.
fn warming(group: &AutoScalingGroup, now: Timestamp) -> Option<&GroupStride> {
    let stride = group.stride.as_ref().filter(|stride| stride.to > stride.from)?;
    (stride.at + stride.warmup > now).then_some(stride)
}

/// A cooldown is honoured by alarms, and by users who say so.
pub(super) fn check_cooldown(
    state: &State,
    group: &AutoScalingGroup,
    trigger: &Trigger,
    now: Timestamp,
) -> Result<(), CapacityRejection> {
    let Some(stride) = &group.stride else { return Ok(()) };
    let since = || state.capacity().activities(&group.name).filter(|a| a.began_at >= stride.at);
    let open = since().find(|activity| activity.ended_at.is_none());
    let why = match open {
        Some(open) => {
            format!("Scaling activity {} is in progress and blocks this action", open.id)
        }
        None => {
            let ended = since().filter_map(|activity| activity.ended_at).max();
            let until = ended.unwrap_or(stride.at) + stride.cooldown;
            if until <= now {
                return Ok(());
            }
            format!("The cooldown of the last scaling activity lasts until {until}")
        }
    };
    match trigger {
        Trigger::Alarm(_) => not_done(format!("{why}.")),
        Trigger::User { honor_cooldown: true } => Err(CapacityRejection::InProgress(why)),
        Trigger::User { honor_cooldown: false } => Ok(()),
    }
}
