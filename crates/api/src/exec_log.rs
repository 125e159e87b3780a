//! Logging what sessions of ExecuteCommand print: to the log group and the bucket that the cluster
//! names, or to the container's own log group; a stream and an object are named after the session.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html>

use std::sync::Arc;

use aws::Error;
use aws::ecs::LogDriver;
use channel::{Message, MessageType, PayloadType};
use model::{ContainerName, ExecBucket, ExecLogging, State, Task};
use objects::{Code, ObjectsError};
use stdx::Timestamp;
use telemetry::{InputEvent, Logs, LogsError};

use crate::definition;
use crate::door::Door;
use crate::errors::{client, server};
use crate::exec_transcript::Transcript;

/// A line longer than this becomes several events.
const LONGEST_LINE: usize = 64 << 10;
/// What is not yet logged is never more than this.
const MOST_WAITING: usize = 512 << 10;

/// Where a session's output goes: to both, to one or nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) group: Option<String>,
    pub(crate) bucket: Option<ExecBucket>,
}

/// Where the output of a container's sessions goes.
pub(crate) fn target(
    state: &State,
    task: &Task,
    container: &ContainerName,
) -> Result<Target, Error> {
    let cluster = state.cluster(task.facts.cluster());
    match cluster.and_then(|cluster| cluster.exec_logging.clone()).unwrap_or_default() {
        ExecLogging::None => Ok(Target::default()),
        ExecLogging::Override { log_group, bucket } => Ok(Target { group: log_group, bucket }),
        ExecLogging::Default => {
            let Some(definition) = state.definition(&task.facts.definition) else {
                return Ok(Target::default());
            };
            let document = definition::decode(&definition.document)?;
            let containers = document.container_definitions.unwrap_or_default();
            let named = containers.iter().find(|c| c.name.as_deref() == Some(container.as_str()));
            let log = named.and_then(|c| c.log_configuration.as_ref());
            let log = log.filter(|log| log.log_driver == Some(LogDriver::Awslogs));
            let options = log.and_then(|log| log.options.as_ref());
            let group = options.and_then(|options| options.get("awslogs-group").cloned());
            Ok(Target { group, bucket: None })
        }
    }
}

/// Refuses a session whose output could not be logged.
pub(crate) async fn check(door: &Door, target: &Target) -> Result<(), Error> {
    let missing = |what: &str, name: &str| {
        client(format!(
            "The session must be logged to the {what} {name}, which does not exist. Create it, or \
             change the cluster's executeCommandConfiguration."
        ))
    };
    if let Some(group) = &target.group {
        match door.config().logs.group_tags(group).await {
            Ok(_) => {}
            Err(LogsError::NotFound { .. }) => return Err(missing("log group", group)),
            Err(error) => return Err(unknown("log group", group, &error)),
        }
    }
    if let Some(bucket) = &target.bucket {
        match door.config().objects.bucket(&bucket.name).await {
            Ok(_) => {}
            Err(ObjectsError::Refused { code: Code::NoSuchBucket, .. }) => {
                return Err(missing("bucket", &bucket.name));
            }
            Err(error) => return Err(unknown("bucket", &bucket.name, &error)),
        }
    }
    Ok(())
}

fn unknown(what: &str, name: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    tracing::error!(what, name, error = stdx::chain(error), "It cannot be looked up.");
    server("Where the session is logged could not be looked up; the server's log says why.")
}

/// Takes what passes from the agent to the client, once, and logs it.
#[derive(Debug)]
pub(crate) struct Tap {
    /// The next message of the stream: one that is sent again is not logged again.
    next: i64,
    stream: Option<Stream>,
    transcript: Option<Transcript>,
}

impl Tap {
    /// Makes what the session is logged to; none if it is logged nowhere.
    pub(crate) async fn begin(door: &Door, target: &Target, session: &str) -> Option<Self> {
        let stream = match &target.group {
            Some(group) => Stream::begin(door.config().logs.clone(), group.clone(), session).await,
            None => None,
        };
        let transcript = match &target.bucket {
            Some(bucket) => Transcript::begin(door, bucket, session).await,
            None => None,
        };
        (stream.is_some() || transcript.is_some()).then_some(Self { next: 0, stream, transcript })
    }

    /// Looks at a frame; true when enough has come together to be stored.
    pub(crate) fn see(&mut self, frame: &[u8], now: Timestamp) -> bool {
        let Ok(message) = Message::decode(frame) else { return false };
        if message.message_type != MessageType::OutputStreamData || message.sequence < self.next {
            return false;
        }
        self.next = message.sequence.saturating_add(1);
        if !matches!(message.payload_type, PayloadType::Output | PayloadType::StdErr) {
            return false;
        }
        let full = self.transcript.as_mut().is_some_and(|to| to.write(&message.payload));
        self.stream.as_mut().is_some_and(|to| to.write(&message.payload, now)) || full
    }

    /// Stores what waits.
    pub(crate) async fn flush(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.flush().await;
        }
        if let Some(transcript) = &mut self.transcript {
            transcript.flush(false).await;
        }
    }

    /// Stores everything: the session is over.
    pub(crate) async fn end(self, now: Timestamp) {
        if let Some(stream) = self.stream {
            stream.end(now).await;
        }
        if let Some(transcript) = self.transcript {
            transcript.end().await;
        }
    }

    /// Stores everything: the server goes down, and the session may go on at the next.
    pub(crate) async fn leave(self, now: Timestamp) {
        if let Some(stream) = self.stream {
            stream.end(now).await;
        }
        if let Some(mut transcript) = self.transcript {
            transcript.flush(true).await;
        }
    }
}

/// A session's log stream.
#[derive(Debug)]
struct Stream {
    logs: Arc<Logs>,
    group: String,
    name: String,
    lines: Lines,
    waiting: Vec<InputEvent>,
    bytes: usize,
}

impl Stream {
    async fn begin(logs: Arc<Logs>, group: String, session: &str) -> Option<Self> {
        match logs.create_stream(&group, session).await {
            Ok(()) | Err(LogsError::AlreadyExists { .. }) => {
                let (name, lines, waiting) = (session.to_owned(), Lines::default(), Vec::new());
                Some(Self { logs, group, name, lines, waiting, bytes: 0 })
            }
            Err(error) => {
                let error = stdx::chain(&error);
                tracing::error!(group, session, error, "A session is not logged.");
                None
            }
        }
    }

    /// Takes output; true when enough waits.
    fn write(&mut self, output: &[u8], now: Timestamp) -> bool {
        let lines = self.lines.cut(output);
        self.note(lines, now);
        self.bytes >= MOST_WAITING
    }

    fn note(&mut self, lines: Vec<String>, now: Timestamp) {
        for message in lines {
            self.bytes += message.len();
            self.waiting.push(InputEvent { timestamp: now, message });
        }
    }

    async fn flush(&mut self) {
        self.bytes = 0;
        for events in std::mem::take(&mut self.waiting).chunks(1000) {
            let stored = self.logs.put_events(&self.group, &self.name, events.to_vec()).await;
            if let Err(error) = stored {
                let (group, stream) = (&self.group, &self.name);
                let error = stdx::chain(&error);
                tracing::error!(group, stream, error, "Output of a session is not logged.");
            }
        }
    }

    async fn end(mut self, now: Timestamp) {
        let last = self.lines.rest();
        self.note(last.into_iter().collect(), now);
        self.flush().await;
    }
}

/// Cuts what the program prints into lines.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
}

impl Lines {
    fn cut(&mut self, output: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in output {
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
    fn lines_are_whole() {
        let mut lines = Lines::default();
        assert!(lines.cut(b"he").is_empty());
        assert_eq!(lines.cut(b"llo\r\n\r\nyou"), ["hello"]);
        assert_eq!(lines.rest().as_deref(), Some("you"));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn output_is_logged_once_and_nothing_else_is() {
        let mut tap = Tap { next: 0, stream: None, transcript: None };
        tap.see(&frame(0, PayloadType::HandshakeRequest, "{}\n"), Timestamp::EPOCH);
        assert_eq!(tap.next, 1);
        tap.see(&frame(1, PayloadType::Output, "a"), Timestamp::EPOCH);
        tap.see(&frame(1, PayloadType::Output, "a"), Timestamp::EPOCH);
        tap.see(b"no message", Timestamp::EPOCH);
        assert_eq!(tap.next, 2);
    }
}
