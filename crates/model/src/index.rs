//! Folds over tasks that are asked for all the time, kept as tasks change.
//!
//! Only [`crate::State`] touches them: by putting a task in and taking it out as it was, by what a step
//! of its progress alters, or all at once when records are loaded. They cannot drift from the facts,
//! and property tests say so.

use std::net::Ipv4Addr;

use imbl::{OrdMap, OrdSet};
use stdx::Timestamp;

use crate::{
    ClusterName, DefinitionKey, DesiredStatus, Family, GpuId, HostPort, InstanceKey, ServiceKey,
    Task, TaskId, TaskKey, TaskStatus,
};

/// Where tasks are found by what they belong to, and what they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskIndex {
    // None of these is without tasks.
    pub(crate) instances: OrdMap<InstanceKey, OnInstance>,
    pub(crate) services: OrdMap<ServiceKey, OfService>,
    pub(crate) families: OrdMap<(ClusterName, Family), OrdSet<TaskId>>,
    pub(crate) definitions: OrdMap<DefinitionKey, u32>,
    pub(crate) clusters: OrdMap<ClusterName, Counts>,
    // Oldest first, so that the ones to forget are found without a look at the others.
    pub(crate) stopped: OrdSet<(Timestamp, TaskKey)>,
    // Those that wait for their targets to be drained.
    pub(crate) deactivating: OrdSet<TaskKey>,
    // Those that wait for an instance, oldest first.
    pub(crate) waiting: OrdSet<(Timestamp, TaskKey)>,
    // Who has which address, of those that have interfaces of their own and are not over.
    pub(crate) addresses: OrdMap<Ipv4Addr, TaskKey>,
}

/// The tasks placed on an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OnInstance {
    pub(crate) tasks: OrdSet<TaskId>,
    // Those of other clusters, which Fargate's capacity takes too.
    pub(crate) guests: OrdSet<TaskKey>,
    pub(crate) counts: Counts,
    pub(crate) usage: Usage,
}

impl OnInstance {
    /// Counts a task in.
    pub(crate) fn add(&mut self, task: &Task) {
        if task.facts.is_guest() {
            self.guests.insert(task.facts.key.clone());
        } else {
            self.tasks.insert(task.facts.key.task.clone());
        }
        self.counts.add(task);
        self.usage.hold(task);
    }

    /// Counts a task out. Tells whether that was the last one.
    fn take(&mut self, task: &Task) -> bool {
        if task.facts.is_guest() {
            self.guests.remove(&task.facts.key);
        } else {
            self.tasks.remove(&task.facts.key.task);
        }
        self.counts.take(Counted::of(task));
        self.usage.release(task);
        self.tasks.is_empty() && self.guests.is_empty()
    }
}

/// The tasks of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OfService {
    pub(crate) tasks: OrdSet<TaskId>,
    pub(crate) counts: Counts,
}

/// What the tasks of an instance hold. A port is counted, since what a node reports might clash; so is
/// a GPU, since records may be loaded in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) cpu: u64,
    pub(crate) memory: u64,
    pub(crate) ports: OrdMap<HostPort, u32>,
    pub(crate) gpus: OrdMap<GpuId, u32>,
}

/// How many tasks run and how many are on their way to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) running: u32,
    pub(crate) pending: u32,
}

/// As what a task counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Running,
    Pending,
    Neither,
}

impl Counted {
    fn of(task: &Task) -> Self {
        // ECS counts what is: a running task that was told to stop still runs.
        match (task.progress.status, task.progress.desired) {
            (TaskStatus::Running, _) => Self::Running,
            (
                TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating,
                DesiredStatus::Running,
            ) => Self::Pending,
            _ => Self::Neither,
        }
    }
}

impl Counts {
    /// Counts a task in.
    pub(crate) fn add(&mut self, task: &Task) {
        self.put(Counted::of(task));
    }

    fn put(&mut self, counted: Counted) {
        match counted {
            Counted::Running => self.running += 1,
            Counted::Pending => self.pending += 1,
            Counted::Neither => {}
        }
    }

    fn take(&mut self, counted: Counted) {
        match counted {
            Counted::Running => self.running -= 1,
            Counted::Pending => self.pending -= 1,
            Counted::Neither => {}
        }
    }
}

impl Usage {
    /// A task takes what it reserves, if it is not over.
    pub(crate) fn hold(&mut self, task: &Task) {
        if !task.holds_resources() {
            return;
        }
        self.cpu += u64::from(task.facts.reserved.cpu);
        self.memory += u64::from(task.facts.reserved.memory);
        for port in task.host_ports() {
            *self.ports.entry(port).or_default() += 1;
        }
        for gpu in &task.facts.reserved.gpus {
            *self.gpus.entry(gpu.clone()).or_default() += 1;
        }
    }

    /// A task gives back what it took, exactly.
    fn release(&mut self, task: &Task) {
        if !task.holds_resources() {
            return;
        }
        self.cpu -= u64::from(task.facts.reserved.cpu);
        self.memory -= u64::from(task.facts.reserved.memory);
        for port in task.host_ports() {
            release(&mut self.ports, &port);
        }
        for gpu in &task.facts.reserved.gpus {
            release(&mut self.gpus, gpu);
        }
    }
}

impl TaskIndex {
    /// Counts a task in.
    pub(crate) fn insert(&mut self, task: &Task) {
        let (facts, id) = (&task.facts, &task.facts.key.task);
        if let Some(instance) = facts.instance_key() {
            change(&mut self.instances, &instance, |on| on.add(task));
        }
        if let Some(service) = facts.service_key() {
            change(&mut self.services, &service, |of| {
                of.tasks.insert(id.clone());
                of.counts.add(task);
            });
        }
        change(&mut self.families, &family(task), |tasks| drop(tasks.insert(id.clone())));
        change(&mut self.definitions, &facts.definition, |uses| *uses += 1);
        self.count(facts.cluster(), |counts| counts.add(task));
        self.list(task);
    }

    /// Counts a task out, exactly as it was counted in.
    pub(crate) fn remove(&mut self, task: &Task) {
        let (facts, id) = (&task.facts, &task.facts.key.task);
        if let Some(instance) = facts.instance_key() {
            change_or_drop(&mut self.instances, &instance, |on| on.take(task));
        }
        if let Some(service) = facts.service_key() {
            change_or_drop(&mut self.services, &service, |of| {
                of.tasks.remove(id);
                of.counts.take(Counted::of(task));
                of.tasks.is_empty()
            });
        }
        change_or_drop(&mut self.families, &family(task), |tasks| {
            tasks.remove(id);
            tasks.is_empty()
        });
        change_or_drop(&mut self.definitions, &facts.definition, |uses| {
            *uses -= 1;
            *uses == 0
        });
        self.count(facts.cluster(), |counts| counts.take(Counted::of(task)));
        self.unlist(task);
    }

    /// A task has come further; its facts are as they were. Touches only what that alters.
    pub(crate) fn step(&mut self, before: &Task, after: &Task) {
        let (was, is) = (Counted::of(before), Counted::of(after));
        let counts = was != is;
        let holds = before.holds_resources() != after.holds_resources();
        let usage = holds || (after.holds_resources() && !same_ports(before, after));
        if (counts || usage)
            && let Some(instance) = after.facts.instance_key()
            && let Some(on) = self.instances.get_mut(&instance)
        {
            on.counts.take(was);
            on.counts.put(is);
            if usage {
                on.usage.release(before);
                on.usage.hold(after);
            }
        }
        if counts {
            if let Some(service) = after.facts.service_key()
                && let Some(of) = self.services.get_mut(&service)
            {
                of.counts.take(was);
                of.counts.put(is);
            }
            self.count(after.facts.cluster(), |counts| {
                counts.take(was);
                counts.put(is);
            });
        }
        let listed = |task: &Task| {
            let deactivating = task.progress.status == TaskStatus::Deactivating;
            (stopped_at(task), deactivating, waits_since(task), task.holds_resources())
        };
        if listed(before) != listed(after) {
            self.unlist(before);
            self.list(after);
        }
    }

    fn count(&mut self, cluster: &ClusterName, by: impl FnOnce(&mut Counts)) {
        // Which tasks a cluster has is not told here, so it is here while any of them counts.
        let mut counts = self.clusters.get(cluster).copied().unwrap_or_default();
        let before = counts;
        by(&mut counts);
        if counts == Counts::default() {
            self.clusters.remove(cluster);
        } else if counts != before {
            change(&mut self.clusters, cluster, |kept| *kept = counts);
        }
    }

    /// Puts a task into the lists of those that are few.
    fn list(&mut self, task: &Task) {
        let key = &task.facts.key;
        if let Some(at) = stopped_at(task) {
            self.stopped.insert((at, key.clone()));
        }
        self.list_present(task);
    }

    /// The same of those that are not over.
    fn list_present(&mut self, task: &Task) {
        let key = &task.facts.key;
        if task.progress.status == TaskStatus::Deactivating {
            self.deactivating.insert(key.clone());
        }
        if let Some(since) = waits_since(task) {
            self.waiting.insert((since, key.clone()));
        }
        if let Some(interface) = task.facts.interface().filter(|_| task.holds_resources()) {
            self.addresses.insert(interface.address, key.clone());
        }
    }

    fn unlist(&mut self, task: &Task) {
        let key = &task.facts.key;
        if let Some(at) = stopped_at(task) {
            self.stopped.remove(&(at, key.clone()));
        }
        if task.progress.status == TaskStatus::Deactivating {
            self.deactivating.remove(key);
        }
        if let Some(since) = waits_since(task) {
            self.waiting.remove(&(since, key.clone()));
        }
        if let Some(interface) = task.facts.interface()
            && self.addresses.get(&interface.address) == Some(key)
        {
            self.addresses.remove(&interface.address);
        }
    }
}

/// Changes what stands under a key, which begins as nothing.
fn change<K: Ord + Clone, V: Clone + Default>(
    map: &mut OrdMap<K, V>,
    key: &K,
    with: impl FnOnce(&mut V),
) {
    if let Some(value) = map.get_mut(key) {
        with(value);
        return;
    }
    let mut value = V::default();
    with(&mut value);
    map.insert(key.clone(), value);
}

/// Changes what stands under a key, and drops it when that says so.
fn change_or_drop<K: Ord + Clone, V: Clone>(
    map: &mut OrdMap<K, V>,
    key: &K,
    with: impl FnOnce(&mut V) -> bool,
) {
    if map.get_mut(key).is_some_and(with) {
        map.remove(key);
    }
}

fn release<K: Ord + Clone>(held: &mut OrdMap<K, u32>, key: &K) {
    change_or_drop(held, key, |n| {
        *n -= 1;
        *n == 0
    });
}

/// Whether what was published for a task has not changed.
fn same_ports(before: &Task, after: &Task) -> bool {
    let (before, after) = (&before.progress.containers, &after.progress.containers);
    before.iter().flat_map(|c| &c.bindings).eq(after.iter().flat_map(|c| &c.bindings))
}

/// When a task that is over stopped.
fn stopped_at(task: &Task) -> Option<Timestamp> {
    (task.progress.status == TaskStatus::Stopped)
        .then(|| task.progress.stopped_at.unwrap_or(task.facts.created_at))
}

/// Since when a task waits for an instance, if it does.
fn waits_since(task: &Task) -> Option<Timestamp> {
    let waits = task.facts.instance.is_none() && task.holds_resources();
    waits.then_some(task.facts.created_at)
}

fn family(task: &Task) -> (ClusterName, Family) {
    (task.facts.cluster().clone(), task.facts.definition.family.clone())
}

mod whole;
