//! The door to the log store: opening it, and getting work to its writer and its readers.

use std::path::PathBuf;
use std::sync::Arc;

use redb::Database;
use shell::Clock;
use tokio::sync::watch;

use crate::tables::{Snapshot, Tables};
use crate::writer::Writer;
use crate::{LogsError, arn};

/// The file's name in the data folder.
const FILE: &str = "logs.redb";

/// How to open the log store.
#[derive(Clone, Debug)]
pub struct LogsConfig {
    /// The folder of its file; it must exist.
    pub dir: PathBuf,
    /// The account, for ARNs.
    pub account: String,
    /// The region, for ARNs.
    pub region: String,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How many bytes of the file are kept in memory.
    pub cache_bytes: usize,
}

impl LogsConfig {
    /// With a cache of 4 MiB.
    pub fn new(
        dir: impl Into<PathBuf>,
        account: impl Into<String>,
        region: impl Into<String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            dir: dir.into(),
            account: account.into(),
            region: region.into(),
            clock,
            cache_bytes: 4 * 1024 * 1024,
        }
    }
}

/// The log store. Cheap to clone; the last clone to go closes it, after what is queued is done.
#[derive(Clone, Debug)]
pub struct Logs {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    // Before the database, so that the writer is done when that is closed.
    writer: Writer,
    database: Arc<Database>,
    pub(crate) config: LogsConfig,
}

impl Logs {
    /// Opens the store in `config.dir`, and makes it if there is none. After a crash it is repaired
    /// first, which may take some seconds a gigabyte, and milliseconds if it was idle.
    ///
    /// # Errors
    /// The file cannot be opened, is not a log store, or another process has it open.
    pub fn open(config: LogsConfig) -> Result<Self, LogsError> {
        let database = redb::Builder::new()
            .set_cache_size(config.cache_bytes)
            .create(config.dir.join(FILE))
            .map_err(|error| LogsError::storage("open", error))?;
        // Readers can rely upon every table from here on.
        let transaction = database.begin_write()?;
        drop(Tables::open(&transaction)?);
        transaction.commit()?;
        let database = Arc::new(database);
        let writer = Writer::start(Arc::clone(&database))
            .map_err(|error| LogsError::storage("start the writer of", error))?;
        Ok(Self { inner: Arc::new(Inner { writer, database, config }) })
    }

    /// A number that changes whenever anything was written: a follower reads to the end, waits for
    /// a change, and reads on.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.inner.writer.revision()
    }

    /// The name in a `logGroupIdentifier`, which is a name or an ARN.
    ///
    /// # Errors
    /// An ARN of another account or region.
    pub fn group_name(&self, identifier: &str) -> Result<String, LogsError> {
        arn::group_name(&self.inner.config.region, &self.inner.config.account, identifier)
    }

    /// Has `work` done durably.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, LogsError> + Send + 'static,
    ) -> Result<T, LogsError> {
        self.inner.writer.submit(bytes, work).await
    }

    /// Reads from a snapshot, on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Snapshot, &LogsConfig) -> Result<T, LogsError> + Send + 'static,
    ) -> Result<T, LogsError> {
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || {
            work(&Snapshot::open(&inner.database)?, &inner.config)
        });
        task.await.map_err(|_| LogsError::Closed)?
    }
}
