//! Sandboxes and containers to make.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ContainerId, SandboxId};
#[expect(unused_imports, reason = "linked to by the documentation")]
use super::{Image, Runtime, Started};

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
    /// Whose processes a container sees.
    pub pid: PidMode,
    /// Whose shared memory and semaphores a container sees.
    pub ipc: IpcMode,
    /// Whether it is refused rather than made without a user namespace of its own, or with anything
    /// of the node's.
    #[serde(default)]
    pub hardened: bool,
}

/// The process namespace of a sandbox's containers (ECS `pidMode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidMode {
    /// Each container sees its own processes.
    #[default]
    Container,
    /// The containers of a sandbox see each other's.
    Sandbox,
    /// The node's.
    Host,
}

/// The IPC namespace of a sandbox's containers (ECS `ipcMode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpcMode {
    /// Each container has its own, `/dev/shm` included.
    #[default]
    Container,
    /// The containers of a sandbox share one, `/dev/shm` included.
    Sandbox,
    /// The node's, `/dev/shm` included.
    Host,
    /// An own one, and no `/dev/shm` is mounted.
    None,
}

/// The network of one container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerNetwork {
    /// Its sandbox's.
    #[default]
    Sandbox,
    /// A private one of its own, wired up by the caller before the start: see
    /// [`Runtime::network_namespace`].
    Own,
    /// Loopback only, apart from the sandbox's.
    None,
}

/// A port to publish, for a runtime that publishes ports itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// In the container.
    pub container_port: u16,
    /// On the node; before the start `None` asks for any that is free.
    pub host_port: Option<u16>,
    /// UDP rather than TCP.
    pub udp: bool,
}

/// A system call filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// Docker's default profile.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile in Docker's JSON format.
    Profile(String),
}

/// A volume to make: Docker's words, the driver `local` everywhere, others where a runtime has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Its name on this node.
    pub name: String,
    /// `local`, or a plugin's name.
    pub driver: String,
    /// Such as `type`, `device` and `o` of the driver `local`, which then mounts.
    pub options: BTreeMap<String, String>,
    /// Free words.
    pub labels: BTreeMap<String, String>,
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
    /// GPUs by their ids; heeded only where [`Runtime::takes_gpus`], else they are devices and mounts.
    #[serde(default)]
    pub gpus: Vec<String>,
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
    /// Its network, if not its sandbox's.
    pub network: ContainerNetwork,
    /// Ports to publish; heeded only where [`Runtime::owns_network`].
    pub ports: Vec<PublishedPort>,
    /// How willingly its memory is swapped out, 0 to 100; the node's own if absent.
    pub swappiness: Option<u8>,
    /// The system call filter, unless privileged.
    pub seccomp: Seccomp,
    /// An AppArmor profile by name; the runtime's default if absent.
    pub apparmor: Option<String>,
    /// Docker labels.
    pub labels: BTreeMap<String, String>,
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
    /// A volume that [`Runtime::create_volume`] made. One that is empty is first filled with what the
    /// image has at the target, as Docker does.
    Volume {
        /// The volume's name.
        name: String,
        /// In the container.
        target: PathBuf,
        /// Not writable.
        readonly: bool,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Handed to a log driver of the runtime's own, one of [`Runtime::log_drivers`].
    Driver {
        /// Docker's name of it, such as `syslog`.
        name: String,
        /// Its options as Docker has them.
        options: BTreeMap<String, String>,
    },
}
