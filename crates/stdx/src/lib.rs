//! Small values that every room shares: instants, identities, chance as an argument, back-off, and
//! the rendering of an error with its causes.
//!
//! Invariant: nothing here does I/O and nothing here knows ECS.

mod backoff;
mod entropy;
mod error;
mod id;
mod share;
mod time;

pub use backoff::Backoff;
pub use entropy::{Entropy, SeededEntropy};
pub use error::chain;
pub use share::{read_text, shared, sharing};
pub use time::Timestamp;
