//! The balancer beside the server: it serves what the state says, in the same process.

use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, Result};
use auth::RootKey;
use balancer::{Balancer, Config, Transport, log_queue};
use control::balancing::{BalancingConfig, CertificatePem, Certificates, Listeners};
use model::CertificateArn;
use objects::Objects;
use shell::{Clock, OsEntropy, Shutdown};
use store::Store;
use telemetry::Metrics;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vault::Vault;

use crate::balancer_logs::{self, Delivery, Office};
use crate::balancer_usage;
use crate::settings::BalancerPlace;

/// What a balancer is started with.
pub(crate) struct Parts<'a> {
    pub(crate) place: &'a BalancerPlace,
    pub(crate) root_key: &'a RootKey,
    pub(crate) store: Store,
    pub(crate) certificates: Arc<dyn Certificates>,
    pub(crate) metrics: Metrics,
    pub(crate) objects: Objects,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shutdown: Shutdown,
}

/// Starts it, and tells what the door has to know of it. The handle ends when its clients have been
/// answered after a shutdown, and what they did is in their logs.
pub(crate) fn start(parts: Parts<'_>) -> Result<(api::Balancing, JoinHandle<()>)> {
    let (told, events) = mpsc::unbounded_channel();
    // The same after a restart, so that clients stay with their targets.
    let cookie_key = Some(parts.root_key.derive("wharf balancer cookies v1"));
    let (log, entries) = log_queue(balancer_logs::QUEUE);
    let config = Config { cookie_key, log: Some(log), ..Config::default() };
    let clock = parts.clock.clone();
    let balancer = Balancer::start(config, clock, Box::new(OsEntropy), told)
        .context("start the threads of the load balancers")?;
    let balancer = Arc::new(balancer);
    tokio::spawn(balancer_usage::sample(
        balancer.clone(),
        parts.store.clone(),
        parts.metrics,
        parts.clock.clone(),
        parts.shutdown.clone(),
    ));
    let (listeners, finished) = control::balancing::start(BalancingConfig {
        store: parts.store.clone(),
        balancer,
        events,
        certificates: parts.certificates,
        bind: vec![parts.place.address],
        shutdown: parts.shutdown,
    });
    let delivered = tokio::spawn(
        Delivery::new(Office {
            entries,
            store: parts.store,
            objects: parts.objects,
            clock: parts.clock,
            every: parts.place.log_every,
            address: parts.place.address,
        })
        .run(finished),
    );
    let names = parts.place.names.clone();
    Ok((api::Balancing { names, ports: Arc::new(Machine(listeners)) }, delivered))
}

/// The ports of this machine.
#[derive(Debug)]
struct Machine(Listeners);

impl api::Ports for Machine {
    fn check(&self, port: u16, transport: api::Transport) -> Result<(), String> {
        let transport = match transport {
            api::Transport::Tcp => Transport::Tcp,
            api::Transport::Udp => Transport::Udp,
        };
        self.0.check(port, transport).map_err(|error| error.to_string())
    }

    fn trouble(&self, listener: &model::ListenerId) -> Option<String> {
        self.0.trouble(listener)
    }
}

/// Certificates as the vault keeps them.
#[derive(Debug)]
pub(crate) struct Kept(pub(crate) Vault);

impl Certificates for Kept {
    fn find<'a>(&'a self, arn: &'a CertificateArn) -> Found<'a> {
        Box::pin(async move {
            match self.0.certificate_pair(arn.as_str()).await {
                Ok((chain, key)) => {
                    let key = key.reveal_text()?.to_owned();
                    Some(CertificatePem { chain, key })
                }
                Err(error) => {
                    let error = stdx::chain(&error);
                    tracing::debug!(certificate = %arn, error, "A certificate is not to be had.");
                    None
                }
            }
        })
    }
}

/// A certificate that is looked for.
type Found<'a> = Pin<Box<dyn Future<Output = Option<CertificatePem>> + Send + 'a>>;
