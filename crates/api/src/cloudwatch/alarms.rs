//! Alarms: put, described, and what happened to them.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>

use aws::Error;
use aws::cloudwatch::{
    AlarmType, ComparisonOperator, DescribeAlarmHistoryInput, DescribeAlarmHistoryOutput,
    DescribeAlarmsForMetricInput, DescribeAlarmsForMetricOutput, DescribeAlarmsInput,
    DescribeAlarmsOutput, HistoryItemType, PutMetricAlarmInput, ScanBy,
};
use telemetry::metrics::alarm::{
    AlarmQuery, Comparison, HistoryKind, HistoryQuery, Missing, Watched,
};
use telemetry::{AlarmConfig, MetricStat, Metrics};

use super::{combination, error, forms, given, missing, not_built, token, validation, value, view};

/// The alarm that a request puts.
pub(super) fn config(request: PutMetricAlarmInput, account: &str) -> Result<AlarmConfig, Error> {
    refuse_unbuilt(&request)?;
    let number = |number: Option<i32>, name: &str| {
        let bad = |n| validation(format!("{name} must be at least 1; it is {n}."));
        number.map(|n| u32::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| bad(n))).transpose()
    };
    let threshold = request.threshold.ok_or_else(|| missing("Threshold"))?;
    let evaluation_periods = number(request.evaluation_periods, "EvaluationPeriods")?
        .ok_or_else(|| missing("EvaluationPeriods"))?;
    let datapoints_to_alarm = number(request.datapoints_to_alarm, "DatapointsToAlarm")?;
    let comparison = comparison(request.comparison_operator.as_ref())?;
    let missing_data = request.treat_missing_data.as_deref().map(treatment).transpose()?;
    let low_samples = match request.evaluate_low_sample_count_percentile.as_deref() {
        None => None,
        Some("evaluate") => Some(false),
        Some("ignore") => Some(true),
        Some(other) => {
            return Err(validation(format!(
                "EvaluateLowSampleCountPercentile must be evaluate or ignore; it is {other}."
            )));
        }
    };
    Ok(AlarmConfig {
        name: given(request.alarm_name.clone()),
        description: request.alarm_description.clone(),
        actions_enabled: request.actions_enabled.unwrap_or(true),
        ok_actions: request.ok_actions.clone().unwrap_or_default(),
        alarm_actions: request.alarm_actions.clone().unwrap_or_default(),
        insufficient_actions: request.insufficient_data_actions.clone().unwrap_or_default(),
        watched: watched(request, account)?,
        evaluation_periods,
        datapoints_to_alarm,
        threshold,
        comparison,
        missing: missing_data,
        ignore_low_samples: low_samples,
    })
}

/// Refuses what is not built by the member that asks for it.
fn refuse_unbuilt(request: &PutMetricAlarmInput) -> Result<(), Error> {
    for (asked, member, what) in [
        (request.threshold_metric_id.is_some(), "ThresholdMetricId", "anomaly detection is"),
        (request.evaluation_criteria.is_some(), "EvaluationCriteria", "alarms on PromQL are"),
        (
            request.evaluation_interval.is_some(),
            "EvaluationInterval",
            "an interval of one's own is",
        ),
        (request.evaluation_window.is_some(), "EvaluationWindow", "windows of one's own are"),
        (request.warm_up_configuration.is_some(), "WarmUpConfiguration", "a time to warm up is"),
        (request.action_configuration.is_some(), "ActionConfiguration", "tags of actions are"),
    ] {
        if asked {
            return Err(not_built(member, what));
        }
    }
    Ok(())
}

fn watched(request: PutMetricAlarmInput, account: &str) -> Result<Watched, Error> {
    if let Some(list) = request.metrics.filter(|list| !list.is_empty()) {
        let single = request.metric_name.is_some()
            || request.namespace.is_some()
            || request.period.is_some()
            || request.statistic.is_some()
            || request.extended_statistic.is_some()
            || request.unit.is_some()
            || request.dimensions.is_some_and(|list| !list.is_empty());
        if single {
            return Err(combination(
                "Metrics cannot be given together with MetricName, Namespace, Dimensions, Period, Unit, \
                 Statistic or ExtendedStatistic.",
            ));
        }
        return Ok(Watched::Queries(forms::queries(list, account, "Metrics")?));
    }
    for (given, name) in [
        (request.metric_name.is_some(), "MetricName"),
        (request.namespace.is_some(), "Namespace"),
        (request.period.is_some(), "Period"),
    ] {
        if !given {
            return Err(missing(name));
        }
    }
    let statistic =
        forms::either_statistic(request.statistic.as_ref(), request.extended_statistic.as_ref())?;
    let id = forms::id(request.namespace, request.metric_name, request.dimensions);
    forms::few_dimensions(&id)?;
    Ok(Watched::Metric(MetricStat {
        id,
        // Whether an alarm may have such a period is checked where alarms are.
        period: u32::try_from(request.period.unwrap_or_default()).unwrap_or_default(),
        statistic,
        unit: forms::unit(request.unit.as_ref())?,
    }))
}

fn comparison(operator: Option<&ComparisonOperator>) -> Result<Comparison, Error> {
    use ComparisonOperator as O;
    match operator {
        Some(O::GreaterThanOrEqualToThreshold) => Ok(Comparison::GreaterOrEqual),
        Some(O::GreaterThanThreshold) => Ok(Comparison::Greater),
        Some(O::LessThanThreshold) => Ok(Comparison::Less),
        Some(O::LessThanOrEqualToThreshold) => Ok(Comparison::LessOrEqual),
        Some(
            band @ (O::LessThanLowerOrGreaterThanUpperThreshold
            | O::LessThanLowerThreshold
            | O::GreaterThanUpperThreshold),
        ) => Err(validation(format!(
            "ComparisonOperator: {band} compares with a band of anomaly detection, which is not built yet \
             in Wharf; compare with a threshold."
        ))),
        Some(O::Unrecognized(other)) => {
            Err(validation(format!("The value {other} for ComparisonOperator is invalid.")))
        }
        None => Err(missing("ComparisonOperator")),
    }
}

fn treatment(text: &str) -> Result<Missing, Error> {
    match text {
        "missing" => Ok(Missing::Missing),
        "ignore" => Ok(Missing::Ignore),
        "breaching" => Ok(Missing::Breaching),
        "notBreaching" => Ok(Missing::NotBreaching),
        other => Err(validation(format!(
            "TreatMissingData must be breaching, notBreaching, ignore or missing; it is {other}."
        ))),
    }
}

/// How many a page has.
fn page_size(asked: Option<i32>, usual: usize) -> Result<usize, Error> {
    match asked.map(usize::try_from) {
        None => Ok(usual),
        Some(Ok(size)) if (1..=100).contains(&size) => Ok(size),
        Some(_) => Err(value("MaxRecords must be from 1 to 100.")),
    }
}

/// DescribeAlarms.
pub(super) fn describe(
    metrics: &Metrics,
    request: DescribeAlarmsInput,
) -> Result<DescribeAlarmsOutput, Error> {
    if request.children_of_alarm_name.is_some() || request.parents_of_alarm_name.is_some() {
        return Err(not_built("ChildrenOfAlarmName", "composite alarms are"));
    }
    let names = request.alarm_names.unwrap_or_default();
    if !names.is_empty() && request.alarm_name_prefix.is_some() {
        return Err(combination("AlarmNames and AlarmNamePrefix cannot both be given."));
    }
    if names.len() > 100 {
        return Err(value("The collection AlarmNames must not have a size greater than 100."));
    }
    let types = request.alarm_types.unwrap_or_default();
    let metric = types.is_empty() || types.contains(&AlarmType::MetricAlarm);
    let state = request.state_value.as_ref().map(|state| forms::state(Some(state))).transpose()?;
    let size = page_size(request.max_records, 50)?;
    let after: Option<String> = token::read("DescribeAlarms", request.next_token.as_deref())?;
    let query = AlarmQuery {
        names,
        prefix: request.alarm_name_prefix,
        state,
        action_prefix: request.action_prefix,
        metric: None,
    };
    let mut found = if metric { metrics.alarms(&query) } else { Vec::new() };
    if let Some(after) = after {
        found.retain(|alarm| alarm.config.name > after);
    }
    let more = found.len() > size;
    found.truncate(size);
    let last = found.last().filter(|_| more);
    Ok(DescribeAlarmsOutput {
        next_token: last.and_then(|alarm| token::write("DescribeAlarms", &alarm.config.name)),
        metric_alarms: Some(found.iter().map(|alarm| view::alarm(alarm)).collect()),
        composite_alarms: Some(Vec::new()),
        log_alarms: None,
    })
}

/// DescribeAlarmsForMetric.
pub(super) fn of_metric(
    metrics: &Metrics,
    request: DescribeAlarmsForMetricInput,
) -> Result<DescribeAlarmsForMetricOutput, Error> {
    let statistic = match (&request.statistic, &request.extended_statistic) {
        (None, None) => None,
        (plain, extended) => Some(forms::either_statistic(plain.as_ref(), extended.as_ref())?),
    };
    let unit = forms::unit(request.unit.as_ref())?;
    let period = request.period.map(|period| u32::try_from(period).unwrap_or_default());
    let id = forms::id(request.namespace, request.metric_name, request.dimensions);
    let query = AlarmQuery { metric: Some(id), ..AlarmQuery::default() };
    let found = metrics.alarms(&query);
    let wanted = found.iter().filter(|alarm| match &alarm.config.watched {
        Watched::Metric(stat) => {
            statistic.is_none_or(|wanted| wanted == stat.statistic)
                && period.is_none_or(|wanted| wanted == stat.period)
                && unit.is_none_or(|wanted| stat.unit == Some(wanted))
        }
        // As AWS: only alarms on one metric.
        Watched::Queries(_) => false,
    });
    let alarms = wanted.map(|alarm| view::alarm(alarm)).collect();
    Ok(DescribeAlarmsForMetricOutput { metric_alarms: Some(alarms) })
}

/// DescribeAlarmHistory.
pub(super) fn history(
    metrics: &Metrics,
    request: DescribeAlarmHistoryInput,
) -> Result<DescribeAlarmHistoryOutput, Error> {
    if request.alarm_contributor_id.is_some() {
        return Err(not_built("AlarmContributorId", "alarms with contributors are"));
    }
    let size = page_size(request.max_records, 100)?;
    let types = request.alarm_types.unwrap_or_default();
    let none = DescribeAlarmHistoryOutput {
        alarm_history_items: Some(Vec::new()),
        ..DescribeAlarmHistoryOutput::default()
    };
    if !types.is_empty() && !types.contains(&AlarmType::MetricAlarm) {
        return Ok(none);
    }
    let kind = match &request.history_item_type {
        None => None,
        Some(HistoryItemType::ConfigurationUpdate) => Some(HistoryKind::Configuration),
        Some(HistoryItemType::StateUpdate) => Some(HistoryKind::State),
        Some(HistoryItemType::Action) => Some(HistoryKind::Action),
        // No alarm has contributors.
        Some(
            HistoryItemType::AlarmContributorStateUpdate | HistoryItemType::AlarmContributorAction,
        ) => return Ok(none),
        Some(HistoryItemType::Unrecognized(other)) => {
            return Err(value(format!(
                "The value {other} for parameter HistoryItemType is invalid."
            )));
        }
    };
    let page = metrics.history(&HistoryQuery {
        alarm: request.alarm_name,
        kind,
        from: request.start_date,
        to: request.end_date,
        ascending: request.scan_by == Some(ScanBy::TimestampAscending),
        most: size,
        after: token::read("DescribeAlarmHistory", request.next_token.as_deref())?,
    });
    let page = page.map_err(|e| error(&e))?;
    Ok(DescribeAlarmHistoryOutput {
        alarm_history_items: Some(page.items.into_iter().map(view::history).collect()),
        next_token: page.next.and_then(|place| token::write("DescribeAlarmHistory", &place)),
    })
}
