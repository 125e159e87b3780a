//! The scheduler under virtual time: a state, the loop that plans, and agents that only pretend. The
//! same seed gives the same history, so whatever fails can be replayed.

mod addresses;
mod balanced;
mod build;
mod capacity;
mod daemons;
mod deployments;
mod drains;
mod fargate;
mod gpus;
mod group_scaling;
mod histories;
mod invariants;
mod lifecycle;
mod placing;
mod protection;
mod questions;
mod rebalancing;
mod refusals;
mod scaling;
mod scenarios;
mod strains;
mod task_sets;
mod world;
