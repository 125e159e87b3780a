//! Storing events: `PutLogEvents`.

use stdx::Timestamp;

use crate::streams::sequence_token;
use crate::tables::{self, Tables};
use crate::{InputEvent, Logs, LogsError, PutOutcome, limits};

impl Logs {
    /// `PutLogEvents`: when it returns, the accepted events are durable. Events that are too old,
    /// too new or past the group's retention are not stored, and the outcome says which.
    ///
    /// # Errors
    /// There is no such group or stream; the batch is empty, out of order, over 10,000 events, over
    /// 1 MiB (26 bytes for each event included), or spans more than 24 hours.
    pub async fn put_events(
        &self,
        group: &str,
        stream: &str,
        events: Vec<InputEvent>,
    ) -> Result<PutOutcome, LogsError> {
        let bytes = limits::batch(&events)?;
        let now = self.inner.config.clock.now();
        let (group, stream) = (group.to_owned(), stream.to_owned());
        self.write(bytes, move |tables| put(tables, &group, &stream, &events, now)).await
    }
}

fn put(
    tables: &mut Tables<'_>,
    group: &str,
    stream: &str,
    events: &[InputEvent],
    now: Timestamp,
) -> Result<PutOutcome, LogsError> {
    let record = tables.group(group)?;
    let (id, _) = tables::stream(&tables.streams, record.id, stream)?;
    let (accepted, rejected) = limits::window(events, now, record.retention_days);
    let accepted = events.get(accepted).unwrap_or_default();
    let mut heat = tables::heat(&tables.heat, id)?;
    let mut bytes = 0;
    for event in accepted {
        heat.sequence += 1;
        let key = (id, event.timestamp.as_millis(), heat.sequence);
        tables.events.insert(key, (now.as_millis(), event.message.as_str()))?;
        bytes += limits::cost(&event.message) as u64;
    }
    if let (Some(first), Some(last)) = (accepted.first(), accepted.last()) {
        let earliest = heat.first_event.map_or(first.timestamp, |at| at.min(first.timestamp));
        heat.first_event = Some(earliest);
        heat.last_event = heat.last_event.max(Some(last.timestamp));
        heat.last_ingestion = Some(now);
        heat.bytes += bytes;
        tables.put_heat(id, heat)?;
        tables.add_bytes(record.id, bytes, 0)?;
    }
    Ok(PutOutcome { rejected, next_sequence_token: sequence_token(id, heat.sequence) })
}
