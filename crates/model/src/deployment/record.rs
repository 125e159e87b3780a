//! One deployment of a service, and one revision: what is kept of them.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use super::method::{HookAction, RolloutMethod, TrafficShare};
use super::{HookId, RevisionKey, ServiceDeploymentKey};
use crate::{
    DefinitionKey, DeploymentConfig, DeploymentId, LaunchType, NetworkConfiguration, ServiceTarget,
    StrategyItem,
};

/// What a service was asked to run, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRevision {
    /// Where it is found.
    pub key: RevisionKey,
    /// What it runs.
    pub definition: DefinitionKey,
    /// Where its capacity comes from.
    pub launch_type: LaunchType,
    /// Which capacity providers get how much; empty for none.
    pub providers: Vec<StrategyItem>,
    /// Where its tasks become targets, as it was asked for.
    pub load_balancers: Vec<ServiceTarget>,
    /// The same with the group that was chosen of the two.
    pub resolved: Vec<ServiceTarget>,
    /// The network of its tasks, if each has one of its own.
    #[serde(default)]
    pub network: Option<NetworkConfiguration>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// How a service went from what it ran to another revision, or back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDeployment {
    /// Where it is found.
    pub key: ServiceDeploymentKey,
    /// What is to be reached.
    pub target: DeploymentId,
    /// What stood before, the one that served first; empty for a new service.
    pub sources: Vec<DeploymentId>,
    /// How far it is.
    pub status: ServiceDeploymentStatus,
    /// Why, where there is something to say.
    pub reason: Option<String>,
    /// Percentages and circuit breaker as they were.
    pub config: DeploymentConfig,
    /// By which steps it goes.
    pub method: RolloutMethod,
    /// Where it is in its life; none of a rolling update before it bakes.
    pub stage: Option<Stage>,
    /// Since when.
    pub stage_since: Timestamp,
    /// The target's share of production traffic.
    pub production: TrafficShare,
    /// Whether the target has the test traffic.
    pub test: bool,
    /// What has been asked at the stage, or was last.
    pub hooks: Vec<HookRun>,
    /// Whether the circuit breaker watches.
    pub breaker: Monitor,
    /// So many of the target's tasks have failed.
    pub failures: u32,
    /// So many would end it.
    pub threshold: u32,
    /// Whether alarms are watched.
    pub alarms: Monitor,
    /// Those that were in alarm when it began: they are ignored. None until that is known.
    pub ignored: Option<Vec<String>>,
    /// Those that ended it.
    pub triggered: Vec<String>,
    /// How long alarms have to be quiet in the end, where no bake time was given.
    pub alarm_bake: Duration,
    /// How it goes back, if it does.
    pub rollback: Option<Rollback>,
    /// What each of its revisions had when it was over; empty before.
    #[serde(default)]
    pub ended_with: Vec<RevisionCounts>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its first task could start.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// When it was stopped.
    pub stopped_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// How many tasks a revision had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionCounts {
    /// Which.
    pub revision: DeploymentId,
    /// So many it should have had.
    pub requested: u32,
    /// So many ran.
    pub running: u32,
    /// So many were on their way to run.
    pub pending: u32,
}

/// How far a service deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ServiceDeploymentStatus {
    /// Asked for.
    Pending,
    /// On its way.
    InProgress,
    /// Done.
    Successful,
    /// A user wants it to stop where it is.
    StopRequested,
    /// Ended where it was.
    Stopped,
    /// A user wants it to go back.
    RollbackRequested,
    /// On its way back.
    RollbackInProgress,
    /// Back.
    RollbackSuccessful,
    /// There is nothing to go back to, or that could not be reached either.
    RollbackFailed,
}

/// Where a deployment is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// More than one revision stood when it began: all but one of them go first.
    ReconcileService,
    /// Nothing of the new revision has started.
    PreScaleUp,
    /// Its tasks start.
    ScaleUp,
    /// They have started.
    PostScaleUp,
    /// Test traffic moves to them.
    TestTrafficShift,
    /// It has.
    PostTestTrafficShift,
    /// Production traffic is about to move, all or a step of it.
    PreProductionTrafficShift,
    /// It moves.
    ProductionTrafficShift,
    /// All of it has.
    PostProductionTrafficShift,
    /// Both revisions stand.
    BakeTime,
    /// The old one goes.
    CleanUp,
}

/// One question that a hook asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    /// Its id.
    pub id: HookId,
    /// Which of [`RolloutMethod::hooks`].
    pub hook: usize,
    /// At which stage.
    pub stage: Stage,
    /// What came of it.
    pub status: HookStatus,
    /// When the web server is asked next.
    pub next_at: Option<Timestamp>,
    /// What it wants to be told next time: a JSON object that nothing here reads.
    pub details: Option<String>,
    /// So often it could not be asked, one time after the other.
    pub failures: u32,
    /// Why it failed.
    pub reason: Option<String>,
    /// Until when there is time.
    pub expires_at: Timestamp,
    /// What then happens.
    pub on_timeout: HookAction,
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookStatus {
    /// Somebody has to call ContinueServiceDeployment.
    AwaitingAction,
    /// It is being asked.
    InProgress,
    /// Yes.
    Succeeded,
    /// No.
    Failed,
    /// Nobody knows, and the time is over.
    TimedOut,
}

/// Whether something watches a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Monitor {
    /// It was not asked for.
    Disabled,
    /// It does.
    Monitoring,
    /// It did and saw nothing.
    Complete,
    /// It ended the deployment.
    Triggered,
}

/// How a deployment goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// Why.
    pub reason: String,
    /// Since when.
    pub started_at: Timestamp,
    /// What is brought back; none if there is nothing.
    pub revision: Option<DeploymentId>,
}

impl ServiceDeploymentStatus {
    /// Whether nothing more comes of it.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Successful | Self::Stopped | Self::RollbackSuccessful | Self::RollbackFailed => {
                true
            }
            Self::Pending
            | Self::InProgress
            | Self::StopRequested
            | Self::RollbackRequested
            | Self::RollbackInProgress => false,
        }
    }
}

impl HookStatus {
    /// Whether an answer is still to come.
    pub const fn is_open(self) -> bool {
        match self {
            Self::AwaitingAction | Self::InProgress => true,
            Self::Succeeded | Self::Failed | Self::TimedOut => false,
        }
    }
}

impl ServiceDeployment {
    /// Whether it is on its way back.
    pub fn goes_back(&self) -> bool {
        self.status == ServiceDeploymentStatus::RollbackInProgress
    }

    /// The run of a hook.
    pub fn hook(&self, id: &HookId) -> Option<&HookRun> {
        self.hooks.iter().find(|run| run.id == *id)
    }
}
