//! The engine's side of a shim: one connection per request, and one on which a shim tells what happens.

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::shim::proto::{self, Reply, Request};

/// A shim that does not tell its state in this time counts as dead.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a shim.
#[derive(Debug)]
pub(crate) struct ShimConnection {
    stream: UnixStream,
    received: Vec<u8>,
}

impl ShimConnection {
    /// The connection that a shim is born with.
    pub(crate) fn born_with(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream: UnixStream::from_std(stream)?, received: Vec::new() })
    }

    /// Connects to the shim of a sandbox by its run folder, whose path may be longer than a socket's
    /// name can be.
    pub(crate) async fn open(folder: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty())?;
        let path = format!("/proc/self/fd/{}/shim.sock", folder.as_raw_fd());
        Ok(Self { stream: UnixStream::connect(path).await?, received: Vec::new() })
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
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(None);
            }
        }
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
