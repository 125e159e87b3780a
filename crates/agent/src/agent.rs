//! Starting the agent.

use std::sync::Arc;

use aws::Transport;
use runtime::{Runtime, RuntimeError};
use shell::Shutdown;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::board::Board;
use crate::calls::{Calls, Clients};
use crate::config::AgentConfig;
use crate::images::{Images, Registry};
use crate::networking::Networking;
use crate::node::Node;
use crate::record::Recorder;
use crate::registration::{JoinError, join};
use crate::reports::Reports;
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
}

impl Agent {
    /// Finds again what runs on this node, and begins to join the cluster. What runs is watched over
    /// and reported whether or not the server can be reached.
    ///
    /// # Errors
    /// The data folder or the runtime cannot be used.
    pub async fn start<T: Transport + 'static>(
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
        let calls: Arc<dyn Calls> = Arc::new(Clients::new(transport));
        let (reached, reached_again) = watch::channel(0);
        let registry = Registry::new(&config.endpoint, &config.region, config.pull);
        let context = Arc::new(Context {
            cluster: config.cluster.clone(),
            limits: config.limits,
            clock: Arc::clone(&config.clock),
            runtime,
            networking,
            images: Images::new(registry, Arc::clone(&calls), Arc::clone(&config.clock)),
            reports: Reports::new(Arc::clone(&calls), reached_again),
            calls,
            recorder: recorder.clone(),
            board: Board::default(),
            shutdown: shutdown.clone(),
        });
        let node = Node::new(context, config.node_facts());
        node.recover().await.map_err(StartError::Runtime)?;
        let (joined, instance) = watch::channel(None);
        let mut running = JoinSet::new();
        let passing = Arc::clone(&node).pass_on(events);
        let mut stop = shutdown.clone();
        running.spawn(async move {
            tokio::select! {
                () = passing => {}
                () = stop.wait() => {}
            }
            Ok(())
        });
        running.spawn(connect(config, node, joined, reached, shutdown));
        Ok(Self { instance, running, recorder })
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

/// Joins, and keeps both sessions open.
async fn connect(
    config: AgentConfig,
    node: Arc<Node>,
    joined: watch::Sender<Option<String>>,
    reached: watch::Sender<u64>,
    mut shutdown: Shutdown,
) -> Result<(), JoinError> {
    let context = node.context();
    let instance = tokio::select! {
        instance = join(&config, context.calls.as_ref(), &context.recorder) => instance?,
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
