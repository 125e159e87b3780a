//! Searching a group: `FilterLogEvents`.
//!
//! Events are stored stream by stream; a search merges the streams by time. A stream is opened only
//! when the merge comes to its first event, so a group with many finished streams costs little.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::Bound;

use redb::Range;
use stdx::Timestamp;

use crate::pattern::Pattern;
use crate::tables::{self, EventKey, Snapshot};
use crate::token::Cursor;
use crate::{FilterQuery, FilteredEvent, FilteredPage, Logs, LogsError, OutputEvent, limits};

/// A call looks at no more events than this, and then says where to go on.
const MOST_EXAMINED: usize = 100_000;
/// The most streams that a call may name.
const MOST_NAMED: usize = 100;

impl Logs {
    /// `FilterLogEvents`: the events of a group that match, the earliest first. AWS's
    /// `searchedLogStreams` has been empty since 2020 and is not told here.
    ///
    /// # Errors
    /// There is no such group or named stream; both streams and a prefix; a pattern that cannot be
    /// read; a limit outside 1 to 10,000; a token that is not ours.
    pub async fn filter_events(
        &self,
        group: &str,
        query: FilterQuery,
    ) -> Result<FilteredPage, LogsError> {
        if !query.streams.is_empty() && query.stream_prefix.is_some() {
            return Err(LogsError::invalid(
                "logStreamNamePrefix",
                "logStreamNames and logStreamNamePrefix are mutually exclusive parameters.",
            ));
        }
        if query.streams.len() > MOST_NAMED {
            return Err(LogsError::invalid(
                "logStreamNames",
                format!(
                    "At most {MOST_NAMED} log streams may be named, not {}.",
                    query.streams.len()
                ),
            ));
        }
        if let (Some(start), Some(end)) = (query.start, query.end)
            && start > end
        {
            return Err(LogsError::invalid(
                "startTime",
                "startTime must be less than or equal to endTime.",
            ));
        }
        let limit = limits::page(query.limit, limits::MOST_EVENTS)?;
        let after = query.next_token.as_deref().map(Cursor::parse).transpose()?;
        let pattern = Pattern::parse(query.pattern.as_deref().unwrap_or_default())?;
        let group = group.to_owned();
        self.read(move |snapshot, _| {
            let group = snapshot.group(&group)?.id;
            let streams = streams(snapshot, group, &query)?;
            let start = query.start.map_or(0, Timestamp::as_millis).max(0);
            let end = query.end.map_or(i64::MAX, Timestamp::as_millis);
            let mut merge = Merge::new(snapshot, streams, start, end, after);
            collect(&mut merge, &pattern, limit)
        })
        .await
    }
}

/// A stream to be searched.
struct Source<'s> {
    name: String,
    id: u64,
    range: Option<Range<'s, EventKey, (i64, &'static str)>>,
    /// The event that the merge has come to.
    head: Option<(Cursor, i64, String)>,
}

/// The streams to be searched that have events, each with its first event's time.
fn streams(
    snapshot: &Snapshot,
    group: u64,
    query: &FilterQuery,
) -> Result<Vec<(String, u64, i64)>, LogsError> {
    let mut found = Vec::new();
    let mut add = |name: &str, id: u64| -> Result<(), LogsError> {
        let heat = tables::heat(&snapshot.heat, id)?;
        if let (Some(first), Some(last)) = (heat.first_event, heat.last_event)
            && query.start.is_none_or(|start| last >= start)
            && query.end.is_none_or(|end| first <= end)
        {
            found.push((name.to_owned(), id, first.as_millis()));
        }
        Ok(())
    };
    if query.streams.is_empty() {
        let prefix = query.stream_prefix.as_deref().unwrap_or_default();
        for entry in snapshot.streams.range((group, prefix)..(group + 1, ""))? {
            let (key, value) = entry?;
            let (_, name) = key.value();
            if !name.starts_with(prefix) {
                break;
            }
            add(name, value.value().0)?;
        }
    } else {
        for name in query.streams.iter().collect::<BTreeSet<_>>() {
            add(name, tables::stream(&snapshot.streams, group, name)?.0)?;
        }
    }
    Ok(found)
}

/// The streams' events as one sequence in the order of [`Cursor`].
struct Merge<'s> {
    snapshot: &'s Snapshot,
    sources: Vec<Source<'s>>,
    /// Where each source stands, the earliest on top. One that is not open yet stands at a place
    /// that is not after its first event.
    heap: BinaryHeap<Reverse<(Cursor, usize)>>,
    start: i64,
    end: i64,
    after: Option<Cursor>,
}

impl<'s> Merge<'s> {
    fn new(
        snapshot: &'s Snapshot,
        streams: Vec<(String, u64, i64)>,
        start: i64,
        end: i64,
        after: Option<Cursor>,
    ) -> Self {
        let mut heap = BinaryHeap::with_capacity(streams.len());
        let mut sources = Vec::with_capacity(streams.len());
        for (name, id, first) in streams {
            let cursor = Cursor { millis: first.max(start), stream: id, sequence: 0 };
            heap.push(Reverse((cursor, sources.len())));
            sources.push(Source { name, id, range: None, head: None });
        }
        Self { snapshot, sources, heap, start, end, after }
    }

    /// The next event: its place, its stream's name, when it came, and its message.
    fn next(&mut self) -> Result<Option<(Cursor, usize, i64, String)>, LogsError> {
        while let Some(Reverse((_, index))) = self.heap.pop() {
            let Some(source) = self.sources.get_mut(index) else { continue };
            let head = source.head.take();
            if source.range.is_none() {
                let first = first_key(source.id, self.start, self.after);
                let last = Bound::Included((source.id, self.end, u64::MAX));
                source.range = match first {
                    Some(first) if in_order(first, last) => {
                        Some(self.snapshot.events.range((first, last))?)
                    }
                    _ => None,
                };
            }
            if let Some(entry) = source.range.as_mut().and_then(Iterator::next) {
                let (key, value) = entry?;
                let ((stream, millis, sequence), (ingested, message)) =
                    (key.value(), value.value());
                let cursor = Cursor { millis, stream, sequence };
                source.head = Some((cursor, ingested, message.to_owned()));
                self.heap.push(Reverse((cursor, index)));
            }
            if let Some((cursor, ingested, message)) = head {
                return Ok(Some((cursor, index, ingested, message)));
            }
        }
        Ok(None)
    }
}

fn in_order(first: Bound<EventKey>, last: Bound<EventKey>) -> bool {
    match (first, last) {
        (Bound::Included(first), Bound::Included(last)) => first <= last,
        (Bound::Excluded(first), Bound::Included(last)) => first < last,
        _ => true,
    }
}

/// Where a stream's part of the search begins, if the search goes on after `after`.
fn first_key(stream: u64, start: i64, after: Option<Cursor>) -> Option<Bound<EventKey>> {
    let from_start = Bound::Included((stream, start, 0));
    let Some(after) = after.filter(|after| after.millis >= start) else { return Some(from_start) };
    Some(match stream.cmp(&after.stream) {
        // At that instant, streams with a lower id have been searched already.
        std::cmp::Ordering::Less => Bound::Included((stream, after.millis.checked_add(1)?, 0)),
        std::cmp::Ordering::Equal => Bound::Excluded((stream, after.millis, after.sequence)),
        std::cmp::Ordering::Greater => Bound::Included((stream, after.millis, 0)),
    })
}

fn collect(
    merge: &mut Merge<'_>,
    pattern: &Pattern,
    limit: usize,
) -> Result<FilteredPage, LogsError> {
    let mut events = Vec::new();
    let mut bytes = 0;
    let mut last: Option<Cursor> = None;
    let mut examined = 0;
    while let Some((cursor, index, ingested, message)) = merge.next()? {
        let matches = pattern.matches(&message);
        let full = events.len() == limit || bytes + limits::cost(&message) > limits::MOST_BYTES;
        if examined == MOST_EXAMINED || (matches && full && !events.is_empty()) {
            return Ok(FilteredPage { events, next_token: last.map(Cursor::render) });
        }
        examined += 1;
        last = Some(cursor);
        if matches {
            bytes += limits::cost(&message);
            let stream = merge.sources.get(index).map(|source| source.name.clone());
            events.push(FilteredEvent {
                stream: stream.unwrap_or_default(),
                event: OutputEvent {
                    timestamp: Timestamp::from_millis(cursor.millis),
                    message,
                    ingested: Timestamp::from_millis(ingested),
                },
                id: cursor.render(),
            });
        }
    }
    Ok(FilteredPage { events, next_token: None })
}
