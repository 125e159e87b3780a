//! The door to buckets and objects: opening them, and getting work done in transactions.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTable};
use shell::{Clock, OsEntropy};
use stdx::{Entropy, Timestamp};

use crate::content::Content;
use crate::tables::{Snapshot, Tables};
use crate::{Algorithm, Incoming, ObjectsError};

/// The file's name in the folder.
const FILE: &str = "objects.redb";

/// The most bytes of a body, and so of an object that is put whole or of a part: 5 GiB, as in S3.
pub const MOST_BYTES: u64 = 5 << 30;

/// How to open the store of objects.
#[derive(Clone, Debug)]
pub struct ObjectsConfig {
    /// The folder of its files; it must exist.
    pub dir: PathBuf,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How many bytes of the records are kept in memory.
    pub cache_bytes: usize,
}

impl ObjectsConfig {
    /// With a cache of 4 MiB.
    pub fn new(dir: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { dir: dir.into(), clock, cache_bytes: 4 * 1024 * 1024 }
    }
}

/// Buckets and objects. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    content: Content,
    clock: Arc<dyn Clock>,
    /// Held while records change and the content that they name comes and goes, so that nothing is
    /// removed that somebody is about to name.
    turn: Mutex<()>,
}

/// What work in a transaction is given beside the tables.
pub(crate) struct Desk<'a> {
    pub(crate) content: &'a Content,
    pub(crate) now: Timestamp,
}

impl Objects {
    /// Opens the store in `config.dir`, and makes it if there is none. Content that no record names
    /// is removed: a process that was killed may have left it.
    ///
    /// # Errors
    /// The file cannot be opened, is not such a store, or another process has it open.
    pub fn open(config: ObjectsConfig) -> Result<Self, ObjectsError> {
        let database = redb::Builder::new()
            .set_cache_size(config.cache_bytes)
            .create(config.dir.join(FILE))
            .map_err(|error| ObjectsError::storage("open", error))?;
        let content = Content::open(&config.dir)?;
        let transaction = database.begin_write()?;
        let tables = Tables::open(&transaction)?;
        let mut used = BTreeSet::new();
        for entry in tables.uses.iter()? {
            used.insert(entry?.0.value().to_owned());
        }
        drop(tables);
        transaction.commit()?;
        for digest in content.all()?.iter().filter(|digest| !used.contains(*digest)) {
            content.remove(digest)?;
        }
        let (clock, turn) = (config.clock, Mutex::new(()));
        Ok(Self { inner: Arc::new(Inner { database, content, clock, turn }) })
    }

    /// Begins to receive a body, of which these checksums are wanted.
    ///
    /// # Errors
    /// The disk fails.
    pub fn receive(&self, algorithms: &[Algorithm]) -> Result<Incoming, ObjectsError> {
        let file = self.inner.content.create(&OsEntropy.hex32())?;
        Ok(Incoming::new(file, algorithms))
    }

    /// Does `work` in a transaction and returns when that is durable. A refusal takes everything
    /// back. When the caller goes away the work is done all the same.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables<'_>, &Desk<'_>) -> Result<T, ObjectsError> + Send + 'static,
    ) -> Result<T, ObjectsError> {
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || {
            let _turn = inner.turn.lock().unwrap_or_else(PoisonError::into_inner);
            let mut transaction = inner.database.begin_write()?;
            // Opens in milliseconds after a crash.
            transaction.set_quick_repair(true);
            let mut tables = Tables::open(&transaction)?;
            let desk = Desk { content: &inner.content, now: inner.clock.now() };
            // An error drops the transaction, and with it all that was done.
            let result = work(&mut tables, &desk)?;
            let unused = tables.unused()?;
            drop(tables);
            transaction.commit()?;
            for digest in unused {
                if let Err(error) = inner.content.remove(&digest) {
                    let error = stdx::chain(&error);
                    tracing::warn!(error, "content without a use stays until the next start");
                }
            }
            Ok(result)
        });
        task.await.map_err(|_| ObjectsError::Closed)?
    }

    /// Reads from a snapshot, on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Snapshot) -> Result<T, ObjectsError> + Send + 'static,
    ) -> Result<T, ObjectsError> {
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || {
            work(&Snapshot::open(inner.database.begin_read()?)?)
        });
        task.await.map_err(|_| ObjectsError::Closed)?
    }

    pub(crate) fn content(&self) -> &Content {
        &self.inner.content
    }
}
