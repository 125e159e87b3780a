//! A group of like nodes.
//! <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AutoScalingGroup.html>

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{AutoScalingGroupName, GroupStride, LaunchSource};

/// A group of like nodes. Its nodes are records of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoScalingGroup {
    /// Where it is found.
    pub name: AutoScalingGroupName,
    /// The last part of its ARN's middle: a UUID.
    pub id: String,
    /// How its nodes are started from now on.
    pub launch: LaunchSource,
    /// It has at least so many nodes.
    pub min: u32,
    /// It has at most so many nodes.
    pub max: u32,
    /// It should have so many.
    pub desired: u32,
    /// Where its nodes are started, evenly.
    pub zones: Vec<String>,
    /// The subnets that were asked for.
    pub subnets: Vec<String>,
    /// Between two simple scalings.
    pub cooldown: Duration,
    /// A node that is not healthy is spared for so long after its start.
    pub health_grace: Duration,
    /// Whether new nodes are protected from scale-in.
    pub protect_new: bool,
    /// What it does not do at present.
    pub suspended: BTreeSet<Process>,
    /// What is waited for when nodes come and go.
    pub hooks: Vec<LifecycleHook>,
    /// Its tags.
    pub tags: Vec<GroupTag>,
    /// Whether it is being deleted: it goes when its last node has gone.
    pub deleting: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who last changed how many nodes it should have, as sentences for the activities that follow;
    /// empty when it has so many.
    #[serde(default)]
    pub why: String,
    /// The last time that a policy moved its size.
    #[serde(default)]
    pub stride: Option<GroupStride>,
}

/// What a group does by itself and may be told not to.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Process {
    /// Starts nodes.
    Launch,
    /// Ends nodes.
    Terminate,
    /// Marks nodes that do not answer as unhealthy.
    HealthCheck,
    /// Replaces what is unhealthy.
    ReplaceUnhealthy,
    /// Acts upon alarms.
    AlarmNotification,
    /// Acts upon a calendar.
    ScheduledActions,
    /// Evens out zones.
    AzRebalance,
    /// Registers new nodes with load balancers.
    AddToLoadBalancer,
    /// Replaces nodes by newer ones.
    InstanceRefresh,
}

/// What is waited for when a node comes or goes.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_LifecycleHook.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleHook {
    /// Its name, unique in its group.
    pub name: String,
    /// On which way.
    pub transition: Transition,
    /// So long it is waited.
    pub timeout: Duration,
    /// What follows when nobody has said anything.
    pub default: HookOutcome,
}

/// A node's way that may be waited upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transition {
    /// It comes.
    Launching,
    /// It goes.
    Terminating,
}

/// What a waiting ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookOutcome {
    /// The node comes, or goes.
    Continue,
    /// A node that comes is ended; one that goes, goes at once.
    Abandon,
}

/// A tag of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Whether nodes that start from now on get it too.
    pub propagate: bool,
}

impl AutoScalingGroup {
    /// Whether it does this at present.
    pub fn does(&self, process: Process) -> bool {
        !self.suspended.contains(&process)
    }

    /// The first hook on this way, if there is one.
    pub fn hook(&self, transition: Transition) -> Option<&LifecycleHook> {
        self.hooks.iter().find(|hook| hook.transition == transition)
    }
}
