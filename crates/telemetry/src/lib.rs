//! Logs and metrics: log groups, streams and their events as CloudWatch Logs has them, series of
//! measurements and alarms as CloudWatch has them. Storage and queries. Metrics are in [`metrics`].
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
pub mod metrics;
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
pub use metrics::alarm::{AlarmAction, AlarmActions, AlarmConfig, AlarmState};
pub use metrics::balancer::{BalancerKind, BalancerSample, TargetGroupSample};
pub use metrics::{
    Answer, MathError, MetricId, MetricStat, Metrics, MetricsConfig, MetricsError, Query,
    QueryError, Resolution, Sample, Source, Statistic, StatisticSet, Unit, Values,
};
pub use types::{
    EventPage, FilterQuery, FilteredEvent, FilteredPage, GetQuery, InputEvent, LogGroup, LogStream,
    OutputEvent, Page, PutOutcome, Rejected, StreamOrder, StreamQuery, SweepReport,
};
