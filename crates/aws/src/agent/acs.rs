//! The agent communication service: what the server asks of an agent, and what the agent answers.

use serde::{Deserialize, Serialize};

use super::{FrameError, Opened};

pub use super::connect::{
    AcsConnectQuery as ConnectQuery, ExecConnectQuery, QueryError, Rejection,
};
pub use super::payload::*;

/// What the server sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "message")]
pub enum ServerMessage {
    /// All is well; due at least once a minute. Answered by [`AgentMessage::HeartbeatAck`].
    #[serde(rename = "HeartbeatMessage", rename_all = "camelCase")]
    Heartbeat {
        /// Always true so far.
        #[serde(default)]
        healthy: bool,
        /// What the answer repeats.
        #[serde(default)]
        message_id: String,
    },
    /// Tasks to run or to stop. Answered by [`AgentMessage::Ack`], and by one
    /// [`AgentMessage::IamRoleCredentialsAck`] for each set of credentials.
    #[serde(rename = "PayloadMessage")]
    Payload(PayloadMessage),
    /// Every task that the instance should know of.
    #[serde(rename = "TaskManifestMessage")]
    TaskManifest(TaskManifestMessage),
    /// Which of the agent's stop candidates are really to be stopped.
    #[serde(rename = "TaskStopVerificationAck")]
    TaskStopVerificationAck(TaskStopVerificationAck),
    /// Fresh credentials of a task. Answered by [`AgentMessage::IamRoleCredentialsAck`].
    #[serde(rename = "IAMRoleCredentialsMessage")]
    IamRoleCredentials(IamRoleCredentialsMessage),
    /// A network interface for a task.
    #[serde(rename = "AttachTaskNetworkInterfacesMessage")]
    AttachTaskNetworkInterfaces(AttachTaskNetworkInterfacesMessage),
    /// A network interface for the instance.
    #[serde(rename = "AttachInstanceNetworkInterfacesMessage")]
    AttachInstanceNetworkInterfaces(AttachInstanceNetworkInterfacesMessage),
    /// A volume to look for.
    #[serde(rename = "ConfirmAttachmentMessage")]
    ConfirmAttachment(ConfirmAttachmentMessage),
    /// A newer agent to fetch.
    #[serde(rename = "StageUpdateMessage")]
    StageUpdate(UpdateMessage),
    /// A newer agent to become.
    #[serde(rename = "PerformUpdateMessage")]
    PerformUpdate(UpdateMessage),
    /// A session of ExecuteCommand to open. An addition of Wharf's, for its own agent alone.
    #[serde(rename = "ExecuteCommandMessage")]
    ExecuteCommand(ExecuteCommandMessage),
    /// The server is about to close.
    #[serde(rename = "CloseMessage")]
    Close {
        /// Why.
        #[serde(default)]
        message: String,
    },
    /// Something is wrong.
    #[serde(rename = "ErrorMessage")]
    Error {
        /// What.
        #[serde(default)]
        message: String,
    },
    /// A type that this build does not know: to be skipped.
    #[serde(skip)]
    Unrecognized {
        /// The type's name.
        r#type: String,
    },
}

const SERVER_TYPES: &[&str] = &[
    "HeartbeatMessage",
    "PayloadMessage",
    "TaskManifestMessage",
    "TaskStopVerificationAck",
    "IAMRoleCredentialsMessage",
    "AttachTaskNetworkInterfacesMessage",
    "AttachInstanceNetworkInterfacesMessage",
    "ConfirmAttachmentMessage",
    "StageUpdateMessage",
    "PerformUpdateMessage",
    "ExecuteCommandMessage",
    "CloseMessage",
    "ErrorMessage",
];

impl ServerMessage {
    /// The text frame.
    pub fn encode(&self) -> String {
        match self {
            Self::Unrecognized { r#type } => super::empty(r#type),
            known => super::seal(known),
        }
    }

    /// Reads a text frame; an unknown type is [`ServerMessage::Unrecognized`].
    ///
    /// # Errors
    ///
    /// A frame that is no JSON envelope, or whose message is not what its type says.
    pub fn decode(text: &str) -> Result<Self, FrameError> {
        Ok(match super::open(text, SERVER_TYPES)? {
            Opened::Known(message) => message,
            Opened::Unknown(r#type) => Self::Unrecognized { r#type },
        })
    }
}

/// What the agent sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "message")]
pub enum AgentMessage {
    /// The answer to a heartbeat.
    #[serde(rename = "HeartbeatAckRequest", rename_all = "camelCase")]
    HeartbeatAck {
        /// The heartbeat's.
        #[serde(default)]
        message_id: String,
    },
    /// A message is understood and will be followed.
    #[serde(rename = "AckRequest", rename_all = "camelCase")]
    Ack {
        /// The message's `clusterArn`.
        #[serde(default)]
        cluster: String,
        /// The message's `containerInstanceArn`.
        #[serde(default)]
        container_instance: String,
        /// The message's.
        #[serde(default)]
        message_id: String,
    },
    /// A message is refused.
    #[serde(rename = "NackRequest", rename_all = "camelCase")]
    Nack {
        /// The message's `clusterArn`.
        #[serde(default)]
        cluster: String,
        /// The message's `containerInstanceArn`.
        #[serde(default)]
        container_instance: String,
        /// The message's.
        #[serde(default)]
        message_id: String,
        /// Why.
        #[serde(default)]
        reason: String,
    },
    /// Credentials have arrived.
    #[serde(rename = "IAMRoleCredentialsAckRequest", rename_all = "camelCase")]
    IamRoleCredentialsAck {
        /// The message's that brought them.
        #[serde(default)]
        message_id: String,
        /// The credentials' expiration, as it was written.
        #[serde(default)]
        expiration: String,
        /// The credentials' id.
        #[serde(default)]
        credentials_id: String,
    },
    /// Tasks that run here, though the manifest does not list them. Answered by
    /// [`ServerMessage::TaskStopVerificationAck`].
    #[serde(rename = "TaskStopVerificationMessage", rename_all = "camelCase")]
    TaskStopVerification {
        /// The manifest's.
        #[serde(default)]
        message_id: String,
        /// The tasks.
        #[serde(default)]
        stop_candidates: Vec<TaskIdentifier>,
    },
    /// A type that this build does not know: to be skipped.
    #[serde(skip)]
    Unrecognized {
        /// The type's name.
        r#type: String,
    },
}

const AGENT_TYPES: &[&str] = &[
    "HeartbeatAckRequest",
    "AckRequest",
    "NackRequest",
    "IAMRoleCredentialsAckRequest",
    "TaskStopVerificationMessage",
];

impl AgentMessage {
    /// The text frame.
    pub fn encode(&self) -> String {
        match self {
            Self::Unrecognized { r#type } => super::empty(r#type),
            known => super::seal(known),
        }
    }

    /// Reads a text frame; an unknown type is [`AgentMessage::Unrecognized`].
    ///
    /// # Errors
    ///
    /// A frame that is no JSON envelope, or whose message is not what its type says.
    pub fn decode(text: &str) -> Result<Self, FrameError> {
        Ok(match super::open(text, AGENT_TYPES)? {
            Opened::Known(message) => message,
            Opened::Unknown(r#type) => Self::Unrecognized { r#type },
        })
    }
}
