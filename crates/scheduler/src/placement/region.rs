//! The part of a field in which the strategies have come to look, and where its instances are found.

use model::fleet::{Members, Order, Orders, Whereabouts, Within};

use super::Wish;
use super::field::{By, Field, STRATEGIES, within};
use super::spread::Level;

/// Of so many classes or sections each is searched by itself; of more all together are, and those that
/// do not belong are passed over.
const FEW: usize = 12;

/// A level of so few instances is looked through; a larger one is met soon enough on the way.
const SMALL_LEVEL: usize = 64;

/// What the strategies so far have narrowed the choice to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Region {
    // Spreads by number, each with the tasks that the value of an instance has to have.
    levels: [(usize, u32); STRATEGIES],
    depth: usize,
    /// How many tasks of the group an instance has to have, if that is settled.
    pub(super) here: Option<u32>,
}

impl Region {
    /// All of it, or those without a task of the group.
    pub(super) fn whole(distinct: bool) -> Self {
        Self { here: distinct.then_some(0), ..Self::default() }
    }

    /// Those with so many tasks of the group.
    pub(super) fn with(self, here: u32) -> Self {
        Self { here: Some(here), ..self }
    }

    /// Those of which the value of an attribute has so many tasks.
    pub(super) fn at(mut self, spread: usize, level: u32) -> Self {
        if let Some(place) = self.levels.get_mut(self.depth) {
            *place = (spread, level);
            self.depth += 1;
        }
        self
    }

    /// What is settled of values.
    pub(super) fn levels(&self) -> &[(usize, u32)] {
        self.levels.get(..self.depth).unwrap_or_default()
    }

    /// Whether it is settled for an attribute how many tasks its value has.
    pub(super) fn is_settled(&self, spread: usize) -> bool {
        self.levels().iter().any(|(settled, _)| *settled == spread)
    }
}

/// Where the instances of a region are: in these orders and in these slots, among others.
#[derive(Debug, Default)]
pub(super) struct Sources<'a> {
    pub(super) orders: Vec<&'a Order>,
    pub(super) slots: Vec<u32>,
}

impl Sources<'_> {
    fn size(&self) -> usize {
        self.orders.iter().map(|order| order.len()).sum::<usize>() + self.slots.len()
    }
}

fn by(orders: &Orders, by: By) -> &Order {
    match by {
        By::Memory => &orders.memory,
        By::Cpu => &orders.cpu,
    }
}

impl<'a> Field<'a> {
    /// Where to look first: in little time, and in most cases for little time.
    pub(super) fn first(&self, along: By, region: &Region) -> Sources<'a> {
        if let Some(within) = &self.within {
            return self.places(along, within);
        }
        if let Some(slots) = self.small_level(region) {
            return Sources { orders: Vec::new(), slots };
        }
        let levels = region.levels().iter();
        let mut levels = levels.filter_map(|(at, count)| self.spreads.get(*at)?.level(*count, FEW));
        if let Some(level) = levels.next() {
            return self.sections(along, &level);
        }
        match self.few_classes(region) {
            Some(classes) => self.classes(along, classes.into_iter()),
            None => self.everything(along),
        }
    }

    /// Where to look when that was in vain for long: where there are the fewest.
    pub(super) fn thorough(&self, wish: &Wish<'_>, along: By, region: &Region) -> Sources<'a> {
        let mut found = vec![self.everything(along)];
        if self.uncertain
            && let Some(within) = within(self.fleet, wish, true)
        {
            found.push(self.places(along, &within));
        }
        for (at, count) in region.levels() {
            let level = self.spreads.get(*at).and_then(|spread| spread.level(*count, usize::MAX));
            found.extend(level.map(|level| self.sections(along, &level)));
        }
        let classes = self.base.iter().filter(|class| self.is_at(region, *class));
        found.push(match region.here {
            Some(0) => self.classes(along, classes.filter(|class| self.has_bare(*class))),
            Some(_) | None => self.classes(along, classes),
        });
        if let Some(count) = region.here.filter(|count| *count > 0) {
            let slots = self.crowd.and_then(|crowd| crowd.with_count(count));
            let slots = slots.into_iter().flatten().copied().collect();
            found.push(Sources { orders: Vec::new(), slots });
        }
        found.into_iter().min_by_key(Sources::size).unwrap_or_default()
    }

    fn everything(&self, along: By) -> Sources<'a> {
        Sources { orders: vec![by(self.fleet.orders(), along)], slots: Vec::new() }
    }

    fn classes(&self, along: By, classes: impl Iterator<Item = u32>) -> Sources<'a> {
        let fleet = self.fleet;
        let orders = classes.filter_map(|class| Some(by(fleet.class(class)?.orders(), along)));
        Sources { orders: orders.collect(), slots: Vec::new() }
    }

    fn sections(&self, along: By, level: &Level) -> Sources<'a> {
        let mut found = Sources::default();
        for section in &level.sections {
            self.section(along, level.division, *section, &mut found);
        }
        found
    }

    fn section(&self, along: By, division: usize, number: u32, found: &mut Sources<'a>) {
        let fleet = self.fleet;
        let section = fleet.division_at(division).and_then(|division| division.section(number));
        match section.map(|section| section.members()) {
            Some(Members::Ordered(orders)) => found.orders.push(by(orders, along)),
            Some(Members::Listed(slots)) => found.slots.extend(slots),
            None => {}
        }
    }

    fn places(&self, along: By, within: &Within) -> Sources<'a> {
        let mut found = Sources::default();
        for place in &within.0 {
            match place {
                Whereabouts::Section { division, number } => {
                    self.section(along, *division, *number, &mut found);
                }
                Whereabouts::Group(group) => {
                    let crowd = self.fleet.crowd(group);
                    found.slots.extend(crowd.into_iter().flat_map(|crowd| crowd.present()));
                }
            }
        }
        // Two places may share instances, and each is to be drawn with the same chance.
        found.slots.sort_unstable();
        found.slots.dedup();
        found
    }

    /// The instances that have a certain number of tasks of the group, if there are only few.
    fn small_level(&self, region: &Region) -> Option<Vec<u32>> {
        let count = region.here.filter(|count| *count > 0)?;
        let slots = self.crowd.and_then(|crowd| crowd.with_count(count));
        match slots {
            // All of them were placed now: those are looked at in any case.
            None => Some(Vec::new()),
            Some(slots) if slots.len() <= SMALL_LEVEL => Some(slots.iter().copied().collect()),
            Some(_) => None,
        }
    }

    /// The classes of a region, if there are only few.
    fn few_classes(&self, region: &Region) -> Option<Vec<u32>> {
        let all = self.base.iter().filter(|class| self.is_at(region, *class));
        let few: Vec<u32> = all.take(FEW + 1).collect();
        (few.len() <= FEW).then_some(few)
    }

    /// Whether the values of a class have as many tasks as they have to, as far as classes tell.
    fn is_at(&self, region: &Region, class: u32) -> bool {
        region.levels().iter().all(|(spread, level)| {
            let told = self.spreads.get(*spread).and_then(|spread| spread.of_class(class));
            told.is_none_or(|count| count == *level)
        })
    }

    /// Whether a class has instances without a task of the group, told by their numbers alone.
    fn has_bare(&self, class: u32) -> bool {
        let (Some(of), Some(crowd)) = (self.fleet.class(class), self.crowd) else {
            return true;
        };
        let away = of.away().flat_map(|(_, slots)| slots);
        let away = away.filter(|slot| crowd.on(**slot) > 0).count();
        of.orders().memory.len() > crowd.instances_of(class).saturating_sub(away)
    }
}
