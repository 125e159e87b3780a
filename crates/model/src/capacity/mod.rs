//! Capacity that comes and goes: groups of nodes that are started and ended by what is asked of them,
//! and the capacity providers by which clusters ask.
//!
//! [`AutoScalingGroup`]s are those of Amazon EC2 Auto Scaling
//! (<https://docs.aws.amazon.com/autoscaling/ec2/APIReference/Welcome.html>), as far as a cluster
//! needs them; [`CapacityProvider`]s are ECS's own
//! (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProvider.html>). A [`Node`]
//! is what a group has started or is about to; once its agent has joined, an instance of the cluster
//! bears its id.

mod arn;
mod book;
mod group;
mod node;
mod policy;
mod provider;
mod template;

pub use book::{CapacityBook, CapacityChange};
pub use group::{AutoScalingGroup, GroupTag, HookOutcome, LifecycleHook, Process, Transition};
pub use node::{GroupActivity, Node, NodeHealth, NodeState};
pub use policy::{
    GroupAction, GroupActionKey, GroupPolicy, GroupPolicyKey, GroupPolicyKind, GroupStride,
    GroupTracking, SimpleScaling,
};
pub use provider::{CapacityProvider, ManagedScaling, StrategyItem};
pub use template::{
    LaunchConfiguration, LaunchSource, LaunchTemplate, LaunchTerms, LaunchedBy, TemplateData,
    TemplateVersion, VersionChoice,
};

stdx::ids! {
    /// The name of an Auto Scaling group, unique in the realm.
    AutoScalingGroupName;
    /// The name of a launch configuration, unique in the realm.
    LaunchConfigurationName;
    /// A launch template's id: `lt-` and seventeen hexadecimal digits.
    LaunchTemplateId;
    /// The name of a group's scaling policy, unique in its group.
    GroupPolicyName;
    /// The name of a group's scheduled action, unique in its group.
    GroupActionName;
    /// A node's id: `i-` and seventeen hexadecimal digits.
    NodeId;
    /// The name of a capacity provider, unique in the realm.
    ProviderName;
}
