//! Where one decision is worked out: what it reads, and the changes that it has come to so far.
//!
//! A service is taken up as a draft, so that a decision may touch it several times and still writes
//! it once, after the events that it caused.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Change, Service, ServiceEvent, ServiceKey, State};
use stdx::{Entropy, Timestamp};

use crate::words;

/// One decision in the making.
pub(crate) struct Desk<'a> {
    /// What was true before it.
    pub(crate) state: &'a State,
    /// The instant of the decision.
    pub(crate) now: Timestamp,
    /// Where its identities come from.
    pub(crate) ids: &'a mut dyn Entropy,
    changes: Vec<Change>,
    drafts: BTreeMap<ServiceKey, Service>,
}

impl<'a> Desk<'a> {
    /// An empty desk before this state.
    pub(crate) fn new(state: &'a State, now: Timestamp, ids: &'a mut dyn Entropy) -> Self {
        Self { state, now, ids, changes: Vec::new(), drafts: BTreeMap::new() }
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

    /// Something happened to a service: it becomes an event. `what` follows its name.
    pub(crate) fn say(&mut self, key: &ServiceKey, what: &str) {
        let (at, id) = (self.now, self.ids.uuid());
        let Some(service) = self.draft(key) else { return };
        let number = service.next_event;
        service.next_event += 1;
        let message = words::about(&key.service, what);
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

    /// Whether the decision has come to nothing.
    pub(crate) fn is_idle(&self) -> bool {
        let same = |(key, draft): (&ServiceKey, &Service)| {
            self.state.service(key).is_some_and(|before| **before == *draft)
        };
        self.changes.is_empty() && self.drafts.iter().all(same)
    }

    /// The changes, in the order in which they are to be applied.
    pub(crate) fn finish(self) -> Vec<Change> {
        let Self { state, mut changes, drafts, .. } = self;
        for (key, service) in drafts {
            if state.service(&key).is_none_or(|before| **before != service) {
                changes.push(Change::PutService(Arc::new(service)));
            }
        }
        changes
    }
}
