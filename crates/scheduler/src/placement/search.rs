//! The strategies from left to right, each leaving fewer instances to the next, without a look at
//! those that cannot win.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use model::fleet::Entry;
use model::{PlacementStrategy, SpreadField};
use stdx::Entropy;

use super::Wish;
use super::field::{By, Candidate, Cells, Field};
use super::spread::Spread;

/// So often chance is tried before the instances are counted.
const TRIES: usize = 32;

/// A level of so few instances is looked through; a larger one is met soon enough on the way.
const SMALL_LEVEL: usize = 64;

/// A search for one place.
pub(super) struct Search<'f, 'a> {
    pub(super) field: &'f Field<'a>,
    pub(super) wish: &'f Wish<'a>,
    pub(super) chance: &'f mut dyn Entropy,
    /// An attribute of which only the values with so many tasks of the group are looked at.
    pub(super) only: Option<(String, u64)>,
}

impl Search<'_, '_> {
    /// The best place of these cells, by the strategies that are left; of those with so many tasks of
    /// the group, if that has been settled.
    pub(super) fn best(
        &mut self,
        strategies: &[PlacementStrategy],
        cells: &Cells,
        here: Option<u32>,
    ) -> Option<Candidate> {
        let Some((first, rest)) = strategies.split_first() else {
            return self.emptiest(cells, here);
        };
        match first {
            PlacementStrategy::Random => self.any(cells, here),
            PlacementStrategy::BinpackMemory => self.fullest(By::Memory, rest, cells, here),
            PlacementStrategy::BinpackCpu => self.fullest(By::Cpu, rest, cells, here),
            PlacementStrategy::Spread(SpreadField::Instance) if here.is_some() => {
                self.best(rest, cells, here)
            }
            PlacementStrategy::Spread(SpreadField::Instance) => self.levels(rest, cells),
            PlacementStrategy::Spread(SpreadField::Attribute(name)) => {
                match self.field.spreads.get(name) {
                    Some(Spread::Classes { counts, cells: of, .. }) => {
                        self.values(rest, cells, here, (counts, of))
                    }
                    Some(Spread::Own(counts)) if self.only.is_none() => {
                        let levels: BTreeSet<u64> = counts.values().copied().chain([0]).collect();
                        self.own_values(name, levels, rest, cells, here)
                    }
                    Some(Spread::Own(_)) | None => {
                        let all = self.all(cells, here).collect();
                        self.pick(all, strategies)
                    }
                }
            }
        }
    }

    /// Whether any instance takes the task.
    pub(super) fn is_possible(&self) -> bool {
        self.all(&self.field.cells, None).next().is_some()
    }

    /// Every instance that takes the task.
    fn all<'s>(
        &'s self,
        cells: &'s Cells,
        here: Option<u32>,
    ) -> impl Iterator<Item = Candidate> + 's {
        let by = By::Memory;
        let wanted = self.field.wanted(by);
        let orders = self.field.orders(by, cells).into_iter();
        orders
            .flat_map(move |order| order.ascending(wanted))
            .filter_map(move |entry| self.candidate(by, cells, here, entry))
            .chain(self.touched(cells, here))
    }

    /// What no strategy decides goes where most memory, then most CPU is left, then to the first by
    /// the tag of its id.
    fn emptiest(&self, cells: &Cells, here: Option<u32>) -> Option<Candidate> {
        let by = By::Memory;
        let wanted = self.field.wanted(by);
        let first = |order: &model::fleet::Order| {
            let mut all = order.descending(wanted);
            all.find_map(|entry| self.candidate(by, cells, here, entry))
        };
        let orders = self.field.orders(by, cells).into_iter().filter_map(first);
        let touched = self.touched(cells, here);
        orders.chain(touched).min_by_key(last)
    }

    /// The fullest that still fits; among those equally full the other strategies decide.
    fn fullest(
        &mut self,
        by: By,
        rest: &[PlacementStrategy],
        cells: &Cells,
        here: Option<u32>,
    ) -> Option<Candidate> {
        let left = |candidate: &Candidate| match by {
            By::Memory => candidate.memory,
            By::Cpu => candidate.cpu,
        };
        let wanted = self.field.wanted(by);
        let find = |entry| self.candidate(by, cells, here, entry);
        let orders = self.field.orders(by, cells);
        let first = orders.iter().filter_map(|order| order.ascending(wanted).find_map(find));
        let touched = self.touched(cells, here);
        let best = first.chain(touched).min_by_key(|c| (left(c), last(c)))?;
        if rest.is_empty() {
            return Some(best);
        }
        let wanted = model::fleet::AtLeast { first: left(&best), ..wanted };
        let equal = orders.iter().flat_map(|order| {
            order.ascending(wanted).take_while(|entry| entry.first() == wanted.first)
        });
        let touched = self.touched(cells, here);
        let equal = equal.filter_map(find).chain(touched.filter(|c| left(c) == left(&best)));
        let equal = equal.collect();
        self.pick(equal, rest)
    }

    /// Over instances: those with the fewest tasks of the group first.
    fn levels(&mut self, rest: &[PlacementStrategy], cells: &Cells) -> Option<Candidate> {
        if !self.field.distinct && self.is_taken_everywhere(cells) {
            return self.taken_levels(rest, cells);
        }
        let untouched = self.best(rest, cells, Some(0));
        if untouched.is_some() || self.field.distinct {
            return untouched;
        }
        self.taken_levels(rest, cells)
    }

    /// Whether each instance of these cells has a task of the group, told by their numbers.
    fn is_taken_everywhere(&self, cells: &Cells) -> bool {
        let field = self.field;
        let taken = field.crowd.map_or(0, |crowd| crowd.len()) + field.touched.len();
        let on = |slot: &u32| field.crowd.is_some_and(|crowd| crowd.on(*slot) > 0);
        let mut free: usize = 0;
        for class in cells.set.iter() {
            let Some(of) = field.fleet.class(class) else { continue };
            let away = of.away().flat_map(|(_, slots)| slots).filter(|slot| on(slot)).count();
            let theirs = field.crowd.map_or(0, |crowd| crowd.instances_of(class));
            free += of.orders().memory.len() - theirs.saturating_sub(away);
            if free > field.touched.len() || of.orders().memory.len() > taken {
                return false;
            }
        }
        let first = |(slot, touched): (&u32, &super::field::Touched)| {
            let seat = field.fleet.seat(*slot);
            let ready = seat.is_some_and(|s| {
                s.standing == model::fleet::Standing::Ready && cells.set.contains(s.class)
            });
            ready && touched.placed > 0 && !on(slot)
        };
        free == field.touched.iter().filter(|touched| first(*touched)).count()
    }

    fn taken_levels(&mut self, rest: &[PlacementStrategy], cells: &Cells) -> Option<Candidate> {
        let crowd = self.field.crowd;
        let mut counts: BTreeSet<u32> =
            crowd.into_iter().flat_map(|crowd| crowd.by_count()).map(|(count, _)| count).collect();
        counts.extend(self.field.touched.keys().map(|slot| self.field.here(*slot)));
        counts.remove(&0);
        for count in counts {
            let level = crowd.and_then(|c| c.by_count().find(|(n, _)| *n == count)).map(|(_, s)| s);
            let found = match level {
                Some(slots) if slots.len() > SMALL_LEVEL => self.best(rest, cells, Some(count)),
                level => {
                    let slots: BTreeSet<u32> = level
                        .into_iter()
                        .flatten()
                        .chain(self.field.touched.keys())
                        .copied()
                        .collect();
                    let one = |slot| self.one(cells, Some(count), slot);
                    let all = slots.into_iter().filter_map(one).collect();
                    self.pick(all, rest)
                }
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Over the values of an attribute: those with the fewest tasks of the group first.
    fn values(
        &mut self,
        rest: &[PlacementStrategy],
        cells: &Cells,
        here: Option<u32>,
        (counts, of): (&[u64], &[Cells]),
    ) -> Option<Candidate> {
        // Of the first strategy the cells are all that the wish may use.
        let whole = cells.set == self.field.cells.set;
        let usable = |value: &&Cells| !value.set.is_empty();
        let mut least = None;
        loop {
            let rising = |count: &&u64| least.is_none_or(|least| **count > least);
            let level = counts.iter().zip(of).filter(|(_, value)| usable(value));
            let level = *level.map(|(count, _)| count).filter(rising).min()?;
            least = Some(level);
            let mut equal = counts
                .iter()
                .zip(of)
                .filter(|(count, value)| **count == level && usable(value))
                .map(|(_, value)| value);
            let found = match (equal.next(), equal.next(), whole) {
                (Some(only), None, true) => self.best(rest, only, here),
                (first, second, _) => {
                    let mut set = model::fleet::ClassSet::default();
                    for value in first.into_iter().chain(second).chain(equal) {
                        set = set.or(&value.set);
                    }
                    self.best(rest, &Cells::new(set.and(&cells.set)), here)
                }
            };
            if found.is_some() {
                return found;
            }
        }
    }

    /// Over the values of an attribute that each instance tells: those with the fewest tasks first.
    fn own_values(
        &mut self,
        name: &str,
        levels: BTreeSet<u64>,
        rest: &[PlacementStrategy],
        cells: &Cells,
        here: Option<u32>,
    ) -> Option<Candidate> {
        for level in levels {
            self.only = Some((name.to_owned(), level));
            let found = self.best(rest, cells, here);
            self.only = None;
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// An entry as a candidate: see [`Field::candidate`].
    fn candidate(
        &self,
        by: By,
        cells: &Cells,
        here: Option<u32>,
        entry: &Entry,
    ) -> Option<Candidate> {
        let found = self.field.candidate(self.wish, (by, cells, here), entry)?;
        self.is_wanted(&found).then_some(found)
    }

    /// The touched instances that take another task.
    fn touched<'s>(
        &'s self,
        cells: &'s Cells,
        here: Option<u32>,
    ) -> impl Iterator<Item = Candidate> + 's {
        let all = self.field.touched_candidates(self.wish, cells, here);
        all.filter(|found| self.is_wanted(found))
    }

    /// One instance, whether it is touched or not.
    fn one(&self, cells: &Cells, here: Option<u32>, slot: u32) -> Option<Candidate> {
        self.field.one(self.wish, cells, here, slot).filter(|found| self.is_wanted(found))
    }

    fn is_wanted(&self, found: &Candidate) -> bool {
        self.only.as_ref().is_none_or(|(name, level)| {
            let spread = self.field.spreads.get(name);
            let fleet = self.field.fleet;
            spread.is_none_or(|s| s.count(name, fleet, found.slot, found.class) == *level)
        })
    }

    /// Any that takes the task, each with the same chance.
    fn any(&mut self, cells: &Cells, here: Option<u32>) -> Option<Candidate> {
        let by = By::Memory;
        let wanted = self.field.wanted(by);
        let orders = self.field.orders(by, cells);
        let chunks: usize = orders.iter().map(|order| order.samples(wanted).0).sum();
        let places = orders.first()?.samples(wanted).1;
        // Each place of each chunk has the same chance; one where nothing fits is drawn again.
        for _ in 0..TRIES {
            let drawn = self.chance.below((chunks * places).max(1) as u64);
            let drawn = usize::try_from(drawn).unwrap_or(0);
            let (mut chunk, place) = (drawn / places, drawn % places);
            let mut of = orders.iter();
            let order = of.find(|order| {
                let theirs = order.samples(wanted).0;
                let found = chunk < theirs;
                chunk -= if found { 0 } else { theirs };
                found
            });
            let entry = order.and_then(|order| order.sample(wanted, chunk, place));
            let found = entry.and_then(|entry| {
                let as_it_was = self.candidate(by, cells, here, entry);
                as_it_was.or_else(|| {
                    let touched = self.field.touched.contains_key(&entry.slot);
                    touched.then(|| self.one(cells, here, entry.slot)).flatten()
                })
            });
            if found.is_some() {
                return found;
            }
        }
        let all: Vec<Candidate> = self.all(cells, here).collect();
        let drawn = usize::try_from(self.chance.below(all.len() as u64)).unwrap_or(0);
        all.get(drawn).copied()
    }

    /// The best of those that are left, by looking at each.
    fn pick(
        &mut self,
        mut all: Vec<Candidate>,
        strategies: &[PlacementStrategy],
    ) -> Option<Candidate> {
        for strategy in strategies {
            if all.len() < 2 {
                break;
            }
            let field = self.field;
            let rank = |c: &Candidate| match strategy {
                PlacementStrategy::Spread(SpreadField::Instance) => u64::from(field.here(c.slot)),
                PlacementStrategy::Spread(SpreadField::Attribute(name)) => field
                    .spreads
                    .get(name)
                    .map_or(0, |spread| spread.count(name, field.fleet, c.slot, c.class)),
                PlacementStrategy::BinpackCpu => u64::from(c.cpu),
                PlacementStrategy::BinpackMemory => u64::from(c.memory),
                PlacementStrategy::Random => 0,
            };
            if *strategy == PlacementStrategy::Random {
                let drawn = usize::try_from(self.chance.below(all.len() as u64)).unwrap_or(0);
                return all.get(drawn).copied();
            }
            let least = all.iter().map(rank).min();
            all.retain(|candidate| Some(rank(candidate)) == least);
        }
        all.into_iter().min_by_key(last)
    }
}

/// What settles the choice among equals.
fn last(candidate: &Candidate) -> (Reverse<u32>, Reverse<u32>, u64, u32) {
    let Candidate { slot, cpu, memory, tag, .. } = *candidate;
    (Reverse(memory), Reverse(cpu), tag, slot)
}
