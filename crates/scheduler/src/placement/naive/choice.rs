//! The strategies as one comparison: each gives an instance a rank, the smallest rank wins, and the
//! next strategy decides among equals. That is what narrowing from left to right comes to.

use std::collections::BTreeMap;

use model::{PlacementStrategy, SpreadField};
use stdx::Entropy;

use super::Seat;

/// ECS takes at most five strategies; four more ranks settle what is still equal.
const RANKS: usize = 9;

/// How to choose, with the counts that spreading needs.
#[derive(Debug)]
pub(super) struct Chooser {
    rules: Vec<Rule>,
}

#[derive(Debug)]
enum Rule {
    /// Evenly over instances.
    Instance,
    /// Evenly over the values of an attribute: the value of each seat, and the tasks of each value.
    Values {
        of: Vec<usize>,
        counts: Vec<u64>,
    },
    Cpu,
    Memory,
    Random,
}

impl Chooser {
    /// Reads the strategies for these seats.
    pub(super) fn new(strategy: &[PlacementStrategy], seats: &[Seat<'_>]) -> Self {
        let rule = |strategy: &PlacementStrategy| match strategy {
            PlacementStrategy::Spread(SpreadField::Instance) => Rule::Instance,
            PlacementStrategy::Spread(SpreadField::Attribute(name)) => values(name, seats),
            PlacementStrategy::BinpackCpu => Rule::Cpu,
            PlacementStrategy::BinpackMemory => Rule::Memory,
            PlacementStrategy::Random => Rule::Random,
        };
        Self { rules: strategy.iter().take(RANKS - 4).map(rule).collect() }
    }

    /// Those of the feasible seats among which chance may choose: the ranks before the first random
    /// one are the smallest. Without a random strategy it is the best one.
    pub(super) fn choices(
        &self,
        seats: &[Seat<'_>],
        feasible: impl Iterator<Item = usize>,
        chance: &mut dyn Entropy,
    ) -> Vec<usize> {
        let random = self.rules.iter().position(|rule| matches!(rule, Rule::Random));
        let settled = random.unwrap_or(RANKS);
        let ranked: Vec<([u64; RANKS], usize)> =
            feasible.map(|at| (self.ranks(seats, at, chance), at)).collect();
        let best = ranked.iter().map(|(ranks, _)| &ranks[..settled]).min().map(<[u64]>::to_vec);
        let ties = ranked.iter().filter(|(ranks, _)| Some(&ranks[..settled]) == best.as_deref());
        ties.map(|(_, at)| *at).collect()
    }

    /// The best of the feasible seats. What the strategies leave equal goes where most memory, then
    /// most CPU is left, then to the first by the tag of its id.
    pub(super) fn best(
        &self,
        seats: &[Seat<'_>],
        feasible: impl Iterator<Item = usize>,
        chance: &mut dyn Entropy,
    ) -> Option<usize> {
        feasible.map(|at| (self.ranks(seats, at, chance), at)).min().map(|(_, at)| at)
    }

    fn ranks(&self, seats: &[Seat<'_>], at: usize, chance: &mut dyn Entropy) -> [u64; RANKS] {
        let seat = &seats[at];
        let mut ranks = [0; RANKS];
        for (rank, rule) in ranks.iter_mut().zip(&self.rules) {
            *rank = match rule {
                Rule::Instance => u64::from(seat.here),
                Rule::Values { of, counts } => counts[of[at]],
                Rule::Cpu => u64::from(seat.cpu),
                Rule::Memory => u64::from(seat.memory),
                Rule::Random => chance.next_u64(),
            };
        }
        ranks[RANKS - 4] = u64::from(u32::MAX - seat.memory);
        ranks[RANKS - 3] = u64::from(u32::MAX - seat.cpu);
        ranks[RANKS - 2] = seat.last.0;
        ranks[RANKS - 1] = u64::from(seat.last.1);
        ranks
    }

    /// A task was placed on this seat.
    pub(super) fn placed(&mut self, at: usize) {
        for rule in &mut self.rules {
            if let Rule::Values { of, counts } = rule {
                counts[of[at]] += 1;
            }
        }
    }
}

/// Instances without the attribute count as one value more.
fn values(name: &str, seats: &[Seat<'_>]) -> Rule {
    let mut numbers: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    let mut counts = Vec::new();
    let of = seats
        .iter()
        .map(|seat| {
            let value = seat.instance.attribute(name).map(|v| v.unwrap_or_default());
            let number = *numbers.entry(value).or_insert_with(|| {
                counts.push(0);
                counts.len() - 1
            });
            counts[number] += u64::from(seat.here);
            number
        })
        .collect();
    Rule::Values { of, counts }
}
