//! The task as a whole: its sandbox, its network, its containers and what they wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws::ecs;
use net::{PortRequest, Protocol};
use runtime::{ContainerId, ContainerSpec, Limits, LogMode, NetworkMode, SandboxId, SandboxSpec};

use super::logs::Writer;
use super::mounts::Volumes;
use super::{
    Condition, ContainerPlan, Dependency, NetworkPlan, NodeFacts, Refusal, RestartPolicy, TaskPlan,
};
use super::{container, health, logs, mounts, refuse};
use crate::order::Order;

/// ECS's default of `restartPolicy.restartAttemptPeriod`, in seconds.
const RESTART_PERIOD: u64 = 300;

/// The label that tells whose sandbox it is, as the ECS agent labels containers.
pub const TASK_ARN_LABEL: &str = "com.amazonaws.ecs.task-arn";

/// Plans a task.
///
/// # Errors
/// The first member that this node does not honour, or that contradicts another.
pub fn task(order: &Order, node: &NodeFacts) -> Result<TaskPlan, Refusal> {
    let id = order.task_id().to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || id.len() > 56 || !id.chars().all(plain) {
        return Err(Refusal::new(
            "taskArn",
            format!("\"{}\" does not end in a task's id", order.arn),
        ));
    }
    if order.containers.is_empty() {
        return Err(Refusal::new("containerDefinitions", "the task has no containers"));
    }
    refuse::check_task(order)?;
    let volumes = mounts::volumes(order, &node.volumes_dir.join(&id))?;
    let mode = network_mode(order)?;
    let mut ports = Vec::new();
    let mut containers = Vec::with_capacity(order.containers.len());
    for index in 0..order.containers.len() {
        let own = port_requests(order, index, mode)?;
        let mut plan = one(order, index, &volumes, node)?;
        plan.port_count = own.len();
        ports.extend(own);
        containers.push(plan);
    }
    acyclic(&containers)?;
    let network = match mode {
        Mode::Bridge => NetworkPlan::Bridge(ports),
        Mode::Host => NetworkPlan::Host(ports),
        Mode::None => NetworkPlan::None,
    };
    let sandbox = SandboxSpec {
        id: SandboxId::new(id.clone()),
        labels: labels(order),
        network: if mode == Mode::Host { NetworkMode::Host } else { NetworkMode::Private },
        limits: limits(order),
        pid: runtime::PidMode::default(),
        ipc: runtime::IpcMode::default(),
    };
    Ok(TaskPlan {
        order: order.clone(),
        id,
        sandbox,
        network,
        containers,
        own_volumes: volumes.own,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Bridge,
    Host,
    None,
}

fn network_mode(order: &Order) -> Result<Mode, Refusal> {
    match &order.network_mode {
        None | Some(ecs::NetworkMode::Bridge) => Ok(Mode::Bridge),
        Some(ecs::NetworkMode::Host) => Ok(Mode::Host),
        Some(ecs::NetworkMode::None) => Ok(Mode::None),
        Some(other) => Err(Refusal::new(
            format!("networkMode {other}"),
            "not supported on this node yet; it has bridge, host and none",
        )),
    }
}

/// The name in the runtime of a task's container: the task's id and the container's number.
pub(crate) fn container_id(task: &str, index: usize) -> ContainerId {
    ContainerId::new(format!("{task}-{index}"))
}

/// The name of a container, for messages.
fn name_of(order: &Order, index: usize) -> &str {
    order.containers.get(index).and_then(|c| c.name.as_deref()).unwrap_or_default()
}

fn one(
    order: &Order,
    index: usize,
    volumes: &Volumes,
    node: &NodeFacts,
) -> Result<ContainerPlan, Refusal> {
    let name = name_of(order, index);
    let Some(definition) = order.containers.get(index).filter(|_| !name.is_empty()) else {
        return Err(Refusal::new("containerDefinitions.name", "a container has no name"));
    };
    if order.containers.iter().filter(|c| c.name.as_deref() == Some(name)).count() > 1 {
        return Err(Refusal::new(format!("container {name}: name"), "given twice"));
    }
    let Some(image) = definition.image.clone().filter(|image| !image.is_empty()) else {
        return Err(Refusal::new(format!("container {name}: image"), "missing"));
    };
    let has_network = order.network_mode != Some(ecs::NetworkMode::None);
    refuse::check_container(name, definition, has_network)?;
    let id = container_id(order.task_id(), index);
    let writer =
        Writer { name, task_id: order.task_id(), runtime_id: id.as_str(), region: &node.region };
    let (log, log_mode) = logs::log(writer, definition.log_configuration.as_ref())?;
    let mut template = blank(&id, order.task_id(), log_mode);
    container::fill(&mut template, definition);
    template.limits = container::limits(name, definition)?;
    template.mounts = mounts::mounts(order, definition, volumes)?;
    template.health = match &definition.health_check {
        Some(check) => health::probe(name, check)?,
        None => None,
    };
    let stop_timeout = seconds(definition.stop_timeout).unwrap_or(node.stop_timeout);
    Ok(ContainerPlan {
        name: name.to_owned(),
        id,
        image,
        essential: definition.essential != Some(false),
        depends_on: dependencies(order, index)?,
        start_timeout: seconds(definition.start_timeout).filter(|t| !t.is_zero()),
        stop_timeout,
        restart: restart(definition.restart_policy.as_ref()),
        log,
        port_count: 0,
        template,
        launch: container::launch(definition, &node.region),
    })
}

fn seconds(value: Option<i32>) -> Option<Duration> {
    value.and_then(|v| u64::try_from(v).ok()).map(Duration::from_secs)
}

/// A specification that asks for nothing.
fn blank(id: &ContainerId, sandbox: &str, log: LogMode) -> ContainerSpec {
    ContainerSpec {
        id: id.clone(),
        sandbox: SandboxId::new(sandbox),
        image: String::new(),
        args: Vec::new(),
        env: Vec::new(),
        cwd: String::new(),
        user: String::new(),
        groups: Vec::new(),
        hostname: String::new(),
        mounts: Vec::new(),
        cap_add: Vec::new(),
        cap_drop: Vec::new(),
        privileged: false,
        readonly_root: false,
        no_new_privileges: false,
        init: false,
        tty: false,
        open_stdin: false,
        limits: Limits::default(),
        ulimits: Vec::new(),
        sysctls: BTreeMap::new(),
        shm_bytes: None,
        devices: Vec::new(),
        hosts: Vec::new(),
        dns_servers: Vec::new(),
        dns_search: Vec::new(),
        address: None,
        health: None,
        log,
        stop_signal: String::new(),
        network: runtime::ContainerNetwork::default(),
        ports: Vec::new(),
        swappiness: None,
        seccomp: runtime::Seccomp::default(),
        apparmor: None,
        labels: BTreeMap::new(),
    }
}

fn restart(policy: Option<&ecs::ContainerRestartPolicy>) -> Option<RestartPolicy> {
    let policy = policy.filter(|policy| policy.enabled == Some(true))?;
    Some(RestartPolicy {
        ignored_exit_codes: policy.ignored_exit_codes.iter().flatten().copied().collect(),
        attempt_period: seconds(policy.restart_attempt_period)
            .unwrap_or(Duration::from_secs(RESTART_PERIOD)),
    })
}

fn dependencies(order: &Order, index: usize) -> Result<Vec<Dependency>, Refusal> {
    let definition = order.containers.get(index);
    let wanted = definition.and_then(|d| d.depends_on.as_ref()).into_iter().flatten();
    wanted
        .map(|wanted| {
            let other = wanted.container_name.as_deref().unwrap_or_default();
            let wrong = |why: String| {
                Refusal::new(format!("container {}: dependsOn", name_of(order, index)), why)
            };
            let container = order
                .containers
                .iter()
                .position(|c| c.name.as_deref() == Some(other))
                .ok_or_else(|| wrong(format!("the task has no container \"{other}\"")))?;
            let condition = match &wanted.condition {
                Some(ecs::ContainerCondition::Start) => Condition::Start,
                Some(ecs::ContainerCondition::Complete) => Condition::Complete,
                Some(ecs::ContainerCondition::Success) => Condition::Success,
                Some(ecs::ContainerCondition::Healthy) => Condition::Healthy,
                other => {
                    let word = other.as_ref().map_or("", |c| c.as_str());
                    return Err(wrong(format!("\"{word}\" is not a condition")));
                }
            };
            Ok(Dependency { container, condition })
        })
        .collect()
}

/// Refuses containers that wait for each other in a circle: none of them could ever start.
fn acyclic(containers: &[ContainerPlan]) -> Result<(), Refusal> {
    let mut settled = BTreeSet::new();
    loop {
        let before = settled.len();
        for (index, plan) in containers.iter().enumerate() {
            if plan.depends_on.iter().all(|d| settled.contains(&d.container)) {
                settled.insert(index);
            }
        }
        if settled.len() == containers.len() {
            return Ok(());
        }
        if settled.len() == before {
            let stuck = containers.iter().enumerate().find(|(index, _)| !settled.contains(index));
            let name = stuck.map_or("", |(_, plan)| plan.name.as_str());
            let member = format!("container {name}: dependsOn");
            return Err(Refusal::new(member, "containers wait for each other in a circle"));
        }
    }
}

/// The ports of one container that are reached from outside.
fn port_requests(order: &Order, index: usize, mode: Mode) -> Result<Vec<PortRequest>, Refusal> {
    let name = name_of(order, index);
    let wrong = |member: &str, why: String| {
        Refusal::new(format!("container {name}: portMappings.{member}"), why)
    };
    let mappings = order.containers.get(index).and_then(|c| c.port_mappings.as_ref());
    let mut requests = Vec::new();
    for mapping in mappings.into_iter().flatten() {
        if mapping.container_port_range.is_some() {
            return Err(Refusal::unbuilt(format!(
                "container {name}: portMappings.containerPortRange"
            )));
        }
        let container_port = port(mapping.container_port)
            .ok_or_else(|| wrong("containerPort", "not a port between 1 and 65535".to_owned()))?;
        let host_port =
            match mapping.host_port {
                None | Some(0) => None,
                given => Some(port(given).ok_or_else(|| {
                    wrong("hostPort", "not a port between 0 and 65535".to_owned())
                })?),
            };
        let protocol = match &mapping.protocol {
            None | Some(ecs::TransportProtocol::Tcp) => Protocol::Tcp,
            Some(ecs::TransportProtocol::Udp) => Protocol::Udp,
            Some(other) => {
                return Err(wrong("protocol", format!("\"{other}\" is neither tcp nor udp")));
            }
        };
        if mode == Mode::Host && host_port.is_some_and(|host| host != container_port) {
            let why = "with networkMode host it must be the container's port".to_owned();
            return Err(wrong("hostPort", why));
        }
        if mode != Mode::None {
            requests.push(PortRequest { container_port, host_port, protocol, host_ip: None });
        }
    }
    Ok(requests)
}

fn port(value: Option<i32>) -> Option<u16> {
    value.and_then(|v| u16::try_from(v).ok()).filter(|v| *v > 0)
}

/// What tells a sandbox's task on the node, in the ECS agent's own labels; a container's
/// `dockerLabels` follow under its name.
fn labels(order: &Order) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = [
        (TASK_ARN_LABEL, &order.arn),
        ("com.amazonaws.ecs.cluster", &order.cluster),
        ("com.amazonaws.ecs.task-definition-family", &order.family),
        ("com.amazonaws.ecs.task-definition-version", &order.version),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.clone()))
    .collect();
    for definition in &order.containers {
        let name = definition.name.as_deref().unwrap_or_default();
        for (key, value) in definition.docker_labels.iter().flatten() {
            labels.insert(format!("container/{name}/{key}"), value.clone());
        }
    }
    labels
}

/// Limits over all containers: the task's own where given. Its vCPUs are a ceiling; without them
/// its weight is the sum of its containers'.
fn limits(order: &Order) -> Limits {
    let shares = order
        .containers
        .iter()
        .map(|c| c.cpu.and_then(|cpu| u64::try_from(cpu).ok()).unwrap_or(0).max(2))
        .fold(0_u64, u64::saturating_add);
    let cpu_millis = order.cpu.filter(|cpu| *cpu > 0.0).map(millis);
    Limits {
        memory_bytes: order
            .memory
            .and_then(|v| u64::try_from(v).ok())
            .filter(|v| *v > 0)
            .map(|v| v.saturating_mul(1 << 20)),
        memory_swap_bytes: None,
        memory_reservation_bytes: None,
        cpu_shares: if cpu_millis.is_some() { None } else { Some(shares) },
        cpu_millis,
        pids: None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and the figure is positive"
)]
fn millis(vcpus: f64) -> u64 {
    (vcpus * 1000.0).round() as u64
}
