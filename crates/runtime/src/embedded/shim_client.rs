//! The engine's side of a shim: one connection per request, and one on which a shim tells what happens.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::engine::process;
use crate::shim::proto::{self, Reply, Request};

/// A shim that does not tell its state in this time counts as dead.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a shim.
#[derive(Debug)]
pub(crate) struct ShimConnection {
    stream: UnixStream,
    received: Vec<u8>,
    /// Descriptors that came with what was received.
    descriptors: VecDeque<OwnedFd>,
}

impl ShimConnection {
    /// The connection that a shim is born with.
    pub(crate) fn born_with(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::on(UnixStream::from_std(stream)?))
    }

    fn on(stream: UnixStream) -> Self {
        Self { stream, received: Vec::new(), descriptors: VecDeque::new() }
    }

    /// Connects to the shim of a sandbox by its run folder, whose path may be longer than a socket's
    /// name can be.
    pub(crate) async fn open(folder: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty())?;
        let path = format!("/proc/self/fd/{}/shim.sock", folder.as_raw_fd());
        Ok(Self::on(UnixStream::connect(path).await?))
    }

    /// Sends a request.
    pub(crate) async fn send(&mut self, request: &Request) -> io::Result<()> {
        self.stream.write_all(&proto::encode(request)).await
    }

    /// The next answer; none if the shim has ended. Safe to cancel.
    pub(crate) async fn receive(&mut self) -> io::Result<Option<Reply>> {
        loop {
            if let Some(body) = proto::take(&mut self.received).map_err(io::Error::other)? {
                return Ok(Some(serde_json::from_slice(&body)?));
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads what there is, once there is something; none is the end.
    async fn read(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 << 10];
        loop {
            self.stream.readable().await?;
            let received = self
                .stream
                .try_io(Interest::READABLE, || process::receive_with_fds(&self.stream, &mut chunk));
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok((read, descriptors)) => {
                    self.received.extend_from_slice(&chunk[..read]);
                    self.descriptors.extend(descriptors);
                    return Ok(read);
                }
            }
        }
    }

    /// Its two directions, and what has been received already.
    pub(crate) fn split(self) -> (OwnedReadHalf, OwnedWriteHalf, Vec<u8>) {
        let (read, write) = self.stream.into_split();
        (read, write, self.received)
    }

    /// A descriptor that came with the last answer.
    pub(crate) fn take_descriptor(&mut self) -> io::Result<OwnedFd> {
        let missing = || io::Error::other("its shim sent no descriptor");
        self.descriptors.pop_front().ok_or_else(missing)
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        self.send(request).await?;
        self.receive().await?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::UnexpectedEof, "its shim ended before it answered")
        })
    }
}

/// Asks the shim of a sandbox.
pub(crate) async fn ask(folder: &Path, request: &Request) -> io::Result<Reply> {
    ShimConnection::open(folder).await?.ask(request).await
}

/// Asks what should be answered at once.
pub(crate) async fn ask_soon(folder: &Path, request: &Request) -> io::Result<Reply> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "its shim does not answer");
    tokio::time::timeout(PATIENCE, ask(folder, request)).await.unwrap_or_else(|_| Err(late()))
}
