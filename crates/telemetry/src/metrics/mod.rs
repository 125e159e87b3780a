//! Metrics and alarms, as CloudWatch has them: storage, statistics, expressions, evaluation.
//!
//! [`Metrics`] keeps series of measurements in one redb file. A series is a metric (namespace, name,
//! dimensions) in a unit; its values are merged into buckets of a second for three hours (if it is of
//! high resolution), of a minute for 15 days, of five minutes for 63 days and of an hour for 455 days.
//!
//! Durability: what [`Metrics::put`] has acknowledged, and every change of an alarm, survives the loss
//! of power. What the platform measures of itself ([`Metrics::record`]) is in memory at once and
//! durable half a minute later. Bounds: so many series, of which those without data for an hour make
//! room for new ones, the longest silent first; so many bytes, beyond which the oldest data of
//! the finest buckets go before their time.
//!
//! Invariants: nothing here knows ECS or HTTP; time is the clock that [`MetricsConfig`] carries; a
//! refused call changes nothing.

pub mod alarm;
pub mod balancer;
mod disk;
mod error;
mod id;
mod list;
pub(crate) mod math;
mod memory;
mod point;
mod put;
mod query;
mod sketch;
#[cfg(test)]
mod tests;
mod tier;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use redb::Database;
use shell::Clock;
use stdx::Timestamp;
use tokio::sync::Notify;

pub use error::{MetricsError, Refused};
pub use id::{MetricId, Unit};
pub use list::{ListQuery, Shown};
pub use math::MathError;
pub use memory::{Resolution, Sample};
pub use point::{Statistic, StatisticError, StatisticSet, Values};
pub use put::MOST_DIMENSIONS;
pub use query::{Answer, MetricStat, Period, Query, QueryError, Source, check as check_queries};

use alarm::{Alarm, AlarmActions};
use memory::Memory;
use writer::{Books, Writer, lock};

/// The file's name in the data folder.
const FILE: &str = "metrics.redb";

/// How to open the metric store.
#[derive(Clone, Debug)]
pub struct MetricsConfig {
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
    /// The most series.
    pub most_series: usize,
    /// The most bytes of data in the file.
    pub most_bytes: u64,
}

impl MetricsConfig {
    /// With a cache of 4 MiB, 20,000 series and 1 GiB.
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
            most_series: 20_000,
            most_bytes: 1 << 30,
        }
    }
}

/// The metric store. Cheap to clone; the last clone to go writes what is not yet in the file.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    // Before the database, so that the writer is done when that is closed.
    writer: Writer,
    database: Arc<Database>,
    memory: Arc<Mutex<Memory>>,
    alarms: Mutex<BTreeMap<String, Arc<Alarm>>>,
    /// Held while alarms change, so that memory learns of changes in their order.
    changing: tokio::sync::Mutex<()>,
    /// What does actions, once it is there.
    actions: OnceLock<Arc<dyn AlarmActions>>,
    /// An alarm's state was set by hand: its actions are due.
    set_by_hand: Notify,
    pub(crate) config: MetricsConfig,
}

impl Metrics {
    /// Opens the store in `config.dir`, and makes it if there is none.
    ///
    /// # Errors
    /// The file cannot be opened, is not a metric store, or another process has it open.
    pub fn open(config: MetricsConfig) -> Result<Self, MetricsError> {
        let database = redb::Builder::new()
            .set_cache_size(config.cache_bytes)
            .create(config.dir.join(FILE))
            .map_err(|error| MetricsError::storage("open", error))?;
        disk::prepare(&database)?;
        let database = Arc::new(database);
        let memory = Memory::new(config.most_series, disk::series(&database)?);
        let memory = Arc::new(Mutex::new(memory));
        let journal = disk::journal(&database)?;
        let books = Books {
            database: Arc::clone(&database),
            memory: Arc::clone(&memory),
            clock: Arc::clone(&config.clock),
            flushed_to: 0,
            next_entry: journal.iter().map(|(number, _)| number + 1).max().unwrap_or(1),
            most_bytes: config.most_bytes,
        };
        let unwritten: Vec<Vec<Sample>> = journal.into_iter().map(|(_, samples)| samples).collect();
        books.learn(&unwritten);
        let alarms = Mutex::new(alarm::load(&database)?);
        let writer = Writer::start(books)
            .map_err(|error| MetricsError::storage("start the writer of", error))?;
        Ok(Self {
            inner: Arc::new(Inner {
                writer,
                database,
                memory,
                alarms,
                changing: tokio::sync::Mutex::new(()),
                actions: OnceLock::new(),
                set_by_hand: Notify::new(),
                config,
            }),
        })
    }

    /// Says who does the actions of alarms. Until it is called, no alarm may have any; a second call
    /// changes nothing.
    pub fn set_actions(&self, actions: Arc<dyn AlarmActions>) {
        if self.inner.actions.set(actions).is_err() {
            tracing::error!("who does the actions of alarms was said already");
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.config.clock.now()
    }

    /// `PutMetricData`: returns when the samples are durable and can be read. All of them or none.
    ///
    /// # Errors
    /// More than 1,000 samples; names, dimensions, values or times that CloudWatch refuses; more
    /// metrics than there may be.
    pub async fn put(&self, samples: Vec<Sample>) -> Result<(), MetricsError> {
        let now = self.now();
        put::check(&samples, now)?;
        lock(&self.inner.memory).admit(&samples, now.as_secs())?;
        self.inner.writer.put(samples).await
    }

    /// Takes what the platform measures of itself: it can be read at once and is durable within half
    /// a minute. Samples beyond the bounds are dropped with a line in the log.
    pub fn record(&self, samples: &[Sample]) {
        let now = self.now().as_secs();
        let load = |key| disk::chunk(&self.inner.database, key);
        let mut memory = lock(&self.inner.memory);
        let failed = samples.iter().filter_map(|sample| memory.add(sample, now, &load).err());
        let mut failed = failed.peekable();
        if let Some(error) = failed.next() {
            let more = failed.count();
            tracing::warn!(error = %stdx::chain(&error), more, "samples were dropped");
        }
    }

    /// Writes everything that is not in the file yet.
    ///
    /// # Errors
    /// The file cannot be written; what was not written is kept.
    pub async fn flush(&self) -> Result<(), MetricsError> {
        self.inner.writer.flush().await
    }

    /// The alarms as they are now.
    fn all_alarms(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Alarm>>> {
        self.inner.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
