//! [`Runtime`] by the embedded engine.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::places::{SandboxRecord, remove_tree};
use super::plugin_volumes;
use super::prepare::{Folders, Opened, prepare};
use super::shim_client::{ShimConnection, ask, ask_soon};
use super::slots::Slot;
use super::users::Lease;
use super::{Embedded, Inner, adopt, check_name, guard, images, odd, refused, slots, system};
use crate::shim::proto::{Assign, Record, Reply, Request};
use crate::{
    ContainerId, ContainerSpec, Event, ExecResult, ExecSpec, Exit, Image, ImageError, ImageRequest,
    IpcMode, Mount, NetworkMode, Runtime, RuntimeError, Sandbox, SandboxId, SandboxSpec,
    SandboxStatus, Session, SessionSpec, Started, StoredImage, Usage, VolumeSpec, spec,
};

/// A shim has this long to kill everything.
const REMOVAL: Duration = Duration::from_secs(10);

#[async_trait]
impl Runtime for Embedded {
    async fn ensure_image(&self, request: &ImageRequest) -> Result<Image, ImageError> {
        self.inner.config.images.ensure(request).await
    }

    async fn images(&self) -> Result<Vec<StoredImage>, RuntimeError> {
        let inner = Arc::clone(&self.inner);
        images::off_thread(move || inner.images()).await
    }

    async fn remove_image(&self, id: &str) -> Result<(), RuntimeError> {
        let (inner, id) = (Arc::clone(&self.inner), id.to_owned());
        images::off_thread(move || inner.remove_image(&id)).await
    }

    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<Sandbox, RuntimeError> {
        check_name(spec.id.as_str())?;
        let why = spec::check_limits(&spec.limits);
        why.map_err(|why| RuntimeError::Invalid { id: spec.id.to_string(), why })?;
        self.inner.ranges.check_sandbox(spec)?;
        if let Some(sandbox) = self.inner.existing(&spec.id).await? {
            return Ok(sandbox);
        }
        let made = self.inner.make_sandbox(spec).await;
        if made.is_err() {
            self.inner.forget(&spec.id);
            self.inner.remove_folders(&spec.id).await?;
        }
        slots::refill_later(&self.inner, true);
        made
    }

    async fn start_container(&self, spec: &ContainerSpec) -> Result<Started, RuntimeError> {
        check_name(spec.id.as_str())?;
        check_name(spec.sandbox.as_str())?;
        let started = self.inner.start(spec).await;
        slots::refill_later(&self.inner, false);
        started
    }

    async fn signal(&self, container: &ContainerId, signal: i32) -> Result<(), RuntimeError> {
        let request = Request::Signal { container: container.clone(), signal };
        match self.inner.ask_for(container, &request).await? {
            Reply::Done => Ok(()),
            other => Err(odd(container.as_str(), &other)),
        }
    }

    async fn stop_container(
        &self,
        container: &ContainerId,
        grace: Duration,
    ) -> Result<Exit, RuntimeError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let request = Request::Stop { container: container.clone(), grace_ms };
        match self.inner.ask_for(container, &request).await {
            Ok(Reply::Exited(exit)) => Ok(exit),
            Ok(other) => Err(odd(container.as_str(), &other)),
            Err(error @ RuntimeError::System { .. }) => {
                // A shim that is gone took the container with it.
                let sandbox = self.inner.sandbox_of(container)?;
                let record = self.inner.sandbox(&sandbox)?;
                if self.inner.status(&sandbox).await.is_ok() {
                    return Err(error);
                }
                self.inner.bury(&sandbox, &record.group).await?;
                let lost =
                    Exit { code: None, oom_killed: false, at: self.inner.config.clock.now() };
                let records = self.inner.places.container_records(&sandbox).unwrap_or_default();
                let kept = records.into_iter().find(|record| record.status.id == *container);
                Ok(kept.and_then(|record| record.status.exit).unwrap_or(lost))
            }
            Err(error) => Err(error),
        }
    }

    async fn exec(
        &self,
        container: &ContainerId,
        spec: &ExecSpec,
    ) -> Result<ExecResult, RuntimeError> {
        check_command(container, &spec.args, &spec.env)?;
        let request = Request::Exec { container: container.clone(), spec: spec.clone() };
        match self.inner.ask_for(container, &request).await? {
            Reply::Executed(result) => Ok(result),
            other => Err(odd(container.as_str(), &other)),
        }
    }

    async fn open_session(
        &self,
        container: &ContainerId,
        spec: &SessionSpec,
    ) -> Result<Session, RuntimeError> {
        check_command(container, &spec.args, &spec.env)?;
        self.inner.open_session(container, spec).await
    }

    async fn remove_sandbox(&self, sandbox: &SandboxId) -> Result<(), RuntimeError> {
        check_name(sandbox.as_str())?;
        guard(&self.inner.names).removing.insert(sandbox.clone());
        let removed = self.inner.remove(sandbox).await;
        // In this order: its watcher must not take the end for a loss.
        if removed.is_ok() {
            self.inner.forget(sandbox);
        }
        guard(&self.inner.names).removing.remove(sandbox);
        removed
    }

    async fn remove_container(&self, container: &ContainerId) -> Result<(), RuntimeError> {
        let sandbox = match self.inner.sandbox_of(container) {
            Err(RuntimeError::NotFound { .. }) => return Ok(()),
            other => other?,
        };
        let request = Request::RemoveContainer { container: container.clone() };
        match ask_soon(&self.inner.places.run(&sandbox), &request).await {
            Ok(Reply::Done) => {}
            Ok(Reply::Failed(failure)) => return Err(refused(container.as_str(), failure)),
            Ok(other) => return Err(odd(container.as_str(), &other)),
            // Without a shim nothing runs.
            Err(_) => {
                let record = self.inner.sandbox(&sandbox)?;
                self.inner.bury(&sandbox, &record.group).await?;
            }
        }
        let run = self.inner.places.container_run(&sandbox, container);
        let state = self.inner.places.container_state(&sandbox, container);
        let volumes = self.inner.places.volumes();
        blocking(format!("remove the files of {container}"), move || {
            plugin_volumes::unmount(&volumes, &run);
            remove_tree(&state)?;
            remove_tree(&run)
        })
        .await?;
        guard(&self.inner.names).containers.remove(container);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<SandboxStatus>, RuntimeError> {
        let mut list = Vec::new();
        for id in self.inner.places.sandboxes().map_err(system("read the run folder"))? {
            let record = self.inner.places.record(&id);
            let Some(record) = record.map_err(system(format!("read the record of {id}")))? else {
                continue;
            };
            let (alive, records) = match self.inner.status(&id).await {
                Ok((_, records)) => (true, records),
                Err(_) => {
                    self.inner.bury(&id, &record.group).await?;
                    let records = self.inner.places.container_records(&id);
                    (false, records.map_err(system(format!("read the records of {id}")))?)
                }
            };
            let containers = records.into_iter().map(|record| record.status).collect();
            list.push(SandboxStatus { spec: record.spec, alive, containers });
        }
        Ok(list)
    }

    async fn usage(
        &self,
        sandbox: &SandboxId,
    ) -> Result<BTreeMap<ContainerId, Usage>, RuntimeError> {
        self.inner.sandbox(sandbox)?;
        let records = self.inner.places.container_records(sandbox);
        let records = records.map_err(system(format!("read the records of {sandbox}")))?;
        let running = records.into_iter().filter(|record| record.status.exit.is_none());
        Ok(running
            .map(|record| (record.status.id, self.inner.cgroups.usage(&record.cgroup)))
            .collect())
    }

    async fn network_namespace(
        &self,
        sandbox: &SandboxId,
        container: Option<&ContainerId>,
    ) -> Result<OwnedFd, RuntimeError> {
        if let Some(container) = container {
            return self.inner.container_network(sandbox, container).await;
        }
        if self.inner.sandbox(sandbox)?.spec.network == NetworkMode::Host {
            let why = "it uses the node's network and has none of its own".to_owned();
            return Err(RuntimeError::Invalid { id: sandbox.to_string(), why });
        }
        // Whoever takes it holds it: a namespace that is kept here would outlive its sandbox.
        if let Some(network) = guard(&self.inner.names).networks.remove(sandbox) {
            return Ok(network);
        }
        let attempt = || format!("open the network namespace of {sandbox}");
        let (pause, _) = self.inner.status(sandbox).await.map_err(system(attempt()))?;
        let opened = std::fs::File::open(format!("/proc/{pause}/ns/net"));
        Ok(opened.map_err(system(attempt()))?.into())
    }

    async fn create_volume(&self, spec: &VolumeSpec) -> Result<(), RuntimeError> {
        let (inner, spec) = (self.inner.clone(), spec.clone());
        images::off_thread(move || inner.create_volume(&spec)).await
    }

    async fn find_volume(&self, spec: &VolumeSpec) -> Result<(), RuntimeError> {
        let (inner, spec) = (self.inner.clone(), spec.clone());
        images::off_thread(move || inner.find_volume(&spec)).await
    }

    async fn volume_drivers(&self) -> Vec<String> {
        crate::plugins::volume_drivers().await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        images::off_thread(move || inner.remove_volume(&name)).await
    }

    fn log_path(&self, sandbox: &SandboxId, container: &ContainerId) -> Option<PathBuf> {
        Some(self.inner.places.log(sandbox, container))
    }

    fn take_events(&self) -> Option<mpsc::UnboundedReceiver<Event>> {
        guard(&self.inner.receiver).take()
    }
}

/// What no program can be given.
fn check_command(id: &ContainerId, args: &[String], env: &[String]) -> Result<(), RuntimeError> {
    let mut strings = args.iter().chain(env);
    if args.first().is_none_or(String::is_empty) || strings.any(|text| text.contains('\0')) {
        let why = "a command has at least a program and no zero bytes".to_owned();
        return Err(RuntimeError::Invalid { id: id.to_string(), why });
    }
    Ok(())
}

/// Does what may wait for the disk on a thread of its own.
async fn blocking(
    attempt: String,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), RuntimeError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(system(attempt))
}

impl Inner {
    /// A sandbox that was made already and lives. One that was begun and has nothing is cleared away.
    async fn existing(&self, id: &SandboxId) -> Result<Option<Sandbox>, RuntimeError> {
        if !self.places.run(id).exists() {
            return Ok(None);
        }
        if let Ok((pid, _)) = self.status(id).await {
            return Ok(Some(Sandbox { id: id.clone(), pid }));
        }
        let records = self.places.container_records(id);
        if !records.map_err(system(format!("read the records of {id}")))?.is_empty() {
            let why = "its shim has died, and its containers with it; remove it first".to_owned();
            return Err(RuntimeError::Invalid { id: id.to_string(), why });
        }
        self.remove(id).await?;
        Ok(None)
    }

    async fn make_sandbox(self: &Arc<Self>, spec: &SandboxSpec) -> Result<Sandbox, RuntimeError> {
        let kind = slots::SlotKind::of(spec);
        let slot = self.slots.take(kind);
        if let Some((connection, slot)) = slot {
            match self.assign(spec, connection, slot).await {
                // A slot may have died of old age, or with its zygote: the cold way remains.
                Err(RuntimeError::System { .. }) => {}
                other => return other,
            }
        }
        let (connection, slot) = self.bear(kind)?;
        self.assign(spec, connection, slot).await
    }

    async fn assign(
        self: &Arc<Self>,
        spec: &SandboxSpec,
        mut connection: ShimConnection,
        Slot { group, lease }: Slot,
    ) -> Result<Sandbox, RuntimeError> {
        let id = &spec.id;
        let (state, users) = (self.places.state(id), lease.as_ref().map(Lease::range));
        let record = SandboxRecord { spec: spec.clone(), group, state, users };
        self.places.write_record(&record).map_err(system(format!("write the record of {id}")))?;
        let assign = Assign { folder: self.places.run(id), limits: spec.limits };
        let reply = connection.ask(&Request::Assign(assign)).await;
        match reply.map_err(system(format!("make the sandbox {id}")))? {
            Reply::Ready { pause } => {
                let group = record.group.clone();
                let mut names = guard(&self.names);
                names.sandboxes.insert(id.clone(), record);
                names.leases.extend(lease.map(|lease| (id.clone(), lease)));
                if spec.network == NetworkMode::Private
                    && let Ok(network) = std::fs::File::open(format!("/proc/{pause}/ns/net"))
                {
                    names.networks.insert(id.clone(), network.into());
                }
                drop(names);
                adopt::spawn_watcher(self, id.clone(), group, connection);
                Ok(Sandbox { id: id.clone(), pid: pause })
            }
            Reply::Failed(failure) => Err(refused(id.as_str(), failure)),
            other => Err(odd(id.as_str(), &other)),
        }
    }

    async fn start(self: &Arc<Self>, container: &ContainerSpec) -> Result<Started, RuntimeError> {
        let sandbox = self.sandbox(&container.sandbox)?;
        let folder = self.places.run(&container.sandbox);
        let id = container.id.as_str();
        if self.places.container_run(&container.sandbox, &container.id).exists() {
            let records = self.status(&container.sandbox).await;
            let (_, records) = records.map_err(system(format!("ask the shim of {id}")))?;
            if let Some(record) = records.into_iter().find(|r| r.status.id == container.id) {
                let pid = record.status.pid.unwrap_or(0);
                if let Some(at) = record.status.started_at {
                    return Ok(Started { pid, at, ports: Vec::new(), address: None });
                }
            }
        }
        self.ranges.check_container(container, sandbox.spec.hardened)?;
        let lower = self.config.images.layers(&container.image).map_err(|error| match error {
            ImageError::NotFound { reference, .. } => {
                RuntimeError::NotFound { what: "image", id: reference }
            }
            other => RuntimeError::System {
                attempt: format!("open the image {} of {id}", container.image),
                source: io::Error::other(other),
            },
        })?;
        let folders = Folders::of(&self.places, container);
        let prepared = self.open(container, &sandbox).await;
        let prepared =
            prepared.and_then(|opened| prepare(container, &sandbox, lower, &folders, opened));
        let prepared = prepared.and_then(|order| {
            let noted = images::note_image(&self.places, container);
            noted.map_err(system(format!("note the image of {id}"))).map(|()| order)
        });
        let result = match prepared {
            Ok(order) => match ask(&folder, &Request::Start(Box::new(order))).await {
                Ok(Reply::Started { pid, at }) => {
                    Ok(Started { pid, at, ports: Vec::new(), address: None })
                }
                Ok(Reply::Failed(failure)) => Err(refused(id, failure)),
                Ok(other) => Err(odd(id, &other)),
                Err(error) => Err(system(format!("start {id}"))(error)),
            },
            Err(error) => Err(error),
        };
        if result.is_ok() {
            let mut names = guard(&self.names);
            names.containers.insert(container.id.clone(), container.sandbox.clone());
        } else {
            let what = format!("remove the files of {id}");
            let run = self.places.container_run(&container.sandbox, &container.id);
            let volumes = self.places.volumes();
            let undo = move || {
                plugin_volumes::unmount(&volumes, &run);
                folders.remove()
            };
            blocking(what, undo).await?;
        }
        result
    }

    /// Opens what a container shares with others: volumes, which may have to be mounted from afar,
    /// and memory.
    async fn open(
        self: &Arc<Self>,
        container: &ContainerSpec,
        sandbox: &SandboxRecord,
    ) -> Result<Opened, RuntimeError> {
        let volume = |mount: &Mount| matches!(mount, Mount::Volume { .. });
        let own = matches!(sandbox.spec.ipc, IpcMode::Container | IpcMode::None);
        if own && !container.mounts.iter().any(volume) {
            return Ok(Opened { oci: self.config.oci_runtime.clone(), ..Opened::default() });
        }
        let (inner, container, sandbox) = (self.clone(), container.clone(), sandbox.clone());
        images::off_thread(move || {
            let shm = inner.open_shared_memory(&sandbox, &container)?;
            let oci = inner.config.oci_runtime.clone();
            Ok(Opened { volumes: inner.open_volumes(&container)?, shm, oci })
        })
        .await
    }

    /// The network of one container, from its shim.
    async fn container_network(
        &self,
        sandbox: &SandboxId,
        container: &ContainerId,
    ) -> Result<OwnedFd, RuntimeError> {
        check_name(container.as_str())?;
        self.sandbox(sandbox)?;
        let attempt = || system(format!("open the network of {container}"));
        let connection = ShimConnection::open(&self.places.run(sandbox)).await;
        let mut connection = connection.map_err(attempt())?;
        let request = Request::Network { container: container.clone() };
        match connection.ask(&request).await.map_err(attempt())? {
            Reply::Network => connection.take_descriptor().map_err(attempt()),
            Reply::Failed(failure) => Err(refused(container.as_str(), failure)),
            other => Err(odd(container.as_str(), &other)),
        }
    }

    /// Asks the shim of a container.
    async fn ask_for(
        &self,
        container: &ContainerId,
        request: &Request,
    ) -> Result<Reply, RuntimeError> {
        let sandbox = self.sandbox_of(container)?;
        let reply = ask(&self.places.run(&sandbox), request).await;
        match reply.map_err(system(format!("ask the shim of {container}")))? {
            Reply::Failed(failure) => Err(refused(container.as_str(), failure)),
            other => Ok(other),
        }
    }

    /// What a sandbox's shim says: its pause process and its containers.
    pub(crate) async fn status(&self, id: &SandboxId) -> io::Result<(u32, Vec<Record>)> {
        match ask_soon(&self.places.run(id), &Request::Status).await? {
            Reply::Status { pause, containers, .. } => Ok((pause, containers)),
            other => Err(io::Error::other(format!("it answered {other:?}"))),
        }
    }

    async fn remove(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let folder = self.places.run(id);
        let record = self.places.record(id).map_err(system(format!("read the record of {id}")))?;
        if let Some(record) = record {
            let asked = tokio::time::timeout(REMOVAL, ask(&folder, &Request::Remove)).await;
            if !matches!(asked, Ok(Ok(Reply::Done))) {
                super::teardown::kill_shim(&folder)
                    .map_err(system(format!("kill the shim of {id}")))?;
            }
            self.destroy_group(&record.group).await?;
        }
        self.remove_folders(id).await
    }

    /// Removes a sandbox's folders.
    pub(crate) async fn remove_folders(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let (state, run) = (self.places.state(id), self.places.run(id));
        let volumes = self.places.volumes();
        self.close_shared_memory(id).map_err(system(format!("unmount the memory of {id}")))?;
        blocking(format!("remove the files of {id}"), move || {
            plugin_volumes::unmount_all(&volumes, &run)?;
            remove_tree(&state)?;
            remove_tree(&run)
        })
        .await
    }

    fn forget(&self, id: &SandboxId) {
        let mut names = guard(&self.names);
        names.sandboxes.remove(id);
        names.networks.remove(id);
        names.leases.remove(id);
        names.containers.retain(|_, sandbox| sandbox != id);
    }
}
