//! What requests name, and metrics there and back.

use aws::application_autoscaling::*;
use model::{Realm, ServiceKey, State};

use super::{metric, read};

fn web() -> ServiceKey {
    ServiceKey { cluster: "default".into(), service: "web".into() }
}

#[test]
fn a_resource_is_a_service() {
    assert_eq!(read::resource("service/default/web"), Ok(web()));
    for odd in ["", "service/web", "service//web", "service/default/", "task/a/b", "service/a/b/c"]
    {
        let error = read::resource(odd).unwrap_err();
        assert_eq!(error.code, "ValidationException", "{odd}");
    }
    let dimension = ScalableDimension::DynamodbTableReadCapacityUnits;
    assert!(read::only_ecs(Some(&ServiceNamespace::Ecs), Some(&dimension)).is_err());
    assert!(read::only_ecs(Some(&ServiceNamespace::Dynamodb), None).is_err());
    assert!(read::only_ecs(None, None).is_ok());
}

fn predefined(kind: MetricType) -> TargetTrackingScalingPolicyConfiguration {
    TargetTrackingScalingPolicyConfiguration {
        predefined_metric_specification: Some(PredefinedMetricSpecification {
            predefined_metric_type: Some(kind),
            resource_label: None,
        }),
        ..Default::default()
    }
}

fn customized(given: CustomizedMetricSpecification) -> TargetTrackingScalingPolicyConfiguration {
    TargetTrackingScalingPolicyConfiguration {
        customized_metric_specification: Some(given),
        ..Default::default()
    }
}

fn single() -> CustomizedMetricSpecification {
    CustomizedMetricSpecification {
        metric_name: Some("Waiting".to_owned()),
        namespace: Some("Jobs".to_owned()),
        statistic: Some(MetricStatistic::Sum),
        dimensions: Some(vec![MetricDimension {
            name: Some("Queue".to_owned()),
            value: Some("a".to_owned()),
        }]),
        unit: Some("Count".to_owned()),
        metrics: None,
    }
}

fn query(
    id: &str,
    expression: Option<&str>,
    returns: Option<bool>,
) -> TargetTrackingMetricDataQuery {
    let stat = TargetTrackingMetricStat {
        metric: Some(TargetTrackingMetric {
            dimensions: Some(Vec::new()),
            metric_name: Some("Waiting".to_owned()),
            namespace: Some("Jobs".to_owned()),
        }),
        stat: Some("p99".to_owned()),
        unit: None,
    };
    TargetTrackingMetricDataQuery {
        expression: expression.map(str::to_owned),
        id: Some(id.to_owned()),
        label: None,
        metric_stat: expression.is_none().then_some(stat),
        return_data: returns,
    }
}

fn math(metrics: Vec<TargetTrackingMetricDataQuery>) -> TargetTrackingScalingPolicyConfiguration {
    customized(CustomizedMetricSpecification { metrics: Some(metrics), ..Default::default() })
}

#[test]
fn metrics_are_shown_as_they_were_given() {
    let state = State::new(Realm::new("us-east-1", "000000000000"));
    for given in [
        predefined(MetricType::ECSServiceAverageCPUUtilization),
        predefined(MetricType::ECSServiceAverageCPUUtilizationHighResolution),
        predefined(MetricType::ECSServiceAverageMemoryUtilization),
        predefined(MetricType::ECSServiceAverageMemoryUtilizationHighResolution),
        customized(single()),
        math(vec![query("m1", None, Some(false)), query("e1", Some("m1 * 2"), Some(true))]),
    ] {
        let metric = metric::read(&state, &web(), &given).unwrap();
        let (predefined, customized) = metric::view(&metric);
        assert_eq!(predefined, given.predefined_metric_specification);
        assert_eq!(customized, given.customized_metric_specification);
    }
}

#[test]
fn metrics_that_cannot_be_are_refused() {
    let state = State::new(Realm::new("us-east-1", "000000000000"));
    let one = |id: &str| query(id, None, None);
    let mut labelled = predefined(MetricType::ECSServiceAverageCPUUtilization);
    if let Some(given) = &mut labelled.predefined_metric_specification {
        given.resource_label = Some("x".to_owned());
    }
    for (words, given) in [
        ("Exactly one of", TargetTrackingScalingPolicyConfiguration::default()),
        ("ResourceLabel can be", labelled),
        (
            "cannot be specified together",
            customized(CustomizedMetricSpecification {
                metrics: Some(vec![one("m1")]),
                ..single()
            }),
        ),
        (
            "not a unit",
            customized(CustomizedMetricSpecification {
                unit: Some("Wheels".to_owned()),
                ..single()
            }),
        ),
        ("between 1 and 10", math(Vec::new())),
        ("between 1 and 10", math(vec![one("m1"); 11])),
        ("given twice", math(vec![one("m1"), one("m1")])),
        ("2 have", math(vec![one("m1"), one("m2")])),
        ("0 have", math(vec![query("m1", None, Some(false))])),
        ("lowercase", math(vec![one("M1")])),
        ("error in expression e1", math(vec![query("e1", Some("m1 +"), None)])),
        ("error in expression e1", math(vec![query("e1", Some("m7"), None)])),
    ] {
        let error = metric::read(&state, &web(), &given).unwrap_err();
        assert_eq!(error.code, "ValidationException");
        assert!(error.message.contains(words), "{words}: {}", error.message);
    }
}
