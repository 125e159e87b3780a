//! The outside world as arguments: the real clock, real chance, spawning with a name, and orderly
//! shutdown.
//!
//! Invariant: nothing here knows ECS or AWS. Other rooms take [`Clock`] and [`stdx::Entropy`]; only
//! this one reads the machine's.

mod clock;
mod entropy;
mod shutdown;

pub use clock::{Clock, ManualClock, SystemClock};
pub use entropy::{EntropyPool, OsEntropy};
pub use shutdown::{Shutdown, ShutdownTrigger, shutdown};
