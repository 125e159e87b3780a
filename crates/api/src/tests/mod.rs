//! The whole door against a state in memory: requests in, answers out.

mod bench;
mod cloudwatch;
mod everything;
mod exec;
mod identity;
mod neighbours;
mod nodes;
mod protection;
mod roles;
mod services;
mod tasks;
