//! Members that several operations share, from the wire and to it.

use aws::Error;
use aws::cloudwatch::{self as wire, Dimension, MetricDataQuery, StandardUnit, StateValue};
use telemetry::metrics::{MOST_DIMENSIONS, StatisticError};
use telemetry::{AlarmState, MetricId, MetricStat, Query, Source, Statistic, Unit};

use super::{combination, given, missing, not_built, validation, value};

/// A metric by its parts.
pub(super) fn id(
    namespace: Option<String>,
    name: Option<String>,
    dimensions: Option<Vec<Dimension>>,
) -> MetricId {
    let dimensions = dimensions.unwrap_or_default();
    let pairs = dimensions.into_iter().map(|one| (given(one.name), given(one.value)));
    MetricId::new(given(namespace), given(name), pairs)
}

/// A metric's dimensions on the wire.
pub(super) fn dimensions(id: &MetricId) -> Option<Vec<Dimension>> {
    let dimension = |(name, value): &(String, String)| Dimension {
        name: Some(name.clone()),
        value: Some(value.clone()),
    };
    Some(id.dimensions.iter().map(dimension).collect())
}

/// A unit, if one was given.
pub(super) fn unit(unit: Option<&StandardUnit>) -> Result<Option<Unit>, Error> {
    let parse = |unit: &StandardUnit| {
        let unknown = || value(format!("The value {unit} for parameter Unit is invalid."));
        Unit::parse(unit.as_str()).ok_or_else(unknown)
    };
    unit.map(parse).transpose()
}

/// A unit on the wire.
pub(super) fn wire_unit(unit: Unit) -> StandardUnit {
    StandardUnit::from(unit.as_str())
}

/// A statistic of any kind.
pub(super) fn statistic(text: &str, parameter: &str) -> Result<Statistic, Error> {
    Statistic::parse(text).map_err(|error| match error {
        StatisticError::Unknown => {
            value(format!("The value {text} for parameter {parameter} is invalid."))
        }
        StatisticError::NotBuilt => {
            value(format!("{parameter}: the statistic {text} is not built yet in Wharf; use a percentile such as p90."))
        }
    })
}

/// The statistic that is given in either of two members.
pub(super) fn either_statistic(
    plain: Option<&wire::Statistic>,
    extended: Option<&String>,
) -> Result<Statistic, Error> {
    match (plain, extended) {
        (Some(_), Some(_)) => {
            Err(combination("Statistic and ExtendedStatistic cannot both be given."))
        }
        (Some(plain), None) => statistic(plain.as_str(), "Statistic"),
        (None, Some(extended)) => match statistic(extended, "ExtendedStatistic")? {
            percentile @ Statistic::Percentile(_) => Ok(percentile),
            _ => Err(value(format!(
                "The value {extended} for parameter ExtendedStatistic is invalid."
            ))),
        },
        (None, None) => Err(missing("Statistic")),
    }
}

/// Seconds of a period of a query: 1, 5, 10, 20, 30 or whole minutes.
pub(super) fn period(period: Option<i32>, parameter: &str) -> Result<u32, Error> {
    let period = period.ok_or_else(|| missing(parameter))?;
    match u32::try_from(period) {
        Ok(fine @ (1 | 5 | 10 | 20 | 30)) => Ok(fine),
        Ok(minutes) if minutes > 0 && minutes % 60 == 0 => Ok(minutes),
        _ => Err(value(format!(
            "The value {period} for parameter {parameter} is invalid: it must be 1, 5, 10, 20, 30 or a \
             multiple of 60."
        ))),
    }
}

/// The queries of GetMetricData and of an alarm on an expression.
pub(super) fn queries(
    list: Vec<MetricDataQuery>,
    account: &str,
    parameter: &str,
) -> Result<Vec<Query>, Error> {
    let mut queries: Vec<Query> = Vec::new();
    for (index, wanted) in list.into_iter().enumerate() {
        let at = format!("{parameter}.member.{}", index + 1);
        let query = query(wanted, account, &at)?;
        if queries.iter().any(|other| other.id == query.id) {
            return Err(validation(format!(
                "The value {} for parameter {at}.Id is given twice.",
                query.id
            )));
        }
        queries.push(query);
    }
    Ok(queries)
}

fn query(wanted: MetricDataQuery, account: &str, at: &str) -> Result<Query, Error> {
    let id = given(wanted.id);
    let mut letters = id.chars();
    let fits = letters.next().is_some_and(|c| c.is_ascii_lowercase())
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fits {
        return Err(validation(format!(
            "The value {id} for parameter {at}.Id is not matching the expected pattern \
             ^[a-z][a-zA-Z0-9_]*$."
        )));
    }
    if wanted.account_id.is_some_and(|other| other != account) {
        return Err(not_built(&format!("{at}.AccountId"), "metrics of other accounts are"));
    }
    if wanted.label.as_ref().is_some_and(|label| label.contains("${")) {
        return Err(not_built(&format!("{at}.Label"), "labels with ${…} are"));
    }
    let source = match (wanted.expression, wanted.metric_stat) {
        (Some(_), Some(_)) | (None, None) => {
            return Err(validation(format!(
                "Either {at}.Expression or {at}.MetricStat must be given, and not both."
            )));
        }
        (Some(text), None) => {
            let of = wanted.period.map(|given| period(Some(given), &format!("{at}.Period")));
            Source::Expression { text, period: of.transpose()? }
        }
        (None, Some(_)) if wanted.period.is_some() => {
            return Err(validation(format!(
                "{at}.Period is of expressions; a metric's is in {at}.MetricStat.Period."
            )));
        }
        (None, Some(stat)) => Source::Metric(metric_stat(stat, &format!("{at}.MetricStat"))?),
    };
    Ok(Query { id, label: wanted.label, source, returns: wanted.return_data.unwrap_or(true) })
}

fn metric_stat(wanted: wire::MetricStat, at: &str) -> Result<MetricStat, Error> {
    let metric = wanted.metric.unwrap_or_default();
    let id = id(metric.namespace, metric.metric_name, metric.dimensions);
    if id.namespace.is_empty() || id.name.is_empty() {
        let member = if id.namespace.is_empty() { "Namespace" } else { "MetricName" };
        return Err(missing(&format!("{at}.Metric.{member}")));
    }
    few_dimensions(&id)?;
    Ok(MetricStat {
        id,
        period: period(wanted.period, &format!("{at}.Period"))?,
        statistic: statistic(&given(wanted.stat), &format!("{at}.Stat"))?,
        unit: unit(wanted.unit.as_ref())?,
    })
}

/// Refuses a metric with more dimensions than any has.
pub(super) fn few_dimensions(id: &MetricId) -> Result<(), Error> {
    if id.dimensions.len() <= MOST_DIMENSIONS {
        return Ok(());
    }
    Err(value(format!(
        "The collection Dimensions must not have a size greater than {MOST_DIMENSIONS}."
    )))
}

/// A state of an alarm.
pub(super) fn state(state: Option<&StateValue>) -> Result<AlarmState, Error> {
    match state {
        Some(StateValue::Ok) => Ok(AlarmState::Ok),
        Some(StateValue::Alarm) => Ok(AlarmState::Alarm),
        Some(StateValue::InsufficientData) => Ok(AlarmState::Insufficient),
        Some(StateValue::Unrecognized(other)) => {
            Err(value(format!("The value {other} for parameter StateValue is invalid.")))
        }
        None => Err(missing("StateValue")),
    }
}
