//! A task as the server ordered it: kept as it came, so that a restarted agent plans it again.

use aws::agent::acs;
use aws::ecs;
use serde::{Deserialize, Serialize};

/// What the server wants run, with overrides merged in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    /// Each container's ARN, in the same order; empty where the server names none.
    pub container_arns: Vec<String>,
    /// The service it belongs to.
    pub service: Option<String>,
    /// Its launch type's name.
    pub launch_type: Option<String>,
    /// Where the instance is.
    pub zone: Option<String>,
    /// Devices that are its own.
    pub associations: Vec<acs::Association>,
    /// Whether ExecuteCommand may be used on it.
    pub exec: bool,
    /// What its programs may do.
    pub task_role: Option<Role>,
    /// What the node may do for it.
    pub execution_role: Option<Role>,
}

/// A role of a task. Its credentials are kept in memory alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// What its credentials are known by, whichever are the newest.
    pub credentials_id: String,
    /// The role.
    pub arn: String,
}

impl From<&acs::RoleCredentials> for Role {
    fn from(credentials: &acs::RoleCredentials) -> Self {
        Self {
            credentials_id: credentials.credentials_id.clone(),
            arn: credentials.role_arn.clone(),
        }
    }
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
