//! The embedded engine: redb, one file, no server.
//!
//! Under load each commit is one-phase. After a quiet moment an empty quick-repair commit makes the
//! next start a matter of milliseconds even if the process is killed.

use std::ops::RangeBounds;
use std::path::Path;

use model::{Change, Table};
use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, StorageBackend, TableDefinition,
};

use crate::record;
use crate::{Engine, EngineError, Write};

const RECORDS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("records");
const FACTS: TableDefinition<'static, &str, u64> = TableDefinition::new("facts");
const FORMAT: u64 = 1;
/// The state is in memory already; the file's cache only helps its writer. Half of it takes the pages
/// that a commit changes: a round on a large state changes thousands, and what finds no place is
/// written, read again for its checksum, and written again. A small file never fills it.
const CACHE_BYTES: usize = 64 << 20;

/// With fewer records than this a second thread is not worth its start.
const WORTH_A_THREAD: u64 = 20_000;
/// So many records are handed over at once.
const CHUNK: usize = 1024;

/// Records in a redb file.
#[derive(Debug)]
pub struct RedbEngine {
    database: Database,
    name: String,
}

impl RedbEngine {
    /// Opens or makes the file.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let name = path.display().to_string();
        let database = builder().create(path).map_err(|e| opening(&name, e))?;
        // A new file's name is durable only when its folder is.
        if let Some(folder) = path.parent() {
            std::fs::File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|e| EngineError::io(format!("make {name} durable"), e))?;
        }
        Self::prepare(database, name)
    }

    /// Opens or makes a database over something else than a file, such as a simulated disk.
    pub fn over(backend: impl StorageBackend) -> Result<Self, EngineError> {
        let name = "the given storage".to_owned();
        let database = builder().create_with_backend(backend).map_err(|e| opening(&name, e))?;
        Self::prepare(database, name)
    }

    fn prepare(database: Database, name: String) -> Result<Self, EngineError> {
        let engine = Self { database, name };
        engine.transact("prepare", false, |txn| {
            txn.open_table(RECORDS)?;
            let mut facts = txn.open_table(FACTS)?;
            if facts.get("format")?.is_none() {
                facts.insert("format", FORMAT)?;
            }
            Ok(())
        })?;
        let found = engine.fact("format")?;
        if found != FORMAT {
            return Err(EngineError::Format { found, expected: FORMAT });
        }
        Ok(engine)
    }

    fn fact(&self, which: &str) -> Result<u64, EngineError> {
        let read = || -> Result<u64, redb::Error> {
            let txn = self.database.begin_read()?;
            let value = txn.open_table(FACTS)?.get(which)?.map(|v| v.value());
            Ok(value.unwrap_or(0))
        };
        read().map_err(|e| EngineError::io(format!("read from {}", self.name), e))
    }

    fn transact(
        &self,
        what: &str,
        quick_repair: bool,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), EngineError> {
        let write = || -> Result<(), redb::Error> {
            let mut txn = self.database.begin_write()?;
            txn.set_quick_repair(quick_repair);
            work(&txn)?;
            txn.commit()?;
            Ok(())
        };
        write().map_err(|e| EngineError::io(format!("{what} {}", self.name), e))
    }
}

// === Loading ===

impl RedbEngine {
    fn reading(&self, error: impl Into<redb::Error>) -> EngineError {
        EngineError::io(format!("read from {}", self.name), error.into())
    }

    fn table(&self) -> Result<ReadOnlyTable<&'static str, &'static [u8]>, EngineError> {
        let txn = self.database.begin_read().map_err(|e| self.reading(e))?;
        txn.open_table(RECORDS).map_err(|e| self.reading(e))
    }

    fn records(&self) -> Result<u64, EngineError> {
        self.table()?.len().map_err(|e| self.reading(e))
    }

    /// Gives the records of a range of keys, which share the text of their identities.
    fn read<'a>(
        &self,
        keys: impl RangeBounds<&'a str> + 'a,
        each: &mut dyn FnMut(Change),
    ) -> Result<(), EngineError> {
        let table = self.table()?;
        stdx::sharing(|| {
            for row in table.range(keys).map_err(|e| self.reading(e))? {
                let (key, value) = row.map_err(|e| self.reading(e))?;
                each(record::decode(key.value(), value.value())?);
            }
            Ok(())
        })
    }

    /// Gives every record. How far tasks have come is nearly half of them, and to decode them is most
    /// of the work: a second thread does that half meanwhile.
    fn load_by_two(&self, each: &mut dyn FnMut(Change)) -> Result<(), EngineError> {
        let (from, to) = record::range(Table::Progress);
        let (from, to) = (from.as_str(), to.as_str());
        std::thread::scope(|scope| {
            let (chunks, decoded) = std::sync::mpsc::channel();
            let second = scope.spawn(move || {
                let mut chunk = Vec::with_capacity(CHUNK);
                let read = self.read(from..to, &mut |change| {
                    chunk.push(change);
                    if chunk.len() == CHUNK {
                        let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                        // Nobody takes it any more when the other half could not be read.
                        drop(chunks.send(full));
                    }
                });
                drop(chunks.send(chunk));
                read
            });
            self.read(..from, each)?;
            self.read(to.., each)?;
            decoded.into_iter().flatten().for_each(each);
            second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn opening(name: &str, error: DatabaseError) -> EngineError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => EngineError::InUse { path: name.to_owned() },
        error => EngineError::io(format!("open {name}"), error),
    }
}

impl Engine for RedbEngine {
    fn load(&mut self, each: &mut dyn FnMut(Change)) -> Result<u64, EngineError> {
        if self.records()? < WORTH_A_THREAD {
            self.read(.., each)?;
        } else {
            self.load_by_two(each)?;
        }
        self.fact("revision")
    }

    fn commit(&mut self, revision: u64, writes: &[Write]) -> Result<(), EngineError> {
        self.transact("write to", false, |txn| {
            let mut records = txn.open_table(RECORDS)?;
            for write in writes {
                match &write.value {
                    Some(value) => records.insert(write.key.as_str(), value.as_slice())?,
                    None => records.remove(write.key.as_str())?,
                };
            }
            txn.open_table(FACTS)?.insert("revision", revision)?;
            Ok(())
        })
    }

    fn idle(&mut self) -> Result<(), EngineError> {
        self.transact("tidy", true, |_| Ok(()))
    }
}
