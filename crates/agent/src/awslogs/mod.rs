//! The `awslogs` driver: a container's output into CloudWatch Logs.
//!
//! The runtime keeps output in files; here they are read and sent, and the place reached is
//! recorded after each batch that the server took: nothing is lost over a restart of anybody, and
//! at most one batch is sent twice.

mod batch;
mod ship;
pub(crate) mod unsent;

use std::fmt::Debug;
use std::io;

use runtime::log::{LogEntry, LogPosition, LogReader};

pub(crate) use self::batch::Batch;
pub(crate) use self::ship::{ShipAs, Shipper, prepare};

/// A container's log while it is written, read without waiting.
pub(crate) trait Tail: Send + Debug {
    /// The next entry, if it is there.
    fn next_entry(&mut self) -> io::Result<Option<LogEntry>>;

    /// Where the next entry begins.
    fn position(&self) -> LogPosition;

    /// Whether everything of the container's last run has been read.
    fn is_finished(&self) -> bool;
}

impl Tail for LogReader {
    fn next_entry(&mut self) -> io::Result<Option<LogEntry>> {
        Self::next_entry(self)
    }

    fn position(&self) -> LogPosition {
        Self::position(self)
    }

    fn is_finished(&self) -> bool {
        Self::is_finished(self)
    }
}
