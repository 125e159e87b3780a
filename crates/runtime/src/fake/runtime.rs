//! [`Runtime`] by the fake.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Fake, FakeContainer, FakeSandbox, image_id, not_found, session, volumes_of};
use crate::{
    ContainerId, ContainerNetwork, ContainerSpec, ContainerStatus, Event, ExecResult, ExecSpec,
    Exit, Health, Image, ImageError, ImageRequest, NetworkMode, PullProgress, PullStage, Runtime,
    RuntimeError, Sandbox, SandboxId, SandboxSpec, SandboxStatus, Session, SessionSpec, Started,
    StoredImage, Usage, VolumeSpec,
};

/// The size of every scripted image.
const IMAGE_BYTES: u64 = 1 << 20;

#[async_trait]
impl Runtime for Fake {
    async fn ensure_image(&self, request: &ImageRequest) -> Result<Image, ImageError> {
        let reference = request.reference.clone();
        self.note(format!("ensure_image {reference}"));
        let script = self.state().scripts.get(&reference).cloned().unwrap_or_default();
        let begin = self.shared.clock.now();
        let id = image_id(&reference);
        let tell = |received, stage| {
            let layer = id.clone();
            let progress = PullProgress { layer, received, total: IMAGE_BYTES, stage };
            if let Some(listener) = &request.progress {
                listener.send(progress).unwrap_or_default();
            }
        };
        tell(0, PullStage::Receiving);
        tokio::time::sleep(script.pull_delay).await;
        if let Some(why) = script.pull_error {
            return Err(ImageError::Denied { reference, host: "registry.fake".into(), why });
        }
        tell(IMAGE_BYTES, PullStage::Done);
        let now = self.shared.clock.now();
        let pulled = Some((begin, now));
        let mut state = self.state();
        let stored = state.images.entry(id.clone()).or_insert_with(|| StoredImage {
            id: id.clone(),
            references: vec![reference],
            bytes: IMAGE_BYTES,
            pulled_at: now,
            used_at: now,
            in_use: false,
        });
        stored.used_at = now;
        drop(state);
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
            let (ports, address) = self.wired(&spec.id);
            return Ok(Started { pid: pid.unwrap_or(0), at, ports, address });
        }
        self.check_volumes(spec)?;
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
            let wired = state.wire(spec);
            if let Some(stored) = state.images.get_mut(&spec.image) {
                stored.used_at = at;
            }
            let held = state.sandboxes.get_mut(&spec.sandbox).filter(|held| held.alive);
            let held = held.ok_or_else(|| not_found("sandbox", &spec.sandbox))?;
            let status = ContainerStatus {
                id: spec.id.clone(),
                pid: Some(pid),
                started_at: Some(at),
                exit: None,
                health: spec.health.as_ref().map(|_| (Health::Unknown, at)),
            };
            let script = script.clone();
            let container = FakeContainer { spec: spec.clone(), status, script, wired };
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
        let (ports, address) = self.wired(&spec.id);
        Ok(Started { pid, at, ports, address })
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

    async fn open_session(
        &self,
        container: &ContainerId,
        spec: &SessionSpec,
    ) -> Result<Session, RuntimeError> {
        let program = spec.args.first().cloned().unwrap_or_default();
        self.note(format!("open_session {container} {program}"));
        let refused = |why: String| RuntimeError::Invalid { id: container.to_string(), why };
        if program.is_empty() {
            return Err(refused("a command has at least a program".into()));
        }
        if self.status(container)?.exit.is_some() {
            return Err(refused(format!("{container} does not run")));
        }
        let greeting = self.script_of(container)?.session_greeting;
        Ok(session::open(self, container, spec, greeting))
    }

    fn owns_network(&self) -> bool {
        self.state().owns_network
    }

    async fn create_volume(&self, spec: &VolumeSpec) -> Result<(), RuntimeError> {
        self.note(format!("create_volume {}", spec.name));
        if spec.driver != "local" {
            return Err(RuntimeError::Unsupported {
                what: format!("make volume {}", spec.name),
                why: format!("it has no volume driver \"{}\", only local", spec.driver),
            });
        }
        let mut state = self.state();
        let held = state.volumes.entry(spec.name.clone()).or_insert_with(|| spec.clone());
        if (&held.driver, &held.options) != (&spec.driver, &spec.options) {
            let why = "a volume of this name exists with other options".to_owned();
            return Err(RuntimeError::Invalid { id: spec.name.clone(), why });
        }
        Ok(())
    }

    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        self.note(format!("remove_volume {name}"));
        let mut state = self.state();
        let mut containers = state.sandboxes.values().flat_map(|held| held.containers.values());
        if let Some(user) = containers.find(|c| volumes_of(&c.spec).contains(name)) {
            let why = format!("{} uses it; remove that first", user.spec.id);
            return Err(RuntimeError::Invalid { id: name.to_owned(), why });
        }
        state.volumes.remove(name);
        Ok(())
    }

    async fn images(&self) -> Result<Vec<StoredImage>, RuntimeError> {
        let state = self.state();
        let used: BTreeSet<&str> = state
            .sandboxes
            .values()
            .flat_map(|held| held.containers.values())
            .map(|container| container.spec.image.as_str())
            .collect();
        let one = |image: &StoredImage| StoredImage {
            in_use: used.contains(image.id.as_str()),
            ..image.clone()
        };
        Ok(state.images.values().map(one).collect())
    }

    async fn remove_image(&self, id: &str) -> Result<(), RuntimeError> {
        self.note(format!("remove_image {id}"));
        if self.images().await?.iter().any(|image| image.id == id && image.in_use) {
            let why = "a container uses it; remove that first".to_owned();
            return Err(RuntimeError::Invalid { id: id.to_owned(), why });
        }
        self.state().images.remove(id);
        Ok(())
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
        container: Option<&ContainerId>,
    ) -> Result<OwnedFd, RuntimeError> {
        if let Some(container) = container {
            self.note(format!("network_namespace {sandbox} {container}"));
        }
        let state = self.state();
        let held = state.sandboxes.get(sandbox).ok_or_else(|| not_found("sandbox", sandbox))?;
        if held.spec.network == NetworkMode::Host {
            let why = "it uses the node's network and has none of its own".to_owned();
            return Err(RuntimeError::Invalid { id: sandbox.to_string(), why });
        }
        let started = container.and_then(|id| held.containers.get(id));
        if let Some(other) = started.filter(|c| c.spec.network != ContainerNetwork::Own) {
            let why = "it was started without a network of its own".to_owned();
            return Err(RuntimeError::Invalid { id: other.spec.id.to_string(), why });
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
