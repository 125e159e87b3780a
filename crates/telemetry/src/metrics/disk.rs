//! What is in the file: series, the pieces of their data, what came since those were last written,
//! alarms and their history.
//!
//! Data are keyed by time before series, so that what is too old is one range.

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::MetricsError;
use super::id::{MetricId, Unit};
use super::memory::Sample;
use super::tier::{Chunk, Tier};

/// Number → [`SeriesRecord`].
pub(crate) const SERIES: TableDefinition<u64, &[u8]> = TableDefinition::new("series");
/// Tier, first second, series → [`Chunk`].
pub(crate) const CHUNKS: TableDefinition<ChunkKey, &[u8]> = TableDefinition::new("chunks");
/// Number → samples that were acknowledged and are not in their chunks yet.
pub(crate) const JOURNAL: TableDefinition<u64, &[u8]> = TableDefinition::new("journal");
/// Name → alarm.
pub(crate) const ALARMS: TableDefinition<&str, &[u8]> = TableDefinition::new("alarms");
/// Millisecond, number → what has happened to an alarm.
pub(crate) const HISTORY: TableDefinition<(i64, u64), &[u8]> = TableDefinition::new("history");

/// Tier, first second, series.
pub(crate) type ChunkKey = (u8, i64, u64);

/// What a series is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SeriesRecord {
    pub(crate) id: MetricId,
    pub(crate) unit: Unit,
    /// Whether it has one-second data.
    pub(crate) high: bool,
    /// The second in which something last came, within an hour.
    pub(crate) last: i64,
}

/// Makes the tables, so that readers can rely upon them.
pub(crate) fn prepare(database: &Database) -> Result<(), MetricsError> {
    let transaction = database.begin_write()?;
    transaction.open_table(SERIES)?;
    transaction.open_table(CHUNKS)?;
    transaction.open_table(JOURNAL)?;
    transaction.open_table(ALARMS)?;
    transaction.open_table(HISTORY)?;
    Ok(transaction.commit()?)
}

/// Writes a record as it is read back by [`decode`].
pub(crate) fn encode<T: Serialize>(what: &str, record: &T) -> Result<Vec<u8>, MetricsError> {
    rmp_serde::to_vec_named(record).map_err(|_| MetricsError::Damaged(what.to_owned()))
}

/// Reads a record.
pub(crate) fn decode<T: for<'d> Deserialize<'d>>(
    what: &str,
    bytes: &[u8],
) -> Result<T, MetricsError> {
    rmp_serde::from_slice(bytes).map_err(|_| MetricsError::Damaged(what.to_owned()))
}

/// Every series with its number.
pub(crate) fn series(database: &Database) -> Result<Vec<(u64, SeriesRecord)>, MetricsError> {
    let table = database.begin_read()?.open_table(SERIES)?;
    let mut all = Vec::new();
    for entry in table.iter()? {
        let (number, record) = entry?;
        let number = number.value();
        all.push((number, decode(&format!("series {number}"), record.value())?));
    }
    Ok(all)
}

/// What the journal has: numbers and samples.
pub(crate) fn journal(database: &Database) -> Result<Vec<(u64, Vec<Sample>)>, MetricsError> {
    let table = database.begin_read()?.open_table(JOURNAL)?;
    let mut all = Vec::new();
    for entry in table.iter()? {
        let (number, samples) = entry?;
        all.push((number.value(), decode("the journal", samples.value())?));
    }
    Ok(all)
}

/// One piece of a series' data, if there is one. A damaged one counts as absent: the data that come
/// are worth more than those that cannot be read.
pub(crate) fn chunk(database: &Database, key: ChunkKey) -> Result<Option<Chunk>, MetricsError> {
    let table = database.begin_read()?.open_table(CHUNKS)?;
    let Some(found) = table.get(key)? else { return Ok(None) };
    let chunk = Chunk::decode(found.value());
    if chunk.is_none() {
        tracing::error!(?key, "a record of the metric store is damaged and is left out");
    }
    Ok(chunk)
}

/// Several of them from one snapshot.
pub(crate) fn chunks(database: &Database, keys: &[ChunkKey]) -> Result<Vec<Chunk>, MetricsError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let table = database.begin_read()?.open_table(CHUNKS)?;
    let mut found = Vec::new();
    for key in keys {
        match table.get(*key)? {
            Some(bytes) => found.push(Chunk::decode(bytes.value()).unwrap_or_default()),
            None => found.push(Chunk::default()),
        }
    }
    Ok(found)
}

/// Removes data that are older than their tier is kept, then, while there are more than `most`
/// bytes, the oldest of the finest tier. Returns how many bytes of data there are after that.
pub(crate) fn sweep(
    transaction: &WriteTransaction,
    now: i64,
    most: u64,
) -> Result<u64, MetricsError> {
    let mut table = transaction.open_table(CHUNKS)?;
    for tier in Tier::ALL {
        let end = now - tier.keep() - tier.chunk();
        let range = (tier.number(), i64::MIN, 0)..(tier.number(), end, 0);
        table.retain_in(range, |_, _| false)?;
    }
    let mut bytes = 0;
    for entry in table.iter()? {
        let (_, value) = entry?;
        bytes += u64::try_from(value.value().len()).unwrap_or(u64::MAX) + KEY_BYTES;
    }
    if bytes > most {
        bytes = shed(&mut table, bytes, most)?;
    }
    Ok(bytes)
}

/// What a key and its place cost, roughly.
const KEY_BYTES: u64 = 24;

/// Removes from the beginning of the table, which is the oldest of the finest tier.
fn shed(
    table: &mut Table<'_, ChunkKey, &'static [u8]>,
    mut bytes: u64,
    most: u64,
) -> Result<u64, MetricsError> {
    let before = bytes;
    while bytes > most {
        let Some((_, value)) = table.pop_first()? else { break };
        bytes -= (u64::try_from(value.value().len()).unwrap_or(0) + KEY_BYTES).min(bytes);
    }
    tracing::warn!(
        bytes = before - bytes,
        "The metric store is full: the oldest data were removed before their time."
    );
    Ok(bytes)
}
