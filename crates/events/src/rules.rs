//! Rules as the bus follows them: patterns that were read, and how patient each target is.

use serde_json::{Value, json};
use stdx::Timestamp;

use crate::pattern::Pattern;

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Which events it takes; none for one that only makes events of its own.
    pub pattern: Option<Pattern>,
    /// What is called.
    pub targets: Vec<Target>,
}

/// A target, as far as the bus knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id in the rule.
    pub id: String,
    /// So many attempts more than one are made.
    pub most_retries: u32,
    /// An event is given up when it is so many seconds old.
    pub most_seconds: u32,
}

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// The whole of it.
    pub document: Value,
    /// The one rule that it is for, if a rule has made it.
    pub only: Option<String>,
}

/// What an event says beside its detail.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html>
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// Its id, a UUID.
    pub id: String,
    /// What kind it is.
    pub detail_type: &'a str,
    /// Who made it, such as `aws.ecs`.
    pub source: &'a str,
    /// The account.
    pub account: &'a str,
    /// The region.
    pub region: &'a str,
    /// When it happened.
    pub time: Timestamp,
    /// ARNs of what it is about.
    pub resources: Vec<String>,
}

impl Envelope<'_> {
    /// The event with its detail.
    pub fn with(self, detail: Value) -> Event {
        let time = self.time.rfc3339();
        // The clock of envelopes shows seconds.
        let time = time.split('.').next().unwrap_or_default();
        let document = json!({
            "version": "0",
            "id": self.id,
            "detail-type": self.detail_type,
            "source": self.source,
            "account": self.account,
            "time": format!("{time}Z"),
            "region": self.region,
            "resources": self.resources,
            "detail": detail,
        });
        Event { id: self.id, document, only: None }
    }
}

impl Rule {
    /// Whether it takes an event.
    pub fn takes(&self, event: &Event) -> bool {
        match &event.only {
            Some(only) => *only == self.name,
            None => self.pattern.as_ref().is_some_and(|pattern| pattern.matches(&event.document)),
        }
    }
}
