//! Tests of the log store on a real file.

mod crash;
mod events;
mod groups;
mod patterns;
mod search;

use std::collections::BTreeMap;
use std::time::Duration;

use shell::ManualClock;
use stdx::Timestamp;

use crate::{InputEvent, Logs, LogsConfig};

/// A store in a folder of its own, and the clock it goes by.
pub(super) struct Store {
    pub(super) logs: Logs,
    pub(super) clock: ManualClock,
    pub(super) dir: tempfile::TempDir,
}

/// 2026-11-22T14:30:57Z.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_357_857_000);

pub(super) fn open_at(dir: &std::path::Path, clock: &ManualClock) -> Logs {
    let clock = std::sync::Arc::new(clock.clone());
    Logs::open(LogsConfig::new(dir, "123456789012", "us-east-1", clock)).unwrap()
}

pub(super) fn store() -> Store {
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(NOW));
    Store { logs: open_at(dir.path(), &clock), clock, dir }
}

/// A store with the group `g` and these streams.
pub(super) async fn with_streams(streams: &[&str]) -> Store {
    let store = store();
    store.logs.create_group("g", BTreeMap::new()).await.unwrap();
    for stream in streams {
        store.logs.create_stream("g", stream).await.unwrap();
    }
    store
}

/// An event so many seconds after [`NOW`].
pub(super) fn event(seconds: i64, message: &str) -> InputEvent {
    InputEvent { timestamp: after(seconds), message: message.to_owned() }
}

pub(super) fn after(seconds: i64) -> Timestamp {
    if seconds < 0 {
        NOW - Duration::from_secs(seconds.unsigned_abs())
    } else {
        NOW + Duration::from_secs(seconds.unsigned_abs())
    }
}
