//! A capacity provider: how a cluster asks for nodes.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-auto-scaling.html>

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{AutoScalingGroupName, ProviderName, Tags};

/// A capacity provider over an Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityProvider {
    /// Where it is found.
    pub name: ProviderName,
    /// Whose nodes it gives. A group has one provider at most.
    pub group: AutoScalingGroupName,
    /// How the group's size follows what is asked; none if it does not.
    pub scaling: Option<ManagedScaling>,
    /// Whether nodes with tasks are kept from scale-in.
    pub termination_protection: bool,
    /// Whether a node's tasks are drained before it ends.
    pub draining: bool,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Timestamp,
}

/// How a group's size follows what is asked of it.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ManagedScaling.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedScaling {
    /// So many percent of the nodes are to be in use: 1 to 100.
    pub target_capacity: u32,
    /// At least so many nodes are started at a time.
    pub minimum_step: u32,
    /// At most so many nodes are started at a time.
    pub maximum_step: u32,
    /// So long a new node does not count as idle.
    pub warmup: Duration,
}

impl Default for ManagedScaling {
    /// AWS's defaults.
    fn default() -> Self {
        Self {
            target_capacity: 100,
            minimum_step: 1,
            maximum_step: 10_000,
            warmup: Duration::from_secs(300),
        }
    }
}

/// A share of tasks that a capacity provider gets.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProviderStrategyItem.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyItem {
    /// Which.
    pub provider: ProviderName,
    /// Its share of what is beyond the base: 0 to 1,000.
    pub weight: u32,
    /// So many tasks at least, before weights count: 0 to 100,000, of one item at most.
    pub base: u32,
}
