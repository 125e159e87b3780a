//! Services, with the loops' decisions made by hand between requests.

use serde_json::{Value, json};

use super::bench::Bench;

async fn described(bench: &Bench, name: &str) -> Value {
    let told = bench.ecs("DescribeServices", json!({"services": [name]})).await.ok();
    assert_eq!(told["failures"], json!([]), "{told}");
    told["services"][0].clone()
}

/// botocore's `services_stable`, word for word.
fn is_stable(service: &Value) -> bool {
    assert!(!["DRAINING", "INACTIVE"].contains(&service["status"].as_str().unwrap()));
    service["deployments"].as_array().unwrap().len() == 1
        && service["runningCount"] == service["desiredCount"]
}

#[tokio::test]
async fn a_service_comes_up_changes_and_goes() {
    let bench = Bench::new();
    bench.with_node().await;
    bench.with_definition("web").await;
    let made = bench
        .ecs("CreateService", json!({
            "serviceName": "web", "taskDefinition": "web", "desiredCount": 2,
            "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 50, "strategy": "ROLLING",
                "deploymentCircuitBreaker": {"enable": true, "rollback": true}, "bakeTimeInMinutes": 0,
                "alarms": {"alarmNames": [], "enable": false, "rollback": false}},
            "placementStrategy": [{"type": "spread", "field": "instanceId"}],
            "deploymentController": {"type": "ECS"}, "schedulingStrategy": "REPLICA",
            "loadBalancers": [], "enableECSManagedTags": true, "propagateTags": "SERVICE",
            "tags": [{"key": "k", "value": "v"}],
        }))
        .await
        .ok();
    let service = &made["service"];
    for (member, value) in [
        ("serviceArn", json!("arn:aws:ecs:eu-west-1:123456789012:service/default/web")),
        ("status", json!("ACTIVE")),
        ("desiredCount", json!(2)),
        ("runningCount", json!(0)),
        ("schedulingStrategy", json!("REPLICA")),
        ("deploymentController", json!({"type": "ECS"})),
        ("launchType", json!("EC2")),
        ("loadBalancers", json!([])),
        ("serviceRegistries", json!([])),
        ("placementStrategy", json!([{"type": "spread", "field": "instanceId"}])),
        ("enableECSManagedTags", json!(true)),
        ("propagateTags", json!("SERVICE")),
        ("tags", json!([{"key": "k", "value": "v"}])),
        ("createdBy", json!("arn:aws:iam::123456789012:root")),
    ] {
        assert_eq!(service[member], value, "{member} of {service}");
    }
    let deployment = &service["deployments"][0];
    assert_eq!(deployment["status"], "PRIMARY");
    assert_eq!(deployment["rolloutState"], "IN_PROGRESS");
    assert!(deployment["id"].as_str().unwrap().starts_with("ecs-svc/"));
    assert!(!is_stable(service));

    bench.settle().await;
    bench.report_all("RUNNING").await;
    // Tasks without health checks, watched by the circuit breaker, count once they have stayed.
    bench.clock.advance(scheduler::timing::STAYS);
    bench.settle().await;
    let service = described(&bench, "web").await;
    assert!(is_stable(&service), "{service}");
    assert_eq!(service["deployments"][0]["runningCount"], 2);
    assert_eq!(service["tags"], json!([]), "tags only where they are asked for");
    let newest = service["events"][0]["message"].as_str().unwrap();
    assert_eq!(newest, "(service web) has reached a steady state.");
    let listed = bench.ecs("ListTasks", json!({"serviceName": "web"})).await.ok();
    assert_eq!(listed["taskArns"].as_array().unwrap().len(), 2);

    update_and_delete(&bench).await;
}

async fn update_and_delete(bench: &Bench) {
    bench.with_definition("web").await;
    let updated = bench
        .ecs(
            "UpdateService",
            json!({"service": "web", "taskDefinition": "web:2", "desiredCount": 1}),
        )
        .await
        .ok();
    let deployments = updated["service"]["deployments"].as_array().unwrap();
    assert_eq!(deployments.len(), 2, "{updated}");
    assert_eq!(deployments[0]["taskDefinition"], updated["service"]["taskDefinition"]);
    assert_eq!(deployments[1]["status"], "ACTIVE");

    let answer = bench.ecs("DeleteService", json!({"service": "web"})).await;
    let (code, message) = answer.error();
    assert_eq!(code, "InvalidParameterException");
    assert!(message.starts_with("The service cannot be stopped while it is scaled above 0."));
    let gone = bench.ecs("DeleteService", json!({"service": "web", "force": true})).await.ok();
    assert_eq!(gone["service"]["status"], "DRAINING");
    let answer = bench.ecs("UpdateService", json!({"service": "web", "desiredCount": 3})).await;
    assert_eq!(
        answer.error(),
        ("ServiceNotActiveException".to_owned(), "Service was not ACTIVE.".to_owned())
    );
}

#[tokio::test]
async fn services_are_described_listed_and_refused() {
    let bench = Bench::new();
    bench.with_node().await;
    bench.with_definition("web").await;
    for n in 0..12 {
        let body =
            json!({"serviceName": format!("s{n:02}"), "taskDefinition": "web", "desiredCount": 0});
        bench.ecs("CreateService", body).await.ok();
    }
    let first = bench.ecs("ListServices", json!({})).await.ok();
    assert_eq!(first["serviceArns"].as_array().unwrap().len(), 10, "ten to a page");
    let next = bench.ecs("ListServices", json!({"nextToken": first["nextToken"]})).await.ok();
    assert_eq!(next["serviceArns"].as_array().unwrap().len(), 2);
    for filter in [
        json!({"launchType": "FARGATE"}),
        json!({"schedulingStrategy": "DAEMON"}),
        json!({"resourceManagementType": "ECS"}),
    ] {
        let listed = bench.ecs("ListServices", filter).await.ok();
        assert_eq!(listed["serviceArns"], json!([]));
    }
    let told = bench.ecs("DescribeServices", json!({"services": ["s01", "nope"]})).await.ok();
    assert_eq!(told["services"].as_array().unwrap().len(), 1);
    let arn = "arn:aws:ecs:eu-west-1:123456789012:service/default/nope";
    assert_eq!(told["failures"], json!([{"arn": arn, "reason": "MISSING"}]));
    let many: Vec<String> = (0..11).map(|n| format!("s{n:02}")).collect();
    let answer = bench.ecs("DescribeServices", json!({"services": many})).await;
    assert_eq!(answer.error().0, "InvalidParameterException");
    let body = json!({"serviceName": "s01", "taskDefinition": "web", "desiredCount": 3});
    let (code, message) = bench.ecs("CreateService", body).await.error();
    assert_eq!(code, "InvalidParameterException");
    assert!(message.starts_with("Creation of service was not idempotent."), "{message}");
}

#[tokio::test]
async fn a_service_refuses_what_it_can_not_honour() {
    let bench = Bench::new();
    bench.with_node().await;
    bench.with_definition("web").await;
    let deployment = |body: Value| json!({"deploymentConfiguration": body});
    for (body, word) in [
        (json!({"loadBalancers": [{"targetGroupArn": "x"}]}), "loadBalancers"),
        (json!({"serviceRegistries": [{"registryArn": "x"}]}), "serviceRegistries"),
        (json!({"launchType": "FARGATE"}), "FARGATE"),
        (json!({"schedulingStrategy": "DAEMON"}), "does not support a desired count"),
        (json!({"deploymentController": {"type": "CODE_DEPLOY"}}), "CODE_DEPLOY"),
        (json!({"healthCheckGracePeriodSeconds": -1}), "healthCheckGracePeriodSeconds"),
        (json!({"serviceConnectConfiguration": {"enabled": true}}), "serviceConnectConfiguration"),
        (
            json!({"availabilityZoneRebalancing": "ENABLED", "placementStrategy": [{"type": "random"}]}),
            "first placement strategy",
        ),
        (json!({"platformVersion": "LATEST"}), "platform version"),
        (json!({"role": "ecsServiceRole"}), "role"),
        (
            json!({"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"]}}}),
            "The subnet ID 's' does not exist",
        ),
        (json!({"desiredCount": -1}), "desiredCount"),
        (json!({"desiredCount": 5001}), "desiredCount"),
        (json!({"desiredCount": null}), "desiredCount"),
        (json!({"serviceName": "a b"}), "serviceName"),
        (deployment(json!({"strategy": "LINEAR"})), "give loadBalancers, or use BLUE_GREEN"),
        (deployment(json!({"strategy": "GREEN"})), "ROLLING, BLUE_GREEN"),
        (deployment(json!({"bakeTimeInMinutes": 1441})), "bakeTimeInMinutes"),
        (
            deployment(
                json!({"lifecycleHooks": [{"hookTargetArn": "http://h/", "lifecycleStages": ["POST_SCALE_UP"]}]}),
            ),
            "lifecycleHooks",
        ),
        (deployment(json!({"maximumPercent": 100, "minimumHealthyPercent": 100})), "cannot be 100"),
        (deployment(json!({"minimumHealthyPercent": 101})), "minimumHealthyPercent"),
        (deployment(json!({"maximumPercent": 99})), "maximumPercent"),
        (
            deployment(json!({"alarms": {"alarmNames": [], "enable": true, "rollback": false}})),
            "names no alarm",
        ),
        (
            deployment(
                json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true, "thresholdConfiguration": {"type": "COUNT", "value": 0}}}),
            ),
            "thresholdConfiguration.value",
        ),
    ] {
        let mut request = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1});
        for (member, value) in body.as_object().unwrap() {
            request[member] = value.clone();
        }
        let (code, message) = bench.ecs("CreateService", request).await.error();
        assert_eq!(code, "InvalidParameterException", "{body}: {message}");
        assert!(message.contains(word), "{body}: {message}");
    }
    assert_eq!(bench.ecs("ListServices", json!({})).await.ok()["serviceArns"], json!([]));
}
