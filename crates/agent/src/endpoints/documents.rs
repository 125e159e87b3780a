//! The metadata's JSON, member by member as the ECS agent writes it: versions 2 and 3 have fewer
//! members than version 4, and what is not known is absent.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html>
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v3.html>

use std::collections::BTreeMap;

use aws::ClientError;
use net::PortBinding;
use runtime::Health;
use serde::Serialize;
use stdx::{Timestamp, chain};

use super::directory::Directory;
use super::meta::{ContainerMeta, Phase, TaskMeta, TaskNetwork, VolumeMeta};

/// The version of the endpoint that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// By the container's address.
    V2,
    /// By an id.
    V3,
    /// By an id, with more to tell.
    V4,
}

/// The agent passes no fewer CPU shares to a container, and says so.
const MIN_CPU: i64 = 2;

/// A container.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerDocument {
    docker_id: String,
    name: String,
    docker_name: String,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<PortDocument>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    desired_status: &'static str,
    known_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    limits: ContainerLimits,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthDocument>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<VolumeDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_driver: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    log_options: BTreeMap<String, String>,
    #[serde(rename = "ContainerARN", skip_serializing_if = "Option::is_none")]
    container_arn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<NetworkDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_count: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PortDocument {
    container_port: u16,
    protocol: String,
    #[serde(skip_serializing_if = "is_zero")]
    host_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_ip: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(port: &u16) -> bool {
    *port == 0
}

#[derive(Clone, Debug, Serialize)]
struct ContainerLimits {
    #[serde(rename = "CPU")]
    cpu: i64,
    #[serde(rename = "Memory")]
    memory: i64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_since: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeDocument {
    #[serde(skip_serializing_if = "String::is_empty")]
    docker_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    destination: String,
}

#[derive(Clone, Debug, Serialize)]
struct NetworkDocument {
    #[serde(rename = "NetworkMode")]
    network_mode: &'static str,
    #[serde(rename = "IPv4Addresses")]
    ipv4_addresses: Vec<String>,
    #[serde(flatten)]
    interface: Option<InterfaceDocument>,
}

/// What version 4 tells of an interface that is the task's own.
#[derive(Clone, Debug, Serialize)]
struct InterfaceDocument {
    #[serde(rename = "AttachmentIndex")]
    index: u32,
    #[serde(rename = "MACAddress")]
    mac: String,
    #[serde(rename = "IPv4SubnetCIDRBlock")]
    subnet: String,
    #[serde(rename = "PrivateDNSName")]
    dns_name: String,
    #[serde(rename = "SubnetGatewayIpv4Address")]
    router: String,
}

/// A task.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TaskDocument {
    cluster: String,
    #[serde(rename = "TaskARN")]
    task_arn: String,
    family: String,
    revision: String,
    desired_status: &'static str,
    known_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<TaskLimits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_stopped_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_stopped_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    availability_zone: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    task_tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    container_instance_tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    launch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorDocument>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<ContainerDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault_injection_enabled: Option<bool>,
}

#[derive(Clone, Debug, Serialize)]
struct TaskLimits {
    #[serde(rename = "CPU", skip_serializing_if = "Option::is_none")]
    cpu: Option<serde_json::Number>,
    #[serde(rename = "Memory", skip_serializing_if = "Option::is_none")]
    memory: Option<i64>,
}

/// Why tags are missing.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorDocument {
    error_field: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
    error_message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(rename = "ResourceARN")]
    resource_arn: String,
}

/// Whose tags they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagsOf {
    /// The task's.
    Task,
    /// The container instance's.
    Instance,
}

impl TaskDocument {
    /// The task as that version tells it, without tags.
    pub(super) fn new(task: &TaskMeta, version: Version, directory: &Directory) -> Self {
        let v4 = version == Version::V4;
        let limits = TaskLimits { cpu: task.cpu.and_then(number), memory: task.memory };
        Self {
            cluster: task.cluster.clone(),
            task_arn: task.arn.clone(),
            family: task.family.clone(),
            revision: task.revision.clone(),
            desired_status: task.desired.as_str(),
            known_status: task.known.as_str(),
            limits: (limits.cpu.is_some() || limits.memory.is_some()).then_some(limits),
            pull_started_at: task.pull_started_at.map(Timestamp::rfc3339),
            pull_stopped_at: task.pull_stopped_at.map(Timestamp::rfc3339),
            execution_stopped_at: task.execution_stopped_at.map(Timestamp::rfc3339),
            availability_zone: task.availability_zone.clone(),
            task_tags: BTreeMap::new(),
            container_instance_tags: BTreeMap::new(),
            launch_type: v4.then(|| task.launch_type.as_str()),
            errors: Vec::new(),
            containers: task
                .containers
                .iter()
                .filter(|container| container.known >= Phase::Pulled)
                .map(|container| ContainerDocument::new(task, container, version, directory))
                .collect(),
            service_name: task.service_name.clone().filter(|_| v4),
            // Faults cannot be injected here.
            fault_injection_enabled: v4.then_some(false),
        }
    }

    /// The same with tags, or in version 4 with the reason why there are none.
    pub(super) fn with_tags(
        mut self,
        whose: TagsOf,
        arn: &str,
        tags: &Result<BTreeMap<String, String>, ClientError>,
        version: Version,
    ) -> Self {
        let (field, place) = match whose {
            TagsOf::Task => ("TaskTags", &mut self.task_tags),
            TagsOf::Instance => ("ContainerInstanceTags", &mut self.container_instance_tags),
        };
        match tags {
            Ok(tags) => tags.clone_into(place),
            Err(error) if version == Version::V4 => {
                let service = error.service();
                self.errors.push(ErrorDocument {
                    error_field: field,
                    error_code: service.map(|error| error.code.clone().into_owned()),
                    error_message: service
                        .map_or_else(|| chain(error), |error| error.message.clone()),
                    status_code: service.map(|error| error.status),
                    resource_arn: arn.to_owned(),
                });
            }
            Err(_) => {}
        }
        self
    }
}

impl ContainerDocument {
    /// The container as that version tells it.
    pub(super) fn new(
        task: &TaskMeta,
        container: &ContainerMeta,
        version: Version,
        directory: &Directory,
    ) -> Self {
        let v4 = version == Version::V4;
        let made = container.known >= Phase::Created;
        Self {
            docker_id: if made { container.id.as_str().to_owned() } else { String::new() },
            name: container.name.clone(),
            docker_name: if made { directory.docker_name(task, container) } else { String::new() },
            image: container.image.clone(),
            image_id: container.image_id.clone(),
            ports: container.ports.iter().map(|binding| port(binding, v4)).collect(),
            labels: container.labels.clone(),
            desired_status: container.desired.as_str(),
            known_status: container.known.as_str(),
            exit_code: container.exit_code,
            limits: ContainerLimits { cpu: container.cpu.max(MIN_CPU), memory: container.memory },
            created_at: container.created_at.map(Timestamp::rfc3339),
            started_at: container.started_at.map(Timestamp::rfc3339),
            finished_at: container.finished_at.map(Timestamp::rfc3339),
            r#type: "NORMAL",
            health: container.health.map(|(verdict, since)| health(verdict, since)),
            volumes: container.volumes.iter().map(volume).collect(),
            log_driver: container.log_driver.clone().filter(|_| v4),
            log_options: if v4 { container.log_options.clone() } else { BTreeMap::new() },
            container_arn: container.arn.clone().filter(|_| v4),
            networks: if made { vec![network(task, container, v4)] } else { Vec::new() },
            restart_count: container.restarts.filter(|_| v4),
        }
    }
}

/// A number as Go writes it: without a fraction where it has none.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
fn number(value: f64) -> Option<serde_json::Number> {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Some((value as i64).into());
    }
    serde_json::Number::from_f64(value)
}

fn port(binding: &PortBinding, with_address: bool) -> PortDocument {
    PortDocument {
        container_port: binding.container_port,
        protocol: binding.protocol.to_string(),
        host_port: binding.host_port,
        host_ip: with_address.then(|| binding.bind_ip.to_string()),
    }
}

/// A verdict that is not known yet has no word.
fn health(verdict: Health, since: Option<Timestamp>) -> HealthDocument {
    HealthDocument {
        status: match verdict {
            Health::Unknown => None,
            Health::Healthy => Some("HEALTHY"),
            Health::Unhealthy => Some("UNHEALTHY"),
        },
        status_since: since.map(Timestamp::rfc3339),
    }
}

fn volume(volume: &VolumeMeta) -> VolumeDocument {
    VolumeDocument {
        docker_name: volume.docker_name.clone(),
        source: volume.source.clone(),
        destination: volume.destination.clone(),
    }
}

/// A container without an address of its own has an empty one, as Docker tells it.
fn network(task: &TaskMeta, container: &ContainerMeta, v4: bool) -> NetworkDocument {
    let address = match task.network {
        TaskNetwork::Bridge | TaskNetwork::Own => container.address,
        TaskNetwork::Host | TaskNetwork::None => None,
    };
    NetworkDocument {
        network_mode: task.network.as_str(),
        ipv4_addresses: vec![address.map(|address| address.to_string()).unwrap_or_default()],
        interface: task.interface.as_ref().filter(|_| v4).map(|interface| InterfaceDocument {
            index: 0,
            mac: interface.mac_text(),
            subnet: interface.subnet(),
            dns_name: interface.dns_name.clone(),
            router: format!("{}/{}", interface.router.0, interface.router.1),
        }),
    }
}
