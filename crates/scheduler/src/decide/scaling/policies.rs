//! Scaling policies: put and deleted.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_PutScalingPolicy.html>

use std::sync::Arc;

use model::{PolicyKind, ScalingChange, ScalingPolicy, ScalingPolicyKey};

use super::{put as change, target};
use crate::desk::Desk;
use crate::scaling::{MOST_POLICIES, NewScalingPolicy};
use crate::{Rejection, Reply, ScalingRejection};

/// PutScalingPolicy: what it is, whole. Its type stays what it was.
pub(super) fn put(desk: &mut Desk<'_>, new: &NewScalingPolicy) -> Result<Reply, Rejection> {
    let key = &new.key;
    target(desk, &key.service)?;
    let book = desk.state.scaling();
    let before = book.policy(key);
    if before.is_none() && book.policies(&key.service).count() >= MOST_POLICIES {
        return Err(ScalingRejection::Limit(format!(
            "A scalable target can have at most {MOST_POLICIES} scaling policies."
        ))
        .into());
    }
    let mut kind = new.kind.clone();
    match (&mut kind, before.map(|before| &before.kind)) {
        (PolicyKind::TargetTracking(next), Some(PolicyKind::TargetTracking(before))) => {
            next.alarm_ids = before.alarm_ids.clone();
        }
        (PolicyKind::TargetTracking(next), None) => {
            next.alarm_ids = (desk.ids.uuid(), desk.ids.uuid());
        }
        (PolicyKind::Steps(_), Some(PolicyKind::Steps(_)) | None) => {}
        (_, Some(_)) => {
            return Err(ScalingRejection::Invalid(
                "The type of a scaling policy cannot be changed. Delete the policy and put another."
                    .to_owned(),
            )
            .into());
        }
    }
    if before.is_some_and(|before| before.kind == kind) {
        return Ok(Reply::Done);
    }
    let policy = ScalingPolicy {
        key: key.clone(),
        kind,
        created_at: before.map_or(desk.now, |before| before.created_at),
        updated_at: desk.now,
    };
    change(desk, ScalingChange::PutPolicy(Arc::new(policy)));
    Ok(Reply::Done)
}

/// DeleteScalingPolicy.
pub(super) fn delete(desk: &mut Desk<'_>, key: &ScalingPolicyKey) -> Result<Reply, Rejection> {
    let policy = desk.state.scaling().policy(key);
    policy.ok_or_else(|| ScalingRejection::NoPolicy(key.clone()))?;
    change(desk, ScalingChange::DeletePolicy(key.clone()));
    Ok(Reply::Done)
}
