//! What a target tracking policy has to be told: which series of which metric.
//! <https://docs.aws.amazon.com/autoscaling/application/userguide/monitoring-cloudwatch.html>

use std::time::Duration;

use model::{
    CustomMetric, GroupId, MetricQuery, MetricStat, QueryKind, ScalingPolicyKey, ServiceKey,
    TrackedMetric,
};

/// A question to the store of metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// For which policy.
    pub policy: ScalingPolicyKey,
    /// Which data points.
    pub question: Question,
    /// How far apart data points may lie at the closest: the period to ask for.
    pub period: Duration,
}

/// Which data points.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// Those of one metric.
    Series(Series),
    /// Those of the expression among these that returns data.
    Math(Vec<MetricQuery>),
}

/// A metric and how its data points are put together.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its dimensions: name and value.
    pub dimensions: Vec<(String, String)>,
    /// How data points are put together.
    pub stat: MetricStat,
    /// Only those in this unit; none is all.
    pub unit: Option<String>,
}

/// What a data point stands for when several are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Totals {
    /// A level: their mean counts.
    Level,
    /// An amount: as much a minute as they come to, since AWS evaluates periods of one minute.
    PerMinute,
}

const SECOND: Duration = Duration::from_secs(1);

/// What to ask for a policy's metric.
pub fn question(service: &ServiceKey, metric: &TrackedMetric) -> (Question, Duration) {
    let pair = |name: &str, value: &dyn ToString| (name.to_owned(), value.to_string());
    let of_service = |name: &str| {
        Question::Series(Series {
            namespace: "AWS/ECS".to_owned(),
            name: name.to_owned(),
            dimensions: vec![
                pair("ClusterName", &service.cluster),
                pair("ServiceName", &service.service),
            ],
            stat: MetricStat::Average,
            unit: None,
        })
    };
    match metric {
        TrackedMetric::Cpu { .. } => (of_service("CPUUtilization"), SECOND),
        TrackedMetric::Memory { .. } => (of_service("MemoryUtilization"), SECOND),
        TrackedMetric::Requests { group, .. } => (Question::Series(requests(group)), SECOND),
        TrackedMetric::Custom(custom) => custom_series(custom),
        TrackedMetric::Math(queries) => (Question::Math(queries.clone()), math_period(queries)),
    }
}

/// What to ask for a metric that is of no service; none if it is of one.
pub fn asked(metric: &TrackedMetric) -> Option<(Question, Duration)> {
    match metric {
        TrackedMetric::Requests { group, .. } => Some((Question::Series(requests(group)), SECOND)),
        TrackedMetric::Custom(custom) => Some(custom_series(custom)),
        TrackedMetric::Math(queries) => {
            Some((Question::Math(queries.clone()), math_period(queries)))
        }
        TrackedMetric::Cpu { .. } | TrackedMetric::Memory { .. } => None,
    }
}

fn custom_series(custom: &CustomMetric) -> (Question, Duration) {
    let CustomMetric { namespace, name, dimensions, statistic, unit } = custom;
    let series = Series {
        namespace: namespace.clone(),
        name: name.clone(),
        dimensions: dimensions.clone(),
        stat: *statistic,
        unit: unit.clone(),
    };
    (Question::Series(series), SECOND)
}

fn requests(group: &GroupId) -> Series {
    Series {
        namespace: "AWS/ApplicationELB".to_owned(),
        name: "RequestCountPerTarget".to_owned(),
        dimensions: vec![("TargetGroup".to_owned(), format!("targetgroup/{group}"))],
        stat: MetricStat::Sum,
        unit: None,
    }
}

/// An expression over amounts means amounts a minute, as on AWS; over levels, ten seconds do.
fn math_period(queries: &[MetricQuery]) -> Duration {
    let amounts = queries.iter().any(|query| match &query.kind {
        QueryKind::Metric { stat, .. } => stat == "Sum" || stat == "SampleCount",
        QueryKind::Expression(_) => false,
    });
    Duration::from_secs(if amounts { 60 } else { 10 })
}

/// What the data points of a policy's metric stand for.
pub(crate) fn totals(metric: &TrackedMetric) -> Totals {
    match metric {
        TrackedMetric::Requests { .. } => Totals::PerMinute,
        TrackedMetric::Custom(custom) => match custom.statistic {
            MetricStat::Sum | MetricStat::SampleCount => Totals::PerMinute,
            MetricStat::Average | MetricStat::Minimum | MetricStat::Maximum => Totals::Level,
        },
        // An expression over amounts is read a minute at a time.
        TrackedMetric::Cpu { .. } | TrackedMetric::Memory { .. } | TrackedMetric::Math(_) => {
            Totals::Level
        }
    }
}

/// How people name a policy's metric.
pub(crate) fn name(metric: &TrackedMetric) -> &str {
    match metric {
        TrackedMetric::Cpu { .. } => "CPUUtilization",
        TrackedMetric::Memory { .. } => "MemoryUtilization",
        TrackedMetric::Requests { .. } => "RequestCountPerTarget",
        TrackedMetric::Custom(custom) => &custom.name,
        TrackedMetric::Math(_) => "the expression",
    }
}
