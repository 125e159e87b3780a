//! Folds over tasks that are asked for all the time, kept as tasks change.
//!
//! Only [`crate::State::apply`] touches them, by taking a task out as it was and putting it in as it
//! is; so they cannot drift from the facts, and a property test says so.

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
    pub(crate) by_instance: OrdMap<InstanceKey, OrdSet<TaskId>>,
    // Those of other clusters, which Fargate's capacity takes too.
    pub(crate) guests: OrdMap<InstanceKey, OrdSet<TaskKey>>,
    pub(crate) by_service: OrdMap<ServiceKey, OrdSet<TaskId>>,
    pub(crate) by_family: OrdMap<(ClusterName, Family), OrdSet<TaskId>>,
    pub(crate) by_definition: OrdMap<DefinitionKey, u32>,
    pub(crate) usage: OrdMap<InstanceKey, Usage>,
    pub(crate) clusters: OrdMap<ClusterName, Counts>,
    pub(crate) services: OrdMap<ServiceKey, Counts>,
    pub(crate) instances: OrdMap<InstanceKey, Counts>,
    // Oldest first, so that the ones to forget are found without a look at the others.
    pub(crate) stopped: OrdSet<(Timestamp, TaskKey)>,
    // Those that wait for their targets to be drained.
    pub(crate) deactivating: OrdSet<TaskKey>,
    // Those that wait for an instance, oldest first.
    pub(crate) waiting: OrdSet<(Timestamp, TaskKey)>,
    // Who has which address, of those that have interfaces of their own and are not over.
    pub(crate) addresses: OrdMap<Ipv4Addr, TaskKey>,
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

impl TaskIndex {
    /// Counts a task in.
    pub(crate) fn insert(&mut self, task: &Task) {
        let id = task.facts.key.task.clone();
        let instance = task.facts.instance_key();
        if let Some(instance) = &instance {
            if task.facts.is_guest() {
                let guests = self.guests.entry(instance.clone()).or_default();
                guests.insert(task.facts.key.clone());
            } else {
                self.by_instance.entry(instance.clone()).or_default().insert(id.clone());
            }
        }
        if let Some(service) = task.facts.service_key() {
            self.by_service.entry(service).or_default().insert(id.clone());
        }
        self.by_family.entry(family(task)).or_default().insert(id);
        *self.by_definition.entry(task.facts.definition.clone()).or_default() += 1;
        if let Some(at) = stopped_at(task) {
            self.stopped.insert((at, task.facts.key.clone()));
        }
        if task.progress.status == TaskStatus::Deactivating {
            self.deactivating.insert(task.facts.key.clone());
        }
        if let Some(since) = waits_since(task) {
            self.waiting.insert((since, task.facts.key.clone()));
        }
        if let Some(interface) = task.facts.interface().filter(|_| task.holds_resources()) {
            self.addresses.insert(interface.address, task.facts.key.clone());
        }
        if let Some(instance) = instance
            && task.holds_resources()
        {
            let usage = self.usage.entry(instance).or_default();
            usage.cpu += u64::from(task.facts.reserved.cpu);
            usage.memory += u64::from(task.facts.reserved.memory);
            for port in task.host_ports() {
                *usage.ports.entry(port).or_default() += 1;
            }
            for gpu in &task.facts.reserved.gpus {
                *usage.gpus.entry(gpu.clone()).or_default() += 1;
            }
        }
        self.count(task, |n| *n += 1);
    }

    /// Counts a task out, exactly as it was counted in.
    pub(crate) fn remove(&mut self, task: &Task) {
        let id = &task.facts.key.task;
        let instance = task.facts.instance_key();
        if let Some(instance) = &instance {
            if task.facts.is_guest() {
                forget(&mut self.guests, instance, &task.facts.key);
            } else {
                forget(&mut self.by_instance, instance, id);
            }
        }
        if let Some(service) = task.facts.service_key() {
            forget(&mut self.by_service, &service, id);
        }
        forget(&mut self.by_family, &family(task), id);
        if let Some(n) = self.by_definition.get_mut(&task.facts.definition) {
            *n -= 1;
            if *n == 0 {
                self.by_definition.remove(&task.facts.definition);
            }
        }
        if let Some(at) = stopped_at(task) {
            self.stopped.remove(&(at, task.facts.key.clone()));
        }
        if task.progress.status == TaskStatus::Deactivating {
            self.deactivating.remove(&task.facts.key);
        }
        if let Some(since) = waits_since(task) {
            self.waiting.remove(&(since, task.facts.key.clone()));
        }
        if let Some(interface) = task.facts.interface()
            && self.addresses.get(&interface.address) == Some(&task.facts.key)
        {
            self.addresses.remove(&interface.address);
        }
        if task.holds_resources()
            && let Some(instance) = instance
            && let Some(usage) = self.usage.get_mut(&instance)
        {
            usage.cpu -= u64::from(task.facts.reserved.cpu);
            usage.memory -= u64::from(task.facts.reserved.memory);
            for port in task.host_ports() {
                release(&mut usage.ports, &port);
            }
            for gpu in &task.facts.reserved.gpus {
                release(&mut usage.gpus, gpu);
            }
            if *usage == Usage::default() {
                self.usage.remove(&instance);
            }
        }
        self.count(task, |n| *n -= 1);
    }

    fn count(&mut self, task: &Task, by: impl Fn(&mut u32)) {
        // ECS counts what is: a running task that was told to stop still runs.
        let pick: fn(&mut Counts) -> &mut u32 = match (task.progress.status, task.progress.desired)
        {
            (TaskStatus::Running, _) => |c| &mut c.running,
            (
                TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating,
                DesiredStatus::Running,
            ) => |c| &mut c.pending,
            _ => return,
        };
        count(&mut self.clusters, task.facts.cluster().clone(), pick, &by);
        if let Some(instance) = task.facts.instance_key() {
            count(&mut self.instances, instance, pick, &by);
        }
        if let Some(service) = task.facts.service_key() {
            count(&mut self.services, service, pick, &by);
        }
    }
}

fn release<K: Ord + Clone>(held: &mut OrdMap<K, u32>, key: &K) {
    if let Some(n) = held.get_mut(key) {
        *n -= 1;
        if *n == 0 {
            held.remove(key);
        }
    }
}

fn count<K: Ord + Clone>(
    map: &mut OrdMap<K, Counts>,
    key: K,
    pick: fn(&mut Counts) -> &mut u32,
    by: &impl Fn(&mut u32),
) {
    let counts = map.entry(key.clone()).or_default();
    by(pick(counts));
    if *counts == Counts::default() {
        map.remove(&key);
    }
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

fn forget<K: Ord + Clone, T: Ord + Clone>(map: &mut OrdMap<K, OrdSet<T>>, key: &K, id: &T) {
    if let Some(ids) = map.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}
