//! The values that go in and come out.

use std::collections::BTreeMap;

use stdx::Timestamp;

/// A log group, as `DescribeLogGroups` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGroup {
    /// Its name, unique in the account and region.
    pub name: String,
    /// `arn:aws:logs:<region>:<account>:log-group:<name>`, without the `:*` that the member `arn`
    /// has in AWS's answers.
    pub arn: String,
    /// When it was created.
    pub created: Timestamp,
    /// For how many days events are kept; none for ever.
    pub retention_days: Option<u32>,
    /// The size of all events, 26 bytes for each included.
    pub stored_bytes: u64,
}

/// A log stream, as `DescribeLogStreams` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStream {
    /// Its name, unique in its group.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// When it was created.
    pub created: Timestamp,
    /// The earliest event.
    pub first_event: Option<Timestamp>,
    /// The latest event.
    pub last_event: Option<Timestamp>,
    /// When events came last.
    pub last_ingestion: Option<Timestamp>,
    /// The size of its events, 26 bytes for each included. (AWS says zero since 2019.)
    pub stored_bytes: u64,
    /// A token that nothing needs any more, and that clients may still expect.
    pub upload_sequence_token: String,
}

/// An event to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputEvent {
    /// When it happened.
    pub timestamp: Timestamp,
    /// What happened: at least one character.
    pub message: String,
}

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputEvent {
    /// When it happened.
    pub timestamp: Timestamp,
    /// What happened.
    pub message: String,
    /// When it came.
    pub ingested: Timestamp,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOutcome {
    /// The events of the batch that were not stored; none if all were.
    pub rejected: Option<Rejected>,
    /// As [`LogStream::upload_sequence_token`].
    pub next_sequence_token: String,
}

/// `rejectedLogEventsInfo`: indexes into a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// From this one on, events are more than two hours in the future.
    pub too_new_start: Option<usize>,
    /// Before this one, events are more than fourteen days old.
    pub too_old_end: Option<usize>,
    /// Before this one, events are older than the group's retention.
    pub expired_end: Option<usize>,
}

/// A page of an answer, and where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The token for the next one; none on the last.
    pub next_token: Option<String>,
}

/// The order of `DescribeLogStreams`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamOrder {
    /// By name.
    #[default]
    LogStreamName,
    /// By the time of the latest event; streams without one count as the oldest.
    LastEventTime,
}

/// Which streams to describe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamQuery {
    /// Only those whose name begins so; not together with an order by time.
    pub prefix: Option<String>,
    /// In which order.
    pub order: StreamOrder,
    /// The other way round.
    pub descending: bool,
    /// At most so many: 1 to 50, which is also the default.
    pub limit: Option<i64>,
    /// From the page before.
    pub next_token: Option<String>,
}

/// Which events of one stream to get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetQuery {
    /// Not before this instant.
    pub start: Option<Timestamp>,
    /// Before this instant.
    pub end: Option<Timestamp>,
    /// The earliest first, when there is no token: otherwise the latest page.
    pub from_head: bool,
    /// At most so many: 1 to 10,000; by default as many as fit.
    pub limit: Option<i64>,
    /// From the page before, forward or backward.
    pub next_token: Option<String>,
}

/// A page of one stream's events, the earliest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<OutputEvent>,
    /// Leads to later events. At the end of the stream it is the token that was passed in.
    pub forward_token: String,
    /// Leads to earlier events. At the beginning it is the token that was passed in.
    pub backward_token: String,
}

/// Which events of a group to find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterQuery {
    /// Only in these streams; not together with a prefix.
    pub streams: Vec<String>,
    /// Only in streams whose name begins so.
    pub stream_prefix: Option<String>,
    /// Not before this instant.
    pub start: Option<Timestamp>,
    /// Not after this instant.
    pub end: Option<Timestamp>,
    /// A filter pattern; see [`crate::pattern`]. Empty matches everything.
    pub pattern: Option<String>,
    /// At most so many: 1 to 10,000, which is also the default.
    pub limit: Option<i64>,
    /// From the page before.
    pub next_token: Option<String>,
}

/// An event that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilteredEvent {
    /// The stream it is in.
    pub stream: String,
    /// The event.
    pub event: OutputEvent,
    /// Its id: 56 digits that grow with time.
    pub id: String,
}

/// A page of found events, the earliest first. It may be empty although there is a next one:
/// much was searched and nothing found yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilteredPage {
    /// The events.
    pub events: Vec<FilteredEvent>,
    /// Where the search goes on; none when it has ended.
    pub next_token: Option<String>,
}

/// What a sweep took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Events past their group's retention.
    pub expired: u64,
    /// Events of groups and streams that had been deleted.
    pub orphaned: u64,
}

/// A group as it is stored.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct GroupRecord {
    pub(crate) id: u64,
    pub(crate) created: Timestamp,
    pub(crate) retention_days: Option<u32>,
    pub(crate) tags: BTreeMap<String, String>,
}
