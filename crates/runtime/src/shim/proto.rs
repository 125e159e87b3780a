//! What the engine and a shim say to each other: length-prefixed JSON over a Unix stream.
//!
//! Shims outlive upgrades of the engine, so messages only ever grow: a new request is a new variant
//! (an old shim answers it with [`FailureKind::Unknown`]), a new field has a default. [`VERSION`] says
//! what a shim knows.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::engine::init::Order;
use crate::{
    ContainerId, ContainerStatus, ExecResult, ExecSpec, Exit, Health, HealthCheck, Limits, LogMode,
};

/// The protocol's version.
pub(crate) const VERSION: u32 = 2;

/// No message is larger.
pub(crate) const MAX_MESSAGE: usize = 32 << 20;

/// What is asked of a shim.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Become this sandbox's shim. The first request on the connection the shim is born with.
    Assign(Assign),
    /// Send [`Reply::Notice`]s on this connection from now on.
    Watch,
    /// Tell what there is.
    Status,
    /// Start a container.
    Start(Box<StartOrder>),
    /// Send a signal to a container's first process.
    Signal { container: ContainerId, signal: i32 },
    /// Ask a container to end, and make it after a time.
    Stop { container: ContainerId, grace_ms: u64 },
    /// Run a program in a container.
    Exec { container: ContainerId, spec: ExecSpec },
    /// Forget a container that has exited, and its cgroup.
    RemoveContainer { container: ContainerId },
    /// Kill everything, remove the cgroup, and end.
    Remove,
    /// Run a program with its input and output connected to the asker's connection, and for as long
    /// as that is open.
    Session { container: ContainerId, order: SessionOrder },
    /// Send a signal to the program of this connection's session. There is no answer.
    SignalSession { signal: i32 },
    /// Hand over the network of a container that has one of its own, made if it has not started.
    Network { container: ContainerId },
}

/// What makes a shim that was born in advance the shim of a sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Assign {
    /// The sandbox's run folder; exists.
    pub(crate) folder: PathBuf,
    /// Limits over all its containers.
    pub(crate) limits: Limits,
}

/// A program to run for somebody who watches.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionOrder {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    /// `user[:group]`, looked up in the container.
    pub(crate) user: String,
    /// Rows and columns of its terminal, if it has one.
    pub(crate) terminal: Option<(u16, u16)>,
}

/// A container to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StartOrder {
    pub(crate) id: ContainerId,
    pub(crate) order: Order,
    pub(crate) log: LogMode,
    /// Where its log files go; made if absent.
    pub(crate) log_folder: PathBuf,
    /// Where its record goes; exists.
    pub(crate) folder: PathBuf,
    pub(crate) health: Option<HealthCheck>,
    pub(crate) stop_signal: i32,
}

/// What a shim answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// To [`Request::Assign`].
    Ready { pause: u32 },
    /// It is done.
    Done,
    /// To [`Request::Status`].
    Status { version: u32, pause: u32, containers: Vec<Record> },
    /// To [`Request::Start`].
    Started { pid: u32, at: Timestamp },
    /// To [`Request::Stop`].
    Exited(Exit),
    /// To [`Request::Exec`].
    Executed(ExecResult),
    /// To [`Request::Session`], once the program runs; with it come the terminal's master, or what
    /// the program reads from and what it writes to.
    Session,
    /// To [`Request::Session`], after the other, with the program's status.
    SessionEnded { code: i32 },
    /// To [`Request::Network`]; a descriptor comes with it.
    Network,
    /// It could not be done.
    Failed(Failure),
    /// To [`Request::Watch`], again and again.
    Notice(Notice),
}

/// What a shim knows of a container; also its record on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) status: ContainerStatus,
    /// Its cgroup.
    pub(crate) cgroup: String,
}

/// Something happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Notice {
    Exited { container: ContainerId, exit: Exit },
    Health { container: ContainerId, health: Health, at: Timestamp },
}

/// Why something could not be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) why: String,
}

/// The kinds of [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FailureKind {
    /// No such container.
    NotFound,
    /// It does not fit what there is.
    Invalid,
    /// The program could not be executed.
    Start,
    /// The kernel refused.
    System,
    /// The request is not known to this shim.
    Unknown,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }
}

/// A message as bytes.
pub(crate) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let body = serde_json::to_vec(message).expect("these types have no maps with odd keys");
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// Takes one whole message's body off the front of what was received.
pub(crate) fn take(received: &mut Vec<u8>) -> Result<Option<Vec<u8>>, String> {
    let Some(length) = received.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE {
        return Err(format!("a message of {length} bytes is too large"));
    }
    if received.len() < 4 + length {
        return Ok(None);
    }
    let rest = received.split_off(4 + length);
    let mut message = std::mem::replace(received, rest);
    message.drain(..4);
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_and_in_order() {
        let one = Request::Signal { container: "a".into(), signal: 15 };
        let mut bytes = encode(&one);
        bytes.extend(encode(&Request::Watch));
        let mut received = Vec::new();
        let mut taken = Vec::new();
        for byte in bytes {
            received.push(byte);
            while let Some(body) = take(&mut received).unwrap() {
                taken.push(serde_json::from_slice::<Request>(&body).unwrap());
            }
        }
        assert!(matches!(taken[..], [Request::Signal { signal: 15, .. }, Request::Watch]));
        assert!(take(&mut vec![255; 8]).is_err());
    }
}
