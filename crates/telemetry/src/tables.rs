//! What is in the file: tables, keys and records.
//!
//! Records are split by heat: a group's and a stream's own facts are written once, their sizes and
//! times with every batch, in fixed-width values that need no decoding.

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table,
    TableDefinition, WriteTransaction,
};
use stdx::Timestamp;

use crate::LogsError;
use crate::types::GroupRecord;

/// Name → record.
const GROUPS: TableDefinition<&str, &[u8]> = TableDefinition::new("groups");
/// Group → the size of its events.
const GROUP_BYTES: TableDefinition<u64, u64> = TableDefinition::new("group_bytes");
/// Group and name → stream and the millisecond of its creation.
const STREAMS: TableDefinition<(u64, &str), (u64, i64)> = TableDefinition::new("streams");
/// Stream → [`Heat`].
const HEAT: TableDefinition<u64, HeatTuple> = TableDefinition::new("stream_heat");
/// Stream, millisecond, number → the millisecond of ingestion, and the message.
const EVENTS: TableDefinition<EventKey, (i64, &str)> = TableDefinition::new("events");
/// Streams that are deleted and whose events may still be there.
const ORPHANS: TableDefinition<u64, ()> = TableDefinition::new("orphans");
/// Counters: the next id.
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");

const NEXT_ID: &str = "next_id";

/// Stream, millisecond, number within the stream (which begins with 1).
pub(crate) type EventKey = (u64, i64, u64);

type HeatTuple = (i64, i64, i64, u64, u64);

/// Stands for "no such instant" in [`HeatTuple`].
const NEVER: i64 = i64::MIN;

/// What of a stream changes with every batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heat {
    pub(crate) first_event: Option<Timestamp>,
    pub(crate) last_event: Option<Timestamp>,
    pub(crate) last_ingestion: Option<Timestamp>,
    pub(crate) bytes: u64,
    /// How many events ever came.
    pub(crate) sequence: u64,
}

impl Heat {
    fn tuple(self) -> HeatTuple {
        let millis = |at: Option<Timestamp>| at.map_or(NEVER, Timestamp::as_millis);
        (
            millis(self.first_event),
            millis(self.last_event),
            millis(self.last_ingestion),
            self.bytes,
            self.sequence,
        )
    }

    fn from_tuple((first, last, ingestion, bytes, sequence): HeatTuple) -> Self {
        let at = |millis| (millis != NEVER).then(|| Timestamp::from_millis(millis));
        Self {
            first_event: at(first),
            last_event: at(last),
            last_ingestion: at(ingestion),
            bytes,
            sequence,
        }
    }
}

/// Every table, open for writing.
pub(crate) struct Tables<'t> {
    pub(crate) groups: Table<'t, &'static str, &'static [u8]>,
    pub(crate) group_bytes: Table<'t, u64, u64>,
    pub(crate) streams: Table<'t, (u64, &'static str), (u64, i64)>,
    pub(crate) heat: Table<'t, u64, HeatTuple>,
    pub(crate) events: Table<'t, EventKey, (i64, &'static str)>,
    pub(crate) orphans: Table<'t, u64, ()>,
    counters: Table<'t, &'static str, u64>,
}

impl<'t> Tables<'t> {
    /// Opens them all, and makes those that are not there yet.
    pub(crate) fn open(transaction: &'t WriteTransaction) -> Result<Self, LogsError> {
        Ok(Self {
            groups: transaction.open_table(GROUPS)?,
            group_bytes: transaction.open_table(GROUP_BYTES)?,
            streams: transaction.open_table(STREAMS)?,
            heat: transaction.open_table(HEAT)?,
            events: transaction.open_table(EVENTS)?,
            orphans: transaction.open_table(ORPHANS)?,
            counters: transaction.open_table(COUNTERS)?,
        })
    }

    /// An id that no group and no stream ever had.
    pub(crate) fn new_id(&mut self) -> Result<u64, LogsError> {
        let id = self.counters.get(NEXT_ID)?.map_or(1, |value| value.value());
        self.counters.insert(NEXT_ID, id + 1)?;
        Ok(id)
    }

    pub(crate) fn group(&self, name: &str) -> Result<GroupRecord, LogsError> {
        group(&self.groups, name)
    }

    pub(crate) fn put_group(&mut self, name: &str, record: &GroupRecord) -> Result<(), LogsError> {
        let bytes = rmp_serde::to_vec_named(record)
            .map_err(|_| LogsError::Damaged(format!("log group {name}")))?;
        self.groups.insert(name, bytes.as_slice())?;
        Ok(())
    }

    pub(crate) fn put_heat(&mut self, stream: u64, heat: Heat) -> Result<(), LogsError> {
        self.heat.insert(stream, heat.tuple())?;
        Ok(())
    }

    /// Changes what the group is said to store.
    pub(crate) fn add_bytes(&mut self, group: u64, more: u64, less: u64) -> Result<(), LogsError> {
        let bytes = self.group_bytes.get(group)?.map_or(0, |value| value.value());
        self.group_bytes.insert(group, bytes.saturating_add(more).saturating_sub(less))?;
        Ok(())
    }
}

/// Every table that queries read, in one snapshot.
pub(crate) struct Snapshot {
    pub(crate) groups: ReadOnlyTable<&'static str, &'static [u8]>,
    pub(crate) group_bytes: ReadOnlyTable<u64, u64>,
    pub(crate) streams: ReadOnlyTable<(u64, &'static str), (u64, i64)>,
    pub(crate) heat: ReadOnlyTable<u64, HeatTuple>,
    pub(crate) events: ReadOnlyTable<EventKey, (i64, &'static str)>,
    /// Keeps the snapshot's pages.
    _transaction: ReadTransaction,
}

impl Snapshot {
    pub(crate) fn open(database: &Database) -> Result<Self, LogsError> {
        let transaction = database.begin_read()?;
        Ok(Self {
            groups: transaction.open_table(GROUPS)?,
            group_bytes: transaction.open_table(GROUP_BYTES)?,
            streams: transaction.open_table(STREAMS)?,
            heat: transaction.open_table(HEAT)?,
            events: transaction.open_table(EVENTS)?,
            _transaction: transaction,
        })
    }

    pub(crate) fn group(&self, name: &str) -> Result<GroupRecord, LogsError> {
        group(&self.groups, name)
    }
}

/// The group of this name.
pub(crate) fn group(
    groups: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<GroupRecord, LogsError> {
    let record = groups.get(name)?.ok_or_else(|| LogsError::no_group(name))?;
    decode(name, record.value())
}

/// Reads a group's record.
pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<GroupRecord, LogsError> {
    rmp_serde::from_slice(bytes).map_err(|_| LogsError::Damaged(format!("log group {name}")))
}

/// The stream of this name, and when it was created.
pub(crate) fn stream(
    streams: &impl ReadableTable<(u64, &'static str), (u64, i64)>,
    group: u64,
    name: &str,
) -> Result<(u64, Timestamp), LogsError> {
    let found = streams.get((group, name))?.ok_or_else(|| LogsError::no_stream(name))?;
    let (id, created) = found.value();
    Ok((id, Timestamp::from_millis(created)))
}

/// What changes of this stream.
pub(crate) fn heat(
    table: &impl ReadableTable<u64, HeatTuple>,
    stream: u64,
) -> Result<Heat, LogsError> {
    Ok(table.get(stream)?.map_or_else(Heat::default, |value| Heat::from_tuple(value.value())))
}
