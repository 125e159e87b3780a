//! The part of the state that is about balancing, and the changes by which it moves.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::{
    Action, Address, BalancerId, GroupId, Listener, ListenerId, LoadBalancer, Rule, RuleId, Table,
    Target, TargetGroup, TargetKey, TaskKey, Verdict,
};

/// One upsert or delete of one record of balancing. A delete takes only what it names: who decides it
/// also deletes what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BalancingChange {
    /// A load balancer as it now is.
    PutBalancer(Arc<LoadBalancer>),
    /// A load balancer is gone.
    DeleteBalancer(BalancerId),
    /// A target group as it now is.
    PutGroup(Arc<TargetGroup>),
    /// A target group is gone.
    DeleteGroup(GroupId),
    /// A listener as it now is.
    PutListener(Arc<Listener>),
    /// A listener is gone.
    DeleteListener(ListenerId),
    /// A rule as it now is.
    PutRule(Arc<Rule>),
    /// A rule is gone.
    DeleteRule(RuleId),
    /// A registration as it now is.
    PutTarget(Arc<Target>),
    /// A target has left, and its verdict with it.
    DeleteTarget(TargetKey),
    /// What is known of a target's health. Follows its `PutTarget`.
    PutVerdict(TargetKey, Arc<Verdict>),
}

/// Everything about balancing that is true at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    pub(super) balancers: OrdMap<BalancerId, Arc<LoadBalancer>>,
    pub(super) groups: OrdMap<GroupId, Arc<TargetGroup>>,
    pub(super) listeners: OrdMap<ListenerId, Arc<Listener>>,
    pub(super) rules: OrdMap<RuleId, Arc<Rule>>,
    pub(super) targets: OrdMap<TargetKey, Arc<Target>>,
    pub(super) verdicts: OrdMap<TargetKey, Arc<Verdict>>,
    // Which targets a task is: a fold over `targets`.
    by_task: OrdSet<(TaskKey, TargetKey)>,
    // Which targets are leaving: a fold over `targets`.
    draining: OrdSet<TargetKey>,
    // How often the actions of a listener and of its rules send to a group: a fold over both.
    uses: OrdMap<(GroupId, ListenerId), u32>,
}

impl Book {
    /// Takes a change in. Total, like [`crate::State::apply`].
    pub(crate) fn apply(&mut self, change: &BalancingChange) {
        match change {
            BalancingChange::PutBalancer(it) => {
                drop(self.balancers.insert(it.id.clone(), it.clone()));
            }
            BalancingChange::DeleteBalancer(id) => drop(self.balancers.remove(id)),
            BalancingChange::PutGroup(it) => drop(self.groups.insert(it.id.clone(), it.clone())),
            BalancingChange::DeleteGroup(id) => drop(self.groups.remove(id)),
            BalancingChange::PutListener(it) => {
                self.forget_listener(&it.id);
                self.count(&it.id, &it.default_action, |n| n + 1);
                self.listeners.insert(it.id.clone(), it.clone());
            }
            BalancingChange::DeleteListener(id) => self.forget_listener(id),
            BalancingChange::PutRule(it) => {
                self.forget_rule(&it.id);
                self.count(&it.id.listener(), &it.action, |n| n + 1);
                self.rules.insert(it.id.clone(), it.clone());
            }
            BalancingChange::DeleteRule(id) => self.forget_rule(id),
            BalancingChange::PutTarget(target) => {
                self.forget(&target.key);
                if let Some(task) = &target.task {
                    self.by_task.insert((task.clone(), target.key.clone()));
                }
                if target.draining_since.is_some() {
                    self.draining.insert(target.key.clone());
                }
                self.targets.insert(target.key.clone(), target.clone());
            }
            BalancingChange::DeleteTarget(key) => {
                self.forget(key);
                self.verdicts.remove(key);
            }
            BalancingChange::PutVerdict(key, verdict) => {
                drop(self.verdicts.insert(key.clone(), verdict.clone()));
            }
        }
    }

    fn forget_listener(&mut self, id: &ListenerId) {
        if let Some(before) = self.listeners.remove(id) {
            self.count(id, &before.default_action, |n| n - 1);
        }
    }

    fn forget_rule(&mut self, id: &RuleId) {
        if let Some(before) = self.rules.remove(id) {
            self.count(&id.listener(), &before.action, |n| n - 1);
        }
    }

    fn count(&mut self, listener: &ListenerId, action: &Action, by: impl Fn(u32) -> u32) {
        for group in action.groups() {
            let key = (group.clone(), listener.clone());
            match by(self.uses.get(&key).copied().unwrap_or(0)) {
                0 => drop(self.uses.remove(&key)),
                n => drop(self.uses.insert(key, n)),
            }
        }
    }

    fn forget(&mut self, key: &TargetKey) {
        self.draining.remove(key);
        if let Some(task) = self.targets.remove(key).and_then(|before| before.task.clone()) {
            self.by_task.remove(&(task, key.clone()));
        }
    }

    /// A load balancer.
    pub fn balancer(&self, id: &BalancerId) -> Option<&Arc<LoadBalancer>> {
        self.balancers.get(id)
    }

    /// Every load balancer by id.
    pub fn balancers(&self) -> impl Iterator<Item = &Arc<LoadBalancer>> {
        self.balancers.values()
    }

    /// A target group.
    pub fn group(&self, id: &GroupId) -> Option<&Arc<TargetGroup>> {
        self.groups.get(id)
    }

    /// Every target group by id, and so by name.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<TargetGroup>> {
        self.groups.values()
    }

    /// A listener.
    pub fn listener(&self, id: &ListenerId) -> Option<&Arc<Listener>> {
        self.listeners.get(id)
    }

    /// Every listener, by load balancer.
    pub fn all_listeners(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.listeners.values()
    }

    /// The listeners of a load balancer.
    pub fn listeners(&self, balancer: &BalancerId) -> impl Iterator<Item = &Arc<Listener>> {
        let prefix = format!("{balancer}/");
        self.listeners
            .range(ListenerId::from(prefix.as_str())..)
            .take_while(move |(id, _)| id.as_str().starts_with(&prefix))
            .map(|(_, listener)| listener)
    }

    /// A rule, if it is not its listener's default one.
    pub fn rule(&self, id: &RuleId) -> Option<&Arc<Rule>> {
        self.rules.get(id)
    }

    /// The rules of a listener by id, without its default one.
    pub fn rules(&self, listener: &ListenerId) -> impl Iterator<Item = &Arc<Rule>> {
        let prefix = format!("{listener}/");
        self.rules
            .range(RuleId::from(prefix.as_str())..)
            .take_while(move |(id, _)| id.as_str().starts_with(&prefix))
            .map(|(_, rule)| rule)
    }

    /// A registration.
    pub fn target(&self, key: &TargetKey) -> Option<&Arc<Target>> {
        self.targets.get(key)
    }

    /// The targets of a group, those that are leaving too.
    pub fn targets(&self, group: &GroupId) -> impl Iterator<Item = &Arc<Target>> {
        let first = TargetKey {
            group: group.clone(),
            place: crate::Place::Instance(String::new()),
            port: 0,
        };
        let group = group.clone();
        self.targets
            .range(first..)
            .take_while(move |(key, _)| key.group == group)
            .map(|(_, target)| target)
    }

    /// Every target of every group.
    pub fn all_targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.targets.values()
    }

    /// What is known of a target's health, once somebody has looked.
    pub fn verdict(&self, key: &TargetKey) -> Option<&Arc<Verdict>> {
        self.verdicts.get(key)
    }

    /// The targets that a task is, those that are leaving too.
    pub fn targets_of(&self, task: &TaskKey) -> impl Iterator<Item = &Arc<Target>> {
        let first =
            TargetKey { group: "".into(), place: crate::Place::Instance(String::new()), port: 0 };
        let task = task.clone();
        self.by_task
            .range((task.clone(), first)..)
            .take_while(move |(whose, _)| *whose == task)
            .filter_map(|(_, key)| self.targets.get(key))
    }

    /// The targets that are leaving.
    pub fn draining(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.draining.iter().filter_map(|key| self.targets.get(key))
    }

    /// The listeners that send to a group, by themselves or by a rule.
    pub fn users_of(&self, group: &GroupId) -> impl Iterator<Item = &ListenerId> {
        let group = group.clone();
        self.uses
            .range((group.clone(), ListenerId::from(""))..)
            .take_while(move |((used, _), _)| *used == group)
            .map(|((_, listener), _)| listener)
    }

    /// Whether any listener sends to a group: a load balancer is associated with it.
    pub fn in_use(&self, group: &GroupId) -> bool {
        self.users_of(group).next().is_some()
    }

    /// The load balancers whose listeners or rules send to a group.
    pub fn balancers_of(&self, group: &GroupId) -> impl Iterator<Item = &Arc<LoadBalancer>> {
        let mut last = None;
        self.users_of(group).filter_map(move |listener| {
            let balancer = listener.balancer();
            if last.as_ref() == Some(&balancer) {
                return None;
            }
            let found = self.balancers.get(&balancer);
            last = Some(balancer);
            found
        })
    }

    /// Every record as the change that makes it, in loading order.
    pub(crate) fn records(&self) -> impl Iterator<Item = BalancingChange> + '_ {
        let balancers = self.balancers.values().cloned().map(BalancingChange::PutBalancer);
        let groups = self.groups.values().cloned().map(BalancingChange::PutGroup);
        let listeners = self.listeners.values().cloned().map(BalancingChange::PutListener);
        let rules = self.rules.values().cloned().map(BalancingChange::PutRule);
        let targets = self.targets.values().cloned().map(BalancingChange::PutTarget);
        let verdicts = self
            .verdicts
            .iter()
            .map(|(key, verdict)| BalancingChange::PutVerdict(key.clone(), verdict.clone()));
        balancers.chain(groups).chain(listeners).chain(rules).chain(targets).chain(verdicts)
    }
}

impl BalancingChange {
    /// The records that are written or removed.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let at = |table, key: String| Address { table, key };
        match self {
            Self::PutBalancer(it) => vec![at(Table::Balancers, it.id.to_string())],
            Self::DeleteBalancer(id) => vec![at(Table::Balancers, id.to_string())],
            Self::PutGroup(it) => vec![at(Table::TargetGroups, it.id.to_string())],
            Self::DeleteGroup(id) => vec![at(Table::TargetGroups, id.to_string())],
            Self::PutListener(it) => vec![at(Table::Listeners, it.id.to_string())],
            Self::DeleteListener(id) => vec![at(Table::Listeners, id.to_string())],
            Self::PutRule(it) => vec![at(Table::Rules, it.id.to_string())],
            Self::DeleteRule(id) => vec![at(Table::Rules, id.to_string())],
            Self::PutTarget(it) => vec![at(Table::Targets, it.key.to_string())],
            Self::DeleteTarget(key) => {
                vec![at(Table::Targets, key.to_string()), at(Table::Verdicts, key.to_string())]
            }
            Self::PutVerdict(key, _) => vec![at(Table::Verdicts, key.to_string())],
        }
    }

    /// Whether the record is removed rather than written.
    pub(crate) const fn is_delete(&self) -> bool {
        match self {
            Self::DeleteBalancer(_)
            | Self::DeleteGroup(_)
            | Self::DeleteListener(_)
            | Self::DeleteRule(_)
            | Self::DeleteTarget(_) => true,
            Self::PutBalancer(_)
            | Self::PutGroup(_)
            | Self::PutListener(_)
            | Self::PutRule(_)
            | Self::PutTarget(_)
            | Self::PutVerdict(..) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use stdx::Timestamp;

    use super::*;
    use crate::Place;

    fn target(group: &str, port: u16, task: Option<&str>) -> BalancingChange {
        let key =
            TargetKey { group: group.into(), place: Place::Ip(Ipv4Addr::LOCALHOST.into()), port };
        let task = task.map(|id| TaskKey { cluster: "c".into(), task: id.into() });
        BalancingChange::PutTarget(Arc::new(Target {
            key,
            zone: None,
            task,
            registered_at: Timestamp::EPOCH,
            draining_since: None,
        }))
    }

    #[test]
    fn a_group_finds_its_targets_and_a_task_its_own() {
        let mut book = Book::default();
        for change in [
            target("a/1", 1, Some("t")),
            target("a/1", 2, None),
            target("a/2", 3, Some("t")),
            target("b/1", 4, Some("u")),
        ] {
            book.apply(&change);
        }
        let ports =
            |group: &str| -> Vec<u16> { book.targets(&group.into()).map(|t| t.key.port).collect() };
        assert_eq!((ports("a/1"), ports("a/2"), ports("c/1")), (vec![1, 2], vec![3], vec![]));
        let of = |book: &Book, id: &str| -> Vec<u16> {
            let key = TaskKey { cluster: "c".into(), task: id.into() };
            book.targets_of(&key).map(|t| t.key.port).collect()
        };
        assert_eq!((of(&book, "t"), of(&book, "u")), (vec![1, 3], vec![4]));

        // The same port, of another task from now on; then nobody's.
        book.apply(&target("a/1", 1, Some("u")));
        assert_eq!((of(&book, "t"), of(&book, "u")), (vec![3], vec![1, 4]));
        let key = book.targets(&"a/1".into()).next().map(|t| t.key.clone()).unwrap();
        book.apply(&BalancingChange::DeleteTarget(key));
        assert_eq!(of(&book, "u"), vec![4]);
    }

    #[test]
    fn replayed_records_give_the_same_book() {
        let mut book = Book::default();
        book.apply(&target("a/1", 1, Some("t")));
        book.apply(&target("a/2", 3, None));
        let mut again = Book::default();
        book.records().for_each(|change| again.apply(&change));
        assert_eq!(book, again);
    }
}
