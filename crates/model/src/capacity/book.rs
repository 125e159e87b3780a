//! The part of the state that is about capacity, and the changes by which it moves.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::{
    Address, AutoScalingGroup, AutoScalingGroupName, CapacityProvider, ClusterName, GroupAction,
    GroupActionKey, GroupActivity, GroupPolicy, GroupPolicyKey, LaunchConfiguration,
    LaunchConfigurationName, LaunchSource, LaunchTemplate, LaunchTemplateId, LaunchTerms,
    LaunchedBy, Node, NodeId, ProviderName, Table, Tags, TemplateVersion, VersionChoice,
};

/// One upsert or delete of one record of capacity. A delete takes only what it names, but for a
/// group's activities, which go with it.
///
/// Whoever deletes a group deletes its policies and scheduled actions too, and whoever deletes a launch
/// template its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapacityChange {
    /// A launch configuration.
    PutLaunch(Arc<LaunchConfiguration>),
    /// A launch configuration is gone.
    DeleteLaunch(LaunchConfigurationName),
    /// An Auto Scaling group as it now is.
    PutGroup(Arc<AutoScalingGroup>),
    /// An Auto Scaling group is gone, and its activities.
    DeleteGroup(AutoScalingGroupName),
    /// A node as it now is.
    PutNode(Arc<Node>),
    /// A node has ended.
    DeleteNode(NodeId),
    /// A capacity provider as it now is.
    PutProvider(Arc<CapacityProvider>),
    /// A capacity provider is gone.
    DeleteProvider(ProviderName),
    /// What a group did, or how that ended. It takes the place of the activity that is
    /// [`GroupActivity::KEPT`] older.
    PutActivity(AutoScalingGroupName, Arc<GroupActivity>),
    /// A launch template as it now is.
    PutTemplate(Arc<LaunchTemplate>),
    /// A launch template is gone.
    DeleteTemplate(LaunchTemplateId),
    /// A version of a launch template.
    PutVersion(Arc<TemplateVersion>),
    /// A version of a launch template is gone.
    DeleteVersion(LaunchTemplateId, u64),
    /// A group's scaling policy as it now is.
    PutGroupPolicy(Arc<GroupPolicy>),
    /// A group's scaling policy is gone.
    DeleteGroupPolicy(GroupPolicyKey),
    /// A group's scheduled action as it now is.
    PutGroupAction(Arc<GroupAction>),
    /// A group's scheduled action is gone.
    DeleteGroupAction(GroupActionKey),
}

/// Everything about capacity that is true at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapacityBook {
    launches: OrdMap<LaunchConfigurationName, Arc<LaunchConfiguration>>,
    groups: OrdMap<AutoScalingGroupName, Arc<AutoScalingGroup>>,
    nodes: OrdMap<NodeId, Arc<Node>>,
    providers: OrdMap<ProviderName, Arc<CapacityProvider>>,
    activities: OrdMap<(AutoScalingGroupName, u64), Arc<GroupActivity>>,
    templates: OrdMap<LaunchTemplateId, Arc<LaunchTemplate>>,
    versions: OrdMap<(LaunchTemplateId, u64), Arc<TemplateVersion>>,
    policies: OrdMap<GroupPolicyKey, Arc<GroupPolicy>>,
    actions: OrdMap<GroupActionKey, Arc<GroupAction>>,
    // The nodes of each group: a fold over `nodes`.
    by_group: OrdSet<(AutoScalingGroupName, NodeId)>,
}

impl CapacityBook {
    /// Takes a change in. Total, like [`crate::State::apply`].
    pub(crate) fn apply(&mut self, change: &CapacityChange) {
        match change {
            CapacityChange::PutLaunch(it) => {
                drop(self.launches.insert(it.name.clone(), it.clone()));
            }
            CapacityChange::DeleteLaunch(name) => drop(self.launches.remove(name)),
            CapacityChange::PutGroup(it) => drop(self.groups.insert(it.name.clone(), it.clone())),
            CapacityChange::DeleteGroup(name) => {
                self.groups.remove(name);
                let theirs: Vec<_> = self.numbered(name).map(|(key, _)| key.clone()).collect();
                for key in theirs {
                    self.activities.remove(&key);
                }
            }
            CapacityChange::PutNode(it) => {
                self.forget(&it.id);
                self.by_group.insert((it.group.clone(), it.id.clone()));
                self.nodes.insert(it.id.clone(), it.clone());
            }
            CapacityChange::DeleteNode(id) => self.forget(id),
            CapacityChange::PutProvider(it) => {
                drop(self.providers.insert(it.name.clone(), it.clone()));
            }
            CapacityChange::DeleteProvider(name) => drop(self.providers.remove(name)),
            CapacityChange::PutActivity(group, it) => {
                if let Some(old) = it.number.checked_sub(GroupActivity::KEPT) {
                    self.activities.remove(&(group.clone(), old));
                }
                self.activities.insert((group.clone(), it.number), it.clone());
            }
            CapacityChange::PutTemplate(it) => {
                drop(self.templates.insert(it.id.clone(), it.clone()))
            }
            CapacityChange::DeleteTemplate(id) => drop(self.templates.remove(id)),
            CapacityChange::PutVersion(it) => {
                self.versions.insert((it.template.clone(), it.number), it.clone());
            }
            CapacityChange::DeleteVersion(id, number) => {
                self.versions.remove(&(id.clone(), *number));
            }
            CapacityChange::PutGroupPolicy(it) => {
                drop(self.policies.insert(it.key.clone(), it.clone()));
            }
            CapacityChange::DeleteGroupPolicy(key) => drop(self.policies.remove(key)),
            CapacityChange::PutGroupAction(it) => {
                drop(self.actions.insert(it.key.clone(), it.clone()));
            }
            CapacityChange::DeleteGroupAction(key) => drop(self.actions.remove(key)),
        }
    }

    fn forget(&mut self, id: &NodeId) {
        if let Some(before) = self.nodes.remove(id) {
            self.by_group.remove(&(before.group.clone(), id.clone()));
        }
    }

    fn numbered(
        &self,
        group: &AutoScalingGroupName,
    ) -> impl DoubleEndedIterator<Item = (&(AutoScalingGroupName, u64), &Arc<GroupActivity>)> {
        self.activities.range((group.clone(), 0)..=(group.clone(), u64::MAX))
    }

    /// A launch configuration.
    pub fn launch(&self, name: &LaunchConfigurationName) -> Option<&Arc<LaunchConfiguration>> {
        self.launches.get(name)
    }

    /// Every launch configuration by name.
    pub fn launches(&self) -> impl Iterator<Item = &Arc<LaunchConfiguration>> {
        self.launches.values()
    }

    /// A launch template.
    pub fn template(&self, id: &LaunchTemplateId) -> Option<&Arc<LaunchTemplate>> {
        self.templates.get(id)
    }

    /// Every launch template by id.
    pub fn templates(&self) -> impl Iterator<Item = &Arc<LaunchTemplate>> {
        self.templates.values()
    }

    /// The versions of a launch template, the oldest first.
    pub fn versions(
        &self,
        id: &LaunchTemplateId,
    ) -> impl DoubleEndedIterator<Item = &Arc<TemplateVersion>> {
        self.versions.range((id.clone(), 0)..=(id.clone(), u64::MAX)).map(|(_, version)| version)
    }

    /// The version of a launch template that is meant now.
    pub fn version(
        &self,
        id: &LaunchTemplateId,
        choice: VersionChoice,
    ) -> Option<&Arc<TemplateVersion>> {
        match choice {
            VersionChoice::Number(number) => self.versions.get(&(id.clone(), number)),
            VersionChoice::Default => {
                let number = self.templates.get(id)?.default;
                self.versions.get(&(id.clone(), number))
            }
            VersionChoice::Latest => self.versions(id).next_back(),
        }
    }

    /// How a node is started by this now; none if what it names is not there, or a launch template
    /// does not say of which size the node is.
    pub fn terms(&self, source: &LaunchSource) -> Option<LaunchTerms> {
        match source {
            LaunchSource::Configuration(name) => {
                let launch = self.launches.get(name)?;
                Some(LaunchTerms {
                    by: LaunchedBy::Configuration(name.clone()),
                    image: launch.image.clone(),
                    instance_type: launch.instance_type.clone(),
                    user_data: launch.user_data.clone(),
                    cluster: launch.cluster.clone(),
                    tags: Tags::default(),
                })
            }
            LaunchSource::Template { template, version } => {
                let version = self.version(template, *version)?;
                let data = &version.data;
                Some(LaunchTerms {
                    by: LaunchedBy::Template {
                        template: template.clone(),
                        version: version.number,
                    },
                    image: data.image.clone().unwrap_or_default(),
                    instance_type: data.instance_type.clone()?,
                    user_data: data.user_data.clone().unwrap_or_default(),
                    cluster: data.cluster.clone().unwrap_or_else(|| ClusterName::from("default")),
                    tags: data.tags.clone(),
                })
            }
        }
    }

    /// How a node was to be started, if that is still there.
    pub fn terms_of(&self, node: &Node) -> Option<LaunchTerms> {
        self.terms(&match &node.launch {
            LaunchedBy::Configuration(name) => LaunchSource::Configuration(name.clone()),
            LaunchedBy::Template { template, version } => LaunchSource::Template {
                template: template.clone(),
                version: VersionChoice::Number(*version),
            },
        })
    }

    /// The cluster that a node joins.
    pub fn cluster_of(&self, node: &Node) -> Option<ClusterName> {
        node.joins.clone().or_else(|| Some(self.terms_of(node)?.cluster))
    }

    /// A group's scaling policy.
    pub fn policy(&self, key: &GroupPolicyKey) -> Option<&Arc<GroupPolicy>> {
        self.policies.get(key)
    }

    /// Every scaling policy of every group, by group and name.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<GroupPolicy>> {
        self.policies.values()
    }

    /// The scaling policies of a group by name.
    pub fn policies_of(
        &self,
        group: &AutoScalingGroupName,
    ) -> impl Iterator<Item = &Arc<GroupPolicy>> {
        let group = group.clone();
        let first = GroupPolicyKey { group: group.clone(), name: "".into() };
        self.policies.range(first..).map(|(_, it)| it).take_while(move |it| it.key.group == group)
    }

    /// A group's scheduled action.
    pub fn action(&self, key: &GroupActionKey) -> Option<&Arc<GroupAction>> {
        self.actions.get(key)
    }

    /// Every scheduled action of every group, by group and name.
    pub fn actions(&self) -> impl Iterator<Item = &Arc<GroupAction>> {
        self.actions.values()
    }

    /// An Auto Scaling group.
    pub fn group(&self, name: &AutoScalingGroupName) -> Option<&Arc<AutoScalingGroup>> {
        self.groups.get(name)
    }

    /// Every Auto Scaling group by name.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<AutoScalingGroup>> {
        self.groups.values()
    }

    /// A node.
    pub fn node(&self, id: &NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(id)
    }

    /// Every node of every group.
    pub fn all_nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// The nodes of a group by id.
    pub fn nodes(&self, group: &AutoScalingGroupName) -> impl Iterator<Item = &Arc<Node>> {
        let group = group.clone();
        self.by_group
            .range((group.clone(), NodeId::from(""))..)
            .take_while(move |(whose, _)| *whose == group)
            .filter_map(|(_, id)| self.nodes.get(id))
    }

    /// A capacity provider.
    pub fn provider(&self, name: &ProviderName) -> Option<&Arc<CapacityProvider>> {
        self.providers.get(name)
    }

    /// Every capacity provider by name.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<CapacityProvider>> {
        self.providers.values()
    }

    /// The capacity provider over a group, if it has one.
    pub fn provider_of(&self, group: &AutoScalingGroupName) -> Option<&Arc<CapacityProvider>> {
        self.providers.values().find(|provider| provider.group == *group)
    }

    /// What a group did, newest first, at most [`GroupActivity::KEPT`].
    pub fn activities(
        &self,
        group: &AutoScalingGroupName,
    ) -> impl Iterator<Item = &Arc<GroupActivity>> {
        self.numbered(group).rev().map(|(_, activity)| activity)
    }

    /// Every record as the change that makes it, in loading order.
    pub(crate) fn records(&self) -> impl Iterator<Item = CapacityChange> + '_ {
        let launches = self.launches.values().cloned().map(CapacityChange::PutLaunch);
        let groups = self.groups.values().cloned().map(CapacityChange::PutGroup);
        let nodes = self.nodes.values().cloned().map(CapacityChange::PutNode);
        let providers = self.providers.values().cloned().map(CapacityChange::PutProvider);
        let activities = self
            .activities
            .iter()
            .map(|((group, _), it)| CapacityChange::PutActivity(group.clone(), it.clone()));
        let templates = self.templates.values().cloned().map(CapacityChange::PutTemplate);
        let versions = self.versions.values().cloned().map(CapacityChange::PutVersion);
        let policies = self.policies.values().cloned().map(CapacityChange::PutGroupPolicy);
        let actions = self.actions.values().cloned().map(CapacityChange::PutGroupAction);
        let old = launches.chain(groups).chain(nodes).chain(providers).chain(activities);
        old.chain(templates).chain(versions).chain(policies).chain(actions)
    }
}

impl CapacityChange {
    /// The records that are written or removed.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let at = |table, key: String| Address { table, key };
        let slot = |group: &AutoScalingGroupName, number: u64| {
            at(Table::GroupActivities, format!("{group}/{:02}", number % GroupActivity::KEPT))
        };
        // No group has a colon in its name.
        let own = |group: &AutoScalingGroupName, name: &str| format!("{group}:{name}");
        match self {
            Self::PutLaunch(it) => vec![at(Table::LaunchConfigurations, it.name.to_string())],
            Self::DeleteLaunch(name) => vec![at(Table::LaunchConfigurations, name.to_string())],
            Self::PutGroup(it) => vec![at(Table::AutoScalingGroups, it.name.to_string())],
            Self::DeleteGroup(name) => {
                let slots = (0..GroupActivity::KEPT).map(|number| slot(name, number));
                std::iter::once(at(Table::AutoScalingGroups, name.to_string()))
                    .chain(slots)
                    .collect()
            }
            Self::PutNode(it) => vec![at(Table::Nodes, it.id.to_string())],
            Self::DeleteNode(id) => vec![at(Table::Nodes, id.to_string())],
            Self::PutProvider(it) => vec![at(Table::CapacityProviders, it.name.to_string())],
            Self::DeleteProvider(name) => vec![at(Table::CapacityProviders, name.to_string())],
            Self::PutActivity(group, it) => vec![slot(group, it.number)],
            Self::PutTemplate(it) => vec![at(Table::LaunchTemplates, it.id.to_string())],
            Self::DeleteTemplate(id) => vec![at(Table::LaunchTemplates, id.to_string())],
            Self::PutVersion(it) => {
                vec![at(Table::TemplateVersions, format!("{}/{:020}", it.template, it.number))]
            }
            Self::DeleteVersion(id, number) => {
                vec![at(Table::TemplateVersions, format!("{id}/{number:020}"))]
            }
            Self::PutGroupPolicy(it) => {
                vec![at(Table::GroupPolicies, own(&it.key.group, it.key.name.as_str()))]
            }
            Self::DeleteGroupPolicy(key) => {
                vec![at(Table::GroupPolicies, own(&key.group, key.name.as_str()))]
            }
            Self::PutGroupAction(it) => {
                vec![at(Table::GroupActions, own(&it.key.group, it.key.name.as_str()))]
            }
            Self::DeleteGroupAction(key) => {
                vec![at(Table::GroupActions, own(&key.group, key.name.as_str()))]
            }
        }
    }

    /// Whether the record is removed rather than written.
    pub(crate) const fn is_delete(&self) -> bool {
        match self {
            Self::DeleteLaunch(_)
            | Self::DeleteGroup(_)
            | Self::DeleteNode(_)
            | Self::DeleteProvider(_)
            | Self::DeleteTemplate(_)
            | Self::DeleteVersion(..)
            | Self::DeleteGroupPolicy(_)
            | Self::DeleteGroupAction(_) => true,
            Self::PutLaunch(_)
            | Self::PutGroup(_)
            | Self::PutNode(_)
            | Self::PutProvider(_)
            | Self::PutActivity(..)
            | Self::PutTemplate(_)
            | Self::PutVersion(_)
            | Self::PutGroupPolicy(_)
            | Self::PutGroupAction(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use stdx::Timestamp;

    use super::*;
    use crate::{NodeHealth, NodeState};

    fn node(id: &str, group: &str) -> CapacityChange {
        CapacityChange::PutNode(Arc::new(Node {
            id: id.into(),
            group: group.into(),
            launch: LaunchedBy::Configuration("l".into()),
            joins: None,
            instance_type: String::new(),
            zone: "z".to_owned(),
            state: NodeState::Pending,
            health: NodeHealth::Healthy,
            protected: false,
            created_at: Timestamp::EPOCH,
            changed_at: Timestamp::EPOCH,
            waits_until: None,
            trouble: None,
        }))
    }

    fn activity(number: u64) -> CapacityChange {
        CapacityChange::PutActivity(
            "a".into(),
            Arc::new(GroupActivity {
                number,
                id: number.to_string(),
                node: "i-1".into(),
                description: String::new(),
                cause: String::new(),
                failure: None,
                began_at: Timestamp::EPOCH,
                ended_at: None,
            }),
        )
    }

    #[test]
    fn a_group_finds_its_nodes() {
        let mut book = CapacityBook::default();
        for change in [node("i-1", "a"), node("i-2", "ab"), node("i-3", "a")] {
            book.apply(&change);
        }
        let ids = |book: &CapacityBook, group: &str| -> Vec<String> {
            book.nodes(&group.into()).map(|node| node.id.to_string()).collect()
        };
        assert_eq!(ids(&book, "a"), ["i-1", "i-3"]);
        assert_eq!(ids(&book, "ab"), ["i-2"]);
        book.apply(&node("i-1", "ab"));
        book.apply(&CapacityChange::DeleteNode("i-2".into()));
        assert_eq!((ids(&book, "a"), ids(&book, "ab")), (vec!["i-3".into()], vec!["i-1".into()]));
    }

    #[test]
    fn a_history_is_bounded_newest_first_and_goes_with_its_group() {
        let mut book = CapacityBook::default();
        (0..250).for_each(|number| book.apply(&activity(number)));
        let numbers: Vec<u64> = book.activities(&"a".into()).map(|it| it.number).collect();
        assert_eq!(numbers, (150..250).rev().collect::<Vec<_>>());
        let mut again = CapacityBook::default();
        book.records().for_each(|change| again.apply(&change));
        assert_eq!(book, again);
        book.apply(&CapacityChange::DeleteGroup("a".into()));
        assert_eq!(book, CapacityBook::default());
    }
}
