//! What may be asked of capacity, and why it is refused.

use std::time::Duration;

use model::{
    AutoScalingGroupName, ClusterName, GroupActionKey, GroupPolicyKey, GroupTag, HookOutcome,
    LaunchConfigurationName, LaunchSource, LaunchTemplateId, LifecycleHook, ManagedScaling,
    NodeHealth, NodeId, Process, ProviderName, StrategyItem, Tags,
};

use super::policies::{GroupScale, NewGroupAction, NewGroupPolicy, PolicyRun};
use super::templates::{NewTemplate, NewVersion};

/// A command about groups of nodes or capacity providers.
#[derive(Clone, Debug, PartialEq)]
pub enum CapacityCommand {
    /// CreateLaunchConfiguration.
    CreateLaunch(NewLaunch),
    /// DeleteLaunchConfiguration: only one that no group uses.
    DeleteLaunch(LaunchConfigurationName),
    /// CreateAutoScalingGroup.
    CreateGroup(Box<NewGroup>),
    /// UpdateAutoScalingGroup: what is absent stays.
    UpdateGroup(Box<GroupUpdate>),
    /// DeleteAutoScalingGroup.
    DeleteGroup {
        /// Which.
        group: AutoScalingGroupName,
        /// With its nodes; else only one without nodes.
        force: bool,
    },
    /// SetDesiredCapacity.
    SetDesired {
        /// Of which.
        group: AutoScalingGroupName,
        /// How many nodes, within its bounds.
        desired: u32,
        /// Not while a cooldown holds.
        honor_cooldown: bool,
    },
    /// SetInstanceProtection.
    SetProtection {
        /// Whose.
        group: AutoScalingGroupName,
        /// Which of its nodes.
        nodes: Vec<NodeId>,
        /// From now on.
        protected: bool,
    },
    /// SetInstanceHealth.
    SetHealth {
        /// Which.
        node: NodeId,
        /// From now on.
        health: NodeHealth,
        /// Not within its grace period.
        respect_grace: bool,
    },
    /// TerminateInstanceInAutoScalingGroup.
    TerminateNode {
        /// Which.
        node: NodeId,
        /// Whether none takes its place.
        decrement: bool,
    },
    /// PutLifecycleHook.
    PutHook(AutoScalingGroupName, LifecycleHook),
    /// DeleteLifecycleHook, by its name: whoever waits for it goes on.
    DeleteHook(AutoScalingGroupName, String),
    /// CompleteLifecycleAction.
    CompleteHook {
        /// Whose.
        group: AutoScalingGroupName,
        /// The hook's name.
        hook: String,
        /// Which node waits.
        node: NodeId,
        /// With what.
        outcome: HookOutcome,
    },
    /// RecordLifecycleActionHeartbeat: the waiting begins anew.
    ExtendHook {
        /// Whose.
        group: AutoScalingGroupName,
        /// The hook's name.
        hook: String,
        /// Which node waits.
        node: NodeId,
    },
    /// SuspendProcesses and ResumeProcesses.
    Suspend {
        /// Whose.
        group: AutoScalingGroupName,
        /// Which.
        processes: Vec<Process>,
        /// Suspended, or not.
        suspended: bool,
    },
    /// CreateOrUpdateTags.
    PutTags(AutoScalingGroupName, Vec<GroupTag>),
    /// DeleteTags, by key.
    DeleteTags(AutoScalingGroupName, Vec<String>),

    /// CreateCapacityProvider.
    CreateProvider(NewProvider),
    /// UpdateCapacityProvider: what is absent stays.
    UpdateProvider {
        /// Which.
        name: ProviderName,
        /// How it is managed; `Some(None)` not at all.
        scaling: Option<Option<ManagedScaling>>,
        /// Whether nodes with tasks are kept.
        termination_protection: Option<bool>,
        /// Whether nodes are drained before they end.
        draining: Option<bool>,
    },
    /// DeleteCapacityProvider: only one that no cluster has.
    DeleteProvider(ProviderName),
    /// PutClusterCapacityProviders.
    PutClusterProviders {
        /// Whose.
        cluster: ClusterName,
        /// All that it has from now on.
        providers: Vec<ProviderName>,
        /// What tasks use that name none.
        strategy: Vec<StrategyItem>,
    },

    /// CreateLaunchTemplate.
    CreateTemplate(NewTemplate),
    /// CreateLaunchTemplateVersion.
    CreateVersion(NewVersion),
    /// ModifyLaunchTemplate: which version is the default one.
    SetDefaultVersion(LaunchTemplateId, u64),
    /// DeleteLaunchTemplate, with its versions.
    DeleteTemplate(LaunchTemplateId),
    /// DeleteLaunchTemplateVersions: those that are not there, and the default one, stay out of it.
    DeleteVersions(LaunchTemplateId, Vec<u64>),

    /// PutScalingPolicy of Auto Scaling.
    PutGroupPolicy(Box<NewGroupPolicy>),
    /// DeletePolicy.
    DeleteGroupPolicy(GroupPolicyKey),
    /// ExecutePolicy, or an alarm's order.
    RunGroupPolicy(PolicyRun),
    /// Made by the scaling loop: a target tracking policy moves a group's size.
    TrackGroup(GroupScale),
    /// PutScheduledUpdateGroupAction, one or several: all or none.
    PutGroupActions(Vec<NewGroupAction>),
    /// DeleteScheduledAction.
    DeleteGroupAction(GroupActionKey),

    /// Whoever starts nodes has tried, and tells what came of it.
    ReportNode(NodeId, NodeReport),
    /// Made by `plan`: moves a group and its nodes on.
    StepGroup(AutoScalingGroupName),
}

/// What became of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeReport {
    /// It could not be started, or ended before its agent joined: why, in words.
    Failed(String),
    /// It is no more.
    Gone,
}

/// CreateLaunchConfiguration.
#[derive(Clone, Debug, PartialEq)]
pub struct NewLaunch {
    /// Its name.
    pub name: LaunchConfigurationName,
    /// The machine image.
    pub image: String,
    /// The size.
    pub instance_type: String,
    /// What nodes are told at their start.
    pub user_data: String,
    /// The cluster that they join.
    pub cluster: ClusterName,
}

/// CreateAutoScalingGroup.
#[derive(Clone, Debug, PartialEq)]
pub struct NewGroup {
    /// Its name.
    pub name: AutoScalingGroupName,
    /// How its nodes are started.
    pub launch: LaunchSource,
    /// At least so many.
    pub min: u32,
    /// At most so many.
    pub max: u32,
    /// So many; the minimum unless given.
    pub desired: Option<u32>,
    /// Where.
    pub zones: Vec<String>,
    /// In which subnets.
    pub subnets: Vec<String>,
    /// Between two simple scalings.
    pub cooldown: Duration,
    /// A young node is spared for so long.
    pub health_grace: Duration,
    /// Whether nodes are protected from scale-in.
    pub protect_new: bool,
    /// What is waited for.
    pub hooks: Vec<LifecycleHook>,
    /// Its tags.
    pub tags: Vec<GroupTag>,
}

/// UpdateAutoScalingGroup: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupUpdate {
    /// Which.
    pub name: Option<AutoScalingGroupName>,
    /// How nodes are started from now on.
    pub launch: Option<LaunchSource>,
    /// At least so many.
    pub min: Option<u32>,
    /// At most so many.
    pub max: Option<u32>,
    /// So many.
    pub desired: Option<u32>,
    /// Where.
    pub zones: Option<Vec<String>>,
    /// In which subnets.
    pub subnets: Option<Vec<String>>,
    /// Between two simple scalings.
    pub cooldown: Option<Duration>,
    /// A young node is spared for so long.
    pub health_grace: Option<Duration>,
    /// Whether new nodes are protected from scale-in.
    pub protect_new: Option<bool>,
}

/// CreateCapacityProvider.
#[derive(Clone, Debug, PartialEq)]
pub struct NewProvider {
    /// Its name.
    pub name: ProviderName,
    /// Whose nodes it gives.
    pub group: AutoScalingGroupName,
    /// How it is managed.
    pub scaling: Option<ManagedScaling>,
    /// Whether nodes with tasks are kept.
    pub termination_protection: bool,
    /// Whether nodes are drained before they end.
    pub draining: bool,
    /// Its tags.
    pub tags: Tags,
}

/// Why a command about capacity is refused. `Display` is AWS's sentence where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapacityRejection {
    /// No such group.
    #[error("AutoScalingGroup name not found - AutoScalingGroup {0} not found")]
    NoGroup(AutoScalingGroupName),
    /// A group of that name exists.
    #[error(
        "AutoScalingGroup by this name already exists - A group with the name {0} already exists"
    )]
    GroupExists(AutoScalingGroupName),
    /// The group is being deleted.
    #[error("AutoScalingGroup {0} is being deleted; it takes no changes any more")]
    GroupDeleting(AutoScalingGroupName),
    /// The group has nodes and its deletion is not forced.
    #[error(
        "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance \
         request(s) still in the group."
    )]
    GroupHasNodes(AutoScalingGroupName),
    /// A capacity provider uses the group.
    #[error(
        "AutoScalingGroup {0} is used by the capacity provider {1}; delete the capacity provider \
         first"
    )]
    GroupHasProvider(AutoScalingGroupName, ProviderName),
    /// No such launch configuration.
    #[error("Launch configuration name not found - Launch configuration {0} not found")]
    NoLaunch(LaunchConfigurationName),
    /// A launch configuration of that name exists.
    #[error(
        "Launch Configuration by this name already exists - A launch configuration already exists \
         with the name {0}"
    )]
    LaunchExists(LaunchConfigurationName),
    /// No such launch template.
    #[error("The specified launch template, with template ID {0}, does not exist.")]
    NoTemplate(LaunchTemplateId),
    /// No such version of a launch template.
    #[error(
        "The specified launch template version does not exist: the launch template {0} has no \
         version {1}."
    )]
    NoVersion(LaunchTemplateId, String),
    /// A launch template of that name exists.
    #[error("Launch template name already in use.")]
    TemplateExists(String),
    /// A launch template that does not say enough to start a node.
    #[error(
        "You must use a valid fully-formed launch template. The request must contain the parameter \
         {1}. ({0})"
    )]
    NotWhole(LaunchTemplateId, &'static str),
    /// No such policy.
    #[error("No scaling policy {name} found in AutoScalingGroup {group}", name = .0.name, group = .0.group)]
    NoGroupPolicy(GroupPolicyKey),
    /// No such scheduled action.
    #[error("Scheduled action name not found - Scheduled Action {name} not found in AutoScalingGroup {group}", name = .0.name, group = .0.group)]
    NoGroupAction(GroupActionKey),
    /// A quota: the sentence.
    #[error("{0}")]
    Limit(String),
    /// A scaling activity or its cooldown is in the way: the sentence.
    #[error("{0}")]
    InProgress(String),
    /// What a policy was told to do does not happen: the sentence.
    #[error("{0}")]
    NotDone(String),
    /// A group uses the launch configuration.
    #[error(
        "Cannot delete launch configuration {0} because it is attached to AutoScalingGroup {1}"
    )]
    LaunchInUse(LaunchConfigurationName, AutoScalingGroupName),
    /// The numbers of a group contradict each other.
    #[error("{0}")]
    Bounds(String),
    /// No such node.
    #[error("Instance Id not found - No managed instance found for instance ID: {0}")]
    NoNode(NodeId),
    /// No such hook.
    #[error("Lifecycle hook {1} does not exist in AutoScalingGroup {0}")]
    NoHook(AutoScalingGroupName, String),
    /// The node waits for no hook.
    #[error("No active Lifecycle Action found with instance ID {0}")]
    NotWaiting(NodeId),
    /// No such capacity provider.
    #[error("The specified capacity provider was not found: {0}")]
    NoProvider(ProviderName),
    /// A capacity provider of that name exists.
    #[error(
        "The specified capacity provider already exists. To change the configuration of an existing \
         capacity provider, update the capacity provider."
    )]
    ProviderExists(ProviderName),
    /// Another capacity provider has the group.
    #[error(
        "The specified Auto Scaling group ARN is already being used by another capacity provider. \
         Specify a unique Auto Scaling group ARN and try again."
    )]
    GroupTaken(AutoScalingGroupName, ProviderName),
    /// A cluster has the capacity provider.
    #[error(
        "The capacity provider cannot be deleted because it is associated with cluster: {1}. Remove \
         the capacity provider from the cluster and try again."
    )]
    ProviderInUse(ProviderName, ClusterName),
    /// Services or tasks of the cluster use a capacity provider that would be taken away.
    #[error("The specified capacity provider is in use and cannot be removed: {0}")]
    ProviderHasTasks(ProviderName),
    /// A strategy that does not hold together.
    #[error("{0}")]
    Strategy(String),
    /// Managed termination protection asks for something that is not so.
    #[error(
        "The managed termination protection setting for the capacity provider is invalid. To enable \
         managed termination protection for a capacity provider, the Auto Scaling group must have \
         instance protection from scale in enabled."
    )]
    NotProtected,
}
