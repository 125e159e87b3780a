//! Docker Engine as a [`Runtime`](crate::Runtime), through its API on the local socket.
//!
//! The Engine is the truth: whatever this side knows it can ask again, by the labels that everything
//! bears that it made. A sandbox is no object of Docker's: it is labels on its containers and a small
//! record, so that starting a container costs one `create` and one `start` and nothing besides. Only
//! containers that share processes or shared memory need a process that holds these for them.

#[expect(clippy::disallowed_types, reason = "the maps of the client's crate")]
mod create;
mod exec;
mod fault;
#[expect(clippy::disallowed_types, reason = "the maps of the client's crate")]
mod found;
mod group;
#[expect(clippy::disallowed_types, reason = "the maps of the client's crate")]
mod images;
mod logs;
#[expect(clippy::disallowed_types, reason = "the maps of the client's crate")]
mod names;
mod pause;
mod records;
mod runtime;
mod session;
mod start;
#[expect(clippy::disallowed_types, reason = "the maps of the client's crate")]
mod volumes;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bollard::API_DEFAULT_VERSION;
use shell::Clock;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use self::names::Names;
use self::records::Records;
use self::watch::Watched;
use crate::{ContainerId, Event, RuntimeError};

/// Seconds that the Engine may take to begin an answer.
const PATIENCE: u64 = 120;

/// What this runtime is given.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    /// Where the Engine listens: `unix:///var/run/docker.sock`.
    pub host: String,
    /// Records of sandboxes, and containers' logs.
    pub state_dir: PathBuf,
    /// Tells the containers of this caller from those of others on the same Engine: a few letters.
    pub tag: String,
    /// The cgroup under which sandboxes with limits of their own are, such as `/wharf`.
    pub cgroup_parent: String,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Docker Engine. Dropping it leaves containers running; [`Docker::open`] finds them again.
#[derive(Debug)]
pub struct Docker {
    inner: Arc<Inner>,
    watcher: AbortHandle,
}

/// What the tasks of this runtime share.
#[derive(Debug)]
pub(crate) struct Inner {
    config: DockerConfig,
    engine: bollard::Docker,
    /// The socket's path.
    socket: String,
    version: String,
    /// The Engine leaves cgroups to systemd.
    systemd: bool,
    /// The log drivers that the Engine has.
    drivers: Vec<String>,
    /// It has NVIDIA's container runtime, so that it passes GPUs by their ids.
    nvidia: bool,
    names: Names,
    records: Records,
    watched: Mutex<Watched>,
    /// The images that were pulled from here, once read.
    notes: Mutex<Option<BTreeMap<String, images::Pulled>>>,
    /// Notified whenever a container ends.
    ended: Notify,
    events: mpsc::UnboundedSender<Event>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Event>>>,
    /// Those who write down what containers say.
    followers: Mutex<BTreeMap<ContainerId, tokio::task::JoinHandle<()>>>,
}

impl Docker {
    /// Connects to the Engine and finds what is there. Call it in a tokio runtime.
    ///
    /// # Errors
    ///
    /// The host is not a local socket; the Engine does not answer; the state folder cannot be made.
    pub async fn open(config: DockerConfig) -> Result<Self, RuntimeError> {
        let socket = socket_of(&config.host)?;
        let absent = |why: String| RuntimeError::Unsupported {
            what: "run containers on Docker Engine".to_owned(),
            why: format!("{why}: start Docker Engine, or use --runtime embedded"),
        };
        let engine = bollard::Docker::connect_with_unix(&socket, PATIENCE, API_DEFAULT_VERSION)
            .map_err(|_| absent(format!("Docker Engine at {socket} is not there")))?;
        let engine = engine.negotiate_version().await.map_err(|error| {
            absent(format!("Docker Engine at {socket} does not answer ({})", stdx::chain(&error)))
        })?;
        let info = engine.info().await.map_err(|error| {
            absent(format!("Docker Engine at {socket} does not answer ({})", stdx::chain(&error)))
        })?;
        let systemd = info.cgroup_driver.is_some_and(|driver| driver.to_string() == "systemd");
        let nvidia = info.runtimes.is_some_and(|all| all.contains_key("nvidia"));
        let drivers = info.plugins.and_then(|plugins| plugins.log).unwrap_or_default();
        let records = Records::open(&config.state_dir)?;
        let (events, receiver) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            names: Names::new(&config.tag),
            config,
            engine,
            socket,
            version: info.server_version.unwrap_or_default(),
            systemd,
            drivers,
            nvidia,
            records,
            watched: Mutex::default(),
            notes: Mutex::default(),
            ended: Notify::new(),
            events,
            receiver: Mutex::new(Some(receiver)),
            followers: Mutex::default(),
        });
        inner.look(true).await?;
        let watcher = tokio::spawn(watch::watch(Arc::clone(&inner))).abort_handle();
        Ok(Self { inner, watcher })
    }

    /// The Engine's version, such as `20.10.24`.
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    /// Removes everything that this tag made: containers, their logs, cgroups, and of the volumes
    /// those with the label `wharf.scope=task`; the others are for keeping.
    ///
    /// # Errors
    ///
    /// The first thing that could not be removed; the others have been tried.
    pub async fn clear(&self) -> Result<(), RuntimeError> {
        let containers = self.inner.labelled(None).await?;
        let ids = containers.into_iter().filter_map(|container| container.id);
        let mut result = Ok(());
        for id in ids.collect::<Vec<_>>() {
            result = result.and(self.inner.discard(&id).await);
        }
        result = result.and(self.inner.clear_volumes().await);
        result = result.and(self.inner.records.clear());
        result.and(group::clear(&self.inner.config.cgroup_parent))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.watcher.abort();
        for (_, follower) in std::mem::take(&mut *guard(&self.inner.followers)) {
            follower.abort();
        }
    }
}

/// The path in `unix:///path`.
fn socket_of(host: &str) -> Result<String, RuntimeError> {
    let path = host.strip_prefix("unix://").filter(|path| path.starts_with('/'));
    path.map(str::to_owned).ok_or_else(|| RuntimeError::Unsupported {
        what: format!("reach Docker Engine at {host:?}"),
        why: "only the Engine of this machine can be used, by its socket: give --docker-host \
              unix:///var/run/docker.sock"
            .to_owned(),
    })
}

/// A lock whose holders cannot panic half-way: what it guards is whole even after a panic.
pub(crate) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_sockets_are_taken() {
        assert_eq!(socket_of("unix:///run/d.sock").unwrap(), "/run/d.sock");
        for host in ["tcp://127.0.0.1:2375", "/var/run/docker.sock", "unix://relative"] {
            let refusal = socket_of(host).unwrap_err().to_string();
            assert!(refusal.contains("--docker-host unix://"), "{refusal}");
        }
    }
}
