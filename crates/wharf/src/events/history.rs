//! The history: every event is kept in a log group, for so many days.

use std::collections::BTreeMap;
use std::sync::Arc;

use events::{Event, Keeps, Kept};
use shell::Clock;
use telemetry::{InputEvent, Logs, LogsError, RETENTION_DAYS};
use tokio::sync::OnceCell;

/// Where events are kept.
const GROUP: &str = "/wharf/events";
/// Beyond this size an event is not kept: no log event may be larger than 1 MiB.
const LARGEST: usize = 1_000_000;
/// So many bytes are put at once.
const TOGETHER: usize = 900_000;

/// Keeps events.
#[derive(Debug)]
pub(super) struct History {
    logs: Arc<Logs>,
    clock: Arc<dyn Clock>,
    days: u32,
    ready: OnceCell<()>,
}

/// The days for which a log group can keep something for so many days at least.
fn retention(days: u32) -> u32 {
    let all = RETENTION_DAYS;
    all.into_iter().find(|allowed| *allowed >= days).unwrap_or(all[all.len() - 1])
}

impl History {
    pub(super) fn new(logs: Arc<Logs>, clock: Arc<dyn Clock>, days: u32) -> Self {
        Self { logs, clock, days, ready: OnceCell::new() }
    }

    async fn group(&self) -> Result<(), LogsError> {
        match self.logs.create_group(GROUP, BTreeMap::new()).await {
            Ok(()) | Err(LogsError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        self.logs.put_retention(GROUP, i64::from(retention(self.days))).await
    }

    async fn put(&self, stream: &str, events: Vec<InputEvent>) -> Result<(), LogsError> {
        self.ready.get_or_try_init(|| self.group()).await?;
        match self.logs.put_events(GROUP, stream, events.clone()).await {
            Ok(_) => return Ok(()),
            Err(LogsError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        // The first event of its source, or somebody deleted the group or the stream.
        self.group().await?;
        match self.logs.create_stream(GROUP, stream).await {
            Ok(()) | Err(LogsError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        self.logs.put_events(GROUP, stream, events).await.map(drop)
    }

    async fn all(&self, events: &[Event]) -> Result<(), LogsError> {
        let now = self.clock.now();
        let mut streams: BTreeMap<&str, Vec<InputEvent>> = BTreeMap::new();
        for event in events {
            let message = event.document.to_string();
            if message.len() > LARGEST {
                tracing::warn!(event = event.id, "An event is too large to be kept.");
                continue;
            }
            let stream = stream(event);
            let batch = streams.entry(stream).or_default();
            let bytes: usize = batch.iter().map(|e| e.message.len() + 26).sum();
            if bytes + message.len() > TOGETHER {
                self.put(stream, std::mem::take(batch)).await?;
            }
            batch.push(InputEvent { timestamp: now, message });
        }
        for (stream, batch) in streams.into_iter().filter(|(_, batch)| !batch.is_empty()) {
            self.put(stream, batch).await?;
        }
        Ok(())
    }
}

/// The stream of an event: its source, if it is one of ours.
fn stream(event: &Event) -> &'static str {
    match event.document.get("source").and_then(|source| source.as_str()) {
        Some("aws.ecs") => "aws.ecs",
        Some("aws.events") => "aws.events",
        Some("wharf") => "wharf",
        _ => "custom",
    }
}

impl Keeps for History {
    fn keeps(&self) -> bool {
        self.days != 0
    }

    fn keep<'a>(&'a self, events: &'a [Event]) -> Kept<'a> {
        Box::pin(async move {
            if self.days == 0 {
                return Ok(());
            }
            self.all(events).await.map_err(|error| stdx::chain(&error))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_kept_at_least_as_long_as_asked() {
        for (days, kept) in [(1, 1), (2, 3), (7, 7), (8, 14), (400, 400), (9999, 3653)] {
            assert_eq!(retention(days), kept, "{days}");
        }
    }
}
