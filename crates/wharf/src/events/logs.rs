//! Log groups as targets.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html>

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use events::{Delivery, Outcome};
use serde_json::Value;
use stdx::Timestamp;
use telemetry::{InputEvent, Logs, LogsError};

/// The most bytes of one call.
const TOGETHER: usize = 900_000;

/// Writes events into log groups.
#[derive(Debug)]
pub(super) struct LogTargets(pub(super) Arc<Logs>);

impl LogTargets {
    /// Puts what a group is told, in order: an outcome for each.
    pub(super) async fn put(&self, arn: &str, told: &[(&Delivery, String)]) -> Vec<Outcome> {
        let group = match self.0.group_name(arn) {
            Ok(group) => group,
            Err(error) => {
                return told.iter().map(|_| Outcome::Refused(error.to_string())).collect();
            }
        };
        let mut outcomes = Vec::new();
        let mut rest = told;
        while let Some((first, _)) = rest.first() {
            let mut bytes = 0;
            let fits = |(_, text): &&(&Delivery, String)| {
                bytes += text.len() + 26;
                bytes <= TOGETHER
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (now, later) = rest.split_at(count);
            let mut events: Vec<InputEvent> =
                now.iter().map(|(delivery, text)| input(delivery.came, text)).collect();
            events.sort_by_key(|event| event.timestamp);
            let outcome = self.write(&group, &stream(first), events).await;
            let failed = matches!(outcome, Outcome::Failed(_));
            if failed {
                outcomes.push(outcome);
                break;
            }
            outcomes.extend(now.iter().map(|_| outcome.clone()));
            rest = later;
        }
        outcomes
    }

    async fn write(&self, group: &str, stream: &str, events: Vec<InputEvent>) -> Outcome {
        match self.0.put_events(group, stream, events.clone()).await {
            Ok(_) => return Outcome::Done,
            Err(LogsError::NotFound { .. }) => {}
            Err(error) => return outcome(&error),
        }
        match self.0.create_stream(group, stream).await {
            Ok(()) | Err(LogsError::AlreadyExists { .. }) => {}
            Err(error) => return outcome(&error),
        }
        match self.0.put_events(group, stream, events).await {
            Ok(_) => Outcome::Done,
            Err(error) => outcome(&error),
        }
    }
}

/// A group that is not there, or an event that is no log event, will not do better later.
fn outcome(error: &LogsError) -> Outcome {
    match error {
        LogsError::NotFound { .. } | LogsError::InvalidParameter { .. } => {
            Outcome::Refused(error.to_string())
        }
        _ => Outcome::Failed(stdx::chain(error)),
    }
}

/// The stream of a target: a UUID of its own, as EventBridge names them.
fn stream(delivery: &Delivery) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, &delivery.rule, &delivery.target).hash(&mut hasher);
        hasher.finish()
    };
    let (high, low) = (half(1), half(2));
    format!(
        "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

/// A log event: `{"timestamp": …, "message": …}` if the target's template makes that, else what it is
/// told.
fn input(came: Timestamp, text: &str) -> InputEvent {
    let plain = || InputEvent { timestamp: came, message: text.to_owned() };
    let Ok(Value::Object(members)) = serde_json::from_str(text) else { return plain() };
    let (Some(at), Some(message)) = (members.get("timestamp"), members.get("message")) else {
        return plain();
    };
    if members.len() != 2 {
        return plain();
    }
    let timestamp = at.as_i64().map(Timestamp::from_millis);
    let timestamp = timestamp.or_else(|| Timestamp::parse(at.as_str()?)).unwrap_or(came);
    let message = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
    InputEvent { timestamp, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_may_say_when_and_what() {
        let at = |text| Timestamp::parse(text).unwrap();
        let came = at("2026-11-23T03:00:00Z");
        for (text, when, message) in [
            ("{\"a\":1}", came, "{\"a\":1}"),
            ("plain", came, "plain"),
            (r#"{"timestamp":1000,"message":"m"}"#, Timestamp::from_millis(1000), "m"),
            (
                r#"{"timestamp":"2026-11-23T02:00:00Z","message":{"b":2}}"#,
                at("2026-11-23T02:00:00Z"),
                "{\"b\":2}",
            ),
            (
                r#"{"timestamp":1,"message":"m","more":1}"#,
                came,
                r#"{"timestamp":1,"message":"m","more":1}"#,
            ),
        ] {
            let event = input(came, text);
            assert_eq!((event.timestamp, event.message.as_str()), (when, message));
        }
    }
}
