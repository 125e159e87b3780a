//! The queue by which entries of logs leave the threads that serve: bounded, and with a count of what it
//! could not take, so that a log that is slow costs entries and never requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::{AccessEntry, BalancerId, ConnectionEntry, FlowEntry};

/// What a balancer logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// A request that an application load balancer had (`access_logs.s3.enabled`).
    Request(Box<AccessEntry>),
    /// A connection that an application load balancer had (`connection_logs.s3.enabled`).
    Connection(Box<ConnectionEntry>),
    /// A connection by TLS that a network load balancer had (`access_logs.s3.enabled`).
    Flow(Box<FlowEntry>),
}

impl LogEntry {
    /// Whose log it belongs to.
    pub const fn balancer(&self) -> &BalancerId {
        match self {
            Self::Request(entry) => &entry.balancer,
            Self::Connection(entry) => &entry.balancer,
            Self::Flow(entry) => &entry.balancer,
        }
    }
}

/// Where the balancer puts entries.
#[derive(Clone, Debug)]
pub struct LogSink {
    entries: mpsc::Sender<LogEntry>,
    lost: Arc<AtomicU64>,
}

/// Where somebody else takes them from. It wakes nobody: who takes them looks now and then, which spares
/// the serving threads a wake-up for each entry.
#[derive(Debug)]
pub struct LogSource {
    entries: mpsc::Receiver<LogEntry>,
    lost: Arc<AtomicU64>,
}

/// A queue of at most so many entries.
pub fn log_queue(most: usize) -> (LogSink, LogSource) {
    let (sender, receiver) = mpsc::channel(most);
    let lost = Arc::<AtomicU64>::default();
    (LogSink { entries: sender, lost: Arc::clone(&lost) }, LogSource { entries: receiver, lost })
}

impl LogSink {
    /// Puts an entry, or counts it as lost.
    pub(crate) fn put(&self, entry: LogEntry) {
        if self.entries.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl LogSource {
    /// The next entry, if one waits.
    pub fn take(&mut self) -> Option<LogEntry> {
        self.entries.try_recv().ok()
    }

    /// How many entries were lost since this was asked the last time.
    pub fn lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_entries_and_counts_them() {
        let (sink, mut source) = log_queue(2);
        let entry = |trace| LogEntry::Connection(Box::new(ConnectionEntry::of_test(trace)));
        (0..5).for_each(|trace| sink.put(entry(trace)));
        assert_eq!((source.lost(), source.lost()), (3, 0));
        assert_eq!(source.take(), Some(entry(0)));
        sink.put(entry(9));
        assert_eq!(
            [source.take(), source.take(), source.take()],
            [Some(entry(1)), Some(entry(9)), None]
        );
        assert_eq!(source.lost(), 0);
    }
}
