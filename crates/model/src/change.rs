//! A change: the whole of one record as it now is, or its end.
//!
//! One `Change` is one record in the store. The same stream is the durable log, feeds followers,
//! wakes loops and becomes the events that users see. Records are split by heat: a task's facts are
//! written once, its progress with each step.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    BalancingChange, BusChange, CapacityChange, Cluster, ClusterName, DefinitionKey,
    DeploymentChange, Instance, InstanceKey, ManagedPolicy, PolicyName, Role, RoleName,
    ScalingChange, Service, ServiceEvent, ServiceKey, SettingChange, TaskDefinition, TaskFacts,
    TaskKey, TaskProgress, TokenKey, TokenRecord,
};

/// One upsert or delete of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A cluster as it now is.
    PutCluster(Arc<Cluster>),
    /// A cluster is forgotten.
    DeleteCluster(ClusterName),
    /// A task definition as it now is.
    PutDefinition(Arc<TaskDefinition>),
    /// A task definition is forgotten; its number is not used again.
    DeleteDefinition(DefinitionKey),
    /// A container instance as it now is.
    PutInstance(Arc<Instance>),
    /// A container instance is gone.
    DeleteInstance(InstanceKey),
    /// A service as it now is.
    PutService(Arc<Service>),
    /// A service is forgotten, and its events.
    DeleteService(ServiceKey),
    /// Something happened to a service. It takes the place of the event that is
    /// [`ServiceEvent::KEPT`] older.
    PutEvent(ServiceKey, Arc<ServiceEvent>),
    /// What a task was asked to be.
    PutTask(Arc<TaskFacts>),
    /// How far a task has come. Follows its `PutTask`.
    PutProgress(TaskKey, Arc<TaskProgress>),
    /// A stopped task is forgotten.
    DeleteTask(TaskKey),
    /// A client token as first used.
    PutToken(Arc<TokenRecord>),
    /// A client token is forgotten.
    DeleteToken(TokenKey),
    /// A role as it now is.
    PutRole(Arc<Role>),
    /// A role is gone.
    DeleteRole(RoleName),
    /// A managed policy as it now is.
    PutPolicy(Arc<ManagedPolicy>),
    /// A managed policy is gone.
    DeletePolicy(PolicyName),
    /// Load balancers and what belongs to them.
    Balancing(BalancingChange),
    /// Scalable targets and what belongs to them.
    Scaling(ScalingChange),
    /// Auto Scaling groups, their nodes, and capacity providers.
    Capacity(CapacityChange),
    /// Service deployments and service revisions.
    Deployment(DeploymentChange),
    /// Rules of the event bus and what belongs to them.
    Bus(BusChange),
    /// Account settings.
    Setting(SettingChange),
}

/// The kinds of records, in the order in which they are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Clusters.
    Clusters,
    /// Task definitions.
    Definitions,
    /// Container instances.
    Instances,
    /// Services.
    Services,
    /// Service events.
    Events,
    /// What tasks were asked to be.
    Tasks,
    /// How far tasks have come.
    Progress,
    /// Client tokens.
    Tokens,
    /// Roles.
    Roles,
    /// Managed policies.
    Policies,
    /// Load balancers.
    Balancers,
    /// Target groups.
    TargetGroups,
    /// Listeners of load balancers.
    Listeners,
    /// Rules of listeners.
    Rules,
    /// Registrations in target groups.
    Targets,
    /// What is known of targets' health.
    Verdicts,
    /// Scalable targets.
    ScalableTargets,
    /// Scaling policies.
    ScalingPolicies,
    /// Scheduled actions.
    ScheduledActions,
    /// What scaling did.
    ScalingActivities,
    /// Launch configurations.
    LaunchConfigurations,
    /// Auto Scaling groups.
    AutoScalingGroups,
    /// Nodes of Auto Scaling groups.
    Nodes,
    /// Capacity providers.
    CapacityProviders,
    /// What Auto Scaling groups did.
    GroupActivities,
    /// Launch templates.
    LaunchTemplates,
    /// Versions of launch templates.
    TemplateVersions,
    /// Scaling policies of Auto Scaling groups.
    GroupPolicies,
    /// Scheduled actions of Auto Scaling groups.
    GroupActions,
    /// Rules of the event bus.
    EventRules,
    /// Their targets.
    EventTargets,
    /// Connections of web hooks.
    Connections,
    /// Web hooks.
    ApiDestinations,
    /// Service revisions.
    ServiceRevisions,
    /// Service deployments.
    ServiceDeployments,
    /// Account settings.
    AccountSettings,
}

/// Where a record stands in the store: one record an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Its kind.
    pub table: Table,
    /// Its key within the kind, ordered by cluster first.
    pub key: String,
}

impl Table {
    /// Every kind, in loading order.
    pub const ALL: [Self; 36] = [
        Self::Clusters,
        Self::Definitions,
        Self::Instances,
        Self::Services,
        Self::Events,
        Self::Tasks,
        Self::Progress,
        Self::Tokens,
        Self::Roles,
        Self::Policies,
        Self::Balancers,
        Self::TargetGroups,
        Self::Listeners,
        Self::Rules,
        Self::Targets,
        Self::Verdicts,
        Self::ScalableTargets,
        Self::ScalingPolicies,
        Self::ScheduledActions,
        Self::ScalingActivities,
        Self::LaunchConfigurations,
        Self::AutoScalingGroups,
        Self::Nodes,
        Self::CapacityProviders,
        Self::GroupActivities,
        Self::LaunchTemplates,
        Self::TemplateVersions,
        Self::GroupPolicies,
        Self::GroupActions,
        Self::EventRules,
        Self::EventTargets,
        Self::Connections,
        Self::ApiDestinations,
        Self::ServiceRevisions,
        Self::ServiceDeployments,
        Self::AccountSettings,
    ];
}

impl Change {
    /// The record that is written; for a delete, those that are removed (a task has two).
    pub fn addresses(&self) -> Vec<Address> {
        let at = |table, key: String| Address { table, key };
        match self {
            Self::PutCluster(cluster) => vec![at(Table::Clusters, cluster.name.to_string())],
            Self::DeleteCluster(name) => vec![at(Table::Clusters, name.to_string())],
            Self::PutDefinition(definition) => {
                vec![at(Table::Definitions, padded(&definition.key))]
            }
            Self::DeleteDefinition(key) => vec![at(Table::Definitions, padded(key))],
            Self::PutInstance(instance) => vec![at(Table::Instances, instance.key.to_string())],
            Self::DeleteInstance(key) => vec![at(Table::Instances, key.to_string())],
            Self::PutService(service) => vec![at(Table::Services, service.key.to_string())],
            Self::DeleteService(key) => {
                let slots = (0..ServiceEvent::KEPT).map(|n| at(Table::Events, slot(key, n)));
                std::iter::once(at(Table::Services, key.to_string())).chain(slots).collect()
            }
            Self::PutEvent(key, event) => vec![at(Table::Events, slot(key, event.number))],
            Self::PutTask(facts) => vec![at(Table::Tasks, facts.key.to_string())],
            Self::PutProgress(key, _) => vec![at(Table::Progress, key.to_string())],
            Self::DeleteTask(key) => {
                vec![at(Table::Tasks, key.to_string()), at(Table::Progress, key.to_string())]
            }
            Self::PutToken(record) => vec![at(Table::Tokens, token(&record.key))],
            Self::DeleteToken(key) => vec![at(Table::Tokens, token(key))],
            Self::PutRole(role) => vec![at(Table::Roles, role.name.to_string())],
            Self::DeleteRole(name) => vec![at(Table::Roles, name.to_string())],
            Self::PutPolicy(policy) => vec![at(Table::Policies, policy.name.to_string())],
            Self::DeletePolicy(name) => vec![at(Table::Policies, name.to_string())],
            Self::Balancing(change) => change.addresses(),
            Self::Scaling(change) => change.addresses(),
            Self::Capacity(change) => change.addresses(),
            Self::Deployment(change) => change.addresses(),
            Self::Bus(change) => change.addresses(),
            Self::Setting(change) => change.addresses(),
        }
    }

    /// Whether the record is removed rather than written.
    pub const fn is_delete(&self) -> bool {
        match self {
            Self::DeleteCluster(_)
            | Self::DeleteDefinition(_)
            | Self::DeleteInstance(_)
            | Self::DeleteService(_)
            | Self::DeleteTask(_)
            | Self::DeleteToken(_)
            | Self::DeleteRole(_)
            | Self::DeletePolicy(_) => true,
            Self::PutCluster(_)
            | Self::PutDefinition(_)
            | Self::PutInstance(_)
            | Self::PutService(_)
            | Self::PutEvent(..)
            | Self::PutTask(_)
            | Self::PutProgress(..)
            | Self::PutToken(_)
            | Self::PutRole(_)
            | Self::PutPolicy(_) => false,
            Self::Balancing(change) => change.is_delete(),
            Self::Scaling(change) => change.is_delete(),
            Self::Capacity(change) => change.is_delete(),
            Self::Deployment(change) => change.is_delete(),
            Self::Bus(change) => change.is_delete(),
            Self::Setting(change) => change.is_delete(),
        }
    }
}

fn padded(key: &DefinitionKey) -> String {
    format!("{}:{:010}", key.family, key.revision.0)
}

fn slot(key: &ServiceKey, number: u64) -> String {
    format!("{key}/{:02}", number % ServiceEvent::KEPT)
}

fn token(key: &TokenKey) -> String {
    format!("{}/{}/{}", key.cluster, key.operation, key.token)
}
