//! What moves a group's size beside its users: scaling policies and scheduled actions.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/scale-your-group.html>

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{
    Adjustment, AutoScalingGroupName, Finite, GroupActionName, GroupPolicyName, Schedule,
    StepScaling, TrackedMetric,
};

/// Where a policy of a group is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupPolicyKey {
    /// Whose.
    pub group: AutoScalingGroupName,
    /// Its name.
    pub name: GroupPolicyName,
}

/// Where a scheduled action of a group is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupActionKey {
    /// Whose.
    pub group: AutoScalingGroupName,
    /// Its name.
    pub name: GroupActionName,
}

/// A scaling policy of a group.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_ScalingPolicy.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPolicy {
    /// Where it is found.
    pub key: GroupPolicyKey,
    /// A UUID, in its ARN.
    pub id: String,
    /// What it does.
    pub kind: GroupPolicyKind,
    /// Whether it acts at all.
    pub enabled: bool,
    /// So long a node that it started is not counted upon; the group's cooldown unless given. Simple
    /// policies have none.
    pub warmup: Option<Duration>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last put; what was measured for an earlier form of it does not count.
    pub updated_at: Timestamp,
}

/// What a policy of a group does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupPolicyKind {
    /// Moves by one amount, then waits for a cooldown.
    Simple(SimpleScaling),
    /// Moves by a step when an alarm tells it to. Its cooldown is none: see [`GroupPolicy::warmup`].
    Steps(StepScaling),
    /// Keeps a metric near a value.
    Tracking(GroupTracking),
}

/// One amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimpleScaling {
    /// What the number means.
    pub adjustment: Adjustment,
    /// By what.
    pub by: i32,
    /// Of percentages: at least so many nodes.
    pub min_magnitude: Option<u32>,
    /// How long nothing follows; the group's cooldown unless given.
    pub cooldown: Option<Duration>,
}

/// A policy that keeps a metric near a value. The metric is one of CloudWatch's, or an expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTracking {
    /// The value; above zero.
    pub target: Finite,
    /// The metric: [`TrackedMetric::Custom`] or [`TrackedMetric::Math`].
    pub metric: TrackedMetric,
    /// Whether it never scales in.
    pub disable_scale_in: bool,
    /// The two ids at the end of the names of its alarms.
    pub alarm_ids: (String, String),
}

/// New bounds for a group at a time.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_ScheduledUpdateGroupAction.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupAction {
    /// Where it is found.
    pub key: GroupActionKey,
    /// A UUID, in its ARN.
    pub id: String,
    /// How it recurs, as it was given: five fields.
    pub recurrence: Option<String>,
    /// The time zone of the recurrence where given, by its IANA name.
    pub zone: Option<String>,
    /// When it runs.
    pub schedule: Schedule,
    /// Not before; of an action that runs once, when.
    pub starts: Option<Timestamp>,
    /// Not after.
    pub ends: Option<Timestamp>,
    /// At least so many nodes from then on, where given.
    pub min: Option<u32>,
    /// At most so many nodes from then on, where given.
    pub max: Option<u32>,
    /// So many nodes then, where given.
    pub desired: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whatever was due until here has run.
    pub done_until: Timestamp,
}

/// The last time that a policy moved a group's size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStride {
    /// When.
    pub at: Timestamp,
    /// How many nodes were wanted before.
    pub from: u32,
    /// How many nodes were wanted then.
    pub to: u32,
    /// How long a simple policy waits after what came of it.
    pub cooldown: Duration,
    /// How long the nodes that it started are not counted upon.
    pub warmup: Duration,
}

impl GroupPolicy {
    /// How it tracks a target, if it does.
    pub const fn tracking(&self) -> Option<&GroupTracking> {
        match &self.kind {
            GroupPolicyKind::Tracking(tracking) => Some(tracking),
            GroupPolicyKind::Simple(_) | GroupPolicyKind::Steps(_) => None,
        }
    }

    /// The names of its two alarms, the one that scales out first, if it tracks a target.
    pub fn alarms(&self) -> Option<(String, String)> {
        let (high, low) = &self.tracking()?.alarm_ids;
        let name =
            |which: &str, id: &str| format!("TargetTracking-{}-Alarm{which}-{id}", self.key.group);
        Some((name("High", high), name("Low", low)))
    }
}

impl fmt::Display for GroupPolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.name)
    }
}

impl fmt::Display for GroupActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.name)
    }
}
