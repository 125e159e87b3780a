//! The functions of metric math.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html#metric-math-syntax-functions-list>

use std::collections::{BTreeMap, BTreeSet};

use super::eval::{Inputs, constant, each, evaluate, grid, map};
use super::parse::Expression;
use super::{MathError, Series, Value};
use crate::metrics::memory::Span;

/// CloudWatch's that are not built.
const NOT_BUILT: [&str; 16] = [
    "ANOMALY_DETECTION_BAND",
    "DATAPOINT_COUNT",
    "DATE",
    "DAY",
    "DB_PERF_INSIGHTS",
    "HOUR",
    "INSIGHT_RULE_METRIC",
    "LAMBDA",
    "MINUTE",
    "MONTH",
    "SEARCH",
    "SERVICE_QUOTA",
    "SLICE",
    "SORT",
    "YEAR",
    "LABELS",
];

/// Calls a function.
pub(super) fn call(
    name: &str,
    given: &[Expression],
    inputs: &Inputs<'_>,
) -> Result<Value, MathError> {
    if NOT_BUILT.contains(&name) {
        let why = format!("{name} is not built yet in Wharf; use metrics by their names instead.");
        return Err(MathError { why, not_built: true });
    }
    match name {
        "METRICS" => metrics(given, inputs),
        "FILL" => fill(given, inputs),
        "IF" => choose(given, inputs),
        _ => {
            let values: Vec<Value> = given
                .iter()
                .map(|expression| evaluate(expression, inputs))
                .collect::<Result<_, _>>()?;
            plain(name, values, inputs.span)
        }
    }
}

/// Functions of values.
fn plain(name: &str, values: Vec<Value>, span: Span) -> Result<Value, MathError> {
    match name {
        "AVG" => fold(name, values, |all| all.iter().sum::<f64>() / count(all)),
        "SUM" => fold(name, values, |all| all.iter().sum()),
        "MIN" => fold(name, values, |all| all.iter().copied().fold(f64::INFINITY, f64::min)),
        "MAX" => fold(name, values, |all| all.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        "STDDEV" => fold(name, values, deviation),
        "ABS" => each(only(name, values)?, &|series| map(series, f64::abs)),
        "CEIL" => each(only(name, values)?, &|series| map(series, f64::ceil)),
        "FLOOR" => each(only(name, values)?, &|series| map(series, f64::floor)),
        "LOG" => each(only(name, values)?, &|series| map(series, f64::ln)),
        "LOG10" => each(only(name, values)?, &|series| map(series, f64::log10)),
        "DIFF" => each_series(name, values, &|series| steps(series, |step, _| step)),
        "DIFF_TIME" => each_series(name, values, &|series| steps(series, |_, seconds| seconds)),
        "RATE" => {
            each_series(name, values, &|series| steps(series, |step, seconds| step / seconds))
        }
        "RUNNING_SUM" => each_series(name, values, &running_sum),
        "EPOCH" => each_series(name, values, &epoch),
        "PERIOD" => match only(name, values)? {
            Value::One(series) => Ok(Value::Number(float(series.period))),
            _ => Err(MathError::new("PERIOD takes one series.")),
        },
        "TIME_SERIES" => match only(name, values)? {
            Value::Number(number) => Ok(Value::One(constant(number, span))),
            _ => Err(MathError::new("TIME_SERIES takes a number.")),
        },
        "FIRST" | "LAST" | "METRIC_COUNT" | "REMOVE_EMPTY" => of_list(name, only(name, values)?),
        other => Err(MathError::new(format!("There is no function {other}."))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds and counts, far below 2^53")]
const fn float(number: i64) -> f64 {
    number as f64
}

fn count(all: &[f64]) -> f64 {
    float(i64::try_from(all.len()).unwrap_or(i64::MAX))
}

/// The population's standard deviation.
fn deviation(all: &[f64]) -> f64 {
    let mean = all.iter().sum::<f64>() / count(all);
    (all.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count(all)).sqrt()
}

fn only(name: &str, values: Vec<Value>) -> Result<Value, MathError> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(MathError::new(format!("{name} takes one value."))),
    }
}

/// One number of a series' values, or a series of the numbers of several series' values.
fn fold(name: &str, values: Vec<Value>, of: impl Fn(&[f64]) -> f64) -> Result<Value, MathError> {
    match only(name, values)? {
        Value::Number(number) => Ok(Value::Number(number)),
        Value::One(series) => {
            let all: Vec<f64> = series.points.into_values().collect();
            if all.is_empty() {
                return Ok(Value::One(Series { points: BTreeMap::new(), ..Series::default() }));
            }
            Ok(Value::Number(of(&all)))
        }
        Value::Many(all) => {
            let instants: BTreeSet<i64> =
                all.iter().flat_map(|series| series.points.keys().copied()).collect();
            let at = |at: i64| {
                let values: Vec<f64> =
                    all.iter().filter_map(|series| series.points.get(&at).copied()).collect();
                (at, of(&values))
            };
            let points = instants.into_iter().map(at).filter(|(_, value)| value.is_finite());
            let period = all.iter().map(|series| series.period).max().unwrap_or_default();
            Ok(Value::One(Series { label: name.to_owned(), period, points: points.collect() }))
        }
        Value::Text(_) => Err(MathError::new(format!("{name} takes no text."))),
    }
}

fn each_series(
    name: &str,
    values: Vec<Value>,
    change: &dyn Fn(Series) -> Series,
) -> Result<Value, MathError> {
    match only(name, values)? {
        value @ (Value::One(_) | Value::Many(_)) => each(value, change),
        Value::Number(_) | Value::Text(_) => Err(MathError::new(format!("{name} takes a series."))),
    }
}

/// From each point to the one before: the difference, and the seconds between.
fn steps(series: Series, of: impl Fn(f64, f64) -> f64) -> Series {
    let pairs = series.points.iter().zip(series.points.iter().skip(1));
    let points = pairs
        .map(|((before, from), (at, to))| (*at, of(to - from, float(at - before))))
        .filter(|(_, value)| value.is_finite())
        .collect();
    Series { points, ..series }
}

fn running_sum(series: Series) -> Series {
    let mut sum = 0.0;
    let add = |(at, value): (i64, f64)| {
        sum += value;
        (at, sum)
    };
    Series { points: series.points.into_iter().map(add).collect(), ..series }
}

fn epoch(series: Series) -> Series {
    Series { points: series.points.into_keys().map(|at| (at, float(at))).collect(), ..series }
}

fn of_list(name: &str, value: Value) -> Result<Value, MathError> {
    let Value::Many(mut all) = value else {
        return Err(MathError::new(format!("{name} takes a list of series.")));
    };
    Ok(match name {
        "FIRST" if !all.is_empty() => Value::One(all.swap_remove(0)),
        "LAST" if !all.is_empty() => Value::One(all.swap_remove(all.len() - 1)),
        "METRIC_COUNT" => Value::Number(float(i64::try_from(all.len()).unwrap_or(i64::MAX))),
        "REMOVE_EMPTY" => {
            all.retain(|series| !series.points.is_empty());
            Value::Many(all)
        }
        _ => return Err(MathError::new(format!("{name} takes a list that is not empty."))),
    })
}

/// The request's metrics, or those whose id has some text in it.
fn metrics(given: &[Expression], inputs: &Inputs<'_>) -> Result<Value, MathError> {
    let part = match given {
        [] => "",
        [Expression::Text(part)] => part,
        _ => return Err(MathError::new("METRICS takes nothing, or a text in quotation marks.")),
    };
    let of = |id: &String| match inputs.values.get(id) {
        Some(Value::One(series)) if id.contains(part) => Some(series.clone()),
        _ => None,
    };
    Ok(Value::Many(inputs.metrics.iter().filter_map(of).collect()))
}

/// How FILL closes a gap.
enum Filler {
    With(f64),
    Repeat,
    Linear,
    From(Series),
}

fn fill(given: &[Expression], inputs: &Inputs<'_>) -> Result<Value, MathError> {
    let [what, with] = given else {
        return Err(MathError::new("FILL takes a series and what to fill it with."));
    };
    let filler = match with {
        Expression::Name(name) if name.eq_ignore_ascii_case("REPEAT") => Filler::Repeat,
        Expression::Name(name) if name.eq_ignore_ascii_case("LINEAR") => Filler::Linear,
        with => match evaluate(with, inputs)? {
            Value::Number(number) => Filler::With(number),
            Value::One(series) => Filler::From(series),
            _ => {
                return Err(MathError::new(
                    "FILL fills with a number, a series, REPEAT or LINEAR.",
                ));
            }
        },
    };
    match evaluate(what, inputs)? {
        value @ (Value::One(_) | Value::Many(_)) => {
            each(value, &|series| filled(series, &filler, inputs.span))
        }
        Value::Number(_) | Value::Text(_) => Err(MathError::new("FILL takes a series.")),
    }
}

fn filled(series: Series, filler: &Filler, span: Span) -> Series {
    let period = if series.period > 0 { series.period } else { span.period };
    let value = |at: i64| -> Option<f64> {
        let before = series.points.range(..at).next_back();
        match filler {
            Filler::With(number) => Some(*number),
            Filler::Repeat => before.map(|(_, value)| *value),
            Filler::From(other) => other.points.get(&at).copied(),
            Filler::Linear => {
                let (from, low) = before?;
                let (to, high) = series.points.range(at..).next()?;
                Some(low + (high - low) * float(at - from) / float(to - from))
            }
        }
    };
    let points = grid(Span { period, ..span })
        .filter_map(|at| {
            let found = series.points.get(&at).copied();
            found.or_else(|| value(at)).map(|value| (at, value))
        })
        .collect();
    Series { points, period, ..series }
}

/// `IF(condition, yes, no)`: point by point where the condition is a series. Without `no`, what does
/// not meet the condition is missing.
fn choose(given: &[Expression], inputs: &Inputs<'_>) -> Result<Value, MathError> {
    let (condition, yes, no) = match given {
        [condition, yes] => (condition, yes, None),
        [condition, yes, no] => (condition, yes, Some(evaluate(no, inputs)?)),
        _ => return Err(MathError::new("IF takes a condition, a value, and perhaps another.")),
    };
    let (condition, yes) = (evaluate(condition, inputs)?, evaluate(yes, inputs)?);
    let series = match condition {
        Value::Number(truth) if truth.abs() > 0.0 => return Ok(yes),
        Value::Number(_) => return Ok(no.unwrap_or(Value::One(Series::default()))),
        Value::One(series) => series,
        Value::Many(_) | Value::Text(_) => {
            return Err(MathError::new("IF takes a series or a number as its condition."));
        }
    };
    let value = |of: &Value, at: i64| match of {
        Value::Number(number) => Some(*number),
        Value::One(series) => series.points.get(&at).copied(),
        Value::Many(_) | Value::Text(_) => None,
    };
    if [Some(&yes), no.as_ref()]
        .into_iter()
        .flatten()
        .any(|v| matches!(v, Value::Many(_) | Value::Text(_)))
    {
        return Err(MathError::new("IF chooses between series and numbers."));
    }
    let points = series.points.iter().filter_map(|(at, truth)| {
        let chosen = if truth.abs() > 0.0 { Some(&yes) } else { no.as_ref() };
        Some((*at, value(chosen?, *at)?))
    });
    Ok(Value::One(Series {
        points: points.collect(),
        label: series.label.clone(),
        period: series.period,
    }))
}
