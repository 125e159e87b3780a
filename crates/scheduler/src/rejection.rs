//! Why a command is refused, and why a task could not be placed: as values.

use model::{
    ClusterName, ContainerName, DefinitionKey, DeploymentId, Family, GroupId, HostPort, InstanceId,
    InstanceKey, NetworkMode, ProviderName, ServiceKey, TargetKind, TaskKey,
};

/// Why a command is refused. The door turns each into an AWS error and a sentence, in one place.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    /// No such active cluster.
    ClusterNotFound(ClusterName),
    /// The cluster still has registered instances.
    ClusterContainsInstances(ClusterName, usize),
    /// The cluster still has services.
    ClusterContainsServices(ClusterName, usize),
    /// The cluster still has tasks.
    ClusterContainsTasks(ClusterName, usize),
    /// No such definition.
    DefinitionNotFound(DefinitionKey),
    /// The family has no active definition.
    FamilyNotFound(Family),
    /// The definition is not active, so it starts nothing new.
    DefinitionInactive(DefinitionKey),
    /// A definition must be deregistered before it is deleted.
    DefinitionActive(DefinitionKey),
    /// The definition cannot be run that way.
    Incompatible {
        /// Which.
        definition: DefinitionKey,
        /// What does not go together, and what would.
        why: String,
    },
    /// No such service.
    ServiceNotFound(ServiceKey),
    /// The service is being deleted or is deleted.
    ServiceNotActive(ServiceKey),
    /// A service by that name exists and was made otherwise.
    ServiceExists(ServiceKey),
    /// A service by that name is still draining.
    ServiceDraining(ServiceKey),
    /// The service still wants tasks and the deletion is not forced.
    ServiceHasTasks(ServiceKey, u32),
    /// The service has no such task set.
    TaskSetNotFound(DeploymentId),
    /// No such task.
    TaskNotFound(TaskKey),
    /// The task belongs to no service, or is stopping: it cannot be protected.
    TaskNotProtectable(TaskKey),
    /// No such instance.
    InstanceNotFound(InstanceKey),
    /// The instance whose attributes are to change does not exist.
    TargetNotFound(InstanceKey),
    /// The instance would have so many attributes of users.
    TooManyAttributes(InstanceKey, usize),
    /// Tasks run on the instance and its deregistration is not forced.
    InstanceHasTasks(InstanceKey, usize),
    /// A request with the same client token asked for something else.
    TokenReused(String),
    /// A value that ECS refuses.
    Invalid {
        /// Where in the request.
        member: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// What does not go together with the rest, in a sentence that is ECS's where it has one.
    Refused(String),
    /// Something real that is not built yet.
    NotBuilt(String),
    /// Too many of something.
    Limit(String),
    /// A service's tasks cannot be the targets that are asked for.
    Misfit(Misfit),
    /// Capacity refuses it.
    Capacity(crate::CapacityRejection),
    /// IAM refuses it.
    Iam(crate::IamRejection),
    /// A service deployment cannot be treated so.
    Deployment(crate::DeploymentRejection),
    /// Application Auto Scaling refuses it.
    Scaling(crate::ScalingRejection),
    /// What the event bus refuses.
    Bus(crate::BusRejection),
    /// Elastic Load Balancing refuses it.
    Balancing(crate::BalancingRejection),
    /// What a planned command relied on holds no longer; the loop looks again.
    Stale,
}

impl From<crate::BusRejection> for Rejection {
    fn from(refusal: crate::BusRejection) -> Self {
        Self::Bus(refusal)
    }
}

impl From<crate::ScalingRejection> for Rejection {
    fn from(refusal: crate::ScalingRejection) -> Self {
        Self::Scaling(refusal)
    }
}

impl From<crate::CapacityRejection> for Rejection {
    fn from(refusal: crate::CapacityRejection) -> Self {
        Self::Capacity(refusal)
    }
}

impl From<crate::IamRejection> for Rejection {
    fn from(refusal: crate::IamRejection) -> Self {
        Self::Iam(refusal)
    }
}

/// Why the tasks of a service cannot be the targets that are asked for.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-load-balancing.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// No such target group.
    NoGroup(GroupId),
    /// No listener sends to the group.
    NoBalancer(GroupId),
    /// The task definition has no such container.
    NoContainer(ContainerName),
    /// The container does not publish the port with the group's transport.
    NoPort(ContainerName, u16),
    /// The group's targets are named otherwise than tasks of this network can be.
    Network(GroupId, TargetKind, NetworkMode),
    /// So many are more than ECS allows.
    TooMany(usize),
    /// The same is asked for twice.
    Twice(GroupId, ContainerName, u16),
}

/// Why one task of a request was not placed: ECS's `failures[]`.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The instance that came nearest, or that was asked for; none if the cluster has none.
    pub instance: Option<InstanceId>,
    /// The kind of reason.
    pub reason: FailureReason,
    /// What is lacking, with the number of instances that lack it: the most frequent first.
    pub shortfalls: Vec<Shortfall>,
    /// For each instance what it lacks, in the order of their ids; of the first
    /// [`Failure::DETAILED`].
    pub detail: Vec<(InstanceId, Lack)>,
}

impl Failure {
    /// Of so many instances it is told what they lack.
    pub const DETAILED: usize = 20;
}

/// So many instances lack the same, be it more of it or less.
#[derive(Clone, Debug, PartialEq)]
pub struct Shortfall {
    /// How many do.
    pub instances: u32,
    /// The one that lacks the least.
    pub nearest: InstanceId,
    /// What that one lacks.
    pub lack: Lack,
}

/// The kinds of reason in `failures[]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureReason {
    /// `AGENT`: the instance's agent is not connected.
    Agent,
    /// `ATTRIBUTE`: an attribute that the definition requires is missing.
    Attribute,
    /// `RESOURCE:CPU`
    Cpu,
    /// `RESOURCE:MEMORY`
    Memory,
    /// `RESOURCE:PORTS`
    Ports,
    /// `RESOURCE:GPU`
    Gpu,
    /// `RESOURCE:ENI`: no address is free for the task's interface.
    Interface,
    /// `MISSING`: no such instance.
    Missing,
    /// `INACTIVE`: the instance drains.
    Inactive,
    /// `DistinctInstance placement constraint unsatisfied.`
    Constraint,
    /// `MemberOf placement constraint unsatisfied.`
    MemberOf,
    /// `Capacity is unavailable at this time. …`: no node that offers Fargate takes it.
    Capacity,
    /// `EMPTY`: the cluster has no instance at all (ECS refuses the call; the door does so).
    NoInstances,
}

/// What one instance lacks for a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Lack {
    /// Its agent is away.
    AgentDisconnected,
    /// It drains.
    Draining,
    /// It does not exist.
    Unknown,
    /// It is of another launch type.
    LaunchType,
    /// This capacity provider has not given it.
    Provider(ProviderName),
    /// CPU units: wanted and left.
    Cpu {
        /// Wanted.
        wants: u32,
        /// Left.
        has: u32,
    },
    /// MiB: wanted and left.
    Memory {
        /// Wanted.
        wants: u32,
        /// Left.
        has: u32,
    },
    /// A host port that is taken.
    Port(HostPort),
    /// GPUs: wanted and free.
    Gpu {
        /// Wanted.
        wants: u32,
        /// Free.
        has: u32,
    },
    /// An address for the task's interface: none is free in these subnets.
    Address(Vec<String>),
    /// A required attribute.
    Attribute(String),
    /// A task of the group is there already.
    NotDistinct,
    /// An expression that does not hold.
    Expression(String),
}
