//! Keeping the fleets as instances, tasks and nodes change, and reading them.

use std::sync::Arc;

use super::State;
use crate::fleet::{Fleet, Offer, Standing};
use crate::{
    CapacityChange, ClusterName, DesiredStatus, FARGATE_CAPABILITY, Instance, InstanceId,
    InstanceKey, InstanceStatus, NodeState, SchedulingStrategy, Service, ServiceKey, Task,
};

type ClusterPlace<'a> = (&'a ClusterName, &'a InstanceId);

impl State {
    /// The instances of a cluster as placement looks for them; none if the cluster never had one.
    pub fn fleet(&self, cluster: &ClusterName) -> Option<&Arc<Fleet>> {
        self.fleets.of(cluster)
    }

    /// The daemon services of a cluster by name.
    pub fn daemons(&self, cluster: &ClusterName) -> impl Iterator<Item = &Arc<Service>> {
        let first = ServiceKey { cluster: cluster.clone(), service: "".into() };
        let cluster = cluster.clone();
        let keys = self.daemons.range(first..).take_while(move |key| key.cluster == cluster);
        keys.filter_map(|key| self.services.get(key))
    }

    /// Every daemon service of every cluster.
    pub fn all_daemons(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.daemons.iter().filter_map(|key| self.services.get(key))
    }

    /// A service is new or has changed.
    pub(super) fn mark_daemon(&mut self, service: &Service) {
        match service.scheduling {
            SchedulingStrategy::Daemon => drop(self.daemons.insert(service.key.clone())),
            SchedulingStrategy::Replica => drop(self.daemons.remove(&service.key)),
        }
    }

    /// The fleets that may take tasks of the launch type `FARGATE`, with the clusters of their
    /// instances: those in which one offers it, in the order of their names.
    pub fn fleets_of_fargate(&self) -> impl Iterator<Item = (&ClusterName, &Arc<Fleet>)> {
        self.fleets.all().filter(|(_, fleet)| fleet.knows(FARGATE_CAPABILITY))
    }

    /// Whether an instance takes tasks.
    pub fn standing(&self, instance: &Instance) -> Standing {
        if instance.status == InstanceStatus::Draining {
            Standing::Draining
        } else if !instance.agent.connected {
            Standing::Disconnected
        } else if self.node_of(instance).is_some_and(|node| node.state != NodeState::InService) {
            // A node of a group takes tasks while it is in service.
            Standing::OutOfService
        } else {
            Standing::Ready
        }
    }

    /// An instance is new or has changed, or its node has.
    pub(super) fn seat(&mut self, instance: &Arc<Instance>) {
        let (cpu, memory) = self.left(instance);
        let offer = Offer {
            cpu,
            memory,
            gpus: self.gpus_left(instance),
            standing: self.standing(instance),
            group: self.node_of(instance).map(|node| node.group.as_str().into()),
        };
        if self.fleets.put(instance, offer) {
            let members: Vec<(String, (i64, i64))> = self
                .tasks_on(&instance.key)
                .filter(|task| task.holds_resources())
                .map(|task| (task.facts.group.clone(), weight(Some(task))))
                .collect();
            for (group, weight) in members {
                self.fleets.count(&instance.key, &group, weight);
            }
        }
    }

    /// A task came, changed or went.
    pub(super) fn task_moved(&mut self, before: Option<&Task>, after: Option<&Task>) {
        let (was, is) = (weight(before), weight(after));
        let stays = before.zip(after).is_some_and(|(b, a)| Arc::ptr_eq(&b.facts, &a.facts));
        if stays && was == is {
            return;
        }
        let instance = |task: Option<&Task>| task.and_then(|task| task.facts.instance_key());
        let (from, to) = (instance(before), instance(after));
        if !stays || was.1 != is.1 {
            for key in [from.as_ref().filter(|_| from != to), to.as_ref()].into_iter().flatten() {
                self.resize(key);
            }
        }
        if stays {
            self.recount(after, to.as_ref(), (is.0 - was.0, is.1 - was.1));
        } else {
            self.recount(before, from.as_ref(), (-was.0, -was.1));
            self.recount(after, to.as_ref(), is);
        }
    }

    fn recount(&mut self, task: Option<&Task>, at: Option<&InstanceKey>, by: (i64, i64)) {
        if let (Some(task), Some(at)) = (task, at)
            && by != (0, 0)
        {
            self.fleets.count(at, &task.facts.group, by);
        }
    }

    /// Tells the fleets of tasks that were put in without a word to them, when there were none before.
    #[expect(clippy::disallowed_types, reason = "counts are the same in whichever order they come")]
    pub(super) fn settle_fleets(&mut self) {
        use std::collections::HashMap;

        let instances: Vec<InstanceKey> = self.instances.keys().cloned().collect();
        for key in &instances {
            self.resize(key);
        }
        let mut crowds: HashMap<(ClusterPlace<'_>, &str), (i64, i64)> = HashMap::new();
        for task in self.tasks.iter() {
            let (wanted, present) = weight(Some(task));
            if let Some(instance) = task.facts.instance.as_ref().filter(|_| present > 0) {
                let cluster = task.facts.host.as_ref().unwrap_or(task.facts.cluster());
                let crowd = crowds.entry(((cluster, instance), &task.facts.group)).or_default();
                *crowd = (crowd.0 + wanted, crowd.1 + present);
            }
        }
        for (((cluster, instance), group), by) in crowds {
            let at = InstanceKey { cluster: cluster.clone(), instance: instance.clone() };
            self.fleets.count(&at, group, by);
        }
    }

    fn resize(&mut self, key: &InstanceKey) {
        let Some(instance) = self.instances.get(key).cloned() else {
            return;
        };
        let (cpu, memory) = self.left(&instance);
        let gpus = self.gpus_left(&instance);
        self.fleets.resize(key, (cpu, memory, gpus));
    }

    fn gpus_left(&self, instance: &Instance) -> u32 {
        if instance.registered.gpus.is_empty() {
            return 0;
        }
        u32::try_from(self.free_gpus(instance).count()).unwrap_or(u32::MAX)
    }

    /// A node has changed: so has what its instances are.
    pub(super) fn capacity_moved(&mut self, change: &CapacityChange) {
        let node = match change {
            CapacityChange::PutNode(node) => &node.id,
            CapacityChange::DeleteNode(id) => id,
            _ => return,
        };
        let keys: Vec<InstanceKey> = self.fleets.nodes(node).cloned().collect();
        for key in keys {
            if let Some(instance) = self.instances.get(&key).cloned() {
                self.seat(&instance);
            }
        }
    }
}

/// What a task counts: among those that are wanted to run, which are spread and kept apart, and among
/// those that are not over.
fn weight(task: Option<&Task>) -> (i64, i64) {
    let Some(task) = task.filter(|task| task.holds_resources()) else {
        return (0, 0);
    };
    (i64::from(task.progress.desired == DesiredStatus::Running), 1)
}
