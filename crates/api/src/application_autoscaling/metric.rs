//! The metric of a target tracking policy, read and shown.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_TargetTrackingScalingPolicyConfiguration.html>

use std::collections::BTreeSet;

use aws::Error;
use aws::application_autoscaling::*;
use model::{
    BalancerId, CustomMetric, GroupId, MetricQuery, MetricStat, QueryKind, ServiceKey, State,
    TrackedMetric,
};

use super::errors::invalid;

/// The most metrics and expressions of a policy, a quota of AWS.
const MOST_QUERIES: usize = 10;

pub(super) fn read(
    state: &State,
    service: &ServiceKey,
    given: &TargetTrackingScalingPolicyConfiguration,
) -> Result<TrackedMetric, Error> {
    match (&given.predefined_metric_specification, &given.customized_metric_specification) {
        (Some(given), None) => predefined(state, service, given),
        (None, Some(given)) => customized(given),
        _ => Err(invalid(
            "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be \
             specified.",
        )),
    }
}

fn predefined(
    state: &State,
    service: &ServiceKey,
    given: &PredefinedMetricSpecification,
) -> Result<TrackedMetric, Error> {
    let kind = given.predefined_metric_type.as_ref();
    let label = given.resource_label.as_deref();
    let metric = match kind {
        Some(MetricType::ALBRequestCountPerTarget) => {
            let label = label.ok_or_else(|| {
                invalid("ResourceLabel must be specified for ALBRequestCountPerTarget.")
            })?;
            return requests(state, service, label);
        }
        Some(MetricType::ECSServiceAverageCPUUtilization) => {
            TrackedMetric::Cpu { high_resolution: false }
        }
        Some(MetricType::ECSServiceAverageCPUUtilizationHighResolution) => {
            TrackedMetric::Cpu { high_resolution: true }
        }
        Some(MetricType::ECSServiceAverageMemoryUtilization) => {
            TrackedMetric::Memory { high_resolution: false }
        }
        Some(MetricType::ECSServiceAverageMemoryUtilizationHighResolution) => {
            TrackedMetric::Memory { high_resolution: true }
        }
        other => {
            return Err(invalid(format!(
                "PredefinedMetricType {} is not a metric of the service namespace ecs. Use \
                 ECSServiceAverageCPUUtilization, ECSServiceAverageMemoryUtilization or \
                 ALBRequestCountPerTarget.",
                other.map_or("", MetricType::as_str)
            )));
        }
    };
    match label {
        Some(_) => Err(invalid(
            "ResourceLabel can be specified for the metric type ALBRequestCountPerTarget only.",
        )),
        None => Ok(metric),
    }
}

/// `app/NAME/ID/targetgroup/NAME/ID`: the group has to be one that the service's tasks join, behind
/// that load balancer.
fn requests(state: &State, service: &ServiceKey, label: &str) -> Result<TrackedMetric, Error> {
    let parts: Vec<&str> = label.split('/').collect();
    let ["app", name, id, "targetgroup", group, group_id] = parts[..] else {
        return Err(invalid(format!(
            "Invalid ResourceLabel: {label}. The form is \
             app/<load-balancer-name>/<load-balancer-id>/targetgroup/<target-group-name>/<target-group-id>."
        )));
    };
    let balancer = BalancerId::from(format!("app/{name}/{id}"));
    let group = GroupId::from(format!("{group}/{group_id}"));
    let joined = state
        .service(service)
        .is_some_and(|service| service.load_balancers.iter().any(|target| target.group == group));
    if !joined {
        return Err(invalid(format!(
            "Target group targetgroup/{group} is not attached to the service service/{service}."
        )));
    }
    if !state.balancing().balancers_of(&group).any(|known| known.id == balancer) {
        return Err(invalid(format!(
            "Load balancer {balancer} does not route traffic to target group targetgroup/{group}."
        )));
    }
    Ok(TrackedMetric::Requests { balancer, group })
}

/// A metric of CloudWatch, or an expression over several.
pub(crate) fn customized(given: &CustomizedMetricSpecification) -> Result<TrackedMetric, Error> {
    let single = given.metric_name.is_some()
        || given.namespace.is_some()
        || given.dimensions.is_some()
        || given.statistic.is_some()
        || given.unit.is_some();
    if let Some(metrics) = &given.metrics {
        if single {
            return Err(invalid(
                "CustomizedMetricSpecification: Metrics cannot be specified together with \
                 MetricName, Namespace, Dimensions, Statistic or Unit.",
            ));
        }
        return math(metrics).map(TrackedMetric::Math);
    }
    let (Some(name), Some(namespace), Some(statistic)) =
        (&given.metric_name, &given.namespace, &given.statistic)
    else {
        return Err(invalid(
            "CustomizedMetricSpecification: MetricName, Namespace and Statistic, or Metrics, must be \
             specified.",
        ));
    };
    given.unit.as_deref().map(unit_of).transpose()?;
    let dimensions = given.dimensions.iter().flatten();
    Ok(TrackedMetric::Custom(CustomMetric {
        namespace: namespace.clone(),
        name: name.clone(),
        dimensions: dimensions
            .map(|d| (d.name.clone().unwrap_or_default(), d.value.clone().unwrap_or_default()))
            .collect(),
        statistic: statistic_of(statistic)?,
        unit: given.unit.clone(),
    }))
}

fn statistic_of(given: &MetricStatistic) -> Result<MetricStat, Error> {
    Ok(match given {
        MetricStatistic::Average => MetricStat::Average,
        MetricStatistic::Minimum => MetricStat::Minimum,
        MetricStatistic::Maximum => MetricStat::Maximum,
        MetricStatistic::SampleCount => MetricStat::SampleCount,
        MetricStatistic::Sum => MetricStat::Sum,
        MetricStatistic::Unrecognized(text) => {
            return Err(invalid(format!("Statistic {text} is not one of a policy's.")));
        }
    })
}

fn math(metrics: &[TargetTrackingMetricDataQuery]) -> Result<Vec<MetricQuery>, Error> {
    if metrics.is_empty() || metrics.len() > MOST_QUERIES {
        return Err(invalid(format!(
            "CustomizedMetricSpecification: Metrics must have between 1 and {MOST_QUERIES} entries."
        )));
    }
    let queries = metrics.iter().map(query).collect::<Result<Vec<_>, _>>()?;
    let mut ids = BTreeSet::new();
    if let Some(twice) = queries.iter().find(|query| !ids.insert(&query.id)) {
        return Err(invalid(format!("Metrics: the Id {} is given twice.", twice.id)));
    }
    let returned = queries.iter().filter(|query| query.return_data.unwrap_or(true)).count();
    if returned != 1 {
        return Err(invalid(format!(
            "Metrics: exactly one entry must have ReturnData true; {returned} have. Where it is left \
             out it is true."
        )));
    }
    check_math(&queries)?;
    Ok(queries)
}

/// Statistics, units and expressions are held against what metrics can be asked.
fn check_math(queries: &[MetricQuery]) -> Result<(), Error> {
    let one = |query: &MetricQuery| {
        let source = match &query.kind {
            QueryKind::Expression(text) => {
                telemetry::Source::Expression { text: text.clone(), period: Some(60) }
            }
            QueryKind::Metric { namespace, name, dimensions, stat, unit } => {
                let statistic = telemetry::Statistic::parse(stat).map_err(|_| {
                    invalid(format!("Metrics: {stat} is not a statistic that Wharf can tell."))
                })?;
                let id =
                    telemetry::MetricId::new(namespace.clone(), name.clone(), dimensions.clone());
                let unit = unit.as_deref().map(unit_of).transpose()?;
                telemetry::Source::Metric(telemetry::MetricStat { id, period: 60, statistic, unit })
            }
        };
        let (id, returns) = (query.id.clone(), query.return_data.unwrap_or(true));
        Ok(telemetry::Query { id, label: None, source, returns })
    };
    let queries = queries.iter().map(one).collect::<Result<Vec<_>, Error>>()?;
    telemetry::metrics::check_queries(&queries).map_err(|error| match error {
        telemetry::QueryError::Expression { id, error } => {
            invalid(format!("Metrics: error in expression {id}: {}", error.why))
        }
        telemetry::QueryError::Store(error) => invalid(format!("Metrics: {error}")),
    })
}

fn unit_of(text: &str) -> Result<telemetry::Unit, Error> {
    let refuse = || invalid(format!("{text} is not a unit of CloudWatch."));
    telemetry::Unit::parse(text).ok_or_else(refuse)
}

fn query(given: &TargetTrackingMetricDataQuery) -> Result<MetricQuery, Error> {
    let id = given.id.clone().unwrap_or_default();
    let first = id.chars().next().is_some_and(|first| first.is_ascii_lowercase());
    if !first || !id.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        return Err(invalid(format!(
            "Metrics: the Id {id} must begin with a lowercase letter and have letters, digits and \
             underscores only."
        )));
    }
    let kind = match (&given.expression, &given.metric_stat) {
        (Some(expression), None) => QueryKind::Expression(expression.clone()),
        (None, Some(stat)) => metric(stat),
        _ => {
            return Err(invalid(format!(
                "Metrics: exactly one of Expression and MetricStat must be specified for {id}."
            )));
        }
    };
    Ok(MetricQuery { id, kind, label: given.label.clone(), return_data: given.return_data })
}

fn metric(given: &TargetTrackingMetricStat) -> QueryKind {
    let metric = given.metric.clone().unwrap_or_default();
    let dimensions = metric.dimensions.unwrap_or_default().into_iter();
    QueryKind::Metric {
        namespace: metric.namespace.unwrap_or_default(),
        name: metric.metric_name.unwrap_or_default(),
        dimensions: dimensions
            .map(|d| (d.name.unwrap_or_default(), d.value.unwrap_or_default()))
            .collect(),
        stat: given.stat.clone().unwrap_or_default(),
        unit: given.unit.clone(),
    }
}

// === Shown ===

/// The two specifications, of which one is there.
pub(crate) fn view(
    metric: &TrackedMetric,
) -> (Option<PredefinedMetricSpecification>, Option<CustomizedMetricSpecification>) {
    let predefined = |kind: MetricType, resource_label: Option<String>| {
        let predefined_metric_type = Some(kind);
        (Some(PredefinedMetricSpecification { predefined_metric_type, resource_label }), None)
    };
    match metric {
        TrackedMetric::Cpu { high_resolution: false } => {
            predefined(MetricType::ECSServiceAverageCPUUtilization, None)
        }
        TrackedMetric::Cpu { high_resolution: true } => {
            predefined(MetricType::ECSServiceAverageCPUUtilizationHighResolution, None)
        }
        TrackedMetric::Memory { high_resolution: false } => {
            predefined(MetricType::ECSServiceAverageMemoryUtilization, None)
        }
        TrackedMetric::Memory { high_resolution: true } => {
            predefined(MetricType::ECSServiceAverageMemoryUtilizationHighResolution, None)
        }
        TrackedMetric::Requests { balancer, group } => {
            let label = format!("{balancer}/targetgroup/{group}");
            predefined(MetricType::ALBRequestCountPerTarget, Some(label))
        }
        TrackedMetric::Custom(custom) => (None, Some(custom_view(custom))),
        TrackedMetric::Math(queries) => {
            let metrics = Some(queries.iter().map(query_view).collect());
            (None, Some(CustomizedMetricSpecification { metrics, ..Default::default() }))
        }
    }
}

fn custom_view(custom: &CustomMetric) -> CustomizedMetricSpecification {
    let dimension = |(name, value): &(String, String)| MetricDimension {
        name: Some(name.clone()),
        value: Some(value.clone()),
    };
    let statistic = match custom.statistic {
        MetricStat::Average => MetricStatistic::Average,
        MetricStat::Minimum => MetricStatistic::Minimum,
        MetricStat::Maximum => MetricStatistic::Maximum,
        MetricStat::SampleCount => MetricStatistic::SampleCount,
        MetricStat::Sum => MetricStatistic::Sum,
    };
    let dimensions: Vec<MetricDimension> = custom.dimensions.iter().map(dimension).collect();
    CustomizedMetricSpecification {
        dimensions: Some(dimensions).filter(|all| !all.is_empty()),
        metric_name: Some(custom.name.clone()),
        metrics: None,
        namespace: Some(custom.namespace.clone()),
        statistic: Some(statistic),
        unit: custom.unit.clone(),
    }
}

fn query_view(query: &MetricQuery) -> TargetTrackingMetricDataQuery {
    let (expression, metric_stat) = match &query.kind {
        QueryKind::Expression(text) => (Some(text.clone()), None),
        QueryKind::Metric { namespace, name, dimensions, stat, unit } => {
            let dimension = |(name, value): &(String, String)| TargetTrackingMetricDimension {
                name: Some(name.clone()),
                value: Some(value.clone()),
            };
            let metric = TargetTrackingMetric {
                dimensions: Some(dimensions.iter().map(dimension).collect()),
                metric_name: Some(name.clone()),
                namespace: Some(namespace.clone()),
            };
            let stat = Some(stat.clone());
            (
                None,
                Some(TargetTrackingMetricStat { metric: Some(metric), stat, unit: unit.clone() }),
            )
        }
    };
    TargetTrackingMetricDataQuery {
        expression,
        id: Some(query.id.clone()),
        label: query.label.clone(),
        metric_stat,
        return_data: query.return_data,
    }
}
