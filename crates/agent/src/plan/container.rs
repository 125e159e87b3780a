//! One container: from its definition and its image to what the runtime starts.

use std::collections::BTreeMap;

use aws::ecs;
use runtime::{ContainerSpec, ImageConfig, Limits, LogMode, PublishedPort};

use super::{ContainerPlan, GivenContainer, Launch, Refusal};

/// ECS passes no less to the kernel, and so much where nothing is given.
const MIN_CPU_SHARES: u64 = 2;

/// What a container's start knows beside its plan and its image.
#[derive(Clone, Debug, Default)]
pub struct Circumstances<'a> {
    /// The address of its own, if it has one.
    pub address: Option<String>,
    /// Further `(host name, address)` lines.
    pub hosts: Vec<(String, String)>,
    /// Variables that tell of linked containers; any other takes their place.
    pub linked: Vec<(String, String)>,
    /// Variables of the agent's own, which nothing takes the place of.
    pub environment: Vec<(String, String)>,
    /// What was fetched for it.
    pub given: Option<&'a GivenContainer>,
    /// Ports for a runtime that publishes them itself.
    pub ports: Vec<PublishedPort>,
}

/// What to start: the plan, completed by what the image says of how to run it.
///
/// As Docker has it, an ordered entry point takes the place of the image's and of its default
/// arguments; an ordered command takes the place of the default arguments alone.
///
/// # Errors
/// Neither the order nor the image names a program.
pub fn container_spec(
    plan: &ContainerPlan,
    image_id: &str,
    image: &ImageConfig,
    at: Circumstances<'_>,
) -> Result<ContainerSpec, Refusal> {
    let launch = &plan.launch;
    let mut args = launch.entry_point.clone().unwrap_or_else(|| image.entrypoint.clone());
    match (&launch.command, &launch.entry_point) {
        (Some(command), _) => args.extend(command.iter().cloned()),
        (None, None) => args.extend(image.cmd.iter().cloned()),
        (None, Some(_)) => {}
    }
    if args.is_empty() {
        return Err(Refusal::new(
            format!("container {}: command", plan.name),
            format!("neither the task definition nor image {} names a program", plan.image),
        ));
    }
    let or_image =
        |ordered: &Option<String>, image: &str| ordered.clone().unwrap_or_else(|| image.to_owned());
    let cwd = or_image(&launch.working_dir, &image.working_dir);
    let mut spec = ContainerSpec {
        image: image_id.to_owned(),
        args,
        env: environment(&image.env, launch, &at),
        cwd: if cwd.is_empty() { "/".to_owned() } else { cwd },
        user: or_image(&launch.user, &image.user),
        address: at.address,
        stop_signal: image.stop_signal.clone(),
        ports: at.ports,
        ..plan.template.clone()
    };
    spec.hosts.extend(at.hosts);
    if let LogMode::Driver { options, .. } = &mut spec.log {
        options.extend(at.given.iter().flat_map(|given| given.log_options.iter().cloned()));
    }
    Ok(spec)
}

/// The environment as ECS puts it together: over the image's variables those of files, the first
/// file that names one; over them the task definition's; over them secrets; over them the agent's
/// own. A name keeps its first place.
fn environment(image: &[String], launch: &Launch, at: &Circumstances<'_>) -> Vec<String> {
    let files = at.given.map(|given| given.env_files.as_slice()).unwrap_or_default();
    let secrets = at.given.map(|given| given.environment.as_slice()).unwrap_or_default();
    let ordered = || files.iter().rev().flatten().chain(&launch.environment).chain(secrets);
    let unnamed =
        launch.defaults.iter().filter(|(name, _)| ordered().all(|(known, _)| known != name));
    let linked = at.linked.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let image = image.iter().map(|line| line.split_once('=').unwrap_or((line, "")));
    let rest = ordered().chain(unnamed).chain(&at.environment);
    let rest = rest.map(|(name, value)| (name.as_str(), value.as_str()));
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut all: Vec<(&str, &str)> = Vec::new();
    for (name, value) in linked.chain(image).chain(rest) {
        let place = *places.entry(name).or_insert_with(|| {
            all.push((name, value));
            all.len() - 1
        });
        if let Some(entry) = all.get_mut(place) {
            entry.1 = value;
        }
    }
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// What is ordered of program, user and environment.
pub(super) fn launch(
    definition: &ecs::ContainerDefinition,
    region: &str,
    on_fargate: bool,
) -> Launch {
    let list = |words: &Option<Vec<String>>| words.clone().filter(|words| !words.is_empty());
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let environment: Vec<(String, String)> = definition
        .environment
        .iter()
        .flatten()
        .map(|pair| (pair.name.clone().unwrap_or_default(), pair.value.clone().unwrap_or_default()))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    let defaults = [
        ("AWS_EXECUTION_ENV", if on_fargate { "AWS_ECS_FARGATE" } else { "AWS_ECS_EC2" }),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
    ];
    Launch {
        entry_point: list(&definition.entry_point),
        command: list(&definition.command),
        working_dir: text(&definition.working_directory),
        user: text(&definition.user),
        environment,
        defaults: defaults.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
    }
}

/// MiB to bytes; nothing and zero are no limit.
fn mib(value: Option<i32>) -> Option<u64> {
    value.and_then(|v| u64::try_from(v).ok()).filter(|v| *v > 0).map(|v| v << 20)
}

/// Limits of the container's own cgroup.
pub(super) fn limits(name: &str, definition: &ecs::ContainerDefinition) -> Result<Limits, Refusal> {
    let memory_bytes = mib(definition.memory);
    let max_swap = definition.linux_parameters.as_ref().and_then(|linux| linux.max_swap);
    let memory_swap_bytes = match (max_swap, memory_bytes) {
        (None, _) => None,
        (Some(swap), Some(memory)) if swap >= 0 => {
            Some(memory.saturating_add(u64::try_from(swap).unwrap_or(0) << 20))
        }
        (Some(_), _) => {
            let member = format!("container {name}: linuxParameters.maxSwap");
            return Err(Refusal::new(
                member,
                "needs the container's memory, and must not be negative",
            ));
        }
    };
    let shares = definition.cpu.and_then(|cpu| u64::try_from(cpu).ok()).unwrap_or(0);
    Ok(Limits {
        memory_bytes,
        memory_swap_bytes,
        memory_reservation_bytes: mib(definition.memory_reservation),
        cpu_shares: Some(shares.max(MIN_CPU_SHARES)),
        cpu_millis: None,
        pids: None,
    })
}

/// Everything of the specification that asks for no decision: copied into `spec` as it is.
pub(super) fn fill(spec: &mut ContainerSpec, definition: &ecs::ContainerDefinition) {
    spec.hostname = definition.hostname.clone().unwrap_or_default();
    spec.privileged = definition.privileged == Some(true);
    spec.readonly_root = definition.readonly_root_filesystem == Some(true);
    spec.tty = definition.pseudo_terminal == Some(true);
    spec.open_stdin = definition.interactive == Some(true);
    spec.dns_servers = definition.dns_servers.clone().unwrap_or_default();
    spec.dns_search = definition.dns_search_domains.clone().unwrap_or_default();
    spec.hosts = definition
        .extra_hosts
        .iter()
        .flatten()
        .map(|host| {
            (host.hostname.clone().unwrap_or_default(), host.ip_address.clone().unwrap_or_default())
        })
        .collect();
    spec.sysctls = definition
        .system_controls
        .iter()
        .flatten()
        .map(|control| {
            (
                control.namespace.clone().unwrap_or_default(),
                control.value.clone().unwrap_or_default(),
            )
        })
        .collect();
    spec.ulimits = definition.ulimits.iter().flatten().filter_map(ulimit).collect();
    if let Some(linux) = &definition.linux_parameters {
        fill_linux(spec, linux);
    }
}

/// `-1` is no limit.
fn ulimit(limit: &ecs::Ulimit) -> Option<(String, u64, u64)> {
    let value = |v: Option<i32>| u64::try_from(v.unwrap_or(-1)).unwrap_or(u64::MAX);
    let name = limit.name.as_ref()?.as_str().to_owned();
    Some((name, value(limit.soft_limit), value(limit.hard_limit)))
}

fn fill_linux(spec: &mut ContainerSpec, linux: &ecs::LinuxParameters) {
    spec.init = linux.init_process_enabled == Some(true);
    spec.shm_bytes = mib(linux.shared_memory_size);
    spec.swappiness = linux.swappiness.and_then(|value| u8::try_from(value).ok());
    if let Some(capabilities) = &linux.capabilities {
        spec.cap_add = capabilities.add.clone().unwrap_or_default();
        spec.cap_drop = capabilities.drop.clone().unwrap_or_default();
    }
    spec.devices = linux.devices.iter().flatten().map(device).collect();
}

/// A device keeps its path and gets every permission where nothing else is said.
fn device(device: &ecs::Device) -> (String, String, String) {
    let host = device.host_path.clone().unwrap_or_default();
    let inside = device.container_path.clone().unwrap_or_else(|| host.clone());
    let mut rights = String::new();
    for permission in device.permissions.iter().flatten() {
        match permission {
            ecs::DeviceCgroupPermission::Read => rights.push('r'),
            ecs::DeviceCgroupPermission::Write => rights.push('w'),
            ecs::DeviceCgroupPermission::Mknod => rights.push('m'),
            ecs::DeviceCgroupPermission::Unrecognized(_) => {}
        }
    }
    if rights.is_empty() {
        rights.push_str("rwm");
    }
    (host, inside, rights)
}
