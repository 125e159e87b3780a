//! A container instance: a node that has joined a cluster.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{InstanceKey, Resources, Tags};

/// A container instance. What remains of its resources is a fold over its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Where it is found.
    pub key: InstanceKey,
    /// Whether it takes tasks.
    pub status: InstanceStatus,
    /// Whether it registered as external (`ecs.capability.external`).
    pub external: bool,
    /// The id that the node gave for itself, such as an EC2 instance id.
    pub ec2_instance_id: Option<String>,
    /// Where its published ports are reached, once it has told: from where it registered, or what
    /// its attribute `wharf.address` says.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// What it registered. Its ports are those that the host itself uses.
    pub registered: Resources,
    /// Attributes: those that the agent sent and those that users put.
    pub attributes: Vec<Attribute>,
    /// Its agent, as last heard of.
    pub agent: AgentInfo,
    /// Its tags.
    pub tags: Tags,
    /// When it first registered.
    pub registered_at: Timestamp,
    /// Grows by one with each change.
    pub version: u64,
}

/// Whether an instance takes tasks. A deregistered one is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceStatus {
    /// Takes tasks.
    Active,
    /// Takes none; its service tasks are replaced elsewhere and stopped.
    Draining,
}

/// A name, with or without a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value; none is not the empty text for users, though the agent treats them alike.
    pub value: Option<String>,
}

/// What is known of the node's agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// Whether its session stands. False for all after a restart of the server, until they return.
    pub connected: bool,
    /// When that last changed.
    pub connected_changed_at: Option<Timestamp>,
    /// Its version, from the session's handshake.
    pub version: Option<String>,
    /// Its commit.
    pub hash: Option<String>,
    /// What runs its containers.
    pub docker_version: Option<String>,
}

impl Instance {
    /// By what it is named as a target: the id that its node gave for itself, else its own.
    pub fn target_id(&self) -> &str {
        self.ec2_instance_id.as_deref().unwrap_or(self.key.instance.as_str())
    }

    /// The value of an attribute; the outer option tells whether it has the attribute at all.
    pub fn attribute(&self, name: &str) -> Option<Option<&str>> {
        self.attributes.iter().find(|a| a.name == name).map(|a| a.value.as_deref())
    }
}
