//! Exponential back-off with jitter, as a value.

use std::time::Duration;

use crate::Entropy;

/// Delays that grow by a factor from `first` to at most `most`, each cut by up to a fifth at
/// random, so that many clients do not come back at the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    factor: u32,
    next: Duration,
}

impl Backoff {
    /// Delays from `first`, doubling, to at most `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, factor: 2, next: first }
    }

    /// The delay to wait now; the next one is longer.
    pub fn delay(&mut self, chance: &mut dyn Entropy) -> Duration {
        let now = self.next.min(self.most);
        self.next = now.saturating_mul(self.factor).min(self.most);
        let fifth = u64::try_from(now.as_micros() / 5).unwrap_or(u64::MAX);
        now.saturating_sub(Duration::from_micros(chance.below(fifth.saturating_add(1))))
    }

    /// Begins again with the first delay, after a success.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededEntropy;

    #[test]
    fn delays_grow_to_the_bound_and_start_again() {
        let mut chance = SeededEntropy::new(1);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for bound in [100, 200, 350, 350] {
            let delay = backoff.delay(&mut chance);
            assert!(delay <= Duration::from_millis(bound));
            assert!(delay >= Duration::from_millis(bound * 4 / 5));
        }
        backoff.reset();
        assert!(backoff.delay(&mut chance) <= Duration::from_millis(100));
    }
}
