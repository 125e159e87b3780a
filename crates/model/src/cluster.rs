//! A cluster: a name under which instances, services and tasks stand together.

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{ClusterName, ProviderName, StrategyItem, Tags};

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
    /// Where the output of ExecuteCommand sessions is logged, if that was configured.
    #[serde(default)]
    pub exec_logging: Option<ExecLogging>,
    /// The capacity providers that its tasks may be given to.
    #[serde(default)]
    pub capacity_providers: Vec<ProviderName>,
    /// Which of them get tasks that name neither a launch type nor a strategy.
    #[serde(default)]
    pub default_strategy: Vec<StrategyItem>,
    /// Which metrics of Container Insights are written.
    #[serde(default)]
    pub insights: Insights,
}

/// Which metrics of Container Insights are written: the setting `containerInsights`.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ClusterSetting.html>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Insights {
    /// None.
    #[default]
    Disabled,
    /// By cluster, service and family.
    Enabled,
    /// By task as well.
    Enhanced,
}

/// Where the output of ExecuteCommand sessions is logged.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ExecuteCommandConfiguration.html>
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecLogging {
    /// Nowhere.
    None,
    /// Where the container's own output goes, if that is a log group.
    #[default]
    Default,
    /// To at least one of these.
    Override {
        /// A log group's name.
        #[serde(default)]
        log_group: Option<String>,
        /// A bucket of objects.
        #[serde(default)]
        bucket: Option<ExecBucket>,
    },
}

/// A bucket that takes the output of ExecuteCommand sessions, an object each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecBucket {
    /// Its name.
    pub name: String,
    /// What the objects' keys begin with; a slash follows.
    pub prefix: Option<String>,
}

/// A cluster's life: active until it is deleted, and active again when it is created anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterStatus {
    /// Takes instances, services and tasks.
    Active,
    /// Deleted; still described, no longer listed.
    Inactive,
}
