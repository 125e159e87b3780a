//! The whole door against a state in memory: requests in, answers out.

mod bench;
mod cloudwatch;
mod everything;
mod exec;
mod fargate;
mod identity;
mod neighbours;
mod nodes;
mod pages;
mod protection;
mod roles;
mod services;
mod tasks;
