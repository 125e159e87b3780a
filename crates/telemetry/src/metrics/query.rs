//! Reading: the statistics of a metric by period, and several of them put together by expressions.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use super::id::{MetricId, Unit};
use super::math::{self, Expression, Inputs, MathError, Series, Value};
use super::memory::{Found, Span};
use super::point::{Point, Statistic, StatisticSet};
use super::writer::lock;
use super::{Metrics, MetricsError, disk};

/// A statistic of a metric, period by period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricStat {
    /// Of what.
    pub id: MetricId,
    /// Seconds of a period.
    pub period: u32,
    /// Which.
    pub statistic: Statistic,
    /// Only what was measured in this unit; none for all.
    pub unit: Option<Unit>,
}

/// Where a query's points come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Source {
    /// From a metric.
    Metric(MetricStat),
    /// From an expression over the other queries.
    Expression {
        /// In metric math.
        text: String,
        /// The seconds of a period, where nothing that it refers to says so.
        period: Option<u32>,
    },
}

/// One of several queries that belong together: `MetricDataQuery`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// What expressions call it.
    pub id: String,
    /// What to call the result.
    pub label: Option<String>,
    /// Where its points come from.
    pub source: Source,
    /// Whether it is answered, or only there for expressions.
    pub returns: bool,
}

/// What a query found. An expression that is worth several series has as many answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The query's.
    pub id: String,
    /// What it is called.
    pub label: String,
    /// The oldest first.
    pub points: Vec<(Timestamp, f64)>,
}

/// The statistics of one period: `Datapoint`.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// When it begins.
    pub at: Timestamp,
    /// In what it was measured.
    pub unit: Unit,
    /// Sum, count, least and greatest.
    pub set: StatisticSet,
    /// The percentiles that were asked for; none where values came as statistics.
    pub percentiles: Vec<Option<f64>>,
}

/// What was found in one unit: points by the period's first second.
type OfUnit = (Unit, BTreeMap<i64, Point>);

/// The stretch from one instant to another in periods: it begins with a whole minute, or with a whole
/// period if those are shorter, as CloudWatch rounds.
fn span(from: Timestamp, to: Timestamp, period: u32) -> Span {
    let period = i64::from(period.max(1));
    let whole = if period < 60 { period } else { 60 };
    let from = from.as_secs().div_euclid(whole) * whole;
    // The last second counts if any of it does.
    let to = to.as_millis().saturating_add(999).div_euclid(1000);
    Span { from, to, period }
}

const fn instant(second: i64) -> Timestamp {
    Timestamp::from_millis(second.saturating_mul(1000))
}

impl Metrics {
    /// A statistic of a metric in `[from, to)`, the oldest first, in periods that begin at multiples
    /// of `period_secs`. Units are merged. Periods without data are left out, and so are those
    /// whose data are no longer kept as finely. What was measured in the last quarter of an hour is
    /// read from memory.
    pub fn read(
        &self,
        id: &MetricId,
        from: Timestamp,
        to: Timestamp,
        period_secs: u32,
        statistic: Statistic,
    ) -> Vec<(Timestamp, f64)> {
        let period = i64::from(period_secs.max(1));
        let from = from.as_secs().div_euclid(period) * period;
        let to = to.as_millis().saturating_add(999).div_euclid(1000);
        let found = self.points(id, None, Span { from, to, period });
        let points = found.unwrap_or_else(|error| {
            tracing::error!(error = %stdx::chain(&error), %id, "a metric could not be read");
            BTreeMap::new()
        });
        let of = |(at, point): (i64, Point)| Some((instant(at), statistic.of(&point)?));
        points.into_iter().filter_map(of).collect()
    }

    /// `GetMetricStatistics`: the statistics of a metric by period, the oldest first, each unit by
    /// itself.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn statistics(
        &self,
        id: &MetricId,
        unit: Option<Unit>,
        (from, to): (Timestamp, Timestamp),
        period_secs: u32,
        percentiles: &[f64],
    ) -> Result<Vec<Period>, MetricsError> {
        let mut all = Vec::new();
        for (unit, points) in self.found(id, unit, span(from, to, period_secs))? {
            all.extend(points.into_iter().map(|(at, point)| {
                Period {
                    at: instant(at),
                    unit,
                    set: point.set,
                    percentiles: percentiles
                        .iter()
                        .map(|percent| Statistic::Percentile(*percent).of(&point))
                        .collect(),
                }
            }));
        }
        all.sort_by_key(|period| (period.at, period.unit));
        Ok(all)
    }

    /// Points of a metric by period, all its units together.
    pub(crate) fn points(
        &self,
        id: &MetricId,
        unit: Option<Unit>,
        span: Span,
    ) -> Result<BTreeMap<i64, Point>, MetricsError> {
        let mut all: BTreeMap<i64, Point> = BTreeMap::new();
        for (_, points) in self.found(id, unit, span)? {
            for (at, point) in points {
                match all.get_mut(&at) {
                    Some(known) => known.merge(&point),
                    None => drop(all.insert(at, point)),
                }
            }
        }
        Ok(all)
    }

    fn found(
        &self,
        id: &MetricId,
        unit: Option<Unit>,
        span: Span,
    ) -> Result<Vec<OfUnit>, MetricsError> {
        let now = self.now().as_secs();
        let wanted = |has: Unit| unit.is_none_or(|unit| unit == has);
        let found: Vec<(Unit, Found)> = {
            let memory = lock(&self.inner.memory);
            let all = memory.metrics.get(id).into_iter().flatten();
            let of_unit = all.filter(|series| wanted(series.unit));
            of_unit.map(|series| (series.unit, series.find(span, now))).collect()
        };
        let load = |keys: &[_]| disk::chunks(&self.inner.database, keys);
        let mut all = Vec::new();
        for (unit, mut found) in found {
            found.complete(span, now, load)?;
            all.push((unit, found.periods));
        }
        Ok(all)
    }

    /// `GetMetricData`, without pages: every query that is to be answered, in the order given.
    ///
    /// # Errors
    /// An expression that is none, refers to itself or to what is not there, or is worth no series; a
    /// file that cannot be read.
    pub fn query(
        &self,
        queries: &[Query],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Answer>, QueryError> {
        let plan = Plan::new(queries)?;
        let periods = queries.iter().filter_map(|query| match &query.source {
            Source::Metric(stat) => Some(stat.period),
            Source::Expression { period, .. } => *period,
        });
        let finest = periods.min().unwrap_or(60);
        let mut values = BTreeMap::new();
        for query in queries {
            if let Source::Metric(stat) = &query.source {
                let points = self.points(&stat.id, stat.unit, span(from, to, stat.period));
                let points = points.map_err(QueryError::Store)?;
                let of = |(at, point): (i64, Point)| Some((at, stat.statistic.of(&point)?));
                let series = Series {
                    label: query.label.clone().unwrap_or_else(|| stat.id.name.clone()),
                    period: i64::from(stat.period),
                    points: points.into_iter().filter_map(of).collect(),
                };
                values.insert(query.id.clone(), Value::One(series));
            }
        }
        // The grid of filled points does not reach into the future.
        let to = to.min(self.now());
        plan.evaluate(&mut values, span(from, to, finest))?;
        answers(queries, &values)
    }
}

/// Why queries have no answer.
#[derive(Clone, Debug)]
pub enum QueryError {
    /// An expression is wrong.
    Expression {
        /// The query's id.
        id: String,
        /// What is wrong.
        error: MathError,
    },
    /// The store failed.
    Store(MetricsError),
}

fn answers(queries: &[Query], values: &BTreeMap<String, Value>) -> Result<Vec<Answer>, QueryError> {
    let mut answers = Vec::new();
    for query in queries.iter().filter(|query| query.returns) {
        let answer = |series: &Series, label: String| Answer {
            id: query.id.clone(),
            label,
            points: series.points.iter().map(|(at, value)| (instant(*at), *value)).collect(),
        };
        let plain = match &query.source {
            Source::Metric(stat) => stat.id.name.clone(),
            Source::Expression { .. } => query.id.clone(),
        };
        let label = query.label.clone().unwrap_or(plain);
        match values.get(&query.id) {
            Some(Value::One(series)) => answers.push(answer(series, label)),
            Some(Value::Many(all)) => {
                let named = |series: &Series| match &query.label {
                    Some(label) => format!("{label} {}", series.label),
                    None => series.label.clone(),
                };
                answers.extend(all.iter().map(|series| answer(series, named(series))));
            }
            Some(Value::Number(_) | Value::Text(_)) | None => {
                let why = "It is worth a number; a result must be a time series. TIME_SERIES makes \
                           one of it.";
                return Err(QueryError::Expression {
                    id: query.id.clone(),
                    error: MathError::new(why),
                });
            }
        }
    }
    Ok(answers)
}

/// Expressions in an order in which each comes after those that it refers to.
struct Plan {
    metrics: Vec<String>,
    expressions: Vec<(String, Option<String>, Expression)>,
}

impl Plan {
    fn new(queries: &[Query]) -> Result<Self, QueryError> {
        let (mut metrics, mut waiting) = (Vec::new(), Vec::new());
        for query in queries {
            match &query.source {
                Source::Metric(_) => metrics.push(query.id.clone()),
                Source::Expression { text, .. } => {
                    let tree = math::parse(text).map_err(|error| wrong(&query.id, error))?;
                    waiting.push((query.id.clone(), query.label.clone(), tree));
                }
            }
        }
        let mut known: BTreeSet<String> = metrics.iter().cloned().collect();
        let all: BTreeSet<String> = queries.iter().map(|query| query.id.clone()).collect();
        let mut expressions = Vec::new();
        while !waiting.is_empty() {
            let ready = |(_, _, tree): &(String, Option<String>, Expression)| {
                // What is no query at all is told when the expression is evaluated.
                math::names(tree)
                    .into_iter()
                    .all(|name| known.contains(name) || !all.contains(name))
            };
            let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ready);
            if now.is_empty() {
                let id = later.first().map(|(id, _, _)| id.clone()).unwrap_or_default();
                let error = MathError::new("It refers to itself, by itself or by others.");
                return Err(wrong(&id, error));
            }
            known.extend(now.iter().map(|(id, _, _)| id.clone()));
            expressions.extend(now);
            waiting = later;
        }
        Ok(Self { metrics, expressions })
    }

    fn evaluate(&self, values: &mut BTreeMap<String, Value>, span: Span) -> Result<(), QueryError> {
        for (id, label, tree) in &self.expressions {
            let inputs = Inputs { values, metrics: &self.metrics, span };
            let mut value = math::evaluate(tree, &inputs).map_err(|error| wrong(id, error))?;
            if let Value::One(series) = &mut value {
                series.label = label.clone().unwrap_or_else(|| id.clone());
            }
            values.insert(id.clone(), value);
        }
        Ok(())
    }
}

fn wrong(id: &str, error: MathError) -> QueryError {
    QueryError::Expression { id: id.to_owned(), error }
}

/// Checks expressions without data: that each can be read, and refers to what is there.
///
/// # Errors
/// As [`Metrics::query`].
pub fn check(queries: &[Query]) -> Result<(), QueryError> {
    let plan = Plan::new(queries)?;
    let series =
        || Value::One(Series { period: 60, points: [(0, 1.0)].into(), ..Series::default() });
    let mut values = plan.metrics.iter().map(|id| (id.clone(), series())).collect();
    plan.evaluate(&mut values, Span { from: 0, to: 60, period: 60 })?;
    answers(queries, &values).map(drop)
}
