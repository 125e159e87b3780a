//! What makes services grow and shrink: scalable targets, scaling policies, scheduled actions, and
//! the activities that came of them.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/Welcome.html>
//!
//! A scalable target here is a service's desired count, so a service's key is its target's key.

mod activity;
mod arn;
mod book;
mod policy;
mod schedule;
mod target;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use activity::{ActivityStatus, NotScaled, NotScaledCode, ScalingActivity};
pub use book::{ScalingBook, ScalingChange};
pub use policy::{
    Adjustment, Aggregation, CustomMetric, MetricQuery, MetricStat, PolicyKind, QueryKind,
    ScalingPolicy, Step, StepScaling, TargetTracking, TrackedMetric,
};
pub use schedule::{Cron, DayOfMonth, DayOfWeek, Schedule, ScheduledAction};
pub use target::{ScalableTarget, Stride, Suspended};

use crate::ServiceKey;

stdx::ids! {
    /// The id of a scalable target, a UUID: it is in the ARNs of the target, its policies and its
    /// scheduled actions.
    ScalableTargetId;
    /// The name of a scaling policy, unique in its target.
    ScalingPolicyName;
    /// The name of a scheduled action, unique in its target.
    ScheduledActionName;
}

/// Where a scaling policy is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScalingPolicyKey {
    /// Whose desired count it changes.
    pub service: ServiceKey,
    /// Its name.
    pub name: ScalingPolicyName,
}

/// Where a scheduled action is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScheduledActionKey {
    /// Whose bounds it changes.
    pub service: ServiceKey,
    /// Its name.
    pub name: ScheduledActionName,
}

impl fmt::Display for ScalingPolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.name)
    }
}

impl fmt::Display for ScheduledActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.name)
    }
}

/// A finite number, such as a threshold. Unlike a float it equals itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Finite(f64);

impl Finite {
    /// The number, if it is one and finite.
    pub fn new(number: f64) -> Option<Self> {
        // Zero has one sign.
        number.is_finite().then_some(Self(number + 0.0))
    }

    /// Its value.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Finite {
    fn eq(&self, other: &Self) -> bool {
        self.0.total_cmp(&other.0).is_eq()
    }
}

impl Eq for Finite {}

impl PartialOrd for Finite {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Finite {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
