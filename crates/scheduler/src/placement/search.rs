//! The strategies from left to right, each leaving fewer instances to the next, without a look at
//! those that cannot win.

use std::cmp::Reverse;

use model::fleet::{Entry, Order};
use model::{PlacementStrategy, SpreadField};
use stdx::Entropy;

use super::Wish;
use super::field::{By, Candidate, Field};
use super::region::{Region, Sources};

/// So often chance is tried before the instances are counted.
const TRIES: usize = 32;

/// So many instances are passed over before it is looked up where those are that belong.
const PATIENCE: usize = 96;

/// A search for one place.
pub(super) struct Search<'f, 'a> {
    pub(super) field: &'f Field<'a>,
    pub(super) wish: &'f Wish<'a>,
    pub(super) chance: &'f mut dyn Entropy,
}

/// Which of the instances that take the task is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pick {
    /// The one with the least left.
    Fullest(By),
    /// The one with the most left: of memory, then of CPU, then the first by the tag of its id.
    Emptiest,
}

impl Pick {
    const fn by(self) -> By {
        match self {
            Self::Fullest(by) => by,
            Self::Emptiest => By::Memory,
        }
    }

    /// What it is measured by: the smaller the better.
    fn rank(self, found: &Candidate) -> (u32, Last) {
        let left = match self {
            Self::Fullest(By::Memory) => found.memory,
            Self::Fullest(By::Cpu) => found.cpu,
            Self::Emptiest => 0,
        };
        (left, last(found))
    }
}

impl<'a> Search<'_, 'a> {
    /// The best place of a region, by the strategies that are left.
    pub(super) fn best(
        &mut self,
        strategies: &[PlacementStrategy],
        region: Region,
    ) -> Option<Candidate> {
        let Some((first, rest)) = strategies.split_first() else {
            return Some(self.first(Pick::Emptiest, &region)?.0);
        };
        match first {
            PlacementStrategy::Random => self.any(&region),
            PlacementStrategy::BinpackMemory => self.fullest(By::Memory, rest, region),
            PlacementStrategy::BinpackCpu => self.fullest(By::Cpu, rest, region),
            PlacementStrategy::Spread(SpreadField::Instance) if region.here.is_some() => {
                self.best(rest, region)
            }
            PlacementStrategy::Spread(SpreadField::Instance) => self.levels(rest, region),
            PlacementStrategy::Spread(SpreadField::Attribute(name)) => {
                match self.field.spread(name) {
                    Some((number, _)) if !region.is_settled(number) => {
                        self.values(number, rest, region)
                    }
                    Some(_) | None => self.best(rest, region),
                }
            }
        }
    }

    /// Whether any instance takes the task.
    pub(super) fn is_possible(&self) -> bool {
        let region = Region::whole(self.field.distinct);
        self.first(Pick::Fullest(By::Memory), &region).is_some()
    }

    /// The first of a region, and where it was found.
    fn first(&self, pick: Pick, region: &Region) -> Option<(Candidate, Sources<'a>)> {
        let sources = self.field.first(pick.by(), region);
        if let Ok(found) = self.walk(pick, region, &sources, PATIENCE) {
            return Some((found?, sources));
        }
        let sources = self.field.thorough(self.wish, pick.by(), region);
        let found = self.walk(pick, region, &sources, usize::MAX).ok().flatten();
        Some((found?, sources))
    }

    /// The first that these sources lead to; an error if too many were passed over.
    fn walk(
        &self,
        pick: Pick,
        region: &Region,
        sources: &Sources<'a>,
        patience: usize,
    ) -> Result<Option<Candidate>, Impatient> {
        let touched = self.field.touched_candidates(self.wish, region);
        let listed = sources.slots.iter().filter_map(|slot| self.one(region, *slot));
        let mut best = touched.chain(listed).min_by_key(|found| pick.rank(found));
        let mut left = patience;
        for order in &sources.orders {
            let found = match pick {
                Pick::Fullest(by) => {
                    let all = order.ascending(self.field.wanted(by));
                    self.along(all, pick, region, (&mut left, best.as_ref()))?
                }
                Pick::Emptiest => {
                    let all = order.descending(self.field.wanted(By::Memory));
                    self.along(all, pick, region, (&mut left, best.as_ref()))?
                }
            };
            best = best.into_iter().chain(found).min_by_key(|found| pick.rank(found));
        }
        Ok(best)
    }

    fn along<'e>(
        &self,
        all: impl Iterator<Item = &'e Entry>,
        pick: Pick,
        region: &Region,
        (left, best): (&mut usize, Option<&Candidate>),
    ) -> Result<Option<Candidate>, Impatient> {
        for entry in all {
            // What comes now cannot be better.
            let late = best.is_some_and(|best| match pick {
                Pick::Fullest(By::Memory) => entry.first() > best.memory,
                Pick::Fullest(By::Cpu) => entry.first() > best.cpu,
                Pick::Emptiest => entry.first() < best.memory,
            });
            if late {
                return Ok(None);
            }
            let found = self.field.candidate(self.wish, pick.by(), region, entry);
            if found.is_some() {
                return Ok(found);
            }
            *left = left.checked_sub(1).ok_or(Impatient)?;
        }
        Ok(None)
    }

    /// The fullest that still fits; among those equally full the other strategies decide.
    fn fullest(&mut self, by: By, rest: &[PlacementStrategy], region: Region) -> Option<Candidate> {
        let pick = Pick::Fullest(by);
        let (best, sources) = self.first(pick, &region)?;
        if rest.is_empty() {
            return Some(best);
        }
        let left = pick.rank(&best).0;
        let wanted = model::fleet::AtLeast { first: left, ..self.field.wanted(by) };
        let equal = |found: &Candidate| pick.rank(found).0 == left;
        let run = |order: &&'a Order| {
            order.ascending(wanted).take_while(move |entry| entry.first() == left)
        };
        let entries = sources.orders.iter().flat_map(run);
        let listed = sources.slots.iter().filter_map(|slot| self.one(&region, *slot));
        let all = entries
            .filter_map(|entry| self.field.candidate(self.wish, by, &region, entry))
            .chain(listed.filter(|found| !self.field.touched.contains_key(&found.slot)))
            .chain(self.field.touched_candidates(self.wish, &region))
            .filter(equal)
            .collect();
        self.pick(all, rest)
    }

    /// Over instances: those with the fewest tasks of the group first.
    fn levels(&mut self, rest: &[PlacementStrategy], region: Region) -> Option<Candidate> {
        let mut level = 0;
        loop {
            let found = self.best(rest, region.with(level));
            if found.is_some() {
                return found;
            }
            level = self.level_after(level)?;
        }
    }

    /// The next number of tasks that any instance has.
    fn level_after(&self, level: u32) -> Option<u32> {
        let field = self.field;
        let crowd = field.crowd.and_then(|crowd| crowd.count_after(level));
        let touched = field.touched.values().map(|touched| touched.here);
        touched.filter(|here| *here > level).chain(crowd).min()
    }

    /// Over the values of an attribute: those with the fewest tasks of the group first.
    fn values(
        &mut self,
        spread: usize,
        rest: &[PlacementStrategy],
        region: Region,
    ) -> Option<Candidate> {
        let told = self.field.spreads.get(spread)?;
        let mut level = told.next_level(None);
        while let Some(count) = level {
            let found = self.best(rest, region.at(spread, count));
            if found.is_some() {
                return found;
            }
            level = told.next_level(Some(count));
        }
        None
    }

    /// One instance, whether it is touched or not.
    fn one(&self, region: &Region, slot: u32) -> Option<Candidate> {
        self.field.one(self.wish, region, slot)
    }

    /// Any that takes the task, each with the same chance.
    fn any(&mut self, region: &Region) -> Option<Candidate> {
        let by = By::Memory;
        let field = self.field;
        let wanted = field.wanted(by);
        let sources = field.first(by, region);
        let reaches: Vec<_> = sources.orders.iter().map(|order| order.reach(wanted)).collect();
        let places: usize = reaches.iter().map(|reach| reach.places()).sum();
        // Each place has the same chance; one where nothing fits is drawn again.
        let tries = if sources.slots.is_empty() && places > 0 { TRIES } else { 0 };
        for _ in 0..tries {
            let mut drawn = usize::try_from(self.chance.below(places as u64)).unwrap_or(0);
            let mut of = reaches.iter();
            let reach = of.find(|reach| {
                let found = drawn < reach.places();
                drawn -= if found { 0 } else { reach.places() };
                found
            });
            let found = reach.and_then(|reach| reach.entry(drawn)).and_then(|entry| {
                if field.touched.contains_key(&entry.slot) {
                    return self.one(region, entry.slot);
                }
                field.candidate(self.wish, by, region, entry)
            });
            if found.is_some() {
                return found;
            }
        }
        let sources = field.thorough(self.wish, by, region);
        let entries = sources.orders.iter().flat_map(|order| order.ascending(wanted));
        let listed = sources.slots.iter().filter_map(|slot| self.one(region, *slot));
        let all: Vec<Candidate> = entries
            .filter_map(|entry| field.candidate(self.wish, by, region, entry))
            .chain(listed.filter(|found| !field.touched.contains_key(&found.slot)))
            .chain(field.touched_candidates(self.wish, region))
            .collect();
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
                PlacementStrategy::Spread(SpreadField::Instance) => field.here(c.slot),
                PlacementStrategy::Spread(SpreadField::Attribute(name)) => {
                    let spread = field.spread(name);
                    spread.map_or(0, |(_, spread)| spread.count(field.fleet, c.slot, c.class))
                }
                PlacementStrategy::BinpackCpu => c.cpu,
                PlacementStrategy::BinpackMemory => c.memory,
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

/// Too many were passed over.
#[derive(Debug)]
struct Impatient;

type Last = (Reverse<u32>, Reverse<u32>, u64, u32);

/// What settles the choice among equals.
fn last(candidate: &Candidate) -> Last {
    let Candidate { slot, cpu, memory, tag, .. } = *candidate;
    (Reverse(memory), Reverse(cpu), tag, slot)
}
