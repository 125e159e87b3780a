//! From what ECS asks to what the runtime does: pure functions from an [`Order`] to a [`TaskPlan`],
//! and from that and an image's configuration to a [`runtime::ContainerSpec`].
//!
//! Invariant: a member that this node does not honour is a [`Refusal`] that names it; nothing is
//! accepted and ignored.

mod container;
mod health;
mod logs;
mod mounts;
mod refuse;
mod task;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use runtime::{ContainerId, ContainerSpec, SandboxSpec};
use serde::{Deserialize, Serialize};

pub use self::container::container_spec;
pub use self::logs::{AwsLogs, LogPlan, MAX_LOG_BYTES};
pub(crate) use self::task::container_id;
pub use self::task::{TASK_ARN_LABEL, task};

use crate::order::Order;

/// What planning needs to know of the node.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// The server's region: the only one that logs can be sent to.
    pub region: String,
    /// Under it, each task's empty volumes.
    pub volumes_dir: PathBuf,
    /// Grace between SIGTERM and SIGKILL for containers that name none.
    pub stop_timeout: Duration,
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
}

/// How a task is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkPlan {
    /// A private network on the bridge with published ports, in the order of the containers.
    Bridge(Vec<net::PortRequest>),
    /// The node's own, with ports that nobody else may have.
    Host(Vec<net::PortRequest>),
    /// Loopback only.
    None,
}

impl NetworkPlan {
    /// The ports asked for, in the order of the containers.
    pub fn ports(&self) -> &[net::PortRequest] {
        match self {
            Self::Bridge(ports) | Self::Host(ports) => ports,
            Self::None => &[],
        }
    }
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
    /// How many of the task's ports are its own; they follow those of the containers before it.
    pub port_count: usize,
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
    /// Added to the image's environment.
    pub environment: Vec<(String, String)>,
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
    /// The bindings among `all` of the task that belong to one container.
    pub fn bindings_of<'a>(
        &self,
        container: usize,
        all: &'a [net::PortBinding],
    ) -> &'a [net::PortBinding] {
        let first: usize = self.containers.iter().take(container).map(|c| c.port_count).sum();
        let count = self.containers.get(container).map_or(0, |c| c.port_count);
        all.get(first..first + count).unwrap_or_default()
    }

    /// The indices of the containers that depend on this one.
    pub fn dependents(&self, container: usize) -> impl Iterator<Item = usize> + '_ {
        self.containers
            .iter()
            .enumerate()
            .filter(move |(_, c)| c.depends_on.iter().any(|d| d.container == container))
            .map(|(index, _)| index)
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
