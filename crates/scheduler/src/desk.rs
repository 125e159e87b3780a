//! Where one decision is worked out: what it reads, and the changes that it has come to so far.
//!
//! A service is taken up as a draft, so that a decision may touch it several times and still writes
//! it once, after the events that it caused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use model::{
    Change, DeploymentChange, Service, ServiceDeployment, ServiceDeploymentKey, ServiceEvent,
    ServiceKey, State,
};
use stdx::{Entropy, Timestamp};

use crate::{daemon, words};

/// One decision in the making.
pub(crate) struct Desk<'a> {
    /// What was true before it.
    pub(crate) state: &'a State,
    /// The instant of the decision.
    pub(crate) now: Timestamp,
    /// Where its identities come from.
    pub(crate) ids: &'a mut dyn Entropy,
    /// Addresses that this decision has given to tasks.
    pub(crate) given: BTreeSet<Ipv4Addr>,
    changes: Vec<Change>,
    drafts: BTreeMap<ServiceKey, Service>,
    records: BTreeMap<ServiceDeploymentKey, ServiceDeployment>,
}

impl<'a> Desk<'a> {
    /// An empty desk before this state.
    pub(crate) fn new(state: &'a State, now: Timestamp, ids: &'a mut dyn Entropy) -> Self {
        let (given, changes, drafts) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
        let records = BTreeMap::new();
        Self { state, now, ids, given, changes, drafts, records }
    }

    /// Comes to a change.
    pub(crate) fn put(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// A service as the decision has it so far, to be changed; none if there is no such service.
    pub(crate) fn draft(&mut self, key: &ServiceKey) -> Option<&mut Service> {
        if !self.drafts.contains_key(key) {
            let service = self.state.service(key)?;
            self.drafts.insert(key.clone(), Service::clone(service));
        }
        self.drafts.get_mut(key)
    }

    /// Takes up a new service, or one that replaces an inactive one.
    pub(crate) fn found(&mut self, service: Service) {
        self.drafts.insert(service.key.clone(), service);
    }

    /// A service deployment as the decision has it so far, to be changed; none if there is no such
    /// deployment.
    pub(crate) fn record(&mut self, key: &ServiceDeploymentKey) -> Option<&mut ServiceDeployment> {
        if !self.records.contains_key(key) {
            let record = self.state.deployments().deployment(key)?;
            self.records.insert(key.clone(), ServiceDeployment::clone(record));
        }
        self.records.get_mut(key)
    }

    /// Takes up a new service deployment.
    pub(crate) fn found_record(&mut self, record: ServiceDeployment) {
        self.records.insert(record.key.clone(), record);
    }

    /// Something happened to a service: it becomes an event. `what` follows its name.
    pub(crate) fn say(&mut self, key: &ServiceKey, what: &str) {
        self.tell(key, words::about(&key.service, what));
    }

    /// The same, with the whole sentence.
    pub(crate) fn tell(&mut self, key: &ServiceKey, message: String) {
        let (at, id) = (self.now, self.ids.uuid());
        let Some(service) = self.draft(key) else { return };
        let number = service.next_event;
        service.next_event += 1;
        let event = Arc::new(ServiceEvent { number, id, at, message });
        self.changes.push(Change::PutEvent(key.clone(), event));
    }

    /// A service is no longer as it was when it said that it was steady.
    pub(crate) fn disturb(&mut self, key: &ServiceKey) {
        if self.state.service(key).is_some_and(|s| s.steady_since.is_some())
            && let Some(service) = self.draft(key)
        {
            service.steady_since = None;
        }
    }

    /// Whoever changes an instance or a node changes where daemon services belong.
    fn disturb_daemons(&mut self) {
        let mut disturbed = BTreeSet::new();
        for change in &self.changes {
            disturbed.extend(daemon::disturbed(self.state, change));
        }
        for key in disturbed {
            self.disturb(key);
        }
    }

    /// Whether the decision has come to nothing.
    pub(crate) fn is_idle(&self) -> bool {
        let same = |(key, draft): (&ServiceKey, &Service)| {
            self.state.service(key).is_some_and(|before| **before == *draft)
        };
        let kept = |(key, record): (&ServiceDeploymentKey, &ServiceDeployment)| {
            self.state.deployments().deployment(key).is_some_and(|before| **before == *record)
        };
        self.changes.is_empty() && self.drafts.iter().all(same) && self.records.iter().all(kept)
    }

    /// The changes, in the order in which they are to be applied.
    pub(crate) fn finish(mut self) -> Vec<Change> {
        self.disturb_daemons();
        let Self { state, now, mut changes, drafts, records, .. } = self;
        for (key, service) in drafts {
            if state.service(&key).is_none_or(|before| **before != service) {
                changes.push(Change::PutService(Arc::new(service)));
            }
        }
        for (key, mut record) in records {
            let before = state.deployments().deployment(&key);
            if before.is_none_or(|before| **before != record) {
                record.updated_at = now;
                let change = DeploymentChange::PutDeployment(Arc::new(record));
                changes.push(Change::Deployment(change));
            }
        }
        changes
    }
}
