//! The control plane put together: store, registry, logs, sessions and the door, on one port.

use std::future::IntoFuture;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use api::{Door, DoorConfig, Endpoints, Exec, Standing};
use auth::{EcrToken, Identity, RootKey, SessionMint, SessionStore};
use aws::agent::acs::ExecuteCommandMessage;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use cli::Profile;
use model::{InstanceKey, Realm};
use objects::{Objects, ObjectsConfig};
use registry::{Authorizer, Registry, RegistryConfig};
use scheduler::timing::Keep;
use shell::{Clock, EntropyPool, OsEntropy, Shutdown};
use store::{RedbEngine, Store};
use telemetry::{Logs, LogsConfig, Metrics, MetricsConfig};
use tokio::task::JoinHandle;
use vault::{Vault, VaultConfig};

use crate::balancing;
use crate::checks;
use crate::events;
use crate::measure::Sink;
use crate::mint::TaskMint;
use crate::nodes;
use crate::places::Places;
use crate::settings::Settings;

/// A shutdown waits so long for requests that have begun.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two removals of old log events.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// A control plane that answers.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where this machine reaches it.
    pub(crate) endpoint: String,
    /// The key to everything.
    pub(crate) root_key: RootKey,
    /// The one writer, for what the binary itself asks of it.
    pub(crate) store: Store,
    /// Set once all that this process is to be stands.
    pub(crate) ready: Ready,
    /// Ends when the server has answered its last request.
    pub(crate) served: JoinHandle<std::io::Result<()>>,
}

/// Opens everything durable and serves on the listener until shutdown.
pub(crate) async fn start(
    settings: &Settings,
    places: &Places,
    listener: TcpListener,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<Server> {
    let address = listener.local_addr().context("ask for the listener's address")?;
    let endpoint = format!("http://{}", checks::reachable(address));
    let root_key = own_key(settings, places)?;
    let realm = realm(settings);
    let store = open_store(places, &realm, &clock)?;
    let registry = open_registry(settings, places, &clock)?;
    let logs = open_logs(settings, places, &clock)?;
    let metrics = open_metrics(settings, places, &clock)?;
    start_watching(&realm, (&store, &metrics), &clock, &shutdown);
    let vault = open_vault(settings, places, &clock)?;
    let bus = events::open(places, (&store, &logs, &metrics), &clock, settings.history_days)?;
    keep_tidy((&registry, &logs, &vault), &clock, &shutdown);
    let ecr_token = Arc::new(EcrToken::new(root_key.secret()));
    let sessions = Arc::new(SessionMint::new(root_key.secret()));
    let mint = Arc::new(TaskMint { store: store.clone(), sessions: sessions.clone() });
    let sink = Arc::new(Sink(metrics.clone()));
    let until = (Keep::days(settings.history_days), shutdown.clone());
    let (time, chance) = (clock.clone(), Box::new(OsEntropy));
    let (sockets, agents) =
        control::start_keeping(store.clone(), time, chance, mint, sink, until).await?;
    provide_nodes(settings, places, &endpoint, &root_key, (&store, &shutdown))?;
    let exec = Exec::new(Arc::new(Reach(agents)), shutdown.clone());
    let objects = open_objects(places, &clock)?;
    let (balancing, balanced) = balancing::start(balancing::Parts {
        place: &settings.balancers,
        root_key: &root_key,
        store: store.clone(),
        certificates: Arc::new(balancing::Kept(vault.clone())),
        metrics: metrics.clone(),
        objects: objects.clone(),
        clock: clock.clone(),
        shutdown: shutdown.clone(),
    })?;
    let door = Door::new(DoorConfig {
        realm,
        store: store.clone(),
        registry: registry.clone(),
        logs: logs.clone(),
        bus: bus.bus.clone(),
        telemetry: metrics.clone(),
        vault: vault.clone(),
        objects,
        keys: Arc::new(SessionStore::new(root_key.store(&settings.account), sessions.clone())),
        sessions: sessions.clone(),
        ecr_token: ecr_token.clone(),
        clock: clock.clone(),
        exec: exec.clone(),
        endpoints: Endpoints::under(&endpoint),
        balancing,
        version: env!("CARGO_PKG_VERSION"),
    });
    let parts = events::Parts {
        door: door.clone(),
        store: store.clone(),
        logs,
        vault,
        clock: clock.clone(),
        shutdown: shutdown.clone(),
    };
    events::start(bus, parts)?;
    let passwords =
        Passwords { tokens: ecr_token, door: door.clone(), store: store.clone(), clock };
    let ready = Ready::default();
    let routes = routes(door, sockets, registry, passwords, &ready);
    // Before anybody is answered: who sees it ready may look for this at once.
    tell_tools(settings, places, &endpoint)?;
    let serving = serve(listener, routes, shutdown)?;
    let served = tokio::spawn(finish(serving, balanced, exec, metrics));
    Ok(Server { endpoint, root_key, store, ready, served })
}

/// Whose resources these are.
fn realm(settings: &Settings) -> Realm {
    let (region, account) = (settings.region.clone(), settings.account.clone());
    Realm { vpc: settings.vpc, ..Realm::new(region, account) }
}

/// What forgets what is not kept any longer.
fn keep_tidy(
    (registry, logs, vault): (&Arc<Registry>, &Arc<Logs>, &Vault),
    clock: &Arc<dyn Clock>,
    shutdown: &Shutdown,
) {
    tokio::spawn(registry.clone().maintain(shutdown.clone()));
    tokio::spawn(sweep(logs.clone(), clock.clone(), shutdown.clone()));
    tokio::spawn(forget(vault.clone(), shutdown.clone()));
}

/// The key that is given, else the data folder's own.
fn own_key(settings: &Settings, places: &Places) -> Result<RootKey> {
    match &settings.root_key {
        Some(key) => Ok(key.clone()),
        None => Ok(RootKey::load_or_create(&places.data, &mut OsEntropy)?),
    }
}

/// What looks at measurements and at the state for others: scaling, deployments, ways to tasks, alarms.
fn start_watching(
    realm: &Realm,
    (store, metrics): (&Store, &Metrics),
    clock: &Arc<dyn Clock>,
    shutdown: &Shutdown,
) {
    crate::scaling::start(realm, store, metrics, clock, shutdown);
    crate::deployments::start(store, metrics, shutdown);
    crate::ways::start(store, shutdown);
    tokio::spawn(telemetry::metrics::alarm::watch(metrics.clone(), shutdown.clone()));
}

/// Tells tools on this machine where the server is.
fn tell_tools(settings: &Settings, places: &Places, endpoint: &str) -> Result<()> {
    let profile = Profile {
        endpoint: endpoint.to_owned(),
        region: settings.region.clone(),
        account: settings.account.clone(),
        process: std::process::id(),
    };
    profile.save(&places.data).context("tell tools on this machine where the server is")
}

/// Adds and takes away nodes as groups of them grow and shrink.
fn provide_nodes(
    settings: &Settings,
    places: &Places,
    endpoint: &str,
    root_key: &RootKey,
    (store, shutdown): (&Store, &Shutdown),
) -> Result<()> {
    let server = nodes::Server {
        endpoint: endpoint.to_owned(),
        region: settings.region.clone(),
        credentials: root_key.credentials(),
    };
    let nodes = settings.nodes.provider(places, server)?;
    tokio::spawn(control::capacity::run(store.clone(), nodes, shutdown.clone()));
    Ok(())
}

/// Everything that is answered on the one port.
fn routes(
    door: Door,
    sockets: Router,
    registry: Arc<Registry>,
    passwords: Passwords,
    ready: &Ready,
) -> Router {
    let routes = Router::new()
        .merge(api::router(door.clone()))
        .merge(api::guard(door.clone(), sockets))
        .merge(registry::router(registry, Arc::new(passwords)));
    let routes = api::storage(door, routes);
    routes.layer(middleware::from_fn_with_state(ready.clone(), not_yet))
}

/// Serves to the end, and then waits for what is not over with the last request.
async fn finish(
    serving: impl Future<Output = std::io::Result<()>>,
    balanced: JoinHandle<()>,
    exec: Exec,
    metrics: Metrics,
) -> std::io::Result<()> {
    let (served, finished) = tokio::join!(serving, balanced);
    if let Err(error) = finished {
        tracing::error!(%error, "The load balancers did not end in order.");
    }
    // Sessions of ExecuteCommand are no requests any more, and have a log to finish.
    exec.drained().await;
    // What was measured in the last half minute is in memory alone.
    if let Err(error) = metrics.flush().await {
        tracing::error!(error = %stdx::chain(&error), "The newest measurements are lost.");
    }
    served
}

fn open_store(places: &Places, realm: &Realm, clock: &Arc<dyn Clock>) -> Result<Store> {
    let path = places.data.join("state.redb");
    let engine = RedbEngine::open(&path).with_context(|| format!("open {}", path.display()))?;
    let chance = Box::new(EntropyPool::default());
    Store::open(Box::new(engine), realm.clone(), clock.clone(), chance)
        .with_context(|| format!("load the state of {}", places.data.display()))
}

/// Sessions of ExecuteCommand go to agents by the sockets that they hold.
#[derive(Debug)]
struct Reach(control::Agents);

impl api::Reach for Reach {
    fn execute(&self, instance: &InstanceKey, message: ExecuteCommandMessage) -> bool {
        self.0.execute(instance, message)
    }
}

fn open_registry(
    settings: &Settings,
    places: &Places,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<Registry>> {
    Registry::open(RegistryConfig {
        dir: places.folder("registry")?,
        account: settings.account.clone(),
        region: settings.region.clone(),
        create_on_push: settings.create_on_push,
        clock: clock.clone(),
    })
    .context("open the registry")
}

fn open_logs(settings: &Settings, places: &Places, clock: &Arc<dyn Clock>) -> Result<Arc<Logs>> {
    let config = LogsConfig::new(
        places.folder("logs")?,
        settings.account.clone(),
        settings.region.clone(),
        clock.clone(),
    );
    Ok(Arc::new(Logs::open(config).context("open the logs")?))
}

fn open_metrics(settings: &Settings, places: &Places, clock: &Arc<dyn Clock>) -> Result<Metrics> {
    let config = MetricsConfig::new(
        places.folder("metrics")?,
        settings.account.clone(),
        settings.region.clone(),
        clock.clone(),
    );
    Metrics::open(config).context("open the metrics")
}

fn open_objects(places: &Places, clock: &Arc<dyn Clock>) -> Result<Objects> {
    let config = ObjectsConfig::new(places.folder("objects")?, clock.clone());
    Objects::open(config).context("open the store of buckets and objects")
}

fn open_vault(settings: &Settings, places: &Places, clock: &Arc<dyn Clock>) -> Result<Vault> {
    let config = VaultConfig::new(
        places.folder("vault")?,
        settings.account.clone(),
        settings.region.clone(),
        clock.clone(),
    );
    Vault::open(config).context("open the vault of secrets and parameters")
}

/// Whether `/readyz` may say so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ready(Arc<AtomicBool>);

impl Ready {
    /// From now on.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Until all stands, `/readyz` says what is missing; everything else is answered.
async fn not_yet(State(ready): State<Ready>, request: Request, next: Next) -> Response {
    if request.uri().path() == "/readyz" && !ready.0.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting: the node has not joined yet\n")
            .into_response();
    }
    next.run(request).await
}

/// Lets ECR's user in with a password that ECR gave, as long as who asked for it may ask still, and to
/// what that one may do.
struct Passwords {
    tokens: Arc<EcrToken>,
    door: Door,
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Authorizer for Passwords {
    fn check(&self, username: &str, password: &str) -> Result<(), String> {
        if username != "AWS" {
            return Err(format!("the user is AWS, not {username:?}"));
        }
        let identity = self.identity(password)?;
        match identity.role.map(|session| api::standing(&self.store.snapshot(), &session)) {
            None | Some(Standing::Good) => Ok(()),
            Some(Standing::RoleGone) => Err("the role that asked for it is deleted".to_owned()),
            Some(Standing::TaskOver) => Err("the task that asked for it is over".to_owned()),
        }
    }

    fn permit(&self, password: &str, action: &str, repository: &str) -> Result<(), String> {
        self.door.may_use_repository(&self.identity(password)?, action, repository)
    }
}

impl Passwords {
    fn identity(&self, password: &str) -> Result<Identity, String> {
        self.tokens.verify(password, self.clock.now()).map_err(|error| error.message())
    }
}

/// Serves until shutdown, then finishes what has begun.
fn serve(
    listener: TcpListener,
    routes: Router,
    shutdown: Shutdown,
) -> Result<impl Future<Output = std::io::Result<()>> + Send + 'static> {
    listener.set_nonblocking(true).context("prepare the listener")?;
    let listener = tokio::net::TcpListener::from_std(listener).context("prepare the listener")?;
    // Answers are small and somebody waits for each.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "A connection stays with delayed sending.");
        }
    });
    Ok(async move {
        let mut stop = shutdown.clone();
        // Policies may ask from which address a request comes.
        let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, routes)
            .with_graceful_shutdown(async move { stop.wait().await })
            .into_future();
        let mut stop = shutdown;
        let patience = async move {
            stop.wait().await;
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            result = serving => result,
            () = patience => {
                tracing::warn!("Some requests did not end in time and were dropped.");
                Ok(())
            }
        }
    })
}

/// Removes log events whose time is over, now and then.
async fn sweep(logs: Arc<Logs>, clock: Arc<dyn Clock>, mut shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
        match logs.sweep(clock.now()).await {
            Ok(report) => tracing::debug!(?report, "Old log events were removed."),
            Err(error) => {
                tracing::warn!(error = %stdx::chain(&error), "Old log events could not be removed.");
            }
        }
    }
}

/// Takes away deleted secrets whose time to be restored is over, now and then.
async fn forget(vault: Vault, mut shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
        match vault.sweep().await {
            Ok(secrets) => tracing::debug!(secrets, "Deleted secrets were taken away."),
            Err(error) => {
                tracing::warn!(error = %stdx::chain(&error), "Deleted secrets are still there.");
            }
        }
    }
}
