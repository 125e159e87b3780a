//! A task: what it was asked to be, written once, and how far it has come, written as it moves.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{
    ClusterName, ContainerName, DefinitionKey, DeploymentId, Document, GpuId, HostPort, InstanceId,
    InstanceKey, LaunchType, PlacementConstraint, PlacementStrategy, Protocol, ProviderName,
    Resources, ServiceKey, ServiceName, Tags, TaskInterface, TaskKey, TaskNetwork,
};

/// A task as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// What it was asked to be.
    pub facts: Arc<TaskFacts>,
    /// How far it has come.
    pub progress: Arc<TaskProgress>,
}

/// What a task was asked to be. Written once; only its tags may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFacts {
    /// Where it is found.
    pub key: TaskKey,
    /// What it runs.
    pub definition: DefinitionKey,
    /// Where it was placed; none while it waits for capacity. A placement is final.
    pub instance: Option<InstanceId>,
    /// The cluster that its instance is registered in, if that is another than its own: the capacity of
    /// Fargate is everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<ClusterName>,
    /// The capacity provider that it was given to, if it was given to one.
    #[serde(default)]
    pub provider: Option<ProviderName>,
    /// What it asks of an instance beside what its definition asks, while it waits for one.
    #[serde(default)]
    pub terms: Option<PlacementTerms>,
    /// Where its capacity comes from.
    pub launch_type: LaunchType,
    /// `family:…`, `service:…`, or what the caller gave.
    pub group: String,
    /// Who started it: a deployment's id for a service's task, else what the caller gave.
    pub started_by: Option<String>,
    /// The service that it belongs to.
    pub service: Option<ServiceName>,
    /// The deployment that started it.
    pub deployment: Option<DeploymentId>,
    /// What the caller changed in the task definition, as it came.
    pub overrides: Option<Document>,
    /// What it reserves on its instance, after overrides.
    pub reserved: Resources,
    /// Names and ids of its containers, in the order of the task definition.
    pub containers: Vec<ContainerFacts>,
    /// Its tags.
    pub tags: Tags,
    /// Whether `aws:ecs:*` tags were asked for.
    pub enable_ecs_managed_tags: bool,
    /// Whether ExecuteCommand may be used on it.
    #[serde(default)]
    pub enable_execute_command: bool,
    /// Its network, if it has one of its own.
    #[serde(default)]
    pub network: Option<TaskNetwork>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a task that waits for an instance asks of it, beside what its definition asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementTerms {
    /// Where it may be placed.
    pub constraints: Vec<PlacementConstraint>,
    /// How to choose.
    pub strategy: Vec<PlacementStrategy>,
    /// Attributes that the instance must have, for the sake of overrides.
    pub attributes: Vec<String>,
    /// How many GPUs each container has for its own, in the order of the definition.
    pub gpus: Vec<u32>,
}

/// The identity of a container in a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFacts {
    /// Its name.
    pub name: ContainerName,
    /// The last part of its ARN.
    pub id: String,
    /// The GPUs that are its own.
    #[serde(default)]
    pub gpus: Vec<GpuId>,
}

/// How far a task has come. Rewritten with each step, so it is short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// What it is.
    pub status: TaskStatus,
    /// What it should be.
    pub desired: DesiredStatus,
    /// Grows by one with each change.
    pub version: u64,
    /// Its containers, in the order of the task definition.
    pub containers: Vec<ContainerProgress>,
    /// When its instance first reported it; ECS calls it connectivity.
    pub connected_at: Option<Timestamp>,
    /// The pulling of its images began.
    pub pull_started_at: Option<Timestamp>,
    /// The pulling of its images ended.
    pub pull_stopped_at: Option<Timestamp>,
    /// It became running.
    pub started_at: Option<Timestamp>,
    /// It was told to stop.
    pub stopping_at: Option<Timestamp>,
    /// Its last container ended.
    pub execution_stopped_at: Option<Timestamp>,
    /// It became stopped.
    pub stopped_at: Option<Timestamp>,
    /// What kind of reason stopped it.
    pub stop_code: Option<StopCode>,
    /// The reason in words.
    pub stopped_reason: Option<String>,
    /// Until when its service does not stop it to scale in or to deploy.
    #[serde(default)]
    pub protected_until: Option<Timestamp>,
}

/// A task's life, in order: it never moves back.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskStatus {
    /// Waits for something outside its instance, such as an address, or for the instance itself.
    Provisioning,
    /// Its instance has it, or will.
    Pending,
    /// Started; waits for something such as a target group.
    Activating,
    /// Runs.
    Running,
    /// Leaves a target group.
    Deactivating,
    /// Its containers are being stopped.
    Stopping,
    /// Gives back what it had outside its instance.
    Deprovisioning,
    /// Over.
    Stopped,
}

/// What a task should be; it moves one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DesiredStatus {
    /// It should run.
    Running,
    /// It should stop.
    Stopped,
}

/// A container's life, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ContainerStatus {
    /// Not started.
    Pending,
    /// Started.
    Running,
    /// Over.
    Stopped,
}

/// The verdict of health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthStatus {
    /// No verdict, or no check.
    Unknown,
    /// The check succeeds.
    Healthy,
    /// The check fails.
    Unhealthy,
}

/// Why a task stopped, in ECS's kinds.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCode {
    /// It never became running.
    TaskFailedToStart,
    /// An essential container ended.
    EssentialContainerExited,
    /// Somebody stopped it.
    UserInitiated,
    /// Its service stopped it.
    ServiceSchedulerInitiated,
    /// Its capacity was taken away.
    SpotInterruption,
    /// Its instance was lost or deregistered.
    TerminationNotice,
}

/// How far a container has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerProgress {
    /// Which.
    pub name: ContainerName,
    /// What it is.
    pub status: ContainerStatus,
    /// The runtime's name for it.
    pub runtime_id: Option<String>,
    /// `sha256:…` of the image's manifest.
    pub image_digest: Option<String>,
    /// Its exit status, once it has one.
    pub exit_code: Option<i32>,
    /// What went wrong, in words.
    pub reason: Option<String>,
    /// Where its ports are published.
    pub bindings: Vec<NetworkBinding>,
    /// Its health check's verdict.
    pub health: HealthStatus,
    /// What runs its ExecuteCommand sessions, once its node has told of it.
    #[serde(default)]
    pub exec_agent: Option<ExecAgent>,
}

/// What runs the ExecuteCommand sessions of a container: ECS's managed agent `ExecuteCommandAgent`.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ManagedAgent.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecAgent {
    /// Whether it takes sessions.
    pub status: ExecAgentStatus,
    /// When it last became running.
    pub started_at: Option<Timestamp>,
    /// What went wrong, in words.
    pub reason: Option<String>,
}

/// Whether sessions are taken. Unlike a container's status it may move back: the agent is started
/// again when it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecAgentStatus {
    /// Not yet.
    Pending,
    /// Now.
    Running,
    /// No more.
    Stopped,
}

/// Where a container's port is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkBinding {
    /// The host's address.
    pub bind_ip: IpAddr,
    /// In the container.
    pub container_port: u16,
    /// On the host.
    pub host_port: u16,
    /// So many further ports follow, on both sides, of a range; none for a single port.
    #[serde(default)]
    pub more: u16,
    /// Its transport.
    pub protocol: Protocol,
}

impl TaskFacts {
    /// Its cluster.
    pub fn cluster(&self) -> &ClusterName {
        &self.key.cluster
    }

    /// Where its instance is found, once it has one.
    pub fn instance_key(&self) -> Option<InstanceKey> {
        let instance = self.instance.clone()?;
        let cluster = self.host.as_ref().unwrap_or(&self.key.cluster).clone();
        Some(InstanceKey { cluster, instance })
    }

    /// Whether its instance is registered in another cluster than its own.
    pub fn is_guest(&self) -> bool {
        self.host.as_ref().is_some_and(|host| *host != self.key.cluster)
    }

    /// Its interface, if it has one of its own.
    pub fn interface(&self) -> Option<&TaskInterface> {
        self.network.as_ref()?.interface.as_ref()
    }

    /// Where its service is found, if it has one.
    pub fn service_key(&self) -> Option<ServiceKey> {
        let service = self.service.clone()?;
        Some(ServiceKey { cluster: self.key.cluster.clone(), service })
    }
}

impl TaskProgress {
    /// The first step of a task: its instance will have it, or it waits for one.
    pub fn first(facts: &TaskFacts) -> Self {
        let pending = |c: &ContainerFacts| ContainerProgress {
            name: c.name.clone(),
            status: ContainerStatus::Pending,
            runtime_id: None,
            image_digest: None,
            exit_code: None,
            reason: None,
            bindings: Vec::new(),
            health: HealthStatus::Unknown,
            exec_agent: None,
        };
        Self {
            status: match facts.instance {
                Some(_) => TaskStatus::Pending,
                None => TaskStatus::Provisioning,
            },
            desired: DesiredStatus::Running,
            version: 1,
            containers: facts.containers.iter().map(pending).collect(),
            connected_at: None,
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            stopping_at: None,
            execution_stopped_at: None,
            stopped_at: None,
            stop_code: None,
            stopped_reason: None,
            protected_until: None,
        }
    }
}

impl Task {
    /// Whether it still holds what it reserved.
    pub fn holds_resources(&self) -> bool {
        self.progress.status != TaskStatus::Stopped
    }

    /// Until when its service does not stop it to scale in or to deploy, if that is not over.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html>
    pub fn protected_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.progress.protected_until.filter(|until| *until > now)
    }

    /// Whether it runs and should.
    pub fn is_running(&self) -> bool {
        self.progress.status == TaskStatus::Running
    }

    /// Whether it is on its way to running and should be.
    pub fn is_pending(&self) -> bool {
        self.progress.status < TaskStatus::Running
            && self.progress.desired == DesiredStatus::Running
    }

    /// Every host port that it holds: those it asked for and those that were chosen for it.
    pub fn host_ports(&self) -> BTreeSet<HostPort> {
        let chosen = self.progress.containers.iter().flat_map(|c| &c.bindings);
        self.facts
            .reserved
            .ports
            .iter()
            .copied()
            .chain(chosen.map(|b| HostPort { protocol: b.protocol, port: b.host_port }))
            .collect()
    }

    /// The task's health: unhealthy if a checked essential container is, healthy if all are, else
    /// unknown. `checked` tells which containers are essential and have a check.
    pub fn health(&self, checked: impl Fn(&ContainerName) -> bool) -> HealthStatus {
        let mut verdicts = self
            .progress
            .containers
            .iter()
            .filter(|c| checked(&c.name))
            .map(|c| c.health)
            .peekable();
        if verdicts.peek().is_none() {
            return HealthStatus::Unknown;
        }
        let mut all = HealthStatus::Healthy;
        for verdict in verdicts {
            match verdict {
                HealthStatus::Unhealthy => return HealthStatus::Unhealthy,
                HealthStatus::Unknown => all = HealthStatus::Unknown,
                HealthStatus::Healthy => {}
            }
        }
        all
    }
}
