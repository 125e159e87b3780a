//! Payloads as AWS's stock agent reads them, and its books beside ours.

use std::sync::Arc;

use aws::agent::acs;
use model::{
    Change, ContainerFacts, ContainerSpec, DefinitionKey, DefinitionStatus, Document, LaunchType,
    NetworkMode, PortMapping, Protocol, Realm, Revision, State, Tags, Task, TaskDefinition,
    TaskFacts, TaskKey, TaskProgress, TaskSpec,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use stdx::Timestamp;

use super::{admission, task};
use crate::mint::{Mint, MintError, Minting, RolePurpose};

/// Gives every role credentials of its name.
#[derive(Debug)]
struct Coins;

impl Mint for Coins {
    fn mint(
        &self,
        role: &str,
        _task: &TaskKey,
        purpose: RolePurpose,
        _now: Timestamp,
    ) -> Result<acs::RoleCredentials, MintError> {
        Ok(acs::RoleCredentials {
            credentials_id: format!("{purpose:?}"),
            role_arn: role.to_owned(),
            ..Default::default()
        })
    }
}

/// The payload of a task of this definition with these overrides.
fn sent(document: &Value, spec: &TaskSpec, overrides: Option<&Value>) -> acs::Task {
    let key = DefinitionKey { family: "web".into(), revision: Revision(3) };
    let bytes = |value: &Value| Document(Arc::from(serde_json::to_vec(value).unwrap()));
    let mut state = State::new(Realm::new("eu-west-1", "123456789012"));
    state.apply(&Change::PutDefinition(Arc::new(TaskDefinition {
        key: key.clone(),
        status: DefinitionStatus::Active,
        document: bytes(document),
        spec: Arc::new(spec.clone()),
        tags: Tags::default(),
        registered_at: Timestamp::EPOCH,
        registered_by: String::new(),
        deregistered_at: None,
        delete_requested_at: None,
    })));
    let named = |c: &ContainerSpec| ContainerFacts {
        name: c.name.clone(),
        id: "c1".to_owned(),
        gpus: (0..c.gpus).map(|at| format!("GPU-{}-{at}", c.name).as_str().into()).collect(),
    };
    let containers: Vec<ContainerFacts> = spec.containers.iter().map(named).collect();
    let mut reserved = spec.reservation();
    reserved.gpus = containers.iter().flat_map(|c| c.gpus.clone()).collect();
    let facts = TaskFacts {
        key: TaskKey { cluster: "default".into(), task: "0f".into() },
        definition: key,
        instance: Some("i".into()),
        host: None,
        provider: None,
        terms: None,
        launch_type: LaunchType::Ec2,
        group: "family:web".to_owned(),
        started_by: None,
        service: None,
        deployment: None,
        overrides: overrides.map(bytes),
        reserved,
        containers,
        tags: Tags::default(),
        enable_ecs_managed_tags: false,
        enable_execute_command: false,
        network: None,
        created_at: Timestamp::EPOCH,
    };
    let progress = Arc::new(TaskProgress::first(&facts));
    let minting = Minting { mint: &Coins, now: Timestamp::EPOCH };
    task(&state, &Task { facts: Arc::new(facts), progress }, minting).unwrap()
}

fn spec(containers: Vec<ContainerSpec>) -> TaskSpec {
    TaskSpec {
        network_mode: NetworkMode::Bridge,
        compatibilities: vec![],
        cpu: None,
        memory: None,
        containers,
        constraints: vec![],
        required_attributes: vec![],
    }
}

fn container(name: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.into(),
        image: "busybox".into(),
        essential: true,
        cpu: 0,
        memory: Some(64),
        memory_reservation: None,
        ports: vec![],
        has_health_check: false,
        gpus: 0,
    }
}

/// The container of a payload as the stock agent would read it, Docker's documents opened.
fn opened(task: &acs::Task, at: usize) -> (Value, Value, Value) {
    let container = serde_json::to_value(&task.containers[at]).unwrap();
    let document = |name: &str| {
        serde_json::from_str(container["dockerConfig"][name].as_str().unwrap()).unwrap()
    };
    (container.clone(), document("config"), document("hostConfig"))
}

/// A definition with everything that the contract has a member of its own for, and more.
fn full() -> Value {
    json!({
        "networkMode": "bridge", "pidMode": "task", "ipcMode": "host",
        "taskRoleArn": "arn:task", "executionRoleArn": "arn:exec",
        "volumes": [{"name": "v", "dockerVolumeConfiguration": {"scope": "task"}}],
        "containerDefinitions": [{
            "name": "web", "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1", "cpu": 128, "memory": 64,
            "memoryReservation": 32, "essential": true, "links": ["db:database"], "user": "1000", "hostname": "web",
            "secrets": [{"name": "A", "valueFrom": "/a"}],
            "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/a.env"}],
            "volumesFrom": [{"sourceContainer": "db", "readOnly": true}],
            "portMappings": [{"containerPortRange": "8000-8010", "protocol": "tcp"}],
            "interactive": true, "pseudoTerminal": true, "dockerLabels": {"a": "b"},
            "dnsSearchDomains": ["a.b"], "extraHosts": [{"hostname": "h", "ipAddress": "10.0.0.1"}],
            "dockerSecurityOptions": ["no-new-privileges"],
            "linuxParameters": {"maxSwap": 64, "swappiness": 10},
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "g", "awslogs-stream-prefix": "p"},
                "secretOptions": []},
        }, {
            "name": "db", "image": "private/db", "memory": 64, "essential": true, "disableNetworking": true,
            "linuxParameters": {"swappiness": 10},
            "repositoryCredentials": {"credentialsParameter": "hub"},
            "firelensConfiguration": {"type": "fluentbit", "options": {"enable-ecs-log-metadata": "true"}},
        }],
    })
}

#[test]
fn everything_of_a_container_reaches_the_stock_agent() {
    let task = sent(&full(), &spec(vec![container("web"), container("db")]), None);
    let whole = serde_json::to_value(&task).unwrap();
    assert_eq!(whole["pidMode"], "task");
    assert_eq!(whole["ipcMode"], "host");
    assert_eq!(whole["roleCredentials"]["roleArn"], "arn:task");
    assert_eq!(whole["executionRoleCredentials"]["roleArn"], "arn:exec");
    assert_eq!(whole["volumes"][0]["type"], "docker");
    let typed = task.wharf.as_ref().unwrap();
    assert_eq!(typed.execution_role_arn.as_deref(), Some("arn:exec"));
    assert_eq!(typed.task_role_arn.as_deref(), Some("arn:task"));

    let (web, config, host) = opened(&task, 0);
    assert_eq!(web["links"], json!(["db:database"]));
    assert_eq!(web["volumesFrom"], json!([{"sourceContainer": "db", "readOnly": true}]));
    assert_eq!(web["environmentFiles"], json!([{"type": "s3", "value": "arn:aws:s3:::b/a.env"}]));
    assert_eq!(web["secrets"][0]["provider"], "ssm");
    assert_eq!(
        web["portMappings"],
        json!([{"containerPortRange": "8000-8010", "protocol": "tcp"}])
    );
    assert_eq!(web["logsAuthStrategy"], "ExecutionRole");
    assert_eq!(
        web["registryAuthentication"],
        json!({"type": "ecr", "ecrAuthData":
            {"registryId": "123456789012", "region": "eu-west-1", "useExecutionRole": true}})
    );
    assert_eq!(
        config,
        json!({"User": "1000", "Hostname": "web", "Tty": true, "OpenStdin": true, "Labels": {"a": "b"}})
    );
    assert_eq!(
        host,
        json!({"NetworkMode": "bridge", "CapAdd": [], "CapDrop": [],
            "LogConfig": {"Type": "awslogs", "Config": {"awslogs-group": "g", "awslogs-stream": "p/web/0f"}},
            "DnsSearch": ["a.b"], "ExtraHosts": ["h:10.0.0.1"], "SecurityOpt": ["no-new-privileges"],
            "MemoryReservation": 32 << 20, "MemorySwap": 128 << 20, "MemorySwappiness": 10})
    );

    let (db, config, host) = opened(&task, 1);
    assert_eq!(
        db["registryAuthentication"],
        json!({"type": "asm", "asmAuthData": {"credentialsParameter": "hub", "region": "eu-west-1"}})
    );
    assert_eq!(
        db["firelensConfiguration"],
        json!({"type": "fluentbit", "options": {"enable-ecs-log-metadata": "true"}})
    );
    assert_eq!(config, json!({"NetworkDisabled": true}));
    // Without maxSwap there is no swappiness either: ECS leaves both to the instance.
    assert_eq!(host, json!({"NetworkMode": "none", "CapAdd": [], "CapDrop": []}));
}

#[test]
fn a_log_driver_without_a_mode_has_the_accounts() {
    let document = json!({"containerDefinitions": [
        {"name": "a", "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "g"}}},
        {"name": "b", "logConfiguration": {"logDriver": "json-file", "options": {"mode": "blocking"}}},
        {"name": "c", "logConfiguration": {"logDriver": "awsfirelens"}}, {"name": "d"}]});
    let modes = |state: &State| {
        let mut document = serde_json::from_value(document.clone()).unwrap();
        super::modes(state, &mut document);
        let options = |c: &aws::ecs::ContainerDefinition| {
            c.log_configuration.as_ref()?.options.as_ref()?.get("mode").cloned()
        };
        document.container_definitions.iter().flatten().map(options).collect::<Vec<_>>()
    };
    let mut state = State::new(Realm::new("eu-west-1", "123456789012"));
    let blocking = Some("blocking".to_owned());
    assert_eq!(modes(&state), [None, blocking.clone(), None, None]);
    state.apply(&Change::Setting(model::SettingChange::Put(Arc::new(model::SettingRecord {
        principal: state.realm().root(),
        setting: model::AccountSetting::LogMode,
        value: model::SettingValue::NonBlocking,
    }))));
    assert_eq!(modes(&state), [Some("non-blocking".to_owned()), blocking, None, None]);
}

#[test]
fn overrides_reach_both_agents() {
    let document = json!({"memory": "512", "cpu": "256", "containerDefinitions": [
        {"name": "web", "image": "busybox", "essential": true,
            "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/a.env"}]}]});
    let overrides = json!({"memory": "256", "cpu": "128", "executionRoleArn": "arn:exec", "containerOverrides": [
        {"name": "web", "command": ["x"], "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/b.env"}]}]});
    let task = sent(&document, &spec(vec![container("web")]), Some(&overrides));
    assert_eq!((task.cpu, task.memory), (Some(0.125), Some(256)));
    assert_eq!(task.execution_role_credentials.unwrap().role_arn, "arn:exec");
    let files: Vec<_> =
        task.containers[0].environment_files.iter().map(|f| f.value.as_deref().unwrap()).collect();
    assert_eq!(files, ["arn:aws:s3:::b/a.env", "arn:aws:s3:::b/b.env"]);
    assert_eq!(task.containers[0].overrides.as_deref(), Some(r#"{"command":["x"]}"#));
}

#[test]
fn what_the_agent_counts_beyond_a_reservation_is_told() {
    let own = |cpu, memory| model::Resources { cpu, memory, ..Default::default() };
    assert_eq!(admission::excess(&own(10, 10), &own(10, 10)), None);
    assert_eq!(admission::excess(&own(9, 9), &own(10, 10)), None);
    assert!(admission::excess(&own(11, 10), &own(10, 10)).unwrap().contains("11 CPU"));
    assert!(admission::excess(&own(10, 11), &own(10, 10)).unwrap().contains("11 MiB"));
}

/// A container: its CPU, its hard and its soft limit, its ports on the host and whether they are UDP.
type Drawn = (u32, Option<u32>, Option<u32>, Vec<(Option<u16>, bool)>);

prop_compose! {
    fn containers()(given in prop::collection::vec(
        (0_u32..4096, prop::option::of(4_u32..9000), prop::option::of(4_u32..9000),
         prop::collection::vec((prop::option::of(1_u16..2000), any::<bool>()), 0..3)), 1..4,
    )) -> Vec<ContainerSpec> {
        let one = |(at, (cpu, hard, soft, ports)): (usize, Drawn)| {
            let mapping = |(n, (host_port, udp)): (usize, (Option<u16>, bool))| PortMapping {
                container_port: u16::try_from(100 + n).unwrap(),
                host_port,
                protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
            };
            ContainerSpec {
                name: format!("c{at}").as_str().into(),
                cpu,
                memory: hard,
                memory_reservation: soft,
                ports: ports.into_iter().enumerate().map(mapping).collect(),
                ..container("")
            }
        };
        given.into_iter().enumerate().map(one).collect()
    }
}

/// The document that a specification comes from, as the door fills it in.
fn document(spec: &TaskSpec) -> Value {
    let host = spec.network_mode == NetworkMode::Host;
    let one = |c: &ContainerSpec| {
        let port = |p: &PortMapping| {
            json!({
                "containerPort": p.container_port,
                "hostPort": p.host_port.unwrap_or(if host { p.container_port } else { 0 }),
                "protocol": if p.protocol == Protocol::Udp { "udp" } else { "tcp" },
            })
        };
        json!({
            "name": c.name.as_str(), "image": "busybox", "cpu": c.cpu, "memory": c.memory,
            "memoryReservation": c.memory_reservation, "essential": true,
            "portMappings": c.ports.iter().map(port).collect::<Vec<_>>(),
        })
    };
    json!({
        "networkMode": if host { "host" } else { "bridge" },
        "cpu": spec.cpu.map(|n| n.to_string()), "memory": spec.memory.map(|n| n.to_string()),
        "containerDefinitions": spec.containers.iter().map(one).collect::<Vec<_>>(),
    })
}

proptest! {
    /// So a task that fits here never waits there: the agent's other tasks are those that are not
    /// STOPPED here, and each of them counts there for what it holds here.
    #[test]
    fn the_stock_agent_counts_what_was_reserved(
        containers in containers(), cpu in prop::option::of(128_u32..196_608),
        memory in prop::option::of(6_u32..100_000), host in any::<bool>(),
    ) {
        let network_mode = if host { NetworkMode::Host } else { NetworkMode::Bridge };
        let spec = TaskSpec { network_mode, cpu, memory, ..spec(containers) };
        let counted = admission::counted(&sent(&document(&spec), &spec, None));
        prop_assert_eq!(counted, spec.reservation());
    }
}

/// As the stock agent's own tests have an association: one container, and a content that says nothing.
#[test]
fn gpus_are_associations_with_one_container_each() {
    let document = json!({"containerDefinitions": [
        {"name": "web", "image": "busybox", "memory": 64, "resourceRequirements": [{"type": "GPU", "value": "2"}]},
        {"name": "side", "image": "busybox", "memory": 64},
    ]});
    let web = ContainerSpec { gpus: 2, ..container("web") };
    let task = sent(&document, &spec(vec![web, container("side")]), None);
    let one = |name: &str| {
        json!({"name": name, "type": "gpu", "containers": ["web"],
            "content": {"encoding": "base64", "value": ""}})
    };
    assert_eq!(
        serde_json::to_value(&task.associations).unwrap(),
        json!([one("GPU-web-0"), one("GPU-web-1")])
    );
    assert_eq!(super::admission::counted(&task).gpus.len(), 2);
}
