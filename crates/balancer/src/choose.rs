//! Which group, and which of its targets, serves next.

use std::time::Duration;

use crate::Algorithm;

/// The full share of a target, in thousandths.
pub(crate) const FULL_SHARE: u32 = 1000;

/// How a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Healthy,
    /// Unhealthy, or not yet checked.
    NotHealthy,
    /// It drains.
    Leaving,
}

/// The places of the targets that may be given something new: the healthy ones, or, when there are fewer
/// of them than the group wants, all that do not leave (fail open).
pub(crate) fn eligible(
    standings: &[Standing],
    minimum_count: u32,
    minimum_percent: u8,
) -> Vec<usize> {
    let places = |wanted: &dyn Fn(Standing) -> bool| -> Vec<usize> {
        standings
            .iter()
            .enumerate()
            .filter(|(_, standing)| wanted(**standing))
            .map(|(place, _)| place)
            .collect()
    };
    let all = places(&|standing| standing != Standing::Leaving);
    let healthy = places(&|standing| standing == Standing::Healthy);
    let wanted = u64::from(minimum_count.max(1));
    let short = (healthy.len() as u64) < wanted
        || (healthy.len() as u64) * 100 < u64::from(minimum_percent) * (all.len() as u64);
    if short { all } else { healthy }
}

/// A target's share while it starts slowly: from a tenth to the whole, in thousandths.
pub(crate) fn share(healthy_for: Duration, slow_start: Duration) -> u32 {
    if healthy_for >= slow_start {
        return FULL_SHARE;
    }
    let grown = healthy_for.as_millis() * u128::from(FULL_SHARE) / slow_start.as_millis().max(1);
    u32::try_from(grown).unwrap_or(FULL_SHARE).clamp(FULL_SHARE / 10, FULL_SHARE)
}

/// What a choice among targets needs to know of each.
pub(crate) trait Candidates {
    fn len(&self) -> usize;
    /// The share of the target, in thousandths, at least one.
    fn share(&self, place: usize) -> u32;
    fn outstanding(&self, place: usize) -> u64;
}

/// The next target, unless there is none; `turn` is a number that grows by one with each choice, `random`
/// any. `avoid` is a place that just failed: it is taken only when it is the only one.
pub(crate) fn choose(
    algorithm: Algorithm,
    among: &impl Candidates,
    turn: u64,
    random: u64,
    avoid: Option<usize>,
) -> Option<usize> {
    let count = among.len();
    if count <= 1 {
        return (count == 1).then_some(0);
    }
    let at = |number: u64| usize::try_from(number % count as u64).unwrap_or(0);
    let start = match algorithm {
        Algorithm::WeightedRandom => at(random >> 16),
        Algorithm::RoundRobin | Algorithm::LeastOutstandingRequests => at(turn),
    };
    let places =
        (0..count).map(|step| (start + step) % count).filter(|place| Some(*place) != avoid);
    match algorithm {
        // One that starts slowly lets some of its turns pass.
        Algorithm::RoundRobin | Algorithm::WeightedRandom => {
            let mut last = None;
            let mut luck = random;
            for place in places {
                last = last.or(Some(place));
                let share = among.share(place);
                if share >= FULL_SHARE || luck % u64::from(FULL_SHARE) < u64::from(share) {
                    return Some(place);
                }
                luck = luck.rotate_right(13) ^ 0x9e37_79b9;
            }
            last
        }
        // `min_by_key` takes the first of equals, which is the one whose turn it is.
        Algorithm::LeastOutstandingRequests => places.min_by_key(|place| {
            (among.outstanding(*place) + 1) * u64::from(FULL_SHARE)
                / u64::from(among.share(*place).max(1))
        }),
    }
}

/// A place among weights, by chance; none when all are zero.
pub(crate) fn by_weight(weights: impl Iterator<Item = u32> + Clone, random: u64) -> Option<usize> {
    let sum: u64 = weights.clone().map(u64::from).sum();
    let mut left = if sum == 0 { return None } else { random % sum };
    weights.enumerate().find_map(|(place, weight)| {
        let weight = u64::from(weight);
        if left < weight {
            return Some(place);
        }
        left -= weight;
        None
    })
}

/// A number that stays the same for a client, for choices by the source's address (FNV-1a, mixed).
pub(crate) fn source_hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// The place that a client's number belongs to among targets with these numbers (rendezvous hashing: when
/// a target comes or goes, only its own clients move).
pub(crate) fn by_source(client: u64, targets: impl Iterator<Item = u64>) -> Option<usize> {
    targets
        .enumerate()
        .max_by_key(|(_, target)| {
            let mixed = (client ^ target).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
        })
        .map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stdx::{Entropy, SeededEntropy};

    use super::*;

    struct Some_(Vec<(u32, u64)>);

    impl Candidates for Some_ {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn share(&self, place: usize) -> u32 {
            self.0[place].0
        }
        fn outstanding(&self, place: usize) -> u64 {
            self.0[place].1
        }
    }

    fn counts(algorithm: Algorithm, targets: Vec<(u32, u64)>) -> Vec<u32> {
        let mut counts = vec![0; targets.len()];
        let mut chance = SeededEntropy::new(1);
        for turn in 0..9000 {
            let random = chance.next_u64();
            counts[choose(algorithm, &Some_(targets.clone()), turn, random, None).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn fail_open_counts_what_is_healthy() {
        use Standing::{Healthy, Leaving, NotHealthy};
        for (standings, count, percent, expected) in [
            (vec![Healthy, NotHealthy, Leaving], 1, 0, vec![0]),
            (vec![NotHealthy, NotHealthy, Leaving], 1, 0, vec![0, 1]),
            (vec![Healthy, NotHealthy], 2, 0, vec![0, 1]),
            (vec![Healthy, NotHealthy, NotHealthy], 1, 50, vec![0, 1, 2]),
            (vec![Healthy, Healthy, NotHealthy], 1, 50, vec![0, 1]),
            (vec![Leaving], 1, 0, vec![]),
            (vec![], 1, 100, vec![]),
        ] {
            assert_eq!(eligible(&standings, count, percent), expected, "{standings:?}");
        }
    }

    #[test]
    fn shares_decide_who_is_given_how_much() {
        assert_eq!(
            counts(Algorithm::RoundRobin, vec![(1000, 0), (1000, 9), (1000, 0)]),
            [3000, 3000, 3000]
        );
        let slow = counts(Algorithm::RoundRobin, vec![(1000, 0), (100, 0)]);
        assert!((300..600).contains(&slow[1]), "{slow:?}");
        let random = counts(Algorithm::WeightedRandom, vec![(1000, 0); 3]);
        assert!(random.iter().all(|count| (2700..3300).contains(count)), "{random:?}");
        assert_eq!(
            counts(Algorithm::LeastOutstandingRequests, vec![(1000, 5), (1000, 2), (1000, 3)]),
            [0, 9000, 0]
        );
        // A slow starter counts as busier than it is.
        assert_eq!(
            counts(Algorithm::LeastOutstandingRequests, vec![(1000, 5), (100, 2)]),
            [9000, 0]
        );
        assert_eq!(share(Duration::from_secs(15), Duration::from_secs(30)), 500);
        assert_eq!(share(Duration::ZERO, Duration::from_secs(30)), 100);
        assert_eq!(share(Duration::ZERO, Duration::ZERO), 1000);
    }

    #[test]
    fn weights_of_zero_get_nothing() {
        assert_eq!(by_weight([0, 0].into_iter(), 7), None);
        assert_eq!(by_weight([0, 5].into_iter(), 7), Some(1));
        let hits = (0..100).filter(|n| by_weight([90, 10].into_iter(), *n) == Some(1)).count();
        assert_eq!(hits, 10);
    }

    proptest! {
        #[test]
        fn a_choice_is_one_of_them_and_avoids_what_failed(
            targets in prop::collection::vec((1_u32..=1000, 0_u64..5), 0..6),
            turn: u64, random: u64, avoid in prop::option::of(0_usize..6),
            algorithm in prop::sample::select(vec![
                Algorithm::RoundRobin, Algorithm::LeastOutstandingRequests, Algorithm::WeightedRandom,
            ]),
        ) {
            let chosen = choose(algorithm, &Some_(targets.clone()), turn, random, avoid);
            prop_assert_eq!(chosen.is_some(), !targets.is_empty());
            if let Some(place) = chosen {
                prop_assert!(place < targets.len());
                prop_assert!(targets.len() == 1 || Some(place) != avoid);
            }
        }

        #[test]
        fn a_source_moves_only_when_its_target_goes(client: u64, targets in prop::collection::vec(any::<u64>(), 2..8)) {
            let before = by_source(client, targets.iter().copied()).unwrap();
            let gone = (before + 1) % targets.len();
            let mut left = targets.clone();
            left.remove(gone);
            let after = by_source(client, left.iter().copied()).unwrap();
            prop_assert_eq!(targets[before], left[after]);
        }
    }
}
