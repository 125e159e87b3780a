//! What the messages of the telemetry service carry.
//!
//! The stock agent's model: `ecs-agent/tcs/model/api/api-2.json` of amazon-ecs-agent.

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::ecs;

/// What tasks use. At most 10 tasks and 1 MiB; the last of a round is `fin`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishMetricsRequest {
    /// Whose.
    pub metadata: MetricsMetadata,
    /// By task; none if idle.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub task_metrics: Vec<TaskMetric>,
    /// The instance's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_metrics: Option<InstanceMetrics>,
    /// When.
    #[serde(with = "crate::value::timestamp", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
}

/// Whose metrics these are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricsMetadata {
    /// The cluster, as the agent was told.
    pub cluster: String,
    /// The instance's ARN.
    pub container_instance: String,
    /// The round's id.
    pub message_id: String,
    /// Whether nothing runs.
    pub idle: bool,
    /// Whether it is the round's last.
    pub fin: bool,
}

/// What a task uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskMetric {
    /// The task.
    pub task_arn: String,
    /// Its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_arn: Option<String>,
    /// Its definition's family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_definition_family: Option<String>,
    /// Its definition's revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_definition_version: Option<String>,
    /// By container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_metrics: Vec<ContainerMetric>,
    /// Its disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage_metrics: Option<EphemeralStorageMetrics>,
    /// Its volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_metrics: Vec<VolumeMetric>,
}

/// What a container uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerMetric {
    /// Its name.
    pub container_name: String,
    /// Its ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_arn: Option<String>,
    /// Percent of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_stats_set: Option<StatsSet>,
    /// MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_stats_set: Option<StatsSet>,
    /// Its traffic; absent with the host's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_stats_set: Option<NetworkStatsSet>,
    /// Its disk traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_stats_set: Option<StorageStatsSet>,
    /// Its restarts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_stats_set: Option<RestartStatsSet>,
}

/// A set of samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatsSet {
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// All together.
    pub sum: f64,
    /// How many.
    pub sample_count: i64,
}

/// A set of samples of counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CountSet {
    /// The least.
    pub min: i64,
    /// The greatest.
    pub max: i64,
    /// All together.
    pub sum: i64,
    /// How many.
    pub sample_count: i64,
    /// What `min` cannot hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow_min: Option<i64>,
    /// What `max` cannot hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow_max: Option<i64>,
    /// What `sum` cannot hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow_sum: Option<i64>,
}

/// Traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkStatsSet {
    /// Received bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_bytes: Option<CountSet>,
    /// Received packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_packets: Option<CountSet>,
    /// Received packets that were dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_dropped: Option<CountSet>,
    /// Received packets that were faulty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_errors: Option<CountSet>,
    /// Sent bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_bytes: Option<CountSet>,
    /// Sent packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_packets: Option<CountSet>,
    /// Sent packets that were dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_dropped: Option<CountSet>,
    /// Sent packets that were faulty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_errors: Option<CountSet>,
    /// Received bytes a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_bytes_per_second: Option<StatsSet>,
    /// Sent bytes a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_bytes_per_second: Option<StatsSet>,
}

/// Disk traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageStatsSet {
    /// Bytes read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_size_bytes: Option<CountSet>,
    /// Bytes written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_size_bytes: Option<CountSet>,
}

/// Restarts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartStatsSet {
    /// How many.
    pub restart_count: i64,
}

/// A task's disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EphemeralStorageMetrics {
    /// Bytes used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_utilized: Option<CountSet>,
}

/// A task's volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeMetric {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_name: Option<String>,
    /// Bytes used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilized: Option<StatsSet>,
    /// Bytes there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<StatsSet>,
}

/// The instance's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceMetrics {
    /// Its disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<InstanceStorage>,
}

/// The instance's disks, in percent used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceStorage {
    /// The system's.
    #[serde(rename = "OSFilesystem", skip_serializing_if = "Option::is_none")]
    pub os_filesystem: Option<f64>,
    /// The containers'.
    #[serde(rename = "DataFilesystem", skip_serializing_if = "Option::is_none")]
    pub data_filesystem: Option<f64>,
}

/// How containers with a health check are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishHealthRequest {
    /// Whose.
    pub metadata: HealthMetadata,
    /// By task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskHealth>,
    /// When.
    #[serde(with = "crate::value::timestamp", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
}

/// Whose health this is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthMetadata {
    /// The cluster, as the agent was told.
    pub cluster: String,
    /// The instance's ARN.
    pub container_instance: String,
    /// The round's id.
    pub message_id: String,
    /// Whether it is the round's last.
    pub fin: bool,
}

/// How a task's containers are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskHealth {
    /// The task.
    pub task_arn: String,
    /// Its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_arn: Option<String>,
    /// Its definition's family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_definition_family: Option<String>,
    /// Its definition's revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_definition_version: Option<String>,
    /// By container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerHealth>,
}

/// How a container is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerHealth {
    /// Its name.
    pub container_name: String,
    /// How it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_status: Option<ecs::HealthStatus>,
    /// Since when.
    #[serde(with = "crate::value::timestamp", skip_serializing_if = "Option::is_none")]
    pub status_since: Option<Timestamp>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
}

/// How the instance is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishInstanceStatusRequest {
    /// Whose.
    pub metadata: InstanceStatusMetadata,
    /// By aspect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<InstanceStatus>,
    /// When.
    #[serde(with = "crate::value::timestamp", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
}

/// Whose status this is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceStatusMetadata {
    /// The cluster, as the agent was told.
    pub cluster: String,
    /// The instance's ARN.
    pub container_instance: String,
    /// The report's id.
    pub request_id: String,
}

/// How one aspect of an instance is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceStatus {
    /// The aspect: `ContainerRuntime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// How it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ecs::InstanceHealthCheckState>,
    /// When it was looked at.
    #[serde(with = "crate::value::timestamp", skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<Timestamp>,
    /// Since when it is so.
    #[serde(with = "crate::value::timestamp", skip_serializing_if = "Option::is_none")]
    pub last_status_change: Option<Timestamp>,
}

/// In the model, yet never sent: the handshake is the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StartTelemetrySessionRequest {
    /// The cluster.
    pub cluster: String,
    /// The instance's ARN.
    pub container_instance: String,
}
