//! What an alarm must be to be taken.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>

use std::collections::BTreeSet;

use super::{AlarmActions, AlarmConfig, Watched};
use crate::metrics::MetricsError;
use crate::metrics::point::Statistic;
use crate::metrics::query::{self, Query, QueryError, Source};

/// The most actions of a state.
const MOST_ACTIONS: usize = 5;
/// Periods of less than an hour cover at most a day, longer ones a week.
const DAY: u64 = 86_400;
const WEEK: u64 = 7 * DAY;

fn refuse(why: impl Into<String>) -> MetricsError {
    MetricsError::validation(why)
}

/// Refuses an alarm that cannot be.
pub(super) fn check(
    config: &AlarmConfig,
    actions: Option<&dyn AlarmActions>,
) -> Result<(), MetricsError> {
    let length = config.name.chars().count();
    if !(1..=255).contains(&length) || config.name.chars().any(char::is_control) {
        return Err(refuse(
            "AlarmName must have 1 to 255 characters, none of them a control character.",
        ));
    }
    if config.description.as_ref().is_some_and(|text| text.chars().count() > 1024) {
        return Err(refuse("AlarmDescription must not have more than 1024 characters."));
    }
    if !config.threshold.is_finite() {
        return Err(refuse("Threshold must be a number."));
    }
    period(config.watched.period())?;
    periods(config)?;
    match &config.watched {
        Watched::Metric(stat) => {
            let percentile = matches!(stat.statistic, Statistic::Percentile(_));
            if config.ignore_low_samples.is_some() && !percentile {
                return Err(refuse(
                    "EvaluateLowSampleCountPercentile can only be used with a percentile as \
                     ExtendedStatistic.",
                ));
            }
        }
        Watched::Queries(list) => {
            if config.ignore_low_samples.is_some() {
                return Err(refuse(
                    "EvaluateLowSampleCountPercentile cannot be used with Metrics.",
                ));
            }
            queries(list)?;
        }
    }
    check_actions(config, actions)
}

fn period(period: u32) -> Result<(), MetricsError> {
    match period {
        10 | 20 | 30 => Ok(()),
        minutes if minutes > 0 && minutes % 60 == 0 => Ok(()),
        other => {
            Err(refuse(format!("Period must be 10, 20, 30 or a multiple of 60; it is {other}.")))
        }
    }
}

fn periods(config: &AlarmConfig) -> Result<(), MetricsError> {
    let (all, period) = (config.evaluation_periods, config.watched.period());
    if all == 0 {
        return Err(refuse("EvaluationPeriods must be at least 1."));
    }
    let of_them = config.datapoints();
    if of_them == 0 || of_them > all {
        return Err(refuse(format!(
            "DatapointsToAlarm must be from 1 to EvaluationPeriods, which is {all}; it is {of_them}."
        )));
    }
    let most = if period < 3600 { DAY } else { WEEK };
    if u64::from(all) * u64::from(period) > most {
        return Err(refuse(format!(
            "Metrics cannot be checked across more than {} ({all} periods of {period} seconds).",
            if most == DAY { "a day" } else { "a week" }
        )));
    }
    Ok(())
}

fn queries(list: &[Query]) -> Result<(), MetricsError> {
    if list.len() > 20 {
        return Err(refuse("The collection Metrics must not have a size greater than 20."));
    }
    let answered = list.iter().filter(|query| query.returns).count();
    if answered != 1 {
        return Err(refuse(format!(
            "Exactly one element of the metrics list should return data; {answered} do."
        )));
    }
    let periods: BTreeSet<u32> = list
        .iter()
        .filter_map(|query| match &query.source {
            Source::Metric(stat) => Some(stat.period),
            Source::Expression { .. } => None,
        })
        .collect();
    if periods.len() > 1 {
        return Err(refuse("All metrics of an alarm must have the same Period."));
    }
    query::check(list).map_err(|error| match error {
        QueryError::Expression { id, error } => {
            refuse(format!("Error in expression '{id}': {}", error.why))
        }
        QueryError::Store(error) => error,
    })
}

fn check_actions(
    config: &AlarmConfig,
    actions: Option<&dyn AlarmActions>,
) -> Result<(), MetricsError> {
    for (member, list) in [
        ("AlarmActions", &config.alarm_actions),
        ("OKActions", &config.ok_actions),
        ("InsufficientDataActions", &config.insufficient_actions),
    ] {
        if list.len() > MOST_ACTIONS {
            return Err(refuse(format!(
                "The collection {member} must not have a size greater than {MOST_ACTIONS}."
            )));
        }
        for arn in list {
            if !arn.starts_with("arn:") || arn.split(':').count() < 6 {
                return Err(refuse(format!("Invalid arn syntax: {arn}")));
            }
            if !actions.is_some_and(|actions| actions.supports(arn)) {
                return Err(refuse(format!(
                    "{member}: {arn} names nothing that Wharf can do; actions are scaling policies. \
                     Leave it out, and ask DescribeAlarms or DescribeAlarmHistory for the state."
                )));
            }
        }
    }
    Ok(())
}
