//! GetMetricStatistics and GetMetricData.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>

use std::collections::BTreeMap;

use aws::Error;
use aws::cloudwatch::{
    Datapoint, GetMetricDataInput, GetMetricDataOutput, GetMetricStatisticsInput,
    GetMetricStatisticsOutput, MetricDataResult, ScanBy, Statistic as Wire, StatusCode,
};
use stdx::Timestamp;
use telemetry::metrics::Period;
use telemetry::{Answer, Metrics, QueryError, Source, Statistic};

use super::{combination, error, forms, missing, token, validation, value};

/// The most points of GetMetricStatistics.
const MOST_STATISTICS: i64 = 1440;
/// The most points of a page of GetMetricData.
const MOST_POINTS: usize = 100_800;
/// The most queries.
const MOST_QUERIES: usize = 500;

fn times(
    start: Option<Timestamp>,
    end: Option<Timestamp>,
) -> Result<(Timestamp, Timestamp), Error> {
    let start = start.ok_or_else(|| missing("StartTime"))?;
    let end = end.ok_or_else(|| missing("EndTime"))?;
    if start >= end {
        return Err(combination(
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    Ok((start, end))
}

/// GetMetricStatistics.
pub(super) fn statistics(
    metrics: &Metrics,
    request: GetMetricStatisticsInput,
) -> Result<GetMetricStatisticsOutput, Error> {
    let (start, end) = times(request.start_time, request.end_time)?;
    let period = forms::period(request.period, "Period")?;
    let wanted = request.statistics.unwrap_or_default();
    let extended = request.extended_statistics.unwrap_or_default();
    if wanted.is_empty() && extended.is_empty() {
        return Err(combination("Must specify either Statistics or ExtendedStatistics"));
    }
    let mut percentiles = Vec::new();
    for text in &extended {
        match forms::statistic(text, "ExtendedStatistics")? {
            Statistic::Percentile(percent) => percentiles.push(percent),
            _ => {
                let why = format!("The value {text} for parameter ExtendedStatistics is invalid.");
                return Err(value(why));
            }
        }
    }
    let points = (end.as_secs() - start.as_secs()) / i64::from(period);
    if points > MOST_STATISTICS {
        return Err(combination(format!(
            "You have requested up to {points} datapoints, which exceeds the limit of {MOST_STATISTICS}. \
             You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )));
    }
    let unit = forms::unit(request.unit.as_ref())?;
    let id = forms::id(request.namespace, request.metric_name, request.dimensions);
    forms::few_dimensions(&id)?;
    let found = metrics.statistics(&id, unit, (start, end), period, &percentiles);
    let found = found.map_err(|e| error(&e))?;
    let datapoints = found.iter().map(|period| datapoint(period, &wanted, &extended)).collect();
    Ok(GetMetricStatisticsOutput { label: Some(id.name), datapoints: Some(datapoints) })
}

fn datapoint(period: &Period, wanted: &[Wire], extended: &[String]) -> Datapoint {
    let has = |statistic: Wire, value: f64| wanted.contains(&statistic).then_some(value);
    let set = period.set;
    let percentiles: BTreeMap<String, f64> = extended
        .iter()
        .zip(&period.percentiles)
        .filter_map(|(name, value)| Some((name.clone(), (*value)?)))
        .collect();
    Datapoint {
        timestamp: Some(period.at),
        unit: Some(forms::wire_unit(period.unit)),
        average: has(Wire::Average, set.sum / set.count),
        sum: has(Wire::Sum, set.sum),
        minimum: has(Wire::Minimum, set.min),
        maximum: has(Wire::Maximum, set.max),
        sample_count: has(Wire::SampleCount, set.count),
        extended_statistics: (!percentiles.is_empty()).then_some(percentiles),
    }
}

/// Where a page begins: the answer, the point in it, and the instant up to which the first page saw.
type Place = (usize, usize, i64);

/// GetMetricData.
pub(super) fn data(
    metrics: &Metrics,
    account: &str,
    request: GetMetricDataInput,
    now: Timestamp,
) -> Result<GetMetricDataOutput, Error> {
    let (start, end) = times(request.start_time, request.end_time)?;
    let list = request.metric_data_queries.unwrap_or_default();
    if list.is_empty() || list.len() > MOST_QUERIES {
        return Err(validation(format!(
            "MetricDataQueries must have 1 to {MOST_QUERIES} members."
        )));
    }
    let most = match request.max_datapoints.map(usize::try_from) {
        None => MOST_POINTS,
        Some(Ok(most)) if (1..=MOST_POINTS).contains(&most) => most,
        Some(_) => {
            return Err(value(format!("MaxDatapoints must be from 1 to {MOST_POINTS}.")));
        }
    };
    let ascending = match &request.scan_by {
        None | Some(ScanBy::TimestampDescending) => false,
        Some(ScanBy::TimestampAscending) => true,
        Some(ScanBy::Unrecognized(other)) => {
            return Err(value(format!("The value {other} for parameter ScanBy is invalid.")));
        }
    };
    let queries = forms::queries(list, account, "MetricDataQueries")?;
    let finest = queries.iter().filter_map(|query| match &query.source {
        Source::Metric(stat) => Some(stat.period),
        Source::Expression { period, .. } => *period,
    });
    bounded(start, end, finest.min().unwrap_or(60))?;
    let place: Option<Place> = token::read("GetMetricData", request.next_token.as_deref())?;
    // What came after the first page was answered is not in the pages that follow.
    let seen = place.map_or(end.min(now), |(_, _, millis)| Timestamp::from_millis(millis));
    let until = if seen > start { seen } else { end };
    let answers = metrics.query(&queries, start, until).map_err(|e| query_error(&e))?;
    Ok(page(answers, place.unwrap_or((0, 0, 0)), until, most, ascending))
}

/// Refuses a stretch of more periods than could be told in many pages.
fn bounded(start: Timestamp, end: Timestamp, period: u32) -> Result<(), Error> {
    let points = (end.as_secs() - start.as_secs()) / i64::from(period);
    if points <= 10 * 100_800 {
        return Ok(());
    }
    Err(validation(format!(
        "From StartTime to EndTime there are {points} periods of {period} seconds, more than 1,008,000. \
         Ask for longer periods or for less time."
    )))
}

fn query_error(failed: &QueryError) -> Error {
    match failed {
        QueryError::Expression { id, error } => {
            validation(format!("Error in expression '{id}': {}", error.why))
        }
        QueryError::Store(store) => error(store),
    }
}

/// Cuts a page of so many points out of all answers.
fn page(
    answers: Vec<Answer>,
    (first, skip, _): Place,
    until: Timestamp,
    most: usize,
    ascending: bool,
) -> GetMetricDataOutput {
    let mut left = most;
    let (mut results, mut next) = (Vec::new(), None);
    for (index, mut answer) in answers.into_iter().enumerate().skip(first) {
        let skipped = if index == first { skip } else { 0 };
        if left == 0 {
            next = Some((index, skipped, until.as_millis()));
            break;
        }
        if !ascending {
            answer.points.reverse();
        }
        let mut points: Vec<(Timestamp, f64)> = answer.points.into_iter().skip(skipped).collect();
        let cut = points.len() > left;
        points.truncate(left);
        left -= points.len();
        let taken = skipped + points.len();
        let (timestamps, values) = points.into_iter().unzip();
        results.push(MetricDataResult {
            id: Some(answer.id),
            label: Some(answer.label),
            timestamps: Some(timestamps),
            values: Some(values),
            status_code: Some(if cut { StatusCode::PartialData } else { StatusCode::Complete }),
            messages: None,
        });
        if cut {
            next = Some((index, taken, until.as_millis()));
            break;
        }
    }
    GetMetricDataOutput {
        metric_data_results: Some(results),
        next_token: next.and_then(|place: Place| token::write("GetMetricData", &place)),
        messages: Some(Vec::new()),
    }
}
