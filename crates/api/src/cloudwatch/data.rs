//! PutMetricData and ListMetrics.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>

use aws::Error;
use aws::cloudwatch::{
    ListMetricsInput, ListMetricsOutput, Metric, MetricDatum, PutMetricDataInput, RecentlyActive,
};
use stdx::Timestamp;
use telemetry::metrics::ListQuery;
use telemetry::{MetricId, Metrics, Resolution, Sample, StatisticSet, Values};

use super::{combination, forms, given, missing, not_built, token, value};

/// The samples of a request.
pub(super) fn samples(request: PutMetricDataInput, now: Timestamp) -> Result<Vec<Sample>, Error> {
    if request.entity_metric_data.is_some_and(|list| !list.is_empty())
        || request.strict_entity_validation == Some(true)
    {
        return Err(not_built("EntityMetricData", "metrics of entities are"));
    }
    let namespace = given(request.namespace);
    let data = request.metric_data.unwrap_or_default();
    if data.is_empty() {
        return Err(missing("MetricData"));
    }
    let sample = |(index, datum): (usize, MetricDatum)| {
        sample(&namespace, datum, now, &format!("MetricData.member.{}", index + 1))
    };
    data.into_iter().enumerate().map(sample).collect()
}

fn sample(namespace: &str, datum: MetricDatum, now: Timestamp, at: &str) -> Result<Sample, Error> {
    let resolution = match datum.storage_resolution {
        None | Some(60) => Resolution::Standard,
        Some(1) => Resolution::High,
        Some(other) => {
            return Err(value(format!(
                "The value {other} for parameter {at}.StorageResolution is invalid: it must be 1 or 60."
            )));
        }
    };
    let unit = forms::unit(datum.unit.as_ref())?.unwrap_or_default();
    let time = datum.timestamp.unwrap_or(now);
    let id = forms::id(Some(namespace.to_owned()), datum.metric_name, datum.dimensions);
    let values = match (datum.value, datum.statistic_values, datum.values) {
        (Some(value), None, None) => Values::One(value),
        (None, Some(set), None) => Values::Set(StatisticSet {
            sum: set.sum.unwrap_or_default(),
            count: set.sample_count.unwrap_or_default(),
            min: set.minimum.unwrap_or_default(),
            max: set.maximum.unwrap_or_default(),
        }),
        (None, None, Some(values)) => {
            let counts = datum.counts.unwrap_or_else(|| vec![1.0; values.len()]);
            if counts.len() != values.len() {
                return Err(value(format!(
                    "The parameters {at}.Values and {at}.Counts must have the same size."
                )));
            }
            Values::Many(values.into_iter().zip(counts).collect())
        }
        (None, None, None) => {
            return Err(combination(format!(
                "At least one of the parameters {at}.Value, {at}.Values and {at}.StatisticValues must be \
                 specified."
            )));
        }
        _ => {
            return Err(combination(format!(
                "The parameters {at}.Value, {at}.Values and {at}.StatisticValues are mutually exclusive \
                 and you have specified more than one."
            )));
        }
    };
    Ok(Sample { id, unit, at: time, values, resolution })
}

/// ListMetrics.
pub(super) fn list(
    metrics: &Metrics,
    account: &str,
    request: ListMetricsInput,
) -> Result<ListMetricsOutput, Error> {
    if request.owning_account.as_ref().is_some_and(|owner| owner != account) {
        return Err(not_built("OwningAccount", "metrics of other accounts are"));
    }
    let recent = match &request.recently_active {
        None => false,
        Some(RecentlyActive::Pt3h) => true,
        Some(RecentlyActive::Unrecognized(other)) => {
            return Err(value(format!(
                "The value {other} for parameter RecentlyActive is invalid."
            )));
        }
    };
    let dimensions = request.dimensions.unwrap_or_default();
    let query = ListQuery {
        namespace: request.namespace,
        name: request.metric_name,
        dimensions: dimensions.into_iter().map(|one| (given(one.name), one.value)).collect(),
        recent,
        after: token::read("ListMetrics", request.next_token.as_deref())?,
    };
    let (found, more) = metrics.list(&query);
    let next_token = found.last().filter(|_| more).and_then(|id| token::write("ListMetrics", id));
    // No other account is linked to this one.
    let owners = request.include_linked_accounts == Some(true);
    Ok(ListMetricsOutput {
        owning_accounts: owners.then(|| vec![account.to_owned(); found.len()]),
        metrics: Some(found.iter().map(metric).collect()),
        next_token,
    })
}

/// A metric on the wire.
pub(super) fn metric(id: &MetricId) -> Metric {
    Metric {
        namespace: Some(id.namespace.clone()),
        metric_name: Some(id.name.clone()),
        dimensions: forms::dimensions(id),
    }
}
