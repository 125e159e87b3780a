//! Where the tasks of a group are: how many on each instance, and how many in each class.

use imbl::{OrdMap, OrdSet};

/// The tasks of a group that are wanted to run, on the instances of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Crowd {
    on: OrdMap<u32, u32>,
    by_count: OrdMap<u32, OrdSet<u32>>,
    // By class the tasks, and the instances that have any.
    of_class: OrdMap<u32, (u32, u32)>,
}

impl Crowd {
    /// How many are on an instance.
    pub fn on(&self, slot: u32) -> u32 {
        self.on.get(&slot).copied().unwrap_or(0)
    }

    /// The instances that have any, with how many.
    pub fn instances(&self) -> impl Iterator<Item = (u32, u32)> {
        self.on.iter().map(|(slot, count)| (*slot, *count))
    }

    /// On how many instances there are any.
    pub fn len(&self) -> usize {
        self.on.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.on.is_empty()
    }

    /// The instances by how many they have, the fewest first, from one on.
    pub fn by_count(&self) -> impl Iterator<Item = (u32, &OrdSet<u32>)> {
        self.by_count.iter().map(|(count, slots)| (*count, slots))
    }

    /// How many are on the instances of each class that has any.
    pub fn by_class(&self) -> impl Iterator<Item = (u32, u32)> {
        self.of_class.iter().map(|(class, (tasks, _))| (*class, *tasks))
    }

    /// How many instances of a class have any.
    pub fn instances_of(&self, class: u32) -> usize {
        self.of_class.get(&class).map_or(0, |(_, instances)| *instances as usize)
    }

    /// Counts so many more, or fewer, on an instance of a class.
    pub(super) fn add(&mut self, slot: u32, class: u32, by: i64) {
        let before = self.on(slot);
        let after = added(before, by);
        if before > 0
            && let Some(slots) = self.by_count.get_mut(&before)
        {
            slots.remove(&slot);
            if slots.is_empty() {
                self.by_count.remove(&before);
            }
        }
        if after > 0 {
            self.by_count.entry(after).or_default().insert(slot);
            self.on.insert(slot, after);
        } else {
            self.on.remove(&slot);
        }
        let (tasks, instances) = self.of_class.get(&class).copied().unwrap_or_default();
        let (tasks, was) = (added(tasks, by), i64::from(before > 0));
        let instances = added(instances, i64::from(after > 0) - was);
        if tasks > 0 {
            self.of_class.insert(class, (tasks, instances));
        } else {
            self.of_class.remove(&class);
        }
    }
}

fn added(count: u32, by: i64) -> u32 {
    u32::try_from(i64::from(count) + by).unwrap_or(0)
}
