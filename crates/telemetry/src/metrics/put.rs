//! What CloudWatch checks of data before it takes them.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>

use std::time::Duration;

use stdx::Timestamp;

use super::MetricsError;
use super::error::Refused;
use super::memory::Sample;
use super::point::Values;

/// Data may be so much older than now.
pub(crate) const PAST: Duration = Duration::from_secs(14 * 24 * 3600);
/// Data may be so much later than now.
pub(crate) const FUTURE: Duration = Duration::from_secs(2 * 3600);
/// The most data of a request.
pub(crate) const MOST_DATA: usize = 1000;
/// The most dimensions of a metric.
pub const MOST_DIMENSIONS: usize = 30;
/// The most different values of one datum.
const MOST_VALUES: usize = 150;

/// Checks a request's samples; `at` names each in the request.
pub(crate) fn check(samples: &[Sample], now: Timestamp) -> Result<(), MetricsError> {
    if samples.len() > MOST_DATA {
        let why =
            format!("The collection MetricData must not have a size greater than {MOST_DATA}.");
        return Err(MetricsError::value(why));
    }
    samples.iter().enumerate().try_for_each(|(index, sample)| {
        let at = format!("MetricData.member.{}", index + 1);
        namespace(&sample.id.namespace)?;
        name(&sample.id.name, &format!("{at}.MetricName"))?;
        dimensions(&sample.id.dimensions, &format!("{at}.Dimensions"))?;
        time(sample.at, now, &format!("{at}.Timestamp"))?;
        values(&sample.values, &at)
    })
}

fn namespace(namespace: &str) -> Result<(), MetricsError> {
    length(namespace, 255, "Namespace")?;
    if namespace.starts_with(':') || namespace.starts_with("AWS/") {
        return Err(MetricsError::value(format!(
            "The value {namespace} for parameter Namespace is invalid. Names that begin with \"AWS/\" or \
             \":\" are not for your own metrics."
        )));
    }
    Ok(())
}

fn name(name: &str, at: &str) -> Result<(), MetricsError> {
    length(name, 255, at)
}

fn length(text: &str, most: usize, at: &str) -> Result<(), MetricsError> {
    let invalid = |what: &str| {
        MetricsError::value(format!("The value for parameter {at} is invalid: it {what}."))
    };
    match text.chars().count() {
        0 => {
            Err(MetricsError::refused(Refused::Missing, format!("The parameter {at} is required.")))
        }
        n if n > most => Err(invalid(&format!("has more than {most} characters"))),
        _ if text.trim().is_empty() => Err(invalid("is blank")),
        _ if text.chars().any(|c| c.is_control()) => Err(invalid("has control characters")),
        _ => Ok(()),
    }
}

/// Checks the dimensions of a metric, which are in the order of their names.
pub(crate) fn dimensions(list: &[(String, String)], at: &str) -> Result<(), MetricsError> {
    if list.len() > MOST_DIMENSIONS {
        return Err(MetricsError::value(format!(
            "The collection {at} must not have a size greater than {MOST_DIMENSIONS}."
        )));
    }
    for (index, (name, value)) in list.iter().enumerate() {
        let at = format!("{at}.member.{}", index + 1);
        length(name, 255, &format!("{at}.Name"))?;
        length(value, 1024, &format!("{at}.Value"))?;
        let ascii = name.is_ascii() && value.is_ascii();
        if !ascii || name.starts_with(':') {
            return Err(MetricsError::value(format!(
                "The parameter {at} is invalid: names and values are ASCII, and no name begins with \":\"."
            )));
        }
    }
    match list.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(MetricsError::value(format!(
            "The parameter {at} is invalid: the dimension {} is given twice.",
            pair[0].0
        ))),
        None => Ok(()),
    }
}

fn time(at: Timestamp, now: Timestamp, parameter: &str) -> Result<(), MetricsError> {
    if at < now - PAST {
        return Err(MetricsError::value(format!(
            "The parameter {parameter} must specify a time within the past two weeks."
        )));
    }
    if at > now + FUTURE {
        return Err(MetricsError::value(format!(
            "The parameter {parameter} must specify a time no more than two hours in the future."
        )));
    }
    Ok(())
}

fn values(values: &Values, at: &str) -> Result<(), MetricsError> {
    match values {
        Values::One(value) => number(*value, &format!("{at}.Value")),
        Values::Many(list) if list.is_empty() => Err(MetricsError::refused(
            Refused::Missing,
            format!("The parameter {at}.Values is required."),
        )),
        Values::Many(list) if list.len() > MOST_VALUES => Err(MetricsError::value(format!(
            "The collection {at}.Values must not have a size greater than {MOST_VALUES}."
        ))),
        Values::Many(list) => list.iter().enumerate().try_for_each(|(index, (value, count))| {
            number(*value, &format!("{at}.Values.member.{}", index + 1))?;
            let parameter = format!("{at}.Counts.member.{}", index + 1);
            number(*count, &parameter)?;
            // A value that was seen no times would say nothing.
            positive(*count, &parameter)
        }),
        Values::Set(set) => {
            for (value, member) in [
                (set.sum, "Sum"),
                (set.count, "SampleCount"),
                (set.min, "Minimum"),
                (set.max, "Maximum"),
            ] {
                number(value, &format!("{at}.StatisticValues.{member}"))?;
            }
            positive(set.count, &format!("{at}.StatisticValues.SampleCount"))?;
            if set.min > set.max {
                return Err(MetricsError::value(format!(
                    "The value for parameter {at}.StatisticValues.Minimum is greater than its Maximum."
                )));
            }
            Ok(())
        }
    }
}

/// The greatest and, negated, the least value.
const MOST_VALUE: f64 = 2.348_542_582_773_833_4e108;

fn number(value: f64, parameter: &str) -> Result<(), MetricsError> {
    if value.is_finite() && value.abs() <= MOST_VALUE {
        return Ok(());
    }
    Err(MetricsError::value(format!(
        "The value {value} for parameter {parameter} is invalid: it must be between -2^360 and 2^360."
    )))
}

fn positive(count: f64, parameter: &str) -> Result<(), MetricsError> {
    if count > 0.0 {
        return Ok(());
    }
    let why = format!("The value {count} for parameter {parameter} must be greater than 0.");
    Err(MetricsError::value(why))
}
