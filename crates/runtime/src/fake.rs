//! A [`Runtime`] in memory, with behaviour by script, for the tests of what stands on the seam.
//!
//! Images are scripted by reference; an image without a script is present at once, and its containers
//! run until they are stopped.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shell::Clock;
use tokio::sync::mpsc;

use crate::{
    ContainerId, ContainerSpec, ContainerStatus, Event, ExecResult, ExecSpec, Exit, Health, Image,
    ImageConfig, ImageError, ImageRequest, NetworkMode, Runtime, RuntimeError, Sandbox, SandboxId,
    SandboxSpec, SandboxStatus, Started, Usage,
};

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
    next_pid: u32,
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
            next_pid: 1000,
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

    /// What was asked of it so far, one line a call: `create_sandbox ID`, `start_container ID`,
    /// `signal ID N`, `stop_container ID SECONDS`, `exec ID PROGRAM`, `remove_container ID`,
    /// `remove_sandbox ID`, `ensure_image REFERENCE`.
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

/// The id of a scripted image: its reference, in the form of one.
fn image_id(reference: &str) -> String {
    format!("sha256:{}", hex::encode(reference))
}

#[async_trait]
impl Runtime for Fake {
    async fn ensure_image(&self, request: &ImageRequest) -> Result<Image, ImageError> {
        let reference = request.reference.clone();
        self.note(format!("ensure_image {reference}"));
        let script = self.state().scripts.get(&reference).cloned().unwrap_or_default();
        let begin = self.shared.clock.now();
        tokio::time::sleep(script.pull_delay).await;
        if let Some(why) = script.pull_error {
            return Err(ImageError::Denied { reference, host: "registry.fake".into(), why });
        }
        let id = image_id(&reference);
        let pulled = Some((begin, self.shared.clock.now()));
        Ok(Image { digest: id.clone(), id, config: script.config, pulled })
    }

    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<Sandbox, RuntimeError> {
        self.note(format!("create_sandbox {}", spec.id));
        let mut state = self.state();
        if let Some(held) = state.sandboxes.get(&spec.id) {
            return Ok(Sandbox { id: spec.id.clone(), pid: held.pid });
        }
        state.next_pid += 1;
        let pid = state.next_pid;
        let containers = BTreeMap::new();
        let held = FakeSandbox { spec: spec.clone(), pid, alive: true, containers };
        state.sandboxes.insert(spec.id.clone(), held);
        Ok(Sandbox { id: spec.id.clone(), pid })
    }

    async fn start_container(&self, spec: &ContainerSpec) -> Result<Started, RuntimeError> {
        self.note(format!("start_container {}", spec.id));
        if spec.args.first().is_none_or(String::is_empty) {
            let why = "it has no program to run".to_owned();
            return Err(RuntimeError::Invalid { id: spec.id.to_string(), why });
        }
        if let Ok(ContainerStatus { started_at: Some(at), pid, .. }) = self.status(&spec.id) {
            return Ok(Started { pid: pid.unwrap_or(0), at, ports: Vec::new(), address: None });
        }
        let script = {
            let state = self.state();
            let named = state.scripts.iter().find(|(name, _)| image_id(name) == spec.image);
            named.map(|(_, script)| script.clone()).unwrap_or_default()
        };
        tokio::time::sleep(script.start_delay).await;
        if let Some(why) = script.start_error {
            return Err(RuntimeError::Start { id: spec.id.to_string(), why });
        }
        let at = self.shared.clock.now();
        let pid = {
            let mut state = self.state();
            state.next_pid += 1;
            let pid = state.next_pid;
            let held = state.sandboxes.get_mut(&spec.sandbox).filter(|held| held.alive);
            let held = held.ok_or_else(|| not_found("sandbox", &spec.sandbox))?;
            let status = ContainerStatus {
                id: spec.id.clone(),
                pid: Some(pid),
                started_at: Some(at),
                exit: None,
                health: spec.health.as_ref().map(|_| (Health::Unknown, at)),
            };
            let container = FakeContainer { spec: spec.clone(), status, script: script.clone() };
            held.containers.insert(spec.id.clone(), container);
            pid
        };
        if let Some((after, code, oom_killed)) = script.exits {
            let (fake, id) = (self.clone(), spec.id.clone());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                // A container of this name that was started since has another pid.
                if fake.status(&id).is_ok_and(|status| status.pid == Some(pid)) {
                    fake.exit(&id, code, oom_killed);
                }
            });
        }
        Ok(Started { pid, at, ports: Vec::new(), address: None })
    }

    async fn signal(&self, container: &ContainerId, signal: i32) -> Result<(), RuntimeError> {
        self.note(format!("signal {container} {signal}"));
        let ignores = self.script_of(container)?.ignores_term;
        if signal == libc::SIGKILL || (signal == libc::SIGTERM && !ignores) {
            self.exit(container, 128 + signal, false);
        }
        Ok(())
    }

    async fn stop_container(
        &self,
        container: &ContainerId,
        grace: Duration,
    ) -> Result<Exit, RuntimeError> {
        self.note(format!("stop_container {container} {}", grace.as_secs()));
        if !self.script_of(container)?.ignores_term && !grace.is_zero() {
            self.exit(container, 128 + libc::SIGTERM, false);
        }
        if let Ok(exit) = tokio::time::timeout(grace, self.wait(container)).await {
            return exit;
        }
        self.exit(container, 128 + libc::SIGKILL, false);
        self.wait(container).await
    }

    async fn exec(
        &self,
        container: &ContainerId,
        spec: &ExecSpec,
    ) -> Result<ExecResult, RuntimeError> {
        let program = spec.args.first().cloned().unwrap_or_default();
        self.note(format!("exec {container} {program}"));
        if program.is_empty() {
            let why = "a command has at least a program".to_owned();
            return Err(RuntimeError::Invalid { id: container.to_string(), why });
        }
        if self.status(container)?.exit.is_some() {
            let why = format!("{container} does not run");
            return Err(RuntimeError::Invalid { id: container.to_string(), why });
        }
        let scripted = self.script_of(container)?.exec;
        Ok(scripted.unwrap_or(ExecResult { code: 0, output: Vec::new() }))
    }

    async fn remove_sandbox(&self, sandbox: &SandboxId) -> Result<(), RuntimeError> {
        self.note(format!("remove_sandbox {sandbox}"));
        self.state().sandboxes.remove(sandbox);
        self.shared.ended.notify_waiters();
        Ok(())
    }

    async fn remove_container(&self, container: &ContainerId) -> Result<(), RuntimeError> {
        self.note(format!("remove_container {container}"));
        if self.status(container).is_ok_and(|status| status.exit.is_none()) {
            let why = "it still runs; stop it before it is removed".to_owned();
            return Err(RuntimeError::Invalid { id: container.to_string(), why });
        }
        for held in self.state().sandboxes.values_mut() {
            held.containers.remove(container);
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<SandboxStatus>, RuntimeError> {
        let state = self.state();
        let one = |held: &FakeSandbox| SandboxStatus {
            spec: held.spec.clone(),
            alive: held.alive,
            containers: held.containers.values().map(|c| c.status.clone()).collect(),
        };
        Ok(state.sandboxes.values().map(one).collect())
    }

    async fn usage(
        &self,
        sandbox: &SandboxId,
    ) -> Result<BTreeMap<ContainerId, Usage>, RuntimeError> {
        let state = self.state();
        let held = state.sandboxes.get(sandbox).ok_or_else(|| not_found("sandbox", sandbox))?;
        let running = held.containers.iter().filter(|(_, c)| c.status.exit.is_none());
        Ok(running.map(|(id, c)| (id.clone(), c.script.usage)).collect())
    }

    /// A handle that stands for a namespace; it is none, so that nobody configures the node's own.
    async fn network_namespace(
        &self,
        sandbox: &SandboxId,
        _container: Option<&ContainerId>,
    ) -> Result<OwnedFd, RuntimeError> {
        let state = self.state();
        let held = state.sandboxes.get(sandbox).ok_or_else(|| not_found("sandbox", sandbox))?;
        if held.spec.network == NetworkMode::Host {
            let why = "it uses the node's network and has none of its own".to_owned();
            return Err(RuntimeError::Invalid { id: sandbox.to_string(), why });
        }
        drop(state);
        let attempt = "open /dev/null".to_owned();
        let opened = std::fs::File::open("/dev/null");
        let file = opened.map_err(|source: io::Error| RuntimeError::System { attempt, source })?;
        Ok(file.into())
    }

    fn log_path(&self, _: &SandboxId, _: &ContainerId) -> Option<PathBuf> {
        None
    }

    fn take_events(&self) -> Option<mpsc::UnboundedReceiver<Event>> {
        self.state().receiver.take()
    }
}
