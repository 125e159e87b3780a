//! Log groups, log streams and their events, as CloudWatch Logs has them: storage and queries.
//!
//! [`Logs`] keeps everything in one redb file. Every change goes through one writer thread that
//! commits what has queued up in one durable transaction, so an acknowledged event survives the
//! loss of power, and many writers share one flush. Reads are snapshots and never wait for it.
//!
//! Invariants: nothing here knows ECS or HTTP; time is the clock that [`LogsConfig`] carries; a
//! refused call changes nothing; memory does not grow with what is stored.

mod arn;
mod error;
mod events;
mod get;
mod groups;
mod limits;
mod logs;
pub mod pattern;
mod search;
mod streams;
mod sweep;
mod tables;
mod token;
mod types;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{LogsError, Subject};
pub use limits::RETENTION_DAYS;
pub use logs::{Logs, LogsConfig};
pub use types::{
    EventPage, FilterQuery, FilteredEvent, FilteredPage, GetQuery, InputEvent, LogGroup, LogStream,
    OutputEvent, Page, PutOutcome, Rejected, StreamOrder, StreamQuery, SweepReport,
};
