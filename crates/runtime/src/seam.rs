//! The seam between the node's agent and whatever runs containers.
//!
//! [`Runtime`] is implemented by the embedded engine, by Docker Engine and by a fake; one suite holds
//! them to the same behaviour.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use stdx::Timestamp;
use tokio::sync::mpsc;

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

    /// Opens a network-namespace handle of a sandbox with a private network.
    async fn network_namespace(&self, sandbox: &SandboxId) -> Result<OwnedFd, RuntimeError>;

    /// Where the container's log files are: see [`crate::log`] for the format. None if its output is
    /// not kept by this runtime.
    fn log_path(&self, sandbox: &SandboxId, container: &ContainerId) -> Option<PathBuf>;

    /// What happens from now on. One receiver takes it all; called once.
    fn take_events(&self) -> Option<mpsc::UnboundedReceiver<Event>>;
}

/// An image to make present.
#[derive(Clone, Debug)]
pub struct ImageRequest {
    /// As the user wrote it: `name[:tag][@digest]`, with or without a registry's host.
    pub reference: String,
    /// When to ask the registry.
    pub policy: PullPolicy,
    /// Who asks, if the registry wants to know.
    pub credentials: Option<Credentials>,
    /// Where the registry is really reached, if not under the reference's host: `(host, plain http)`.
    pub endpoint: Option<(String, bool)>,
}

/// When the registry is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Always; a failure is an error.
    Always,
    /// Always, but an image already present is used when the registry cannot be reached or refuses.
    PreferFresh,
    /// Only if nothing by that name is present.
    IfAbsent,
}

/// A user name and password for a registry.
#[derive(Clone)]
pub struct Credentials {
    /// The user; `AWS` for ECR.
    pub username: String,
    /// The password or token.
    pub password: String,
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// An image that is present.
#[derive(Clone, Debug)]
pub struct Image {
    /// `sha256:…` of the manifest for this platform.
    pub digest: String,
    /// `sha256:…` of the configuration: the image's id on this node, what a container refers to.
    pub id: String,
    /// What the image says of how to run it.
    pub config: ImageConfig,
    /// When something was really pulled: its beginning and end.
    pub pulled: Option<(Timestamp, Timestamp)>,
}

/// How an image wants to be run, from its configuration (OCI image-spec, `config`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Comes before the command.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// `user[:group]`, names or numbers; empty for root.
    pub user: String,
    /// Empty for `/`.
    pub working_dir: String,
    /// Such as `SIGTERM`; empty for that.
    pub stop_signal: String,
}

/// Why an image is not present.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The reference cannot be read.
    #[error("image reference \"{reference}\" cannot be read: {why}")]
    Reference {
        /// As given.
        reference: String,
        /// What is wrong with it.
        why: String,
    },
    /// The registry does not have it.
    #[error("{reference} does not exist on {host}")]
    NotFound {
        /// As given.
        reference: String,
        /// The registry asked.
        host: String,
    },
    /// The registry wants other credentials.
    #[error("{host} refused access to {reference}: {why}")]
    Denied {
        /// As given.
        reference: String,
        /// The registry asked.
        host: String,
        /// The registry's answer.
        why: String,
    },
    /// The registry could not be reached, or failed.
    #[error("{host} could not be asked for {reference}")]
    Unreachable {
        /// As given.
        reference: String,
        /// The registry asked.
        host: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No manifest for this machine.
    #[error("{reference} has no image for {platform}; it has {available}")]
    Platform {
        /// As given.
        reference: String,
        /// This machine.
        platform: String,
        /// What the index lists.
        available: String,
    },
    /// What was received is not a valid image.
    #[error("{reference} is not a valid image: {why}")]
    Invalid {
        /// As given.
        reference: String,
        /// What is wrong.
        why: String,
    },
    /// The node could not store it.
    #[error("{reference} could not be stored at {path}")]
    Store {
        /// As given.
        reference: String,
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}

/// A sandbox to make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// Its name.
    pub id: SandboxId,
    /// Free words that come back from [`Runtime::list`].
    pub labels: BTreeMap<String, String>,
    /// The network its containers share.
    pub network: NetworkMode,
    /// Limits over all containers together.
    pub limits: Limits,
}

/// The network of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// An own network namespace; the caller wires it up before it starts containers. Loopback is up.
    Private,
    /// The node's own.
    Host,
}

/// Limits of a cgroup; `None` for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory; the kernel kills beyond.
    pub memory_bytes: Option<u64>,
    /// Bytes of memory and swap together; `None` is twice the memory, as Docker has it.
    pub memory_swap_bytes: Option<u64>,
    /// Bytes that are kept under memory pressure (soft limit).
    pub memory_reservation_bytes: Option<u64>,
    /// Relative weight, Docker's CPU shares (1024 = one core's worth); at least 2.
    pub cpu_shares: Option<u64>,
    /// Thousandths of a core that may be used at most.
    pub cpu_millis: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// A sandbox that stands.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Its name.
    pub id: SandboxId,
    /// The process that holds its namespaces, for `/proc/PID/ns/*`.
    pub pid: u32,
}

/// A container to start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Its name.
    pub id: ContainerId,
    /// Where it runs.
    pub sandbox: SandboxId,
    /// [`Image::id`] of an image that is present.
    pub image: String,
    /// Program and arguments; never empty.
    pub args: Vec<String>,
    /// `NAME=value`, complete (the image's own are not added). `PATH` gets Docker's default if absent.
    pub env: Vec<String>,
    /// Where it starts; made if absent.
    pub cwd: String,
    /// `user[:group]`, names from the image's files or numbers; empty for root.
    pub user: String,
    /// Further group ids or names.
    pub groups: Vec<String>,
    /// The host name it sees; empty for the sandbox's first 12 letters. Ignored with the node's network.
    pub hostname: String,
    /// Mounts in order.
    pub mounts: Vec<Mount>,
    /// Added to Docker's default capabilities; `ALL` for all. Such as `NET_ADMIN`.
    pub cap_add: Vec<String>,
    /// Taken from them; `ALL` for all.
    pub cap_drop: Vec<String>,
    /// Everything allowed: all capabilities, devices, no seccomp, no masked paths.
    pub privileged: bool,
    /// The root is read-only.
    pub readonly_root: bool,
    /// Forbids gaining privileges by execve.
    pub no_new_privileges: bool,
    /// A small init as process 1 that forwards signals and reaps.
    pub init: bool,
    /// A terminal instead of pipes.
    pub tty: bool,
    /// Standard input stays open.
    pub open_stdin: bool,
    /// Limits of this container alone.
    pub limits: Limits,
    /// `(name, soft, hard)`, names as in ECS: `nofile`, `nproc`, …
    pub ulimits: Vec<(String, u64, u64)>,
    /// `net.*` and other namespaced kernel settings.
    pub sysctls: BTreeMap<String, String>,
    /// Size of `/dev/shm`; 64 MiB if absent.
    pub shm_bytes: Option<u64>,
    /// Host devices to pass: `(host path, container path, "rwm")`.
    pub devices: Vec<(String, String, String)>,
    /// `(host name, address)` lines for `/etc/hosts`.
    pub hosts: Vec<(String, String)>,
    /// Name servers for `/etc/resolv.conf`; empty for the node's own.
    pub dns_servers: Vec<String>,
    /// Search domains for `/etc/resolv.conf`.
    pub dns_search: Vec<String>,
    /// The address that `/etc/hosts` gives to the host name.
    pub address: Option<String>,
    /// The probe, run by the supervising process also while the caller is away.
    pub health: Option<HealthCheck>,
    /// What becomes of its output.
    pub log: LogMode,
    /// The signal that asks it to end, such as `SIGTERM`; empty for that.
    pub stop_signal: String,
}

/// One mount of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mount {
    /// A folder or file of the host; a folder is made if it is absent.
    Bind {
        /// On the host.
        source: PathBuf,
        /// In the container.
        target: PathBuf,
        /// Not writable.
        readonly: bool,
    },
    /// Memory.
    Tmpfs {
        /// In the container.
        target: PathBuf,
        /// At most so large.
        size_bytes: Option<u64>,
        /// Mount options such as `noexec`.
        options: Vec<String>,
    },
}

/// Docker's health check, as ECS passes it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Program and arguments (a shell command is `/bin/sh -c …`).
    pub args: Vec<String>,
    /// Between two probes.
    pub interval: Duration,
    /// A probe that takes longer has failed.
    pub timeout: Duration,
    /// So many failures in a row make it unhealthy.
    pub retries: u32,
    /// Failures in this time after the start do not count.
    pub start_period: Duration,
}

/// What becomes of standard output and error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogMode {
    /// Thrown away.
    None,
    /// Framed into rotated files; a writer waits when the disk does.
    Files {
        /// A file is turned at this size.
        max_bytes: u64,
        /// So many files are kept.
        max_files: u32,
        /// Lines are dropped (and counted) rather than the program stopped, beyond a buffer of this size.
        non_blocking_bytes: Option<u64>,
    },
}

/// A container that started.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// Its first process as the node sees it.
    pub pid: u32,
    /// When it was executed.
    pub at: Timestamp,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The status; 128 + n for signal n; none if it is lost (the watcher died with it).
    pub code: Option<i32>,
    /// Killed by the kernel for want of memory, itself or a child.
    pub oom_killed: bool,
    /// When.
    pub at: Timestamp,
}

/// A program to run in a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecSpec {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Added to the container's own.
    pub env: Vec<String>,
    /// `user[:group]`; empty for the container's.
    pub user: String,
    /// Killed after this time.
    pub timeout: Duration,
    /// So much of its output is returned.
    pub max_output: usize,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecResult {
    /// As in [`Exit::code`]; 124 if it was killed for its time.
    pub code: i32,
    /// Standard output and error as they came.
    pub output: Vec<u8>,
}

/// A sandbox as found on the node.
#[derive(Clone, Debug)]
pub struct SandboxStatus {
    /// As it was made.
    pub spec: SandboxSpec,
    /// Whether its watcher lives; if not, its containers are dead and it wants removing.
    pub alive: bool,
    /// Its containers, started or exited, not removed.
    pub containers: Vec<ContainerStatus>,
}

/// A container as found on the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Its name.
    pub id: ContainerId,
    /// Its first process, while it runs.
    pub pid: Option<u32>,
    /// When it was executed.
    pub started_at: Option<Timestamp>,
    /// How it ended, once it has.
    pub exit: Option<Exit>,
    /// The last verdict of its probe and since when.
    pub health: Option<(Health, Timestamp)>,
}

/// The verdict of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Health {
    /// No verdict yet.
    Unknown,
    /// The last probe succeeded.
    Healthy,
    /// As many probes failed in a row as make it so.
    Unhealthy,
}

/// What a container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Nanoseconds of CPU since it started.
    pub cpu_nanos: u64,
    /// Bytes of memory now, without reclaimable page cache.
    pub memory_bytes: u64,
    /// Processes and threads now.
    pub pids: u64,
    /// Bytes read from and written to disks.
    pub io_bytes: (u64, u64),
}

/// What happens to containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A container ended.
    Exited {
        /// Where.
        sandbox: SandboxId,
        /// Which.
        container: ContainerId,
        /// How.
        exit: Exit,
    },
    /// A probe changed its verdict.
    Health {
        /// Where.
        sandbox: SandboxId,
        /// Which.
        container: ContainerId,
        /// Now.
        health: Health,
        /// Since when.
        at: Timestamp,
    },
    /// A sandbox's watcher died; its containers died with it.
    SandboxLost {
        /// Which.
        sandbox: SandboxId,
    },
}

/// Why something could not be done with a container.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There is no such sandbox or container.
    #[error("{what} {id} does not exist on this node")]
    NotFound {
        /// "sandbox" or "container".
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// The specification asks for something impossible.
    #[error("{id} cannot be made: {why}")]
    Invalid {
        /// The sandbox's or container's name.
        id: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// The container's program could not be executed: not found, not executable, no such user, …
    #[error("{id} could not start: {why}")]
    Start {
        /// The container's name.
        id: String,
        /// Such as `exec: "/nope": no such file or directory`.
        why: String,
    },
    /// This node lacks something that was asked for.
    #[error("this node cannot {what}: {why}")]
    Unsupported {
        /// The wish.
        what: String,
        /// The reason and the remedy.
        why: String,
    },
    /// A system call or a supervising process failed.
    #[error("{attempt}")]
    System {
        /// What was attempted, on what.
        attempt: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}
