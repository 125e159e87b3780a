//! Capacity providers and the groups behind them: which provider a task goes to, how many nodes are
//! wanted, and which node goes when there is one too many. Pure arithmetic over values; the decisions
//! that use it are in `decide::capacity`.

mod command;
mod policies;
mod share;
mod size;
mod templates;
mod track;
mod victim;
pub(crate) mod words;

pub use crate::decide::capacity::providers::check_strategy;
pub use command::{
    CapacityCommand, CapacityRejection, GroupUpdate, NewGroup, NewLaunch, NewProvider, NodeReport,
};
pub use policies::{GroupScale, NewGroupAction, NewGroupPolicy, PolicyRun, Trigger, action_due};
pub use share::{Share, share};
pub use size::{Demand, Offer, Sizing, wanted};
pub use templates::{NewTemplate, NewVersion};
pub use track::{GroupAnswer, GroupAsk, is_untracked, questions, track};
pub use victim::{Candidate, victims};
