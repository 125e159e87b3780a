//! The outbox: deliveries that are not done, and how far each source of events has been told of, in
//! one file and one transaction. What was put is there after any crash; what was taken out may come
//! back, and is delivered again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use stdx::Timestamp;

const DELIVERIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("deliveries");
const CURSORS: TableDefinition<'_, &str, u64> = TableDefinition::new("cursors");
/// How much of the file is kept in memory.
const CACHE: usize = 8 * 1024 * 1024;

/// An event on its way to a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The rule that took it.
    pub rule: String,
    /// The target's id in the rule.
    pub target: String,
    /// The event's id.
    pub event_id: String,
    /// The event as JSON.
    pub event: Arc<str>,
    /// When it came.
    pub came: Timestamp,
    /// So many attempts have failed.
    pub attempts: u32,
    /// So many more than one are made.
    pub most_retries: u32,
    /// It is given up when it is so many seconds old.
    pub most_seconds: u32,
}

/// How far a source of events has been told of: a number that grows, or that there is nothing more to
/// tell.
pub type Cursor = (String, Option<u64>);

/// Why the outbox cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// It cannot be opened.
    #[error("open {path}")]
    Open {
        /// Where it lies.
        path: PathBuf,
        /// Why.
        source: redb::Error,
    },
    /// It cannot be read or written.
    #[error("use the outbox of events")]
    Use(#[from] redb::Error),
    /// A delivery in it cannot be read.
    #[error("read the delivery {number} of the outbox of events")]
    Record {
        /// Its number.
        number: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// The thread that would do it is gone.
    #[error("the outbox of events is closed")]
    Closed,
}

/// Everything that lies in the outbox when it is opened.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Deliveries by number: the order in which they came.
    pub(crate) deliveries: BTreeMap<u64, Delivery>,
    /// Cursors by source.
    pub(crate) cursors: BTreeMap<String, u64>,
}

/// The outbox.
#[derive(Clone, Debug)]
pub(crate) struct Outbox(Arc<Database>);

type Result<T, E = OutboxError> = std::result::Result<T, E>;

impl Outbox {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    ///
    /// If it cannot be opened or read.
    pub(crate) fn open(path: &Path) -> Result<(Self, Contents)> {
        let failed = |source| OutboxError::Open { path: path.to_owned(), source };
        let database = redb::Builder::new()
            .set_cache_size(CACHE)
            .create(path)
            .map_err(|error| failed(error.into()))?;
        let this = Self(Arc::new(database));
        this.write(true, |_, _| Ok(()))?;
        let contents = this.read()?;
        Ok((this, contents))
    }

    fn read(&self) -> Result<Contents> {
        let reading = self.0.begin_read().map_err(redb::Error::from)?;
        let mut contents = Contents::default();
        let table = reading.open_table(DELIVERIES).map_err(redb::Error::from)?;
        for entry in table.iter().map_err(redb::Error::from)? {
            let (number, value) = entry.map_err(redb::Error::from)?;
            let number = number.value();
            let delivery = serde_json::from_slice(value.value())
                .map_err(|source| OutboxError::Record { number, source })?;
            contents.deliveries.insert(number, delivery);
        }
        let table = reading.open_table(CURSORS).map_err(redb::Error::from)?;
        for entry in table.iter().map_err(redb::Error::from)? {
            let (source, at) = entry.map_err(redb::Error::from)?;
            contents.cursors.insert(source.value().to_owned(), at.value());
        }
        Ok(contents)
    }

    fn write(
        &self,
        durable: bool,
        work: impl FnOnce(
            &mut redb::Table<'_, u64, &'static [u8]>,
            &mut redb::Table<'_, &'static str, u64>,
        ) -> std::result::Result<(), redb::Error>,
    ) -> Result<()> {
        let mut writing = self.0.begin_write().map_err(redb::Error::from)?;
        if durable {
            // After a crash the file opens at once.
            writing.set_quick_repair(true);
        } else {
            writing.set_durability(Durability::None).map_err(redb::Error::from)?;
        }
        {
            let mut deliveries = writing.open_table(DELIVERIES).map_err(redb::Error::from)?;
            let mut cursors = writing.open_table(CURSORS).map_err(redb::Error::from)?;
            work(&mut deliveries, &mut cursors)?;
        }
        writing.commit().map_err(redb::Error::from)?;
        Ok(())
    }

    /// Puts deliveries and cursors, and returns when they are durable. Blocks.
    ///
    /// # Errors
    ///
    /// If they are not durable; then nothing of them is there.
    pub(crate) fn put<'a>(
        &self,
        deliveries: &[(u64, Delivery)],
        cursors: impl IntoIterator<Item = (&'a String, &'a Option<u64>)>,
    ) -> Result<()> {
        self.write(true, |table, told| {
            for (number, delivery) in deliveries {
                table.insert(number, encode(delivery).as_slice())?;
            }
            for (source, at) in cursors {
                match at {
                    Some(at) => drop(told.insert(source.as_str(), at)?),
                    None => drop(told.remove(source.as_str())?),
                }
            }
            Ok(())
        })
    }

    /// Takes deliveries out that are done, and writes down what became of others. It is durable with
    /// the next [`Outbox::put`]. Blocks.
    ///
    /// # Errors
    ///
    /// If it could not be written; then the same deliveries are made again after the next start.
    pub(crate) fn settle(&self, done: &[u64], again: &[(u64, Delivery)]) -> Result<()> {
        self.write(false, |table, _| {
            for number in done {
                table.remove(number)?;
            }
            for (number, delivery) in again {
                table.insert(number, encode(delivery).as_slice())?;
            }
            Ok(())
        })
    }
}

fn encode(delivery: &Delivery) -> Vec<u8> {
    serde_json::to_vec(delivery).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(event: &str) -> Delivery {
        Delivery {
            rule: "r".into(),
            target: "t".into(),
            event_id: event.into(),
            event: "{}".into(),
            came: Timestamp::EPOCH,
            attempts: 0,
            most_retries: 185,
            most_seconds: 86_400,
        }
    }

    #[test]
    fn what_was_put_is_there_when_it_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox.redb");
        let (outbox, contents) = Outbox::open(&path).unwrap();
        assert!(contents.deliveries.is_empty() && contents.cursors.is_empty());
        let cursors =
            BTreeMap::from([("task/a".to_owned(), Some(3)), ("task/b".to_owned(), Some(1))]);
        outbox
            .put(&[(1, delivery("a")), (2, delivery("b")), (3, delivery("c"))], &cursors)
            .unwrap();
        let tried = Delivery { attempts: 1, ..delivery("b") };
        outbox.settle(&[1], &[(2, tried.clone())]).unwrap();
        outbox.put(&[], &BTreeMap::from([("task/b".to_owned(), None)])).unwrap();
        drop(outbox);
        let (_, contents) = Outbox::open(&path).unwrap();
        assert_eq!(contents.deliveries, BTreeMap::from([(2, tried), (3, delivery("c"))]));
        assert_eq!(contents.cursors, BTreeMap::from([("task/a".to_owned(), 3)]));
    }
}
