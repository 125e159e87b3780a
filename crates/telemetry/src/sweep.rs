//! Taking away what nobody can read any more: events past their retention, and those of groups and
//! streams that were deleted.

use std::ops::Bound;

use redb::ReadableTable;
use stdx::Timestamp;

use crate::tables::{self, Tables};
use crate::{Logs, LogsError, SweepReport, limits};

/// At most so many events are taken away in one transaction, so that writers wait for
/// milliseconds.
const MOST_EVENTS: usize = 5_000;

/// How much one transaction took away, and whether there is more.
struct Swept {
    events: u64,
    more: bool,
}

impl Logs {
    /// Takes away what `now` is past its retention, and what was deleted. To be called now and
    /// then; between two calls, expired events may still be read.
    ///
    /// # Errors
    /// The store fails; what was swept before that stays swept.
    pub async fn sweep(&self, now: Timestamp) -> Result<SweepReport, LogsError> {
        let mut report = SweepReport::default();
        loop {
            let swept = self.write(1, orphans).await?;
            report.orphaned += swept.events;
            if !swept.more {
                break;
            }
        }
        for (group, stream, cutoff) in self.expired(now).await? {
            loop {
                let swept =
                    self.write(1, move |tables| expire(tables, group, stream, cutoff)).await?;
                report.expired += swept.events;
                if !swept.more {
                    break;
                }
            }
        }
        Ok(report)
    }

    /// The streams with events past their retention: group, stream, the instant before which.
    async fn expired(&self, now: Timestamp) -> Result<Vec<(u64, u64, i64)>, LogsError> {
        self.read(move |snapshot, _| {
            let mut due = Vec::new();
            for entry in snapshot.groups.iter()? {
                let (name, record) = entry?;
                let record = tables::decode(name.value(), record.value())?;
                let Some(days) = record.retention_days else { continue };
                let cutoff = limits::retention_start(now, days);
                for entry in snapshot.streams.range((record.id, "")..(record.id + 1, ""))? {
                    let (stream, _) = entry?.1.value();
                    let first = tables::heat(&snapshot.heat, stream)?.first_event;
                    if first.is_some_and(|first| first < cutoff) {
                        due.push((record.id, stream, cutoff.as_millis()));
                    }
                }
            }
            Ok(due)
        })
        .await
    }
}

/// Takes away some of a stream's events before an instant.
fn expire(
    tables: &mut Tables<'_>,
    group: u64,
    stream: u64,
    cutoff: i64,
) -> Result<Swept, LogsError> {
    let (events, bytes) = remove(tables, stream, cutoff)?;
    let mut heat = tables::heat(&tables.heat, stream)?;
    if heat.sequence == 0 {
        // It was deleted in the meantime.
        return Ok(Swept { events, more: false });
    }
    heat.first_event = first_event(tables, stream)?;
    heat.bytes = heat.bytes.saturating_sub(bytes);
    let more = heat.first_event.is_some_and(|first| first.as_millis() < cutoff);
    tables.put_heat(stream, heat)?;
    tables.add_bytes(group, 0, bytes)?;
    Ok(Swept { events, more })
}

/// When a stream's earliest event happened.
fn first_event(tables: &Tables<'_>, stream: u64) -> Result<Option<Timestamp>, LogsError> {
    let mut events = tables.events.range((stream, 0, 0)..=(stream, i64::MAX, u64::MAX))?;
    let first = events.next().transpose()?;
    Ok(first.map(|(key, _)| Timestamp::from_millis(key.value().1)))
}

/// Takes away some of the events of deleted streams.
fn orphans(tables: &mut Tables<'_>) -> Result<Swept, LogsError> {
    let Some(stream) = tables.orphans.first()?.map(|(stream, _)| stream.value()) else {
        return Ok(Swept { events: 0, more: false });
    };
    let (events, _) = remove(tables, stream, i64::MAX)?;
    if events == 0 {
        tables.orphans.remove(stream)?;
    }
    Ok(Swept { events, more: true })
}

/// Takes away at most [`MOST_EVENTS`] of a stream's events before an instant: how many they were,
/// and what they cost.
fn remove(tables: &mut Tables<'_>, stream: u64, before: i64) -> Result<(u64, u64), LogsError> {
    if before <= 0 {
        return Ok((0, 0));
    }
    let range = (Bound::Included((stream, 0, 0)), Bound::Excluded((stream, before, 0)));
    let (mut events, mut bytes) = (0, 0);
    for entry in tables.events.extract_from_if(range, |_, _| true)?.take(MOST_EVENTS) {
        let (_, value) = entry?;
        events += 1;
        bytes += limits::cost(value.value().1) as u64;
    }
    Ok((events, bytes))
}
