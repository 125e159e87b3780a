//! What the agent is told when it starts.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shell::Clock;
use stdx::Timestamp;

use crate::cleanup::CleanUp;
use crate::gpu::Gpus;
use crate::plan::{FileSystem, NodeFacts};
use crate::task::Limits;

/// What the agent is told when it starts.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The server: `http://127.0.0.1:4747`.
    pub endpoint: String,
    /// The server's region.
    pub region: String,
    /// The cluster to join: its name or ARN. It is sent as it is written.
    pub cluster: String,
    /// Where the agent keeps what outlives it; its own alone.
    pub data_dir: PathBuf,
    /// Custom attributes of the instance: names, and values for those that have one.
    pub attributes: Vec<(String, Option<String>)>,
    /// Tags of the instance from its first registration on.
    pub tags: Vec<(String, String)>,
    /// Host ports that tasks must not get.
    pub reserved_ports: Vec<u16>,
    /// The same for UDP.
    pub reserved_ports_udp: Vec<u16>,
    /// What tasks may have altogether: CPU units, 1024 to a core.
    pub cpu: u32,
    /// What tasks may have altogether: MiB of memory, what the node needs itself taken off.
    pub memory: u32,
    /// Grace between SIGTERM and SIGKILL for containers that name none; 30 s in ECS.
    pub stop_timeout: Duration,
    /// When registries are asked for images.
    pub pull: PullBehavior,
    /// Which images are removed, and when.
    pub clean_up: CleanUp,
    /// Where the file systems are that EFS volumes name, by their ids.
    pub file_systems: BTreeMap<String, FileSystem>,
    /// The GPUs that tasks may have.
    pub gpus: Gpus,
    /// The id that whoever started this node gave it; it registers as its EC2 instance id.
    pub instance_id: Option<String>,
    /// Whether the machine is not an EC2 instance: it registers as `EXTERNAL`.
    pub external: bool,
    /// Whether it takes tasks of the launch type `FARGATE`, of every cluster.
    pub fargate: bool,
    /// The version that the agent tells.
    pub version: String,
    /// The build that the agent tells.
    pub hash: String,
    /// The name and version of what runs containers, told in the place of Docker's.
    pub runtime_version: String,
    /// How long logs are waited for, and stopped tasks remembered; ECS remembers for 3 h.
    pub limits: Limits,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Signs websocket handshakes and telemetry frames.
    pub signer: Arc<dyn Signer>,
}

impl AgentConfig {
    /// Which images are removed: none if those that are here are preferred, as the ECS agent has it.
    pub(crate) fn clean_up(&self) -> CleanUp {
        let disabled = self.clean_up.disabled || self.pull == PullBehavior::PreferCached;
        CleanUp { disabled, ..self.clean_up.clone() }
    }

    /// What planning needs to know.
    pub fn node_facts(&self) -> NodeFacts {
        NodeFacts {
            region: self.region.clone(),
            volumes_dir: self.data_dir.join("volumes"),
            firelens_dir: self.data_dir.join("firelens"),
            stop_timeout: self.stop_timeout,
            file_systems: self.file_systems.clone(),
            gpus: self.gpus.clone(),
            ..NodeFacts::default()
        }
    }
}

/// When registries are asked for images (`ECS_IMAGE_PULL_BEHAVIOR`).
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullBehavior {
    /// Always; what is here is used if that fails.
    Default,
    /// Always; the container does not start if that fails.
    Always,
    /// Only if no task on this node has pulled it.
    Once,
    /// Only if it is not here.
    PreferCached,
}

/// Signs as AWS's Signature Version 4 has it.
pub trait Signer: Send + Sync + Debug {
    /// The headers that sign a `GET` of `url` with this body: `host`, `x-amz-date`,
    /// `authorization`, and `x-amz-security-token` for temporary credentials. A websocket's
    /// handshake has an empty body; a telemetry frame is signed over its JSON.
    ///
    /// # Errors
    /// The URL cannot be signed for.
    fn sign(
        &self,
        url: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Vec<(String, String)>, SignError>;
}

/// A request that cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("sign a request to {url}: {why}")]
pub struct SignError {
    /// Where it goes.
    pub url: String,
    /// Why not.
    pub why: String,
}
