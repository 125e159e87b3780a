//! Whole lives of the agent, against a server that speaks the contract over loopback and containers
//! in memory.

mod logs;
mod node;
mod orders;
mod secrets;
mod server;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws::agent::acs::{self, ServerMessage};
use net::{Attachment, Counters, NetError, PortBinding, PortRequest};
use runtime::*;
use serde_json::{Value, json};
use shell::{Clock, ShutdownTrigger, SystemClock};
use stdx::Timestamp;
use tokio::sync::mpsc;

use self::server::Server;
use crate::config::{AgentConfig, PullBehavior, SignError, Signer};
use crate::networking::Networking;
use crate::task::Limits;
use crate::{Agent, JoinError};

const INSTANCE: &str = "arn:aws:ecs:eu-west-1:111122223333:container-instance/default/i1";

/// A task's ARN.
fn arn(id: &str) -> String {
    format!("arn:aws:ecs:eu-west-1:111122223333:task/default/{id}")
}

/// The runtime in memory, outliving agents: each new agent gets the events from then on.
#[derive(Debug)]
struct Containers {
    fake: Fake,
    logs: PathBuf,
    listener: Arc<Mutex<Option<mpsc::UnboundedSender<Event>>>>,
}

impl Containers {
    fn new(logs: PathBuf) -> Arc<Self> {
        let fake = Fake::new(SystemClock::shared());
        let mut events = fake.take_events().unwrap();
        let listener: Arc<Mutex<Option<mpsc::UnboundedSender<Event>>>> = Arc::default();
        let current = Arc::clone(&listener);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let Some(listener) = current.lock().unwrap().as_ref() {
                    listener.send(event).unwrap_or_default();
                }
            }
        });
        Arc::new(Self { fake, logs, listener })
    }

    /// Writes a line to a container's log, or the end of its run.
    fn write(&self, container: &str, line: Option<&str>) {
        use std::io::Write;
        let folder = self.logs.join(container);
        std::fs::create_dir_all(&folder).unwrap();
        let mut frame = vec![b'W', if line.is_some() { 1 } else { 3 }, 0, 0];
        let text = line.unwrap_or_default();
        frame.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        let nanos = u64::try_from(SystemClock.now().as_millis()).unwrap() * 1_000_000;
        frame.extend(nanos.to_le_bytes());
        frame.extend(text.as_bytes());
        let path = folder.join("00000001.log");
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        file.write_all(&frame).unwrap();
    }
}

#[async_trait]
impl Runtime for Containers {
    async fn ensure_image(&self, request: &ImageRequest) -> Result<Image, ImageError> {
        self.fake.ensure_image(request).await
    }
    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<Sandbox, RuntimeError> {
        self.fake.create_sandbox(spec).await
    }
    async fn start_container(&self, spec: &ContainerSpec) -> Result<Started, RuntimeError> {
        self.fake.start_container(spec).await
    }
    async fn signal(&self, container: &ContainerId, signal: i32) -> Result<(), RuntimeError> {
        self.fake.signal(container, signal).await
    }
    async fn stop_container(
        &self,
        id: &ContainerId,
        grace: Duration,
    ) -> Result<Exit, RuntimeError> {
        self.fake.stop_container(id, grace).await
    }
    async fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<ExecResult, RuntimeError> {
        self.fake.exec(id, spec).await
    }
    async fn remove_sandbox(&self, sandbox: &SandboxId) -> Result<(), RuntimeError> {
        self.fake.remove_sandbox(sandbox).await
    }
    async fn remove_container(&self, container: &ContainerId) -> Result<(), RuntimeError> {
        self.fake.remove_container(container).await
    }
    async fn list(&self) -> Result<Vec<SandboxStatus>, RuntimeError> {
        self.fake.list().await
    }
    async fn usage(&self, id: &SandboxId) -> Result<BTreeMap<ContainerId, Usage>, RuntimeError> {
        self.fake.usage(id).await
    }
    async fn network_namespace(
        &self,
        sandbox: &SandboxId,
        container: Option<&ContainerId>,
    ) -> Result<OwnedFd, RuntimeError> {
        self.fake.network_namespace(sandbox, container).await
    }
    fn log_path(&self, _: &SandboxId, container: &ContainerId) -> Option<PathBuf> {
        Some(self.logs.join(container.as_str()))
    }
    fn take_events(&self) -> Option<mpsc::UnboundedReceiver<Event>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.listener.lock().unwrap() = Some(sender);
        Some(receiver)
    }
}

/// A network that only keeps its books.
#[derive(Debug, Default)]
struct Books {
    attached: Mutex<BTreeSet<String>>,
    taken: Mutex<BTreeSet<u16>>,
}

impl Books {
    fn bind(ports: &[PortRequest]) -> Vec<PortBinding> {
        ports
            .iter()
            .map(|port| PortBinding {
                bind_ip: Ipv4Addr::UNSPECIFIED.into(),
                container_port: port.container_port,
                host_port: port.host_port.unwrap_or(32768),
                protocol: port.protocol,
            })
            .collect()
    }
}

#[async_trait]
impl Networking for Books {
    async fn attach(
        &self,
        id: &str,
        _: OwnedFd,
        ports: &[PortRequest],
    ) -> Result<Attachment, NetError> {
        for port in ports {
            if port.host_port.is_some_and(|host| self.taken.lock().unwrap().contains(&host)) {
                let holder = "somebody".to_owned();
                let port = port.host_port.unwrap();
                return Err(NetError::PortInUse { port, protocol: net::Protocol::Tcp, holder });
            }
        }
        self.attached.lock().unwrap().insert(id.to_owned());
        // A container's own place comes after its task's.
        let number = id.rsplit_once('-').and_then(|(_, n)| n.parse::<u8>().ok()).unwrap_or(0) + 2;
        Ok(Attachment {
            address: Ipv4Addr::new(172, 30, 0, number),
            prefix: 24,
            gateway: Ipv4Addr::new(172, 30, 0, 1),
            mac: "02:00:00:00:00:02".to_owned(),
            bindings: Self::bind(ports),
        })
    }
    async fn attach_own(
        &self,
        id: &str,
        _: OwnedFd,
        own: net::OwnAddress,
    ) -> Result<Attachment, NetError> {
        self.attached.lock().unwrap().insert(id.to_owned());
        Ok(Attachment {
            address: own.address,
            prefix: 32,
            gateway: Ipv4Addr::new(172, 30, 0, 1),
            mac: "02:57:ac:1f:00:09".to_owned(),
            bindings: Vec::new(),
        })
    }
    async fn reserve_host_ports(
        &self,
        id: &str,
        ports: &[PortRequest],
    ) -> Result<Vec<PortBinding>, NetError> {
        self.attached.lock().unwrap().insert(id.to_owned());
        Ok(Self::bind(ports))
    }
    async fn detach(&self, id: &str) -> Result<(), NetError> {
        self.attached.lock().unwrap().remove(id);
        Ok(())
    }
    async fn retain(&self, ids: &BTreeSet<String>) -> Result<(), NetError> {
        self.attached.lock().unwrap().retain(|id| ids.contains(id));
        Ok(())
    }
    fn counters(&self, _: &str) -> Option<Counters> {
        Some(Counters { rx_bytes: 1, ..Counters::default() })
    }
}

/// Signs with a word, so that a test sees what was signed.
#[derive(Debug)]
struct Word;

impl Signer for Word {
    fn sign(
        &self,
        url: &str,
        body: &[u8],
        _: Timestamp,
    ) -> Result<Vec<(String, String)>, SignError> {
        let path = url.split('/').next_back().and_then(|p| p.split('?').next()).unwrap_or_default();
        Ok(vec![("authorization".to_owned(), format!("signed {path} {}", body.len()))])
    }
}

/// A node, its server, and the agent between them.
struct World {
    server: Server,
    containers: Arc<Containers>,
    network: Arc<Books>,
    dir: tempfile::TempDir,
    agent: Option<(Agent, ShutdownTrigger)>,
    remember: Duration,
    gpus: crate::gpu::Gpus,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            server: Server::start().await,
            containers: Containers::new(dir.path().join("output")),
            network: Arc::default(),
            dir,
            agent: None,
            remember: Duration::from_secs(3600),
            gpus: crate::gpu::Gpus::default(),
        }
    }

    fn config(&self) -> AgentConfig {
        AgentConfig {
            endpoint: self.server.endpoint(),
            region: "eu-west-1".to_owned(),
            cluster: "default".to_owned(),
            data_dir: self.dir.path().to_owned(),
            attributes: vec![("rack".to_owned(), Some("7".to_owned()))],
            tags: vec![("team".to_owned(), "blue".to_owned())],
            reserved_ports: vec![22],
            reserved_ports_udp: Vec::new(),
            cpu: 2048,
            memory: 4096,
            stop_timeout: Duration::from_secs(30),
            pull: PullBehavior::Default,
            clean_up: crate::CleanUp::default(),
            file_systems: BTreeMap::new(),
            gpus: self.gpus.clone(),
            external: true,
            fargate: false,
            version: "0.1.0".to_owned(),
            hash: "abc".to_owned(),
            runtime_version: "embedded 0.1.0".to_owned(),
            instance_id: None,
            limits: Limits { log_drain: Duration::from_secs(600), remember: self.remember },
            clock: SystemClock::shared(),
            signer: Arc::new(Word),
        }
    }

    /// Starts an agent, without waiting for it to join.
    async fn start_agent(&mut self) {
        let (trigger, shutdown) = shell::shutdown();
        let agent = Agent::start(
            self.config(),
            Arc::clone(&self.containers) as Arc<dyn Runtime>,
            Arc::clone(&self.network) as Arc<dyn Networking>,
            self.server.transport(),
            shutdown,
        );
        self.agent = Some((agent.await.unwrap(), trigger));
    }

    /// A node whose agent has joined.
    async fn joined() -> Self {
        let mut world = Self::new().await;
        world.start_agent().await;
        let (agent, _) = world.agent.as_ref().unwrap();
        assert_eq!(agent.joined().await.as_deref(), Some(INSTANCE));
        world.server.connected().await;
        world
    }

    /// The agent goes down; what it runs stays.
    async fn stop_agent(&mut self) -> Result<(), JoinError> {
        let (agent, trigger) = self.agent.take().unwrap();
        trigger.fire();
        *self.containers.listener.lock().unwrap() = None;
        agent.ended().await
    }

    /// Orders a task to run.
    fn run(&self, id: &str, containers: Value) {
        self.order(
            json!({"arn": arn(id), "desiredStatus": "RUNNING", "family": "web", "version": "3",
            "wharf": {"containerDefinitions": containers}}),
        );
    }

    /// Orders a task to stop.
    fn stop(&self, id: &str) {
        self.order(json!({"arn": arn(id), "desiredStatus": "STOPPED"}));
    }

    fn order(&self, task: Value) {
        let task: acs::Task = serde_json::from_value(task).unwrap();
        self.server.send(|message_id, number| {
            ServerMessage::Payload(acs::PayloadMessage {
                cluster_arn: "default".to_owned(),
                container_instance_arn: INSTANCE.to_owned(),
                message_id,
                seq_num: number,
                tasks: vec![task],
                ..acs::PayloadMessage::default()
            })
        });
    }

    /// Waits until something is so.
    async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..2000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never: {what}\ncalls: {:#?}", self.containers.fake.calls());
    }

    /// Waits until nothing is left of a task on the node.
    async fn gone(&self, id: &str) {
        let call = format!("remove_sandbox {id}");
        self.until("the sandbox is removed", || self.containers.fake.calls().contains(&call)).await;
        self.until("the network is taken back", || {
            !self.network.attached.lock().unwrap().contains(id)
        })
        .await;
    }
}

/// A container definition that runs until it is stopped.
fn web() -> Value {
    json!({"name": "web", "image": "web:1", "command": ["/main"]})
}
