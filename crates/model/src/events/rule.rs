//! Rules: which events, or when, and what is then called.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Rule.html>

use std::fmt;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{Document, EventRuleName, EventTargetId, Schedule, Tags};

/// A rule of the default bus. It has a pattern, a schedule or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRule {
    /// Its name.
    pub name: EventRuleName,
    /// Which events it takes, as it was given.
    pub pattern: Option<Document>,
    /// When it makes an event of its own.
    pub schedule: Option<RuleSchedule>,
    /// Whether it does anything.
    pub enabled: bool,
    /// Anybody's note.
    pub description: Option<String>,
    /// The ARN of a role for targets that name none.
    pub role: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Timestamp,
}

/// When a rule makes an event of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSchedule {
    /// As it was given: `rate(…)` or `cron(…)`.
    pub expression: String,
    /// The same, understood. Its calendar is UTC's.
    pub schedule: Schedule,
    /// Since when it counts: when it was given, or when the rule was last enabled.
    pub since: Timestamp,
    /// Whatever was due until here has fired or is left out for good.
    pub done_until: Timestamp,
    /// The newest instant that fired.
    pub fired: Option<Timestamp>,
}

/// Where a target is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventTargetKey {
    /// Its rule.
    pub rule: EventRuleName,
    /// Its id in the rule.
    pub id: EventTargetId,
}

impl fmt::Display for EventTargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.rule, self.id)
    }
}

/// What a rule calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTarget {
    /// Where it is found.
    pub key: EventTargetKey,
    /// What is called: a log group, a cluster, an API destination.
    pub arn: String,
    /// The whole of it, as it was given.
    pub document: Document,
}
