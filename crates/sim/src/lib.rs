//! The whole cluster in one thread under virtual time: the real decisions, the real writer's rounds,
//! the real talk of the agent sessions; pretended nodes, network, users and disk. Everything follows
//! from a seed.
//!
//! Invariants: nothing here reads the machine's clock or draws real chance; the same script gives the
//! same history; what is wrong ends a history and is told with the seed that makes it again.

mod agenda;
mod calls;
mod checks;
pub mod fleet;
pub mod history;
mod image;
mod node;
mod rest;
mod serve;
mod server;
mod step;
mod take;
pub mod trial;
mod world;
mod writer;

pub use image::Image;
pub use step::{Lie, Script, Step};
pub use world::{Mutation, Weather, World};
