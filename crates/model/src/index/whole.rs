//! All folds at once over all tasks, for when records are loaded.

#![expect(clippy::disallowed_types, reason = "what is gathered is put in order before it is kept")]

use std::collections::{BTreeMap, HashMap};

use imbl::OrdSet;

use super::{Counts, OfService, OnInstance, TaskIndex, Usage, stopped_at};
use crate::tasks::Tasks;
use crate::{
    ClusterName, Family, InstanceId, InstanceKey, ServiceKey, ServiceName, Task, TaskId, packed,
};

/// What belongs together, while it is gathered. Tasks come by id.
#[derive(Default)]
struct Gathered {
    tasks: Vec<TaskId>,
    counts: Counts,
    usage: Usage,
}

impl TaskIndex {
    /// What [`TaskIndex::insert`] would make of these tasks.
    pub(crate) fn of(tasks: &Tasks) -> Self {
        let mut index = Self::default();
        let (mut instances, mut services) = (BTreeMap::new(), BTreeMap::new());
        let (mut families, mut guests) = (BTreeMap::new(), Vec::new());
        let (mut definitions, mut stopped) = (HashMap::<_, u32>::new(), Vec::new());
        for (cluster, tasks) in tasks.clusters() {
            let mut counts = Counts::default();
            let mut here: HashMap<&InstanceId, Gathered> = HashMap::new();
            let mut mine: HashMap<&ServiceName, Gathered> = HashMap::new();
            let mut alike: HashMap<&Family, Vec<TaskId>> = HashMap::new();
            for task in tasks.values() {
                let id = &task.facts.key.task;
                counts.add(task);
                if task.facts.is_guest() {
                    guests.push(task);
                } else if let Some(instance) = &task.facts.instance {
                    let on = here.entry(instance).or_default();
                    on.add(id, task);
                    on.usage.hold(task);
                }
                if let Some(service) = &task.facts.service {
                    mine.entry(service).or_default().add(id, task);
                }
                alike.entry(&task.facts.definition.family).or_default().push(id.clone());
                *definitions.entry(&task.facts.definition).or_insert(0) += 1;
                stopped.extend(stopped_at(task).map(|at| (at, task.facts.key.clone())));
                index.list_present(task);
            }
            if counts != Counts::default() {
                index.clusters.insert(cluster.clone(), counts);
            }
            instances.extend(here.into_iter().map(|(id, it)| it.on_instance(cluster, id)));
            services.extend(mine.into_iter().map(|(name, it)| it.of_service(cluster, name)));
            families.extend(alike.into_iter().map(|(family, ids)| family_of(cluster, family, ids)));
        }
        for task in guests {
            // Few, and of any cluster.
            if let Some(key) = task.facts.instance_key() {
                instances.entry(key).or_insert_with(OnInstance::default).add(task);
            }
        }
        index.instances = packed::map(instances.into_iter().collect());
        index.services = packed::map(services.into_iter().collect());
        index.families = packed::map(families.into_iter().collect());
        stopped.sort_unstable();
        index.stopped = packed::set(stopped);
        index.definitions = definitions.into_iter().map(|(key, n)| (key.clone(), n)).collect();
        index
    }
}

impl Gathered {
    fn add(&mut self, id: &TaskId, task: &Task) {
        self.tasks.push(id.clone());
        self.counts.add(task);
    }

    fn on_instance(
        self,
        cluster: &ClusterName,
        instance: &InstanceId,
    ) -> (InstanceKey, OnInstance) {
        let Self { tasks, counts, usage } = self;
        let key = InstanceKey { cluster: cluster.clone(), instance: instance.clone() };
        let tasks = packed::set(tasks);
        (key, OnInstance { tasks, guests: OrdSet::new(), counts, usage })
    }

    fn of_service(self, cluster: &ClusterName, service: &ServiceName) -> (ServiceKey, OfService) {
        let key = ServiceKey { cluster: cluster.clone(), service: service.clone() };
        (key, OfService { tasks: packed::set(self.tasks), counts: self.counts })
    }
}

type OfFamily = ((ClusterName, Family), OrdSet<TaskId>);

fn family_of(cluster: &ClusterName, family: &Family, ids: Vec<TaskId>) -> OfFamily {
    ((cluster.clone(), family.clone()), packed::set(ids))
}
