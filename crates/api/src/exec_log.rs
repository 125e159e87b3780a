//! Logging what sessions of ExecuteCommand print: to the log group that the cluster names, or the
//! container's own, in a stream named after the session.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html>

use std::sync::Arc;

use aws::Error;
use aws::ecs::LogDriver;
use channel::{Message, MessageType, PayloadType};
use model::{ContainerName, ExecLogging, State, Task};
use stdx::Timestamp;
use telemetry::{InputEvent, Logs, LogsError};

use crate::definition;
use crate::door::Door;
use crate::errors::{client, server};

/// A line longer than this becomes several events.
const LONGEST_LINE: usize = 64 << 10;
/// What is not yet logged is never more than this.
const MOST_WAITING: usize = 512 << 10;

/// The log group for a container's sessions, if they are logged.
pub(crate) fn group(
    state: &State,
    task: &Task,
    container: &ContainerName,
) -> Result<Option<String>, Error> {
    let cluster = state.cluster(task.facts.cluster());
    match cluster.and_then(|cluster| cluster.exec_logging.clone()).unwrap_or_default() {
        ExecLogging::None => Ok(None),
        ExecLogging::Override { log_group } => Ok(Some(log_group)),
        ExecLogging::Default => {
            let Some(definition) = state.definition(&task.facts.definition) else {
                return Ok(None);
            };
            let document = definition::decode(&definition.document)?;
            let containers = document.container_definitions.unwrap_or_default();
            let named = containers.iter().find(|c| c.name.as_deref() == Some(container.as_str()));
            let log = named.and_then(|c| c.log_configuration.as_ref());
            let log = log.filter(|log| log.log_driver == Some(LogDriver::Awslogs));
            let options = log.and_then(|log| log.options.as_ref());
            Ok(options.and_then(|options| options.get("awslogs-group").cloned()))
        }
    }
}

/// Refuses a session whose output could not be logged.
pub(crate) async fn check(door: &Door, group: &str) -> Result<(), Error> {
    match door.config().logs.group_tags(group).await {
        Ok(_) => Ok(()),
        Err(LogsError::NotFound { .. }) => Err(client(format!(
            "The session must be logged to the log group {group}, which does not exist. Create it, or \
             change the cluster's executeCommandConfiguration."
        ))),
        Err(error) => {
            tracing::error!(group, error = stdx::chain(&error), "A log group cannot be looked up.");
            Err(server(
                "The session's log group could not be looked up; the server's log says why.",
            ))
        }
    }
}

/// Takes what passes from the agent to the client, and logs it line by line.
#[derive(Debug)]
pub(crate) struct Tap {
    logs: Arc<Logs>,
    group: String,
    stream: String,
    lines: Lines,
    waiting: Vec<InputEvent>,
    bytes: usize,
}

impl Tap {
    /// Makes the session's stream.
    pub(crate) async fn begin(logs: Arc<Logs>, group: String, session: &str) -> Option<Self> {
        match logs.create_stream(&group, session).await {
            Ok(()) | Err(LogsError::AlreadyExists { .. }) => Some(Self {
                logs,
                group,
                stream: session.to_owned(),
                lines: Lines::default(),
                waiting: Vec::new(),
                bytes: 0,
            }),
            Err(error) => {
                tracing::error!(
                    group,
                    session,
                    error = stdx::chain(&error),
                    "A session is not logged."
                );
                None
            }
        }
    }

    /// Looks at a frame; true when enough has come together to be stored.
    pub(crate) fn see(&mut self, frame: &[u8], now: Timestamp) -> bool {
        let lines = self.lines.see(frame);
        self.note(lines, now);
        self.bytes >= MOST_WAITING
    }

    fn note(&mut self, lines: Vec<String>, now: Timestamp) {
        for message in lines {
            self.bytes += message.len();
            self.waiting.push(InputEvent { timestamp: now, message });
        }
    }

    /// Stores what waits.
    pub(crate) async fn flush(&mut self) {
        self.bytes = 0;
        for events in std::mem::take(&mut self.waiting).chunks(1000) {
            let stored = self.logs.put_events(&self.group, &self.stream, events.to_vec()).await;
            if let Err(error) = stored {
                let (group, stream) = (&self.group, &self.stream);
                let error = stdx::chain(&error);
                tracing::error!(group, stream, error, "Output of a session is not logged.");
            }
        }
    }

    /// Stores everything: the session is over.
    pub(crate) async fn end(mut self, now: Timestamp) {
        let last = self.lines.rest();
        self.note(last.into_iter().collect(), now);
        self.flush().await;
    }
}

/// Cuts what the program prints into lines; a message that is sent again is not seen twice.
#[derive(Debug, Default)]
struct Lines {
    next: i64,
    line: Vec<u8>,
}

impl Lines {
    fn see(&mut self, frame: &[u8]) -> Vec<String> {
        let Ok(message) = Message::decode(frame) else { return Vec::new() };
        if message.message_type != MessageType::OutputStreamData || message.sequence < self.next {
            return Vec::new();
        }
        self.next = message.sequence.saturating_add(1);
        if !matches!(message.payload_type, PayloadType::Output | PayloadType::StdErr) {
            return Vec::new();
        }
        let mut lines = Vec::new();
        for byte in message.payload {
            if byte == b'\n' || self.line.len() >= LONGEST_LINE {
                lines.extend(self.rest());
            }
            if byte != b'\n' {
                self.line.push(byte);
            }
        }
        lines
    }

    /// The line that has begun; CloudWatch Logs takes no empty ones.
    fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(sequence: i64, payload_type: PayloadType, text: &str) -> Vec<u8> {
        let message = Message {
            message_type: MessageType::OutputStreamData,
            created: Timestamp::EPOCH,
            sequence,
            flags: 0,
            id: channel::MessageId([0; 16]),
            payload_type,
            payload: text.as_bytes().to_vec(),
        };
        message.encode()
    }

    #[test]
    fn lines_are_whole_and_logged_once() {
        let mut lines = Lines::default();
        assert!(lines.see(&frame(0, PayloadType::HandshakeRequest, "{}\n")).is_empty());
        assert!(lines.see(&frame(1, PayloadType::Output, "he")).is_empty());
        assert!(lines.see(&frame(1, PayloadType::Output, "he")).is_empty(), "sent again");
        assert_eq!(lines.see(&frame(2, PayloadType::Output, "llo\r\n\r\nyou")), ["hello"]);
        assert_eq!(lines.rest().as_deref(), Some("you"));
        assert_eq!(lines.rest(), None);
        assert!(lines.see(b"no message").is_empty());
    }
}
