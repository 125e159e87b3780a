//! Metric math: expressions over series of points.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html>
//!
//! Pure: text to tree in `parse`, tree and inputs to a value in `eval` and `functions`. A result that
//! is no number, such as a quotient by zero, is a missing point.

mod eval;
mod functions;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use eval::{Inputs, evaluate};
pub(crate) use parse::{Expression, parse};

/// The longest expression.
pub(crate) const MOST_TEXT: usize = 2048;
/// The deepest nesting.
const MOST_DEPTH: usize = 64;

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MathError {
    /// What is wrong, in a sentence.
    pub why: String,
    /// Whether CloudWatch has it and Wharf does not yet.
    pub not_built: bool,
}

impl MathError {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), not_built: false }
    }
}

/// Points of one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series {
    /// What it is called where several stand side by side.
    pub(crate) label: String,
    /// Seconds between two points.
    pub(crate) period: i64,
    /// By second.
    pub(crate) points: BTreeMap<i64, f64>,
}

/// What an expression is worth.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A number.
    Number(f64),
    /// A series.
    One(Series),
    /// Several.
    Many(Vec<Series>),
    /// Text, as some functions take it.
    Text(String),
}

/// The names in an expression that are not functions.
pub(crate) fn names(expression: &Expression) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    collect(expression, &mut found);
    found
}

fn collect<'e>(expression: &'e Expression, found: &mut BTreeSet<&'e str>) {
    match expression {
        Expression::Name(name) => drop(found.insert(name.as_str())),
        Expression::Number(_) | Expression::Text(_) => {}
        Expression::Negative(inner) => collect(inner, found),
        Expression::Operation(left, _, right) => {
            collect(left, found);
            collect(right, found);
        }
        Expression::Call(_, inner) | Expression::List(inner) => {
            inner.iter().for_each(|inner| collect(inner, found));
        }
    }
}
