//! The node put together: engine, images, network and agent. It speaks to its server through the
//! server's port, also when both are one process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent::task::Limits;
use agent::{Agent, AgentConfig, Door, ObjectError, PullBehavior, SignError, Signer};
use anyhow::{Context, Result, bail};
use auth::{Credentials, Outgoing, Scope, sign};
use aws::agent::acs::RoleCredentials;
use aws::{Protocol, ServiceFacts, Transport, TransportError};
use cli::{Connection, HttpTransport};
use net::{Network, NetworkConfig};
use runtime::image::ImageStore;
use runtime::{Docker, DockerConfig, Embedded, EmbeddedConfig, Runtime, UserNamespaces};
use shell::{Clock, Shutdown, SystemClock};
use stdx::Timestamp;

use crate::checks;
use crate::node_options::{Fargate, NodeOptions};
use crate::places::Places;

/// MiB that the node itself needs, at least.
const OWN_MEMORY: u32 = 128;

/// What runs containers on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RuntimeKind {
    /// Wharf itself.
    #[default]
    Embedded,
    /// Docker Engine.
    Docker,
}

/// Where Docker Engine listens unless told otherwise.
pub(crate) const DOCKER_HOST: &str = "unix:///var/run/docker.sock";
/// Where Docker Engine puts containers in network mode `bridge`.
const DOCKER_BRIDGE: &str = "docker0";

/// What runs containers, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuntimeChoice {
    pub(crate) kind: RuntimeKind,
    pub(crate) docker_host: String,
}

impl Default for RuntimeChoice {
    fn default() -> Self {
        Self { kind: RuntimeKind::default(), docker_host: DOCKER_HOST.to_owned() }
    }
}

impl std::fmt::Display for RuntimeChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            RuntimeKind::Embedded => f.write_str("--runtime embedded"),
            RuntimeKind::Docker => write!(f, "--runtime docker at {}", self.docker_host),
        }
    }
}

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
    /// Tags of the instance, such as team=blue; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    pub(crate) tags: Vec<(String, String)>,
    /// Network of the containers on this machine
    #[arg(long, value_name = "CIDR", env = "WHARF_SUBNET", default_value = "auto")]
    pub(crate) subnet: String,
    /// What runs containers: Wharf itself, or Docker Engine
    #[arg(
        long,
        value_enum,
        value_name = "KIND",
        env = "WHARF_RUNTIME",
        default_value = "embedded"
    )]
    pub(crate) runtime: RuntimeKind,
    /// Where Docker Engine listens, for --runtime docker
    #[arg(long, value_name = "URL", env = "WHARF_DOCKER_HOST", default_value = DOCKER_HOST)]
    pub(crate) docker_host: String,
    /// The id that whoever started this machine gave it; it is shown as its EC2 instance id
    #[arg(long, value_name = "ID", env = "WHARF_INSTANCE_ID")]
    pub(crate) instance_id: Option<String>,
    /// What tasks may have of this machine, instead of all: CPU units (1024 to a core) and MiB
    #[arg(long, value_name = "CPU:MEMORY", env = "WHARF_OFFER", value_parser = offer)]
    pub(crate) offer: Option<(u32, u32)>,
    /// What is logged, such as `info` or `warn,agent=debug`
    #[arg(long, value_name = "FILTER", env = "WHARF_LOG", default_value = "info")]
    pub(crate) log: String,
    #[command(flatten)]
    pub(crate) options: NodeOptions,
}

/// What a node needs to know.
#[derive(Clone, Debug)]
pub(crate) struct NodeSettings {
    pub(crate) connection: Connection,
    pub(crate) cluster: String,
    pub(crate) attributes: Vec<(String, Option<String>)>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) subnet: String,
    pub(crate) runtime: RuntimeChoice,
    /// The id that whoever started this machine gave it.
    pub(crate) instance_id: Option<String>,
    /// CPU units and MiB that tasks may have, unless all that the machine has.
    pub(crate) offer: Option<(u32, u32)>,
    /// The port that containers must not reach on this machine.
    pub(crate) api_port: Option<u16>,
    /// What its life of images and tasks is set by.
    pub(crate) options: NodeOptions,
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
    let mut network = network(places, &settings.subnet, settings.api_port);
    network.block_instance_metadata = settings.options.block_instance_metadata;
    if settings.runtime.kind == RuntimeKind::Docker {
        network.other_bridges.push(DOCKER_BRIDGE.to_owned());
    }
    let network = tokio::spawn(async move { Network::open(network).await });
    choose(&settings.runtime, places)?;
    let NodeOptions { warm_slots, ref oci_runtime, .. } = settings.options;
    let wanted = Wanted {
        warm_slots: usize::from(warm_slots),
        oci_runtime: oci_runtime.clone(),
        users: settings.options.users().context("read --userns-range")?,
    };
    let Engine { runtime, version, hardened } =
        engine(&settings.runtime, places, &clock, wanted).await?;
    let fargate = takes_fargate(settings.options.fargate(), hardened)?;
    let network = network.await.context("set up the network of the containers")?;
    let network = network.context("set up the network of the containers")?;
    let transport = HttpTransport::new(settings.connection.clone(), clock.clone())
        .context("make an HTTP client")?;
    let transport = NodeDoor(transport);
    let config = AgentConfig { fargate, ..config(settings, version, places, clock)? };
    Agent::start(config, runtime, Arc::new(network), transport, shutdown)
        .await
        .context("start the agent")
}

/// Stops every task of a data folder whose agent is not running; tells how many there were.
pub(crate) async fn stop_all(places: &Places, grace: Duration) -> Result<usize> {
    places.make_run()?;
    let clock = SystemClock::shared();
    let choice = chosen(places)?.unwrap_or_default();
    let network = Network::open(network(places, "auto", None))
        .await
        .context("open the network of the containers")?;
    let data = places.data.join("agent");
    if choice.kind == RuntimeKind::Docker {
        let docker = Arc::new(docker(&choice, places, &clock).await?);
        let runtime: Arc<dyn Runtime> = docker.clone();
        let stopped = agent::teardown(&data, runtime, Arc::new(network), grace).await;
        docker.clear().await.context("remove what is left of containers on Docker Engine")?;
        return stopped.context("stop the tasks");
    }
    let engine = engine(&choice, places, &clock, Wanted::default()).await?;
    agent::teardown(&data, engine.runtime, Arc::new(network), grace).await.context("stop the tasks")
}

/// The file that tells what ran a data folder's containers last.
fn choice_file(places: &Places) -> PathBuf {
    places.data.join("runtime")
}

/// What ran a data folder's containers last, if any did.
fn chosen(places: &Places) -> Result<Option<RuntimeChoice>> {
    let path = choice_file(places);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    Ok(Some(match text.trim().strip_prefix("docker ") {
        Some(host) => RuntimeChoice { kind: RuntimeKind::Docker, docker_host: host.to_owned() },
        None => RuntimeChoice::default(),
    }))
}

/// Keeps to the runtime that has the tasks, and writes down which that is.
fn choose(choice: &RuntimeChoice, places: &Places) -> Result<()> {
    let busy = |choice: &RuntimeChoice| {
        let folder = match choice.kind {
            RuntimeKind::Docker => places.data.join("docker"),
            RuntimeKind::Embedded => places.run(),
        };
        std::fs::read_dir(folder.join("s")).is_ok_and(|mut all| all.next().is_some())
    };
    // Where the Engine is matters only to who uses it.
    let differs = |before: &RuntimeChoice| {
        before.kind != choice.kind
            || choice.kind == RuntimeKind::Docker && before.docker_host != choice.docker_host
    };
    if let Some(before) = chosen(places)?.filter(|before| differs(before) && busy(before)) {
        let data = places.data.display();
        bail!(
            "tasks of {data} still run on {before}, which {choice} would not find again. Stop them by `wharf down --data-dir {data}`, or start with the runtime that has them."
        );
    }
    let path = choice_file(places);
    let text = match choice.kind {
        RuntimeKind::Docker => format!("docker {}\n", choice.docker_host),
        RuntimeKind::Embedded => "embedded\n".to_owned(),
    };
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

async fn docker(choice: &RuntimeChoice, places: &Places, clock: &Arc<dyn Clock>) -> Result<Docker> {
    Ok(Docker::open(DockerConfig {
        host: choice.docker_host.clone(),
        state_dir: places.folder("docker")?,
        tag: places.tag().to_owned(),
        cgroup_parent: places.cgroup(),
        clock: clock.clone(),
    })
    .await?)
}

/// What is wanted of the embedded engine.
#[derive(Debug, Default)]
struct Wanted {
    /// So many sandboxes ready.
    warm_slots: usize,
    /// Another engine for the containers.
    oci_runtime: Option<PathBuf>,
    /// A user namespace for each sandbox.
    users: Option<UserNamespaces>,
}

/// What runs containers.
struct Engine {
    runtime: Arc<dyn Runtime>,
    /// Its version as it is told to the server.
    version: String,
    /// Whether it can give tasks user namespaces of their own, else why not.
    hardened: Result<(), String>,
}

/// Whether this node takes tasks of Fargate, as it is told to and can.
fn takes_fargate(wanted: Fargate, hardened: Result<(), String>) -> Result<bool> {
    match (wanted, hardened) {
        (Fargate::Off, _) => Ok(false),
        (Fargate::Auto | Fargate::On | Fargate::Only, Ok(())) => Ok(true),
        (Fargate::Auto, Err(why)) => {
            tracing::info!(why, "This node takes no tasks of the launch type FARGATE.");
            Ok(false)
        }
        (Fargate::On | Fargate::Only, Err(why)) => bail!(
            "--fargate: tasks of the launch type FARGATE are kept in user namespaces of their own, which this machine can not give them.\n{why}"
        ),
    }
}

async fn engine(
    choice: &RuntimeChoice,
    places: &Places,
    clock: &Arc<dyn Clock>,
    Wanted { warm_slots, oci_runtime, users }: Wanted,
) -> Result<Engine> {
    if choice.kind == RuntimeKind::Docker {
        if let Some(program) = &oci_runtime {
            anyhow::bail!(
                "--oci-runtime {} is for --runtime embedded; Docker Engine has its own setting for it (default-runtime)",
                program.display()
            );
        }
        // Asked for by itself, and not for the sake of tasks of Fargate alone.
        if users.is_some_and(|users| !users.is_for_hardened()) {
            anyhow::bail!(
                "--userns is for --runtime embedded; Docker Engine has its own setting for it (userns-remap)"
            );
        }
        let docker = docker(choice, places, clock).await?;
        // In the words of the ECS agent.
        let version = format!("DockerVersion: {}", docker.version());
        let hardened = Err(
            "Docker Engine decides about user namespaces (userns-remap); use --runtime embedded"
                .to_owned(),
        );
        return Ok(Engine { runtime: Arc::new(docker), version, hardened });
    }
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
        oci_runtime,
        users,
    })
    .await
    .context("open the container engine")?;
    let hardened = runtime.hardened();
    let version = concat!("wharf ", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(Engine { runtime: Arc::new(runtime), version, hardened })
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

fn config(
    settings: NodeSettings,
    runtime_version: String,
    places: &Places,
    clock: Arc<dyn Clock>,
) -> Result<AgentConfig> {
    let (cores, memory) = checks::machine();
    let Connection { endpoint, region, credentials } = settings.connection;
    let mut config = AgentConfig {
        endpoint,
        region: region.clone(),
        cluster: settings.cluster,
        data_dir: places.folder("agent")?,
        attributes: settings.attributes,
        tags: settings.tags,
        reserved_ports: std::iter::once(22).chain(settings.api_port).collect(),
        reserved_ports_udp: Vec::new(),
        cpu: cores.saturating_mul(1024),
        memory: memory.saturating_sub(OWN_MEMORY.max(memory / 64)),
        stop_timeout: Duration::from_secs(30),
        pull: PullBehavior::Default,
        clean_up: agent::CleanUp::default(),
        file_systems: std::collections::BTreeMap::new(),
        gpus: agent::gpu::Gpus::default(),
        instance_id: settings.instance_id,
        external: false,
        fargate: false,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hash: "wharf".to_owned(),
        runtime_version,
        limits: Limits {
            // A server that is away for longer loses the logs of tasks that have ended.
            log_drain: Duration::from_secs(3600),
            remember: Duration::from_secs(3 * 3600),
        },
        clock,
        signer: Arc::new(NodeSigner { credentials, scope: Scope::new(region, "ecs") }),
    };
    if let Some((cpu, memory)) = settings.offer {
        (config.cpu, config.memory) = (cpu.min(config.cpu), memory.min(config.memory));
    }
    settings.options.fill(&mut config)?;
    Ok(config)
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

/// Reads `CPU:MEMORY`.
fn offer(text: &str) -> Result<(u32, u32), String> {
    let read = || {
        let (cpu, memory) = text.split_once(':')?;
        Some((cpu.parse().ok().filter(|n| *n > 0)?, memory.parse().ok().filter(|n| *n > 0)?))
    };
    read().ok_or_else(|| format!("{text:?} is not CPU units and MiB, such as 1024:2048"))
}

/// Reads `key=value`.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not KEY=VALUE, such as team=blue")),
    }
}

/// Reads `name=value` and `name`.
pub(crate) fn attribute(text: &str) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    }
}
