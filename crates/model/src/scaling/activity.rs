//! Scaling activities: what was done, and why; or why nothing was.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_ScalingActivity.html>

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{ScalingPolicyName, ServiceKey};

/// One thing that scaling did, or attempted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingActivity {
    /// Whose desired count or bounds it is about.
    pub service: ServiceKey,
    /// Its place in the service's history; it grows by one.
    pub number: u64,
    /// A UUID.
    pub id: String,
    /// The policy that led to it, if one did.
    pub policy: Option<ScalingPolicyName>,
    /// What was intended.
    pub description: String,
    /// What led to it, with what was seen.
    pub cause: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What became of it.
    pub status: ActivityStatus,
    /// The same in words.
    pub message: String,
    /// The desired count that it set, if it set one.
    pub desired: Option<u32>,
    /// Why nothing was done; empty if something was.
    pub not_scaled: Vec<NotScaled>,
}

impl ScalingActivity {
    /// So many activities of a service are kept; AWS keeps six weeks' worth.
    pub const KEPT: u64 = 200;

    /// Whether the service has yet to become what it set.
    pub fn is_open(&self) -> bool {
        self.status == ActivityStatus::InProgress
    }
}

/// What became of an activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActivityStatus {
    /// Done, and the service is not there yet.
    InProgress,
    /// Done, and the service is there.
    Successful,
    /// Another took its place before the service was there.
    Overridden,
    /// The service did not get there.
    Unfulfilled,
    /// Nothing was done.
    Failed,
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotScaled {
    /// The kind of reason.
    pub code: NotScaledCode,
    /// The upper bound, if it is about that.
    pub max: Option<u32>,
    /// The lower bound, if it is about that.
    pub min: Option<u32>,
    /// The desired count, if it is about that.
    pub current: Option<u32>,
}

/// AWS's kinds of reason why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotScaledCode {
    /// What would be taken away would be wanted back.
    AnticipatedFlapping,
    /// The service may not be scaled in at present: it is being deployed.
    Unscalable,
    /// There is no more.
    AtMax,
    /// There is no less.
    AtMin,
    /// It is already so.
    AtDesired,
}
