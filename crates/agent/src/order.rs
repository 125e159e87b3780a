//! A task as the server ordered it: kept as it came, so that a restarted agent plans it again.

use aws::ecs;
use serde::{Deserialize, Serialize};

/// What the server wants run, with overrides merged in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The task's ARN.
    pub arn: String,
    /// The cluster, as the payload names it.
    pub cluster: String,
    /// The task definition's family.
    pub family: String,
    /// The task definition's revision.
    pub version: String,
    /// Limit of the whole task, in vCPUs.
    pub cpu: Option<f64>,
    /// Limit of the whole task, in MiB.
    pub memory: Option<i64>,
    /// The network of its containers; `bridge` if absent.
    pub network_mode: Option<ecs::NetworkMode>,
    /// Whose process ids it sees.
    pub pid_mode: Option<ecs::PidMode>,
    /// Whose System V IPC it sees.
    pub ipc_mode: Option<ecs::IpcMode>,
    /// What its mount points refer to.
    pub volumes: Vec<ecs::Volume>,
    /// Its containers, in the order of the task definition.
    pub containers: Vec<ecs::ContainerDefinition>,
}

impl Order {
    /// The last part of the ARN: the task's id.
    pub fn task_id(&self) -> &str {
        task_id(&self.arn)
    }
}

/// The last part of a task's ARN.
pub fn task_id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
