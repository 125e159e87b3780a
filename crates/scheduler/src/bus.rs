//! The event bus: what may be asked of it, why that is refused, and which rules are due.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Operations.html>
//!
//! Patterns and targets come understood and in order: whoever asks has read them.

use std::time::Duration;

use model::{
    ApiDestination, ApiDestinationName, Connection, ConnectionName, Document, EventRule,
    EventRuleName, EventTarget, EventTargetId, RuleSchedule, Schedule, State, Tags,
};
use stdx::Timestamp;

use crate::scaling::{self, Calendar};

/// A schedule is accurate to the minute, so what is later than this is missed and left out for good.
pub const LATE: Duration = Duration::from_secs(60);

/// The most rules of a bus, a quota of AWS.
pub const MOST_RULES: usize = 300;
/// The most targets of a rule, a quota of AWS.
pub const MOST_TARGETS: usize = 5;
/// The most connections and the most API destinations, quotas of AWS.
pub const MOST_DESTINATIONS: usize = 3000;

/// A command of the event bus.
#[derive(Clone, Debug, PartialEq)]
pub enum BusCommand {
    // --- users ---
    /// PutRule: what is absent is so from now on; tags are those of a new rule only.
    PutRule(NewEventRule),
    /// EnableRule and DisableRule.
    SetRule {
        /// Which.
        name: EventRuleName,
        /// Whether it does anything from now on.
        enabled: bool,
    },
    /// DeleteRule: one without targets. One that is not there is no error.
    DeleteRule(EventRuleName),
    /// PutTargets: they take the places of those with the same ids.
    PutTargets(EventRuleName, Vec<EventTarget>),
    /// RemoveTargets. Ids that are not there are left to who asks.
    RemoveTargets(EventRuleName, Vec<EventTargetId>),
    /// TagResource: these win over those of the same key.
    Tag(EventRuleName, Tags),
    /// UntagResource.
    Untag(EventRuleName, Vec<String>),
    /// CreateConnection.
    CreateConnection(Connection),
    /// DeleteConnection: one that no API destination has.
    DeleteConnection(ConnectionName),
    /// CreateApiDestination.
    CreateDestination(ApiDestination),
    /// DeleteApiDestination.
    DeleteDestination(ApiDestinationName),

    // --- loops ---
    /// A rule's schedule is due.
    Fire(EventRuleName),
}

/// PutRule.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEventRule {
    /// Its name.
    pub name: EventRuleName,
    /// Which events it takes.
    pub pattern: Option<Document>,
    /// When it makes one: the expression, and the same understood.
    pub schedule: Option<(String, Schedule)>,
    /// Whether it does anything.
    pub enabled: bool,
    /// Anybody's note.
    pub description: Option<String>,
    /// A role for targets that name none.
    pub role: Option<String>,
    /// Its tags, if it is new.
    pub tags: Tags,
}

/// Why a command of the bus is refused. `Display` is AWS's sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusRejection {
    /// No such rule.
    #[error("Rule {0} does not exist on EventBus default.")]
    NoRule(EventRuleName),
    /// A rule with targets is not deleted.
    #[error("Rule can't be deleted since it has targets.")]
    HasTargets(EventRuleName),
    /// Too many of something.
    #[error("The requested resource exceeds the maximum number allowed: {0}.")]
    Limit(String),
    /// Too many tags.
    #[error("A rule can have at most {most} tags.", most = Tags::MOST)]
    TooManyTags,
    /// No such connection.
    #[error("Failed to describe the connection(s). Connection '{0}' does not exist.")]
    NoConnection(ConnectionName),
    /// No such API destination.
    #[error("Failed to describe the api-destination(s). An api-destination '{0}' does not exist.")]
    NoDestination(ApiDestinationName),
    /// A connection by that name is there.
    #[error("Connection {0} already exists.")]
    ConnectionExists(ConnectionName),
    /// An API destination by that name is there.
    #[error("An api-destination '{0}' already exists.")]
    DestinationExists(ApiDestinationName),
    /// The connection is that of an API destination.
    #[error("Connection {0} is used by the api-destination {1}; delete that first.")]
    ConnectionInUse(ConnectionName, ApiDestinationName),
}

/// When a rule makes its next event, or since when it should have. What is later than [`LATE`] is
/// missed, as with AWS.
pub fn due(rule: &EventRule, now: Timestamp) -> Option<Timestamp> {
    let schedule = rule.schedule.as_ref().filter(|_| rule.enabled)?;
    let RuleSchedule { schedule, since, done_until, .. } = schedule;
    let done_until = (*done_until).max(now - LATE);
    let (starts, ends, zone, created_at) = (None, None, None, *since);
    scaling::next(&Calendar { schedule, zone, starts, ends, created_at, done_until })
}

/// The rules that are due at an instant, and when the next one is.
pub fn watch(state: &State, now: Timestamp) -> (Vec<BusCommand>, Option<Timestamp>) {
    let mut commands = Vec::new();
    let mut next: Option<Timestamp> = None;
    for rule in state.bus().rules() {
        match due(rule, now) {
            Some(at) if at <= now => commands.push(BusCommand::Fire(rule.name.clone())),
            Some(at) => next = Some(next.map_or(at, |before| before.min(at))),
            None => {}
        }
    }
    (commands, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaling::parse_schedule;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn rule(expression: &str) -> EventRule {
        let since = at("2026-11-23T03:00:20Z");
        EventRule {
            name: "r".into(),
            pattern: None,
            schedule: Some(RuleSchedule {
                expression: expression.to_owned(),
                schedule: parse_schedule(expression, None).unwrap(),
                since,
                done_until: since,
                fired: None,
            }),
            enabled: true,
            description: None,
            role: None,
            tags: Tags::default(),
            created_at: since,
        }
    }

    #[test]
    fn a_schedule_is_due_in_time_and_missed_when_it_is_late() {
        for (expression, now, expected) in [
            ("rate(1 minute)", "2026-11-23T03:00:30Z", "2026-11-23T03:01:20Z"),
            ("rate(1 minute)", "2026-11-23T03:01:25Z", "2026-11-23T03:01:20Z"),
            // What was due while nobody looked is left out but for the newest.
            ("rate(1 minute)", "2026-11-23T05:00:00Z", "2026-11-23T04:59:20Z"),
            ("rate(5 minutes)", "2026-11-23T05:00:00Z", "2026-11-23T05:00:20Z"),
            ("cron(0 4 * * ? *)", "2026-11-23T04:00:59Z", "2026-11-23T04:00:00Z"),
            ("cron(0 4 * * ? *)", "2026-11-23T04:01:00Z", "2026-11-24T04:00:00Z"),
        ] {
            assert_eq!(due(&rule(expression), at(now)), Some(at(expected)), "{expression} {now}");
        }
        let disabled = EventRule { enabled: false, ..rule("rate(1 minute)") };
        assert_eq!(due(&disabled, at("2026-11-23T04:00:00Z")), None);
    }
}
