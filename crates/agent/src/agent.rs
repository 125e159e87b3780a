//! Starting the agent.

use std::sync::Arc;

use runtime::{Runtime, RuntimeError};
use shell::Shutdown;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::awslogs::unsent;
use crate::board::Board;
use crate::calls::{Calls, Clients, Door};
use crate::capabilities;
use crate::cleanup::{self, Tracked};
use crate::config::AgentConfig;
use crate::endpoints::{Directory, Endpoints, EndpointsError, Surroundings};
use crate::images::{Images, Registry};
use crate::networking::Networking;
use crate::node::Node;
use crate::pull::Puller;
use crate::record::Recorder;
use crate::registration::{JoinError, join};
use crate::reports::Reports;
use crate::roles::Roles;
use crate::session::{Link, keep_acs, keep_tcs};
use crate::worker::Context;

/// The folder of the agent's records in its data folder.
pub(crate) const RECORDS: &str = "records";

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    instance: watch::Receiver<Option<String>>,
    running: JoinSet<Result<(), JoinError>>,
    recorder: Recorder,
    puller: Puller,
}

/// Why the agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its data folder cannot be used.
    #[error("keep the agent's records in {path}")]
    Records {
        /// The folder.
        path: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The runtime does not tell what runs.
    #[error("find the tasks that run on this node")]
    Runtime(#[source] RuntimeError),
    /// The runtime's events are taken already.
    #[error("the runtime serves another agent in this process already")]
    Events,
    /// Tasks would not find their endpoints.
    #[error("serve tasks at 169.254.170.2")]
    Endpoints(#[source] EndpointsError),
}

impl Agent {
    /// Finds again what runs on this node, and begins to join the cluster. What runs is watched over
    /// and reported whether or not the server can be reached.
    ///
    /// # Errors
    /// The data folder or the runtime cannot be used.
    pub async fn start<T: Door + 'static>(
        config: AgentConfig,
        runtime: Arc<dyn Runtime>,
        networking: Arc<dyn Networking>,
        transport: T,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        let folder = config.data_dir.join(RECORDS);
        let recorder = Recorder::start(&folder)
            .map_err(|source| StartError::Records { path: folder.display().to_string(), source })?;
        let events = runtime.take_events().ok_or(StartError::Events)?;
        let clients = Arc::new(Clients::new(transport));
        let calls: Arc<dyn Calls> = Arc::clone(&clients) as Arc<dyn Calls>;
        let (reached, reached_again) = watch::channel(0);
        let registry = Registry::new(&config.endpoint, &config.region, config.pull);
        let directory = Directory::open(&config.data_dir).map_err(|source| {
            StartError::Records { path: config.data_dir.display().to_string(), source }
        })?;
        let directory = Arc::new(directory);
        let around = Surroundings {
            runtime: Arc::clone(&runtime),
            networking: Arc::clone(&networking),
            server: clients,
            clock: Arc::clone(&config.clock),
        };
        let endpoints = Endpoints::start(around, Arc::clone(&directory), shutdown.clone())
            .await
            .map_err(StartError::Endpoints)?;
        let mut facts = config.node_facts();
        facts.log_drivers = runtime.log_drivers();
        facts.volume_drivers = runtime.volume_drivers().await;
        facts.runtime_networks = runtime.owns_network();
        facts.gpus.by_runtime = runtime.takes_gpus();
        let context = Arc::new(Context {
            cluster: config.cluster.clone(),
            limits: config.limits,
            clock: Arc::clone(&config.clock),
            runtime,
            networking,
            images: Images::new(registry, Arc::clone(&calls), Arc::clone(&config.clock)),
            reports: Reports::new(Arc::clone(&calls), reached_again),
            roles: Roles::new(Arc::clone(&directory)),
            directory,
            tracked: Tracked::open(recorder.clone()),
            calls,
            recorder: recorder.clone(),
            board: Board::default(),
            shutdown: shutdown.clone(),
        });
        let puller = Puller::new(Arc::clone(&context));
        let mut running = JoinSet::new();
        tidy_up(&config, &context, &mut running);
        let can = capabilities::of(&facts, capabilities::apparmor());
        let node = Node::new(context, facts);
        node.recover().await.map_err(StartError::Runtime)?;
        let (joined, instance) = watch::channel(None);
        let passing = Arc::clone(&node).pass_on(events);
        let mut stop = shutdown.clone();
        running.spawn(async move {
            tokio::select! {
                () = passing => {}
                () = stop.wait() => {}
            }
            Ok(())
        });
        let known = instance.clone();
        running.spawn(serve_tasks(endpoints, known, shutdown.clone()));
        running.spawn(connect(config, can, node, joined, reached, shutdown));
        Ok(Self { instance, running, recorder, puller })
    }

    /// Pulls images as this node's tasks do.
    pub fn puller(&self) -> Puller {
        self.puller.clone()
    }

    /// The ARN of the container instance that this node is, once the server has answered; none if
    /// the agent ends before.
    pub async fn joined(&self) -> Option<String> {
        let mut instance = self.instance.clone();
        let arn = instance.wait_for(Option::is_some).await.ok()?;
        arn.clone()
    }

    /// Resolves when the agent has gone down in order; containers run on.
    ///
    /// # Errors
    /// The server does not let the node join.
    pub async fn ended(mut self) -> Result<(), JoinError> {
        let mut result = Ok(());
        while let Some(ended) = self.running.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    result = Err(error);
                    break;
                }
                Err(error) => tracing::error!(%error, "A part of the agent has died."),
            }
        }
        self.recorder.flushed().await;
        result
    }
}

/// Begins what goes on beside the tasks: sending what an earlier life has left, removing images that
/// nobody needs.
fn tidy_up(
    config: &AgentConfig,
    context: &Arc<Context>,
    running: &mut JoinSet<Result<(), JoinError>>,
) {
    let sending = unsent::send(
        config.data_dir.clone(),
        Arc::clone(&context.calls),
        context.recorder.clone(),
        context.shutdown.clone(),
    );
    let cleaning = cleanup::keep(
        config.clean_up(),
        config.data_dir.clone(),
        Arc::clone(context),
        context.shutdown.clone(),
    );
    running.spawn(async move {
        tokio::join!(sending, cleaning);
        Ok(())
    });
}

/// Keeps the endpoints of tasks open, and tells them which instance the node is.
async fn serve_tasks(
    endpoints: Endpoints,
    mut instance: watch::Receiver<Option<String>>,
    mut shutdown: Shutdown,
) -> Result<(), JoinError> {
    tokio::select! {
        Ok(arn) = instance.wait_for(Option::is_some) => {
            if let Some(arn) = arn.as_deref() {
                endpoints.instance(arn);
            }
        }
        () = shutdown.wait() => return Ok(()),
    }
    shutdown.wait().await;
    Ok(())
}

/// Joins, and keeps both sessions open.
async fn connect(
    config: AgentConfig,
    can: Vec<String>,
    node: Arc<Node>,
    joined: watch::Sender<Option<String>>,
    reached: watch::Sender<u64>,
    mut shutdown: Shutdown,
) -> Result<(), JoinError> {
    let context = node.context();
    let instance = tokio::select! {
        instance = join(&config, &can, context.calls.as_ref(), &context.recorder) => instance?,
        () = shutdown.wait() => return Ok(()),
    };
    tracing::info!(
        instance = instance.arn,
        cluster = config.cluster,
        "This node has joined the cluster."
    );
    reached.send_modify(|n| *n = n.wrapping_add(1));
    joined.send_replace(Some(instance.arn.clone()));
    let link = Arc::new(Link::new(config, instance, node, reached));
    tokio::join!(
        keep_acs(Arc::clone(&link), shutdown.clone()),
        keep_tcs(Arc::clone(&link), shutdown),
        link.node.context().images.warm(),
    );
    Ok(())
}
