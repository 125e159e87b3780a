//! The machine's own randomness.

use stdx::Entropy;

/// Random bits from the operating system, good enough for keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn next_u64(&mut self) -> u64 {
        getrandom::u64().expect("the operating system gives random bytes once it has booted")
    }
}

/// Random bits from the operating system, fetched many at a time: for who needs so many that the
/// system calls would cost more than the bits. What is fetched waits in this process's memory, so it is
/// not to be carried over a fork.
#[derive(Default)]
pub struct EntropyPool {
    words: Vec<u64>,
}

impl EntropyPool {
    /// So many are fetched at a time.
    const WORDS: usize = 64;
}

/// Says nothing of what is to come.
impl std::fmt::Debug for EntropyPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntropyPool").finish_non_exhaustive()
    }
}

impl Entropy for EntropyPool {
    fn next_u64(&mut self) -> u64 {
        if let Some(word) = self.words.pop() {
            return word;
        }
        let mut bytes = [0; Self::WORDS * 8];
        getrandom::fill(&mut bytes)
            .expect("the operating system gives random bytes once it has booted");
        self.words.extend(
            bytes
                .chunks_exact(8)
                .map(|word| word.iter().fold(0, |sum: u64, byte| (sum << 8) | u64::from(*byte))),
        );
        self.words.pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_pool_gives_no_bits_twice() {
        let (mut one, mut two) = (EntropyPool::default(), EntropyPool::default());
        let drawn: BTreeSet<u64> =
            (0..500).flat_map(|_| [one.next_u64(), two.next_u64()]).collect();
        assert_eq!(drawn.len(), 1_000);
        let set = drawn.iter().map(|word| word.count_ones()).sum::<u32>();
        assert!((28_000..36_000).contains(&set), "{set} of 64,000 bits are set");
    }
}
