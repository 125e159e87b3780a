//! What a tree is worth: operators, and the names in it.

use std::collections::BTreeMap;

use super::functions;
use super::parse::{Expression, Operator};
use super::{MathError, Series, Value};
use crate::metrics::memory::Span;

/// What an expression can refer to.
#[derive(Debug)]
pub(crate) struct Inputs<'i> {
    /// Values by id.
    pub(crate) values: &'i BTreeMap<String, Value>,
    /// The ids of what are metrics and not expressions, in the order of the request.
    pub(crate) metrics: &'i [String],
    /// The stretch of time, and the period for what has none of its own.
    pub(crate) span: Span,
}

/// The value of a tree.
pub(crate) fn evaluate(expression: &Expression, inputs: &Inputs<'_>) -> Result<Value, MathError> {
    match expression {
        Expression::Number(number) => Ok(Value::Number(*number)),
        Expression::Text(text) => Ok(Value::Text(text.clone())),
        Expression::Name(name) => {
            inputs.values.get(name).cloned().ok_or_else(|| {
                MathError::new(format!("There is no metric or expression '{name}'."))
            })
        }
        Expression::Negative(inner) => {
            each(evaluate(inner, inputs)?, &|points| map(points, |value| -value))
        }
        Expression::Operation(left, operator, right) => {
            let (left, right) = (evaluate(left, inputs)?, evaluate(right, inputs)?);
            combine(left, right, |left, right| apply(*operator, left, right))
        }
        Expression::Call(name, given) => functions::call(name, given, inputs),
        Expression::List(given) => {
            let mut all = Vec::new();
            for item in given {
                match evaluate(item, inputs)? {
                    Value::One(series) => all.push(series),
                    Value::Many(series) => all.extend(series),
                    Value::Number(number) => all.push(constant(number, inputs.span)),
                    Value::Text(_) => return Err(MathError::new("A list holds no text.")),
                }
            }
            Ok(Value::Many(all))
        }
    }
}

/// A series that is the same at each period.
pub(super) fn constant(number: f64, span: Span) -> Series {
    Series {
        label: number.to_string(),
        period: span.period,
        points: grid(span).map(|at| (at, number)).collect(),
    }
}

/// The beginnings of periods.
pub(super) fn grid(span: Span) -> impl Iterator<Item = i64> {
    (span.from..span.to).step_by(usize::try_from(span.period.max(1)).unwrap_or(1))
}

fn apply(operator: Operator, left: f64, right: f64) -> f64 {
    let truth = |yes: bool| f64::from(u8::from(yes));
    let is = |value: f64| value.abs() > 0.0;
    match operator {
        Operator::Or => truth(is(left) || is(right)),
        Operator::And => truth(is(left) && is(right)),
        Operator::Equal => truth(left.total_cmp(&right).is_eq()),
        Operator::NotEqual => truth(left.total_cmp(&right).is_ne()),
        Operator::Less => truth(left < right),
        Operator::LessOrEqual => truth(left <= right),
        Operator::Greater => truth(left > right),
        Operator::GreaterOrEqual => truth(left >= right),
        Operator::Plus => left + right,
        Operator::Minus => left - right,
        Operator::Times => left * right,
        Operator::Divide => left / right,
        Operator::Power => left.powf(right),
    }
}

/// A series of what becomes of each value; what is no number is missing.
pub(super) fn map(series: Series, change: impl Fn(f64) -> f64) -> Series {
    let points = series.points.into_iter().map(|(at, value)| (at, change(value)));
    Series { points: points.filter(|(_, value)| value.is_finite()).collect(), ..series }
}

/// The same for each series of a value; a number counts as a series of one.
pub(super) fn each(value: Value, change: &dyn Fn(Series) -> Series) -> Result<Value, MathError> {
    Ok(match value {
        Value::Number(number) => {
            let one = Series { points: [(0, number)].into(), ..Series::default() };
            let changed = change(one).points.remove(&0);
            Value::Number(changed.ok_or_else(|| MathError::new("A number has no such value."))?)
        }
        Value::One(series) => Value::One(change(series)),
        Value::Many(all) => Value::Many(all.into_iter().map(change).collect()),
        Value::Text(_) => return Err(MathError::new("Text cannot be calculated with.")),
    })
}

/// Two values, point by point, where both have one.
pub(super) fn combine(
    left: Value,
    right: Value,
    change: impl Fn(f64, f64) -> f64,
) -> Result<Value, MathError> {
    let two = |left: Series, right: &Series| {
        let points = left.points.iter().filter_map(|(at, value)| {
            let both = change(*value, *right.points.get(at)?);
            both.is_finite().then_some((*at, both))
        });
        Series { points: points.collect(), ..left }
    };
    Ok(match (left, right) {
        (Value::Number(left), Value::Number(right)) => Value::Number(change(left, right)),
        (left, Value::Number(right)) => each(left, &|s| map(s, |left| change(left, right)))?,
        (Value::Number(left), right) => each(right, &|s| map(s, |right| change(left, right)))?,
        (Value::One(left), Value::One(right)) => Value::One(two(left, &right)),
        (Value::Many(left), Value::One(right)) => {
            Value::Many(left.into_iter().map(|left| two(left, &right)).collect())
        }
        (Value::One(left), Value::Many(right)) => {
            let with = |right: Series| {
                let label = right.label.clone();
                Series { label, ..two(left.clone(), &right) }
            };
            Value::Many(right.into_iter().map(with).collect())
        }
        (Value::Many(_), Value::Many(_)) => {
            return Err(MathError::new("Two lists cannot be calculated with; one of them can."));
        }
        (Value::Text(_), _) | (_, Value::Text(_)) => {
            return Err(MathError::new("Text cannot be calculated with."));
        }
    })
}
