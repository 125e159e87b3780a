//! What ought to happen: [`decide`] answers a command with changes or a refusal, [`plan`] looks at
//! everything and proposes commands with the reasons for them.
//!
//! Invariants: nothing here reads a clock, draws a random number except from its argument, or does
//! I/O; nothing here knows the store or the wire. A refusal carries its reasons as values; words are
//! made from them in [`words`], once.

mod balancing;
pub mod bus;
pub mod capacity;
mod command;
mod complaints;
mod daemon;
mod decide;
mod desk;
pub mod explain;
mod failures;
pub mod foresee;
mod iam;
pub mod placement;
mod plan;
mod rebalance;
mod rejection;
mod replicas;
mod rollout;
pub mod scaling;
mod task_sets;
pub mod timing;
pub mod words;

pub use balancing::{
    BalancerAttribute, BalancingCommand, BalancingLimit, BalancingRejection, GroupAttribute,
    HealthEdit, ListenerEdit, LogAttribute, Names, NewBalancer, NewGroup, NewListener, NewRule,
    NewTarget,
};
pub use bus::{BusCommand, BusRejection, NewEventRule};
pub use capacity::{CapacityCommand, CapacityRejection};
pub use command::*;
pub use decide::decide;
pub use foresee::{Foresight, Habits, foresee};
pub use iam::{IamCommand, IamRejection, NewPolicy, NewRole, PolicyRef};
pub use plan::{Plan, Report, Waiting, plan, plan_keeping};
pub use rejection::*;
pub use rollout::{
    DeploymentCommand, DeploymentRejection, HookAnswer, HookCall, hook_calls, watched_alarms,
};
pub use scaling::{ScalingCommand, ScalingRejection};
pub use task_sets::{computed_count, is_stable};
