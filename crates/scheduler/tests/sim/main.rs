//! The scheduler under virtual time: a state, the loop that plans, and agents that only pretend. The
//! same seed gives the same history, so whatever fails can be replayed.

mod balanced;
mod build;
mod capacity;
mod gpus;
mod histories;
mod invariants;
mod lifecycle;
mod placing;
mod protection;
mod refusals;
mod scaling;
mod scenarios;
mod world;
