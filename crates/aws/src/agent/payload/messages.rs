//! The messages of the agent communication service, and the credentials they bring.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Attachment, DesiredStatus, ElasticNetworkInterface, RoleType, Task};

/// Tasks to run or to stop. The stock agent ignores one without its three names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PayloadMessage {
    /// The cluster, as the agent named it when it connected.
    pub cluster_arn: String,
    /// The instance's ARN.
    pub container_instance_arn: String,
    /// What the answer repeats.
    pub message_id: String,
    /// The instance's counter.
    pub seq_num: i64,
    /// When it was made, in milliseconds since 1970.
    pub generated_at: i64,
    /// The instance's counter, the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<i64>,
    /// The tasks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
}

/// Every task that an instance should know of. The stock agent drops one whose `timeline` is not greater than any before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskManifestMessage {
    /// The cluster, as the agent named it when it connected.
    pub cluster_arn: String,
    /// The instance's ARN.
    pub container_instance_arn: String,
    /// What the answer repeats.
    pub message_id: String,
    /// When it was made, in milliseconds since 1970.
    pub generated_at: i64,
    /// The instance's counter.
    pub timeline: i64,
    /// The tasks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskIdentifier>,
}

/// A session of ExecuteCommand to open: the agent answers by opening a websocket at
/// `/exec/{session_id}` of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecuteCommandMessage {
    /// The session's id: `ecs-execute-command-…`.
    pub session_id: String,
    /// The task.
    pub task_arn: String,
    /// The container's name.
    pub container_name: String,
    /// The command, as one line.
    pub command: String,
}

/// A task, shortly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskIdentifier {
    /// Its ARN.
    pub task_arn: String,
    /// Its cluster's ARN.
    pub task_cluster_arn: String,
    /// What it should come to.
    pub desired_status: DesiredStatus,
}

/// Which stop candidates are really to be stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskStopVerificationAck {
    /// When it was made, in milliseconds since 1970.
    pub generated_at: i64,
    /// The manifest's.
    pub message_id: String,
    /// The tasks to stop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_tasks: Vec<TaskIdentifier>,
}

/// Fresh credentials of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IamRoleCredentialsMessage {
    /// What the answer repeats.
    pub message_id: String,
    /// The task.
    pub task_arn: String,
    /// The task's cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_cluster_arn: Option<String>,
    /// Which of the task's roles.
    pub role_type: RoleType,
    /// The credentials.
    pub role_credentials: RoleCredentials,
}

/// Network interfaces of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttachTaskNetworkInterfacesMessage {
    /// The cluster, as the agent named it when it connected.
    pub cluster_arn: String,
    /// The instance's ARN.
    pub container_instance_arn: String,
    /// What the answer repeats.
    pub message_id: String,
    /// The task.
    pub task_arn: String,
    /// The task's cluster.
    pub task_cluster_arn: String,
    /// When it was made, in milliseconds since 1970.
    pub generated_at: i64,
    /// How long the agent may look for them.
    pub wait_timeout_ms: i64,
    /// The interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elastic_network_interfaces: Vec<ElasticNetworkInterface>,
}

/// Network interfaces of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttachInstanceNetworkInterfacesMessage {
    /// The cluster, as the agent named it when it connected.
    pub cluster_arn: String,
    /// The instance's ARN.
    pub container_instance_arn: String,
    /// What the answer repeats.
    pub message_id: String,
    /// When it was made, in milliseconds since 1970.
    pub generated_at: i64,
    /// How long the agent may look for them.
    pub wait_timeout_ms: i64,
    /// The interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elastic_network_interfaces: Vec<ElasticNetworkInterface>,
}

/// A volume that the agent should look for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfirmAttachmentMessage {
    /// The cluster, as the agent named it when it connected.
    pub cluster_arn: String,
    /// The instance's ARN.
    pub container_instance_arn: String,
    /// What the answer repeats.
    pub message_id: String,
    /// The task.
    pub task_arn: String,
    /// The task's cluster.
    pub task_cluster_arn: String,
    /// When it was made, in milliseconds since 1970.
    pub generated_at: i64,
    /// How long the agent may look for it.
    pub wait_timeout_ms: i64,
    /// The volume.
    pub attachment: Attachment,
}

/// A newer agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateMessage {
    /// The cluster, as the agent named it when it connected.
    pub cluster_arn: String,
    /// The instance's ARN.
    pub container_instance_arn: String,
    /// What the answer repeats.
    pub message_id: String,
    /// Where it is.
    pub update_info: UpdateInfo,
}

/// Where a newer agent is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateInfo {
    /// Its URL.
    pub location: String,
    /// Its SHA-256, in hexadecimal.
    pub signature: String,
}

/// Credentials of a role.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleCredentials {
    /// Their id, by which a container asks for them.
    pub credentials_id: String,
    /// The role.
    pub role_arn: String,
    /// The key's id.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// The session's token.
    pub session_token: String,
    /// When they end, RFC 3339.
    pub expiration: String,
    /// Their scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_scope: Option<String>,
}

/// Shows no key: credentials must not reach a log.
impl fmt::Debug for RoleCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleCredentials")
            .field("credentials_id", &self.credentials_id)
            .field("role_arn", &self.role_arn)
            .field("access_key_id", &self.access_key_id)
            .field("expiration", &self.expiration)
            .finish_non_exhaustive()
    }
}
