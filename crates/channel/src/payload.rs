//! The JSON documents inside messages, as session-manager-plugin spells them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the payload is not {what}")]
pub struct PayloadError {
    /// What it should be.
    what: &'static str,
    #[source]
    source: serde_json::Error,
}

/// Reads a document.
pub(crate) fn read<'a, T: Deserialize<'a>>(
    what: &'static str,
    payload: &'a [u8],
) -> Result<T, PayloadError> {
    serde_json::from_slice(payload).map_err(|source| PayloadError { what, source })
}

/// Writes a document. Ours are structs of text and numbers, which can always be written.
pub(crate) fn write<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

/// The first frame on a websocket, as text: who comes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OpenDataChannel {
    /// `1.0`.
    pub message_schema_version: String,
    /// A UUID.
    pub request_id: String,
    /// What ExecuteCommand gave.
    pub token_value: String,
    /// A UUID.
    #[serde(default)]
    pub client_id: String,
    /// The client's version.
    #[serde(default)]
    pub client_version: String,
}

impl OpenDataChannel {
    /// Reads the frame.
    ///
    /// # Errors
    /// It is no such document.
    pub fn read(frame: &[u8]) -> Result<Self, PayloadError> {
        read("an OpenDataChannel request", frame)
    }

    /// The frame's text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&write(self)).into_owned()
    }
}

impl std::fmt::Debug for OpenDataChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenDataChannel")
            .field("client_id", &self.client_id)
            .field("client_version", &self.client_version)
            .finish_non_exhaustive()
    }
}

/// A message has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Its type.
    #[serde(rename = "AcknowledgedMessageType")]
    pub message_type: String,
    /// Its id.
    #[serde(rename = "AcknowledgedMessageId")]
    pub message_id: String,
    /// Its number.
    #[serde(rename = "AcknowledgedMessageSequenceNumber")]
    pub sequence: i64,
    /// Always true so far.
    #[serde(rename = "IsSequentialMessage", default)]
    pub is_sequential: bool,
}

/// What the agent asks of the client before the session begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeRequest {
    /// The agent's version, four numbers.
    pub agent_version: String,
    /// What the client is to do.
    #[serde(default)]
    pub requested_client_actions: Vec<RequestedAction>,
}

/// One thing that the client is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RequestedAction {
    /// `SessionType`; `KMSEncryption` is never asked for here.
    pub action_type: String,
    /// `{"SessionType": …, "Properties": …}`.
    #[serde(default)]
    pub action_parameters: Value,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeResponse {
    /// The client's version.
    #[serde(default)]
    pub client_version: String,
    /// One for each action.
    #[serde(default)]
    pub processed_client_actions: Option<Vec<ProcessedAction>>,
    /// What went wrong.
    #[serde(default)]
    pub errors: Option<Vec<String>>,
}

/// What became of one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessedAction {
    /// The action's type.
    pub action_type: String,
    /// 1: done, 2: failed, 3: unknown.
    #[serde(default)]
    pub action_status: i64,
    /// Its result. `wharf exec` puts a [`Wish`] here; the plugin nothing.
    #[serde(default)]
    pub action_result: Value,
    /// What went wrong.
    #[serde(default)]
    pub error: String,
}

/// How `wharf exec` wants its session, which AWS's plugin cannot say: the plugin prints whatever
/// comes, so it gets a terminal, one stream and no exit status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Wish {
    /// A terminal; else pipes, and the error output apart.
    pub terminal: bool,
    /// The exit status at the end.
    pub exit_code: bool,
    /// The terminal's size as it begins.
    #[serde(default)]
    pub size: Option<Size>,
    /// The terminal's kind, `TERM`.
    #[serde(default)]
    pub term: Option<String>,
}

impl Wish {
    /// What AWS's plugin gets.
    pub fn of_the_plugin() -> Self {
        Self { terminal: true, exit_code: false, size: None, term: None }
    }

    /// Reads what a client put into its response; none if it is another thing.
    pub(crate) fn deserialize_from(value: &Value) -> Option<Self> {
        Self::deserialize(value).ok()
    }

    /// As it stands in a response.
    pub(crate) fn as_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

/// The session begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeComplete {
    /// How long the handshake took, in nanoseconds.
    #[serde(default)]
    pub handshake_time_to_complete: i64,
    /// Words for the user.
    #[serde(default)]
    pub customer_message: String,
}

/// The session is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ChannelClosed {
    /// The message's id.
    pub message_id: String,
    /// When, RFC 3339.
    pub created_date: String,
    /// The session's target.
    pub destination_id: String,
    /// Which session.
    pub session_id: String,
    /// `channel_closed`.
    pub message_type: String,
    /// 1.
    pub schema_version: i64,
    /// Why, in words; empty after an ordinary end.
    pub output: String,
}

/// A terminal's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub cols: u32,
    /// Rows.
    pub rows: u32,
}
