//! Reading one stream: `GetLogEvents`.

use std::ops::Bound;

use redb::ReadOnlyTable;
use stdx::Timestamp;

use crate::tables::{self, EventKey};
use crate::token::{Place, Turn};
use crate::{EventPage, GetQuery, Logs, LogsError, OutputEvent, limits};

/// Before every event: numbers begin with 1.
const BEGIN: Place = Place { millis: 0, sequence: 0 };
/// After every event.
const END: Place = Place { millis: i64::MAX, sequence: u64::MAX };

impl Logs {
    /// `GetLogEvents`. A page holds at most 10,000 events and 1 MiB, the earliest first.
    ///
    /// # Errors
    /// There is no such group or stream, the limit is outside 1 to 10,000, or the token is not
    /// ours.
    pub async fn get_events(
        &self,
        group: &str,
        stream: &str,
        query: GetQuery,
    ) -> Result<EventPage, LogsError> {
        let limit = limits::page(query.limit, limits::MOST_EVENTS)?;
        let turn = query.next_token.as_deref().map(Turn::parse).transpose()?;
        let (group, stream) = (group.to_owned(), stream.to_owned());
        self.read(move |snapshot, _| {
            let group = snapshot.group(&group)?.id;
            let (id, _) = tables::stream(&snapshot.streams, group, &stream)?;
            let turn = turn.unwrap_or(if query.from_head {
                Turn::After(BEGIN)
            } else {
                Turn::Before(END)
            });
            page(&snapshot.events, id, &query, limit, turn)
        })
        .await
    }
}

fn page(
    events: &ReadOnlyTable<EventKey, (i64, &'static str)>,
    stream: u64,
    query: &GetQuery,
    limit: usize,
    turn: Turn,
) -> Result<EventPage, LogsError> {
    // Within the time range: from the first instant, up to but without the last.
    let mut first = Place { millis: query.start.map_or(0, Timestamp::as_millis), sequence: 0 };
    let mut last = query.end.map_or(END, |end| Place { millis: end.as_millis(), sequence: 0 });
    match turn {
        Turn::After(place) => first = first.max(place),
        Turn::Before(place) => last = last.min(place),
    }
    let mut taken: Vec<(Place, OutputEvent)> = Vec::new();
    let mut bytes = 0;
    let mut take = |entry: Result<Entry, redb::StorageError>| -> Result<bool, LogsError> {
        let (key, value) = entry?;
        let ((_, millis, sequence), (ingested, message)) = (key.value(), value.value());
        bytes += limits::cost(message);
        if !taken.is_empty() && bytes > limits::MOST_BYTES {
            return Ok(false);
        }
        let event = OutputEvent {
            timestamp: Timestamp::from_millis(millis),
            message: message.to_owned(),
            ingested: Timestamp::from_millis(ingested),
        };
        taken.push((Place { millis, sequence }, event));
        Ok(taken.len() < limit)
    };
    if first < last {
        let key = |place: Place| (stream, place.millis, place.sequence);
        let range = (Bound::Excluded(key(first)), Bound::Excluded(key(last)));
        let range = events.range::<EventKey>(range)?;
        let mut entries: Box<dyn Iterator<Item = _>> = match turn {
            Turn::After(_) => Box::new(range),
            Turn::Before(_) => Box::new(range.rev()),
        };
        while let Some(entry) = entries.next()
            && take(entry)?
        {}
    }
    if matches!(turn, Turn::Before(_)) {
        taken.reverse();
    }
    let (forward, backward) = match (taken.first(), taken.last()) {
        (Some((first, _)), Some((last, _))) => (Turn::After(*last), Turn::Before(*first)),
        // At an end: the same token again, and one that leads back from here.
        _ => match turn {
            Turn::After(place) => (turn, Turn::Before(next(place))),
            Turn::Before(END) => (Turn::After(BEGIN), turn),
            Turn::Before(place) => (Turn::After(previous(place)), turn),
        },
    };
    Ok(EventPage {
        events: taken.into_iter().map(|(_, event)| event).collect(),
        forward_token: forward.render(),
        backward_token: backward.render(),
    })
}

type Entry =
    (redb::AccessGuard<'static, EventKey>, redb::AccessGuard<'static, (i64, &'static str)>);

/// The place that has `place` itself before it.
fn next(place: Place) -> Place {
    match place.sequence.checked_add(1) {
        Some(sequence) => Place { sequence, ..place },
        None => Place { millis: place.millis.saturating_add(1), sequence: 0 },
    }
}

/// The place that has `place` itself after it.
fn previous(place: Place) -> Place {
    match place.sequence.checked_sub(1) {
        Some(sequence) => Place { sequence, ..place },
        None if place.millis > 0 => Place { millis: place.millis - 1, sequence: u64::MAX },
        None => BEGIN,
    }
}
