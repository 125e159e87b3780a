//! Alarms as they are described.

use aws::cloudwatch::{
    AlarmHistoryItem, AlarmType, ComparisonOperator, HistoryItemType, MetricAlarm, MetricDataQuery,
    MetricStat as WireStat, StateValue, Statistic as Wire,
};
use telemetry::metrics::alarm::{Alarm, Comparison, HistoryItem, HistoryKind, Missing, Watched};
use telemetry::{AlarmState, MetricStat, Query, Source, Statistic};

use super::data::metric;
use super::forms;

fn number(number: u32) -> Option<i32> {
    i32::try_from(number).ok()
}

/// An alarm.
pub(super) fn alarm(alarm: &Alarm) -> MetricAlarm {
    let config = &alarm.config;
    let mut told = MetricAlarm {
        alarm_name: Some(config.name.clone()),
        alarm_arn: Some(alarm.arn.clone()),
        alarm_description: config.description.clone(),
        alarm_configuration_updated_timestamp: Some(alarm.configured),
        actions_enabled: Some(config.actions_enabled),
        ok_actions: Some(config.ok_actions.clone()),
        alarm_actions: Some(config.alarm_actions.clone()),
        insufficient_data_actions: Some(config.insufficient_actions.clone()),
        state_value: Some(state(alarm.state)),
        state_reason: Some(alarm.reason.clone()),
        state_reason_data: alarm.reason_data.clone(),
        state_updated_timestamp: Some(alarm.state_updated),
        state_transitioned_timestamp: Some(alarm.state_changed),
        evaluation_periods: number(config.evaluation_periods),
        datapoints_to_alarm: config.datapoints_to_alarm.and_then(number),
        threshold: Some(config.threshold),
        comparison_operator: Some(comparison(config.comparison)),
        treat_missing_data: config.missing.map(|missing| treatment(missing).to_owned()),
        evaluate_low_sample_count_percentile: config
            .ignore_low_samples
            .map(|ignore| (if ignore { "ignore" } else { "evaluate" }).to_owned()),
        // Clients read it as a list, whether there are any or not.
        dimensions: Some(Vec::new()),
        ..MetricAlarm::default()
    };
    match &config.watched {
        Watched::Metric(stat) => of_metric(&mut told, stat),
        Watched::Queries(queries) => told.metrics = Some(queries.iter().map(query).collect()),
    }
    told
}

fn of_metric(told: &mut MetricAlarm, stat: &MetricStat) {
    told.namespace = Some(stat.id.namespace.clone());
    told.metric_name = Some(stat.id.name.clone());
    told.dimensions = forms::dimensions(&stat.id);
    told.period = number(stat.period);
    told.unit = stat.unit.map(forms::wire_unit);
    match stat.statistic {
        Statistic::Percentile(_) => told.extended_statistic = Some(stat.statistic.to_string()),
        plain => told.statistic = Some(Wire::from(plain.to_string().as_str())),
    }
}

fn query(query: &Query) -> MetricDataQuery {
    let mut told = MetricDataQuery {
        id: Some(query.id.clone()),
        label: query.label.clone(),
        return_data: Some(query.returns),
        ..MetricDataQuery::default()
    };
    match &query.source {
        Source::Metric(stat) => {
            told.metric_stat = Some(WireStat {
                metric: Some(metric(&stat.id)),
                period: number(stat.period),
                stat: Some(stat.statistic.to_string()),
                unit: stat.unit.map(forms::wire_unit),
            });
        }
        Source::Expression { text, period } => {
            told.expression = Some(text.clone());
            told.period = period.and_then(number);
        }
    }
    told
}

/// A state on the wire.
const fn state(state: AlarmState) -> StateValue {
    match state {
        AlarmState::Ok => StateValue::Ok,
        AlarmState::Alarm => StateValue::Alarm,
        AlarmState::Insufficient => StateValue::InsufficientData,
    }
}

const fn comparison(comparison: Comparison) -> ComparisonOperator {
    match comparison {
        Comparison::GreaterOrEqual => ComparisonOperator::GreaterThanOrEqualToThreshold,
        Comparison::Greater => ComparisonOperator::GreaterThanThreshold,
        Comparison::Less => ComparisonOperator::LessThanThreshold,
        Comparison::LessOrEqual => ComparisonOperator::LessThanOrEqualToThreshold,
    }
}

const fn treatment(missing: Missing) -> &'static str {
    match missing {
        Missing::Missing => "missing",
        Missing::Ignore => "ignore",
        Missing::Breaching => "breaching",
        Missing::NotBreaching => "notBreaching",
    }
}

/// One thing that happened to an alarm.
pub(super) fn history(item: HistoryItem) -> AlarmHistoryItem {
    AlarmHistoryItem {
        alarm_name: Some(item.alarm),
        alarm_type: Some(AlarmType::MetricAlarm),
        timestamp: Some(item.at),
        history_item_type: Some(match item.kind {
            HistoryKind::Configuration => HistoryItemType::ConfigurationUpdate,
            HistoryKind::State => HistoryItemType::StateUpdate,
            HistoryKind::Action => HistoryItemType::Action,
        }),
        history_summary: Some(item.summary),
        history_data: Some(item.data),
        ..AlarmHistoryItem::default()
    }
}
