//! The whole cluster in one thread under virtual time: the real decisions, the real writer's rounds,
//! the real talk of the agent sessions; pretended nodes, network, users and disk. Everything follows
//! from a seed.
//!
//! Invariants: nothing here reads the machine's clock or draws real chance; the same script gives the
//! same history; what is wrong ends a history and is told with the seed that makes it again.

mod agenda;
mod around;
mod asks;
mod calls;
mod checks;
pub mod fleet;
mod ground;
pub mod history;
mod image;
mod node;
mod rest;
mod serve;
mod server;
mod step;
mod take;
pub mod trial;
mod wishes;
mod world;
mod writer;

pub use around::Mood;
pub use checks::Forgery;
pub use image::Image;
pub use step::{Lie, Script, Step};
pub use wishes::{Field, Kind};
pub use world::{Mutation, Weather, World};
