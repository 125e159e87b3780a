//! The launch type `FARGATE` through the door.

use serde_json::{Value, json};

use super::bench::Bench;

/// A definition that Fargate takes.
fn definition(more: Value) -> Value {
    let mut body = json!({
        "family": "web", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [{"name": "web", "image": "busybox"}],
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn container(more: Value) -> Value {
    let mut one = json!({"name": "web", "image": "busybox"});
    for (name, value) in more.as_object().unwrap() {
        one[name] = value.clone();
    }
    definition(json!({"containerDefinitions": [one]}))
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table, one entry for each member")]
async fn a_definition_for_it_is_refused_in_ecs_words() {
    let bench = Bench::new();
    let linux = |parameters: Value| container(json!({"linuxParameters": parameters}));
    let none = "Fargate compatible task definitions do not support";
    for (body, says) in [
        (
            definition(json!({"networkMode": "bridge"})),
            "Fargate only supports network mode ‘awsvpc’.",
        ),
        (definition(json!({"networkMode": null})), "Fargate only supports network mode ‘awsvpc’."),
        (
            definition(json!({"cpu": null})),
            "Fargate requires that 'cpu' be defined at the task level.",
        ),
        (
            definition(json!({"memory": null})),
            "Fargate requires that 'memory' be defined at the task level.",
        ),
        (
            definition(json!({"cpu": "300"})),
            "No Fargate configuration exists for given values: 300 CPU, 512 memory. See the Amazon \
             ECS documentation for the valid values.",
        ),
        (
            definition(json!({"cpu": "0.5 vCPU", "memory": "8 GB"})),
            "No Fargate configuration exists for given values: 512 CPU, 8192 memory.",
        ),
        (
            definition(json!({"pidMode": "host"})),
            "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value \
             for pidMode is 'task'.",
        ),
        (
            definition(json!({"ipcMode": "task"})),
            "Tasks using the Fargate launch type do not support ipcMode.",
        ),
        (
            definition(
                json!({"placementConstraints": [{"type": "memberOf", "expression": "attribute:a exists"}]}),
            ),
            &format!("{none} constraints"),
        ),
        (
            definition(json!({"volumes": [{"name": "v", "host": {"sourcePath": "/srv"}}]})),
            &format!("{none} sourcePath"),
        ),
        (
            definition(json!({"volumes": [{"name": "v", "dockerVolumeConfiguration": {}}]})),
            &format!("{none} dockerVolumeConfiguration"),
        ),
        (container(json!({"privileged": true})), &format!("{none} privileged")),
        (
            container(json!({"extraHosts": [{"hostname": "a", "ipAddress": "1.1.1.1"}]})),
            &format!("{none} extraHosts"),
        ),
        (
            container(json!({"dockerSecurityOptions": ["no-new-privileges"]})),
            &format!("{none} dockerSecurityOptions"),
        ),
        (linux(json!({"devices": [{"hostPath": "/dev/kvm"}]})), &format!("{none} devices")),
        (linux(json!({"sharedMemorySize": 64})), &format!("{none} sharedMemorySize")),
        (linux(json!({"tmpfs": [{"containerPath": "/t", "size": 8}]})), &format!("{none} tmpfs")),
        (linux(json!({"maxSwap": 8})), &format!("{none} maxSwap")),
        (
            linux(json!({"capabilities": {"add": ["NET_ADMIN"]}})),
            &format!("{none} adding the capability NET_ADMIN"),
        ),
        (
            container(json!({"resourceRequirements": [{"type": "GPU", "value": "1"}]})),
            "Tasks using the Fargate launch type do not support GPU resource requirements",
        ),
        (
            container(json!({"stopTimeout": 121})),
            "Tasks using the Fargate launch type must have a container stop timeout of less than 120 seconds.",
        ),
        (
            container(json!({"logConfiguration": {"logDriver": "json-file"}})),
            &format!("{none} the log driver json-file"),
        ),
        (
            container(json!({"logConfiguration": {"logDriver": "awslogs", "options": {
                "awslogs-group": "g", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "p"}}})),
            "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        ),
        (
            definition(json!({"containerDefinitions": [{"name": "web",
                "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web"}]})),
            "Fargate requires task definition to have execution role ARN to support ECR images.",
        ),
        (
            definition(
                json!({"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}}),
            ),
            "is not built in Wharf; use LINUX",
        ),
    ] {
        let (code, message) = bench.ecs("RegisterTaskDefinition", body.clone()).await.error();
        assert_eq!(code, "ClientException", "{body}");
        assert!(message.contains(says), "{says}: {message}");
    }
    for (more, fits) in [
        (json!({"requiresCompatibilities": ["EC2", "FARGATE"]}), json!(["EC2", "FARGATE"])),
        (json!({"requiresCompatibilities": null}), json!(["EC2", "FARGATE"])),
        (json!({"requiresCompatibilities": ["EC2"], "cpu": "300"}), json!(["EC2"])),
        (json!({"requiresCompatibilities": null, "networkMode": null}), json!(["EXTERNAL", "EC2"])),
        (
            json!({"cpu": "0.25 vCPU", "memory": "1 GB", "pidMode": "task"}),
            json!(["EC2", "FARGATE"]),
        ),
    ] {
        let answer = bench.ecs("RegisterTaskDefinition", definition(more.clone())).await.ok();
        assert_eq!(answer["taskDefinition"]["compatibilities"], fits, "{more}");
    }
    let traced = linux(json!({"capabilities": {"add": ["SYS_PTRACE"]}}));
    bench.ecs("RegisterTaskDefinition", traced).await.ok();
}

#[tokio::test]
async fn a_run_of_it_is_refused_in_ecs_words() {
    let bench = Bench::new();
    bench.with_node().await;
    bench.with_definition("plain").await;
    bench.ecs("RegisterTaskDefinition", definition(json!({}))).await.ok();
    let run = |more: Value| {
        let mut body = json!({"taskDefinition": "web", "launchType": "FARGATE"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    for (more, code, says) in [
        (
            json!({}),
            "InvalidParameterException",
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ),
        (
            json!({"taskDefinition": "plain"}),
            "InvalidParameterException",
            "Task definition does not support launch_type FARGATE.",
        ),
        (
            json!({"platformVersion": "0.0.1"}),
            "PlatformUnknownException",
            "The specified platform version doesn't exist.",
        ),
        (
            json!({"launchType": "EC2", "platformVersion": "LATEST"}),
            "InvalidParameterException",
            "The platform version must be null when specifying an EC2 launch type.",
        ),
        (
            json!({"placementConstraints": [{"type": "distinctInstance"}]}),
            "InvalidParameterException",
            "Placement constraints are not supported with FARGATE launch type.",
        ),
        (
            json!({"placementStrategy": [{"type": "random"}]}),
            "InvalidParameterException",
            "Placement strategies are not supported with FARGATE launch type.",
        ),
        (
            json!({"overrides": {"cpu": "300"}}),
            "InvalidParameterException",
            "No Fargate configuration exists for given values: 300 CPU, 512 memory.",
        ),
    ] {
        let answer = bench.ecs("RunTask", run(more.clone())).await.error();
        assert_eq!(answer.0, code, "{more}");
        assert!(answer.1.starts_with(says), "{says}: {}", answer.1);
    }
}

#[tokio::test]
async fn its_capacity_providers_are_there() {
    let bench = Bench::new();
    bench.ecs("CreateCluster", json!({})).await.ok();
    let all = bench.ecs("DescribeCapacityProviders", json!({})).await.ok();
    let names = |all: &Value| {
        let all = all["capacityProviders"].as_array().unwrap().clone();
        all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&all), ["FARGATE", "FARGATE_SPOT"]);
    let first = &all["capacityProviders"][0];
    assert_eq!(first["status"], "ACTIVE");
    assert_eq!(
        first["capacityProviderArn"],
        "arn:aws:ecs:eu-west-1:123456789012:capacity-provider/FARGATE"
    );
    assert!(first.get("autoScalingGroupProvider").is_none());
    let body = json!({"cluster": "default", "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
        "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]});
    let put = bench.ecs("PutClusterCapacityProviders", body).await.ok();
    assert_eq!(put["cluster"]["capacityProviders"], json!(["FARGATE", "FARGATE_SPOT"]));
    let made = json!({"clusterName": "f", "capacityProviders": ["FARGATE"],
        "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE"}]});
    assert_eq!(
        bench.ecs("CreateCluster", made).await.ok()["cluster"]["capacityProviders"],
        json!(["FARGATE"])
    );
    let theirs = bench.ecs("DescribeCapacityProviders", json!({"cluster": "f"})).await.ok();
    assert_eq!(names(&theirs), ["FARGATE"]);
    for (operation, body) in [
        ("DeleteCapacityProvider", json!({"capacityProvider": "FARGATE"})),
        ("UpdateCapacityProvider", json!({"name": "FARGATE", "autoScalingGroupProvider": {}})),
    ] {
        let (code, message) = bench.ecs(operation, body).await.error();
        assert_eq!(code, "InvalidParameterException");
        assert!(message.contains("FARGATE is reserved"), "{message}");
    }
    let hidden = bench.ecs("CreateCluster", json!({"clusterName": "wharf-fargate"})).await.error();
    assert!(hidden.1.contains("offer Fargate alone"), "{}", hidden.1);
}
