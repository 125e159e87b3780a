//! The door: what every operation is given to work with, and who asks.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use auth::{EcrToken, Identity, KeyStore, SessionMint};
use aws::Error;
use model::{Realm, State};
use objects::Objects;
use registry::Registry;
use scheduler::{Command, Reply};
use shell::Clock;
use stdx::Timestamp;
use store::{Committed, Store, SubmitError};
use telemetry::Logs;
use vault::Vault;

use crate::elbv2::Balancing;
use crate::errors;
use crate::exec_relay::Exec;
use crate::metrics::Metrics;
use crate::turns::Turns;

/// What a door is made of.
pub struct DoorConfig {
    /// Whose resources these are.
    pub realm: Realm,
    /// Where the state lives.
    pub store: Store,
    /// Images and their repositories.
    pub registry: Arc<Registry>,
    /// Log groups, streams and events.
    pub logs: Arc<Logs>,
    /// Metrics and alarms.
    pub telemetry: telemetry::Metrics,
    /// Secrets and parameters.
    pub vault: Vault,
    /// Buckets and objects.
    pub objects: Objects,
    /// Whose signatures are taken.
    pub keys: Arc<dyn KeyStore + Send + Sync>,
    /// Makes the credentials of roles that are assumed.
    pub sessions: Arc<SessionMint>,
    /// Makes the registry's passwords.
    pub ecr_token: Arc<EcrToken>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The sessions of ExecuteCommand.
    pub exec: Exec,
    /// Where clients and agents find what.
    pub endpoints: Endpoints,
    /// How load balancers are called, and whether their ports are free.
    pub balancing: Balancing,
    /// The event bus.
    pub bus: events::Bus,
    /// The version of this build, for `/metrics`.
    pub version: &'static str,
}

/// Addresses that answers tell, as others reach this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The registry, such as `http://127.0.0.1:4747`: ECR's `proxyEndpoint`.
    pub registry: String,
    /// What `/ws?…` is added to for an agent's ACS socket.
    pub agent: String,
    /// What `/ws?…` is added to for an agent's TCS socket.
    pub telemetry: String,
}

impl Endpoints {
    /// Everything under one base URL (without a slash at its end): the registry at the base itself,
    /// ACS under `/acs` and TCS under `/tcs`.
    pub fn under(base: &str) -> Self {
        let base = base.trim_end_matches('/');
        Self {
            registry: base.to_owned(),
            agent: format!("{base}/acs"),
            telemetry: format!("{base}/tcs"),
        }
    }
}

impl std::fmt::Debug for DoorConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DoorConfig")
            .field("realm", &self.realm)
            .field("endpoints", &self.endpoints)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Answers every request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: DoorConfig,
    metrics: Metrics,
    turns: Turns,
    /// How many commits there had been when the store last failed; [`NEVER`] if it has not.
    failed_after: AtomicU64,
}

/// The store has not failed, or has committed since.
const NEVER: u64 = u64::MAX;

/// Who asks, and under which request id.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who, by a verified signature.
    pub identity: Identity,
    /// The answer's `x-amzn-RequestId`.
    pub request_id: String,
    /// From which address, if that is known.
    pub source: Option<IpAddr>,
}

impl Door {
    /// A door to these rooms.
    pub fn new(config: DoorConfig) -> Self {
        let (metrics, turns) = (Metrics::default(), Turns::default());
        Self(Arc::new(Inner { config, metrics, turns, failed_after: AtomicU64::new(NEVER) }))
    }

    /// What it is made of.
    pub(crate) fn config(&self) -> &DoorConfig {
        &self.0.config
    }

    /// The sessions of ExecuteCommand.
    pub(crate) fn exec(&self) -> &Exec {
        &self.0.config.exec
    }

    /// What it counts.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The calls that are under way.
    pub(crate) fn turns(&self) -> &Turns {
        &self.0.turns
    }

    /// Whose resources these are.
    pub(crate) fn realm(&self) -> &Realm {
        &self.0.config.realm
    }

    /// The present instant.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.config.clock.now()
    }

    /// The state as it is now; it does not change under the reader.
    pub(crate) fn snapshot(&self) -> Arc<State> {
        self.0.config.store.snapshot()
    }

    /// Has a command decided and made durable.
    pub(crate) async fn submit(&self, command: Command) -> Result<Committed, Error> {
        self.try_submit(command).await.map_err(|e| errors::submit(self.realm(), &e))
    }

    /// The same for who has an answer of its own to some refusals.
    pub(crate) async fn try_submit(&self, command: Command) -> Result<Committed, SubmitError> {
        let store = &self.0.config.store;
        let result = store.submit(command).await;
        if let Err(SubmitError::Storage(_) | SubmitError::Closed) = &result {
            self.0.failed_after.store(store.stats().commits, Ordering::Relaxed);
        }
        result
    }

    /// Whether the store has written since it last failed to, if it ever did.
    pub(crate) fn takes_commands(&self) -> bool {
        let failed_after = self.0.failed_after.load(Ordering::Relaxed);
        failed_after == NEVER || self.0.config.store.stats().commits > failed_after
    }
}

/// The error for a reply of another kind than its command has: a fault of ours.
pub(crate) fn odd_reply(command: &str, reply: &Reply) -> Error {
    tracing::error!(?reply, command, "a command was answered with another command's reply");
    errors::server(format!(
        "{command} was done, but its answer was lost. Describe what it was about."
    ))
}
