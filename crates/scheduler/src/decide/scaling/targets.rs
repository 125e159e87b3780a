//! Scalable targets: registered, changed, deregistered, tagged.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html>

use std::sync::Arc;

use model::{ScalableTarget, ScalingChange, ServiceKey, Suspended, Tags};

use super::{History, active, put, strides, target};
use crate::desk::Desk;
use crate::scaling::TargetBounds;
use crate::{Rejection, Reply, ScalingRejection, daemon, words};

/// RegisterScalableTarget. A desired count that is outside is moved to the nearer bound at once.
pub(super) fn register(desk: &mut Desk<'_>, bounds: &TargetBounds) -> Result<Reply, Rejection> {
    let key = &bounds.service;
    let service = active(desk, key).ok_or_else(|| ScalingRejection::NoService(key.clone()))?;
    if daemon::is(service) {
        return Err(invalid(words::DAEMON_SCALING));
    }
    let before = desk.state.scaling().target(key).cloned();
    let mut next = match &before {
        Some(before) => ScalableTarget::clone(before),
        None => found(desk, bounds)?,
    };
    next.min = bounds.min.unwrap_or(next.min);
    next.max = bounds.max.unwrap_or(next.max);
    check(next.min, next.max)?;
    if before.is_some() && bounds.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        return Err(invalid(
            "Tags can be given only when a scalable target is registered for the first time. Use \
             TagResource for one that exists.",
        ));
    }
    let suspended = &mut next.suspended;
    suspended.scale_in = bounds.suspend_in.unwrap_or(suspended.scale_in);
    suspended.scale_out = bounds.suspend_out.unwrap_or(suspended.scale_out);
    suspended.scheduled = bounds.suspend_scheduled.unwrap_or(suspended.scheduled);
    if before.is_none_or(|before| *before != next) {
        put(desk, ScalingChange::PutTarget(Arc::new(next.clone())));
    }
    let mut history = History::of(desk, key);
    strides::into_bounds(desk, &next, &mut history, None);
    Ok(Reply::Service(key.clone()))
}

fn found(desk: &mut Desk<'_>, bounds: &TargetBounds) -> Result<ScalableTarget, Rejection> {
    let (Some(min), Some(max)) = (bounds.min, bounds.max) else {
        return Err(invalid(
            "The minimum capacity and the maximum capacity must both be specified when a scalable \
             target is registered for the first time.",
        ));
    };
    let tags = bounds.tags.clone().unwrap_or_default();
    few_enough(&tags)?;
    Ok(ScalableTarget {
        service: bounds.service.clone(),
        id: desk.ids.uuid().into(),
        min,
        max,
        suspended: Suspended::default(),
        tags,
        created_at: desk.now,
        last_out: None,
        last_in: None,
    })
}

/// Bounds contradict each other.
pub(super) fn check(min: u32, max: u32) -> Result<(), ScalingRejection> {
    if min <= max { Ok(()) } else { Err(ScalingRejection::Bounds { min, max }) }
}

fn invalid(why: &str) -> Rejection {
    ScalingRejection::Invalid(why.to_owned()).into()
}

fn few_enough(tags: &Tags) -> Result<(), ScalingRejection> {
    if tags.0.len() <= Tags::MOST { Ok(()) } else { Err(ScalingRejection::TooManyTags) }
}

/// DeregisterScalableTarget. Its activities are still told.
pub(super) fn deregister(desk: &mut Desk<'_>, key: &ServiceKey) -> Result<Reply, Rejection> {
    target(desk, key)?;
    remove(desk, key);
    Ok(Reply::Done)
}

/// A service is deleted: its desired count does not scale any more.
pub(in crate::decide) fn remove(desk: &mut Desk<'_>, key: &ServiceKey) {
    let book = desk.state.scaling();
    if book.target(key).is_none() {
        return;
    }
    for policy in book.policies(key) {
        put(desk, ScalingChange::DeletePolicy(policy.key.clone()));
    }
    for action in book.actions(key) {
        put(desk, ScalingChange::DeleteAction(action.key.clone()));
    }
    put(desk, ScalingChange::DeleteTarget(key.clone()));
}

/// A deleted service is forgotten, and with it what scaling did.
pub(in crate::decide) fn forget(desk: &mut Desk<'_>, key: &ServiceKey) {
    remove(desk, key);
    if desk.state.scaling().activities(key).next().is_some() {
        put(desk, ScalingChange::DeleteActivities(key.clone()));
    }
}

/// TagResource.
pub(super) fn tag(desk: &mut Desk<'_>, key: &ServiceKey, tags: &Tags) -> Result<Reply, Rejection> {
    let before = target(desk, key)?;
    let tags = before.tags.clone().with(tags);
    few_enough(&tags)?;
    let next = ScalableTarget { tags, ..ScalableTarget::clone(before) };
    put(desk, ScalingChange::PutTarget(Arc::new(next)));
    Ok(Reply::Done)
}

/// UntagResource: keys that are not there are no error.
pub(super) fn untag(
    desk: &mut Desk<'_>,
    key: &ServiceKey,
    keys: &[String],
) -> Result<Reply, Rejection> {
    let mut next = ScalableTarget::clone(target(desk, key)?);
    next.tags.0.retain(|key, _| !keys.contains(key));
    put(desk, ScalingChange::PutTarget(Arc::new(next)));
    Ok(Reply::Done)
}
