//! The seam between the node's agent and whatever runs containers.
//!
//! [`Runtime`] is implemented by the embedded engine, by Docker Engine and by a fake; one suite holds
//! them to the same behaviour.

mod container;
mod error;
mod image;
mod outcome;
mod session;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

pub use self::container::*;
pub use self::error::*;
pub use self::image::*;
pub use self::outcome::*;
pub use self::session::*;

stdx::ids! {
    /// Names a sandbox on this node; chosen by the caller; letters, digits, `-` and `_`, at most 64.
    SandboxId;
    /// Names a container on this node; chosen by the caller; same letters as a sandbox's.
    ContainerId;
}

/// What runs containers.
///
/// Every method may be called again after a crash of the caller: what is done already is not done
/// twice, and what is gone already is success for `remove_*` and `stop_*`.
#[async_trait]
pub trait Runtime: Send + Sync + Debug {
    /// Makes the image present, pulling what is missing under `policy`, and tells its digest and
    /// configuration.
    async fn ensure_image(&self, request: &ImageRequest) -> Result<Image, ImageError>;

    /// Makes the namespaces and the cgroup of a sandbox, and the process that watches over them.
    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<Sandbox, RuntimeError>;

    /// Starts a container in a sandbox and returns once its program has been executed, or with the
    /// reason why it could not be.
    async fn start_container(&self, spec: &ContainerSpec) -> Result<Started, RuntimeError>;

    /// Sends a signal to the container's first process. Gone already is success.
    async fn signal(&self, container: &ContainerId, signal: i32) -> Result<(), RuntimeError>;

    /// SIGTERM (or the image's stop signal), then SIGKILL after `grace`; returns when it has exited.
    async fn stop_container(
        &self,
        container: &ContainerId,
        grace: Duration,
    ) -> Result<Exit, RuntimeError>;

    /// Runs a program in a running container to its end, with at most `timeout`, and returns its
    /// output's first `max_output` bytes.
    async fn exec(
        &self,
        container: &ContainerId,
        spec: &ExecSpec,
    ) -> Result<ExecResult, RuntimeError>;

    /// Kills what still runs in a sandbox and removes it: processes, namespaces, cgroups, files
    /// (logs too). Gone already is success.
    async fn remove_sandbox(&self, sandbox: &SandboxId) -> Result<(), RuntimeError>;

    /// Removes one exited container's files and cgroup, so that it may be started again under the
    /// same name. Its log goes on.
    async fn remove_container(&self, container: &ContainerId) -> Result<(), RuntimeError>;

    /// Every sandbox on this node that this runtime made and has not removed, as found on the node,
    /// not as remembered.
    async fn list(&self) -> Result<Vec<SandboxStatus>, RuntimeError>;

    /// What one sandbox uses at present.
    async fn usage(
        &self,
        sandbox: &SandboxId,
    ) -> Result<BTreeMap<ContainerId, Usage>, RuntimeError>;

    /// Runs a program in a running container with its input and output connected.
    async fn open_session(
        &self,
        container: &ContainerId,
        spec: &SessionSpec,
    ) -> Result<Session, RuntimeError> {
        let _ = spec;
        Err(unsupported(&format!("open a session in {container}")))
    }

    /// Whether this runtime wires networks and publishes ports by itself. Then `network_namespace` is
    /// not called, [`ContainerSpec::ports`] are its to publish, and [`Started`] tells what came of it.
    fn owns_network(&self) -> bool {
        false
    }

    /// Opens a network-namespace handle of a sandbox with a private network: the sandbox's own, or
    /// the one of a container that is to start with [`ContainerNetwork::Own`], made at the first call.
    async fn network_namespace(
        &self,
        sandbox: &SandboxId,
        container: Option<&ContainerId>,
    ) -> Result<OwnedFd, RuntimeError>;

    /// Makes a volume; one that exists with the same driver and options is success.
    async fn create_volume(&self, spec: &VolumeSpec) -> Result<(), RuntimeError> {
        Err(unsupported(&format!("make volume {}", spec.name)))
    }

    /// Makes sure of a volume that something else has made: that it is there, as far as this runtime
    /// finds out before a container mounts it.
    async fn find_volume(&self, _: &VolumeSpec) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// The volume drivers that this node has beside `local`.
    async fn volume_drivers(&self) -> Vec<String> {
        Vec::new()
    }

    /// Removes a volume and what is in it. Gone already is success.
    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        Err(unsupported(&format!("remove volume {name}")))
    }

    /// Every image on this node.
    async fn images(&self) -> Result<Vec<StoredImage>, RuntimeError> {
        Err(unsupported("list images"))
    }

    /// Removes an image and the layers that only it had. One in use is an error; gone already is
    /// success.
    async fn remove_image(&self, id: &str) -> Result<(), RuntimeError> {
        Err(unsupported(&format!("remove image {id}")))
    }

    /// The log drivers that this runtime hands output to by itself, under [`LogMode::Driver`].
    fn log_drivers(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether this runtime passes GPUs by their ids, [`ContainerSpec::gpus`].
    fn takes_gpus(&self) -> bool {
        false
    }

    /// Where the container's log files are: see [`crate::log`] for the format. None if its output is
    /// not kept by this runtime.
    fn log_path(&self, sandbox: &SandboxId, container: &ContainerId) -> Option<PathBuf>;

    /// What happens from now on. One receiver takes it all; called once.
    fn take_events(&self) -> Option<mpsc::UnboundedReceiver<Event>>;
}

/// What a runtime that lacks something says.
fn unsupported(what: &str) -> RuntimeError {
    RuntimeError::Unsupported {
        what: what.to_owned(),
        why: "this container runtime has no such function; use another by --runtime".to_owned(),
    }
}
