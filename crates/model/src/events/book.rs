//! Everything about the event bus that is true at one moment, and the changes by which it moves.

use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::change::{Address, Table};
use crate::{
    ApiDestination, ApiDestinationName, Connection, ConnectionName, EventRule, EventRuleName,
    EventTarget, EventTargetKey,
};

/// One upsert or delete of one record of the bus. Deleting something leaves the rest: who decides it
/// also deletes what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BusChange {
    /// A rule as it now is.
    PutRule(Arc<EventRule>),
    /// A rule is gone.
    DeleteRule(EventRuleName),
    /// A target as it now is.
    PutTarget(Arc<EventTarget>),
    /// A target is gone.
    DeleteTarget(EventTargetKey),
    /// A connection as it now is.
    PutConnection(Arc<Connection>),
    /// A connection is gone.
    DeleteConnection(ConnectionName),
    /// An API destination as it now is.
    PutDestination(Arc<ApiDestination>),
    /// An API destination is gone.
    DeleteDestination(ApiDestinationName),
}

/// Everything about the event bus that is true at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BusBook {
    rules: OrdMap<EventRuleName, Arc<EventRule>>,
    targets: OrdMap<EventTargetKey, Arc<EventTarget>>,
    connections: OrdMap<ConnectionName, Arc<Connection>>,
    destinations: OrdMap<ApiDestinationName, Arc<ApiDestination>>,
}

impl BusBook {
    /// Takes a change in. Total, like [`crate::State::apply`].
    pub(crate) fn apply(&mut self, change: &BusChange) {
        match change {
            BusChange::PutRule(it) => drop(self.rules.insert(it.name.clone(), it.clone())),
            BusChange::DeleteRule(name) => drop(self.rules.remove(name)),
            BusChange::PutTarget(it) => drop(self.targets.insert(it.key.clone(), it.clone())),
            BusChange::DeleteTarget(key) => drop(self.targets.remove(key)),
            BusChange::PutConnection(it) => {
                drop(self.connections.insert(it.name.clone(), it.clone()));
            }
            BusChange::DeleteConnection(name) => drop(self.connections.remove(name)),
            BusChange::PutDestination(it) => {
                drop(self.destinations.insert(it.name.clone(), it.clone()));
            }
            BusChange::DeleteDestination(name) => drop(self.destinations.remove(name)),
        }
    }

    /// A rule.
    pub fn rule(&self, name: &EventRuleName) -> Option<&Arc<EventRule>> {
        self.rules.get(name)
    }

    /// Every rule by name.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Arc<EventRule>> {
        self.rules.values()
    }

    /// A target.
    pub fn target(&self, key: &EventTargetKey) -> Option<&Arc<EventTarget>> {
        self.targets.get(key)
    }

    /// Every target by rule and id.
    pub fn all_targets(&self) -> impl Iterator<Item = &Arc<EventTarget>> {
        self.targets.values()
    }

    /// The targets of a rule by id.
    pub fn targets(&self, rule: &EventRuleName) -> impl Iterator<Item = &Arc<EventTarget>> {
        let first = EventTargetKey { rule: rule.clone(), id: "".into() };
        let rule = rule.clone();
        self.targets
            .range(first..)
            .take_while(move |(key, _)| key.rule == rule)
            .map(|(_, target)| target)
    }

    /// A connection.
    pub fn connection(&self, name: &ConnectionName) -> Option<&Arc<Connection>> {
        self.connections.get(name)
    }

    /// Every connection by name.
    pub fn connections(&self) -> impl ExactSizeIterator<Item = &Arc<Connection>> {
        self.connections.values()
    }

    /// An API destination.
    pub fn destination(&self, name: &ApiDestinationName) -> Option<&Arc<ApiDestination>> {
        self.destinations.get(name)
    }

    /// Every API destination by name.
    pub fn destinations(&self) -> impl ExactSizeIterator<Item = &Arc<ApiDestination>> {
        self.destinations.values()
    }

    /// Whether the rules and targets are those of an earlier book: told without a look at them, so
    /// they may be equal though it says no.
    pub fn same_rules(&self, earlier: &Self) -> bool {
        self.rules.ptr_eq(&earlier.rules) && self.targets.ptr_eq(&earlier.targets)
    }

    /// Every record as the change that makes it, in loading order.
    pub(crate) fn records(&self) -> impl Iterator<Item = BusChange> + '_ {
        let rules = self.rules.values().cloned().map(BusChange::PutRule);
        let targets = self.targets.values().cloned().map(BusChange::PutTarget);
        let connections = self.connections.values().cloned().map(BusChange::PutConnection);
        let destinations = self.destinations.values().cloned().map(BusChange::PutDestination);
        rules.chain(targets).chain(connections).chain(destinations)
    }
}

impl BusChange {
    /// The records that are written or removed.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let (table, key) = match self {
            Self::PutRule(it) => (Table::EventRules, it.name.to_string()),
            Self::DeleteRule(name) => (Table::EventRules, name.to_string()),
            Self::PutTarget(it) => (Table::EventTargets, it.key.to_string()),
            Self::DeleteTarget(key) => (Table::EventTargets, key.to_string()),
            Self::PutConnection(it) => (Table::Connections, it.name.to_string()),
            Self::DeleteConnection(name) => (Table::Connections, name.to_string()),
            Self::PutDestination(it) => (Table::ApiDestinations, it.name.to_string()),
            Self::DeleteDestination(name) => (Table::ApiDestinations, name.to_string()),
        };
        vec![Address { table, key }]
    }

    /// Whether the record is removed rather than written.
    pub(crate) const fn is_delete(&self) -> bool {
        match self {
            Self::DeleteRule(_)
            | Self::DeleteTarget(_)
            | Self::DeleteConnection(_)
            | Self::DeleteDestination(_) => true,
            Self::PutRule(_)
            | Self::PutTarget(_)
            | Self::PutConnection(_)
            | Self::PutDestination(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use stdx::Timestamp;

    use super::*;
    use crate::{Change, Document, Realm, State, Tags};

    fn target(rule: &str, id: &str) -> Change {
        let key = EventTargetKey { rule: rule.into(), id: id.into() };
        let document = Document(Arc::from(b"{}".as_slice()));
        Change::Bus(BusChange::PutTarget(Arc::new(EventTarget { key, arn: "a".into(), document })))
    }

    #[test]
    fn targets_are_found_by_their_rule_and_come_back_from_records() {
        let mut state = State::new(Realm::new("r", "1"));
        let rule = EventRule {
            name: "a".into(),
            pattern: None,
            schedule: None,
            enabled: true,
            description: None,
            role: None,
            tags: Tags::default(),
            created_at: Timestamp::EPOCH,
        };
        state.apply(&Change::Bus(BusChange::PutRule(Arc::new(rule))));
        for (rule, id) in [("a", "1"), ("a", "2"), ("ab", "1"), ("b", "1")] {
            state.apply(&target(rule, id));
        }
        let ids: Vec<&str> = state.bus().targets(&"a".into()).map(|t| t.key.id.as_str()).collect();
        assert_eq!(ids, ["1", "2"]);
        let mut again = State::new(Realm::new("r", "1"));
        state.records().for_each(|change| again.apply(&change));
        assert_eq!(state, again);
        let gone = EventTargetKey { rule: "a".into(), id: "1".into() };
        state.apply(&Change::Bus(BusChange::DeleteTarget(gone)));
        assert_eq!(state.bus().targets(&"a".into()).count(), 1);
    }
}
