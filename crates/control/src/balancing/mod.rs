//! Load balancers: from the state to the balancer, and from what the balancer sees to commands.
//!
//! The table that the balancer serves is a function of the state ([`derive`]); this room only carries
//! it there. What is seen of targets comes back as `ReportTargets`. Nothing is kept: a server that
//! starts again derives the same table, and no registration is touched.

mod derive;
mod events;
mod groups;
mod listeners;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use balancer::{Balancer, BindError, Event, Transport};
use futures_util::future::BoxFuture;
use model::{CertificateArn, ListenerId};
use shell::Shutdown;
use store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use derive::Derived;
use listeners::Certificates as Loaded;

/// How often certificates are looked at anew, and listeners that failed are tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A shutdown waits so long for requests that have begun.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where certificates come from.
pub trait Certificates: Debug + Send + Sync {
    /// The certificate with its chain and its key; none if there is none by that ARN.
    fn find<'a>(&'a self, arn: &'a CertificateArn) -> BoxFuture<'a, Option<CertificatePem>>;
}

/// A certificate as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificatePem {
    /// The certificate and its chain, in PEM.
    pub chain: String,
    /// Its private key, in PEM.
    pub key: String,
}

impl Debug for CertificatePem {
    // The key stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificatePem").finish_non_exhaustive()
    }
}

/// What carries tables to the balancer.
#[derive(Debug)]
pub struct BalancingConfig {
    /// Where the state is.
    pub store: Store,
    /// Who serves.
    pub balancer: Arc<Balancer>,
    /// What it sees.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// Where certificates come from.
    pub certificates: Arc<dyn Certificates>,
    /// On which addresses listeners listen.
    pub bind: Vec<IpAddr>,
    /// When it ends.
    pub shutdown: Shutdown,
}

/// How listeners do, for whoever is asked.
#[derive(Clone, Debug)]
pub struct Listeners {
    balancer: Arc<Balancer>,
    bind: Vec<IpAddr>,
    troubles: Arc<Mutex<BTreeMap<ListenerId, String>>>,
}

impl Listeners {
    /// Whether a port could be taken now.
    ///
    /// # Errors
    ///
    /// It cannot: why, and who has it.
    pub fn check(&self, port: u16, transport: Transport) -> Result<(), BindError> {
        let free =
            |address: &IpAddr| self.balancer.check_bind(SocketAddr::new(*address, port), transport);
        self.bind.iter().try_for_each(free)
    }

    /// Why a listener does not listen, if it does not.
    pub fn trouble(&self, listener: &ListenerId) -> Option<String> {
        self.lock().get(listener).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ListenerId, String>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins to carry: the balancer serves what the state says until shutdown. The handle ends when its
/// clients have been answered then, or have had their time.
pub fn start(config: BalancingConfig) -> (Listeners, JoinHandle<()>) {
    let BalancingConfig { store, balancer, events, certificates, bind, shutdown } = config;
    let listeners = Listeners { balancer, bind, troubles: Arc::default() };
    tokio::spawn(events::report(store.clone(), events, shutdown.clone()));
    let carrier = Carrier {
        derived: Derived::nothing(store.snapshot().realm()),
        loaded: Loaded::new(),
        store,
        certificates,
        listeners: listeners.clone(),
    };
    let balancer = Arc::clone(&listeners.balancer);
    let carried = tokio::spawn(async move {
        carrier.run(shutdown).await;
        balancer.finish(PATIENCE).await;
    });
    (listeners, carried)
}

struct Carrier {
    store: Store,
    certificates: Arc<dyn Certificates>,
    listeners: Listeners,
    derived: Derived,
    loaded: Loaded,
}

impl Carrier {
    async fn run(mut self, mut shutdown: Shutdown) {
        let mut changed = self.store.subscribe();
        let mut again = tokio::time::interval(LOOK_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut anew = true;
        loop {
            changed.mark_unchanged();
            self.round(anew).await;
            anew = tokio::select! {
                () = shutdown.wait() => return,
                _ = again.tick() => true,
                gone = changed.changed() => {
                    if gone.is_err() {
                        return;
                    }
                    false
                }
            };
        }
    }

    /// Brings the balancer where the state is. `anew` looks at certificates again, and tries again what
    /// has failed.
    async fn round(&mut self, anew: bool) {
        let state = self.store.snapshot();
        self.load(state.balancing(), anew).await;
        let next = self.derived.next(&state, &self.loaded, &self.listeners.bind);
        let failed = anew && !self.listeners.lock().is_empty();
        match next {
            Some(next) => self.derived = next,
            None if failed => {}
            None => return,
        }
        let table = Arc::new(self.derived.table.clone());
        let outcomes = self.listeners.balancer.apply(table).await;
        let mut troubles = BTreeMap::new();
        for (id, outcome) in outcomes {
            if let Err(error) = outcome {
                troubles.insert(ListenerId::from(id.as_str()), error.to_string());
            }
        }
        troubles.extend(self.derived.unserved.clone());
        self.tell(troubles);
    }

    /// Loads the certificates that listeners name: those that are not there yet, or all.
    async fn load(&mut self, book: &model::Book, anew: bool) {
        let named = derive::named_certificates(book);
        self.loaded.retain(|arn, _| named.contains(arn));
        for arn in named {
            if !anew && self.loaded.contains_key(&arn) {
                continue;
            }
            let Some(pem) = self.certificates.find(&arn).await else {
                self.loaded.remove(&arn);
                continue;
            };
            let certificate = balancer::Certificate {
                id: arn.as_str().into(),
                chain_pem: pem.chain,
                key_pem: pem.key,
            };
            if self.loaded.get(&arn).is_none_or(|before| **before != certificate) {
                self.loaded.insert(arn, Arc::new(certificate));
            }
        }
    }

    fn tell(&self, troubles: BTreeMap<ListenerId, String>) {
        let mut known = self.listeners.lock();
        for (listener, why) in &troubles {
            match known.get(listener) {
                None => tracing::error!(%listener, why, "A listener does not listen."),
                // It was told once; who has its port may be another one by now.
                Some(before) if before != why => {
                    tracing::debug!(%listener, why, "A listener still does not listen.");
                }
                Some(_) => {}
            }
        }
        for listener in known.keys().filter(|id| !troubles.contains_key(*id)) {
            tracing::info!(%listener, "A listener that had failed listens, or is gone.");
        }
        *known = troubles;
    }
}
