//! The whole truth as one value. A clone is a snapshot and costs next to nothing: maps share
//! structure, entities are behind `Arc`s.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};
use stdx::Timestamp;

use crate::fleet::Fleets;
use crate::index::{Counts, TaskIndex, Usage};
use crate::tasks::Tasks;
use crate::{
    Book, BusBook, CapacityBook, Change, Cluster, ClusterName, DefinitionKey, DefinitionStatus,
    DeploymentBook, Family, GpuId, HostPort, Instance, InstanceKey, ManagedPolicy, PolicyName,
    Realm, Resources, Revision, Role, RoleName, ScalingBook, Service, ServiceEvent, ServiceKey,
    SettingsBook, Task, TaskDefinition, TaskKey, TaskProgress, TokenKey, TokenRecord,
};

/// Everything that is true of a realm at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    realm: Arc<Realm>,
    clusters: OrdMap<ClusterName, Arc<Cluster>>,
    definitions: OrdMap<DefinitionKey, Arc<TaskDefinition>>,
    instances: OrdMap<InstanceKey, Arc<Instance>>,
    services: OrdMap<ServiceKey, Arc<Service>>,
    // Those of them that are daemon services, which nearly everyone who places asks for.
    daemons: OrdSet<ServiceKey>,
    events: OrdMap<ServiceKey, Vector<Arc<ServiceEvent>>>,
    tasks: Tasks,
    // Progress that came before its task's facts: only while records are loaded.
    early: OrdMap<TaskKey, Arc<TaskProgress>>,
    tokens: OrdMap<TokenKey, Arc<TokenRecord>>,
    roles: OrdMap<RoleName, Arc<Role>>,
    policies: OrdMap<PolicyName, Arc<ManagedPolicy>>,
    balancing: Book,
    scaling: ScalingBook,
    capacity: CapacityBook,
    deployments: DeploymentBook,
    bus: BusBook,
    settings: SettingsBook,
    // Tokens by age and definitions on their way out, for those who forget them.
    token_ages: OrdSet<(Timestamp, TokenKey)>,
    deleting: OrdSet<DefinitionKey>,
    index: TaskIndex,
    fleets: Fleets,
}

impl State {
    /// A realm in which nothing is.
    pub fn new(realm: Realm) -> Self {
        Self {
            realm: Arc::new(realm),
            clusters: OrdMap::new(),
            definitions: OrdMap::new(),
            instances: OrdMap::new(),
            services: OrdMap::new(),
            daemons: OrdSet::new(),
            events: OrdMap::new(),
            tasks: Tasks::default(),
            early: OrdMap::new(),
            tokens: OrdMap::new(),
            roles: OrdMap::new(),
            policies: OrdMap::new(),
            balancing: Book::default(),
            scaling: ScalingBook::default(),
            capacity: CapacityBook::default(),
            deployments: DeploymentBook::default(),
            bus: BusBook::default(),
            settings: SettingsBook::default(),
            token_ages: OrdSet::new(),
            deleting: OrdSet::new(),
            index: TaskIndex::default(),
            fleets: Fleets::default(),
        }
    }

    /// Takes a change in. Total: any change may come to any state, also twice.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::PutCluster(cluster) => {
                self.clusters.insert(cluster.name.clone(), cluster.clone());
            }
            Change::DeleteCluster(name) => {
                self.clusters.remove(name);
            }
            Change::PutDefinition(definition) => {
                if definition.status == DefinitionStatus::DeleteInProgress {
                    self.deleting.insert(definition.key.clone());
                } else {
                    self.deleting.remove(&definition.key);
                }
                self.definitions.insert(definition.key.clone(), definition.clone());
            }
            Change::DeleteDefinition(key) => {
                self.deleting.remove(key);
                self.definitions.remove(key);
            }
            Change::PutInstance(instance) => {
                self.instances.insert(instance.key.clone(), instance.clone());
                self.seat(instance);
            }
            Change::DeleteInstance(key) => {
                self.instances.remove(key);
                self.fleets.delete(key);
            }
            Change::PutService(service) => {
                self.mark_daemon(service);
                self.services.insert(service.key.clone(), service.clone());
            }
            Change::DeleteService(key) => {
                self.services.remove(key);
                self.daemons.remove(key);
                self.events.remove(key);
            }
            Change::PutEvent(key, event) => self.put_event(key, event),
            Change::PutTask(facts) => self.put_task(facts),
            Change::PutProgress(key, progress) => self.put_progress(key, progress),
            Change::DeleteTask(key) => {
                if let Some(task) = self.tasks.remove(key) {
                    self.index.remove(&task);
                    self.task_moved(Some(&task), None);
                }
                self.early.remove(key);
            }
            Change::PutToken(record) => {
                self.remove_token(&record.key);
                self.token_ages.insert((record.at, record.key.clone()));
                self.tokens.insert(record.key.clone(), record.clone());
            }
            Change::DeleteToken(key) => self.remove_token(key),
            Change::PutRole(role) => drop(self.roles.insert(role.name.clone(), role.clone())),
            Change::DeleteRole(name) => drop(self.roles.remove(name)),
            Change::PutPolicy(p) => drop(self.policies.insert(p.name.clone(), p.clone())),
            Change::DeletePolicy(name) => drop(self.policies.remove(name)),
            Change::Balancing(change) => self.balancing.apply(change),
            Change::Scaling(change) => self.scaling.apply(change),
            Change::Capacity(change) => {
                self.capacity.apply(change);
                self.capacity_moved(change);
            }
            Change::Deployment(change) => self.deployments.apply(change),
            Change::Bus(change) => self.bus.apply(change),
            Change::Setting(change) => self.settings.apply(change),
        }
    }

    fn remove_token(&mut self, key: &TokenKey) {
        if let Some(before) = self.tokens.remove(key) {
            self.token_ages.remove(&(before.at, key.clone()));
        }
    }

    fn put_event(&mut self, key: &ServiceKey, event: &Arc<ServiceEvent>) {
        let events = self.events.entry(key.clone()).or_default();
        // Newest first. While records are loaded they come in the order of the ring.
        let at = events.iter().position(|e| e.number <= event.number).unwrap_or(events.len());
        if events.get(at).is_some_and(|e| e.number == event.number) {
            events.set(at, event.clone());
        } else {
            events.insert(at, event.clone());
        }
        while u64::try_from(events.len()).is_ok_and(|n| n > ServiceEvent::KEPT) {
            events.pop_back();
        }
    }

    fn put_task(&mut self, facts: &Arc<crate::TaskFacts>) {
        let before = self.tasks.get(&facts.key).cloned();
        let progress = match &before {
            Some(before) => {
                self.index.remove(before);
                before.progress.clone()
            }
            None if self.early.is_empty() => Arc::new(TaskProgress::first(facts)),
            None => match self.early.remove(&facts.key) {
                Some(progress) => progress,
                None => Arc::new(TaskProgress::first(facts)),
            },
        };
        let task = Task { facts: facts.clone(), progress };
        self.index.insert(&task);
        self.task_moved(before.as_ref(), Some(&task));
        self.tasks.insert(task);
    }

    fn put_progress(&mut self, key: &TaskKey, progress: &Arc<TaskProgress>) {
        let Some(task) = self.tasks.get_mut(key) else {
            self.early.insert(key.clone(), progress.clone());
            return;
        };
        let facts = task.facts.clone();
        let before = std::mem::replace(&mut task.progress, progress.clone());
        let before = Task { facts: facts.clone(), progress: before };
        let after = Task { facts, progress: progress.clone() };
        self.index.step(&before, &after);
        self.task_moved(Some(&before), Some(&after));
    }
}

// === Reading ===

impl State {
    /// Whose realm it is.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// A cluster, active or not.
    pub fn cluster(&self, name: &ClusterName) -> Option<&Arc<Cluster>> {
        self.clusters.get(name)
    }

    /// Every cluster by name, inactive ones too.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.values()
    }

    /// A task definition in any status.
    pub fn definition(&self, key: &DefinitionKey) -> Option<&Arc<TaskDefinition>> {
        self.definitions.get(key)
    }

    /// Every task definition by family and number.
    pub fn definitions(&self) -> impl DoubleEndedIterator<Item = &Arc<TaskDefinition>> {
        self.definitions.values()
    }

    /// The definitions of a family by number.
    pub fn family(&self, family: &Family) -> impl DoubleEndedIterator<Item = &Arc<TaskDefinition>> {
        let first = DefinitionKey { family: family.clone(), revision: Revision(0) };
        let last = DefinitionKey { family: family.clone(), revision: Revision(u32::MAX) };
        self.definitions.range(first..=last).map(|(_, definition)| definition)
    }

    /// The newest definition of a family that may start tasks.
    pub fn latest_active(&self, family: &Family) -> Option<&Arc<TaskDefinition>> {
        self.family(family).rev().find(|d| d.status == DefinitionStatus::Active)
    }

    /// A container instance.
    pub fn instance(&self, key: &InstanceKey) -> Option<&Arc<Instance>> {
        self.instances.get(key)
    }

    /// Every container instance of every cluster.
    pub fn all_instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values()
    }

    /// The container instances of a cluster by id.
    pub fn instances(&self, cluster: &ClusterName) -> impl Iterator<Item = &Arc<Instance>> {
        let first = InstanceKey { cluster: cluster.clone(), instance: "".into() };
        let cluster = cluster.clone();
        self.instances
            .range(first..)
            .take_while(move |(key, _)| key.cluster == cluster)
            .map(|(_, instance)| instance)
    }

    /// A service in any status.
    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    /// Every service of every cluster.
    pub fn all_services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// The services of a cluster by name.
    pub fn services(&self, cluster: &ClusterName) -> impl Iterator<Item = &Arc<Service>> {
        let first = ServiceKey { cluster: cluster.clone(), service: "".into() };
        let cluster = cluster.clone();
        self.services
            .range(first..)
            .take_while(move |(key, _)| key.cluster == cluster)
            .map(|(_, service)| service)
    }

    /// What happened to a service, newest first, at most [`ServiceEvent::KEPT`].
    pub fn events(&self, key: &ServiceKey) -> impl Iterator<Item = &Arc<ServiceEvent>> {
        self.events.get(key).into_iter().flatten()
    }

    /// A role.
    pub fn role(&self, name: &RoleName) -> Option<&Arc<Role>> {
        self.roles.get(name)
    }

    /// Every role by name.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.values()
    }

    /// A managed policy of this account.
    pub fn policy(&self, name: &PolicyName) -> Option<&Arc<ManagedPolicy>> {
        self.policies.get(name)
    }

    /// Every managed policy of this account by name.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<ManagedPolicy>> {
        self.policies.values()
    }

    /// Auto Scaling groups, their nodes, and capacity providers.
    pub fn capacity(&self) -> &CapacityBook {
        &self.capacity
    }

    /// Service deployments and service revisions.
    pub fn deployments(&self) -> &DeploymentBook {
        &self.deployments
    }

    /// Rules of the event bus, their targets, and web hooks.
    pub fn bus(&self) -> &BusBook {
        &self.bus
    }

    /// Account settings.
    pub fn settings(&self) -> &SettingsBook {
        &self.settings
    }

    /// What makes services grow and shrink.
    pub fn scaling(&self) -> &ScalingBook {
        &self.scaling
    }

    /// Load balancers, target groups and targets.
    pub fn balancing(&self) -> &Book {
        &self.balancing
    }

    /// Who has which address, of the tasks that have interfaces of their own and are not over.
    pub(crate) fn addresses(&self) -> &OrdMap<std::net::Ipv4Addr, TaskKey> {
        &self.index.addresses
    }

    /// A task.
    pub fn task(&self, key: &TaskKey) -> Option<&Task> {
        self.tasks.get(key)
    }

    /// Every task of every cluster.
    pub fn all_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter()
    }

    /// The tasks of a cluster by id.
    pub fn tasks(&self, cluster: &ClusterName) -> impl Iterator<Item = &Task> {
        self.tasks.cluster(cluster).into_iter().flat_map(OrdMap::values)
    }

    /// The tasks placed on an instance, stopped ones too while they are remembered; those of its own
    /// cluster first.
    pub fn tasks_on(&self, key: &InstanceKey) -> impl Iterator<Item = &Task> {
        let on = self.index.instances.get(key);
        let guests = on.into_iter().flat_map(|on| &on.guests);
        let guests = guests.filter_map(|key| self.tasks.get(key));
        self.found(&key.cluster, on.map(|on| &on.tasks)).chain(guests)
    }

    /// The tasks of a service, stopped ones too while they are remembered.
    pub fn tasks_of(&self, key: &ServiceKey) -> impl Iterator<Item = &Task> {
        self.found(&key.cluster, self.index.services.get(key).map(|of| &of.tasks))
    }

    /// The tasks of a family in a cluster, stopped ones too while they are remembered.
    pub fn tasks_of_family(
        &self,
        cluster: &ClusterName,
        family: &Family,
    ) -> impl Iterator<Item = &Task> {
        self.found(cluster, self.index.families.get(&(cluster.clone(), family.clone())))
    }

    fn found<'a>(
        &'a self,
        cluster: &ClusterName,
        ids: Option<&'a imbl::OrdSet<crate::TaskId>>,
    ) -> impl Iterator<Item = &'a Task> {
        let tasks = self.tasks.cluster(cluster);
        ids.into_iter().flatten().filter_map(move |id| tasks?.get(id))
    }

    /// How many tasks, stopped ones too, were started from a definition and are remembered.
    pub fn uses_of(&self, key: &DefinitionKey) -> u32 {
        self.index.definitions.get(key).copied().unwrap_or(0)
    }

    /// A client token as first used.
    pub fn token(&self, key: &TokenKey) -> Option<&Arc<TokenRecord>> {
        self.tokens.get(key)
    }

    /// Every client token that is remembered.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<TokenRecord>> {
        self.tokens.values()
    }

    /// Every client token that is remembered with the instant of its first use, oldest first.
    pub fn tokens_by_age(&self) -> impl Iterator<Item = &(Timestamp, TokenKey)> {
        self.token_ages.iter()
    }

    /// Every task that is over with the instant at which it stopped, oldest first.
    pub fn stopped_tasks(&self) -> impl Iterator<Item = &(Timestamp, TaskKey)> {
        self.index.stopped.iter()
    }

    /// How many tasks are over and remembered.
    pub fn stopped_count(&self) -> usize {
        self.index.stopped.len()
    }

    /// The instance of a task, if it has one that is still there.
    pub fn instance_of(&self, task: &crate::TaskFacts) -> Option<&Arc<Instance>> {
        self.instance(&task.instance_key()?)
    }

    /// The node that an instance is, if an Auto Scaling group started it.
    pub fn node_of(&self, instance: &Instance) -> Option<&Arc<crate::Node>> {
        self.capacity.node(&instance.ec2_instance_id.as_deref()?.into())
    }

    /// The capacity provider that gave an instance, if one did.
    pub fn provider_of(&self, instance: &Instance) -> Option<&Arc<crate::CapacityProvider>> {
        self.capacity.provider_of(&self.node_of(instance)?.group)
    }

    /// The tasks that wait for an instance, oldest first.
    pub fn waiting_tasks(&self) -> impl Iterator<Item = &Task> {
        self.index.waiting.iter().filter_map(|(_, key)| self.tasks.get(key))
    }

    /// The tasks that were told to stop and wait for their targets to be drained.
    pub fn deactivating_tasks(&self) -> impl Iterator<Item = &TaskKey> {
        self.index.deactivating.iter()
    }

    /// Whether the container instances are those of an earlier state: told without a look at them,
    /// so they may be equal though it says no.
    pub fn same_instances(&self, earlier: &Self) -> bool {
        self.instances.ptr_eq(&earlier.instances)
    }

    /// The definitions that are deleted and still remembered.
    pub fn deleting_definitions(&self) -> impl Iterator<Item = &DefinitionKey> {
        self.deleting.iter()
    }

    /// The tasks that are not over though their instance is gone.
    pub fn tasks_without_instance(&self) -> impl Iterator<Item = &Task> {
        // Both are in the order of keys: one pass over each, since the loops ask again and again.
        let mut instances = self.instances.keys().peekable();
        self.index
            .instances
            .iter()
            .filter(move |(key, _)| {
                while instances.next_if(|instance| instance < key).is_some() {}
                instances.peek() != Some(key)
            })
            .flat_map(|(key, _)| self.tasks_on(key))
            .filter(|task| task.holds_resources())
    }

    /// The container instances of a cluster by id, each with what it has left of `(CPU units, MiB)`,
    /// as [`State::left`] has it: one pass for those who look at every instance.
    pub fn offers(
        &self,
        cluster: &ClusterName,
    ) -> impl Iterator<Item = (&Arc<Instance>, (u32, u32))> {
        let first = InstanceKey { cluster: cluster.clone(), instance: "".into() };
        let mut usage = self.index.instances.range(first..).peekable();
        self.instances(cluster).map(move |instance| {
            while usage.next_if(|(key, _)| **key < instance.key).is_some() {}
            let used = usage.next_if(|(key, _)| **key == instance.key).map(|(_, on)| &on.usage);
            (instance, left(instance, used))
        })
    }

    /// `(running, pending)` tasks of a cluster.
    pub fn cluster_counts(&self, name: &ClusterName) -> (u32, u32) {
        pair(self.index.clusters.get(name))
    }

    /// `(running, pending)` tasks of a service.
    pub fn service_counts(&self, key: &ServiceKey) -> (u32, u32) {
        pair(self.index.services.get(key).map(|of| &of.counts))
    }

    /// `(running, pending)` tasks of an instance.
    pub fn instance_counts(&self, key: &InstanceKey) -> (u32, u32) {
        pair(self.index.instances.get(key).map(|on| &on.counts))
    }

    /// What an instance has left for further tasks: CPU, memory and GPUs that no task holds, and the
    /// ports that are taken, by the host or by tasks.
    pub fn remaining(&self, instance: &Instance) -> Resources {
        let mut left = instance.registered.clone();
        (left.cpu, left.memory) = self.left(instance);
        if let Some(usage) = self.usage(&instance.key) {
            left.ports.extend(usage.ports.keys().copied());
            left.gpus.retain(|gpu| !usage.gpus.contains_key(gpu));
        }
        left
    }

    fn usage(&self, key: &InstanceKey) -> Option<&Usage> {
        self.index.instances.get(key).map(|on| &on.usage)
    }

    /// What an instance has left of `(CPU units, MiB)`: [`State::remaining`] without the ports.
    pub fn left(&self, instance: &Instance) -> (u32, u32) {
        left(instance, self.usage(&instance.key))
    }

    /// The GPUs of an instance that no task holds.
    pub fn free_gpus<'a>(&'a self, instance: &'a Instance) -> impl Iterator<Item = &'a GpuId> {
        let usage = self.usage(&instance.key);
        let free = move |gpu: &&GpuId| usage.is_none_or(|usage| !usage.gpus.contains_key(*gpu));
        instance.registered.gpus.iter().filter(free)
    }

    /// Whether a port of an instance is taken, by the host or by a task.
    pub fn port_taken(&self, instance: &Instance, port: HostPort) -> bool {
        instance.registered.ports.contains(&port)
            || self.usage(&instance.key).is_some_and(|u| u.ports.contains_key(&port))
    }

    /// Every record as the change that makes it, in loading order: the state as a stream.
    pub fn records(&self) -> impl Iterator<Item = Change> + '_ {
        let clusters = self.clusters.values().cloned().map(Change::PutCluster);
        let definitions = self.definitions.values().cloned().map(Change::PutDefinition);
        let instances = self.instances.values().cloned().map(Change::PutInstance);
        let services = self.services.values().cloned().map(Change::PutService);
        let events = self.events.iter().flat_map(|(key, events)| {
            events.iter().map(|event| Change::PutEvent(key.clone(), event.clone()))
        });
        let tasks = self.tasks.iter().flat_map(|task| {
            let key = task.facts.key.clone();
            [Change::PutTask(task.facts.clone()), Change::PutProgress(key, task.progress.clone())]
        });
        let tokens = self.tokens.values().cloned().map(Change::PutToken);
        let roles = self.roles.values().cloned().map(Change::PutRole);
        let policies = self.policies.values().cloned().map(Change::PutPolicy);
        let balancing = self.balancing.records().map(Change::Balancing);
        let scaling = self.scaling.records().map(Change::Scaling);
        let capacity = self.capacity.records().map(Change::Capacity);
        let bus = self.bus.records().map(Change::Bus);
        let settings = self.settings.records().map(Change::Setting);
        let deployments = self.deployments.records().map(Change::Deployment);
        clusters
            .chain(definitions)
            .chain(instances)
            .chain(services)
            .chain(events)
            .chain(tasks)
            .chain(tokens)
            .chain(roles)
            .chain(policies)
            .chain(balancing)
            .chain(scaling)
            .chain(capacity)
            .chain(bus)
            .chain(settings)
            .chain(deployments)
    }
}

fn left(instance: &Instance, usage: Option<&Usage>) -> (u32, u32) {
    let less = |total: u32, used: u64| {
        u32::try_from(u64::from(total).saturating_sub(used)).unwrap_or(total)
    };
    let total = &instance.registered;
    usage.map_or((total.cpu, total.memory), |usage| {
        (less(total.cpu, usage.cpu), less(total.memory, usage.memory))
    })
}

fn pair(counts: Option<&Counts>) -> (u32, u32) {
    counts.map_or((0, 0), |c| (c.running, c.pending))
}

mod fleet;
pub(crate) mod loading;
#[cfg(test)]
mod tests;
