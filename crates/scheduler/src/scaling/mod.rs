//! What makes services grow and shrink: what may be asked of scaling, the arithmetic of its policies
//! and schedules, and what ought to happen now.
//! <https://docs.aws.amazon.com/autoscaling/application/userguide/what-is-application-auto-scaling.html>
//!
//! [`asks`] says which metrics to read, [`watch`] makes commands of what was read. Like everything
//! that is planned they are checked again when they commit, in `decide`.
//!
//! The rule of target tracking. Data points are looked at in windows: ten seconds, or three data
//! points where they come less often. A policy scales out when the mean of the newest window is above
//! the target, and so are four of five of its data points (of an amount, such as requests, each third
//! of the window): to the count at which the metric would be at the target. It scales in when each of
//! the last seven windows was below 90 % of the target: to the count at which the highest of the
//! newest six would be at 90 %. Only windows since the service's last task came or went count, so that
//! a change is judged by what came of it. Without data it does nothing.

mod command;
mod cron;
pub(crate) mod judge;
pub(crate) mod metric;
pub(crate) mod pace;
mod schedule;
pub(crate) mod steps;
pub(crate) mod text;
mod watch;
pub(crate) mod window;

pub use command::{
    AlarmFired, NewAction, NewPolicy as NewScalingPolicy, NotScale, Scale, ScalingCommand,
    ScalingRejection, TargetBounds,
};
pub use metric::{Ask, Question, Series, asked, question};
pub(crate) use schedule::{Calendar, next};
pub use schedule::{due, parse_recurrence, parse_schedule};
pub use steps::check_steps;
pub use watch::{Answer, asks, enough, is_idle, looks, watch};

pub(crate) use watch::{Ending, is_told, open, settles};
pub use window::Points;

pub(crate) use command::{MOST_ACTIONS, MOST_POLICIES};
