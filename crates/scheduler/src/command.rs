//! What may be asked of the state, and what is answered.

mod reports;

use model::{
    AgentInfo, Attribute, Change, CircuitBreaker, ClusterName, ContainerName, DefinitionKey,
    DeploymentController, DeploymentId, Document, ExecLogging, Family, FargatePlatform,
    HealthStatus, Insights, InstanceId, InstanceKey, InstanceStatus, LaunchType,
    NetworkConfiguration, PlacementConstraint, PlacementStrategy, PropagateTags, Resource,
    Resources, RolloutMethod, Scale, SchedulingStrategy, ServiceKey, ServiceTarget, StrategyItem,
    Tags, TargetKey, TaskId, TaskKey, TaskSpec,
};
use std::net::IpAddr;
use std::time::Duration;

use crate::Failure;
pub use reports::*;

/// Everything that can change the state. Those of users and agents come through the door and the
/// sessions; those of [`crate::plan`] come from the loops, and are checked again when they commit.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    // --- users ---
    /// CreateCluster. Again for an active cluster: nothing happens.
    CreateCluster {
        /// Its name.
        name: ClusterName,
        /// Its tags.
        tags: Tags,
    },
    /// UpdateCluster, or CreateCluster with a configuration.
    ConfigureCluster {
        /// Its name.
        name: ClusterName,
        /// Where the output of ExecuteCommand sessions is logged from now on.
        exec_logging: ExecLogging,
    },
    /// UpdateClusterSettings, or CreateCluster with settings.
    SetInsights {
        /// The cluster's name.
        name: ClusterName,
        /// Which metrics of Container Insights are written from now on.
        insights: Insights,
    },
    /// DeleteCluster.
    DeleteCluster(ClusterName),
    /// RegisterTaskDefinition: the family's next number.
    RegisterDefinition {
        /// Its family.
        family: Family,
        /// What was registered.
        document: Document,
        /// What follows from it.
        spec: TaskSpec,
        /// Its tags.
        tags: Tags,
        /// The ARN of who asks.
        by: String,
    },
    /// DeregisterTaskDefinition.
    DeregisterDefinition(DefinitionKey),
    /// DeleteTaskDefinitions, one of them: only an inactive one.
    DeleteDefinition(DefinitionKey),
    /// RunTask.
    RunTask(RunTask),
    /// StartTask: placed by the caller.
    StartTask {
        /// Where; ids as the caller gave them.
        instances: Vec<InstanceId>,
        /// What; its `count`, constraints and strategy are not used.
        run: RunTask,
    },
    /// StopTask.
    StopTask {
        /// Which.
        key: TaskKey,
        /// Why, in the caller's words.
        reason: Option<String>,
    },
    /// UpdateTaskProtection, one of its tasks: for so long from now, or no longer.
    ProtectTask {
        /// Which.
        key: TaskKey,
        /// How long; `None` ends the protection.
        period: Option<Duration>,
    },
    /// CreateService.
    CreateService(CreateService),
    /// UpdateService.
    UpdateService(UpdateService),
    /// CreateTaskSet.
    CreateTaskSet(CreateTaskSet),
    /// UpdateTaskSet.
    ScaleTaskSet {
        /// Whose.
        service: ServiceKey,
        /// Which.
        set: DeploymentId,
        /// To what share of the service's desired count.
        scale: Scale,
    },
    /// UpdateServicePrimaryTaskSet.
    SetPrimaryTaskSet {
        /// Whose.
        service: ServiceKey,
        /// Which.
        set: DeploymentId,
    },
    /// DeleteTaskSet.
    DeleteTaskSet {
        /// Whose.
        service: ServiceKey,
        /// Which.
        set: DeploymentId,
        /// Also when it is the primary one, or has a share of the desired count.
        force: bool,
    },
    /// DeleteService.
    DeleteService {
        /// Which.
        key: ServiceKey,
        /// Also when its desired count is not zero.
        force: bool,
    },
    /// UpdateContainerInstancesState, one of them.
    SetInstanceStatus {
        /// Which.
        key: InstanceKey,
        /// To what.
        status: InstanceStatus,
    },
    /// PutAttributes: all of them or none.
    PutAttributes {
        /// Where.
        cluster: model::ClusterName,
        /// Whose, and which.
        attributes: Vec<(InstanceKey, Attribute)>,
    },
    /// DeleteAttributes, by their names.
    DeleteAttributes {
        /// Where.
        cluster: model::ClusterName,
        /// Whose, and which.
        attributes: Vec<(InstanceKey, Attribute)>,
    },
    /// DeregisterContainerInstance.
    DeregisterInstance {
        /// Which.
        key: InstanceKey,
        /// Also when tasks run on it; they are then stopped for the books and their service replaces
        /// them.
        force: bool,
    },
    /// TagResource.
    Tag {
        /// What.
        resource: Resource,
        /// Added; they win over those of the same key.
        tags: Tags,
    },
    /// UntagResource.
    Untag {
        /// What.
        resource: Resource,
        /// Keys to remove.
        keys: Vec<String>,
    },

    /// Service deployments, their users' and their own.
    Deployment(crate::DeploymentCommand),
    /// A role or a managed policy of IAM.
    Iam(crate::IamCommand),
    /// Application Auto Scaling, its users' and its own.
    Scaling(crate::ScalingCommand),
    /// A load balancer, a target group, a listener or a rule.
    Balancing(crate::BalancingCommand),

    /// Rules of the event bus and what belongs to them, its users' and its own.
    Bus(crate::BusCommand),
    /// PutAccountSetting and PutAccountSettingDefault.
    PutSetting(model::SettingRecord),
    /// DeleteAccountSetting: whose, and which.
    DeleteSetting(String, model::AccountSetting),
    /// Groups of nodes and capacity providers.
    Capacity(crate::CapacityCommand),

    // --- agents ---
    /// RegisterContainerInstance, the first time or again.
    RegisterInstance(RegisterInstance),
    /// What the balancer has seen of targets.
    ReportTargets(Vec<TargetReport>),
    /// The agent's session began or ended.
    AgentSession {
        /// Whose.
        key: InstanceKey,
        /// What is now known of it (`connected_changed_at` is set by the decision).
        agent: AgentInfo,
    },
    /// SubmitTaskStateChange and SubmitContainerStateChange: what an agent has seen. A report never
    /// moves a task back; one for an unknown task is answered and forgotten.
    ReportTask(TaskReport),
    /// The same calls' managed agents.
    ReportExecAgents {
        /// Which task.
        key: TaskKey,
        /// Those that changed.
        agents: Vec<ExecAgentReport>,
    },
    /// TCS health reports.
    ReportHealth {
        /// Whose.
        key: TaskKey,
        /// Verdicts by container.
        health: Vec<(ContainerName, HealthStatus)>,
    },

    // --- loops (made by `plan`) ---
    /// Start tasks of a deployment, as many as are still wanted and fit.
    LaunchServiceTasks {
        /// Whose.
        service: ServiceKey,
        /// For which of its deployments.
        deployment: DeploymentId,
        /// How many.
        count: u32,
    },
    /// Stop tasks of a service, as many as its percentages still allow.
    StopServiceTasks {
        /// Whose.
        service: ServiceKey,
        /// Which, and why.
        tasks: Vec<(TaskId, StopCause)>,
    },
    /// Move a service's deployments on: counts, completion, failure, roll-back, its end.
    StepService {
        /// Which.
        service: ServiceKey,
    },
    /// The draining of targets is over: they are gone, and tasks that waited for it are stopped.
    EndDraining {
        /// Targets whose delay is over.
        targets: Vec<TargetKey>,
        /// Tasks that wait though no target of theirs is left.
        tasks: Vec<TaskKey>,
    },
    /// A task that waits for capacity may find a place now, or has waited for too long.
    PlaceWaiting(TaskKey),
    /// The instance of a task is gone for good: the task is stopped for the books.
    LoseTask {
        /// Which.
        key: TaskKey,
        /// In words.
        reason: String,
    },
    /// A stopped task, an old token, an inactive service or a deleted definition has been kept long
    /// enough.
    Forget(Vec<Forget>),
    /// After a start of the server: no session stands.
    DisconnectAll,
}

/// Why a service's task is stopped by its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopCause {
    /// There are more than wanted, or the service is being deleted.
    ScaleIn,
    /// A newer deployment takes its place.
    Replaced,
    /// Its container health checks fail.
    Unhealthy,
    /// The health checks of a target that it is fail.
    TargetUnhealthy,
    /// Its instance drains.
    Draining,
}

impl StopCause {
    /// Whether it is that the task does not do what it should.
    pub(crate) const fn is_unhealthy(self) -> bool {
        match self {
            Self::Unhealthy | Self::TargetUnhealthy => true,
            Self::ScaleIn | Self::Replaced | Self::Draining => false,
        }
    }
}

/// What may be forgotten.
#[derive(Clone, Debug, PartialEq)]
pub enum Forget {
    /// A stopped task, after it was kept for so long.
    Task(TaskKey, Duration),
    /// A client token.
    Token(model::TokenKey),
    /// An inactive service.
    Service(ServiceKey),
    /// A deleted definition that nothing refers to.
    Definition(DefinitionKey),
    /// A service deployment that has long been over, and revisions that only it knew.
    Deployment(model::ServiceDeploymentKey),
}

/// RunTask and StartTask.
#[derive(Clone, Debug, PartialEq)]
pub struct RunTask {
    /// Where.
    pub cluster: ClusterName,
    /// What. The door has resolved `family` to its newest active number.
    pub definition: DefinitionKey,
    /// How many: 1 to 10.
    pub count: u32,
    /// Where capacity comes from.
    pub launch_type: LaunchType,
    /// Which capacity providers get how much; empty for none.
    pub providers: Vec<StrategyItem>,
    /// `family:NAME` unless given.
    pub group: Option<String>,
    /// Anybody's note; at most 128 characters.
    pub started_by: Option<String>,
    /// As it came.
    pub overrides: Option<Document>,
    /// CPU and memory of the task or its containers where overridden; already validated against the
    /// definition.
    pub resize: Resize,
    /// Beside those of the definition.
    pub constraints: Vec<PlacementConstraint>,
    /// How to choose.
    pub strategy: Vec<PlacementStrategy>,
    /// Tags of each task.
    pub tags: Tags,
    /// Whether the definition's tags are added.
    pub propagate_from_definition: bool,
    /// Whether `aws:ecs:*` tags are added.
    pub enable_ecs_managed_tags: bool,
    /// Whether ExecuteCommand may be used.
    pub enable_execute_command: bool,
    /// The network of each task, if each is to have one of its own.
    pub network: Option<NetworkConfiguration>,
    /// Makes a repetition harmless: `(token, fingerprint of the request)`.
    pub client_token: Option<(String, u64)>,
}

/// Overrides that change what is reserved and where the task may run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resize {
    /// The task's CPU units.
    pub cpu: Option<u32>,
    /// The task's MiB.
    pub memory: Option<u32>,
    /// By container.
    pub containers: Vec<ContainerResize>,
    /// Attributes that the instance must have beside those of the definition.
    pub attributes: Vec<String>,
}

/// What is overridden of a container's sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerResize {
    /// Which.
    pub name: ContainerName,
    /// CPU units.
    pub cpu: Option<u32>,
    /// Hard limit in MiB.
    pub memory: Option<u32>,
    /// Soft limit in MiB.
    pub memory_reservation: Option<u32>,
    /// How many GPUs are its own.
    pub gpus: Option<u32>,
}

/// CreateService.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateService {
    /// Where it will be found.
    pub key: ServiceKey,
    /// What it runs; none if its task sets say so.
    pub definition: Option<DefinitionKey>,
    /// Whether it has so many tasks or one on each instance.
    pub scheduling: SchedulingStrategy,
    /// Who decides what it runs.
    pub controller: DeploymentController,
    /// How many; none for a daemon service, and zero for one of task sets that does not say.
    pub desired_count: Option<u32>,
    /// Where capacity comes from.
    pub launch_type: LaunchType,
    /// Which version of Fargate's platform it asks for, if it is Fargate's at all.
    pub platform: FargatePlatform,
    /// Which capacity providers get how much; empty for none.
    pub providers: Vec<StrategyItem>,
    /// `(maximum, minimum)` percent where given.
    pub percents: (Option<u32>, Option<u32>),
    /// The circuit breaker where given.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// How it is updated.
    pub method: RolloutMethod,
    /// Beside those of the definition.
    pub constraints: Vec<PlacementConstraint>,
    /// How to choose.
    pub strategy: Vec<PlacementStrategy>,
    /// Whether its tasks are kept even over availability zones; where that is not said they are, if
    /// nothing else of the service stands against it.
    pub rebalances: Option<bool>,
    /// Its tags.
    pub tags: Tags,
    /// Whose tags its tasks get.
    pub propagate_tags: PropagateTags,
    /// Whether its tasks get `aws:ecs:*` tags.
    pub enable_ecs_managed_tags: bool,
    /// Whether ExecuteCommand may be used.
    pub enable_execute_command: bool,
    /// Where its tasks become targets.
    pub load_balancers: Vec<ServiceTarget>,
    /// The network of each task, if each is to have one of its own.
    pub network: Option<NetworkConfiguration>,
    /// For how long health checks that fail are not held against a task.
    pub health_check_grace: Option<Duration>,
    /// The ARN of who asks.
    pub by: String,
    /// Makes a repetition harmless.
    pub client_token: Option<(String, u64)>,
}

/// CreateTaskSet.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTaskSet {
    /// Whose.
    pub service: ServiceKey,
    /// What it runs.
    pub definition: DefinitionKey,
    /// Where capacity comes from.
    pub launch_type: LaunchType,
    /// Which capacity providers get how much; empty for none.
    pub providers: Vec<StrategyItem>,
    /// Where its tasks become targets.
    pub load_balancers: Vec<ServiceTarget>,
    /// The network of its tasks, if each has one of its own.
    pub network: Option<NetworkConfiguration>,
    /// Its share of the service's desired count.
    pub scale: Scale,
    /// What the program calls it.
    pub external_id: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// Makes a repetition harmless.
    pub client_token: Option<(String, u64)>,
}

/// UpdateService: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateService {
    /// Which.
    pub key: Option<ServiceKey>,
    /// What it runs from now on.
    pub definition: Option<DefinitionKey>,
    /// Who is to decide what it runs.
    pub controller: Option<DeploymentController>,
    /// How many.
    pub desired_count: Option<u32>,
    /// Which capacity providers get how much.
    pub providers: Option<Vec<StrategyItem>>,
    /// Which version of Fargate's platform it asks for.
    pub platform: Option<FargatePlatform>,
    /// `(maximum, minimum)` percent.
    pub percents: (Option<u32>, Option<u32>),
    /// The circuit breaker.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// How it is updated from now on.
    pub method: Option<RolloutMethod>,
    /// Whether its tasks are kept even over availability zones.
    pub rebalances: Option<bool>,
    /// Its own constraints anew.
    pub constraints: Option<Vec<PlacementConstraint>>,
    /// Its strategy anew.
    pub strategy: Option<Vec<PlacementStrategy>>,
    /// Whose tags its tasks get.
    pub propagate_tags: Option<PropagateTags>,
    /// Whether its tasks get `aws:ecs:*` tags.
    pub enable_ecs_managed_tags: Option<bool>,
    /// Whether ExecuteCommand may be used on tasks started from now on.
    pub enable_execute_command: Option<bool>,
    /// The network of each task from now on; if that is new, so is the deployment.
    pub network: Option<NetworkConfiguration>,
    /// Where its tasks become targets from now on; if that is new, so is the deployment.
    pub load_balancers: Option<Vec<ServiceTarget>>,
    /// For how long health checks that fail are not held against a task.
    pub health_check_grace: Option<Duration>,
    /// A new deployment even if nothing else changed.
    pub force_new_deployment: bool,
}

/// RegisterContainerInstance.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterInstance {
    /// Where.
    pub cluster: ClusterName,
    /// Its id from before, when it comes back.
    pub known_as: Option<InstanceId>,
    /// What the node calls itself.
    pub ec2_instance_id: Option<String>,
    /// From where it registers, if that is known.
    pub address: Option<IpAddr>,
    /// What it has.
    pub resources: Resources,
    /// What it says of itself.
    pub attributes: Vec<Attribute>,
    /// Its tags.
    pub tags: Tags,
}

/// What a command does: the changes to commit and the answer for the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// In order; empty if nothing changes.
    pub changes: Vec<Change>,
    /// For the caller, once the changes are durable.
    pub reply: Reply,
}

/// What the caller is told. What it shows is read from the state as it then is.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Done.
    Done,
    /// A cluster was made, changed or deleted.
    Cluster(ClusterName),
    /// A definition was registered, deregistered or deleted.
    Definition(DefinitionKey),
    /// Tasks were placed, and some perhaps not.
    Tasks {
        /// Those placed.
        placed: Vec<TaskKey>,
        /// Why not the others.
        failures: Vec<Failure>,
    },
    /// A task was told to stop.
    Task(TaskKey),
    /// A service was made, changed or deleted.
    Service(ServiceKey),
    /// A task set of a service was made, changed or deleted.
    TaskSet(ServiceKey, DeploymentId),
    /// A role was made, changed or deleted.
    Role(model::RoleName),
    /// A managed policy was made or changed: its name, and the number of the version.
    Policy(model::PolicyName, u32),
    /// A load balancer, a target group, a listener or a rule was made, changed or deleted.
    Balancing(model::BalancingResource),
    /// A version of a launch template was made, or was there already.
    TemplateVersion(model::LaunchTemplateId, u64),
    /// An instance registered, changed or was deregistered. The value is as it was at that moment,
    /// since a deregistered one is gone from the state.
    Instance(Box<model::Instance>),
}
