//! The task as a whole: its sandbox, its network, its containers and what they wait for.

use std::collections::BTreeMap;
use std::time::Duration;

use aws::ecs;
use net::OwnAddress;
use runtime::{
    ContainerId, ContainerNetwork, ContainerSpec, IpcMode, Limits, LogMode, NetworkMode, PidMode,
    SandboxId, SandboxSpec,
};

use super::logs::Writer;
use super::volumes::Volumes;
use super::{ContainerPlan, NetworkPlan, NodeFacts, Refusal, RestartPolicy, TaskPlan};
use super::{
    container, depends, devices, firelens, health, logs, mounts, needs, ports, refuse, security,
    volumes,
};
use crate::order::{Interface, Order};

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
    let volumes = volumes::volumes(order, &node.volumes_dir.join(&id), node)?;
    let network = network(order, node)?;
    let mut containers = (0..order.containers.len())
        .map(|index| one(order, index, network, &volumes, node))
        .collect::<Result<Vec<_>, _>>()?;
    firelens::join(order, &mut containers, network, node)?;
    depends::acyclic(&containers)?;
    place(&mut containers, network);
    let sandbox = SandboxSpec {
        id: SandboxId::new(id.clone()),
        labels: labels(order),
        network: match network {
            NetworkPlan::Host => NetworkMode::Host,
            NetworkPlan::Bridge
            | NetworkPlan::Runtime
            | NetworkPlan::Own(_)
            | NetworkPlan::None => NetworkMode::Private,
        },
        limits: limits(order),
        pid: pid_mode(order)?,
        ipc: ipc_mode(order)?,
        hardened: order.on_fargate(),
    };
    Ok(TaskPlan {
        order: order.clone(),
        id,
        sandbox,
        network,
        containers,
        own_volumes: volumes.folders,
        volumes: volumes.made,
    })
}

fn network(order: &Order, node: &NodeFacts) -> Result<NetworkPlan, Refusal> {
    match &order.network_mode {
        None | Some(ecs::NetworkMode::Bridge) if node.runtime_networks => Ok(NetworkPlan::Runtime),
        None | Some(ecs::NetworkMode::Bridge) => Ok(NetworkPlan::Bridge),
        Some(ecs::NetworkMode::Host) => Ok(NetworkPlan::Host),
        Some(ecs::NetworkMode::None) => Ok(NetworkPlan::None),
        Some(ecs::NetworkMode::Awsvpc) if node.runtime_networks => Err(Refusal::new(
            "networkMode awsvpc",
            "the container runtime of this node wires networks itself and gives no task its own \
             address; use a node with --runtime embedded",
        )),
        Some(ecs::NetworkMode::Awsvpc) => match &order.interface {
            Some(Interface { address, mac, vpc, .. }) => {
                Ok(NetworkPlan::Own(OwnAddress { address: *address, mac: *mac, vpc: *vpc }))
            }
            None => Err(Refusal::new("networkMode awsvpc", "the order names no interface")),
        },
        Some(ecs::NetworkMode::Unrecognized(other)) => Err(Refusal::new(
            format!("networkMode {other}"),
            "not supported on this node; it has awsvpc, bridge, host and none",
        )),
    }
}

/// Gives each container its network: as on Docker's bridge, each has its own. The first that has one
/// has its sandbox's, which stands ready.
fn place(containers: &mut [ContainerPlan], network: NetworkPlan) {
    let mut sandbox_taken = false;
    for plan in containers {
        let cut_off = plan.template.network == ContainerNetwork::None;
        let first = !sandbox_taken;
        sandbox_taken = sandbox_taken || !cut_off;
        plan.template.network = match network {
            NetworkPlan::Host => ContainerNetwork::Sandbox,
            _ if cut_off => ContainerNetwork::None,
            NetworkPlan::Own(_) => ContainerNetwork::Sandbox,
            _ if first => ContainerNetwork::Sandbox,
            NetworkPlan::None => ContainerNetwork::None,
            NetworkPlan::Bridge | NetworkPlan::Runtime => ContainerNetwork::Own,
        };
    }
}

fn pid_mode(order: &Order) -> Result<PidMode, Refusal> {
    match &order.pid_mode {
        None => Ok(PidMode::Container),
        Some(ecs::PidMode::Task) => Ok(PidMode::Sandbox),
        Some(ecs::PidMode::Host) => Ok(PidMode::Host),
        Some(other) => {
            Err(Refusal::new("pidMode", format!("\"{other}\" is neither task nor host")))
        }
    }
}

fn ipc_mode(order: &Order) -> Result<IpcMode, Refusal> {
    match &order.ipc_mode {
        None => Ok(IpcMode::Container),
        Some(ecs::IpcMode::Task) => Ok(IpcMode::Sandbox),
        Some(ecs::IpcMode::Host) => Ok(IpcMode::Host),
        Some(ecs::IpcMode::None) => Ok(IpcMode::None),
        Some(other) => {
            Err(Refusal::new("ipcMode", format!("\"{other}\" is none of task, host and none")))
        }
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
    network: NetworkPlan,
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
    refuse::check_container(name, definition)?;
    let id = container_id(order.task_id(), index);
    let router = firelens::socket(order, node);
    let writer = Writer {
        name,
        task_id: order.task_id(),
        runtime_id: id.as_str(),
        region: &node.region,
        drivers: &node.log_drivers,
        definition: (&order.family, &order.version),
        image: &image,
        router: router.as_deref(),
    };
    let (log, log_mode) = logs::log(writer, definition.log_configuration.as_ref())?;
    let mut template = blank(&id, order.task_id(), log_mode);
    container::fill(&mut template, definition);
    security::fill(&mut template, definition)?;
    if let Some(interface) = &order.interface {
        template.hostname.clone_from(&interface.dns_name);
    }
    template.labels = container_labels(order, definition);
    if definition.disable_networking == Some(true) {
        template.network = ContainerNetwork::None;
    }
    template.limits = container::limits(name, definition)?;
    template.mounts = mounts::mounts(order, definition, volumes)?;
    template.health = match &definition.health_check {
        Some(check) => health::probe(name, check)?,
        None => None,
    };
    let mut launch = container::launch(definition, &node.region, order.on_fargate());
    devices::fill(&mut template, &mut launch, (order, name), node)?;
    let stop_timeout = seconds(definition.stop_timeout).unwrap_or(node.stop_timeout);
    let bridge = matches!(network, NetworkPlan::Bridge | NetworkPlan::Runtime);
    let links = depends::links(order, name, bridge)?;
    Ok(ContainerPlan {
        name: name.to_owned(),
        id,
        image,
        essential: definition.essential != Some(false),
        depends_on: depends::dependencies(order, name, &links)?,
        start_timeout: seconds(definition.start_timeout).filter(|t| !t.is_zero()),
        stop_timeout,
        restart: restart(definition.restart_policy.as_ref()),
        log,
        router: None,
        routes: None,
        ports: ports::asks(definition, network)?,
        links,
        needs: needs::needs(definition, node)?,
        template,
        launch,
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
        gpus: Vec::new(),
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

/// What tells a sandbox's task on the node, in the ECS agent's own labels.
fn labels(order: &Order) -> BTreeMap<String, String> {
    [
        (TASK_ARN_LABEL, &order.arn),
        ("com.amazonaws.ecs.cluster", &order.cluster),
        ("com.amazonaws.ecs.task-definition-family", &order.family),
        ("com.amazonaws.ecs.task-definition-version", &order.version),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.clone()))
    .collect()
}

/// A container's `dockerLabels`, and over them the ECS agent's five.
fn container_labels(
    order: &Order,
    definition: &ecs::ContainerDefinition,
) -> BTreeMap<String, String> {
    let mut all = definition.docker_labels.clone().unwrap_or_default();
    all.extend(labels(order));
    let name = definition.name.clone().unwrap_or_default();
    all.insert("com.amazonaws.ecs.container-name".to_owned(), name);
    all
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
