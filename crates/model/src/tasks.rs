//! Every task, cluster by cluster, so that a search names the cluster once.

use imbl::OrdMap;

use crate::{ClusterName, Task, TaskId, TaskKey};

/// The tasks of all clusters. A copy shares everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tasks {
    // None is empty.
    clusters: OrdMap<ClusterName, OrdMap<TaskId, Task>>,
}

impl Tasks {
    /// These clusters with these tasks; none may be empty.
    pub(crate) fn of(
        clusters: impl IntoIterator<Item = (ClusterName, OrdMap<TaskId, Task>)>,
    ) -> Self {
        Self { clusters: clusters.into_iter().collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.clusters.is_empty()
    }

    pub(crate) fn get(&self, key: &TaskKey) -> Option<&Task> {
        self.clusters.get(&key.cluster)?.get(&key.task)
    }

    pub(crate) fn get_mut(&mut self, key: &TaskKey) -> Option<&mut Task> {
        self.clusters.get_mut(&key.cluster)?.get_mut(&key.task)
    }

    pub(crate) fn insert(&mut self, task: Task) {
        let TaskKey { cluster, task: id } = task.facts.key.clone();
        if let Some(tasks) = self.clusters.get_mut(&cluster) {
            tasks.insert(id, task);
        } else {
            self.clusters.insert(cluster, OrdMap::unit(id, task));
        }
    }

    pub(crate) fn remove(&mut self, key: &TaskKey) -> Option<Task> {
        let tasks = self.clusters.get_mut(&key.cluster)?;
        let gone = tasks.remove(&key.task);
        if tasks.is_empty() {
            self.clusters.remove(&key.cluster);
        }
        gone
    }

    /// The tasks of each cluster.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = (&ClusterName, &OrdMap<TaskId, Task>)> {
        self.clusters.iter()
    }

    /// The tasks of a cluster, by id.
    pub(crate) fn cluster(&self, name: &ClusterName) -> Option<&OrdMap<TaskId, Task>> {
        self.clusters.get(name)
    }

    /// Every task, by cluster and id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Task> {
        self.clusters.values().flat_map(OrdMap::values)
    }
}
