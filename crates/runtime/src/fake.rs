//! A [`Runtime`] in memory, with behaviour by script, for the tests of what stands on the seam.
//!
//! Images are scripted by reference; an image without a script is present at once, and its containers
//! run until they are stopped.

mod runtime;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shell::Clock;
use tokio::sync::mpsc;

use crate::{
    ContainerId, ContainerNetwork, ContainerSpec, ContainerStatus, Event, ExecResult, Exit, Health,
    ImageConfig, Mount, NetworkMode, PublishedPort, RuntimeError, SandboxId, SandboxSpec,
    StoredImage, Usage, VolumeSpec,
};

/// The first port that is given to whoever asks for any.
const FIRST_PORT: u16 = 49_153;

/// What an image and its containers do.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// How the image wants to be run.
    pub config: ImageConfig,
    /// Pulling takes so long.
    pub pull_delay: Duration,
    /// Pulling fails, the registry saying this.
    pub pull_error: Option<String>,
    /// Starting takes so long.
    pub start_delay: Duration,
    /// Starting fails for this reason.
    pub start_error: Option<String>,
    /// Containers end by themselves after a time, with a status; killed for want of memory if `true`.
    pub exits: Option<(Duration, i32, bool)>,
    /// Containers end only by SIGKILL.
    pub ignores_term: bool,
    /// What programs in its containers give; success without output if absent.
    pub exec: Option<ExecResult>,
    /// What a session in its containers prints first. Then it repeats what is typed; a line `exit N`
    /// ends it, and so does the end of its input.
    pub session_greeting: Vec<u8>,
    /// What each container uses.
    pub usage: Usage,
}

/// The runtime in memory. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Fake {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    events: mpsc::UnboundedSender<Event>,
    /// Notified whenever a container ends.
    ended: tokio::sync::Notify,
}

#[derive(Debug)]
struct State {
    scripts: BTreeMap<String, Script>,
    sandboxes: BTreeMap<SandboxId, FakeSandbox>,
    /// By id: the references it was asked for by, and when first and last.
    images: BTreeMap<String, StoredImage>,
    volumes: BTreeMap<String, VolumeSpec>,
    /// It wires networks itself.
    owns_network: bool,
    next_pid: u32,
    next_port: u16,
    receiver: Option<mpsc::UnboundedReceiver<Event>>,
    calls: Vec<String>,
}

#[derive(Debug)]
struct FakeSandbox {
    spec: SandboxSpec,
    pid: u32,
    alive: bool,
    containers: BTreeMap<ContainerId, FakeContainer>,
}

#[derive(Debug)]
struct FakeContainer {
    spec: ContainerSpec,
    status: ContainerStatus,
    script: Script,
    /// What was published, and the address: where it wires networks itself.
    wired: (Vec<PublishedPort>, Option<Ipv4Addr>),
}

fn not_found(what: &'static str, id: impl ToString) -> RuntimeError {
    RuntimeError::NotFound { what, id: id.to_string() }
}

impl Fake {
    /// An empty node.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (events, receiver) = mpsc::unbounded_channel();
        let state = State {
            scripts: BTreeMap::new(),
            sandboxes: BTreeMap::new(),
            images: BTreeMap::new(),
            volumes: BTreeMap::new(),
            owns_network: false,
            next_pid: 1000,
            next_port: FIRST_PORT,
            receiver: Some(receiver),
            calls: Vec::new(),
        };
        let ended = tokio::sync::Notify::new();
        Self { shared: Arc::new(Shared { clock, state: Mutex::new(state), events, ended }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, call: String) {
        self.state().calls.push(call);
    }

    /// Says what an image does, by the reference that requests name.
    pub fn script(&self, reference: impl Into<String>, script: Script) {
        self.state().scripts.insert(reference.into(), script);
    }

    /// Makes it wire networks and publish ports by itself, as Docker Engine does.
    pub fn own_networks(&self) {
        self.state().owns_network = true;
    }

    /// The volumes that there are.
    pub fn volumes(&self) -> Vec<VolumeSpec> {
        self.state().volumes.values().cloned().collect()
    }

    /// What was asked of it so far, one line a call: `create_sandbox ID`, `start_container ID`,
    /// `signal ID N`, `stop_container ID SECONDS`, `exec ID PROGRAM`, `remove_container ID`,
    /// `remove_sandbox ID`, `ensure_image REFERENCE`, `open_session ID PROGRAM`,
    /// `resize ID ROWSxCOLUMNS`, `signal_session ID N`, `network_namespace SANDBOX ID` (of a container
    /// alone), `create_volume NAME`, `remove_volume NAME`, `remove_image ID`.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// The specification a container was started with.
    pub fn container(&self, id: &ContainerId) -> Option<ContainerSpec> {
        let state = self.state();
        state.sandboxes.values().find_map(|s| s.containers.get(id)).map(|c| c.spec.clone())
    }

    /// Ends a running container; whether there was one.
    pub fn exit(&self, id: &ContainerId, code: i32, oom_killed: bool) -> bool {
        let at = self.shared.clock.now();
        let exit = Exit { code: Some(code), oom_killed, at };
        let mut state = self.state();
        let running = state.sandboxes.iter_mut().find_map(|(sandbox, held)| {
            let container = held.containers.get_mut(id)?;
            container.status.exit.is_none().then_some((sandbox.clone(), container))
        });
        let Some((sandbox, container)) = running else { return false };
        container.status.exit = Some(exit.clone());
        container.status.pid = None;
        drop(state);
        self.send(Event::Exited { sandbox, container: id.clone(), exit });
        self.shared.ended.notify_waiters();
        true
    }

    /// Changes the verdict on a container's health.
    pub fn set_health(&self, id: &ContainerId, health: Health) {
        let at = self.shared.clock.now();
        let mut found = None;
        for (sandbox, held) in &mut self.state().sandboxes {
            if let Some(container) = held.containers.get_mut(id) {
                container.status.health = Some((health, at));
                found = Some(sandbox.clone());
            }
        }
        if let Some(sandbox) = found {
            self.send(Event::Health { sandbox, container: id.clone(), health, at });
        }
    }

    /// Kills a sandbox's watcher, and its containers with it.
    pub fn lose_sandbox(&self, id: &SandboxId) {
        let at = self.shared.clock.now();
        if let Some(held) = self.state().sandboxes.get_mut(id) {
            held.alive = false;
            for container in held.containers.values_mut() {
                let lost = Exit { code: None, oom_killed: false, at };
                container.status.exit.get_or_insert(lost);
                container.status.pid = None;
            }
        }
        self.send(Event::SandboxLost { sandbox: id.clone() });
        self.shared.ended.notify_waiters();
    }

    fn send(&self, event: Event) {
        // Nobody listening is nobody told.
        self.shared.events.send(event).unwrap_or_default();
    }

    fn status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        let state = self.state();
        let found = state.sandboxes.values().find_map(|held| held.containers.get(id));
        found.map(|c| c.status.clone()).ok_or_else(|| not_found("container", id))
    }

    fn script_of(&self, id: &ContainerId) -> Result<Script, RuntimeError> {
        let state = self.state();
        let found = state.sandboxes.values().find_map(|held| held.containers.get(id));
        found.map(|c| c.script.clone()).ok_or_else(|| not_found("container", id))
    }

    fn wired(&self, id: &ContainerId) -> (Vec<PublishedPort>, Option<Ipv4Addr>) {
        let state = self.state();
        let found = state.sandboxes.values().find_map(|held| held.containers.get(id));
        found.map(|c| c.wired.clone()).unwrap_or_default()
    }

    /// Every volume that a container mounts exists.
    fn check_volumes(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        let state = self.state();
        match volumes_of(spec).into_iter().find(|name| !state.volumes.contains_key(*name)) {
            Some(absent) => {
                let why = format!("volume {absent} is not a volume of this node; make it first");
                Err(RuntimeError::Invalid { id: spec.id.to_string(), why })
            }
            None => Ok(()),
        }
    }

    /// Waits until a container has ended.
    async fn wait(&self, id: &ContainerId) -> Result<Exit, RuntimeError> {
        loop {
            let ended = self.shared.ended.notified();
            tokio::pin!(ended);
            // Registered before the look, so that an ending in between is not missed.
            ended.as_mut().enable();
            if let Some(exit) = self.status(id)?.exit {
                return Ok(exit);
            }
            ended.await;
        }
    }
}

impl State {
    /// The ports and address that a runtime which owns the network gives a container.
    fn wire(&mut self, spec: &ContainerSpec) -> (Vec<PublishedPort>, Option<Ipv4Addr>) {
        let private = self
            .sandboxes
            .get(&spec.sandbox)
            .is_some_and(|held| held.spec.network == NetworkMode::Private);
        if !self.owns_network || !private || spec.network == ContainerNetwork::None {
            return (Vec::new(), None);
        }
        let publish = |port: &PublishedPort| {
            let any = self.next_port;
            if port.host_port.is_none() {
                self.next_port = any.checked_add(1).unwrap_or(FIRST_PORT);
            }
            PublishedPort { host_port: port.host_port.or(Some(any)), ..*port }
        };
        let ports = spec.ports.iter().map(publish).collect();
        let [.., third, fourth] = self.next_pid.to_be_bytes();
        (ports, Some(Ipv4Addr::new(172, 17, third, fourth)))
    }
}

/// The names of the volumes that a container mounts.
fn volumes_of(spec: &ContainerSpec) -> BTreeSet<&str> {
    let names = spec.mounts.iter().filter_map(|mount| match mount {
        Mount::Volume { name, .. } => Some(name.as_str()),
        Mount::Bind { .. } | Mount::Tmpfs { .. } => None,
    });
    names.collect()
}

/// The id of a scripted image: its reference, in the form of one.
fn image_id(reference: &str) -> String {
    format!("sha256:{}", hex::encode(reference))
}
