//! The loops and the agent sessions: what moves the cluster without being asked.
//!
//! The planning loop wakes on a change, looks at everything and submits commands. A session tells an
//! agent what it should run and turns what the agent says into commands. Neither keeps anything that
//! the state has: after a restart both begin from it.
//!
//! Invariants: nothing here decides (that is `scheduler`) and nothing here writes but through
//! `store.submit`; `api` and this room do not know each other.

mod acs;
pub mod balancing;
pub mod capacity;
pub mod deployments;
mod dialogue;
mod docker;
pub mod events;
mod handshake;
mod measure;
mod merge;
mod mint;
mod outbox;
mod payload;
mod planner;
pub mod scaling;
mod sessions;
mod tcs;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use scheduler::Command;
use scheduler::timing::Keep;
use shell::{Clock, Shutdown};
use stdx::Entropy;
use store::{Store, SubmitError};

use sessions::Sessions;

pub use dialogue::{Dialogue, Moment};
pub use sessions::{Agents, Nudge, concerns};

pub use measure::{Measured, Metric, MetricSink, Scope};
pub use mint::{Mint, MintError, RolePurpose};

/// What the sessions share.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sessions: Arc<Sessions>,
    /// Makes the credentials of tasks' roles.
    pub(crate) mint: Arc<dyn Mint>,
    /// Where measurements go.
    pub(crate) sink: Arc<dyn MetricSink>,
    /// What each task uses.
    pub(crate) usage: Arc<measure::Shared>,
    pub(crate) shutdown: Shutdown,
}

/// Begins: no agent is connected yet, the planning loop runs, and the routes for agents are ready.
///
/// The routes are `/acs/ws` and `/tcs/ws`, which DiscoverPollEndpoint's answers must name. They do not
/// check who asks: the caller puts its own check in front.
///
/// # Errors
///
/// If the store cannot take the first command.
pub async fn start(
    store: Store,
    clock: Arc<dyn Clock>,
    chance: Box<dyn Entropy>,
    mint: Arc<dyn Mint>,
    sink: Arc<dyn MetricSink>,
    shutdown: Shutdown,
) -> Result<(Router, Agents), SubmitError> {
    start_keeping(store, clock, chance, mint, sink, (Keep::default(), shutdown)).await
}

/// The same where what is over is remembered for longer than ECS does.
///
/// # Errors
///
/// If the store cannot take the first command.
pub async fn start_keeping(
    store: Store,
    clock: Arc<dyn Clock>,
    chance: Box<dyn Entropy>,
    mint: Arc<dyn Mint>,
    sink: Arc<dyn MetricSink>,
    (keep, shutdown): (Keep, Shutdown),
) -> Result<(Router, Agents), SubmitError> {
    store.submit(Command::DisconnectAll).await?;
    let sessions = Arc::new(Sessions::default());
    let agents = Agents(Arc::clone(&sessions));
    let control = Control {
        store: store.clone(),
        clock,
        sessions,
        mint,
        sink,
        usage: Arc::default(),
        shutdown: shutdown.clone(),
    };
    tokio::spawn(sessions::route(control.clone()));
    tokio::spawn(measure::run(control.clone()));
    let steady = store.clock();
    tokio::spawn(planner::run(store, steady, chance, keep, shutdown));
    let routes = Router::new()
        .route("/acs/ws", get(acs::connect))
        .route("/tcs/ws", get(tcs::connect))
        .with_state(control);
    Ok((routes, agents))
}
