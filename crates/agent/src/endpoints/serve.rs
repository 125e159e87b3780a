//! The endpoints at work: their listeners, and the packet filter told where they are.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use net::{InsidePorts, NetError};
use runtime::Runtime;
use shell::{Clock, Shutdown};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::answer::{self, Answering};
use super::directory::Directory;
use super::listen::{Door, Listening, Origin};
use super::server::Server;
use super::stats::Machine;
use crate::networking::Networking;

/// What the endpoints need of the node.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// Tells what containers use.
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Brings requests here, and tells what passed the tasks' interfaces.
    pub(crate) networking: Arc<dyn Networking>,
    /// Asked for tags and protection.
    pub(crate) server: Arc<dyn Server>,
    /// Tells the time.
    pub(crate) clock: Arc<dyn Clock>,
}

/// Why the endpoints do not start.
#[derive(Debug, thiserror::Error)]
pub enum EndpointsError {
    /// No port to listen at.
    #[error("listen for tasks' requests at {address}")]
    Listen {
        /// The address.
        address: Ipv4Addr,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The packet filter cannot be told.
    #[error("lead 169.254.170.2 to the endpoints of this node")]
    Network(#[source] NetError),
}

/// The endpoints of a node, until dropped or told to shut down.
pub(crate) struct Endpoints {
    answering: Arc<Answering>,
    /// Ended when dropped.
    _serving: JoinSet<()>,
}

impl Endpoints {
    /// Listens, and has the packet filter lead 169.254.170.2 here: containers of the bridge to one
    /// listener, processes of the machine itself to another.
    ///
    /// # Errors
    /// Nothing can be listened at, or the packet filter cannot be changed.
    pub(crate) async fn start(
        around: Surroundings,
        directory: Arc<Directory>,
        shutdown: Shutdown,
    ) -> Result<Self, EndpointsError> {
        let networking = Arc::clone(&around.networking);
        let machine = bind(Ipv4Addr::LOCALHOST).await?;
        let bridge = match networking.gateway() {
            Some(gateway) => Some(bind(gateway).await?),
            None => None,
        };
        let answering = Arc::new(Answering::new(around, directory, Machine::this()));
        let mut serving = JoinSet::new();
        let ports = InsidePorts {
            machine: port(&machine)?,
            bridge: bridge.as_ref().map(port).transpose()?,
        };
        serving.spawn(serve(Door::Machine, machine, Arc::clone(&answering), shutdown.clone()));
        if let Some(bridge) = bridge {
            serving.spawn(serve(Door::Containers, bridge, Arc::clone(&answering), shutdown));
        }
        networking.lead_inside(ports).await.map_err(EndpointsError::Network)?;
        Ok(Self { answering, _serving: serving })
    }

    /// Tells which container instance the node is, whose tags `taskWithTags` has.
    pub(crate) fn instance(&self, arn: &str) {
        self.answering.instance(arn);
    }
}

async fn bind(address: Ipv4Addr) -> Result<TcpListener, EndpointsError> {
    TcpListener::bind((address, 0))
        .await
        .map_err(|source| EndpointsError::Listen { address, source })
}

fn port(listener: &TcpListener) -> Result<u16, EndpointsError> {
    let address = listener
        .local_addr()
        .map_err(|source| EndpointsError::Listen { address: Ipv4Addr::UNSPECIFIED, source })?;
    Ok(address.port())
}

async fn serve(door: Door, listener: TcpListener, answering: Arc<Answering>, mut stop: Shutdown) {
    let service = answer::router(answering).into_make_service_with_connect_info::<Origin>();
    let serving = axum::serve(Listening::new(door, listener), service);
    tokio::select! {
        ended = async { serving.await } => {
            if let Err(error) = ended {
                tracing::error!(?door, %error, "The endpoints of tasks have stopped.");
            }
        }
        () = stop.wait() => {}
    }
}

/// The container instance's ARN, once the node has joined.
pub(super) type Instance = Mutex<Option<String>>;
