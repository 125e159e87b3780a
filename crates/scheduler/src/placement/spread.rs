//! Spreading over the values of an attribute: how many tasks of the group each value has.

use std::collections::BTreeMap;

use model::fleet::{ClassSet, Crowd, Division, Fleet, Seat, Values};

/// The values of an attribute with the tasks of the group on their instances. Instances without the
/// attribute count as one value more.
#[derive(Debug)]
pub(super) struct Spread<'a> {
    pub(super) name: String,
    told: Told<'a>,
}

#[derive(Debug)]
enum Told<'a> {
    /// By classes.
    Classes {
        /// None if no class has the attribute.
        values: Option<&'a Values>,
        /// The tasks of each value, last of the classes without.
        counts: Vec<u32>,
        /// Whether the wish may use any class of the value.
        usable: Vec<bool>,
    },
    /// By sections, whose tasks the group has counted.
    Ordered { division: usize, of: &'a Division, counts: Vec<u32> },
    /// By sections: the tasks of each that has any.
    Listed { division: usize, of: &'a Division, counts: BTreeMap<u32, u32> },
}

/// The sections whose values have so many tasks.
pub(super) struct Level {
    pub(super) division: usize,
    pub(super) sections: Vec<u32>,
}

impl<'a> Spread<'a> {
    /// The tasks of a group by the values of an attribute, for a wish that may use these classes.
    pub(super) fn new(
        fleet: &'a Fleet,
        crowd: Option<&Crowd>,
        base: &ClassSet,
        name: &str,
    ) -> Self {
        let told = match fleet.division(name) {
            None => by_class(fleet.values(name), crowd, base),
            Some((division, of)) if of.is_ordered() => {
                let mut counts = vec![0; of.section_numbers()];
                let known = crowd.map_or(&[][..], |crowd| crowd.by_section(division));
                for (count, known) in counts.iter_mut().zip(known) {
                    *count = *known;
                }
                Told::Ordered { division, of, counts }
            }
            Some((division, of)) => {
                let mut counts = BTreeMap::new();
                for (slot, tasks) in crowd.into_iter().flat_map(Crowd::instances) {
                    if let Some(seat) = fleet.seat(slot) {
                        *counts.entry(seat.section(division)).or_default() += tasks;
                    }
                }
                Told::Listed { division, of, counts }
            }
        };
        Self { name: name.to_owned(), told }
    }

    /// A task was placed on this instance.
    pub(super) fn placed(&mut self, seat: &Seat) {
        match &mut self.told {
            Told::Classes { values, counts, .. } => {
                if let Some(count) = counts.get_mut(number(*values, seat.class)) {
                    *count += 1;
                }
            }
            Told::Ordered { division, counts, .. } => {
                let section = usize::try_from(seat.section(*division)).ok();
                if let Some(count) = section.and_then(|section| counts.get_mut(section)) {
                    *count += 1;
                }
            }
            Told::Listed { division, counts, .. } => {
                *counts.entry(seat.section(*division)).or_default() += 1;
            }
        }
    }

    /// How many tasks the value of an instance has.
    pub(super) fn count(&self, fleet: &Fleet, slot: u32, class: u32) -> u32 {
        let section = |division| fleet.seat(slot).map(|seat| seat.section(division));
        match &self.told {
            Told::Classes { values, counts, .. } => {
                counts.get(number(*values, class)).copied().unwrap_or(0)
            }
            Told::Ordered { division, counts, .. } => {
                let section = section(*division).and_then(|section| usize::try_from(section).ok());
                section.and_then(|section| counts.get(section)).copied().unwrap_or(0)
            }
            Told::Listed { division, counts, .. } => {
                section(*division).and_then(|section| counts.get(&section)).copied().unwrap_or(0)
            }
        }
    }

    /// How many tasks the value of a class has, if that is told by classes.
    pub(super) fn of_class(&self, class: u32) -> Option<u32> {
        let Told::Classes { values, counts, .. } = &self.told else {
            return None;
        };
        counts.get(number(*values, class)).copied()
    }

    /// The smallest number of tasks beyond this one that any value has.
    pub(super) fn next_level(&self, beyond: Option<u32>) -> Option<u32> {
        let rises = |count: &u32| beyond.is_none_or(|beyond| *count > beyond);
        match &self.told {
            Told::Classes { counts, usable, .. } => {
                let usable = counts.iter().zip(usable).filter(|(_, usable)| **usable);
                usable.map(|(count, _)| *count).filter(rises).min()
            }
            Told::Ordered { counts, .. } => counts.iter().copied().filter(rises).min(),
            Told::Listed { of, counts, .. } => {
                // One more value than is told: that of the instances without.
                let bare = (beyond.is_none() && counts.len() <= of.values()).then_some(0);
                bare.or_else(|| counts.values().copied().filter(rises).min())
            }
        }
    }

    /// The sections whose values have so many tasks, if there are at most so many of them; none if it
    /// is told by classes, or if it takes a look at every value.
    pub(super) fn level(&self, count: u32, most: usize) -> Option<Level> {
        let (division, sections): (usize, Vec<u32>) = match &self.told {
            Told::Classes { .. } => return None,
            Told::Ordered { division, of, counts } => {
                let there = |(at, tasks): (usize, &u32)| {
                    let at = (*tasks == count).then(|| u32::try_from(at).ok())??;
                    of.section(at).is_some_and(|section| !section.is_empty()).then_some(at)
                };
                let all = counts.iter().enumerate().filter_map(there);
                (*division, all.take(most.saturating_add(1)).collect())
            }
            Told::Listed { .. } if count == 0 => return None,
            Told::Listed { division, counts, .. } => {
                let all = counts.iter().filter(|(_, tasks)| **tasks == count).map(|(at, _)| *at);
                (*division, all.take(most.saturating_add(1)).collect())
            }
        };
        (sections.len() <= most).then_some(Level { division, sections })
    }
}

fn by_class<'a>(values: Option<&'a Values>, crowd: Option<&Crowd>, base: &ClassSet) -> Told<'a> {
    let numbers = values.map_or(0, Values::numbers) + 1;
    let (mut counts, mut usable) = (vec![0; numbers], vec![false; numbers]);
    for class in base.iter() {
        usable[number(values, class)] = true;
    }
    for (class, tasks) in crowd.into_iter().flat_map(Crowd::by_class) {
        counts[number(values, class)] += tasks;
    }
    Told::Classes { values, counts, usable }
}

/// The number of the value of a class; of those without, the last.
fn number(values: Option<&Values>, class: u32) -> usize {
    values.map_or(0, |values| values.of(class).unwrap_or_else(|| values.numbers()))
}
