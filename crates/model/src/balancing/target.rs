//! Targets: who may be sent something, and whether they can answer.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html>

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{ContainerName, GroupId, ListenerId, RuleId, TaskKey};

/// Where a target is found: its group, and what it was registered by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetKey {
    /// Its group.
    pub group: GroupId,
    /// The instance or the address.
    pub place: Place,
    /// Where it listens.
    pub port: u16,
}

/// What a target is named by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    /// The id of an instance: what a container instance has as its `ec2InstanceId`, or, if it has
    /// none, its own id.
    Instance(String),
    /// An address.
    Ip(IpAddr),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(id) => id.fmt(f),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.group, self.place, self.port)
    }
}

/// A registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Where it is found.
    pub key: TargetKey,
    /// The availability zone that was asked for, of an address outside the VPC.
    pub zone: Option<String>,
    /// The task whose container listens there, if a service registered it.
    pub task: Option<TaskKey>,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Since when it is leaving: it gets nothing new, and may finish what it has begun.
    pub draining_since: Option<Timestamp>,
}

/// What is known of a target's health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The verdict.
    pub state: VerdictState,
    /// Why it is not healthy; none if it is.
    pub reason: Option<VerdictReason>,
    /// The same in words, such as `Health checks failed with these codes: [502]`.
    pub description: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// Whether a target can answer. `unused` and `draining` follow from other facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerdictState {
    /// Not known yet.
    Initial,
    /// It can.
    Healthy,
    /// It cannot.
    Unhealthy,
}

/// Why a target is not healthy, in AWS's kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerdictReason {
    /// `Elb.RegistrationInProgress`
    RegistrationInProgress,
    /// `Elb.InitialHealthChecking`
    InitialHealthChecking,
    /// `Elb.InternalError`
    InternalError,
    /// `Target.ResponseCodeMismatch`
    ResponseCodeMismatch,
    /// `Target.Timeout`
    Timeout,
    /// `Target.FailedHealthChecks`
    FailedHealthChecks,
}

/// Where a service's tasks become targets.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LoadBalancer.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceTarget {
    /// The group that they join.
    pub group: GroupId,
    /// The container that listens.
    pub container: ContainerName,
    /// Its port, as the container has it.
    pub container_port: u16,
    /// How traffic moves from one set of tasks to another, if it is to.
    #[serde(default)]
    pub advanced: Option<AdvancedTarget>,
}

/// How traffic moves between two target groups.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AdvancedConfiguration.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvancedTarget {
    /// The other group.
    pub alternate: GroupId,
    /// What sends production traffic.
    pub production: TrafficRule,
    /// What sends test traffic, if there is any.
    pub test: Option<TrafficRule>,
    /// A role's ARN as it was given; nothing assumes it.
    pub role: Option<String>,
}

/// What sends traffic to groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TrafficRule {
    /// A rule of a listener, its default rule included.
    Rule(RuleId),
    /// A listener of a network load balancer.
    Listener(ListenerId),
}

impl ServiceTarget {
    /// The same with the other of its two groups.
    #[must_use]
    pub fn swapped(&self) -> Self {
        let mut other = self.clone();
        if let Some(advanced) = &mut other.advanced {
            std::mem::swap(&mut other.group, &mut advanced.alternate);
        }
        other
    }

    /// Whether both have the same container, port, groups and rules, whichever group is first.
    pub fn is_same_pair(&self, other: &Self) -> bool {
        self == other || *self == other.swapped()
    }
}
