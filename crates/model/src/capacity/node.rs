//! A node that a group has started or is about to start.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html>

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{AutoScalingGroupName, ClusterName, LaunchedBy, NodeId};

/// A node of a group. It is forgotten when it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Where it is found.
    pub id: NodeId,
    /// Whose it is.
    pub group: AutoScalingGroupName,
    /// By what it was started.
    pub launch: LaunchedBy,
    /// The cluster that it joins. Records of earlier versions do not have it: see
    /// [`crate::CapacityBook::cluster_of`].
    #[serde(default)]
    pub joins: Option<ClusterName>,
    /// Of which size it is. Records of earlier versions do not have it.
    #[serde(default)]
    pub instance_type: String,
    /// Where.
    pub zone: String,
    /// How far it has come.
    pub state: NodeState,
    /// Whether it is well.
    pub health: NodeHealth,
    /// Whether it is kept from scale-in.
    pub protected: bool,
    /// When its start was decided.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
    /// Until when a hook is waited for, in the states that wait.
    pub waits_until: Option<Timestamp>,
    /// Why it could not be started, in words of who tried last.
    pub trouble: Option<String>,
}

/// A node's life, in order: it never moves back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeState {
    /// It is to be started, and its agent to join.
    Pending,
    /// Its agent has joined, and a hook is waited for.
    PendingWait,
    /// It takes tasks.
    InService,
    /// It is to end once its tasks have been drained.
    Draining,
    /// A hook is waited for before it ends.
    TerminatingWait,
    /// It is to be ended.
    Terminating,
}

/// Whether a node is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeHealth {
    /// As far as is known.
    Healthy,
    /// It is to be replaced.
    Unhealthy,
}

/// Something that a group did.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_Activity.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupActivity {
    /// Its place in the group's history; it grows by one.
    pub number: u64,
    /// A UUID.
    pub id: String,
    /// Which node it was about.
    pub node: NodeId,
    /// In words, such as `Launching a new EC2 instance: i-…`.
    pub description: String,
    /// Why, in words.
    pub cause: String,
    /// What went wrong, in words.
    pub failure: Option<String>,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl GroupActivity {
    /// How many activities of a group are kept.
    pub const KEPT: u64 = 100;
}

impl Node {
    /// Whether it counts towards what its group should have.
    pub fn counts(&self) -> bool {
        self.state <= NodeState::InService
    }
}
