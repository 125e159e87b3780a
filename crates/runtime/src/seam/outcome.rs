//! What became of sandboxes and containers.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

#[expect(unused_imports, reason = "linked to by the documentation")]
use super::Runtime;
use super::{ContainerId, PublishedPort, SandboxId, SandboxSpec};

/// A container that started.
#[derive(Clone, Debug)]
pub struct Started {
    /// Its first process as the node sees it.
    pub pid: u32,
    /// When it was executed.
    pub at: Timestamp,
    /// What was published, where [`Runtime::owns_network`].
    pub ports: Vec<PublishedPort>,
    /// Its address, where [`Runtime::owns_network`].
    pub address: Option<Ipv4Addr>,
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
