//! A task definition: the document as it was registered, and what the rest of Wharf acts upon.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::query::Expression;
use crate::{ContainerName, DefinitionKey, HostPort, Protocol, Resources, Tags};

/// A wire document that only the door and the agent sessions read: here it is opaque bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(pub Arc<[u8]>);

/// One revision of a family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// `family:revision`.
    pub key: DefinitionKey,
    /// Whether new tasks may be started from it.
    pub status: DefinitionStatus,
    /// What was registered, so that it can be described as it was.
    pub document: Document,
    /// What everything else acts upon.
    pub spec: Arc<TaskSpec>,
    /// Its tags.
    pub tags: Tags,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// The ARN of who registered it.
    pub registered_by: String,
    /// When it was deregistered.
    pub deregistered_at: Option<Timestamp>,
    /// When its deletion was asked for.
    #[serde(default)]
    pub delete_requested_at: Option<Timestamp>,
}

/// A task definition's life; it moves one way, down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DefinitionStatus {
    /// May start tasks.
    Active,
    /// Deregistered: what runs goes on, services that use it may go on.
    Inactive,
    /// Deleted, kept only while something still refers to it.
    DeleteInProgress,
}

/// What a task definition asks of placement and of the state machine. How its containers are run is
/// in the document, which goes to the node as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The network that its containers get.
    pub network_mode: NetworkMode,
    /// The launch types it was checked for (`requiresCompatibilities`); empty for EC2.
    pub compatibilities: Vec<LaunchType>,
    /// Limit and reservation of the whole task, in CPU units.
    pub cpu: Option<u32>,
    /// Limit and reservation of the whole task, in MiB.
    pub memory: Option<u32>,
    /// Its containers, in the order of the document.
    pub containers: Vec<ContainerSpec>,
    /// Where its tasks may be placed.
    pub constraints: Vec<PlacementConstraint>,
    /// Attributes that an instance must have: `name`, or `name=value`.
    pub required_attributes: Vec<String>,
}

/// What a container asks of placement and of the state machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Its name in the task.
    pub name: ContainerName,
    /// The image reference as written.
    pub image: String,
    /// Whether the task ends with it.
    pub essential: bool,
    /// CPU units; zero if not given.
    pub cpu: u32,
    /// Hard limit in MiB.
    pub memory: Option<u32>,
    /// Soft limit in MiB.
    pub memory_reservation: Option<u32>,
    /// Its published ports.
    pub ports: Vec<PortMapping>,
    /// Whether it has a health check, so that the task's health depends on it.
    pub has_health_check: bool,
    /// How many GPUs are its own.
    #[serde(default)]
    pub gpus: u32,
}

/// A published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// In the container.
    pub container_port: u16,
    /// On the host; `None` for one chosen by the node.
    pub host_port: Option<u16>,
    /// Its transport.
    pub protocol: Protocol,
}

/// The network of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// A private network with published ports.
    Bridge,
    /// The instance's own.
    Host,
    /// Loopback only.
    None,
    /// An address of its own.
    Awsvpc,
}

/// Where a task's capacity comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LaunchType {
    /// A container instance of the cluster.
    Ec2,
    /// Capacity without instances.
    Fargate,
    /// A container instance that registered as external.
    External,
}

/// A rule that an instance must satisfy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlacementConstraint {
    /// Each task of the group on an instance of its own.
    DistinctInstance,
    /// The instance satisfies an expression of the cluster query language.
    MemberOf(Expression),
}

/// How to choose among the instances that fit; strategies apply from left to right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlacementStrategy {
    /// Evenly over the values of a field.
    Spread(SpreadField),
    /// The fullest by CPU that still fits.
    BinpackCpu,
    /// The fullest by memory that still fits.
    BinpackMemory,
    /// Any.
    Random,
}

/// What tasks are spread over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpreadField {
    /// Instances (`instanceId`, `host`).
    Instance,
    /// The values of an attribute, such as `ecs.availability-zone`.
    Attribute(String),
}

impl TaskSpec {
    /// What placing one task reserves on an instance: the task's own figures where given, else the
    /// sum over its containers (the soft memory limit before the hard one), and every host port
    /// asked for by number. Which GPUs it will have is settled when it is placed. With the instance's own network a container's port is a host port.
    pub fn reservation(&self) -> Resources {
        let sum = |of: fn(&ContainerSpec) -> u32| {
            self.containers.iter().fold(0_u32, |total, c| total.saturating_add(of(c)))
        };
        Resources {
            cpu: self.cpu.unwrap_or_else(|| sum(|c| c.cpu)),
            memory: self
                .memory
                .unwrap_or_else(|| sum(|c| c.memory_reservation.or(c.memory).unwrap_or(0))),
            ports: self.host_ports().collect(),
            gpus: BTreeSet::new(),
        }
    }

    /// How many GPUs each container has for its own.
    pub fn gpus(&self) -> Vec<u32> {
        self.containers.iter().map(|c| c.gpus).collect()
    }

    fn host_ports(&self) -> impl Iterator<Item = HostPort> + '_ {
        let mode = self.network_mode;
        self.containers.iter().flat_map(|c| &c.ports).filter_map(move |mapping| {
            let port = match mode {
                NetworkMode::Bridge => mapping.host_port,
                NetworkMode::Host => Some(mapping.host_port.unwrap_or(mapping.container_port)),
                NetworkMode::None | NetworkMode::Awsvpc => None,
            };
            port.map(|port| HostPort { protocol: mapping.protocol, port })
        })
    }

    /// The container of this name.
    pub fn container(&self, name: &ContainerName) -> Option<&ContainerSpec> {
        self.containers.iter().find(|c| c.name == *name)
    }
}
