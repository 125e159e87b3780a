//! The contract between ECS and its agents, as amazon-ecs-agent 1.105 speaks it: two websockets of
//! JSON envelopes `{"type":"…","message":{…}}`.
//!
//! [`acs`] carries work to the agent and acknowledgements back; [`tcs`] carries metrics and health
//! to the server. What happens to a task is reported by the ECS operations `Submit…`.

pub mod acs;
mod connect;
mod payload;
pub mod tcs;
mod telemetry;

#[cfg(test)]
mod tests;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A frame that is no message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The frame is not JSON.
    #[error("read an agent frame as JSON")]
    Json(#[source] serde_json::Error),
    /// The frame is JSON, but not an envelope: `type` is missing.
    #[error("read an agent frame: it is no envelope with a `type`")]
    Envelope,
    /// The message is not what its type says.
    #[error("read an agent message of type {kind}")]
    Message {
        /// The type that the envelope names.
        kind: String,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
    /// The frame begins with headers, but no empty line ends them.
    #[error("read a telemetry frame: its headers do not end")]
    Headers,
}

/// What an envelope holds: a message of a known type, or only the name of an unknown one.
enum Opened<T> {
    Known(T),
    Unknown(String),
}

/// Opens an envelope. `known` names the types that `T` has; `T` is tagged by them.
fn open<T: DeserializeOwned>(text: &str, known: &[&str]) -> Result<Opened<T>, FrameError> {
    let mut value: Value = serde_json::from_str(text).map_err(FrameError::Json)?;
    let kind =
        value.get("type").and_then(Value::as_str).map(str::to_owned).ok_or(FrameError::Envelope)?;
    if !known.contains(&kind.as_str()) {
        return Ok(Opened::Unknown(kind));
    }
    without_nulls(&mut value);
    if let Some(envelope) = value.as_object_mut() {
        envelope.entry("message").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    serde_json::from_value(value)
        .map(Opened::Known)
        .map_err(|source| FrameError::Message { kind, source })
}

/// Drops members that are null: Go's absent pointers.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, inner| !inner.is_null());
            object.values_mut().for_each(without_nulls);
        }
        Value::Array(entries) => entries.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// Seals an envelope: `message` is a type tagged by the names that the contract has.
fn seal(message: &impl Serialize) -> String {
    // The types of the contract have text keys only, so that serialising them cannot fail.
    serde_json::to_string(message).unwrap_or_default()
}

/// An envelope of a type that has no meaning here.
fn empty(kind: &str) -> String {
    serde_json::json!({ "type": kind, "message": {} }).to_string()
}
