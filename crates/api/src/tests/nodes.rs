//! Container instances, what agents call, tags and account settings.

use serde_json::json;

use super::bench::Bench;

#[tokio::test]
async fn a_node_joins_and_is_described() {
    let bench = Bench::new();
    let arn = bench.with_node().await;
    let told = bench
        .ecs("DescribeContainerInstances", json!({"containerInstances": [arn, "0f"]}))
        .await
        .ok();
    assert_eq!(told["failures"][0]["reason"], "MISSING");
    let node = &told["containerInstances"][0];
    assert_eq!(node["status"], "ACTIVE");
    assert_eq!(node["agentConnected"], true);
    assert_eq!(node["versionInfo"]["agentVersion"], "1.0");
    let resources = node["remainingResources"].as_array().unwrap();
    let names: Vec<&str> = resources.iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["CPU", "MEMORY", "PORTS", "PORTS_UDP"]);
    assert_eq!(resources[0]["integerValue"], 2048);
    assert_eq!(resources[2]["stringSetValue"], json!(["22"]));
    let attributes = node["attributes"].as_array().unwrap();
    assert!(attributes.contains(&json!({"name": "ecs.availability-zone", "value": "eu-west-1a"})));

    bench.with_definition("web").await;
    bench.ecs("RunTask", json!({"taskDefinition": "web"})).await.ok();
    let told =
        bench.ecs("DescribeContainerInstances", json!({"containerInstances": [arn]})).await.ok();
    let node = &told["containerInstances"][0];
    assert_eq!(node["pendingTasksCount"], 1);
    assert_eq!(node["remainingResources"][1]["integerValue"], 4032);
    assert_eq!(node["registeredResources"][1]["integerValue"], 4096);

    let answer = bench.ecs("DeregisterContainerInstance", json!({"containerInstance": arn})).await;
    let (code, message) = answer.error();
    assert_eq!(code, "InvalidParameterException");
    assert!(message.starts_with("Found running tasks on the instance."), "{message}");
    let body = json!({"containerInstance": arn, "force": true});
    let gone = bench.ecs("DeregisterContainerInstance", body).await.ok();
    assert_eq!(gone["containerInstance"]["status"], "INACTIVE");
    let list = bench.ecs("ListContainerInstances", json!({})).await.ok();
    assert_eq!(list["containerInstanceArns"], json!([]));
}

#[tokio::test]
async fn a_node_drains_and_comes_back() {
    let bench = Bench::new();
    let arn = bench.with_node().await;
    let list = |status: &str| bench.ecs("ListContainerInstances", json!({"status": status}));
    let body = json!({"containerInstances": [arn, "0f"], "status": "DRAINING"});
    let drained = bench.ecs("UpdateContainerInstancesState", body).await.ok();
    assert_eq!(drained["containerInstances"][0]["status"], "DRAINING");
    assert_eq!(drained["failures"][0]["reason"], "MISSING");
    assert_eq!(list("DRAINING").await.ok()["containerInstanceArns"], json!([arn]));
    assert_eq!(list("ACTIVE").await.ok()["containerInstanceArns"], json!([]));
    let body = json!({"containerInstances": [arn], "status": "REGISTERING"});
    let answer = bench.ecs("UpdateContainerInstancesState", body).await;
    assert_eq!(answer.error().0, "InvalidParameterException");
    let answer = bench.ecs("ListContainerInstances", json!({"filter": "x == y"})).await;
    let (code, message) = answer.error();
    assert_eq!(code, "InvalidParameterException");
    assert!(message.starts_with("Invalid expression \"x == y\": at character 1"), "{message}");
    let filtered = |filter: &str| bench.ecs("ListContainerInstances", json!({"filter": filter}));
    let zone = "attribute:ecs.availability-zone == eu-west-1a and runningTasksCount == 0";
    assert_eq!(filtered(zone).await.ok()["containerInstanceArns"], json!([arn]));
    let none = filtered("not(attribute:ecs.availability-zone =~ eu-.*)").await.ok();
    assert_eq!(none["containerInstanceArns"], json!([]));
}

#[tokio::test]
async fn a_stock_agent_is_answered_as_it_insists() {
    let bench = Bench::new();
    // It makes the cluster itself when a ClientException says that there is none.
    let answer = bench.ecs("RegisterContainerInstance", json!({"cluster": "default"})).await;
    let (code, message) = answer.error();
    assert_eq!(code, "ClientException");
    assert!(message.contains("Cluster not found"), "{message}");
    bench.ecs("CreateCluster", json!({})).await.ok();
    let attributes = json!([
        {"name": "ecs.os-type", "value": "linux"}, {"name": "ecs.capability.external"}, {"name": "custom", "value": ""},
    ]);
    let document = json!({"instanceId": "i-123", "region": "eu-west-1"}).to_string();
    let body = json!({
        "cluster": "default", "clientToken": "x", "attributes": attributes, "totalResources": [
            {"name": "CPU", "type": "INTEGER", "integerValue": 1024},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": 512},
            {"name": "GPU", "type": "STRINGSET", "stringSetValue": []},
        ],
        "instanceIdentityDocument": document, "instanceIdentityDocumentSignature": "x",
        "versionInfo": {"agentVersion": "1.105.1", "agentHash": "h", "dockerVersion": "d"},
    });
    let joined = bench.ecs("RegisterContainerInstance", body.clone()).await.ok();
    let node = &joined["containerInstance"];
    for attribute in attributes.as_array().unwrap() {
        let name = &attribute["name"];
        let all = node["attributes"].as_array().unwrap();
        assert!(all.iter().any(|a| a["name"] == *name), "{name} is not answered");
    }
    assert_eq!(node["ec2InstanceId"], "i-123");
    assert_eq!(node["versionInfo"]["agentVersion"], "1.105.1");
    assert_eq!(node["agentConnected"], false);

    // A zone that was told the first time stays when it is not told again.
    let mut first = body.clone();
    first["attributes"] = json!([{"name": "ecs.availability-zone", "value": "eu-west-1c"}]);
    let zoned = bench.ecs("RegisterContainerInstance", first).await.ok();
    let mut second = body.clone();
    second["containerInstanceArn"] = zoned["containerInstance"]["containerInstanceArn"].clone();
    let zoned = bench.ecs("RegisterContainerInstance", second).await.ok();
    let all = zoned["containerInstance"]["attributes"].as_array().unwrap();
    assert!(
        all.contains(&json!({"name": "ecs.availability-zone", "value": "eu-west-1c"})),
        "{all:?}"
    );

    // It comes back under its ARN, also when the server does not know it any more.
    let mut again = body.clone();
    again["containerInstanceArn"] = node["containerInstanceArn"].clone();
    let back = bench.ecs("RegisterContainerInstance", again).await.ok();
    assert_eq!(back["containerInstance"]["containerInstanceArn"], node["containerInstanceArn"]);

    let sockets = bench
        .ecs("DiscoverPollEndpoint", json!({
            "cluster": "default", "containerInstance": node["containerInstanceArn"], "zoneId": "",
        }))
        .await
        .ok();
    assert_eq!(sockets["endpoint"], "http://127.0.0.1:4747/acs");
    assert_eq!(sockets["telemetryEndpoint"], "http://127.0.0.1:4747/tcs");
}

#[tokio::test]
async fn reports_of_unknown_things_are_accepted_and_nonsense_is_not() {
    let bench = Bench::new();
    bench.with_node().await;
    let task = "arn:aws:ecs:eu-west-1:123456789012:task/default/00000000000000000000000000000000";
    let body = json!({"cluster": "default", "task": task, "status": "STOPPED", "reason": "x".repeat(3000)});
    let answer = bench.ecs("SubmitTaskStateChange", body).await.ok();
    assert_eq!(answer["acknowledgment"], "ACCEPT");
    let body =
        json!({"cluster": "default", "task": task, "containerName": "web", "status": "RUNNING"});
    let answer = bench.ecs("SubmitContainerStateChange", body).await.ok();
    assert_eq!(answer["acknowledgment"], "ACCEPT");
    let body = json!({"cluster": "default", "attachments": [{"attachmentArn": "a", "status": "ATTACHED"}]});
    let answer = bench.ecs("SubmitAttachmentStateChanges", body).await.ok();
    assert_eq!(answer["acknowledgment"], "ACCEPT");
    let body = json!({"cluster": "default", "task": task, "status": "DANCING"});
    let answer = bench.ecs("SubmitTaskStateChange", body).await;
    assert_eq!(answer.error().0, "InvalidParameterException");
}

#[tokio::test]
async fn tags_are_put_listed_and_taken_away_on_every_resource() {
    let bench = Bench::new();
    let node = bench.with_node().await;
    let definition = bench.with_definition("web").await;
    let ran = bench.ecs("RunTask", json!({"taskDefinition": "web"})).await.ok();
    let body = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 0});
    let service = bench.ecs("CreateService", body).await.ok();
    for arn in [
        json!("arn:aws:ecs:eu-west-1:123456789012:cluster/default"),
        json!(node),
        json!(definition),
        ran["tasks"][0]["taskArn"].clone(),
        service["service"]["serviceArn"].clone(),
    ] {
        let tags = json!([{"key": "a", "value": "1"}, {"key": "b", "value": ""}]);
        bench.ecs("TagResource", json!({"resourceArn": arn, "tags": tags})).await.ok();
        let listed = bench.ecs("ListTagsForResource", json!({"resourceArn": arn})).await.ok();
        assert_eq!(listed["tags"], tags, "{arn}");
        bench.ecs("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a", "z"]})).await.ok();
        let listed = bench.ecs("ListTagsForResource", json!({"resourceArn": arn})).await.ok();
        assert_eq!(listed["tags"], json!([{"key": "b", "value": ""}]), "{arn}");
    }
    let nowhere = "arn:aws:ecs:eu-west-1:123456789012:service/default/nope";
    for (operation, body) in [
        ("TagResource", json!({"resourceArn": nowhere, "tags": [{"key": "a", "value": "1"}]})),
        ("UntagResource", json!({"resourceArn": nowhere, "tagKeys": ["a"]})),
        ("ListTagsForResource", json!({"resourceArn": nowhere})),
    ] {
        assert_eq!(bench.ecs(operation, body).await.error().0, "ResourceNotFoundException");
    }
    let answer = bench.ecs("ListTagsForResource", json!({"resourceArn": "web"})).await;
    assert_eq!(answer.error().0, "InvalidParameterException");
}

#[tokio::test]
async fn account_settings_are_what_holds() {
    let bench = Bench::new();
    let body = json!({"name": "taskLongArnFormat", "effectiveSettings": true});
    let listed = bench.ecs("ListAccountSettings", body).await.ok();
    assert_eq!(listed["settings"][0]["value"], "enabled");
    assert_eq!(listed["settings"][0]["principalArn"], "arn:aws:iam::123456789012:root");
    assert_eq!(bench.ecs("ListAccountSettings", json!({})).await.ok()["settings"], json!([]));
}

#[tokio::test]
async fn gpus_are_registered_dealt_out_and_shown() {
    let bench = Bench::new();
    bench.with_node().await;
    let body = json!({
        "cluster": "default", "totalResources": [
            {"name": "CPU", "type": "INTEGER", "integerValue": 1024},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": 512},
        ],
        "platformDevices": [{"id": "GPU-a", "type": "GPU"}, {"id": "GPU-b", "type": "GPU"}],
    });
    let joined = bench.ecs("RegisterContainerInstance", body).await.ok();
    let arn = joined["containerInstance"]["containerInstanceArn"].clone();
    let gpu = |told: &serde_json::Value, list: &str| {
        let all = told[list].as_array().unwrap();
        all.iter().find(|r| r["name"] == "GPU").unwrap()["stringSetValue"].clone()
    };
    assert_eq!(gpu(&joined["containerInstance"], "remainingResources"), json!(["GPU-a", "GPU-b"]));

    let wanted = json!({"family": "gpu", "containerDefinitions": [{"name": "web", "image": "i",
        "memory": 64, "resourceRequirements": [{"type": "GPU", "value": "1"}]}]});
    let defined = bench.ecs("RegisterTaskDefinition", wanted).await.ok();
    let shown = &defined["taskDefinition"]["containerDefinitions"][0]["resourceRequirements"];
    assert_eq!(*shown, json!([{"type": "GPU", "value": "1"}]));
    // Nobody is connected that has one.
    let run = bench.ecs("RunTask", json!({"taskDefinition": "gpu"})).await.ok();
    assert_eq!(run["failures"][0]["reason"], "RESOURCE:GPU", "{run}");
    let bad = json!({"taskDefinition": "gpu", "overrides": {"containerOverrides": [
        {"name": "web", "resourceRequirements": [{"type": "InferenceAccelerator", "value": "a"}]}]}});
    let (code, message) = bench.ecs("RunTask", bad).await.error();
    assert_eq!(code, "InvalidParameterException");
    assert!(message.contains("Elastic Inference"), "{message}");
    let told =
        bench.ecs("DescribeContainerInstances", json!({"containerInstances": [arn]})).await.ok();
    assert_eq!(
        gpu(&told["containerInstances"][0], "registeredResources"),
        json!(["GPU-a", "GPU-b"])
    );
}
