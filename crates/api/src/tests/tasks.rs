//! Clusters, task definitions and tasks, as a client sees them.

use serde_json::{Value, json};

use super::bench::Bench;

#[tokio::test]
async fn clusters_come_and_go_with_what_clients_rely_upon() {
    let bench = Bench::new();
    let made = bench
        .ecs(
            "CreateCluster",
            json!({
                "clusterName": "c1", "tags": [{"key": "team", "value": "a"}],
                "settings": [{"name": "containerInsights", "value": "enhanced"}],
                "capacityProviders": [],
            }),
        )
        .await
        .ok();
    assert_eq!(made["cluster"]["clusterArn"], "arn:aws:ecs:eu-west-1:123456789012:cluster/c1");
    assert_eq!(made["cluster"]["tags"], json!([{"key": "team", "value": "a"}]));
    // Again is no error.
    bench.ecs("CreateCluster", json!({"clusterName": "c1"})).await.ok();

    let arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/c1";
    let told = bench
        .ecs(
            "DescribeClusters",
            json!({"clusters": ["c1", arn, "nope"], "include": ["STATISTICS"]}),
        )
        .await
        .ok();
    let clusters = told["clusters"].as_array().unwrap();
    assert_eq!(clusters.len(), 2);
    for cluster in clusters {
        assert_eq!(cluster["status"], "ACTIVE");
        assert_eq!(cluster["capacityProviders"], json!([]));
        assert_eq!(cluster["defaultCapacityProviderStrategy"], json!([]));
        assert_eq!(
            cluster["settings"],
            json!([{"name": "containerInsights", "value": "enhanced"}])
        );
        assert_eq!(cluster["tags"], json!([]));
        let names = cluster["statistics"].as_array().unwrap();
        assert!(names.contains(&json!({"name": "runningEC2TasksCount", "value": "0"})));
    }
    let missing = "arn:aws:ecs:eu-west-1:123456789012:cluster/nope";
    assert_eq!(told["failures"], json!([{"arn": missing, "reason": "MISSING"}]));
    assert_eq!(
        bench.ecs("DescribeClusters", json!({})).await.ok()["failures"][0]["reason"],
        "MISSING"
    );

    assert_eq!(bench.ecs("ListClusters", json!({})).await.ok()["clusterArns"], json!([arn]));
    let gone = bench.ecs("DeleteCluster", json!({"cluster": "c1"})).await.ok();
    assert_eq!(gone["cluster"]["status"], "INACTIVE");
    assert_eq!(bench.ecs("ListClusters", json!({})).await.ok()["clusterArns"], json!([]));
    let answer = bench.ecs("ListTasks", json!({"cluster": "c1"})).await;
    assert_eq!(
        answer.error(),
        ("ClusterNotFoundException".to_owned(), "Cluster not found.".to_owned())
    );
}

#[tokio::test]
async fn a_cluster_refuses_by_name_what_is_not_built() {
    let bench = Bench::new();
    for (body, member) in [
        (json!({"configuration": {"executeCommandConfiguration": {"kmsKeyId": "k"}}}), "kmsKeyId"),
        (json!({"serviceConnectDefaults": {"namespace": "x"}}), "serviceConnectDefaults"),
    ] {
        let (code, message) = bench.ecs("CreateCluster", body).await.error();
        assert_eq!(code, "InvalidParameterException");
        assert!(message.contains(member) && message.contains("not built yet"), "{message}");
    }
    let odd = json!({"settings": [{"name": "containerInsights", "value": "on"}]});
    let (code, message) = bench.ecs("CreateCluster", odd).await.error();
    assert_eq!(code, "InvalidParameterException");
    assert!(message.contains("disabled, enabled or enhanced"), "{message}");
    assert_eq!(bench.ecs("ListClusters", json!({})).await.ok()["clusterArns"], json!([]));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let bench = Bench::new();
    for n in 0..5 {
        bench.ecs("CreateCluster", json!({"clusterName": format!("c{n}")})).await.ok();
    }
    let (mut seen, mut token) = (Vec::new(), Value::Null);
    loop {
        let body = json!({"maxResults": 2, "nextToken": token});
        let page = bench.ecs("ListClusters", body).await.ok();
        seen.extend(page["clusterArns"].as_array().unwrap().clone());
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    let answer = bench.ecs("ListClusters", json!({"nextToken": "bad"})).await;
    let told = ("InvalidParameterException".to_owned(), "Invalid token.".to_owned());
    assert_eq!(answer.error(), told);
}

#[tokio::test]
async fn definitions_are_numbered_described_listed_and_deleted() {
    let bench = Bench::new();
    let first = bench.with_definition("web").await;
    bench.with_definition("web").await;
    bench.with_definition("api").await;
    assert_eq!(first, "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1");
    let told = bench.ecs("DescribeTaskDefinition", json!({"taskDefinition": "web"})).await.ok();
    let definition = &told["taskDefinition"];
    assert_eq!(definition["revision"], 2);
    assert_eq!(definition["status"], "ACTIVE");
    assert_eq!(definition["registeredBy"], "arn:aws:iam::123456789012:root");
    assert_eq!(definition["compatibilities"], json!(["EXTERNAL", "EC2"]));
    let container = &definition["containerDefinitions"][0];
    for member in ["environment", "mountPoints", "volumesFrom", "portMappings", "systemControls"] {
        assert_eq!(container[member], json!([]), "{member}");
    }
    assert_eq!(container["essential"], true);

    let list = |body: Value| bench.ecs("ListTaskDefinitions", body);
    let all = list(json!({"sort": "DESC"})).await.ok();
    let names: Vec<&str> = all["taskDefinitionArns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|arn| arn.as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["web:2", "web:1", "api:1"]);
    let of_we = list(json!({"familyPrefix": "we"})).await.ok();
    assert_eq!(of_we["taskDefinitionArns"], json!([]), "the prefix is a whole family here");

    let gone = bench.ecs("DeregisterTaskDefinition", json!({"taskDefinition": "web:1"})).await.ok();
    assert_eq!(gone["taskDefinition"]["status"], "INACTIVE");
    assert!(gone["taskDefinition"]["deregisteredAt"].is_number());
    let deleted = bench
        .ecs("DeleteTaskDefinitions", json!({"taskDefinitions": ["web:1", "web:2", "web:9"]}))
        .await
        .ok();
    assert_eq!(deleted["taskDefinitions"][0]["status"], "DELETE_IN_PROGRESS");
    let reasons: Vec<&str> = deleted["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| failure["reason"].as_str().unwrap())
        .collect();
    assert!(reasons[0].starts_with("The specified task definition is still in ACTIVE status"));
    assert!(reasons[1].starts_with("The specified task definition does not exist."), "{reasons:?}");

    let families = |status: &str| {
        bench.ecs("ListTaskDefinitionFamilies", json!({"familyPrefix": "w", "status": status}))
    };
    assert_eq!(families("ACTIVE").await.ok()["families"], json!(["web"]));
    assert_eq!(families("INACTIVE").await.ok()["families"], json!([]));
    let answer = bench.ecs("DescribeTaskDefinition", json!({"taskDefinition": "none:1"})).await;
    let told = ("ClientException".to_owned(), "Unable to describe task definition.".to_owned());
    assert_eq!(answer.error(), told);
}

#[tokio::test]
async fn a_task_runs_and_stops_and_is_described_in_full() {
    let bench = Bench::new();
    let node = bench.with_node().await;
    bench.with_definition("web").await;
    let ran = bench
        .ecs("RunTask", json!({
            "taskDefinition": "web", "startedBy": "me", "count": 1,
            "overrides": {"containerOverrides": [{"name": "web", "memory": 128, "environment": [{"name": "A", "value": "1"}]}]},
            "tags": [{"key": "k", "value": "v"}],
        }))
        .await
        .ok();
    assert_eq!(ran["failures"], json!([]));
    let arn = ran["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    assert_eq!(ran["tasks"][0]["lastStatus"], "PENDING");

    bench
        .ecs("SubmitTaskStateChange", json!({
            "cluster": "default", "task": arn, "status": "RUNNING", "pullStartedAt": 1795348000.5,
            "containers": [{
                "containerName": "web", "status": "RUNNING", "runtimeId": "r1", "imageDigest": "sha256:00",
                "networkBindings": [{"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"}],
            }],
        }))
        .await
        .ok();
    let id = arn.rsplit('/').next().unwrap();
    let body = json!({"tasks": [id, "0f"], "include": ["TAGS"]});
    let told = bench.ecs("DescribeTasks", body).await.ok();
    assert_eq!(told["failures"][0]["reason"], "MISSING");
    let task = &told["tasks"][0];
    for (member, value) in [
        ("lastStatus", json!("RUNNING")),
        ("desiredStatus", json!("RUNNING")),
        ("containerInstanceArn", json!(node)),
        ("connectivity", json!("CONNECTED")),
        ("cpu", json!("10")),
        ("memory", json!("128")),
        ("group", json!("family:web")),
        ("startedBy", json!("me")),
        ("launchType", json!("EC2")),
        ("healthStatus", json!("UNKNOWN")),
        ("enableExecuteCommand", json!(false)),
        ("availabilityZone", json!("eu-west-1a")),
        ("attributes", json!([{"name": "ecs.cpu-architecture", "value": "x86_64"}])),
        ("attachments", json!([])),
        ("tags", json!([{"key": "k", "value": "v"}])),
        ("pullStartedAt", json!(1795348000.5)),
    ] {
        assert_eq!(task[member], value, "{member} of {task}");
    }
    assert!(task["startedAt"].is_number() && task["createdAt"].is_number());
    let container = &task["containers"][0];
    for (member, value) in [
        ("name", json!("web")),
        ("image", json!("busybox")),
        ("lastStatus", json!("RUNNING")),
        ("runtimeId", json!("r1")),
        ("imageDigest", json!("sha256:00")),
        ("memory", json!("128")),
        ("networkInterfaces", json!([])),
        (
            "networkBindings",
            json!([{"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"}]),
        ),
    ] {
        assert_eq!(container[member], value, "{member} of {container}");
    }
    stop_and_check(&bench, &arn).await;
}

async fn stop_and_check(bench: &Bench, arn: &str) {
    let stopped = bench.ecs("StopTask", json!({"task": arn, "reason": "enough"})).await.ok();
    assert_eq!(stopped["task"]["desiredStatus"], "STOPPED");
    bench
        .ecs(
            "SubmitTaskStateChange",
            json!({
                "cluster": "default", "task": arn, "status": "STOPPED",
                "containers": [{"containerName": "web", "status": "STOPPED", "exitCode": 143}],
            }),
        )
        .await
        .ok();
    let told = bench.ecs("DescribeTasks", json!({"tasks": [arn]})).await.ok();
    let task = &told["tasks"][0];
    assert_eq!(task["lastStatus"], "STOPPED");
    assert_eq!(task["stopCode"], "UserInitiated");
    assert_eq!(task["stoppedReason"], "enough");
    assert_eq!(task["containers"][0]["exitCode"], 143);
    assert!(task["stoppedAt"].is_number() && task["stoppingAt"].is_number());
    let list = |status: &str| bench.ecs("ListTasks", json!({"desiredStatus": status}));
    assert_eq!(list("RUNNING").await.ok()["taskArns"], json!([]));
    assert_eq!(list("STOPPED").await.ok()["taskArns"], json!([arn]));
    assert_eq!(list("PENDING").await.ok()["taskArns"], json!([]));
}

#[tokio::test]
async fn tasks_are_listed_by_every_filter() {
    let bench = Bench::new();
    let node = bench.with_node().await;
    bench.with_definition("web").await;
    bench.with_definition("job").await;
    for (family, by) in [("web", "a"), ("web", "b"), ("job", "a")] {
        let body = json!({"taskDefinition": family, "startedBy": by});
        bench.ecs("RunTask", body).await.ok();
    }
    for (filter, n) in [
        (json!({}), 3),
        (json!({"family": "web"}), 2),
        (json!({"startedBy": "a"}), 2),
        (json!({"containerInstance": node}), 3),
        (json!({"containerInstance": "0f"}), 0),
        (json!({"launchType": "EC2"}), 3),
        (json!({"launchType": "FARGATE"}), 0),
        (json!({"maxResults": 1}), 1),
    ] {
        let arns = bench.ecs("ListTasks", filter.clone()).await.ok();
        assert_eq!(arns["taskArns"].as_array().unwrap().len(), n, "{filter}");
    }
    let both = json!({"family": "web", "startedBy": "a"});
    let (code, message) = bench.ecs("ListTasks", both).await.error();
    assert_eq!(code, "InvalidParameterException");
    assert_eq!(message, "cannot specify startedBy with other arguments");
    let answer = bench.ecs("ListTasks", json!({"serviceName": "nope"})).await;
    assert_eq!(answer.error().0, "ServiceNotFoundException");
}

#[tokio::test]
async fn a_task_that_cannot_be_placed_says_what_is_lacking() {
    let bench = Bench::new();
    bench.ecs("CreateCluster", json!({})).await.ok();
    bench.with_definition("web").await;
    let answer = bench.ecs("RunTask", json!({"taskDefinition": "web"})).await;
    assert_eq!(
        answer.error(),
        (
            "InvalidParameterException".to_owned(),
            "No Container Instances were found in your cluster.".to_owned()
        )
    );
    bench.node().await;
    let body = json!({"taskDefinition": "web", "overrides": {"containerOverrides": [{"name": "web", "memory": 5000}]}});
    let ran = bench.ecs("RunTask", body).await.ok();
    assert_eq!(ran["tasks"], json!([]));
    assert_eq!(ran["failures"][0]["reason"], "RESOURCE:MEMORY");
    assert!(ran["failures"][0]["detail"].as_str().unwrap().contains("4096"), "{ran}");
}

#[tokio::test]
async fn a_repeated_run_is_one_run() {
    let bench = Bench::new();
    bench.with_node().await;
    bench.with_definition("web").await;
    let body = json!({"taskDefinition": "web", "clientToken": "t1"});
    let first = bench.ecs("RunTask", body.clone()).await.ok();
    let again = bench.ecs("RunTask", body).await.ok();
    assert_eq!(first["tasks"][0]["taskArn"], again["tasks"][0]["taskArn"]);
    let other = json!({"taskDefinition": "web", "clientToken": "t1", "count": 2});
    assert_eq!(bench.ecs("RunTask", other).await.error().0, "ConflictException");
}

#[tokio::test]
async fn a_run_refuses_what_it_can_not_honour() {
    let bench = Bench::new();
    let node = bench.with_node().await;
    bench.with_definition("web").await;
    for (body, word) in [
        (json!({"launchType": "FARGATE"}), "FARGATE"),
        (
            json!({"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]}),
            "does not support launch_type FARGATE",
        ),
        (json!({"count": 0}), "count"),
        (json!({"count": 11}), "count"),
        (json!({"platformVersion": "LATEST"}), "platform version"),
        (json!({"propagateTags": "SERVICE"}), "propagateTags"),
        (json!({"group": "service:web"}), "group"),
        (json!({"startedBy": "x".repeat(129)}), "startedBy"),
        (json!({"clientToken": "with space"}), "clientToken"),
        (
            json!({"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"]}}}),
            "The subnet ID 's' does not exist",
        ),
        (
            json!({"placementConstraints": [{"type": "memberOf", "expression": "x"}]}),
            "Invalid expression",
        ),
        (
            json!({"overrides": {"containerOverrides": [{"name": "nope"}]}}),
            "Override for container named nope is not a container in the TaskDefinition.",
        ),
        (json!({"overrides": {"containerOverrides": [{"name": "web", "cpu": -1}]}}), "cpu"),
        (json!({"overrides": {"cpu": "a lot"}}), "cpu"),
        (json!({"volumeConfigurations": [{"name": "v"}]}), "volumeConfigurations"),
        (
            json!({"cluster": "arn:aws:ecs:us-east-1:123456789012:cluster/default"}),
            "region eu-west-1",
        ),
    ] {
        let mut body = body;
        body["taskDefinition"] = json!("web");
        let (code, message) = bench.ecs("RunTask", body.clone()).await.error();
        assert_eq!(code, "InvalidParameterException", "{body}");
        assert!(message.contains(word), "{body}: {message}");
    }
    // A role that is not there can not be assumed, which ECS words as a client's error.
    let roles = json!({"taskDefinition": "web", "overrides": {"taskRoleArn": "r"}});
    let (code, message) = bench.ecs("RunTask", roles).await.error();
    assert!(code == "ClientException" && message.contains("role/r"), "{code}: {message}");
    let answer = bench.ecs("RunTask", json!({"taskDefinition": "nope"})).await;
    let told = ("ClientException".to_owned(), "TaskDefinition not found.".to_owned());
    assert_eq!(answer.error(), told);
    let answer = bench.ecs("StopTask", json!({"task": "0f"})).await;
    assert!(answer.error().1.starts_with("The referenced task was not found"), "{answer:?}");
    assert_eq!(bench.ecs("ListTasks", json!({})).await.ok()["taskArns"], json!([]));

    let body = json!({"taskDefinition": "web", "containerInstances": [node, "0f"]});
    let started = bench.ecs("StartTask", body).await.ok();
    assert_eq!(started["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(started["failures"][0]["reason"], "MISSING");
}
