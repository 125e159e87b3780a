//! A newtype for each identity, and the composite keys under which entities are found.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::TaskId;

stdx::ids! {
    /// A cluster's name, unique in the realm.
    ClusterName;
    /// A service's name, unique in its cluster.
    ServiceName;
    /// A container instance's id: 32 hexadecimal digits.
    InstanceId;
    /// The family of a task definition.
    Family;
    /// A deployment's id: `ecs-svc/` and digits.
    DeploymentId;
    /// A container's name within its task.
    ContainerName;
    /// A role's name, unique in the account.
    RoleName;
    /// The name of a managed policy of this account.
    PolicyName;
    /// A GPU's id on its instance, such as `GPU-` and a UUID.
    GpuId;
}

/// The number of a task definition within its family, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(pub u32);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a service is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its name.
    pub service: ServiceName,
}

/// Where a task is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its id.
    pub task: TaskId,
}

/// Where a container instance is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceKey {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its id.
    pub instance: InstanceId,
}

/// Where a task definition is found: `family:revision`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DefinitionKey {
    /// Its family.
    pub family: Family,
    /// Its number in the family.
    pub revision: Revision,
}

impl fmt::Display for DefinitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.family, self.revision)
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.service)
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.task)
    }
}

impl fmt::Display for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.instance)
    }
}
