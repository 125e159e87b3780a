//! The Docker Engine documents that AWS's stock agent merges over what it builds: everything of a
//! container that the agent's own payload has no member for. Wharf's agent does not read them.
//! <https://docs.docker.com/reference/api/engine/version/v1.25/#tag/Container/operation/ContainerCreate>

use std::collections::BTreeMap;

use aws::ecs::{ContainerDefinition, LinuxParameters, NetworkMode, TaskDefinition};
use serde::Serialize;

const MIB: i64 = 1 << 20;
const NANOS: i64 = 1_000_000_000;

/// Docker's `Config`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tty: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_stdin: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_disabled: Option<bool>,
}

/// Docker's health check; times in nanoseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Healthcheck {
    test: Vec<String>,
    interval: i64,
    timeout: i64,
    retries: i32,
    start_period: i64,
}

/// Docker's `HostConfig`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HostConfig {
    network_mode: String,
    cap_add: Vec<String>,
    cap_drop: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_config: Option<LogConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ulimits: Vec<Ulimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    privileged: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    init: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shm_size: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<Device>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tmpfs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sysctls: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dns: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dns_search: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extra_hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    security_opt: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    readonly_rootfs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_reservation: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_swap: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_swappiness: Option<i32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LogConfig {
    r#type: String,
    config: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ulimit {
    name: String,
    soft: i32,
    hard: i32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Device {
    path_on_host: String,
    path_in_container: String,
    cgroup_permissions: String,
}

/// The container's `Config`.
pub(crate) fn config(container: &ContainerDefinition) -> Config {
    Config {
        user: container.user.clone(),
        working_dir: container.working_directory.clone(),
        labels: container.docker_labels.clone(),
        hostname: container.hostname.clone(),
        tty: container.pseudo_terminal,
        open_stdin: container.interactive,
        healthcheck: container.health_check.as_ref().map(|check| Healthcheck {
            test: check.command.clone().unwrap_or_default(),
            interval: i64::from(check.interval.unwrap_or(30)) * NANOS,
            timeout: i64::from(check.timeout.unwrap_or(5)) * NANOS,
            retries: check.retries.unwrap_or(3),
            start_period: i64::from(check.start_period.unwrap_or(0)) * NANOS,
        }),
        network_disabled: container.disable_networking.filter(|disabled| *disabled),
    }
}

/// The container's `HostConfig`. `log_options` are the container's log driver and its options as
/// this task uses them.
pub(crate) fn host_config(
    definition: &TaskDefinition,
    container: &ContainerDefinition,
    log_options: Option<(String, BTreeMap<String, String>)>,
) -> HostConfig {
    let linux = container.linux_parameters.clone().unwrap_or_default();
    let hosts = container.extra_hosts.iter().flatten();
    HostConfig {
        network_mode: match &definition.network_mode {
            _ if container.disable_networking == Some(true) => "none".to_owned(),
            None | Some(NetworkMode::Bridge) => "bridge".to_owned(),
            Some(mode) => mode.as_str().to_owned(),
        },
        cap_add: linux.capabilities.clone().and_then(|c| c.add).unwrap_or_default(),
        cap_drop: linux.capabilities.clone().and_then(|c| c.drop).unwrap_or_default(),
        log_config: log_options.map(|(r#type, config)| LogConfig { r#type, config }),
        ulimits: ulimits(container),
        privileged: container.privileged,
        init: linux.init_process_enabled,
        shm_size: linux.shared_memory_size.map(|mib| i64::from(mib) * MIB),
        devices: devices(&linux),
        tmpfs: tmpfs(&linux),
        sysctls: container
            .system_controls
            .iter()
            .flatten()
            .filter_map(|s| Some((s.namespace.clone()?, s.value.clone()?)))
            .collect(),
        dns: container.dns_servers.clone().unwrap_or_default(),
        dns_search: container.dns_search_domains.clone().unwrap_or_default(),
        extra_hosts: hosts
            .filter_map(|h| Some(format!("{}:{}", h.hostname.as_ref()?, h.ip_address.as_ref()?)))
            .collect(),
        security_opt: container.docker_security_options.clone().unwrap_or_default(),
        readonly_rootfs: container.readonly_root_filesystem,
        memory_reservation: container.memory_reservation.map(|mib| i64::from(mib) * MIB),
        memory_swap: memory_swap(container),
        // ECS: without maxSwap the container has its instance's settings.
        memory_swappiness: linux.max_swap.and(linux.swappiness),
    }
}

/// Memory and swap together, as Docker counts: of a container that says how much swap it may have.
fn memory_swap(container: &ContainerDefinition) -> Option<i64> {
    let swap = container.linux_parameters.as_ref()?.max_swap?;
    Some((i64::from(container.memory?) + i64::from(swap)) * MIB)
}

fn ulimits(container: &ContainerDefinition) -> Vec<Ulimit> {
    let limits = container.ulimits.iter().flatten();
    limits
        .filter_map(|limit| {
            Some(Ulimit {
                name: limit.name.as_ref()?.as_str().to_owned(),
                soft: limit.soft_limit?,
                hard: limit.hard_limit?,
            })
        })
        .collect()
}

fn devices(linux: &LinuxParameters) -> Vec<Device> {
    let devices = linux.devices.iter().flatten();
    devices
        .filter_map(|device| {
            let path_on_host = device.host_path.clone()?;
            let permissions = device.permissions.iter().flatten().map(|p| match p.as_str() {
                "read" => 'r',
                "write" => 'w',
                _ => 'm',
            });
            let cgroup_permissions: String = permissions.collect();
            Some(Device {
                path_in_container: device.container_path.clone().unwrap_or(path_on_host.clone()),
                path_on_host,
                cgroup_permissions: if cgroup_permissions.is_empty() {
                    "rwm".to_owned()
                } else {
                    cgroup_permissions
                },
            })
        })
        .collect()
}

fn tmpfs(linux: &LinuxParameters) -> BTreeMap<String, String> {
    let mounts = linux.tmpfs.iter().flatten();
    mounts
        .filter_map(|mount| {
            let size = mount.size.map(|mib| format!("size={mib}m"));
            let options = size.into_iter().chain(mount.mount_options.clone().unwrap_or_default());
            Some((mount.container_path.clone()?, options.collect::<Vec<_>>().join(",")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws::ecs::{HealthCheck, KernelCapabilities, Tmpfs};

    #[test]
    fn what_the_payload_has_no_member_for_goes_to_docker() {
        let container = ContainerDefinition {
            user: Some("1000:1000".into()),
            health_check: Some(HealthCheck {
                command: Some(vec!["CMD-SHELL".into(), "true".into()]),
                interval: Some(5),
                ..Default::default()
            }),
            memory_reservation: Some(64),
            linux_parameters: Some(LinuxParameters {
                capabilities: Some(KernelCapabilities {
                    add: Some(vec!["NET_ADMIN".into()]),
                    ..Default::default()
                }),
                tmpfs: Some(vec![Tmpfs {
                    container_path: Some("/scratch".into()),
                    size: Some(16),
                    mount_options: Some(vec!["noexec".into()]),
                }]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let definition =
            TaskDefinition { network_mode: Some(NetworkMode::Host), ..Default::default() };
        let host = host_config(&definition, &container, None);
        assert_eq!(
            serde_json::to_string(&host).unwrap(),
            r#"{"NetworkMode":"host","CapAdd":["NET_ADMIN"],"CapDrop":[],"Tmpfs":{"/scratch":"size=16m,noexec"},"MemoryReservation":67108864}"#
        );
        assert_eq!(
            serde_json::to_string(&config(&container)).unwrap(),
            r#"{"User":"1000:1000","Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000,"Timeout":5000000000,"Retries":3,"StartPeriod":0}}"#
        );
    }
}
