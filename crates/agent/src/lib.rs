//! The node's agent: it joins a cluster, runs what the server sends it and reports what becomes of
//! it, in the words of the ECS agent's own protocol.
//!
//! ```text
//! session   ACS: orders in · TCS: telemetry out          registration, calls
//!    │                                                       │
//! node ─── one worker for each task ── step (pure) ── act ── runtime · networking · reports
//!    │          └─ records (a thread)      └─ plan (pure)          └─ awslogs
//! board: every task as its worker last saw it
//! ```
//!
//! Inside are a pure core and a shell. [`plan`] turns what ECS asks into what the runtime does;
//! [`task`] decides, one step at a time, what to do next for a task. Around them one tokio task for
//! each ECS task has it done, and others speak with the server.
//!
//! Invariants: the agent knows only what it is sent; status moves one way; reports of a task are in
//! order and repeated until the server has them; containers outlive the agent, and the next one
//! finds them again by their sandbox's name; nothing between an order and the start of a program
//! waits for a disk or a timer.

mod agent;
mod awslogs;
mod board;
mod calls;
pub mod capabilities;
mod cleanup;
mod config;
pub mod endpoints;
mod exec;
mod fluent;
pub mod gpu;
mod images;
mod metrics;
mod networking;
mod node;
pub mod order;
pub mod plan;
mod pull;
mod record;
mod registration;
mod reports;
mod roles;
mod session;
pub mod task;
mod teardown;
mod worker;

#[cfg(test)]
mod lives;

pub use agent::{Agent, StartError};
pub use calls::{Door, ObjectError};
pub use cleanup::CleanUp;
pub use config::{AgentConfig, PullBehavior, SignError, Signer};
pub use networking::{Networking, NoNetworking};
pub use pull::Puller;
pub use registration::JoinError;
pub use teardown::{TeardownError, teardown};
