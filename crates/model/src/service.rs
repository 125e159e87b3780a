//! A service: so many tasks of a definition, kept running, and the deployments that change it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{
    DefinitionKey, DeploymentId, FargatePlatform, LaunchType, NetworkConfiguration,
    PlacementConstraint, PlacementStrategy, RolloutMethod, ServiceDeploymentId, ServiceKey,
    ServiceTarget, StrategyItem, Tags, TaskSet,
};

/// A service. Its running and pending counts are folds over its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Where it is found.
    pub key: ServiceKey,
    /// Whether it is kept running.
    pub status: ServiceStatus,
    /// Whether it has so many tasks or one on each instance.
    #[serde(default)]
    pub scheduling: SchedulingStrategy,
    /// Who decides which task definitions run, and how much of each.
    #[serde(default)]
    pub controller: DeploymentController,
    /// How many tasks it should have. Of a daemon service nobody sets it: it is the number of
    /// instances that its tasks belong on, as its last step found them.
    pub desired_count: u32,
    /// Where its capacity comes from.
    pub launch_type: LaunchType,
    /// Which version of Fargate's platform it asks for, if it is Fargate's at all.
    #[serde(default)]
    pub platform: FargatePlatform,
    /// Which capacity providers get how much; empty for none.
    #[serde(default)]
    pub providers: Vec<StrategyItem>,
    /// How it is updated.
    pub config: DeploymentConfig,
    /// Where its tasks may be placed, beside what their definition says.
    pub constraints: Vec<PlacementConstraint>,
    /// How to choose among the instances that fit.
    pub strategy: Vec<PlacementStrategy>,
    /// Whether its tasks are kept even over availability zones.
    #[serde(default)]
    pub rebalances: bool,
    /// How it is updated, beside percentages and the circuit breaker.
    #[serde(default)]
    pub method: RolloutMethod,
    /// The deployment that is on its way, or was last.
    #[serde(default)]
    pub current: Option<ServiceDeploymentId>,
    /// The primary one first, then those that it replaces, newest first. Never empty while active.
    pub deployments: Vec<Deployment>,
    /// What its last completed deployment runs: the circuit breaker brings it back.
    pub stable: Option<DefinitionKey>,
    /// Where the tasks of its last completed deployment became targets.
    #[serde(default)]
    pub stable_load_balancers: Vec<ServiceTarget>,
    /// Where its tasks become targets: what its primary deployment has.
    #[serde(default)]
    pub load_balancers: Vec<ServiceTarget>,
    /// The network of its tasks, if each has one of its own: what its primary deployment has.
    #[serde(default)]
    pub network: Option<NetworkConfiguration>,
    /// The same of its last completed deployment.
    #[serde(default)]
    pub stable_network: Option<NetworkConfiguration>,
    /// Where the capacity of its last completed deployment came from; none if there was no such one.
    #[serde(default)]
    pub stable_capacity: Option<CapacitySource>,
    /// For so long after a task has started, health checks that fail are not held against it.
    #[serde(default)]
    pub health_check_grace: Option<Duration>,
    /// Whether its tasks get `aws:ecs:*` tags.
    pub enable_ecs_managed_tags: bool,
    /// Whether ExecuteCommand may be used on the tasks that it starts from now on.
    #[serde(default)]
    pub enable_execute_command: bool,
    /// Whose tags its tasks get.
    pub propagate_tags: PropagateTags,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Timestamp,
    /// The ARN of who made it.
    pub created_by: String,
    /// When it last said that it reached a steady state, to say so once for each disturbance.
    pub steady_since: Option<Timestamp>,
    /// When it became inactive.
    pub inactive_since: Option<Timestamp>,
    /// When it last said that it could not place a task, to say so seldom.
    pub placement_failed_at: Option<Timestamp>,
    /// The number of its next event; events are kept in a ring of [`ServiceEvent::KEPT`].
    pub next_event: u64,
}

/// Where a service's capacity comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacitySource {
    /// Whose nodes.
    pub launch_type: LaunchType,
    /// Which version of Fargate's platform, if it is Fargate's.
    pub platform: FargatePlatform,
    /// Which capacity providers get how much; empty for none.
    pub providers: Vec<StrategyItem>,
}

/// A service's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ServiceStatus {
    /// Kept as asked.
    Active,
    /// Deleted, while its tasks stop.
    Draining,
    /// Deleted and empty; still described for a while.
    Inactive,
}

/// How many tasks a service has.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service-options.html>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchedulingStrategy {
    /// As many as are asked for, placed by its strategies.
    #[default]
    Replica,
    /// One on each active instance that meets what its task definition and its constraints ask.
    Daemon,
}

/// Who decides which task definitions a service runs, and how much of each.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentController.html>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentController {
    /// The service itself, by deployments.
    #[default]
    Ecs,
    /// A program of the user's, by task sets.
    External,
}

/// Whose tags a service's tasks get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PropagateTags {
    /// Nobody's.
    None,
    /// The service's.
    Service,
    /// The task definition's.
    TaskDefinition,
}

/// How a rolling update goes.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentConfig {
    /// At most so many percent of the desired count exist at once, rounded down; 200 by default.
    pub maximum_percent: u32,
    /// At least so many percent of the desired count run at any moment, rounded up; 100 by default.
    pub minimum_healthy_percent: u32,
    /// Ends a deployment that cannot succeed.
    pub circuit_breaker: CircuitBreaker,
}

/// Ends a deployment that cannot succeed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitBreaker {
    /// Whether it acts.
    pub enable: bool,
    /// Whether the last completed deployment is then brought back.
    pub rollback: bool,
    /// So many failures end it.
    #[serde(default)]
    pub threshold: BreakerThreshold,
    /// Whether failures count on though a task has become healthy.
    #[serde(default)]
    pub counts_on: bool,
}

/// So many failures end a deployment.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ThresholdConfiguration.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BreakerThreshold {
    /// As many as this.
    Count(u32),
    /// This percentage of the desired count, but at least 3 and at most 200.
    BoundedPercent(u32),
    /// This percentage of the desired count, but at least 1.
    UnboundedPercent(u32),
}

impl Default for BreakerThreshold {
    fn default() -> Self {
        Self::BoundedPercent(50)
    }
}

impl BreakerThreshold {
    /// The number, for a desired count.
    pub fn of(self, desired: u32) -> u32 {
        let share = |percent: u32| {
            u32::try_from((u64::from(desired) * u64::from(percent)).div_ceil(100))
                .unwrap_or(u32::MAX)
        };
        match self {
            Self::Count(count) => count.max(1),
            Self::BoundedPercent(percent) => share(percent).clamp(3, 200),
            Self::UnboundedPercent(percent) => share(percent).max(1),
        }
    }
}

/// One state that a service was asked to be in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// `ecs-svc/` and digits.
    pub id: DeploymentId,
    /// Whether it is the one to reach.
    pub status: DeploymentStatus,
    /// What it runs.
    pub definition: DefinitionKey,
    /// How many tasks it should have at present; an old one's shrinks to zero.
    pub desired_count: u32,
    /// Where its capacity comes from.
    pub launch_type: LaunchType,
    /// Where its tasks become targets.
    #[serde(default)]
    pub load_balancers: Vec<ServiceTarget>,
    /// The network of its tasks, if each has one of its own.
    #[serde(default)]
    pub network: Option<NetworkConfiguration>,
    /// What makes it a task set, if a program of the user's has made it.
    #[serde(default)]
    pub set: Option<TaskSet>,
    /// How far it has come.
    pub rollout: RolloutState,
    /// The same in words.
    pub rollout_reason: String,
    /// So many of its tasks failed since it last was steady, or since one of them became healthy.
    pub failed_tasks: u32,
    /// So many of its tasks were healthy when it was last looked at, while failures are counted.
    #[serde(default)]
    pub healthy_seen: u32,
    /// So many of its tasks failed one after the other; none after one that stayed. Drives the
    /// back-off.
    pub failures_in_a_row: u32,
    /// No task of it is started before this. Tasks made since then have come after its last failure.
    pub not_before: Option<Timestamp>,
    /// The failed deployment that this one undoes, if the circuit breaker made it; it is not itself
    /// subject to the circuit breaker.
    pub rolls_back: Option<DeploymentId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A deployment's place in its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentStatus {
    /// The one to reach.
    Primary,
    /// Being replaced; it still has tasks.
    Active,
}

/// How far a deployment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutState {
    /// On its way.
    InProgress,
    /// Steady.
    Completed,
    /// Given up by the circuit breaker.
    Failed,
}

/// Something that happened to a service, as users read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    /// Its place in the service's history; it grows by one.
    pub number: u64,
    /// A UUID.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// In words: `(service NAME) …`.
    pub message: String,
}

impl ServiceEvent {
    /// How many events of a service are kept, as ECS does.
    pub const KEPT: u64 = 100;
}

impl Default for DeploymentConfig {
    fn default() -> Self {
        Self {
            maximum_percent: 200,
            minimum_healthy_percent: 100,
            circuit_breaker: CircuitBreaker::default(),
        }
    }
}

impl DeploymentConfig {
    /// How a daemon service is updated unless it says otherwise: it has one task on an instance, so
    /// the old one goes first.
    pub const DAEMON: Self = Self {
        maximum_percent: 100,
        minimum_healthy_percent: 0,
        circuit_breaker: CircuitBreaker {
            enable: false,
            rollback: false,
            threshold: BreakerThreshold::BoundedPercent(50),
            counts_on: false,
        },
    };

    /// The most tasks that may exist at once for a desired count: rounded down, as ECS does.
    pub fn most(&self, desired: u32) -> u32 {
        let most = u64::from(desired) * u64::from(self.maximum_percent) / 100;
        u32::try_from(most).unwrap_or(u32::MAX)
    }

    /// The fewest tasks that must run for a desired count: rounded up, as ECS does.
    pub fn fewest(&self, desired: u32) -> u32 {
        let fewest = (u64::from(desired) * u64::from(self.minimum_healthy_percent)).div_ceil(100);
        u32::try_from(fewest).unwrap_or(u32::MAX)
    }
}

impl Service {
    /// Where its capacity comes from now.
    pub fn capacity(&self) -> CapacitySource {
        CapacitySource {
            launch_type: self.launch_type,
            platform: self.platform,
            providers: self.providers.clone(),
        }
    }

    /// Its capacity comes from there from now on.
    pub fn draw_from(&mut self, source: CapacitySource) {
        self.launch_type = source.launch_type;
        self.platform = source.platform;
        self.providers = source.providers;
    }

    /// The deployment to reach.
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|d| d.status == DeploymentStatus::Primary)
    }

    /// The deployment with this id.
    pub fn deployment(&self, id: &DeploymentId) -> Option<&Deployment> {
        self.deployments.iter().find(|d| d.id == *id)
    }
}
