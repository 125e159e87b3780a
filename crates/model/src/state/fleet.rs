//! Keeping the fleets as instances, tasks and nodes change, and reading them.

use std::sync::Arc;

use super::State;
use crate::fleet::{Fleet, Offer, Standing};
use crate::{
    CapacityChange, ClusterName, DesiredStatus, Instance, InstanceKey, InstanceStatus, NodeState,
    Task,
};

impl State {
    /// The instances of a cluster as placement looks for them; none if the cluster never had one.
    pub fn fleet(&self, cluster: &ClusterName) -> Option<&Arc<Fleet>> {
        self.fleets.of(cluster)
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
            let members: Vec<String> =
                self.tasks_on(&instance.key).filter(|task| counts(task)).map(group).collect();
            for group in members {
                self.fleets.count(&instance.key, &group, 1);
            }
        }
    }

    /// A task came, changed or went.
    pub(super) fn task_moved(&mut self, before: Option<&Task>, after: Option<&Task>) {
        let instance = |task: Option<&Task>| task.and_then(|task| task.facts.instance_key());
        let (from, to) = (instance(before), instance(after));
        let moves = from != to;
        for key in [from.as_ref().filter(|_| moves), to.as_ref()].into_iter().flatten() {
            self.resize(key);
        }
        let counted = |task: Option<&Task>| task.is_some_and(counts);
        let stays = !moves
            && counted(before) == counted(after)
            && before.map(|task| &task.facts.group) == after.map(|task| &task.facts.group);
        if stays {
            return;
        }
        for (task, key, by) in [(before, from, -1), (after, to, 1)] {
            if let (Some(task), Some(key)) = (task.filter(|task| counts(task)), key) {
                self.fleets.count(&key, &task.facts.group, by);
            }
        }
    }

    fn resize(&mut self, key: &InstanceKey) {
        let Some(instance) = self.instances.get(key).cloned() else { return };
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

/// Whether a task counts for spreading and keeping apart.
fn counts(task: &Task) -> bool {
    task.holds_resources() && task.progress.desired == DesiredStatus::Running
}

fn group(task: &Task) -> String {
    task.facts.group.clone()
}
