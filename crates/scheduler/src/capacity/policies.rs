//! What may be asked of a group's scaling policies and scheduled actions, and when the latter are due.

use std::time::Duration;

use model::{GroupAction, GroupActionKey, GroupPolicyKey, GroupPolicyKind, Schedule};
use stdx::Timestamp;

use crate::scaling::{Calendar, next};

/// PutScalingPolicy. The ids of alarms are drawn by the decision.
#[derive(Clone, Debug, PartialEq)]
pub struct NewGroupPolicy {
    /// Where it will be found.
    pub key: GroupPolicyKey,
    /// What it does.
    pub kind: GroupPolicyKind,
    /// Whether it acts.
    pub enabled: bool,
    /// See [`model::GroupPolicy::warmup`].
    pub warmup: Option<Duration>,
}

/// ExecutePolicy, or an alarm's order.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRun {
    /// Which.
    pub policy: GroupPolicyKey,
    /// By whom.
    pub trigger: Trigger,
    /// The metric's value and the threshold, where they are known: step policies need both.
    pub breach: Option<(f64, f64)>,
}

/// Who has a policy run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// An alarm of this name. It honours cooldowns.
    Alarm(String),
    /// A user.
    User {
        /// Whether a cooldown is honoured.
        honor_cooldown: bool,
    },
}

/// A target tracking policy moves a group's size. What it relied on is checked again.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupScale {
    /// The policy that asks for most.
    pub policy: GroupPolicyKey,
    /// How many nodes were wanted when it looked.
    pub from: u32,
    /// How many it wants.
    pub to: u32,
    /// What it saw, as a sentence.
    pub saw: String,
}

/// PutScheduledUpdateGroupAction.
#[derive(Clone, Debug, PartialEq)]
pub struct NewGroupAction {
    /// Where it will be found.
    pub key: GroupActionKey,
    /// How it recurs: the five fields and the time zone as given, and both understood.
    pub recurrence: Option<(String, Option<String>, Schedule)>,
    /// Not before; without a recurrence, when.
    pub starts: Option<Timestamp>,
    /// Not after.
    pub ends: Option<Timestamp>,
    /// At least so many nodes.
    pub min: Option<u32>,
    /// At most so many nodes.
    pub max: Option<u32>,
    /// So many nodes.
    pub desired: Option<u32>,
}

/// When a group's scheduled action is due next, or since when it is. None if it will not be any more.
pub fn action_due(action: &GroupAction) -> Option<Timestamp> {
    next(&Calendar {
        schedule: &action.schedule,
        zone: action.zone.as_deref(),
        starts: action.starts,
        ends: action.ends,
        created_at: action.created_at,
        done_until: action.done_until,
    })
}
