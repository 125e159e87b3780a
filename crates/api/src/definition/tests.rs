//! Task definitions: what is accepted and how it comes out, what is refused and in which words.

use aws::ecs::RegisterTaskDefinitionRequest;
use model::{NetworkMode, PortMapping, Protocol, Realm};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Parsed, decode, parse};

mod together;
mod words;

fn realm() -> Realm {
    Realm::new("eu-west-1", "123456789012")
}

fn register(body: Value) -> Result<Parsed, aws::Error> {
    parse(&realm(), serde_json::from_value::<RegisterTaskDefinitionRequest>(body).unwrap())
}

/// A definition of one small container with some members changed.
fn one(container: Value, task: Value) -> Value {
    let mut first = json!({"name": "web", "image": "busybox", "memory": 64});
    merge(&mut first, container);
    let mut body = json!({"family": "web", "containerDefinitions": [first]});
    merge(&mut body, task);
    body
}

fn merge(into: &mut Value, from: Value) {
    for (name, value) in from.as_object().unwrap() {
        into[name] = value.clone();
    }
}

/// A container with nearly everything.
fn full() -> Value {
    json!({
        "name": "web", "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/web:1.2@sha256:00", "cpu": 128,
        "memory": 128, "memoryReservation": 64, "essential": true,
        "portMappings": [{"containerPort": 80, "name": "web", "appProtocol": "http"}, {"containerPort": 53, "hostPort": 5353, "protocol": "udp"}],
        "entryPoint": ["/bin/sh"], "command": ["-c", "true"], "workingDirectory": "/tmp", "user": "1000:1000",
        "environment": [{"name": "A", "value": ""}], "mountPoints": [{"sourceVolume": "v", "containerPath": "/data", "readOnly": true}],
        "linuxParameters": {
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}, "initProcessEnabled": true, "sharedMemorySize": 128, "maxSwap": 0,
            "tmpfs": [{"containerPath": "/run", "size": 16, "mountOptions": ["noexec", "mode=1777"]}],
            "devices": [{"hostPath": "/dev/null", "containerPath": "/dev/x", "permissions": ["read"]}],
        },
        "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}], "startTimeout": 30, "stopTimeout": 300,
        "hostname": "web", "privileged": false, "readonlyRootFilesystem": true, "dnsServers": ["10.0.0.2", "fd00::1"],
        "dnsSearchDomains": ["example.com"], "extraHosts": [{"hostname": "db", "ipAddress": "10.0.0.3"}],
        "dockerSecurityOptions": ["no-new-privileges"], "interactive": true, "pseudoTerminal": true,
        "dockerLabels": {"a": "b"}, "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}, {"name": "memlock", "softLimit": -1, "hardLimit": -1}],
        "logConfiguration": {"logDriver": "awslogs", "options": {
            "awslogs-group": "/ecs/web", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "ecs", "awslogs-create-group": "true", "mode": "non-blocking", "max-buffer-size": "25m"}},
        "healthCheck": {"command": ["CMD-SHELL", "true"], "startPeriod": 10},
        "systemControls": [{"namespace": "net.core.somaxconn", "value": "1024"}], "restartPolicy": {"enabled": true, "ignoredExitCodes": [0]},
        "volumesFrom": [{"sourceContainer": "init", "readOnly": true}], "links": [], "secrets": [], "versionConsistency": "disabled",
    })
}

#[test]
fn everything_that_nodes_honour_is_accepted_and_kept() {
    let init = json!({"name": "init", "image": "busybox", "memory": 32, "essential": false,
        "logConfiguration": {"logDriver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}});
    let body = json!({
        "family": "web", "networkMode": "bridge", "cpu": "0.25 vCPU", "memory": "0.5 GB", "executionRoleArn": "ecsTaskExecutionRole",
        "taskRoleArn": "", "containerDefinitions": [full(), init], "requiresCompatibilities": ["EC2"],
        "volumes": [{"name": "v", "host": {"sourcePath": "/srv"}}, {"name": "scratch"}], "placementConstraints": [],
        "runtimePlatform": {"operatingSystemFamily": "LINUX"}, "tags": [{"key": "a", "value": "b"}],
    });
    let parsed = register(body.clone()).unwrap();
    let document = serde_json::to_value(decode(&parsed.document).unwrap()).unwrap();
    assert_eq!(document["cpu"], "256");
    assert_eq!(document["memory"], "512");
    assert_eq!(document["executionRoleArn"], "arn:aws:iam::123456789012:role/ecsTaskExecutionRole");
    assert_eq!(document["volumes"][1], json!({"name": "scratch", "host": {}}));
    let container = &document["containerDefinitions"][0];
    // What was given stays as it was given, member by member.
    let filled = ["portMappings", "healthCheck", "restartPolicy"];
    for (name, value) in body["containerDefinitions"][0].as_object().unwrap() {
        if !filled.contains(&name.as_str()) {
            assert_eq!(&container[name], value, "{name}");
        }
    }
    assert_eq!(container["healthCheck"]["interval"], 30);
    assert_eq!(container["healthCheck"]["timeout"], 5);
    assert_eq!(container["healthCheck"]["retries"], 3);
    assert_eq!(container["restartPolicy"]["restartAttemptPeriod"], 300);
    assert_eq!(
        container["portMappings"][0],
        json!({"containerPort": 80, "hostPort": 0, "protocol": "tcp", "name": "web", "appProtocol": "http"})
    );
    let required: Vec<&str> = document["requiresAttributes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attribute| attribute["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        required,
        [
            "com.amazonaws.ecs.capability.ecr-auth",
            "com.amazonaws.ecs.capability.logging-driver.awslogs",
            "com.amazonaws.ecs.capability.logging-driver.json-file",
            "ecs.capability.container-health-check",
            "ecs.capability.container-ordering",
            "ecs.capability.container-restart-policy",
            "ecs.capability.execution-role-awslogs",
            "ecs.capability.execution-role-ecr-pull",
        ]
    );
    assert!(required.iter().all(|name| super::REQUIRED_ATTRIBUTES.contains(name)));
}

#[test]
fn an_architecture_is_an_attribute_with_a_value() {
    let body = one(json!({}), json!({"runtimePlatform": {"cpuArchitecture": "ARM64"}}));
    let parsed = register(body).unwrap();
    assert_eq!(parsed.spec.required_attributes, ["ecs.cpu-architecture=arm64"]);
    let document = serde_json::to_value(decode(&parsed.document).unwrap()).unwrap();
    assert_eq!(
        document["requiresAttributes"],
        json!([{"name": "ecs.cpu-architecture", "value": "arm64"}])
    );
}

#[test]
fn the_specification_follows_from_the_document() {
    let ports =
        json!([{"containerPort": 80}, {"containerPort": 53, "hostPort": 5353, "protocol": "udp"}]);
    let parsed = register(one(
        json!({"portMappings": ports, "cpu": 10, "healthCheck": {"command": ["CMD", "true"]}}),
        json!({}),
    ))
    .unwrap();
    let spec = &parsed.spec;
    assert_eq!((spec.network_mode, spec.cpu, spec.memory), (NetworkMode::Bridge, None, None));
    let container = &spec.containers[0];
    assert_eq!(
        (container.cpu, container.memory, container.memory_reservation),
        (10, Some(64), None)
    );
    assert!(container.essential && container.has_health_check);
    let tcp = PortMapping { container_port: 80, host_port: None, protocol: Protocol::Tcp };
    let udp = PortMapping { container_port: 53, host_port: Some(5353), protocol: Protocol::Udp };
    assert_eq!(container.ports, [tcp, udp]);

    let host = register(one(
        json!({"portMappings": [{"containerPort": 80}]}),
        json!({"networkMode": "host"}),
    ))
    .unwrap();
    assert_eq!(host.spec.containers[0].ports[0].host_port, Some(80));
    let document = decode(&host.document).unwrap();
    let mapping = &document.container_definitions.unwrap()[0].port_mappings.clone().unwrap()[0];
    assert_eq!(mapping.host_port, Some(80));
}

#[track_caller]
fn refuse(body: Value, words: &str) {
    let error = register(body.clone()).expect_err(&format!("{body} was accepted"));
    assert_eq!((error.code.as_ref(), error.status), ("ClientException", 400), "{error}");
    assert!(error.message.contains(words), "{body}:\n{} lacks {words}", error.message);
}

#[test]
fn a_task_is_refused_in_ecs_words() {
    for (task, words) in [
        (json!({"family": ""}), "Family can not be blank."),
        (json!({"family": "a b"}), "Family contains invalid characters"),
        (json!({"containerDefinitions": []}), "Container list cannot be empty."),
        (
            json!({"networkMode": "awsvpc", "requiresCompatibilities": ["EXTERNAL"]}),
            "EXTERNAL instances do not support networkMode=awsvpc",
        ),
        (json!({"requiresCompatibilities": ["FARGATE"]}), "Fargate only supports network mode"),
        (json!({"taskRoleArn": "arn:aws:iam::999999999999:role/x"}), "Role is not valid"),
        (json!({"executionRoleArn": "a b"}), "Role is not valid"),
        (json!({"pidMode": "none"}), "'pidMode'"),
        (json!({"ipcMode": "x"}), "'ipcMode'"),
        (json!({"proxyConfiguration": {"containerName": "web"}}), "proxyConfiguration"),
        (json!({"ephemeralStorage": {"sizeInGiB": 30}}), "ephemeralStorage"),
        (json!({"enableFaultInjection": true}), "enableFaultInjection"),
        (
            json!({"placementConstraints": [{"type": "memberOf", "expression": "x"}]}),
            "Invalid expression \"x\": at character 1: expected a subject",
        ),
        (
            json!({"placementConstraints": [{"type": "distinctInstance"}]}),
            "constraint.type 'distinctInstance' is not supported.",
        ),
        (
            json!({"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}}),
            "LINUX",
        ),
        (json!({"runtimePlatform": {"cpuArchitecture": "Z80"}}), "cpuArchitecture"),
        (json!({"cpu": "1"}), "Invalid 'cpu' setting for task"),
        (json!({"memory": "lots"}), "Invalid 'memory' setting for task"),
        (
            json!({"memory": "32"}),
            "The 'memory' setting for container 'web' is greater than for the task.",
        ),
        (json!({"volumes": [{"name": "v", "configuredAtLaunch": true}]}), "configuredAtLaunch"),
        (json!({"volumes": [{"name": "v", "host": {"sourcePath": "relative"}}]}), "absolute path"),
        (json!({"volumes": [{"name": "v"}, {"name": "v"}]}), "more than once"),
        (json!({"volumes": [{}]}), "volume name"),
    ] {
        refuse(one(json!({}), task), words);
    }
}

#[test]
fn a_container_is_refused_in_ecs_words() {
    for (container, words) in [
        (json!({"name": ""}), "Container.name should not be null or empty."),
        (json!({"name": "a b"}), "Container.name contains invalid characters."),
        (json!({"image": ""}), "Container.image should not be null or empty."),
        (json!({"image": "a b"}), "Container.image contains invalid characters."),
        (
            json!({"memory": null}),
            "Invalid setting for container 'web'. At least one of 'memory' or 'memoryReservation' must be specified.",
        ),
        (json!({"memory": 3}), "'memory' setting for container 'web'"),
        (json!({"memoryReservation": 65}), "'memoryReservation' setting for container 'web'"),
        (json!({"cpu": -1}), "'cpu'"),
        (json!({"essential": false}), "at least one essential container"),
        (json!({"links": ["x"]}), "there is no other container 'x'"),
        (json!({"links": ["web"]}), "there is no other container 'web'"),
        (
            json!({"secrets": [{"name": "a", "valueFrom": "b"}]}),
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        ),
        (
            json!({"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/a.env"}]}),
            "you must also specify a value for 'executionRoleArn'.",
        ),
        (json!({"volumesFrom": [{"sourceContainer": "x"}]}), "'volumesFrom'"),
        (json!({"resourceRequirements": [{"type": "GPU", "value": "0"}]}), "resourceRequirements"),
        (
            json!({"firelensConfiguration": {"type": "fluentbit"}}),
            "at least one container has to be configured with the awsfirelens log driver.",
        ),
        (
            json!({"repositoryCredentials": {"credentialsParameter": "x"}}),
            "Private repository authentication requires that the task definition specify a value for executionRoleArn.",
        ),
        (
            json!({"disableNetworking": true, "portMappings": [{"containerPort": 80}]}),
            "disableNetworking leaves nothing to publish",
        ),
        (json!({"versionConsistency": "enabled"}), "versionConsistency"),
        (json!({"portMappings": [{"containerPort": 0}]}), "'containerPort'"),
        (json!({"portMappings": [{"containerPort": 70000}]}), "'containerPort'"),
        (json!({"portMappings": [{"containerPort": 80, "hostPort": -1}]}), "'hostPort'"),
        (json!({"portMappings": [{"containerPortRange": "2-1"}]}), "must be less than"),
        (json!({"portMappings": [{"containerPortRange": "1-x"}]}), "containerPortRange"),
        (json!({"portMappings": [{"containerPortRange": "1-2", "hostPort": 5}]}), "left out"),
        (
            json!({"portMappings": [{"containerPortRange": "10-20"}, {"containerPort": 15}]}),
            "port 15 stands in more than one mapping",
        ),
        (json!({"portMappings": [{"containerPort": 80, "name": "-x"}]}), "portMappings.name"),
        (
            json!({"portMappings": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}]}),
            "TCP host port '80' is mapped multiple times in task.",
        ),
        (
            json!({"mountPoints": [{"sourceVolume": "x", "containerPath": "/a"}]}),
            "Unknown volume 'x'.",
        ),
        (json!({"environment": [{"name": "", "value": "x"}]}), "environment"),
        (json!({"environment": [{"name": "A=B", "value": "x"}]}), "environment"),
        (json!({"stopTimeout": -1}), "stopTimeout"),
    ] {
        refuse(one(container, json!({})), words);
    }
}

#[test]
fn what_a_container_asks_of_its_node_is_refused_by_name() {
    for (container, words) in [
        (
            json!({"memory": null, "memoryReservation": 64, "linuxParameters": {"maxSwap": 1}}),
            "maxSwap",
        ),
        (json!({"linuxParameters": {"swappiness": 101}}), "swappiness"),
        (
            json!({"linuxParameters": {"capabilities": {"add": ["FLY"]}}}),
            "\"FLY\" is not a capability",
        ),
        (
            json!({"linuxParameters": {"tmpfs": [{"containerPath": "run", "size": 1}]}}),
            "absolute path",
        ),
        (
            json!({"linuxParameters": {"tmpfs": [{"containerPath": "/run", "size": 0}]}}),
            "needs a size",
        ),
        (
            json!({"linuxParameters": {"tmpfs": [{"containerPath": "/run", "size": 1, "mountOptions": ["bind"]}]}}),
            "\"bind\"",
        ),
        (json!({"linuxParameters": {"devices": [{"hostPath": "null"}]}}), "absolute paths"),
        (json!({"ulimits": [{"name": "nofile", "softLimit": 2, "hardLimit": 1}]}), "ulimits"),
        (
            json!({"ulimits": [
                {"name": "core", "softLimit": 1, "hardLimit": 1}, {"name": "core", "softLimit": 2, "hardLimit": 2},
            ]}),
            "the limit core is given twice",
        ),
        (
            json!({"systemControls": [{"namespace": "vm.swappiness", "value": "1"}]}),
            "systemControls",
        ),
        (json!({"dnsServers": ["dns.example.com"]}), "not an IP address"),
        (json!({"extraHosts": [{"hostname": "a", "ipAddress": "b"}]}), "extraHosts"),
        (json!({"hostname": "a b"}), "hostname"),
        (json!({"dockerSecurityOptions": ["label:type:x"]}), "labels of SELinux"),
        (json!({"dockerSecurityOptions": ["seccomp:/etc/x.json"]}), "a profile as JSON"),
        (json!({"dockerSecurityOptions": ["apparmor:"]}), "names no profile"),
        (json!({"healthCheck": {"command": []}}), "healthCheck.command"),
        (json!({"healthCheck": {"command": ["true"]}}), "healthCheck.command"),
        (
            json!({"healthCheck": {"command": ["CMD", "true"], "interval": 4}}),
            "healthCheck.interval",
        ),
        (
            json!({"restartPolicy": {"enabled": true, "restartAttemptPeriod": 59}}),
            "restartAttemptPeriod",
        ),
        (
            json!({"dependsOn": [{"containerName": "x", "condition": "START"}]}),
            "Cannot depend on container + 'x' because it does not exist",
        ),
        (json!({"dependsOn": [{"containerName": "web", "condition": "START"}]}), "in a circle"),
    ] {
        refuse(one(container, json!({})), words);
    }
}

#[test]
fn a_log_is_refused_in_ecs_words() {
    for (container, words) in [
        (json!({"logConfiguration": {"logDriver": "sumo"}}), "sumo is not a log driver"),
        (
            json!({"logConfiguration": {"logDriver": "splunk"}}),
            "Log driver splunk requires options",
        ),
        (json!({"logConfiguration": {"logDriver": "awsfirelens"}}), "firelensConfiguration"),
        (
            json!({"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "g",
                "awslogs-multiline-pattern": "x", "awslogs-datetime-format": "%Y"}}}),
            "give one",
        ),
        (json!({"logConfiguration": {"logDriver": "awslogs"}}), "awslogs-group"),
        (
            json!({"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "g", "awslogs-region": "us-east-1"}}}),
            "eu-west-1",
        ),
        (
            json!({"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "g", "awslogs-format": "x"}}}),
            "awslogs-format",
        ),
        (
            json!({"logConfiguration": {"logDriver": "json-file", "options": {"max-size": "huge"}}}),
            "max-size",
        ),
        (
            json!({"logConfiguration": {"logDriver": "json-file", "options": {"max-file": "0"}}}),
            "max-file",
        ),
    ] {
        refuse(one(container, json!({})), words);
    }
}

#[test]
fn network_modes_decide_what_can_be_published() {
    let ports = json!({"portMappings": [{"containerPort": 80, "hostPort": 8080}]});
    refuse(one(ports.clone(), json!({"networkMode": "none"})), "nothing can be published");
    let words =
        "When networkMode=host, the host ports and container ports in port mappings must match.";
    refuse(one(ports.clone(), json!({"networkMode": "host"})), words);
    let words =
        "When networkMode=awsvpc, the host ports and container ports in port mappings must match.";
    refuse(one(ports, json!({"networkMode": "awsvpc"})), words);
    for (member, words) in [
        (
            json!({"hostname": "a"}),
            "Hostname is not supported on container when networkMode=awsvpc.",
        ),
        (json!({"dnsServers": ["10.0.0.1"]}), "DNS servers are not supported"),
        (json!({"dnsSearchDomains": ["a.example"]}), "DNS search domains are not supported"),
        (
            json!({"extraHosts": [{"hostname": "a", "ipAddress": "10.0.0.1"}]}),
            "Extra hosts are not supported",
        ),
    ] {
        refuse(one(member, json!({"networkMode": "awsvpc"})), words);
    }
    let own = json!({"networkMode": "awsvpc"});
    let own = register(one(json!({"portMappings": [{"containerPort": 80}]}), own)).unwrap();
    assert_eq!(own.spec.required_attributes, ["ecs.capability.task-eni"]);
    assert_eq!(own.spec.containers[0].ports[0].host_port, Some(80));
    assert!(own.spec.reservation().ports.is_empty(), "a port of its own address is nobody else's");
    let links = json!({"links": ["x"]});
    let words = "Links are not supported when networkMode=host.";
    refuse(one(links, json!({"networkMode": "host"})), words);
    let range = json!({"portMappings": [{"containerPortRange": "1-2"}]});
    refuse(one(range, json!({"networkMode": "host"})), "ranges need networkMode=bridge");
    let control = json!({"systemControls": [{"namespace": "kernel.shmmax", "value": "1"}]});
    refuse(one(control, json!({"ipcMode": "host"})), "the host's own IPC");
    let control = json!({"systemControls": [{"namespace": "net.core.somaxconn", "value": "1"}]});
    refuse(one(control, json!({"networkMode": "host"})), "the host's own network");
}

#[test]
fn containers_are_held_against_one_another() {
    let container = |name: &str, more: Value| {
        let mut container = json!({"name": name, "image": "busybox", "memory": 16});
        merge(&mut container, more);
        container
    };
    let of = |containers: Value| json!({"family": "web", "containerDefinitions": containers});
    let waits = |on: &str, condition: &str| json!({"dependsOn": [{"containerName": on, "condition": condition}]});
    for (body, words) in [
        (
            of(json!([container("a", json!({})), container("a", json!({}))])),
            "Container names must be unique within a Task Definition.",
        ),
        (
            of(json!([
                container("a", json!({"links": ["b"]})),
                container("b", json!({"links": ["a"]}))
            ])),
            "Container links should not have a cycle",
        ),
        (
            of(json!([container("a", waits("b", "START")), container("b", waits("a", "START"))])),
            "in a circle",
        ),
        (
            of(json!([container("a", waits("b", "HEALTHY")), container("b", json!({}))])),
            "no healthCheck",
        ),
        (
            of(json!([container("a", waits("b", "COMPLETE")), container("b", json!({}))])),
            "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
        ),
    ] {
        refuse(body, words);
    }
    let side = container("b", json!({"essential": false}));
    assert!(register(of(json!([container("a", waits("b", "COMPLETE")), side]))).is_ok());
}

#[test]
fn every_attribute_is_in_the_list() {
    for member in super::members::all() {
        for needed in super::members::attributes(member).unwrap_or_default() {
            let listed = super::REQUIRED_ATTRIBUTES.contains(&needed.as_str());
            assert!(listed || needed.contains('='), "{needed}");
        }
    }
}

#[test]
fn a_definition_larger_than_a_record_is_refused() {
    let value = "x".repeat(60 * 1024);
    refuse(one(json!({"environment": [{"name": "A", "value": value}]}), json!({})), "bytes long");
}

proptest! {
    #[test]
    fn what_is_accepted_once_is_accepted_as_it_is_described(
        memory in 4i32..10_000,
        soft in prop::option::of(4i32..10_000),
        cpu in prop::option::of(0i32..4096),
        port in prop::option::of(1i32..65_536),
        host in prop::option::of(0i32..65_536),
        mode in prop::sample::select(vec!["bridge", "host", "none", "awsvpc"]),
    ) {
        let mut container = json!({"memory": memory});
        if let Some(soft) = soft { container["memoryReservation"] = json!(soft); }
        if let Some(cpu) = cpu { container["cpu"] = json!(cpu); }
        if let Some(port) = port {
            container["portMappings"] = json!([{"containerPort": port}]);
            if let Some(host) = host { container["portMappings"][0]["hostPort"] = json!(host); }
        }
        if let Ok(parsed) = register(one(container, json!({"networkMode": mode}))) {
            let described = serde_json::to_value(decode(&parsed.document).unwrap()).unwrap();
            let again = register(described).unwrap();
            prop_assert_eq!(&again.document, &parsed.document);
            prop_assert_eq!(&again.spec, &parsed.spec);
        }
    }
}
