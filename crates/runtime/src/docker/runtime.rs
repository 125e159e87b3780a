//! The seam, answered by Docker Engine.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::{KillContainerOptions, StatsOptions};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::fault::status;
use super::found::{Found, usage};
use super::{Docker, Inner, group, guard};
use crate::embedded::{check_name, system};
use crate::{
    ContainerId, ContainerSpec, Event, ExecResult, ExecSpec, Exit, Image, ImageError, ImageRequest,
    NetworkMode, Runtime, RuntimeError, Sandbox, SandboxId, SandboxSpec, SandboxStatus, Session,
    SessionSpec, Started, StoredImage, Usage, VolumeSpec,
};

/// A kill of the kernel's own takes no longer than this.
const KILLED: Duration = Duration::from_secs(60);

#[async_trait]
impl Runtime for Docker {
    async fn ensure_image(&self, request: &ImageRequest) -> Result<Image, ImageError> {
        self.inner.pull(request).await
    }

    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<Sandbox, RuntimeError> {
        self.inner.make_sandbox(spec).await
    }

    async fn start_container(&self, spec: &ContainerSpec) -> Result<Started, RuntimeError> {
        self.inner.start(spec).await
    }

    async fn signal(&self, container: &ContainerId, signal: i32) -> Result<(), RuntimeError> {
        let found = self.inner.find(container).await?;
        self.inner.kill(&found, &signal.to_string()).await
    }

    async fn stop_container(
        &self,
        container: &ContainerId,
        grace: Duration,
    ) -> Result<Exit, RuntimeError> {
        let inner = &self.inner;
        let found = inner.find(container).await?;
        if let Some(exit) = inner.seen_exit(&found.engine_id) {
            return Ok(exit);
        }
        inner.watch_from_now(&found);
        if let Some(exit) = &found.exit {
            inner.over(&found.engine_id, exit.clone());
            return Ok(inner.seen_exit(&found.engine_id).unwrap_or_else(|| exit.clone()));
        }
        if !grace.is_zero() {
            inner.kill(&found, &found.stop_signal).await?;
            if let Some(exit) = inner.wait(&found.engine_id, grace).await? {
                return Ok(exit);
            }
        }
        inner.kill(&found, "SIGKILL").await?;
        let ended = inner.wait(&found.engine_id, KILLED).await?;
        ended.ok_or_else(|| RuntimeError::System {
            attempt: format!("kill {container}"),
            source: std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                "Docker Engine does not say that it has ended",
            ),
        })
    }

    async fn exec(
        &self,
        container: &ContainerId,
        spec: &ExecSpec,
    ) -> Result<ExecResult, RuntimeError> {
        self.inner.run_program(container, spec).await
    }

    async fn remove_sandbox(&self, sandbox: &SandboxId) -> Result<(), RuntimeError> {
        check_name(sandbox.as_str())?;
        let inner = &self.inner;
        inner.forget_sandbox(sandbox);
        let listed = inner.labelled(Some(sandbox)).await?;
        for label in listed.iter().filter_map(|container| container.labels.as_ref()) {
            if let Some(id) = label.get(super::names::CONTAINER) {
                inner.hush(&ContainerId::new(id.as_str()));
            }
        }
        let ids = listed.into_iter().filter_map(|container| container.id);
        let removals = ids.map(|id| async move { inner.discard(&id).await });
        for removed in futures_util::future::join_all(removals).await {
            removed?;
        }
        let group = format!("{}/{sandbox}", inner.config.cgroup_parent);
        let removed = tokio::task::spawn_blocking(move || group::destroy(&group)).await;
        removed.map_err(|error| system("remove a cgroup")(std::io::Error::other(error)))??;
        inner.records.remove(sandbox)
    }

    async fn remove_container(&self, container: &ContainerId) -> Result<(), RuntimeError> {
        let found = match self.inner.find(container).await {
            Err(RuntimeError::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        if found.pid.is_some() {
            let why = "it still runs; stop it before it is removed".to_owned();
            return Err(RuntimeError::Invalid { id: container.to_string(), why });
        }
        self.inner.last_words(container).await;
        self.inner.forget(&found.engine_id);
        self.inner.discard(&found.engine_id).await
    }

    async fn list(&self) -> Result<Vec<SandboxStatus>, RuntimeError> {
        let mut all: BTreeMap<SandboxId, SandboxStatus> = BTreeMap::new();
        let fresh = |spec| SandboxStatus { spec, alive: true, containers: Vec::new() };
        for spec in self.inner.records.all()? {
            all.insert(spec.id.clone(), fresh(spec));
        }
        for mut found in self.inner.find_all(None).await? {
            let known = match (all.get_mut(&found.sandbox), found.spec.take()) {
                (Some(known), _) => known,
                (None, Some(spec)) => all.entry(found.sandbox.clone()).or_insert(fresh(spec)),
                (None, None) => continue,
            };
            if let Some(exit) = self.inner.seen_exit(&found.engine_id) {
                (found.exit, found.pid) = (Some(exit), None);
            }
            if found.container.is_none() && found.exit.is_some() {
                known.alive = false;
            }
            known.containers.extend(found.status());
        }
        for status in all.values_mut() {
            status.containers.sort_by(|a, b| a.id.cmp(&b.id));
        }
        Ok(all.into_values().collect())
    }

    async fn usage(
        &self,
        sandbox: &SandboxId,
    ) -> Result<BTreeMap<ContainerId, Usage>, RuntimeError> {
        let inner = &self.inner;
        if inner.records.read(sandbox)?.is_none() {
            return Err(RuntimeError::NotFound { what: "sandbox", id: sandbox.to_string() });
        }
        let listed = inner.labelled(Some(sandbox)).await?.into_iter();
        let running = listed.filter_map(|container| {
            let name = container.labels?.remove(super::names::CONTAINER)?;
            container.id.map(|id| (ContainerId::new(name), id))
        });
        let all = running.map(|(name, id)| async move {
            let options = StatsOptions { stream: false, one_shot: true };
            let mut stats = std::pin::pin!(inner.engine.stats(&id, Some(options)));
            // One that has just ended uses nothing.
            let stats = stats.next().await.and_then(Result::ok)?;
            let used = usage(stats);
            (used.pids > 0).then_some((name, used))
        });
        Ok(futures_util::future::join_all(all).await.into_iter().flatten().collect())
    }

    async fn open_session(
        &self,
        container: &ContainerId,
        spec: &SessionSpec,
    ) -> Result<Session, RuntimeError> {
        self.inner.connect_program(container, spec).await
    }

    fn owns_network(&self) -> bool {
        true
    }

    async fn network_namespace(
        &self,
        sandbox: &SandboxId,
        container: Option<&ContainerId>,
    ) -> Result<OwnedFd, RuntimeError> {
        let inner = &self.inner;
        let spec = inner.records.read(sandbox)?;
        let spec = spec
            .ok_or_else(|| RuntimeError::NotFound { what: "sandbox", id: sandbox.to_string() })?;
        let invalid =
            |why: &str| RuntimeError::Invalid { id: sandbox.to_string(), why: why.to_owned() };
        if spec.network == NetworkMode::Host {
            return Err(invalid("it uses the node's network and has none of its own"));
        }
        let owner = container.cloned().or_else(|| inner.network_of(sandbox));
        let pid = match owner {
            Some(owner) => inner.find(&owner).await?.pid,
            None => None,
        };
        let pid =
            pid.ok_or_else(|| invalid("Docker makes its network when its container starts"))?;
        let path = format!("/proc/{pid}/ns/net");
        let opened = std::fs::File::open(&path).map_err(system(format!("open {path}")))?;
        Ok(opened.into())
    }

    async fn create_volume(&self, spec: &VolumeSpec) -> Result<(), RuntimeError> {
        self.inner.make_volume(spec).await
    }

    async fn volume_drivers(&self) -> Vec<String> {
        self.inner.volume_drivers().await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        self.inner.unmake_volume(name).await
    }

    async fn images(&self) -> Result<Vec<StoredImage>, RuntimeError> {
        self.inner.pulled_images().await
    }

    async fn remove_image(&self, id: &str) -> Result<(), RuntimeError> {
        self.inner.discard_image(id).await
    }

    fn takes_gpus(&self) -> bool {
        self.inner.nvidia
    }

    fn log_drivers(&self) -> Vec<String> {
        // Those of ECS, as far as this Engine has them.
        const KNOWN: [&str; 7] =
            ["fluentd", "gelf", "journald", "json-file", "local", "splunk", "syslog"];
        let has: BTreeSet<&str> = self.inner.drivers.iter().map(String::as_str).collect();
        KNOWN.into_iter().filter(|name| has.contains(name)).map(str::to_owned).collect()
    }

    fn log_path(&self, sandbox: &SandboxId, container: &ContainerId) -> Option<PathBuf> {
        Some(self.inner.records.log(sandbox, container))
    }

    fn take_events(&self) -> Option<mpsc::UnboundedReceiver<Event>> {
        guard(&self.inner.receiver).take()
    }
}

impl Inner {
    /// Sends a container's first process a signal. Gone already is success.
    async fn kill(&self, found: &Found, signal: &str) -> Result<(), RuntimeError> {
        if signal == "SIGKILL" || signal == "9" {
            self.killing(&found.engine_id);
        }
        let options = KillContainerOptions { signal: signal.to_owned() };
        match self.engine.kill_container(&found.engine_id, Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
            Err(error) => {
                let id = found.container.as_ref().map_or("", |id| id.as_str());
                Err(self.failed(format!("send {signal} to {id}"), &error))
            }
        }
    }
}
