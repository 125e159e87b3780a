//! Capacity providers and the groups behind them: which provider a task goes to, how many nodes are
//! wanted, and which node goes when there is one too many. Pure arithmetic over values; the decisions
//! that use it are in `decide::capacity`.

mod share;
mod size;
mod victim;

pub use share::{Share, share};
pub use size::{Demand, Offer, Sizing, wanted};
pub use victim::{Candidate, victims};
