//! The registry from outside: over real sockets, by its domain methods, by real clients.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clients;
mod common;
mod distribution;
mod ecr;
mod node;
