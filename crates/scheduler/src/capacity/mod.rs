//! Capacity providers and the groups behind them: which provider a task goes to, how many nodes are
//! wanted, and which node goes when there is one too many. Pure arithmetic over values; the decisions
//! that use it are in `decide::capacity`.

mod command;
mod share;
mod size;
mod victim;
pub(crate) mod words;

pub use crate::decide::capacity::providers::check_strategy;
pub use command::{
    CapacityCommand, CapacityRejection, GroupUpdate, NewGroup, NewLaunch, NewProvider, NodeReport,
};
pub use share::{Share, share};
pub use size::{Demand, Offer, Sizing, wanted};
pub use victim::{Candidate, victims};
