//! Where the tasks of a group are: how many on each instance, in each class, and in each section of
//! the attributes whose sections keep orders.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

/// The tasks of a group on the instances of a cluster. Counted are those that are wanted to run; those
/// that were told to stop and are not over are only known to be there.
#[derive(Clone, Debug, Default)]
pub struct Crowd {
    on: OrdMap<u32, Here>,
    // On how many instances any is wanted to run.
    instances: usize,
    by_count: OrdMap<u32, OrdSet<u32>>,
    // By class the tasks, and the instances that have any.
    of_class: Arc<Vec<(u32, u32)>>,
    // By division and section the tasks.
    of_section: Vec<Arc<Vec<u32>>>,
}

/// The tasks on an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Here {
    /// Those that are wanted to run.
    pub(super) wanted: u32,
    /// Those that are not over, be they wanted or not.
    pub(super) present: u32,
}

/// Where an instance belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'a> {
    pub(super) slot: u32,
    pub(super) class: u32,
    /// The divisions whose sections are counted, each with the section of the instance.
    pub(super) sections: &'a [(usize, u32)],
}

impl Crowd {
    /// How many are wanted on an instance.
    pub fn on(&self, slot: u32) -> u32 {
        self.on.get(&slot).map_or(0, |here| here.wanted)
    }

    /// Whether any is on an instance that is not over, be it wanted or not.
    pub fn is_present(&self, slot: u32) -> bool {
        self.on.contains_key(&slot)
    }

    /// The instances on which any is that is not over, be it wanted or not.
    pub fn present(&self) -> impl ExactSizeIterator<Item = u32> {
        self.on.keys().copied()
    }

    /// The instances that have any that are wanted, with how many.
    pub fn instances(&self) -> impl Iterator<Item = (u32, u32)> {
        self.on.iter().filter(|(_, here)| here.wanted > 0).map(|(slot, here)| (*slot, here.wanted))
    }

    /// On how many instances there are any that are wanted.
    pub const fn len(&self) -> usize {
        self.instances
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.instances == 0
    }

    /// The instances by how many they have, the fewest first, from one on.
    pub fn by_count(&self) -> impl Iterator<Item = (u32, &OrdSet<u32>)> {
        self.by_count.iter().map(|(count, slots)| (*count, slots))
    }

    /// The instances that have so many.
    pub fn with_count(&self, count: u32) -> Option<&OrdSet<u32>> {
        self.by_count.get(&count)
    }

    /// The next number beyond this one that any instance has.
    pub fn count_after(&self, count: u32) -> Option<u32> {
        self.by_count.range(count.saturating_add(1)..).next().map(|(count, _)| *count)
    }

    /// How many are on the instances of each class that has any.
    pub fn by_class(&self) -> impl Iterator<Item = (u32, u32)> {
        let some = |(class, (tasks, _)): (usize, &(u32, u32))| {
            (*tasks > 0).then_some((u32::try_from(class).ok()?, *tasks))
        };
        self.of_class.iter().enumerate().filter_map(some)
    }

    /// How many are on the instances of each section of a division, by number; sections beyond the
    /// last have none.
    pub fn by_section(&self, division: usize) -> &[u32] {
        self.of_section.get(division).map_or(&[], |counts| counts)
    }

    /// How many instances of a class have any.
    pub fn instances_of(&self, class: u32) -> usize {
        let at = usize::try_from(class).ok().and_then(|class| self.of_class.get(class));
        at.map_or(0, |(_, instances)| *instances as usize)
    }

    /// Whether nothing of the group is left at all.
    pub(super) fn is_gone(&self) -> bool {
        self.on.is_empty()
    }

    pub(super) fn here(&self, slot: u32) -> Here {
        self.on.get(&slot).copied().unwrap_or_default()
    }

    /// Every instance with what is on it.
    pub(super) fn everywhere(&self) -> impl Iterator<Item = (u32, Here)> {
        self.on.iter().map(|(slot, here)| (*slot, *here))
    }

    /// Counts so many more, or fewer, on an instance: of those wanted, and of all.
    pub(super) fn add(&mut self, spot: Spot<'_>, (wanted, present): (i64, i64)) {
        let slot = spot.slot;
        let here = self.here(slot);
        let (before, after) = (here.wanted, added(here.wanted, wanted));
        let present = added(here.present, present);
        if present > 0 {
            self.on.insert(slot, Here { wanted: after, present });
        } else {
            self.on.remove(&slot);
        }
        if before == after {
            return;
        }
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
        }
        let moved = i64::from(after > 0) - i64::from(before > 0);
        self.instances = self.instances.saturating_add_signed(isize::try_from(moved).unwrap_or(0));
        if let Some((tasks, instances)) = place(&mut self.of_class, spot.class) {
            *tasks = added(*tasks, wanted);
            *instances = added(*instances, moved);
        }
        for (division, section) in spot.sections {
            if self.of_section.len() <= *division {
                self.of_section.resize_with(division + 1, Arc::default);
            }
            let counts = self.of_section.get_mut(*division);
            if let Some(count) = counts.and_then(|counts| place(counts, *section)) {
                *count = added(*count, wanted);
            }
        }
    }
}

/// A place of a list that grows as far as it is asked for.
fn place<T: Clone + Default>(list: &mut Arc<Vec<T>>, at: u32) -> Option<&mut T> {
    let at = usize::try_from(at).ok()?;
    let list = Arc::make_mut(list);
    if list.len() <= at {
        list.resize(at + 1, T::default());
    }
    list.get_mut(at)
}

fn added(count: u32, by: i64) -> u32 {
    u32::try_from(i64::from(count) + by).unwrap_or(0)
}
