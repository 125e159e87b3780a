//! Members that need more than one container, or more than the plan.

use runtime::{ContainerNetwork, IpcMode, LogMode, Mount, PidMode, Seccomp};
use serde_json::json;

use super::tests::{image, node, order, planned};
use super::*;

#[test]
fn namespaces_security_and_labels_arrive() {
    let plan = task(
        &order(
            json!([{"name": "web", "image": "i", "dockerLabels": {"a": "b"}, "disableNetworking": true,
                "linuxParameters": {"swappiness": 3},
                "dockerSecurityOptions": ["apparmor:mine", "seccomp=unconfined"]},
                {"name": "side", "image": "i"}]),
            json!({"pidMode": "task", "ipcMode": "none"}),
        ),
        &node(),
    )
    .unwrap();
    assert_eq!((plan.sandbox.pid, plan.sandbox.ipc), (PidMode::Sandbox, IpcMode::None));
    let spec = &plan.containers[0].template;
    assert_eq!(spec.swappiness, Some(3));
    assert_eq!((spec.apparmor.as_deref(), &spec.seccomp), (Some("mine"), &Seccomp::Unconfined));
    assert_eq!(spec.network, ContainerNetwork::None);
    assert_eq!(plan.containers[1].template.network, ContainerNetwork::Sandbox);
    let label = |name: &str| spec.labels.get(name).map(String::as_str);
    assert_eq!(label("a"), Some("b"));
    assert_eq!(label("com.amazonaws.ecs.container-name"), Some("web"));
    assert_eq!(label(TASK_ARN_LABEL), Some(plan.order.arn.as_str()));
}

#[test]
fn variables_are_put_over_each_other_as_ecs_does() {
    let plan = planned(json!({"name": "web", "image": "i",
        "environment": [{"name": "B", "value": "order"}],
        "environmentFiles": [{"value": "arn:aws:s3:::b/1.env", "type": "s3"}],
        "secrets": [{"name": "C", "valueFrom": "/c"}]}));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let given = GivenContainer {
        env_files: vec![
            vec![pair("A", "file1"), pair("B", "file1"), pair("AWS_REGION", "file1")],
            vec![pair("A", "file2"), pair("D", "file2")],
        ],
        environment: vec![pair("C", "secret")],
        ..GivenContainer::default()
    };
    let at = Circumstances {
        given: Some(&given),
        linked: vec![pair("A", "link"), pair("DB_NAME", "/web/db")],
        environment: vec![pair("ECS_AGENT_URI", "http://169.254.170.2")],
        ..Circumstances::default()
    };
    let spec = container_spec(&plan, "sha256:1", &image(), at).unwrap();
    let value = |name: &str| {
        let line = spec.env.iter().find(|line| line.split('=').next() == Some(name));
        line.and_then(|line| line.split_once('=')).map(|(_, value)| value)
    };
    for (name, expected) in [
        ("A", "file1"),
        ("B", "order"),
        ("C", "secret"),
        ("D", "file2"),
        ("DB_NAME", "/web/db"),
        ("AWS_REGION", "file1"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("ECS_AGENT_URI", "http://169.254.170.2"),
    ] {
        assert_eq!(value(name), Some(expected), "{name}");
    }
}

#[test]
fn links_and_volumes_of_others_wait_for_their_start() {
    let plan = task(
        &order(
            json!([{"name": "web", "image": "i", "links": ["db:data", "cache"],
                    "volumesFrom": [{"sourceContainer": "files"}],
                    "dependsOn": [{"containerName": "db", "condition": "HEALTHY"}]},
                {"name": "db", "image": "i"}, {"name": "cache", "image": "i"},
                {"name": "files", "image": "i"}]),
            json!({}),
        ),
        &node(),
    )
    .unwrap();
    let waits: Vec<_> =
        plan.containers[0].depends_on.iter().map(|d| (d.container, d.condition)).collect();
    assert_eq!(waits, [(1, Condition::Healthy), (2, Condition::Start), (3, Condition::Start)]);
    assert_eq!(plan.containers[0].links[0], Link { container: 1, alias: "data".to_owned() });
    assert_eq!(plan.dependents(3).collect::<Vec<_>>(), [0]);
}

#[test]
fn volumes_of_the_runtime_are_named_by_their_scope() {
    let volumes = json!({"volumes": [
        {"name": "own", "dockerVolumeConfiguration": {"scope": "task", "labels": {"a": "b"}}},
        {"name": "shared", "dockerVolumeConfiguration":
            {"scope": "shared", "autoprovision": true, "driver": "local", "driverOpts": {"type": "tmpfs"}}},
        {"name": "there", "dockerVolumeConfiguration": {"scope": "shared"}},
        {"name": "files", "efsVolumeConfiguration":
            {"fileSystemId": "fs-1", "rootDirectory": "/data/x"}}]});
    let points = ["own", "shared", "there", "files"]
        .map(|name| json!({"sourceVolume": name, "containerPath": format!("/{name}")}));
    let mut node = node();
    let system = FileSystem { host: "10.0.0.5".to_owned(), path: "/exports".to_owned() };
    node.file_systems.insert("fs-1".to_owned(), system);
    let containers = json!([{"name": "a", "image": "i", "mountPoints": points},
        {"name": "b", "image": "i", "volumesFrom": [{"sourceContainer": "a", "readOnly": true}]}]);
    let plan = task(&order(containers, volumes), &node).unwrap();
    let made: Vec<_> = plan.volumes.iter().map(|v| (v.spec.name.as_str(), v.own, v.make)).collect();
    assert_eq!(
        made,
        [
            ("ecs-web-3-own-0123abcd", true, true),
            ("shared", false, true),
            ("there", false, false),
            ("ecs-web-3-files-0123abcd", true, true)
        ]
    );
    let nfs = &plan.volumes[3].spec.options;
    assert_eq!((nfs["type"].as_str(), nfs["device"].as_str()), ("nfs4", ":/exports/data/x"));
    assert!(nfs["o"].starts_with("addr=10.0.0.5,"), "{}", nfs["o"]);
    assert_eq!(
        plan.containers[1].template.mounts[1],
        Mount::Volume { name: "shared".into(), target: "/shared".into(), readonly: true }
    );
}

#[test]
fn a_range_of_ports_is_one_binding() {
    let plan = planned(json!({"name": "web", "image": "i", "portMappings": [
        {"containerPort": 80}, {"containerPortRange": "8000-8002", "protocol": "udp"}]}));
    let requests: Vec<_> = plan.ports.iter().flat_map(|ask| ask.requests(Some(40000))).collect();
    assert_eq!(
        requests.iter().map(|r| r.host_port).collect::<Vec<_>>(),
        [None, Some(40000), Some(40001), Some(40002)]
    );
    let bound: Vec<net::PortBinding> = requests
        .iter()
        .map(|r| net::PortBinding {
            bind_ip: "0.0.0.0".parse().unwrap(),
            container_port: r.container_port,
            host_port: r.host_port.unwrap_or(32768),
            protocol: r.protocol,
        })
        .collect();
    let told = serde_json::to_value(network_bindings(&plan.ports, &bound)).unwrap();
    assert_eq!(
        told,
        json!([
            {"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"},
            {"bindIP": "0.0.0.0", "containerPortRange": "8000-8002",
                "hostPortRange": "40000-40002", "protocol": "udp"}
        ])
    );
}

#[test]
fn log_drivers_of_the_runtime_take_their_options_and_secrets() {
    let containers = json!([{"name": "web", "image": "i", "command": ["x"], "logConfiguration":
        {"logDriver": "splunk", "options": {"splunk-url": "u"},
         "secretOptions": [{"name": "splunk-token", "valueFrom": "/t"}]}}]);
    let mut node = node();
    let error = task(&order(containers.clone(), json!({})), &node).unwrap_err().to_string();
    assert!(error.contains("splunk") && error.contains("awslogs, json-file, none"), "{error}");
    node.log_drivers = vec!["splunk".to_owned()];
    let plan = task(&order(containers, json!({})), &node).unwrap();
    let given = GivenContainer {
        log_options: vec![("splunk-token".to_owned(), "hidden".to_owned())],
        ..GivenContainer::default()
    };
    let at = Circumstances { given: Some(&given), ..Circumstances::default() };
    let spec = container_spec(&plan.containers[0], "sha256:1", &image(), at).unwrap();
    let LogMode::Driver { name, options } = spec.log else { panic!() };
    assert_eq!((name.as_str(), options["splunk-token"].as_str()), ("splunk", "hidden"));
    assert_eq!(options["splunk-url"], "u");
}
