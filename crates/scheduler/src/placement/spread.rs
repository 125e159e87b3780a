//! Spreading over the values of an attribute: how many tasks of the group each value has.

use std::collections::BTreeMap;

use model::fleet::{ClassSet, Fleet, Seat};
use model::{PlacementStrategy, SpreadField};

use super::field::{Cells, Field};

/// The values of an attribute with the tasks of the group on their instances. Instances without the
/// attribute count as one value more.
#[derive(Debug)]
pub(super) enum Spread<'a> {
    /// Told by classes.
    Classes {
        /// The number of the value of each class.
        of: Vec<usize>,
        /// The tasks of each value.
        counts: Vec<u64>,
        /// The classes of each value, of those that the wish may use.
        cells: Vec<Cells>,
    },
    /// Told by each instance: the tasks of each value.
    Own(BTreeMap<Option<&'a str>, u64>),
}

impl<'a> Spread<'a> {
    /// One for each attribute of the strategies.
    pub(super) fn all(field: &Field<'a>, strategy: &[PlacementStrategy]) -> BTreeMap<String, Self> {
        let attribute = |strategy: &PlacementStrategy| match strategy {
            PlacementStrategy::Spread(SpreadField::Attribute(name)) => Some(name.clone()),
            PlacementStrategy::Spread(SpreadField::Instance)
            | PlacementStrategy::BinpackCpu
            | PlacementStrategy::BinpackMemory
            | PlacementStrategy::Random => None,
        };
        let names = strategy.iter().filter_map(attribute);
        names.map(|name| (name.clone(), Self::new(field, &name))).collect()
    }

    fn new(field: &Field<'a>, name: &str) -> Self {
        let fleet = field.fleet;
        if fleet.is_own(name) {
            return Self::own(field, name);
        }
        let (mut of, mut cells) = (vec![usize::MAX; fleet.class_numbers()], Vec::new());
        let mut value = |classes: &ClassSet| {
            for class in classes.iter() {
                if let Some(of) = usize::try_from(class).ok().and_then(|at| of.get_mut(at)) {
                    *of = cells.len();
                }
            }
            cells.push(Cells::new(classes.and(&field.cells.set)));
        };
        let mut without = fleet.all().clone();
        for (_, classes) in fleet.values(name) {
            without = without.without(classes);
            value(classes);
        }
        if !without.is_empty() {
            value(&without);
        }
        let mut counts = vec![0; cells.len()];
        for (class, tasks) in field.crowd.into_iter().flat_map(|crowd| crowd.by_class()) {
            let number = usize::try_from(class).ok().and_then(|at| of.get(at));
            if let Some(count) = number.and_then(|number| counts.get_mut(*number)) {
                *count += u64::from(tasks);
            }
        }
        Self::Classes { of, counts, cells }
    }

    fn own(field: &Field<'a>, name: &str) -> Self {
        let mut counts = BTreeMap::new();
        for (slot, tasks) in field.crowd.into_iter().flat_map(|crowd| crowd.instances()) {
            if let Some(seat) = field.fleet.seat(slot) {
                *counts.entry(value(name, seat)).or_default() += u64::from(tasks);
            }
        }
        Self::Own(counts)
    }

    /// A task was placed on this instance.
    pub(super) fn placed(&mut self, name: &str, seat: &'a Seat) {
        match self {
            Self::Classes { of, counts, .. } => {
                let number = usize::try_from(seat.class).ok().and_then(|class| of.get(class));
                if let Some(count) = number.and_then(|number| counts.get_mut(*number)) {
                    *count += 1;
                }
            }
            Self::Own(counts) => *counts.entry(value(name, seat)).or_default() += 1,
        }
    }

    /// How many tasks the value of an instance has.
    pub(super) fn count(&self, name: &str, fleet: &Fleet, slot: u32, class: u32) -> u64 {
        match self {
            Self::Classes { of, counts, .. } => {
                let number = usize::try_from(class).ok().and_then(|class| of.get(class));
                number.and_then(|number| counts.get(*number)).copied().unwrap_or(0)
            }
            Self::Own(counts) => {
                let seat = fleet.seat(slot);
                seat.and_then(|seat| counts.get(&value(name, seat))).copied().unwrap_or(0)
            }
        }
    }
}

fn value<'a>(name: &str, seat: &'a Seat) -> Option<&'a str> {
    seat.instance.attribute(name).map(Option::unwrap_or_default)
}
