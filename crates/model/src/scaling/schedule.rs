//! Scheduled actions and their schedules.
//! <https://docs.aws.amazon.com/autoscaling/application/userguide/scheduled-scaling-using-cron-expressions.html>

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::ScheduledActionKey;

/// New bounds for a scalable target at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledAction {
    /// Where it is found.
    pub key: ScheduledActionKey,
    /// When, as it was given.
    pub expression: String,
    /// The time zone of the expression where given, by its IANA name.
    pub zone: Option<String>,
    /// The same, understood.
    pub schedule: Schedule,
    /// Not before.
    pub starts: Option<Timestamp>,
    /// Not after.
    pub ends: Option<Timestamp>,
    /// The fewest tasks from then on, where given.
    pub min: Option<u32>,
    /// The most tasks from then on, where given.
    pub max: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whatever was due until here has run, or was due before it was put in this form.
    pub done_until: Timestamp,
}

/// When a scheduled action runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schedule {
    /// Once.
    At(Timestamp),
    /// Again and again, this far apart.
    Every(Duration),
    /// By the calendar.
    Cron(Box<Cron>),
}

/// The minutes that a cron expression of AWS's form names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cron {
    /// 0 to 59.
    pub minutes: BTreeSet<u8>,
    /// 0 to 23.
    pub hours: BTreeSet<u8>,
    /// None if the days are named by the week.
    pub days: Option<BTreeSet<DayOfMonth>>,
    /// 1 to 12.
    pub months: BTreeSet<u8>,
    /// None if the days are named by the month.
    pub weekdays: Option<BTreeSet<DayOfWeek>>,
    /// 1970 to 2199.
    pub years: BTreeSet<u16>,
}

/// A day as a month has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DayOfMonth {
    /// `15`: the day, in months that have it.
    Day(u8),
    /// `L`: the last.
    Last,
    /// `15W`: the weekday nearest to the day, in the same month.
    WeekdayNear(u8),
    /// `LW`: the last weekday.
    LastWeekday,
}

/// A day as a week has it. Sunday is 1, as in AWS's expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DayOfWeek {
    /// `2`: each of them.
    Each(u8),
    /// `2L`: the last of the month.
    Last(u8),
    /// `2#3`: the third of the month.
    Nth(u8, u8),
}
