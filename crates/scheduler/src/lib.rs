//! What ought to happen: [`decide`] answers a command with changes or a refusal, [`plan`] looks at
//! everything and proposes commands with the reasons for them.
//!
//! Invariants: nothing here reads a clock, draws a random number except from its argument, or does
//! I/O; nothing here knows the store or the wire. A refusal carries its reasons as values; words are
//! made from them in [`words`], once.

mod balancing;
pub mod capacity;
mod command;
mod complaints;
mod decide;
mod desk;
mod failures;
mod iam;
mod placement;
mod plan;
mod rejection;
mod replicas;
mod rollout;
pub mod scaling;
pub mod timing;
pub mod words;

pub use balancing::{
    BalancerAttribute, BalancingCommand, BalancingLimit, BalancingRejection, GroupAttribute,
    HealthEdit, ListenerEdit, Names, NewBalancer, NewGroup, NewListener, NewRule, NewTarget,
};
pub use capacity::{CapacityCommand, CapacityRejection};
pub use command::*;
pub use decide::decide;
pub use iam::{IamCommand, IamRejection, NewPolicy, NewRole, PolicyRef};
pub use plan::{Plan, Report, Waiting, plan};
pub use rejection::*;
pub use scaling::{ScalingCommand, ScalingRejection};
