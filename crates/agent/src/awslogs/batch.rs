//! From pieces of lines to batches of events, within the bounds of PutLogEvents.
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>

use aws::logs::InputLogEvent;
use regex_lite::Regex;
use runtime::log::{LogEntry, LogPosition, Stream};

/// A call takes 1 MiB, each event counted with [`EVENT_BYTES`] more than its text. A batch is sent
/// when it has so much, because what has begun by then may still add three large events.
const FULL_BYTES: usize = 200 << 10;
const EVENT_BYTES: usize = 26;
/// A call takes 10,000 events; some room is left here too.
const FULL_EVENTS: usize = 9_900;
/// A longer event is cut.
const MOST_EVENT: usize = (256 << 10) - EVENT_BYTES;
/// The events of one call lie within 24 hours.
const MOST_SPAN_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// An event that may still grow.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    /// Where its first piece begins.
    from: LogPosition,
    at_millis: i64,
    text: Vec<u8>,
}

/// Events on their way to the server.
#[derive(Debug)]
pub(crate) struct Batch {
    starts: Option<Regex>,
    /// Lines that go on, of output and of error.
    lines: [Option<Open>; 2],
    /// The event that further lines may belong to.
    event: Option<Open>,
    events: Vec<(i64, String)>,
    bytes: usize,
}

impl Batch {
    /// An empty batch. `starts` tells which lines begin an event; without it each does.
    pub(crate) fn new(starts: Option<Regex>) -> Self {
        Self { starts, lines: [None, None], event: None, events: Vec::new(), bytes: 0 }
    }

    /// Whether the batch should be sent before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes > FULL_BYTES || self.events.len() > FULL_EVENTS
    }

    /// Whether there is nothing to send, though something may still grow.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether an event waits for further lines.
    pub(crate) fn is_waiting(&self) -> bool {
        self.event.is_some()
    }

    /// Adds a piece that begins at `from`.
    pub(crate) fn push(&mut self, entry: LogEntry, from: LogPosition) {
        let slot = match entry.stream {
            Stream::Output => 0,
            Stream::Error => 1,
        };
        let at_millis = i64::try_from(entry.at_nanos / 1_000_000).unwrap_or(i64::MAX);
        let mut line =
            self.lines[slot].take().unwrap_or(Open { from, at_millis, text: Vec::new() });
        line.text.extend_from_slice(&entry.bytes);
        if entry.partial && line.text.len() < MOST_EVENT {
            self.lines[slot] = Some(line);
        } else {
            self.line(line);
        }
    }

    fn line(&mut self, line: Open) {
        let Some(starts) = &self.starts else { return self.event(&line) };
        let begins = starts.is_match(&String::from_utf8_lossy(&line.text));
        match &mut self.event {
            Some(event) if !begins && event.text.len() + line.text.len() < MOST_EVENT => {
                event.text.push(b'\n');
                event.text.extend_from_slice(&line.text);
            }
            _ => {
                self.end_event();
                self.event = Some(line);
            }
        }
    }

    /// No further lines are waited for.
    pub(crate) fn end_event(&mut self) {
        if let Some(event) = self.event.take() {
            self.event(&event);
        }
    }

    /// Nothing more will come: what has begun is whole.
    pub(crate) fn finish(&mut self) {
        for slot in 0..self.lines.len() {
            if let Some(line) = self.lines[slot].take() {
                self.line(line);
            }
        }
        self.end_event();
    }

    /// An empty event is none: CloudWatch Logs refuses it.
    fn event(&mut self, event: &Open) {
        let text = String::from_utf8_lossy(&event.text);
        let mut rest = text.as_ref();
        while !rest.is_empty() {
            let (piece, next) = rest.split_at(boundary(rest, MOST_EVENT));
            self.bytes += piece.len() + EVENT_BYTES;
            self.events.push((event.at_millis, piece.to_owned()));
            rest = next;
        }
    }

    /// Where reading must begin again if only what is in this batch has been sent: `read` is how far
    /// has been read.
    pub(crate) fn safe_position(&self, read: LogPosition) -> LogPosition {
        self.lines
            .iter()
            .flatten()
            .chain(&self.event)
            .map(|open| open.from)
            .fold(read, LogPosition::min)
    }

    /// Takes the events, in the order of time, as many calls as they make.
    pub(crate) fn take(&mut self) -> Vec<Vec<InputLogEvent>> {
        self.bytes = 0;
        let mut events = std::mem::take(&mut self.events);
        events.sort_by_key(|(at, _)| *at);
        events
            .chunk_by({
                let mut first = events.first().map_or(0, |e| e.0);
                move |_, (at, _)| {
                    let same = at - first < MOST_SPAN_MILLIS;
                    first = if same { first } else { *at };
                    same
                }
            })
            .map(|call| {
                call.iter()
                    .map(|(at, text)| InputLogEvent {
                        message: Some(text.clone()),
                        timestamp: Some(*at),
                    })
                    .collect()
            })
            .collect()
    }
}

/// The last boundary between characters that is not beyond `most`.
fn boundary(text: &str, most: usize) -> usize {
    let mut at = most.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(at: u64, stream: Stream, text: &[u8], partial: bool) -> LogEntry {
        LogEntry { at_nanos: at * 1_000_000, stream, bytes: text.to_vec(), partial }
    }

    fn at(offset: u64) -> LogPosition {
        LogPosition { file: 1, offset }
    }

    fn texts(batch: &mut Batch) -> Vec<String> {
        batch.take().into_iter().flatten().filter_map(|e| e.message).collect()
    }

    #[test]
    fn pieces_of_a_line_are_joined_by_stream() {
        let mut batch = Batch::new(None);
        batch.push(entry(1, Stream::Output, b"a", true), at(0));
        batch.push(entry(2, Stream::Error, b"err", false), at(10));
        assert_eq!(batch.safe_position(at(20)), at(0));
        batch.push(entry(3, Stream::Output, b"b", false), at(20));
        batch.push(entry(4, Stream::Output, b"", false), at(30));
        assert_eq!(batch.safe_position(at(40)), at(40));
        assert_eq!(texts(&mut batch), ["ab", "err"]);
        batch.push(entry(5, Stream::Error, b"cut", true), at(40));
        assert!(batch.is_empty());
        batch.finish();
        assert_eq!(texts(&mut batch), ["cut"]);
    }

    #[test]
    fn lines_belong_to_the_event_that_a_pattern_begins() {
        let mut batch = Batch::new(Some(Regex::new("^INFO").unwrap()));
        for (offset, text) in ["  lost head", "INFO one", "  more", "INFO two"].iter().enumerate() {
            batch.push(entry(1, Stream::Output, text.as_bytes(), false), at(offset as u64));
        }
        assert_eq!(texts(&mut batch), ["  lost head", "INFO one\n  more"]);
        assert!(batch.is_waiting());
        assert_eq!(batch.safe_position(at(9)), at(3));
        batch.end_event();
        assert_eq!(texts(&mut batch), ["INFO two"]);
    }

    #[test]
    fn events_of_different_days_go_in_calls_of_their_own() {
        let mut batch = Batch::new(None);
        let hour = 60 * 60 * 1000;
        for (offset, hours) in [0, 23, 24, 40, 50].into_iter().enumerate() {
            batch.push(entry(hours * hour, Stream::Output, b"x", false), at(offset as u64));
        }
        let sizes: Vec<usize> = batch.take().iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_bounds_are_kept(
            pieces in prop::collection::vec((0_u64..50, any::<bool>(), 0_usize..40_000, any::<bool>()), 0..80),
        ) {
            let mut batch = Batch::new(None);
            let (mut sent, mut written) = (0, 0);
            let mut check = |calls: Vec<Vec<InputLogEvent>>| {
                assert!(calls.len() <= 1);
                let events = calls.into_iter().next().unwrap_or_default();
                let sizes = events.iter().map(|e| e.message.as_ref().map_or(0, String::len));
                let bytes: usize = sizes.clone().map(|s| s + EVENT_BYTES).sum();
                assert!(bytes <= 1 << 20 && events.len() <= 10_000);
                assert!(sizes.clone().all(|s| s > 0 && s <= MOST_EVENT));
                assert!(events.is_sorted_by_key(|e| e.timestamp));
                sent += sizes.sum::<usize>();
            };
            for (offset, (millis, error, size, partial)) in pieces.into_iter().enumerate() {
                let stream = if error { Stream::Error } else { Stream::Output };
                written += size;
                batch.push(entry(millis, stream, &vec![b'x'; size], partial), at(offset as u64));
                if batch.is_full() {
                    check(batch.take());
                }
            }
            batch.finish();
            check(batch.take());
            prop_assert_eq!(sent, written);
        }
    }
}
