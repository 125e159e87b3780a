//! The part of the state that is about deployments, and the changes by which it moves.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use super::{RevisionKey, ServiceDeployment, ServiceDeploymentKey, ServiceRevision};
use crate::{Address, ServiceKey, Table};

/// One upsert or delete of one record of deployments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentChange {
    /// A service deployment as it now is.
    PutDeployment(Arc<ServiceDeployment>),
    /// A service deployment is forgotten.
    DeleteDeployment(ServiceDeploymentKey),
    /// A service revision; it never changes.
    PutRevision(Arc<ServiceRevision>),
    /// A service revision is forgotten.
    DeleteRevision(RevisionKey),
}

/// Everything about deployments that is true at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentBook {
    deployments: OrdMap<ServiceDeploymentKey, Arc<ServiceDeployment>>,
    revisions: OrdMap<RevisionKey, Arc<ServiceRevision>>,
    // Those that are over, oldest first, and those that are not: folds over `deployments`.
    over: OrdSet<(Timestamp, ServiceDeploymentKey)>,
    open: OrdSet<ServiceDeploymentKey>,
}

impl DeploymentBook {
    /// Takes a change in. Total, like [`crate::State::apply`].
    pub(crate) fn apply(&mut self, change: &DeploymentChange) {
        match change {
            DeploymentChange::PutDeployment(it) => {
                self.take_out(&it.key);
                match it.finished_at.filter(|_| it.status.is_over()) {
                    Some(at) => drop(self.over.insert((at, it.key.clone()))),
                    None => drop(self.open.insert(it.key.clone())),
                }
                self.deployments.insert(it.key.clone(), it.clone());
            }
            DeploymentChange::DeleteDeployment(key) => self.take_out(key),
            DeploymentChange::PutRevision(it) => {
                drop(self.revisions.insert(it.key.clone(), it.clone()));
            }
            DeploymentChange::DeleteRevision(key) => drop(self.revisions.remove(key)),
        }
    }

    fn take_out(&mut self, key: &ServiceDeploymentKey) {
        if let Some(before) = self.deployments.remove(key) {
            self.open.remove(key);
            if let Some(at) = before.finished_at {
                self.over.remove(&(at, key.clone()));
            }
        }
    }

    /// A service deployment.
    pub fn deployment(&self, key: &ServiceDeploymentKey) -> Option<&Arc<ServiceDeployment>> {
        self.deployments.get(key)
    }

    /// The deployments of a service, by id.
    pub fn deployments(
        &self,
        service: &ServiceKey,
    ) -> impl Iterator<Item = &Arc<ServiceDeployment>> {
        let first = ServiceDeploymentKey { service: service.clone(), id: "".into() };
        let service = service.clone();
        self.deployments
            .range(first..)
            .take_while(move |(key, _)| key.service == service)
            .map(|(_, deployment)| deployment)
    }

    /// Every deployment that is not over, by service.
    pub fn open(&self) -> impl Iterator<Item = &Arc<ServiceDeployment>> {
        self.open.iter().filter_map(|key| self.deployments.get(key))
    }

    /// Those that are over and since when, the oldest first.
    pub fn over(&self) -> impl Iterator<Item = (Timestamp, &ServiceDeploymentKey)> {
        self.over.iter().map(|(at, key)| (*at, key))
    }

    /// A service revision.
    pub fn revision(&self, key: &RevisionKey) -> Option<&Arc<ServiceRevision>> {
        self.revisions.get(key)
    }

    /// The revisions of a service, by id.
    pub fn revisions(&self, service: &ServiceKey) -> impl Iterator<Item = &Arc<ServiceRevision>> {
        let first = RevisionKey { service: service.clone(), deployment: "".into() };
        let service = service.clone();
        self.revisions
            .range(first..)
            .take_while(move |(key, _)| key.service == service)
            .map(|(_, revision)| revision)
    }

    /// Every record as the change that makes it, in loading order.
    pub(crate) fn records(&self) -> impl Iterator<Item = DeploymentChange> + '_ {
        let revisions = self.revisions.values().cloned().map(DeploymentChange::PutRevision);
        let deployments = self.deployments.values().cloned().map(DeploymentChange::PutDeployment);
        revisions.chain(deployments)
    }
}

impl DeploymentChange {
    /// The records that are written or removed.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let at = |table, key: String| vec![Address { table, key }];
        match self {
            Self::PutDeployment(it) => at(Table::ServiceDeployments, it.key.to_string()),
            Self::DeleteDeployment(key) => at(Table::ServiceDeployments, key.to_string()),
            Self::PutRevision(it) => at(Table::ServiceRevisions, it.key.to_string()),
            Self::DeleteRevision(key) => at(Table::ServiceRevisions, key.to_string()),
        }
    }

    /// Whether the record is removed rather than written.
    pub(crate) const fn is_delete(&self) -> bool {
        match self {
            Self::DeleteDeployment(_) | Self::DeleteRevision(_) => true,
            Self::PutDeployment(_) | Self::PutRevision(_) => false,
        }
    }
}
