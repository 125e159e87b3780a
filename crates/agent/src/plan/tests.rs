//! What is ordered, and what is run for it.

use std::path::PathBuf;
use std::time::Duration;

use runtime::{ContainerNetwork, ImageConfig, LogMode, Mount, NetworkMode};
use serde_json::{Value, json};

use super::*;
use crate::order::Order;

pub(super) fn node() -> NodeFacts {
    NodeFacts {
        region: "eu-west-1".to_owned(),
        volumes_dir: PathBuf::from("/data/volumes"),
        stop_timeout: Duration::from_secs(30),
        ..NodeFacts::default()
    }
}

pub(super) fn order(containers: Value, rest: Value) -> Order {
    let mut order = Order {
        arn: "arn:aws:ecs:eu-west-1:111122223333:task/default/0123abcd".to_owned(),
        cluster: "default".to_owned(),
        family: "web".to_owned(),
        version: "3".to_owned(),
        containers: serde_json::from_value(containers).unwrap(),
        ..Order::default()
    };
    let Value::Object(members) = rest else { panic!("an object") };
    for (member, value) in members {
        match member.as_str() {
            "volumes" => order.volumes = serde_json::from_value(value).unwrap(),
            "associations" => order.associations = serde_json::from_value(value).unwrap(),
            "networkMode" => order.network_mode = serde_json::from_value(value).unwrap(),
            "ipcMode" => order.ipc_mode = serde_json::from_value(value).unwrap(),
            "interface" => order.interface = serde_json::from_value(value).unwrap(),
            "pidMode" => order.pid_mode = serde_json::from_value(value).unwrap(),
            "cpu" => order.cpu = value.as_f64(),
            "memory" => order.memory = value.as_i64(),
            other => panic!("{other}"),
        }
    }
    order
}

pub(super) fn planned(definition: Value) -> ContainerPlan {
    let order = order(json!([definition]), json!({}));
    task(&order, &node()).unwrap().containers.remove(0)
}

fn refused(containers: Value, rest: Value) -> String {
    task(&order(containers, rest), &node()).unwrap_err().to_string()
}

pub(super) fn image() -> ImageConfig {
    ImageConfig {
        entrypoint: vec!["/entry".to_owned()],
        cmd: vec!["default".to_owned()],
        env: vec!["PATH=/bin".to_owned(), "A=image".to_owned()],
        user: "app".to_owned(),
        working_dir: "/srv".to_owned(),
        stop_signal: "SIGQUIT".to_owned(),
    }
}

#[test]
fn entry_point_and_command_follow_docker() {
    let cases = [
        (json!({}), vec!["/entry", "default"]),
        (json!({"command": ["x", "y"]}), vec!["/entry", "x", "y"]),
        (json!({"entryPoint": ["/other"]}), vec!["/other"]),
        (json!({"entryPoint": ["/other"], "command": ["z"]}), vec!["/other", "z"]),
        (json!({"entryPoint": [], "command": []}), vec!["/entry", "default"]),
    ];
    for (mut members, args) in cases {
        members["name"] = json!("web");
        members["image"] = json!("web:1");
        let spec = container_spec(
            &planned(members.clone()),
            "sha256:1",
            &image(),
            Circumstances::default(),
        )
        .unwrap();
        assert_eq!(spec.args, args, "{members}");
    }
    let bare = planned(json!({"name": "web", "image": "scratch"}));
    let error =
        container_spec(&bare, "sha256:1", &ImageConfig::default(), Circumstances::default())
            .unwrap_err();
    assert!(error.to_string().contains("names a program"), "{error}");
}

#[test]
fn environment_is_the_images_under_the_order() {
    let plan = planned(json!({"name": "web", "image": "web:1", "environment": [
        {"name": "A", "value": "order"}, {"name": "B", "value": "1=2"},
        {"name": "AWS_REGION", "value": "mine"}]}));
    let spec = container_spec(&plan, "sha256:1", &image(), Circumstances::default()).unwrap();
    assert_eq!(
        spec.env,
        [
            "PATH=/bin",
            "A=order",
            "B=1=2",
            "AWS_REGION=mine",
            "AWS_EXECUTION_ENV=AWS_ECS_EC2",
            "AWS_DEFAULT_REGION=eu-west-1",
        ]
    );
    assert_eq!((spec.user.as_str(), spec.cwd.as_str()), ("app", "/srv"));
    assert_eq!(spec.stop_signal, "SIGQUIT");
}

#[test]
fn every_plain_member_arrives() {
    let plan = planned(json!({
        "name": "web", "image": "web:1", "essential": false, "cpu": 1, "memory": 64,
        "memoryReservation": 32, "user": "1:2", "workingDirectory": "/w", "hostname": "h",
        "privileged": true, "readonlyRootFilesystem": true, "interactive": true,
        "pseudoTerminal": true, "dnsServers": ["1.1.1.1"], "dnsSearchDomains": ["example.com"],
        "extraHosts": [{"hostname": "db", "ipAddress": "10.0.0.9"}],
        "dockerSecurityOptions": ["no-new-privileges:true"],
        "ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": -1}],
        "systemControls": [{"namespace": "net.core.somaxconn", "value": "9"}],
        "startTimeout": 7, "stopTimeout": 3,
        "restartPolicy": {"enabled": true, "ignoredExitCodes": [0], "restartAttemptPeriod": 60},
        "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 5},
        "linuxParameters": {
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}, "initProcessEnabled": true,
            "sharedMemorySize": 8, "maxSwap": 16,
            "tmpfs": [{"containerPath": "/t", "size": 1, "mountOptions": ["noexec"]}],
            "devices": [{"hostPath": "/dev/null", "permissions": ["read"]}, {"hostPath": "/dev/zero"}]
        }
    }));
    let spec = container_spec(
        &plan,
        "sha256:1",
        &image(),
        Circumstances { address: Some("172.30.0.2".to_owned()), ..Circumstances::default() },
    )
    .unwrap();
    assert!(!plan.essential);
    assert_eq!(plan.start_timeout, Some(Duration::from_secs(7)));
    assert_eq!(plan.stop_timeout, Duration::from_secs(3));
    let restart = plan.restart.unwrap();
    assert_eq!(restart.attempt_period, Duration::from_secs(60));
    assert!(restart.ignored_exit_codes.contains(&0));
    assert_eq!(spec.limits.cpu_shares, Some(2));
    assert_eq!(spec.limits.memory_bytes, Some(64 << 20));
    assert_eq!(spec.limits.memory_swap_bytes, Some(80 << 20));
    assert_eq!(spec.limits.memory_reservation_bytes, Some(32 << 20));
    assert_eq!((spec.user.as_str(), spec.cwd.as_str()), ("1:2", "/w"));
    assert!(spec.privileged && spec.readonly_root && spec.open_stdin && spec.tty && spec.init);
    assert!(spec.no_new_privileges);
    assert_eq!(spec.hosts, [("db".to_owned(), "10.0.0.9".to_owned())]);
    assert_eq!(spec.dns_servers, ["1.1.1.1"]);
    assert_eq!(spec.dns_search, ["example.com"]);
    assert_eq!(spec.ulimits, [("nofile".to_owned(), 10, u64::MAX)]);
    assert_eq!(spec.sysctls.get("net.core.somaxconn").map(String::as_str), Some("9"));
    assert_eq!(spec.shm_bytes, Some(8 << 20));
    assert_eq!((spec.cap_add, spec.cap_drop), (vec!["NET_ADMIN".into()], vec!["ALL".into()]));
    assert_eq!(spec.devices[0], ("/dev/null".into(), "/dev/null".into(), "r".into()));
    assert_eq!(spec.devices[1].2, "rwm");
    assert_eq!(spec.address.as_deref(), Some("172.30.0.2"));
    let health = spec.health.unwrap();
    assert_eq!(health.args, ["/bin/sh", "-c", "true"]);
    assert_eq!((health.interval, health.retries), (Duration::from_secs(5), 3));
    assert_eq!(
        spec.mounts,
        [Mount::Tmpfs {
            target: "/t".into(),
            size_bytes: Some(1 << 20),
            options: vec!["noexec".into()]
        }]
    );
}

#[test]
fn volumes_are_the_hosts_the_tasks_and_anothers() {
    let volumes = json!({"volumes": [
        {"name": "data", "host": {"sourcePath": "/srv/data"}}, {"name": "scratch", "host": {}}]});
    let containers = json!([
        {"name": "a", "image": "i", "mountPoints": [
            {"sourceVolume": "data", "containerPath": "/data", "readOnly": true},
            {"sourceVolume": "scratch", "containerPath": "/tmp"}]},
        {"name": "b", "image": "i", "volumesFrom": [{"sourceContainer": "a", "readOnly": true}]},
    ]);
    let plan = task(&order(containers, volumes), &node()).unwrap();
    let bind = |source: &str, target: &str, readonly| Mount::Bind {
        source: source.into(),
        target: target.into(),
        readonly,
    };
    let scratch = "/data/volumes/0123abcd/scratch";
    assert_eq!(plan.own_volumes, [PathBuf::from(scratch)]);
    assert_eq!(plan.volumes_root(), Some(PathBuf::from("/data/volumes/0123abcd")));
    assert_eq!(
        plan.containers[0].template.mounts,
        [bind("/srv/data", "/data", true), bind(scratch, "/tmp", false)]
    );
    assert_eq!(
        plan.containers[1].template.mounts,
        [bind("/srv/data", "/data", true), bind(scratch, "/tmp", true)]
    );
}

#[test]
fn ports_follow_the_network_mode() {
    let containers = json!([
        {"name": "a", "image": "i", "portMappings": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}]},
        {"name": "b", "image": "i", "portMappings": [{"containerPort": 53, "protocol": "udp", "hostPort": 0}]},
    ]);
    let plan = task(&order(containers.clone(), json!({})), &node()).unwrap();
    assert_eq!(plan.network, NetworkPlan::Bridge);
    let asked = |index: usize| -> Vec<_> {
        let asks = plan.containers[index].ports.iter().flat_map(|ask| ask.requests(None));
        asks.map(|p| (p.container_port, p.host_port, p.protocol)).collect()
    };
    let tcp = net::Protocol::Tcp;
    assert_eq!(asked(0), [(80, None, tcp), (81, Some(8081), tcp)]);
    assert_eq!(asked(1), [(53, None, net::Protocol::Udp)]);
    assert_eq!(plan.sandbox.network, NetworkMode::Private);
    let networks: Vec<_> = plan.containers.iter().map(|c| c.template.network).collect();
    assert_eq!(networks, [ContainerNetwork::Sandbox, ContainerNetwork::Own]);
    assert_eq!(
        (plan.network_id(0), plan.network_id(1)),
        (plan.id.clone(), "0123abcd-1".to_owned())
    );

    let none = task(&order(containers, json!({"networkMode": "none"})), &node()).unwrap();
    let networks: Vec<_> = none.containers.iter().map(|c| c.template.network).collect();
    assert_eq!(networks, [ContainerNetwork::Sandbox, ContainerNetwork::None]);
    assert!(none.containers.iter().all(|c| c.ports.is_empty()));
    assert_eq!(none.network, NetworkPlan::None);
    let clash = json!([{"name": "a", "image": "i", "portMappings": [{"containerPort": 80, "hostPort": 81}]}]);
    assert!(refused(clash.clone(), json!({"networkMode": "host"})).contains("hostPort"));
    assert!(refused(clash, own_address()).contains("hostPort"));
}

fn own_address() -> Value {
    json!({"networkMode": "awsvpc", "interface": {
        "address": "172.31.0.9", "mac": [2, 87, 172, 31, 0, 9], "dns_name": "ip-172-31-0-9.ec2.internal",
        "router": ["172.31.0.1", 20], "vpc": ["172.31.0.0", 16],
    }})
}

#[test]
fn containers_share_the_address_that_is_the_tasks_own() {
    let containers = json!([
        {"name": "a", "image": "i", "portMappings": [{"containerPort": 80}]},
        {"name": "b", "image": "i", "disableNetworking": true},
        {"name": "c", "image": "i"},
    ]);
    let plan = task(&order(containers.clone(), own_address()), &node()).unwrap();
    let NetworkPlan::Own(own) = plan.network else { panic!("{:?}", plan.network) };
    assert_eq!(own.address, std::net::Ipv4Addr::new(172, 31, 0, 9));
    assert_eq!(plan.sharing().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(plan.on_bridge().count(), 0);
    let networks: Vec<_> = plan.containers.iter().map(|c| c.template.network).collect();
    let (shared, none) = (ContainerNetwork::Sandbox, ContainerNetwork::None);
    assert_eq!(networks, [shared, none, shared]);
    assert_eq!(plan.containers[2].template.hostname, "ip-172-31-0-9.ec2.internal");
    assert_eq!((plan.network_id(0), plan.network_id(2)), (plan.id.clone(), plan.id.clone()));
    let docker = NodeFacts { runtime_networks: true, ..node() };
    let refusal = task(&order(containers, own_address()), &docker).unwrap_err().to_string();
    assert!(refusal.contains("--runtime embedded"), "{refusal}");
}

#[test]
fn logs_go_where_they_are_sent() {
    let awslogs = |options: Value| json!([{"name": "web", "image": "i", "logConfiguration": {"logDriver": "awslogs", "options": options}}]);
    let plan = |options| task(&order(awslogs(options), json!({})), &node()).unwrap();
    let with = plan(json!({"awslogs-group": "g", "awslogs-region": "eu-west-1",
        "awslogs-stream-prefix": "p", "awslogs-create-group": "true", "mode": "non-blocking"}));
    let LogPlan::AwsLogs(logs) = &with.containers[0].log else { panic!() };
    assert_eq!((logs.group.as_str(), logs.stream.as_str()), ("g", "p/web/0123abcd"));
    assert!(logs.create_group);
    let LogMode::Files { non_blocking_bytes, .. } = with.containers[0].template.log else {
        panic!()
    };
    assert_eq!(non_blocking_bytes, Some(1 << 20));

    let without = plan(json!({"awslogs-group": "g"}));
    let LogPlan::AwsLogs(logs) = &without.containers[0].log else { panic!() };
    assert_eq!(logs.stream, without.containers[0].id.as_str());

    for (options, named) in [
        (json!({}), "awslogs-group"),
        (json!({"awslogs-group": "g", "awslogs-region": "us-east-1"}), "us-east-1"),
        (json!({"awslogs-group": "g", "awslogs-datetime-format": "%Q"}), "awslogs-datetime-format"),
        (
            json!({"awslogs-group": "g", "awslogs-datetime-format": "%Y",
                "awslogs-multiline-pattern": "x"}),
            "give one of them",
        ),
        (
            json!({"awslogs-group": "g", "awslogs-multiline-pattern": "("}),
            "awslogs-multiline-pattern",
        ),
        (json!({"awslogs-group": "g", "mode": "sometimes"}), "mode"),
        (
            json!({"awslogs-group": "g", "mode": "non-blocking", "max-buffer-size": "1x"}),
            "max-buffer-size",
        ),
    ] {
        let error = refused(awslogs(options), json!({}));
        assert!(error.contains(named), "{error}");
    }

    let none =
        planned(json!({"name": "w", "image": "i", "logConfiguration": {"logDriver": "none"}}));
    assert_eq!((none.log, none.template.log), (LogPlan::None, LogMode::None));
    let files = planned(json!({"name": "w", "image": "i", "logConfiguration":
        {"logDriver": "json-file", "options": {"max-size": "2k", "max-file": "3"}}}));
    assert_eq!(
        files.template.log,
        LogMode::Files { max_bytes: 2048, max_files: 3, non_blocking_bytes: None }
    );
    assert_eq!(files.log, LogPlan::Files);
}

/// One container with one member more.
fn one(member: &str, value: Value) -> Value {
    let mut definition = json!({"name": "web", "image": "i"});
    definition[member] = value;
    json!([definition])
}

fn all_refused(cases: Vec<(Value, Value, &str)>) {
    for (containers, rest, named) in cases {
        let error = refused(containers, rest);
        assert!(error.contains(named), "{named}: {error}");
        assert!(error.starts_with("ResourceInitializationError: "), "{error}");
    }
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    let host = |mode: &str| json!({"networkMode": mode});
    all_refused(vec![
        (
            one("firelensConfiguration", json!({"type": "logstash"})),
            json!({}),
            "firelensConfiguration.type",
        ),
        (one("dockerSecurityOptions", json!(["label:x"])), json!({}), "label:x"),
        (one("linuxParameters", json!({"maxSwap": 3})), json!({}), "maxSwap"),
        (one("healthCheck", json!({"command": ["true"]})), json!({}), "healthCheck"),
    ]);
    all_refused(vec![
        (one("cpu", json!(1)), host("awsvpc"), "awsvpc"),
        (
            one("cpu", json!(1)),
            json!({"volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "f"}}]}),
            "efsVolumeConfiguration",
        ),
    ]);
}

#[test]
fn contradictions_are_refused_by_name() {
    all_refused(vec![
        (one("links", json!(["db"])), json!({}), "links"),
        (one("links", json!(["web"])), json!({"networkMode": "host"}), "links"),
        (
            one("environmentFiles", json!([{"value": "v", "type": "s3"}])),
            json!({}),
            "environmentFiles",
        ),
        (
            one("portMappings", json!([{"containerPortRange": "9-2"}])),
            json!({}),
            "containerPortRange",
        ),
        (
            one("cpu", json!(1)),
            json!({"volumes": [{"name": "v", "efsVolumeConfiguration":
                {"fileSystemId": "fs-1"}}]}),
            "--efs fs-1=HOST",
        ),
        (one("portMappings", json!([{"containerPort": 70000}])), json!({}), "containerPort"),
        (
            one("mountPoints", json!([{"sourceVolume": "no", "containerPath": "/x"}])),
            json!({}),
            "sourceVolume",
        ),
        (one("volumesFrom", json!([{"sourceContainer": "no"}])), json!({}), "volumesFrom"),
        (
            one("dependsOn", json!([{"containerName": "no", "condition": "START"}])),
            json!({}),
            "dependsOn",
        ),
        (
            one("dependsOn", json!([{"containerName": "web", "condition": "START"}])),
            json!({}),
            "circle",
        ),
        (one("image", json!("")), json!({}), "image"),
        (one("name", json!("")), json!({}), "name"),
        (json!([]), json!({}), "containerDefinitions"),
        (one("cpu", json!(1)), json!({"volumes": [{"name": "../x"}]}), "volumes.name"),
        (
            one("cpu", json!(1)),
            json!({"volumes": [{"name": "x", "host": {"sourcePath": "relative"}}]}),
            "sourcePath",
        ),
    ]);
}

#[test]
fn the_tasks_own_limits_are_the_sandboxes() {
    let containers = json!([{"name": "a", "image": "i", "cpu": 100}, {"name": "b", "image": "i"}]);
    let plan = task(&order(containers.clone(), json!({})), &node()).unwrap();
    assert_eq!(plan.sandbox.limits.cpu_shares, Some(102));
    assert_eq!(plan.sandbox.limits.memory_bytes, None);
    let plan = task(&order(containers, json!({"cpu": 0.25, "memory": 512})), &node()).unwrap();
    assert_eq!(plan.sandbox.limits.cpu_millis, Some(250));
    assert_eq!(plan.sandbox.limits.cpu_shares, None);
    assert_eq!(plan.sandbox.limits.memory_bytes, Some(512 << 20));
    assert_eq!(plan.sandbox.labels.get(TASK_ARN_LABEL), Some(&plan.order.arn));
}
