//! One container: from its definition and its image to what the runtime starts.

use std::collections::BTreeMap;

use aws::ecs;
use runtime::{ContainerSpec, ImageConfig, Limits};

use super::{ContainerPlan, Launch, Refusal, refuse};

/// ECS passes no less to the kernel, and so much where nothing is given.
const MIN_CPU_SHARES: u64 = 2;

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
    address: Option<String>,
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
    Ok(ContainerSpec {
        image: image_id.to_owned(),
        args,
        env: environment(&image.env, &launch.environment),
        cwd: if cwd.is_empty() { "/".to_owned() } else { cwd },
        user: or_image(&launch.user, &image.user),
        address,
        stop_signal: image.stop_signal.clone(),
        ..plan.template.clone()
    })
}

/// The image's environment with the ordered one over it; a name keeps its first place.
fn environment(image: &[String], ordered: &[(String, String)]) -> Vec<String> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut all: Vec<(&str, &str)> = Vec::new();
    let from_image = image.iter().map(|line| line.split_once('=').unwrap_or((line, "")));
    let from_order = ordered.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in from_image.chain(from_order) {
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
pub(super) fn launch(definition: &ecs::ContainerDefinition, region: &str) -> Launch {
    let list = |words: &Option<Vec<String>>| words.clone().filter(|words| !words.is_empty());
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut environment: Vec<(String, String)> = definition
        .environment
        .iter()
        .flatten()
        .map(|pair| (pair.name.clone().unwrap_or_default(), pair.value.clone().unwrap_or_default()))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    // What the agent itself adds; the task definition's own value stands.
    for (name, value) in [
        ("AWS_EXECUTION_ENV", "AWS_ECS_EC2"),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
    ] {
        if !environment.iter().any(|(known, _)| known == name) {
            environment.push((name.to_owned(), value.to_owned()));
        }
    }
    Launch {
        entry_point: list(&definition.entry_point),
        command: list(&definition.command),
        working_dir: text(&definition.working_directory),
        user: text(&definition.user),
        environment,
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
    spec.no_new_privileges = definition
        .docker_security_options
        .iter()
        .flatten()
        .any(|option| refuse::is_no_new_privileges(option));
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
