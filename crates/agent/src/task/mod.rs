//! A task's life on this node as a value: what is wanted, what is seen, and what follows.
//!
//! [`step`] decides, [`TaskView::begin`] notes that an action is under way, [`TaskView::apply`]
//! notes what came of it. All three are pure. Invariants: status moves one way; a container that is
//! [`Run::Over`] stays so; a task that stops never starts anything again.

mod change;
mod depend;
mod recover;
mod report;
mod step;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::sync::Arc;

use net::PortBinding;
use runtime::{Exit, Health, Image};
use serde::{Deserialize, Serialize};
use stdx::Timestamp;

pub use self::change::Happening;
pub use self::report::{Report, Reported, render};
pub use self::step::{Action, Limits, Step, step};

use crate::plan::{Given, LogPlan, NetworkPlan, TaskPlan};

/// What the server wants of a task; it moves one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Desired {
    /// It should run.
    Running,
    /// It should stop.
    Stopped,
}

/// What a task or a container is, in the order in which it becomes so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// Known, not started.
    Pending,
    /// Started.
    Running,
    /// Over.
    Stopped,
}

impl Status {
    /// ECS's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// A task: what is wanted of it and what is seen of it.
#[derive(Clone, Debug)]
pub struct TaskView {
    /// What to run.
    pub plan: Arc<TaskPlan>,
    /// The rest, which is written down.
    pub state: TaskState,
    /// What was fetched for it, while [`Resources::Ready`]; never written down.
    pub given: Arc<Given>,
}

/// What is seen of a task. Written down with each change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskState {
    /// What the server wants.
    pub desired: Desired,
    /// What it is.
    pub status: Status,
    /// What keeps the task as a whole from running, in ECS's words.
    pub failure: Option<String>,
    /// Its sandbox.
    pub sandbox: SandboxState,
    /// Its network.
    pub network: NetworkState,
    /// Secrets and the like that its containers need.
    #[serde(default)]
    pub resources: Resources,
    /// Its containers, in the order of the plan.
    pub containers: Vec<ContainerState>,
    /// When the last container ended.
    pub execution_stopped_at: Option<Timestamp>,
    /// What the server has been told.
    pub reported: Reported,
    /// A report is under way.
    #[serde(skip)]
    pub reporting: bool,
}

/// A task's sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxState {
    /// Not made.
    Idle,
    /// Being made.
    Creating,
    /// Stands.
    Ready,
    /// Being removed.
    Removing,
    /// Removed, or could not be made.
    Gone,
}

/// The task's places in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkState {
    /// It has none, or the container runtime sees to it.
    Unneeded,
    /// Not made.
    Idle,
    /// Being made.
    Attaching,
    /// Made: see [`ContainerState::place`].
    Attached,
    /// Being taken back.
    Detaching,
    /// Taken back.
    Detached,
}

/// Secrets, environment files and passwords that a task's containers need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resources {
    /// There are none.
    #[default]
    Unneeded,
    /// Not here.
    Idle,
    /// Being fetched.
    Fetching,
    /// Here, in memory.
    Ready,
}

/// Where a container is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its own address, if it has one.
    pub address: Option<Ipv4Addr>,
    /// Its ports, in the order of its plan, ranges port by port.
    pub bindings: Vec<PortBinding>,
}

/// What is seen of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerState {
    /// Its image.
    pub image: Fetch,
    /// When its image was really pulled.
    pub pulled: Option<(Timestamp, Timestamp)>,
    /// The way of its output to the logs.
    pub logs: LogState,
    /// Where it is reached.
    #[serde(default)]
    pub place: Option<Place>,
    /// Its program.
    pub run: Run,
    /// When its program first began.
    pub started_at: Option<Timestamp>,
    /// When it was last seen to end.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// How often it was started again.
    pub restarts: u32,
    /// The last verdict of its health check, and since when.
    pub health: Option<(Health, Timestamp)>,
}

/// An image on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fetch {
    /// Not asked for.
    Idle,
    /// Asked for.
    Pulling,
    /// Here.
    Present(ImageFacts),
    /// It could not be had, in ECS's words.
    Failed(String),
}

/// What is kept of an image that is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// `sha256:…` of its manifest.
    pub digest: String,
    /// Its id on this node.
    pub id: String,
    /// How it wants to be run.
    pub config: runtime::ImageConfig,
}

impl From<Image> for ImageFacts {
    fn from(image: Image) -> Self {
        Self { digest: image.digest, id: image.id, config: image.config }
    }
}

/// The way of a container's output to the logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogState {
    /// Its output stays here, or is thrown away.
    Unneeded,
    /// The stream does not exist.
    Idle,
    /// The stream is being made.
    Preparing,
    /// The stream exists, and what is written goes there.
    Ready,
    /// The stream could not be made, in ECS's words.
    Failed(String),
    /// All that was written is there.
    Shipped,
}

/// A container's program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Run {
    /// Not started (again).
    Waiting,
    /// Being started.
    Starting,
    /// Runs.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// Told to end.
    Stopping {
        /// Ran since when.
        since: Timestamp,
    },
    /// Ended, to be started again once what is left of it is removed.
    Restarting(Exit),
    /// What is left of it is being removed.
    Clearing(Exit),
    /// Over for good.
    Over(End),
}

/// How a container ended for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Its exit status.
    pub code: Option<i32>,
    /// What went wrong, in ECS's words.
    pub reason: Option<String>,
}

impl ContainerState {
    /// What the container is, as ECS sees it: one that is being started again is running.
    pub const fn status(&self) -> Status {
        match self.run {
            Run::Over(_) => Status::Stopped,
            _ if self.started_at.is_some() => Status::Running,
            _ => Status::Pending,
        }
    }

    /// Whether it is over, and how.
    pub const fn end(&self) -> Option<&End> {
        match &self.run {
            Run::Over(end) => Some(end),
            _ => None,
        }
    }
}

impl TaskView {
    /// A task that has just been ordered.
    pub fn new(plan: Arc<TaskPlan>) -> Self {
        let containers = plan
            .containers
            .iter()
            .map(|container| ContainerState {
                image: Fetch::Idle,
                pulled: None,
                logs: match container.log {
                    LogPlan::AwsLogs(_) => LogState::Idle,
                    // Nothing has to be made for it.
                    LogPlan::Fluent(_) => LogState::Ready,
                    LogPlan::None | LogPlan::Files | LogPlan::Driver => LogState::Unneeded,
                },
                place: None,
                run: Run::Waiting,
                started_at: None,
                ended_at: None,
                restarts: 0,
                health: None,
            })
            .collect::<Vec<_>>();
        let no_ports = plan.containers.iter().all(|container| container.ports.is_empty());
        let network = match plan.network {
            NetworkPlan::None | NetworkPlan::Runtime => NetworkState::Unneeded,
            NetworkPlan::Host if no_ports => NetworkState::Unneeded,
            NetworkPlan::Bridge if plan.on_bridge().next().is_none() => NetworkState::Unneeded,
            NetworkPlan::Own(_) if plan.sharing().next().is_none() => NetworkState::Unneeded,
            NetworkPlan::Host | NetworkPlan::Bridge | NetworkPlan::Own(_) => NetworkState::Idle,
        };
        let resources = if plan.needs_anything() { Resources::Idle } else { Resources::Unneeded };
        let reported = Reported::nothing(containers.len());
        let state = TaskState {
            desired: Desired::Running,
            status: Status::Pending,
            failure: None,
            sandbox: SandboxState::Idle,
            network,
            resources,
            containers,
            execution_stopped_at: None,
            reported,
            reporting: false,
        };
        Self { plan, state, given: Arc::default() }
    }

    /// Whether everything that runs must end: it was told to stop, it failed as a whole, or an
    /// essential container is over. Once true it stays so.
    pub fn stopping(&self) -> bool {
        self.state.desired == Desired::Stopped
            || self.state.failure.is_some()
            || self
                .containers()
                .any(|(_, plan, state)| plan.essential && state.status() == Status::Stopped)
    }

    /// The containers with their plans.
    pub fn containers(
        &self,
    ) -> impl Iterator<Item = (usize, &crate::plan::ContainerPlan, &ContainerState)> {
        self.plan
            .containers
            .iter()
            .zip(&self.state.containers)
            .enumerate()
            .map(|(index, (plan, state))| (index, plan, state))
    }

    /// Where a container is reached, once that is known.
    pub fn place(&self, container: usize) -> Option<&Place> {
        self.state.containers.get(container)?.place.as_ref()
    }
}
