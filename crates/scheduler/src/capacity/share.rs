//! Which capacity provider the next task goes to, by the bases and weights of a strategy.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-capacity-providers.html>

use model::{ProviderName, StrategyItem};

/// An item of a strategy, with how many tasks its provider has of those that are shared out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share<'a> {
    /// The item.
    pub item: &'a StrategyItem,
    /// So many tasks it has already.
    pub has: u32,
}

/// Shares out `count` further tasks, one after the other: bases are filled first, then each goes
/// where it is most lacking by weight. Among equals the first of the strategy gets it. None are given
/// to providers of weight 0 beyond their base, so fewer may be given than asked for.
pub fn share(shares: &mut [Share<'_>], count: u32) -> Vec<ProviderName> {
    let mut given = Vec::new();
    for _ in 0..count {
        let Some(at) = next(shares) else { break };
        shares[at].has += 1;
        given.push(shares[at].item.provider.clone());
    }
    given
}

fn next(shares: &[Share<'_>]) -> Option<usize> {
    if let Some(at) = shares.iter().position(|share| share.has < share.item.base) {
        return Some(at);
    }
    let beyond = |share: &Share<'_>| u64::from(share.has.saturating_sub(share.item.base));
    let mut best: Option<usize> = None;
    for (at, share) in shares.iter().enumerate().filter(|(_, share)| share.item.weight > 0) {
        // With one more, how full would it be for its weight? Compared without dividing.
        let fuller = |than: &Share<'_>| {
            (beyond(share) + 1) * u64::from(than.item.weight)
                >= (beyond(than) + 1) * u64::from(share.item.weight)
        };
        if best.is_none_or(|best| !fuller(&shares[best])) {
            best = Some(at);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(provider: &str, weight: u32, base: u32) -> StrategyItem {
        StrategyItem { provider: provider.into(), weight, base }
    }

    fn counts(items: &[StrategyItem], count: u32) -> Vec<u32> {
        let mut shares: Vec<Share<'_>> = items.iter().map(|item| Share { item, has: 0 }).collect();
        share(&mut shares, count);
        shares.iter().map(|share| share.has).collect()
    }

    #[test]
    fn bases_come_first_and_weights_share_the_rest() {
        let two = [item("a", 1, 2), item("b", 3, 0)];
        for (count, wanted) in
            [(0, [0, 0]), (1, [1, 0]), (2, [2, 0]), (3, [2, 1]), (6, [3, 3]), (10, [4, 6])]
        {
            assert_eq!(counts(&two, count), wanted, "{count}");
        }
        assert_eq!(counts(&[item("a", 0, 2), item("b", 1, 0)], 5), [2, 3]);
        // Nothing takes what is beyond the base.
        assert_eq!(counts(&[item("a", 0, 2)], 5), [2]);
    }

    #[test]
    fn what_is_there_counts() {
        let items = [item("a", 1, 0), item("b", 1, 0)];
        let mut shares = [Share { item: &items[0], has: 4 }, Share { item: &items[1], has: 1 }];
        let given = share(&mut shares, 4);
        assert_eq!(given, ["b".into(), "b".into(), "b".into(), "a".into()] as [ProviderName; 4]);
    }

    proptest! {
        #[test]
        fn no_provider_is_more_than_one_task_from_its_share(
            weights in prop::collection::vec(1u32..20, 1..6),
            count in 0u32..300,
        ) {
            let items: Vec<_> = weights.iter().map(|w| item("p", *w, 0)).collect();
            let has = counts(&items, count);
            prop_assert_eq!(has.iter().sum::<u32>(), count);
            let all: u32 = weights.iter().sum();
            for (has, weight) in has.iter().zip(&weights) {
                // Sainte-Laguë-like methods stay near the quota; never a whole round off.
                let quota = f64::from(count) * f64::from(*weight) / f64::from(all);
                prop_assert!((f64::from(*has) - quota).abs() < 2.0, "{has} for a quota of {quota}");
            }
        }
    }
}
