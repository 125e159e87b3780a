//! From what ECS asks to what the runtime does: pure functions from an [`Order`] to a [`TaskPlan`],
//! and from that and an image's configuration to a [`runtime::ContainerSpec`].
//!
//! Invariant: a member that this node does not honour is a [`Refusal`] that names it; nothing is
//! accepted and ignored.

mod container;
mod depends;
pub(crate) mod devices;
mod env_file;
mod firelens;
mod fluentd;
mod health;
mod logs;
mod mounts;
mod needs;
mod ports;
mod refuse;
mod router_config;
mod security;
mod task;
mod volumes;

#[cfg(test)]
mod member_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use net::OwnAddress;
use runtime::{ContainerId, ContainerSpec, SandboxSpec};
use serde::{Deserialize, Serialize};

pub use self::container::{Circumstances, container_spec};
pub use self::depends::Link;
pub use self::env_file::parse as parse_env_file;
pub use self::firelens::{PORT as ROUTER_PORT, RouterPlan};
pub use self::logs::{AwsLogs, Fluent, FluentAddress, LogPlan, MAX_LOG_BYTES};
pub use self::needs::{EnvFile, Given, GivenContainer, Needs, Secret, SecretSource, SecretTarget};
pub use self::ports::{PortAsk, bindings as network_bindings};
pub(crate) use self::task::container_id;
pub use self::task::{TASK_ARN_LABEL, task};
pub use self::volumes::VolumePlan;

use crate::order::Order;

/// What planning needs to know of the node.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// The server's region: the only one that logs can be sent to and secrets taken from.
    pub region: String,
    /// Under it, each task's empty volumes.
    pub volumes_dir: PathBuf,
    /// Under it, what each task's log router has.
    pub firelens_dir: PathBuf,
    /// Grace between SIGTERM and SIGKILL for containers that name none.
    pub stop_timeout: Duration,
    /// Where the file systems are that EFS volumes name, by their ids.
    pub file_systems: BTreeMap<String, FileSystem>,
    /// The log drivers that the container runtime has beside ours.
    pub log_drivers: Vec<String>,
    /// The volume drivers that the container runtime has beside `local`.
    pub volume_drivers: Vec<String>,
    /// Whether the container runtime wires networks and publishes ports by itself.
    pub runtime_networks: bool,
    /// Its GPUs.
    pub gpus: crate::gpu::Gpus,
}

/// An NFS export that stands for an EFS file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// The server's name or address.
    pub host: String,
    /// The exported folder that is the file system's root; absolute.
    pub path: String,
}

/// A task as this node will run it.
#[derive(Clone, Debug)]
pub struct TaskPlan {
    /// What it was made from.
    pub order: Order,
    /// The last part of the task's ARN.
    pub id: String,
    /// The sandbox of all its containers.
    pub sandbox: SandboxSpec,
    /// How it is reached.
    pub network: NetworkPlan,
    /// Its containers, in the order of the task definition.
    pub containers: Vec<ContainerPlan>,
    /// Folders that live as long as the task: `host` volumes without a `sourcePath`.
    pub own_volumes: Vec<PathBuf>,
    /// Volumes that the runtime makes.
    pub volumes: Vec<VolumePlan>,
}

/// How a task is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkPlan {
    /// Each container has a place of its own on the bridge, with published ports.
    Bridge,
    /// The same, and the container runtime sees to it.
    Runtime,
    /// The node's own, with ports that nobody else may have.
    Host,
    /// All its containers share one place on the bridge, with an address of the task's own.
    Own(OwnAddress),
    /// Loopback only.
    None,
}

/// A container as this node will run it.
#[derive(Clone, Debug)]
pub struct ContainerPlan {
    /// Its name in the task.
    pub name: String,
    /// Its name in the runtime: ECS's runtime id.
    pub id: ContainerId,
    /// The image reference as written.
    pub image: String,
    /// Whether the task ends with it.
    pub essential: bool,
    /// What must have happened to others before it starts.
    pub depends_on: Vec<Dependency>,
    /// Others wait at most so long, from its start, for it to complete or become healthy.
    pub start_timeout: Option<Duration>,
    /// Grace between SIGTERM and SIGKILL.
    pub stop_timeout: Duration,
    /// Whether it is started again when it ends.
    pub restart: Option<RestartPolicy>,
    /// Where its output goes.
    pub log: LogPlan,
    /// The log router that its output goes to: another container of the task.
    pub router: Option<usize>,
    /// What it has as the task's log router, if it is that.
    pub routes: Option<RouterPlan>,
    /// The ports that it is reached at.
    pub ports: Vec<PortAsk>,
    /// Containers that it knows by name and by legacy variables.
    pub links: Vec<Link>,
    /// What must be fetched, with the execution role, before it can start.
    pub needs: Needs,
    /// What to run, but for what the image says of it: see [`container_spec`].
    pub template: ContainerSpec,
    /// Program and arguments as ordered.
    pub launch: Launch,
}

/// Program and arguments as ordered; what is absent comes from the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// Replaces the image's, and its default arguments.
    pub entry_point: Option<Vec<String>>,
    /// Replaces the image's default arguments.
    pub command: Option<Vec<String>>,
    /// Replaces the image's working folder.
    pub working_dir: Option<String>,
    /// Replaces the image's user.
    pub user: Option<String>,
    /// Over the image's environment and that of files.
    pub environment: Vec<(String, String)>,
    /// Added where nothing else but the image names them.
    pub defaults: Vec<(String, String)>,
}

/// A condition upon another container of the task.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDependency.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The index of the other container.
    pub container: usize,
    /// What must have happened to it.
    pub condition: Condition,
}

/// What must have happened to a container that others depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It has started.
    Start,
    /// It has ended.
    Complete,
    /// It has ended with code 0.
    Success,
    /// Its health check succeeds.
    Healthy,
}

/// When a container is started again.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-restart-policy.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// Exit codes that are left alone.
    pub ignored_exit_codes: BTreeSet<i32>,
    /// It must have run for so long.
    pub attempt_period: Duration,
}

impl TaskPlan {
    /// Whether anything must be fetched before containers start.
    pub fn needs_anything(&self) -> bool {
        self.containers.iter().any(|container| !container.needs.is_empty())
    }

    /// What a container's place on the node's network is known by.
    pub fn network_id(&self, container: usize) -> String {
        match self.containers.get(container) {
            Some(plan) if plan.template.network == runtime::ContainerNetwork::Own => {
                plan.id.as_str().to_owned()
            }
            _ => self.id.clone(),
        }
    }

    /// The containers that have a place of their own on the node's bridge.
    pub fn on_bridge(&self) -> impl Iterator<Item = usize> + '_ {
        let bridge = self.network == NetworkPlan::Bridge;
        self.containers
            .iter()
            .enumerate()
            .filter(move |(_, c)| bridge && c.template.network != runtime::ContainerNetwork::None)
            .map(|(index, _)| index)
    }

    /// The containers that share the task's own address.
    pub fn sharing(&self) -> impl Iterator<Item = usize> + '_ {
        let own = matches!(self.network, NetworkPlan::Own(_));
        self.containers
            .iter()
            .enumerate()
            .filter(move |(_, c)| own && c.template.network != runtime::ContainerNetwork::None)
            .map(|(index, _)| index)
    }

    /// The indices of the containers that depend on this one.
    pub fn dependents(&self, container: usize) -> impl Iterator<Item = usize> + '_ {
        self.containers
            .iter()
            .enumerate()
            .filter(move |(_, c)| c.depends_on.iter().any(|d| d.container == container))
            .map(|(index, _)| index)
    }

    /// What its log router has, if it has one.
    pub fn router(&self) -> Option<&RouterPlan> {
        self.containers.iter().find_map(|container| container.routes.as_ref())
    }

    /// Where its empty volumes are, which are removed with it.
    pub fn volumes_root(&self) -> Option<PathBuf> {
        self.own_volumes.first().and_then(|path| path.parent()).map(PathBuf::from)
    }
}

/// Why this node does not run a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ResourceInitializationError: {member}: {why}")]
pub struct Refusal {
    /// The member of the task definition that asks for it.
    pub member: String,
    /// Why it cannot be had, and what to do.
    pub why: String,
}

impl Refusal {
    pub(crate) fn new(member: impl Into<String>, why: impl Into<String>) -> Self {
        Self { member: member.into(), why: why.into() }
    }

    /// A member that exists in ECS and that no node of this version honours.
    pub(crate) fn unbuilt(member: impl Into<String>) -> Self {
        Self::new(member, "not supported on this node yet; remove it from the task definition")
    }
}
