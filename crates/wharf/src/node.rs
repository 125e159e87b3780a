//! The node put together: engine, images, network and agent. It speaks to its server through the
//! server's port, also when both are one process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent::task::Limits;
use agent::{Agent, AgentConfig, Door, ObjectError, PullBehavior, SignError, Signer};
use anyhow::{Context, Result};
use auth::{Credentials, Outgoing, Scope, sign};
use aws::agent::acs::RoleCredentials;
use aws::{Protocol, ServiceFacts, Transport, TransportError};
use cli::{Connection, HttpTransport};
use net::{Network, NetworkConfig};
use runtime::image::ImageStore;
use runtime::{Embedded, EmbeddedConfig, Runtime};
use shell::{Clock, Shutdown, SystemClock};
use stdx::Timestamp;

use crate::checks;
use crate::places::Places;

/// Sandboxes that are kept ready in advance.
const WARM_SLOTS: usize = 4;
/// MiB that the node itself needs, at least.
const OWN_MEMORY: u32 = 128;

/// Joins this machine to a server
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  eval \"$(ssh server sudo wharf env)\" && sudo -E wharf agent --cluster default\n\nThe server's URL, the keys and the region are taken from AWS_ENDPOINT_URL,\nAWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION."
)]
pub(crate) struct AgentArgs {
    /// Folder of everything durable; not the server's
    #[arg(
        long,
        value_name = "DIR",
        env = "WHARF_DATA_DIR",
        default_value = "/var/lib/wharf-agent"
    )]
    pub(crate) data_dir: PathBuf,
    /// The server's URL
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL")]
    pub(crate) server: String,
    /// The cluster to join, by name or ARN
    #[arg(long, value_name = "NAME", env = "ECS_CLUSTER", default_value = "default")]
    pub(crate) cluster: String,
    /// Attributes of the instance, such as rack=12; may be given several times
    #[arg(long = "attribute", value_name = "NAME[=VALUE]")]
    pub(crate) attributes: Vec<String>,
    /// Network of the containers on this machine
    #[arg(long, value_name = "CIDR", env = "WHARF_SUBNET", default_value = "auto")]
    pub(crate) subnet: String,
    /// What is logged, such as `info` or `warn,agent=debug`
    #[arg(long, value_name = "FILTER", env = "WHARF_LOG", default_value = "info")]
    pub(crate) log: String,
}

/// What a node needs to know.
#[derive(Clone, Debug)]
pub(crate) struct NodeSettings {
    pub(crate) connection: Connection,
    pub(crate) cluster: String,
    pub(crate) attributes: Vec<(String, Option<String>)>,
    pub(crate) subnet: String,
    /// The port that containers must not reach on this machine.
    pub(crate) api_port: Option<u16>,
}

/// Opens the node and joins.
pub(crate) async fn start(
    settings: NodeSettings,
    places: &Places,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<Agent> {
    places.make_run()?;
    // Beside each other: both wait for the kernel most of the time.
    let network = network(places, &settings.subnet, settings.api_port);
    let network = tokio::spawn(async move { Network::open(network).await });
    let runtime = engine(places, &clock, WARM_SLOTS).await?;
    let network = network.await.context("set up the network of the containers")?;
    let network = network.context("set up the network of the containers")?;
    let transport = HttpTransport::new(settings.connection.clone(), clock.clone())
        .context("make an HTTP client")?;
    let transport = NodeDoor(transport);
    let config = config(settings, places, clock)?;
    Agent::start(config, runtime, Arc::new(network), transport, shutdown)
        .await
        .context("start the agent")
}

/// Stops every task of a data folder whose agent is not running; tells how many there were.
pub(crate) async fn stop_all(places: &Places, grace: Duration) -> Result<usize> {
    places.make_run()?;
    let runtime = engine(places, &SystemClock::shared(), 0).await?;
    let network = Network::open(network(places, "auto", None))
        .await
        .context("open the network of the containers")?;
    agent::teardown(&places.data.join("agent"), runtime, Arc::new(network), grace)
        .await
        .context("stop the tasks")
}

async fn engine(
    places: &Places,
    clock: &Arc<dyn Clock>,
    warm_slots: usize,
) -> Result<Arc<dyn Runtime>> {
    let images = ImageStore::open(places.folder("images")?, clock.clone())
        .context("open the images of this machine")?;
    let runtime = Embedded::open(EmbeddedConfig {
        state_dir: places.folder("containers")?,
        run_dir: places.run(),
        cgroup_parent: places.cgroup(),
        clock: clock.clone(),
        images: Arc::new(images),
        helper_exe: None,
        warm_slots,
    })
    .await
    .context("open the container engine")?;
    Ok(Arc::new(runtime))
}

/// The network of a data folder.
pub(crate) fn network(places: &Places, subnet: &str, api_port: Option<u16>) -> NetworkConfig {
    NetworkConfig {
        bridge: places.bridge(),
        subnet: subnet.to_owned(),
        table: places.table(),
        port_range: net::ephemeral_ports(),
        state_dir: places.run().join("net"),
        blocked_ports: api_port.into_iter().collect(),
        other_bridges: Vec::new(),
        block_instance_metadata: false,
    }
}

fn config(settings: NodeSettings, places: &Places, clock: Arc<dyn Clock>) -> Result<AgentConfig> {
    let (cores, memory) = checks::machine();
    let Connection { endpoint, region, credentials } = settings.connection;
    Ok(AgentConfig {
        endpoint,
        region: region.clone(),
        cluster: settings.cluster,
        data_dir: places.folder("agent")?,
        attributes: settings.attributes,
        reserved_ports: std::iter::once(22).chain(settings.api_port).collect(),
        reserved_ports_udp: Vec::new(),
        cpu: cores.saturating_mul(1024),
        memory: memory.saturating_sub(OWN_MEMORY.max(memory / 64)),
        stop_timeout: Duration::from_secs(30),
        pull: PullBehavior::Default,
        external: false,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hash: "wharf".to_owned(),
        runtime_version: concat!("wharf ", env!("CARGO_PKG_VERSION")).to_owned(),
        limits: Limits {
            log_drain: Duration::from_secs(30),
            remember: Duration::from_secs(3 * 3600),
        },
        clock,
        signer: Arc::new(NodeSigner { credentials, scope: Scope::new(region, "ecs") }),
    })
}

/// The agent's way to the server.
#[derive(Clone, Debug)]
struct NodeDoor(HttpTransport);

impl Transport for NodeDoor {
    async fn call(
        &self,
        service: &'static ServiceFacts,
        operation: &'static str,
        body: Vec<u8>,
        content: Protocol,
    ) -> Result<(u16, Vec<u8>), TransportError> {
        self.0.call(service, operation, body, content).await
    }
}

impl Door for NodeDoor {
    fn with(&self, role: &RoleCredentials) -> Self {
        Self(self.0.with(Credentials {
            access_key_id: role.access_key_id.clone(),
            secret: role.secret_access_key.clone().into(),
            session_token: Some(role.session_token.clone().into()),
        }))
    }

    async fn object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, ObjectError> {
        let (status, body) = self.0.object(&object_path(bucket, key)).await?;
        if status == 200 { Ok(body) } else { Err(ObjectError::from_answer(status, &body)) }
    }
}

/// An object's path, with everything but slashes and unreserved characters percent-encoded.
fn object_path(bucket: &str, key: &str) -> String {
    let mut path = String::new();
    for byte in format!("/{bucket}/{key}").bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

/// Signs websocket handshakes and telemetry frames as the node.
#[derive(Debug)]
struct NodeSigner {
    credentials: Credentials,
    scope: Scope,
}

impl Signer for NodeSigner {
    fn sign(
        &self,
        url: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Vec<(String, String)>, SignError> {
        let mut request = Outgoing::to("GET", url)
            .map_err(|error| SignError { url: url.to_owned(), why: error.to_string() })?;
        sign(&mut request, body, &self.credentials, &self.scope, now);
        Ok(request.headers)
    }
}

/// Reads `name=value` and `name`.
pub(crate) fn attribute(text: &str) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    }
}
