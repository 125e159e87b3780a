//! Joining the cluster: what the instance is and has.

use std::time::Duration;

use aws::ClientError;
use aws::ecs::{
    Attribute, PlatformDevice, PlatformDeviceType, RegisterContainerInstanceRequest, Resource, Tag,
    VersionInfo,
};
use serde::{Deserialize, Serialize};
use shell::OsEntropy;
use stdx::Backoff;

use crate::calls::{Calls, is};
use crate::config::AgentConfig;
use crate::record::Recorder;

/// The attribute of nodes that take tasks of the launch type `FARGATE`.
const FARGATE: &str = "wharf.capability.fargate";

/// The record of the instance that this node is.
pub(crate) const INSTANCE_FILE: &str = "instance.json";

/// What this node was registered as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// The cluster as configured.
    pub(crate) cluster: String,
    /// The container instance's ARN.
    pub(crate) arn: String,
}

/// Why the node cannot join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The server refuses it, and would again.
    #[error("join cluster {cluster} at {endpoint}")]
    Refused {
        /// The cluster.
        cluster: String,
        /// The server.
        endpoint: String,
        /// The server's answer.
        #[source]
        source: ClientError,
    },
    /// The server's answer lacks what it must have.
    #[error("join cluster {cluster} at {endpoint}: the server's answer {lacks}")]
    Answer {
        /// The cluster.
        cluster: String,
        /// The server.
        endpoint: String,
        /// What is wrong with it.
        lacks: String,
    },
}

fn attribute(name: &str, value: Option<&str>) -> Attribute {
    Attribute {
        name: Some(name.to_owned()),
        value: value.map(str::to_owned),
        ..Attribute::default()
    }
}

/// The registration of this node with what it can do, or again of the instance with this ARN.
pub(crate) fn request(
    config: &AgentConfig,
    capabilities: &[String],
    known: Option<&str>,
) -> RegisterContainerInstanceRequest {
    let mut attributes = Vec::new();
    // As the ECS agent has it: custom attributes may have been changed at the server since.
    if known.is_none() {
        attributes.extend(config.attributes.iter().map(|(n, v)| attribute(n, v.as_deref())));
    }
    attributes.extend(capabilities.iter().map(|name| attribute(name, None)));
    if config.external {
        attributes.push(attribute("ecs.capability.external", None));
    }
    if config.fargate {
        attributes.push(attribute(FARGATE, None));
    }
    if let Some(driver) = &config.gpus.driver {
        let name = format!("ecs.capability.nvidia-driver-version.{driver}");
        attributes.push(attribute(&name, None));
        attributes.push(attribute("ecs.capability.gpu-driver-version", Some(driver)));
    }
    for (name, value) in [
        ("ecs.os-type", "linux"),
        ("ecs.os-family", "LINUX"),
        ("ecs.cpu-architecture", architecture()),
    ] {
        attributes.push(attribute(name, Some(value)));
    }
    // Tags too may have been changed since.
    let tag = |(key, value): &(String, String)| Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    let tags = known.is_none().then(|| config.tags.iter().map(tag).collect::<Vec<_>>());
    RegisterContainerInstanceRequest {
        tags: tags.filter(|tags| !tags.is_empty()),
        cluster: Some(config.cluster.clone()),
        container_instance_arn: known.map(str::to_owned),
        instance_identity_document: Some(identity(config.instance_id.as_deref())),
        instance_identity_document_signature: Some(String::new()),
        attributes: Some(attributes),
        total_resources: Some(vec![
            integer("CPU", config.cpu),
            integer("MEMORY", config.memory),
            ports("PORTS", &config.reserved_ports),
            ports("PORTS_UDP", &config.reserved_ports_udp),
        ]),
        platform_devices: gpus(config),
        version_info: Some(VersionInfo {
            agent_hash: Some(config.hash.clone()),
            agent_version: Some(config.version.clone()),
            docker_version: Some(config.runtime_version.clone()),
        }),
    }
}

/// What EC2 would say of this node; nothing if nobody gave it an id.
fn identity(instance_id: Option<&str>) -> String {
    instance_id.map_or_else(String::new, |id| serde_json::json!({ "instanceId": id }).to_string())
}

/// The node's GPUs, as AWS's agent tells of them.
fn gpus(config: &AgentConfig) -> Option<Vec<PlatformDevice>> {
    let device = |gpu: &crate::gpu::Gpu| PlatformDevice {
        id: Some(gpu.id.clone()),
        r#type: Some(PlatformDeviceType::Gpu),
    };
    (!config.gpus.all.is_empty()).then(|| config.gpus.all.iter().map(device).collect())
}

/// ECS's name of this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

fn integer(name: &str, value: u32) -> Resource {
    Resource {
        name: Some(name.to_owned()),
        r#type: Some("INTEGER".to_owned()),
        integer_value: Some(i32::try_from(value).unwrap_or(i32::MAX)),
        ..Resource::default()
    }
}

fn ports(name: &str, ports: &[u16]) -> Resource {
    Resource {
        name: Some(name.to_owned()),
        r#type: Some("STRINGSET".to_owned()),
        string_set_value: Some(ports.iter().map(ToString::to_string).collect()),
        ..Resource::default()
    }
}

/// Registers until the server answers: anew, or as the instance that this node was.
///
/// # Errors
/// The server refuses what it would refuse again.
pub(crate) async fn join(
    config: &AgentConfig,
    capabilities: &[String],
    calls: &dyn Calls,
    recorder: &Recorder,
) -> Result<Instance, JoinError> {
    let mut known = recorder
        .read::<Instance>(INSTANCE_FILE)
        .filter(|instance| instance.cluster == config.cluster)
        .map(|instance| instance.arn);
    let mut busy = Backoff::new(Duration::from_secs(3), Duration::from_secs(192));
    let mut away = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        let error = match calls.register(request(config, capabilities, known.as_deref())).await {
            Ok(answer) => {
                let arn = answer.container_instance.and_then(|i| i.container_instance_arn);
                let arn = arn.ok_or_else(|| JoinError::Answer {
                    cluster: config.cluster.clone(),
                    endpoint: config.endpoint.clone(),
                    lacks: "has no containerInstanceArn".to_owned(),
                })?;
                let instance = Instance { cluster: config.cluster.clone(), arn };
                recorder.write(INSTANCE_FILE, &instance);
                return Ok(instance);
            }
            Err(error) => error,
        };
        let final_answer =
            ["ClientException", "InvalidParameterException", "ClusterNotFoundException"]
                .into_iter()
                .any(|code| is(&error, code));
        let text = stdx::chain(&error);
        if final_answer && let Some(arn) = known.take() {
            // It was deregistered, or the server lost its data: a new instance, then.
            tracing::warn!(
                arn,
                error = text,
                "The server does not take this node back; it joins as a new instance."
            );
        } else if final_answer || !error.retryable() {
            let (cluster, endpoint) = (config.cluster.clone(), config.endpoint.clone());
            return Err(JoinError::Refused { cluster, endpoint, source: error });
        } else {
            tracing::warn!(
                endpoint = config.endpoint,
                error = text,
                "The server cannot be joined yet."
            );
            let backoff = if error.service().is_some() { &mut busy } else { &mut away };
            tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
        }
    }
}
