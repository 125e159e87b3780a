//! What a task may learn about itself, as values: snapshots that the worker puts into the
//! [`Directory`](super::Directory) with each change.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use net::PortBinding;
use runtime::{ContainerId, Health, SandboxId};
use stdx::Timestamp;

use crate::order::Interface;

/// Where a task or a container is in its life, in the ECS agent's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing is done for it yet.
    None,
    /// Its image is here.
    Pulled,
    /// It is made and not started.
    Created,
    /// It runs.
    Running,
    /// It is over.
    Stopped,
}

impl Phase {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Pulled => "PULLED",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// On what a task was launched, as the metadata says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchType {
    /// A container instance.
    Ec2,
    /// A machine that is registered as external.
    External,
    /// Capacity without instances.
    Fargate,
}

impl LaunchType {
    /// ECS's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ec2 => "EC2",
            Self::External => "EXTERNAL",
            Self::Fargate => "FARGATE",
        }
    }

    /// Reads the word; what is not one, or is absent, is a container instance, as ECS has it.
    pub fn from_word(word: Option<&str>) -> Self {
        match word {
            Some("EXTERNAL") => Self::External,
            Some("FARGATE") => Self::Fargate,
            _ => Self::Ec2,
        }
    }
}

/// The network of a task's containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskNetwork {
    /// Addresses on this node's bridge: only they are answered.
    Bridge,
    /// One address of the task's own: only it is answered.
    Own,
    /// The node's own: only processes of this machine are answered.
    Host,
    /// Loopback only: nobody can ask.
    None,
}

impl TaskNetwork {
    /// ECS's word for the network mode.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Own => "awsvpc",
            Self::Host => "host",
            Self::None => "none",
        }
    }
}

/// A task as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskMeta {
    /// The last part of its ARN; what the directory knows it by.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Its cluster, as the node was told to join it.
    pub cluster: String,
    /// Its definition's family.
    pub family: String,
    /// Its definition's revision.
    pub revision: String,
    /// The service that it belongs to.
    pub service_name: Option<String>,
    /// On what it was launched.
    pub launch_type: LaunchType,
    /// Where the instance is.
    pub availability_zone: Option<String>,
    /// What is wanted of it.
    pub desired: Phase,
    /// What it is.
    pub known: Phase,
    /// Its limit in vCPUs.
    pub cpu: Option<f64>,
    /// Its limit in MiB.
    pub memory: Option<i64>,
    /// When the first of its images began to be pulled.
    pub pull_started_at: Option<Timestamp>,
    /// When the last of its images was here.
    pub pull_stopped_at: Option<Timestamp>,
    /// When its last container ended.
    pub execution_stopped_at: Option<Timestamp>,
    /// How it is reached, and so whom the endpoints answer.
    pub network: TaskNetwork,
    /// Its own interface, if it has one.
    pub interface: Option<Interface>,
    /// Where its containers run.
    pub sandbox: SandboxId,
    /// The id of its role's credentials, if it has a role.
    pub credentials_id: Option<String>,
    /// Its containers, in the order of the definition.
    pub containers: Vec<ContainerMeta>,
}

/// A container as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerMeta {
    /// Its name in the runtime, which is the metadata's `DockerId`.
    pub id: ContainerId,
    /// Its name in the task.
    pub name: String,
    /// The image as written.
    pub image: String,
    /// The image's id; empty before it is here.
    pub image_id: String,
    /// Where its ports are reached.
    pub ports: Vec<PortBinding>,
    /// Docker labels, the agent's own included.
    pub labels: BTreeMap<String, String>,
    /// What is wanted of it.
    pub desired: Phase,
    /// What it is.
    pub known: Phase,
    /// Its exit status, once it is over.
    pub exit_code: Option<i32>,
    /// Its CPU units; the metadata never says fewer than 2.
    pub cpu: i64,
    /// Its memory limit in MiB; 0 for none.
    pub memory: i64,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When its program began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Its own address.
    pub address: Option<Ipv4Addr>,
    /// The id that [`crate::Networking::counters`] knows its interface by.
    pub attachment: Option<String>,
    /// The last verdict of its health check and since when; none without a check.
    pub health: Option<(Health, Option<Timestamp>)>,
    /// What is mounted into it.
    pub volumes: Vec<VolumeMeta>,
    /// The log driver's name.
    pub log_driver: Option<String>,
    /// The log driver's options.
    pub log_options: BTreeMap<String, String>,
    /// The container's ARN, where the server tells it.
    pub arn: Option<String>,
    /// How often it was started again; none without a restart policy.
    pub restarts: Option<u32>,
    /// The GPUs that are its own.
    pub gpus: Vec<String>,
}

/// A mount as the metadata has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeMeta {
    /// The volume's name on this node; empty for a folder of the host.
    pub docker_name: String,
    /// Where it is on the host.
    pub source: String,
    /// Where the container sees it.
    pub destination: String,
}
