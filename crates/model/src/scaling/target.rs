//! A scalable target: the bounds within which a service's desired count is moved.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_ScalableTarget.html>

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{ScalableTargetId, ScalingPolicyName, ServiceKey, Tags};

/// The desired count of a service, as something that scales.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalableTarget {
    /// Whose desired count it is.
    pub service: ServiceKey,
    /// In its ARN.
    pub id: ScalableTargetId,
    /// The fewest tasks to scale in to.
    pub min: u32,
    /// The most tasks to scale out to.
    pub max: u32,
    /// What does not happen at present.
    pub suspended: Suspended,
    /// Its tags.
    pub tags: Tags,
    /// When it was registered.
    pub created_at: Timestamp,
    /// The last time that a policy scaled out, for the cooldown.
    pub last_out: Option<Stride>,
    /// The last time that a policy scaled in, for the cooldown.
    pub last_in: Option<Stride>,
}

/// What of a target's scaling does not happen at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    /// Policies do not scale in.
    pub scale_in: bool,
    /// Policies do not scale out.
    pub scale_out: bool,
    /// Scheduled actions do not run.
    pub scheduled: bool,
}

/// One change of a desired count by a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stride {
    /// When.
    pub at: Timestamp,
    /// By which policy.
    pub policy: ScalingPolicyName,
    /// The desired count before.
    pub from: u32,
    /// The desired count after.
    pub to: u32,
}
