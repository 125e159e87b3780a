//! Pure: how many warm slots are kept, from how orders come.

/// Orders that come within so many milliseconds are one burst.
const BURST: u64 = 2_000;
/// Without orders for so many milliseconds, half of what is above the least goes.
const IDLE: u64 = 60_000;
/// What one slot costs at most, in bytes: a shim, its pause process and a first process, each a copy
/// of the zygote whose pages they mostly share.
const SLOT_BYTES: u64 = 4 << 20;
/// Slots take at most this part of the node's memory.
const MEMORY_PART: u64 = 64;

/// What is remembered of the orders. Times are milliseconds of one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    least: usize,
    most: usize,
    wanted: usize,
    burst_began: u64,
    in_burst: usize,
    latest: u64,
}

impl Demand {
    /// For a node with so much memory that keeps at least so many; none for never any.
    pub(crate) fn new(least: usize, memory_bytes: u64) -> Self {
        let most = usize::try_from(memory_bytes / MEMORY_PART / SLOT_BYTES).unwrap_or(usize::MAX);
        let most = if least == 0 { 0 } else { most.max(least) };
        Self { least, most, wanted: least, burst_began: 0, in_burst: 0, latest: 0 }
    }

    /// An order came: the next burst of the size of this one shall find every slot ready.
    pub(crate) fn ordered(&mut self, now: u64) {
        self.settle(now);
        if now.saturating_sub(self.burst_began) > BURST {
            (self.burst_began, self.in_burst) = (now, 0);
        }
        self.in_burst += 1;
        self.wanted = self.wanted.max(self.in_burst).min(self.most);
        self.latest = now;
    }

    /// Forgets bursts that are long past.
    pub(crate) fn settle(&mut self, now: u64) {
        while self.wanted > self.least && now.saturating_sub(self.latest) >= IDLE {
            self.latest += IDLE;
            self.wanted = self.least + (self.wanted - self.least) / 2;
        }
    }

    /// How many are wanted.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// When there may be fewer, in milliseconds from now; none if there never will.
    pub(crate) fn shrinks_in(&self, now: u64) -> Option<u64> {
        (self.wanted > self.least).then(|| (self.latest + IDLE).saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_burst_is_remembered_and_forgotten_by_halves() {
        let mut demand = Demand::new(4, 8 * GIB);
        for order in 0..20 {
            demand.ordered(1_000_000 + order * 10);
        }
        assert_eq!(demand.wanted(), 20);
        assert_eq!(demand.shrinks_in(1_000_190), Some(IDLE));
        demand.settle(1_000_190 + IDLE - 1);
        assert_eq!(demand.wanted(), 20);
        demand.settle(1_000_190 + IDLE);
        assert_eq!(demand.wanted(), 12);
        demand.settle(1_000_190 + 3 * IDLE);
        assert_eq!(demand.wanted(), 6);
        demand.settle(1_000_190 + 100 * IDLE);
        assert_eq!((demand.wanted(), demand.shrinks_in(0)), (4, None));
    }

    #[test]
    fn orders_far_apart_need_no_more_and_memory_bounds_all() {
        let mut demand = Demand::new(2, 8 * GIB);
        for order in 0..50 {
            demand.ordered(order * (BURST + 1));
        }
        assert_eq!(demand.wanted(), 2);
        let mut small = Demand::new(2, GIB);
        for order in 0..500 {
            small.ordered(order);
        }
        assert_eq!(small.wanted(), 4, "a 64th of a GiB");
        let mut none = Demand::new(0, 8 * GIB);
        none.ordered(1);
        assert_eq!(none.wanted(), 0);
    }

    proptest! {
        #[test]
        fn it_stays_between_its_bounds(
            least in 0..10_usize,
            steps in prop::collection::vec((0..200_000_u64, any::<bool>()), 0..200),
        ) {
            let (mut demand, mut now) = (Demand::new(least, 4 * GIB), 0);
            for (pause, order) in steps {
                now += pause;
                if order { demand.ordered(now) } else { demand.settle(now) }
                prop_assert!(demand.wanted() >= least);
                prop_assert!(demand.wanted() <= demand.most);
                prop_assert!(demand.shrinks_in(now).is_none_or(|wait| wait <= IDLE));
            }
        }
    }
}
