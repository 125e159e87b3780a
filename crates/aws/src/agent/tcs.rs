//! The telemetry service: metrics, health and status from an agent, and acknowledgements back.

use serde::{Deserialize, Serialize};

use super::{FrameError, Opened};

pub use super::connect::{QueryError, TcsConnectQuery as ConnectQuery};
pub use super::telemetry::*;

/// What the server sends, as plain JSON. Without any of it the agent reconnects after a minute or
/// two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "message")]
pub enum ServerMessage {
    /// The answer to metrics.
    #[serde(rename = "AckPublishMetric")]
    AckPublishMetric {
        /// Free text.
        #[serde(default)]
        message: String,
    },
    /// The answer to health.
    #[serde(rename = "AckPublishHealth")]
    AckPublishHealth {
        /// Free text.
        #[serde(default)]
        message: String,
    },
    /// The answer to an instance's status.
    #[serde(rename = "AckPublishInstanceStatus")]
    AckPublishInstanceStatus {
        /// Free text.
        #[serde(default)]
        message: String,
    },
    /// All is well.
    #[serde(rename = "HeartbeatMessage")]
    Heartbeat {
        /// Always true so far.
        #[serde(default)]
        healthy: bool,
    },
    /// The session ends. The stock agent ignores it.
    #[serde(rename = "StopTelemetrySessionMessage")]
    StopTelemetrySession {
        /// Why.
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
    "AckPublishMetric",
    "AckPublishHealth",
    "AckPublishInstanceStatus",
    "HeartbeatMessage",
    "StopTelemetrySessionMessage",
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

/// What the agent sends, inside a [`Frame`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "message")]
pub enum AgentMessage {
    /// What tasks use.
    #[serde(rename = "PublishMetricsRequest")]
    PublishMetrics(PublishMetricsRequest),
    /// How containers are.
    #[serde(rename = "PublishHealthRequest")]
    PublishHealth(PublishHealthRequest),
    /// How the instance is.
    #[serde(rename = "PublishInstanceStatusRequest")]
    PublishInstanceStatus(PublishInstanceStatusRequest),
    /// The start of a session.
    #[serde(rename = "StartTelemetrySessionRequest")]
    StartTelemetrySession(StartTelemetrySessionRequest),
    /// A type that this build does not know: to be skipped.
    #[serde(skip)]
    Unrecognized {
        /// The type's name.
        r#type: String,
    },
}

const AGENT_TYPES: &[&str] = &[
    "PublishMetricsRequest",
    "PublishHealthRequest",
    "PublishInstanceStatusRequest",
    "StartTelemetrySessionRequest",
];

impl AgentMessage {
    /// The JSON of the message, without headers: what is signed.
    pub fn encode(&self) -> String {
        match self {
            Self::Unrecognized { r#type } => super::empty(r#type),
            known => super::seal(known),
        }
    }

    /// Reads the JSON of a message; an unknown type is [`AgentMessage::Unrecognized`].
    ///
    /// # Errors
    ///
    /// Text that is no JSON envelope, or whose message is not what its type says.
    pub fn decode(text: &str) -> Result<Self, FrameError> {
        Ok(match super::open(text, AGENT_TYPES)? {
            Opened::Known(message) => message,
            Opened::Unknown(r#type) => Self::Unrecognized { r#type },
        })
    }
}

/// A frame from the agent: perhaps a block of headers and an empty line, then JSON. The headers sign
/// the JSON as the body of a GET of the socket's URL.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The headers, as they came; none in a plain frame.
    pub headers: Vec<(String, String)>,
    /// The JSON, as it came: what the headers' signature covers.
    pub body: String,
    /// The message in it.
    pub message: AgentMessage,
}

impl Frame {
    /// A plain frame.
    pub fn plain(message: AgentMessage) -> Self {
        Self { headers: Vec::new(), body: message.encode(), message }
    }

    /// A header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The text frame.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.headers {
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            text.push_str("\r\n");
        }
        if !self.headers.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str(&self.body);
        text
    }

    /// Reads a text frame, cut at its first empty line unless it begins with JSON.
    ///
    /// # Errors
    ///
    /// Headers without an end, and what [`AgentMessage::decode`] refuses.
    pub fn decode(text: &str) -> Result<Self, FrameError> {
        let (headers, body) = if text.trim_start().starts_with('{') {
            ("", text)
        } else {
            cut(text).ok_or(FrameError::Headers)?
        };
        let headers = headers
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Ok(Self { headers, body: body.to_owned(), message: AgentMessage::decode(body)? })
    }
}

/// What stands before and after the first empty line.
fn cut(text: &str) -> Option<(&str, &str)> {
    let windows = text.find("\r\n\r\n").map(|at| (at, 4));
    let unix = text.find("\n\n").map(|at| (at, 2));
    let (at, width) = windows.into_iter().chain(unix).min()?;
    Some((&text[..at], &text[at + width..]))
}
