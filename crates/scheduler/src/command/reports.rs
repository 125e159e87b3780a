//! What agents and the balancer have seen, as they tell it.

use model::{
    ContainerName, ContainerStatus, ExecAgentStatus, NetworkBinding, TargetKey, TaskKey,
    TaskStatus, VerdictReason, VerdictState,
};
use stdx::Timestamp;

/// What an agent has seen of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskReport {
    /// Which task.
    pub key: TaskKey,
    /// Its status, if the report is of the task and not of one container only.
    pub status: Option<TaskStatus>,
    /// The agent's words.
    pub reason: Option<String>,
    /// Those containers that changed.
    pub containers: Vec<ContainerReport>,
    /// The pulling of images began.
    pub pull_started_at: Option<Timestamp>,
    /// The pulling of images ended.
    pub pull_stopped_at: Option<Timestamp>,
    /// The last container ended.
    pub execution_stopped_at: Option<Timestamp>,
}

/// What an agent has seen of a container: what is absent has not changed.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerReport {
    /// Which.
    pub name: ContainerName,
    /// Its status.
    pub status: Option<ContainerStatus>,
    /// The runtime's name for it.
    pub runtime_id: Option<String>,
    /// `sha256:…`
    pub image_digest: Option<String>,
    /// Its exit status.
    pub exit_code: Option<i32>,
    /// What went wrong.
    pub reason: Option<String>,
    /// Where its ports are published, when that is known.
    pub bindings: Option<Vec<NetworkBinding>>,
}

/// What the balancer has seen of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetReport {
    /// Which target.
    pub key: TargetKey,
    /// When it was registered: what was seen of an earlier registration counts no more.
    pub registered_at: Timestamp,
    /// What was seen.
    pub news: TargetNews,
}

/// What can be seen of a target.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetNews {
    /// What its health checks say now.
    Health {
        /// The verdict.
        state: VerdictState,
        /// Why it is not healthy.
        reason: Option<VerdictReason>,
        /// The same in words.
        description: Option<String>,
    },
    /// It drains since then, and has finished all that it had.
    Idle {
        /// Since when it drains.
        since: Timestamp,
    },
}

/// What an agent has seen of what runs a container's ExecuteCommand sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecAgentReport {
    /// Which container.
    pub container: ContainerName,
    /// Whether sessions are taken.
    pub status: ExecAgentStatus,
    /// What went wrong.
    pub reason: Option<String>,
}
