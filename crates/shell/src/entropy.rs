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
