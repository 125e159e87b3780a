//! A cluster: a name under which instances, services and tasks stand together.

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{ClusterName, Tags};

/// A cluster. Its counts are folds over [`crate::State`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Whether it may be used. A deleted cluster stays visible as inactive.
    pub status: ClusterStatus,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A cluster's life: active until it is deleted, and active again when it is created anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterStatus {
    /// Takes instances, services and tasks.
    Active,
    /// Deleted; still described, no longer listed.
    Inactive,
}
