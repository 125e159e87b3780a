//! The part of the state that is about scaling, and the changes by which it moves.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use crate::{
    Address, ScalableTarget, ScalableTargetId, ScalingActivity, ScalingPolicy, ScalingPolicyKey,
    ScheduledAction, ScheduledActionKey, ServiceKey, Table,
};

/// One upsert or delete of one record of scaling. A delete takes only what it names: who decides it
/// also deletes what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScalingChange {
    /// A scalable target as it now is.
    PutTarget(Arc<ScalableTarget>),
    /// A service's desired count does not scale any more.
    DeleteTarget(ServiceKey),
    /// A policy as it now is.
    PutPolicy(Arc<ScalingPolicy>),
    /// A policy is gone.
    DeletePolicy(ScalingPolicyKey),
    /// A scheduled action as it now is.
    PutAction(Arc<ScheduledAction>),
    /// A scheduled action is gone.
    DeleteAction(ScheduledActionKey),
    /// An activity as it now is. It takes the place of the one that is [`ScalingActivity::KEPT`]
    /// older.
    PutActivity(Arc<ScalingActivity>),
    /// The activities of a service are forgotten.
    DeleteActivities(ServiceKey),
}

/// Everything about scaling that is true at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScalingBook {
    targets: OrdMap<ServiceKey, Arc<ScalableTarget>>,
    policies: OrdMap<ScalingPolicyKey, Arc<ScalingPolicy>>,
    actions: OrdMap<ScheduledActionKey, Arc<ScheduledAction>>,
    // By service, newest first.
    activities: OrdMap<ServiceKey, Vector<Arc<ScalingActivity>>>,
}

impl ScalingBook {
    /// Takes a change in. Total, like [`crate::State::apply`].
    pub(crate) fn apply(&mut self, change: &ScalingChange) {
        match change {
            ScalingChange::PutTarget(it) => {
                drop(self.targets.insert(it.service.clone(), it.clone()));
            }
            ScalingChange::DeleteTarget(key) => drop(self.targets.remove(key)),
            ScalingChange::PutPolicy(it) => drop(self.policies.insert(it.key.clone(), it.clone())),
            ScalingChange::DeletePolicy(key) => drop(self.policies.remove(key)),
            ScalingChange::PutAction(it) => drop(self.actions.insert(it.key.clone(), it.clone())),
            ScalingChange::DeleteAction(key) => drop(self.actions.remove(key)),
            ScalingChange::PutActivity(it) => self.put_activity(it),
            ScalingChange::DeleteActivities(key) => drop(self.activities.remove(key)),
        }
    }

    fn put_activity(&mut self, activity: &Arc<ScalingActivity>) {
        let all = self.activities.entry(activity.service.clone()).or_default();
        // While records are loaded they come in the order of the ring.
        let at = all.iter().position(|a| a.number <= activity.number).unwrap_or(all.len());
        if all.get(at).is_some_and(|a| a.number == activity.number) {
            all.set(at, activity.clone());
        } else {
            all.insert(at, activity.clone());
        }
        while u64::try_from(all.len()).is_ok_and(|n| n > ScalingActivity::KEPT) {
            all.pop_back();
        }
    }

    /// A service's scalable target.
    pub fn target(&self, service: &ServiceKey) -> Option<&Arc<ScalableTarget>> {
        self.targets.get(service)
    }

    /// Every scalable target by service.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<ScalableTarget>> {
        self.targets.values()
    }

    /// The scalable target with this id.
    pub fn target_by_id(&self, id: &ScalableTargetId) -> Option<&Arc<ScalableTarget>> {
        self.targets.values().find(|target| target.id == *id)
    }

    /// A policy.
    pub fn policy(&self, key: &ScalingPolicyKey) -> Option<&Arc<ScalingPolicy>> {
        self.policies.get(key)
    }

    /// Every policy by service and name.
    pub fn all_policies(&self) -> impl Iterator<Item = &Arc<ScalingPolicy>> {
        self.policies.values()
    }

    /// The policies of a service by name.
    pub fn policies(&self, service: &ServiceKey) -> impl Iterator<Item = &Arc<ScalingPolicy>> {
        let first = ScalingPolicyKey { service: service.clone(), name: "".into() };
        let service = service.clone();
        self.policies
            .range(first..)
            .take_while(move |(key, _)| key.service == service)
            .map(|(_, policy)| policy)
    }

    /// A scheduled action.
    pub fn action(&self, key: &ScheduledActionKey) -> Option<&Arc<ScheduledAction>> {
        self.actions.get(key)
    }

    /// Every scheduled action by service and name.
    pub fn all_actions(&self) -> impl Iterator<Item = &Arc<ScheduledAction>> {
        self.actions.values()
    }

    /// The scheduled actions of a service by name.
    pub fn actions(&self, service: &ServiceKey) -> impl Iterator<Item = &Arc<ScheduledAction>> {
        let first = ScheduledActionKey { service: service.clone(), name: "".into() };
        let service = service.clone();
        self.actions
            .range(first..)
            .take_while(move |(key, _)| key.service == service)
            .map(|(_, action)| action)
    }

    /// What scaling did to a service, newest first, at most [`ScalingActivity::KEPT`].
    pub fn activities(&self, service: &ServiceKey) -> impl Iterator<Item = &Arc<ScalingActivity>> {
        self.activities.get(service).into_iter().flatten()
    }

    /// What scaling did, by service, newest first.
    pub fn all_activities(&self) -> impl Iterator<Item = &Arc<ScalingActivity>> {
        self.activities.values().flatten()
    }

    /// Every record as the change that makes it, in loading order.
    pub(crate) fn records(&self) -> impl Iterator<Item = ScalingChange> + '_ {
        let targets = self.targets.values().cloned().map(ScalingChange::PutTarget);
        let policies = self.policies.values().cloned().map(ScalingChange::PutPolicy);
        let actions = self.actions.values().cloned().map(ScalingChange::PutAction);
        let activities = self.all_activities().cloned().map(ScalingChange::PutActivity);
        targets.chain(policies).chain(actions).chain(activities)
    }
}

impl ScalingChange {
    /// The records that are written or removed.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let at = |table, key: String| Address { table, key };
        match self {
            Self::PutTarget(it) => vec![at(Table::ScalableTargets, it.service.to_string())],
            Self::DeleteTarget(key) => vec![at(Table::ScalableTargets, key.to_string())],
            Self::PutPolicy(it) => vec![at(Table::ScalingPolicies, it.key.to_string())],
            Self::DeletePolicy(key) => vec![at(Table::ScalingPolicies, key.to_string())],
            Self::PutAction(it) => vec![at(Table::ScheduledActions, it.key.to_string())],
            Self::DeleteAction(key) => vec![at(Table::ScheduledActions, key.to_string())],
            Self::PutActivity(it) => {
                vec![at(Table::ScalingActivities, slot(&it.service, it.number))]
            }
            Self::DeleteActivities(key) => (0..ScalingActivity::KEPT)
                .map(|number| at(Table::ScalingActivities, slot(key, number)))
                .collect(),
        }
    }

    /// Whether the record is removed rather than written.
    pub(crate) const fn is_delete(&self) -> bool {
        match self {
            Self::DeleteTarget(_)
            | Self::DeletePolicy(_)
            | Self::DeleteAction(_)
            | Self::DeleteActivities(_) => true,
            Self::PutTarget(_) | Self::PutPolicy(_) | Self::PutAction(_) | Self::PutActivity(_) => {
                false
            }
        }
    }
}

fn slot(service: &ServiceKey, number: u64) -> String {
    format!("{service}/{:03}", number % ScalingActivity::KEPT)
}

#[cfg(test)]
mod tests {
    use stdx::Timestamp;

    use super::*;
    use crate::{ActivityStatus, Change, Realm, State};

    fn activity(service: &str, number: u64) -> ScalingActivity {
        ScalingActivity {
            service: ServiceKey { cluster: "c".into(), service: service.into() },
            number,
            id: number.to_string(),
            policy: None,
            description: String::new(),
            cause: String::new(),
            started_at: Timestamp::EPOCH,
            ended_at: None,
            status: ActivityStatus::InProgress,
            message: String::new(),
            desired: None,
            not_scaled: Vec::new(),
        }
    }

    #[test]
    fn the_newest_activities_are_kept_and_come_back_from_the_ring() {
        let mut state = State::new(Realm::new("r", "1"));
        let put = |a| Change::Scaling(ScalingChange::PutActivity(Arc::new(a)));
        for number in 0..ScalingActivity::KEPT + 5 {
            state.apply(&put(activity("web", number)));
        }
        state.apply(&put(activity("api", 0)));
        let web = ServiceKey { cluster: "c".into(), service: "web".into() };
        let numbers: Vec<u64> = state.scaling().activities(&web).map(|a| a.number).collect();
        assert_eq!(numbers.len(), 200);
        assert_eq!((numbers[0], numbers[199]), (204, 5));

        let mut records: Vec<Change> = state.records().collect();
        records.sort_by_key(Change::addresses);
        let mut again = State::new(Realm::new("r", "1"));
        records.iter().for_each(|change| again.apply(change));
        assert_eq!(state, again);

        state.apply(&Change::Scaling(ScalingChange::DeleteActivities(web.clone())));
        assert_eq!(state.scaling().activities(&web).count(), 0);
        assert_eq!(state.scaling().all_activities().count(), 1);
    }
}
