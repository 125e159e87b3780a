//! Alarms: what is watched, in which state it is, and what is done when that changes.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html>
//!
//! `evaluate` is pure and says in which state an alarm ought to be, `words` why, as CloudWatch writes
//! it; `check` refuses what cannot be; `book` keeps alarms and their history in the file; `watch`
//! looks at each of them when it is due, and has its actions done.

mod book;
mod check;
mod evaluate;
mod history;
#[cfg(test)]
mod tests;
mod watch;
mod words;

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use stdx::Timestamp;

pub(crate) use book::load;
pub use book::{AlarmQuery, alarm_name};
pub(crate) use history::sweep as sweep_history;
pub use history::{HistoryItem, HistoryKind, HistoryPage, HistoryQuery};
pub use watch::watch;

use super::query::{MetricStat, Query, Source};

/// In which state an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AlarmState {
    /// `OK`: within the threshold.
    Ok,
    /// `ALARM`: beyond it.
    Alarm,
    /// `INSUFFICIENT_DATA`: not known.
    Insufficient,
}

impl AlarmState {
    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::Insufficient => "INSUFFICIENT_DATA",
        }
    }
}

/// How a value is held against the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `GreaterThanOrEqualToThreshold`.
    GreaterOrEqual,
    /// `GreaterThanThreshold`.
    Greater,
    /// `LessThanThreshold`.
    Less,
    /// `LessThanOrEqualToThreshold`.
    LessOrEqual,
}

impl Comparison {
    /// Whether a value is beyond the threshold.
    pub fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::GreaterOrEqual => value >= threshold,
            Self::Greater => value > threshold,
            Self::Less => value < threshold,
            Self::LessOrEqual => value <= threshold,
        }
    }
}

/// What a period without data counts for: `TreatMissingData`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// `missing`: nothing; without any data the state is not known.
    #[default]
    Missing,
    /// `ignore`: the state stays.
    Ignore,
    /// `breaching`: beyond the threshold.
    Breaching,
    /// `notBreaching`: within the threshold.
    NotBreaching,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Watched {
    /// A statistic of a metric.
    Metric(MetricStat),
    /// The one query of these that is answered.
    Queries(Vec<Query>),
}

impl Watched {
    /// The seconds of a period; a minute if nothing says so.
    pub fn period(&self) -> u32 {
        let of = |query: &Query| match &query.source {
            Source::Metric(stat) => Some(stat.period),
            Source::Expression { period, .. } => *period,
        };
        match self {
            Self::Metric(stat) => stat.period,
            Self::Queries(queries) => queries.iter().find_map(of).unwrap_or(60),
        }
    }
}

/// An alarm as it is put: `PutMetricAlarm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmConfig {
    /// Its name, unique in account and region.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether its actions are done.
    pub actions_enabled: bool,
    /// ARNs of what is done when it becomes OK.
    pub ok_actions: Vec<String>,
    /// ARNs of what is done when it becomes ALARM.
    pub alarm_actions: Vec<String>,
    /// ARNs of what is done when it becomes INSUFFICIENT_DATA.
    pub insufficient_actions: Vec<String>,
    /// What is watched.
    pub watched: Watched,
    /// The last so many periods are looked at: N.
    pub evaluation_periods: u32,
    /// So many of them are beyond the threshold in ALARM: M; all of them if not given.
    pub datapoints_to_alarm: Option<u32>,
    /// The threshold.
    pub threshold: f64,
    /// How values are held against it.
    pub comparison: Comparison,
    /// What a period without data counts for; [`Missing::Missing`] if not given.
    pub missing: Option<Missing>,
    /// For percentiles: whether the state stays while there are too few samples to tell
    /// (`EvaluateLowSampleCountPercentile`); none if not given, which is to evaluate.
    pub ignore_low_samples: Option<bool>,
}

impl AlarmConfig {
    /// M of N.
    pub fn datapoints(&self) -> u32 {
        self.datapoints_to_alarm.unwrap_or(self.evaluation_periods)
    }

    /// What is done in a state.
    pub fn actions(&self, state: AlarmState) -> &[String] {
        match state {
            AlarmState::Ok => &self.ok_actions,
            AlarmState::Alarm => &self.alarm_actions,
            AlarmState::Insufficient => &self.insufficient_actions,
        }
    }
}

/// An alarm as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// As it was put.
    pub config: AlarmConfig,
    /// Its ARN.
    pub arn: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// In which state it is.
    pub state: AlarmState,
    /// Why.
    pub reason: String,
    /// The same for programs: JSON, or nothing.
    pub reason_data: Option<String>,
    /// When the state was last set, whether to another one or not.
    pub state_updated: Timestamp,
    /// When it last became another one.
    pub state_changed: Timestamp,
    /// When it was put.
    pub configured: Timestamp,
}

/// An action that is to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmAction {
    /// What is to be done.
    pub arn: String,
    /// The alarm's name.
    pub alarm_name: String,
    /// The alarm's ARN.
    pub alarm_arn: String,
    /// The state that it is in.
    pub state: AlarmState,
    /// The newest value that was looked at; none if there was none, or the state was set by hand.
    pub value: Option<f64>,
    /// The alarm's threshold.
    pub threshold: f64,
    /// Why it is in that state.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Does what alarms ask for. The binary knows what there is to be done; this room does not.
#[async_trait]
pub trait AlarmActions: Send + Sync + std::fmt::Debug {
    /// Whether this ARN names something that can be done: others are refused by `PutMetricAlarm`.
    fn supports(&self, arn: &str) -> bool;

    /// Whether it is done again each minute while the alarm stays in its state, as scaling policies
    /// are.
    fn repeats(&self, arn: &str) -> bool;

    /// Does it; says what was done.
    ///
    /// # Errors
    /// Why not: it becomes part of the alarm's history.
    async fn invoke(&self, action: &AlarmAction) -> Result<String, String>;
}
