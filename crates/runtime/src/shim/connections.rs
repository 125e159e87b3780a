//! A shim's connections, and what it does on request.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::Shim;
use super::proto::{self, Failure, FailureKind, Notice, Reply, Request, VERSION};
use crate::engine::{Fault, process};

/// A watcher that does not read for so long loses its connection (and finds the state when it asks).
const MAX_PENDING: usize = 16 << 20;

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    received: Vec<u8>,
    pending: Vec<u8>,
    watches: bool,
}

/// Every open connection.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: BTreeMap<u64, Connection>,
    next: u64,
}

impl Connections {
    /// Takes a connection in.
    pub(crate) fn add(&mut self, stream: UnixStream) {
        if stream.set_nonblocking(true).is_ok() {
            let (received, pending) = (Vec::new(), Vec::new());
            let connection = Connection { stream, received, pending, watches: false };
            self.open.insert(self.next, connection);
            self.next += 1;
        }
    }

    /// Whether somebody is still there.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.open.contains_key(&id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What to wait for: number, socket, whether something waits to be written.
    pub(crate) fn interests(&self) -> impl Iterator<Item = (u64, &UnixStream, bool)> {
        self.open.iter().map(|(id, open)| (*id, &open.stream, !open.pending.is_empty()))
    }

    /// Answers; a connection that is gone does not mind.
    pub(crate) fn reply(&mut self, id: u64, reply: &Reply) {
        if let Some(open) = self.open.get_mut(&id) {
            open.pending.extend(proto::encode(reply));
        }
    }

    /// Answers with descriptors. What was to be written before must have been: so it is only for
    /// connections that ask one thing at a time.
    pub(crate) fn reply_with(&mut self, id: u64, reply: &Reply, fds: &[OwnedFd]) {
        self.flush();
        let Some(open) = self.open.get_mut(&id) else { return };
        let bytes = proto::encode(reply);
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let sent = match open.pending.is_empty() {
            true => process::send_with_fds(&open.stream, &bytes, &fds),
            false => Err(ErrorKind::WouldBlock.into()),
        };
        match sent {
            Ok(written) => open.pending.extend(&bytes[written..]),
            // It cannot be told: it must not take the next answer for this one.
            Err(_) => drop(self.open.remove(&id)),
        }
    }

    /// Tells everybody who watches.
    pub(crate) fn notify(&mut self, notice: &Notice) {
        let bytes = proto::encode(&Reply::Notice(notice.clone()));
        for open in self.open.values_mut().filter(|open| open.watches) {
            open.pending.extend(&bytes);
        }
    }

    fn watch(&mut self, id: u64) {
        if let Some(open) = self.open.get_mut(&id) {
            open.watches = true;
        }
    }

    /// Writes what the sockets take; drops the connections that are broken or hopelessly behind.
    pub(crate) fn flush(&mut self) {
        self.open.retain(|_, open| {
            while !open.pending.is_empty() {
                match open.stream.write(&open.pending) {
                    Ok(0) => return false,
                    Ok(written) => {
                        open.pending.drain(..written);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        return open.pending.len() <= MAX_PENDING;
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return false,
                }
            }
            true
        });
    }

    /// Writes everything, waiting for it; for the last words.
    pub(crate) fn flush_all(&mut self) {
        for open in self.open.values_mut() {
            let patience = Some(std::time::Duration::from_secs(1));
            if open.stream.set_nonblocking(false).is_ok()
                && open.stream.set_write_timeout(patience).is_ok()
            {
                // Whoever is gone does not mind.
                open.stream.write_all(&open.pending).unwrap_or_default();
            }
            open.pending.clear();
        }
    }

    /// The requests that have arrived whole. A connection that ended or speaks nonsense is dropped.
    fn receive(&mut self, id: u64) -> Vec<Vec<u8>> {
        let Some(open) = self.open.get_mut(&id) else { return Vec::new() };
        let mut chunk = [0; 64 << 10];
        let mut ended = loop {
            match open.stream.read(&mut chunk) {
                Ok(0) => break true,
                Ok(read) => open.received.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        let mut messages = Vec::new();
        loop {
            match proto::take(&mut open.received) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => {
                    ended = true;
                    break;
                }
            }
        }
        if ended {
            self.open.remove(&id);
        }
        messages
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::new(FailureKind::System, fault.line())
    }
}

impl Shim {
    /// Serves what has arrived on a connection.
    pub(crate) fn serve_connection(&mut self, id: u64) {
        for message in self.connections.receive(id) {
            let reply = match serde_json::from_slice::<Request>(&message) {
                Ok(request) => self.request(id, request),
                Err(error) => {
                    Err(Failure::new(FailureKind::Unknown, format!("not understood: {error}")))
                }
            };
            match reply {
                Ok(Some(reply)) => self.connections.reply(id, &reply),
                Ok(None) => {}
                Err(failure) => self.connections.reply(id, &Reply::Failed(failure)),
            }
        }
    }

    /// Does what is asked; none if the answer comes later.
    fn request(&mut self, from: u64, request: Request) -> Result<Option<Reply>, Failure> {
        match request {
            Request::Assign(assign) => {
                self.assign(&assign)?;
                self.connections.watch(from);
                Ok(Some(Reply::Ready { pause: self.pause.cast_unsigned() }))
            }
            Request::Watch => {
                self.connections.watch(from);
                Ok(Some(Reply::Done))
            }
            Request::Status => Ok(Some(Reply::Status {
                version: VERSION,
                pause: self.pause.cast_unsigned(),
                containers: self.containers.values().map(|c| c.record.clone()).collect(),
            })),
            Request::Start(order) => self.start(from, *order),
            Request::Signal { container, signal } => self.signal(&container, signal),
            Request::Stop { container, grace_ms } => self.stop(from, &container, grace_ms),
            Request::Exec { container, spec } => self.exec(from, &container, &spec),
            Request::RemoveContainer { container } => self.remove_container(&container),
            Request::Session { container, order } => self.open_session(from, &container, &order),
            Request::SignalSession { signal } => {
                self.signal_session(from, signal);
                Ok(None)
            }
            Request::Network { container } => {
                let network = self.network(&container)?;
                self.connections.reply_with(from, &Reply::Network, &[network]);
                Ok(None)
            }
            Request::Remove => {
                self.removing = Some(from);
                self.kill_all();
                Ok(None)
            }
        }
    }
}
