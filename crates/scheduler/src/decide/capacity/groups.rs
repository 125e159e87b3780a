//! Auto Scaling groups as users have them, and how their nodes are started.

use std::sync::Arc;

use model::{
    AutoScalingGroup, AutoScalingGroupName, CapacityChange, Change, GroupTag, LaunchConfiguration,
    LaunchConfigurationName, LaunchSource, Process,
};

use super::templates::check_source;
use super::{live, policies, put_group};
use crate::capacity::{CapacityRejection, GroupUpdate, NewGroup, NewLaunch, Trigger, words};
use crate::desk::Desk;
use crate::{Rejection, Reply};

pub(super) fn create_launch(desk: &mut Desk<'_>, new: &NewLaunch) -> Result<Reply, Rejection> {
    if desk.state.capacity().launch(&new.name).is_some() {
        return Err(CapacityRejection::LaunchExists(new.name.clone()).into());
    }
    let launch = LaunchConfiguration {
        name: new.name.clone(),
        image: new.image.clone(),
        instance_type: new.instance_type.clone(),
        user_data: new.user_data.clone(),
        cluster: new.cluster.clone(),
        created_at: desk.now,
    };
    desk.put(Change::Capacity(CapacityChange::PutLaunch(Arc::new(launch))));
    Ok(Reply::Done)
}

pub(super) fn delete_launch(
    desk: &mut Desk<'_>,
    name: &LaunchConfigurationName,
) -> Result<Reply, Rejection> {
    let book = desk.state.capacity();
    if book.launch(name).is_none() {
        return Err(CapacityRejection::NoLaunch(name.clone()).into());
    }
    let source = LaunchSource::Configuration(name.clone());
    if let Some(group) = book.groups().find(|group| group.launch == source) {
        return Err(CapacityRejection::LaunchInUse(name.clone(), group.name.clone()).into());
    }
    desk.put(Change::Capacity(CapacityChange::DeleteLaunch(name.clone())));
    Ok(Reply::Done)
}

pub(super) fn create(desk: &mut Desk<'_>, new: &NewGroup) -> Result<Reply, Rejection> {
    if desk.state.capacity().group(&new.name).is_some() {
        return Err(CapacityRejection::GroupExists(new.name.clone()).into());
    }
    check_source(desk, &new.launch)?;
    let desired = new.desired.unwrap_or(new.min);
    check(new.min, desired, new.max)?;
    let group = AutoScalingGroup {
        name: new.name.clone(),
        id: desk.ids.uuid(),
        launch: new.launch.clone(),
        min: new.min,
        max: new.max,
        desired,
        zones: new.zones.clone(),
        subnets: new.subnets.clone(),
        cooldown: new.cooldown,
        health_grace: new.health_grace,
        protect_new: new.protect_new,
        suspended: std::collections::BTreeSet::new(),
        hooks: new.hooks.clone(),
        tags: new.tags.clone(),
        deleting: false,
        created_at: desk.now,
        why: words::founded(desk.now, (new.min, new.max, desired)),
        stride: None,
    };
    put_group(desk, group);
    Ok(Reply::Done)
}

/// Whether the numbers of a group go together.
fn check(min: u32, desired: u32, max: u32) -> Result<(), CapacityRejection> {
    if min > max {
        let why = format!("Max bound, {max}, must be greater than or equal to min bound, {min}");
        return Err(CapacityRejection::Bounds(why));
    }
    if desired < min || desired > max {
        return Err(CapacityRejection::Bounds(format!(
            "Desired capacity:{desired} must be between the specified min size:{min} and max \
             size:{max}"
        )));
    }
    Ok(())
}

pub(super) fn update(desk: &mut Desk<'_>, update: &GroupUpdate) -> Result<Reply, Rejection> {
    let Some(name) = &update.name else { return Err(Rejection::Stale) };
    let mut next = AutoScalingGroup::clone(&*live(desk, name)?);
    let before = next.desired;
    if let Some(launch) = &update.launch {
        check_source(desk, launch)?;
        next.launch = launch.clone();
    }
    next.min = update.min.unwrap_or(next.min);
    next.max = update.max.unwrap_or(next.max);
    // Bounds carry the desired capacity with them, unless it is given too.
    let carried = next.desired.clamp(next.min, next.max.max(next.min));
    next.desired = update.desired.unwrap_or(carried);
    check(next.min, next.desired, next.max)?;
    if next.desired != before {
        next.why = words::updated(desk.now, (next.min, next.max), before, next.desired);
    }
    if let Some(zones) = &update.zones {
        next.zones.clone_from(zones);
    }
    if let Some(subnets) = &update.subnets {
        next.subnets.clone_from(subnets);
    }
    next.cooldown = update.cooldown.unwrap_or(next.cooldown);
    next.health_grace = update.health_grace.unwrap_or(next.health_grace);
    next.protect_new = update.protect_new.unwrap_or(next.protect_new);
    put_group(desk, next);
    Ok(Reply::Done)
}

/// With force it goes when its nodes have ended.
pub(super) fn delete(
    desk: &mut Desk<'_>,
    name: &AutoScalingGroupName,
    force: bool,
) -> Result<Reply, Rejection> {
    let group = live(desk, name)?;
    let book = desk.state.capacity();
    if let Some(provider) = book.provider_of(name) {
        let provider = provider.name.clone();
        return Err(CapacityRejection::GroupHasProvider(name.clone(), provider).into());
    }
    let empty = book.nodes(name).next().is_none();
    if empty {
        forget(desk, name);
        return Ok(Reply::Done);
    }
    if !force {
        return Err(CapacityRejection::GroupHasNodes(name.clone()).into());
    }
    let next =
        AutoScalingGroup { min: 0, desired: 0, deleting: true, ..AutoScalingGroup::clone(&group) };
    put_group(desk, next);
    Ok(Reply::Done)
}

/// A group without nodes goes, and what is of it alone.
pub(super) fn forget(desk: &mut Desk<'_>, name: &AutoScalingGroupName) {
    let book = desk.state.capacity();
    let policies: Vec<_> = book.policies_of(name).map(|policy| policy.key.clone()).collect();
    let actions = book.actions().filter(|action| action.key.group == *name);
    let actions: Vec<_> = actions.map(|action| action.key.clone()).collect();
    for key in policies {
        desk.put(Change::Capacity(CapacityChange::DeleteGroupPolicy(key)));
    }
    for key in actions {
        desk.put(Change::Capacity(CapacityChange::DeleteGroupAction(key)));
    }
    desk.put(Change::Capacity(CapacityChange::DeleteGroup(name.clone())));
}

pub(super) fn set_desired(
    desk: &mut Desk<'_>,
    name: &AutoScalingGroupName,
    desired: u32,
    honor_cooldown: bool,
) -> Result<Reply, Rejection> {
    let group = live(desk, name)?;
    policies::check_cooldown(desk.state, &group, &Trigger::User { honor_cooldown }, desk.now)?;
    let beyond = match desired {
        _ if desired > group.max => Some(("above max", group.max)),
        _ if desired < group.min => Some(("below min", group.min)),
        _ => None,
    };
    if let Some((side, bound)) = beyond {
        let why = format!(
            "New SetDesiredCapacity value {desired} is {side} value {bound} for the \
             AutoScalingGroup."
        );
        return Err(CapacityRejection::Bounds(why).into());
    }
    if desired != group.desired {
        let why = words::set_by_user(desk.now, group.desired, desired);
        put_group(desk, AutoScalingGroup { desired, why, ..AutoScalingGroup::clone(&group) });
    }
    Ok(Reply::Done)
}

pub(super) fn suspend(
    desk: &mut Desk<'_>,
    name: &AutoScalingGroupName,
    processes: &[Process],
    suspended: bool,
) -> Result<Reply, Rejection> {
    let mut next = AutoScalingGroup::clone(&*live(desk, name)?);
    for process in processes {
        if suspended {
            next.suspended.insert(*process);
        } else {
            next.suspended.remove(process);
        }
    }
    put_group(desk, next);
    Ok(Reply::Done)
}

pub(super) fn put_tags(
    desk: &mut Desk<'_>,
    name: &AutoScalingGroupName,
    tags: &[GroupTag],
) -> Result<Reply, Rejection> {
    let mut next = AutoScalingGroup::clone(&*live(desk, name)?);
    next.tags.retain(|old| tags.iter().all(|new| new.key != old.key));
    next.tags.extend(tags.iter().cloned());
    put_group(desk, next);
    Ok(Reply::Done)
}

pub(super) fn delete_tags(
    desk: &mut Desk<'_>,
    name: &AutoScalingGroupName,
    keys: &[String],
) -> Result<Reply, Rejection> {
    let mut next = AutoScalingGroup::clone(&*live(desk, name)?);
    next.tags.retain(|tag| !keys.contains(&tag.key));
    put_group(desk, next);
    Ok(Reply::Done)
}
