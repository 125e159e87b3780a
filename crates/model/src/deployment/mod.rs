//! Deployments of services as things of their own: what was deployed ([`ServiceRevision`]), how it
//! went ([`ServiceDeployment`]), and how it was asked to go ([`RolloutMethod`]).
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>
//!
//! A revision has the digits of the [`crate::Deployment`] that runs it in the service: it is what
//! remains of it.

mod arn;
mod book;
mod method;
mod record;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use arn::DeploymentResource;
pub use book::{DeploymentBook, DeploymentChange};
pub use method::{
    Cleanup, EarlySuccess, HookAction, HookStages, HookTarget, RolloutAlarms, RolloutHook,
    RolloutMethod, RolloutStrategy, TrafficShare,
};
pub use record::{
    HookRun, HookStatus, Monitor, RevisionCounts, Rollback, ServiceDeployment,
    ServiceDeploymentStatus, ServiceRevision, Stage,
};

use crate::{DeploymentId, ServiceKey};

stdx::ids! {
    /// The id of a service deployment: 21 letters, digits, hyphens and underscores.
    ServiceDeploymentId;
    /// The id of one run of a lifecycle hook.
    HookId;
}

/// Where a service deployment is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceDeploymentKey {
    /// Whose.
    pub service: ServiceKey,
    /// Its id.
    pub id: ServiceDeploymentId,
}

/// Where a service revision is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RevisionKey {
    /// Whose.
    pub service: ServiceKey,
    /// The deployment that runs it; its digits are the revision's id.
    pub deployment: DeploymentId,
}

impl fmt::Display for ServiceDeploymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.id)
    }
}

impl RevisionKey {
    /// The revision's id: digits.
    pub fn id(&self) -> &str {
        let whole = self.deployment.as_str();
        whole.rsplit_once('/').map_or(whole, |(_, digits)| digits)
    }
}

impl fmt::Display for RevisionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.id())
    }
}
