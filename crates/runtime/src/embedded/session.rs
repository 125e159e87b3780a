//! The asker's side of a session: what its program reads and writes, and its control.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, pipe};
use tokio::sync::{Mutex, watch};

use super::shim_client::ShimConnection;
use super::{Inner, odd, refused, system};
use crate::engine::enter::set_size;
use crate::shim::proto::{self, Reply, Request, SessionOrder};
use crate::{ContainerId, RuntimeError, Session, SessionHandle, SessionSpec};

/// What a terminal takes for the end of the input.
const END_OF_INPUT: u8 = 4;
/// Sessions die with their shim.
const KILLED: i32 = 128 + libc::SIGKILL;

/// What a terminal prints. The pipes' type serves, as all that it does is to wait and read.
#[derive(Debug)]
struct Printed(pipe::Receiver);

/// What is typed into a terminal.
#[derive(Debug)]
struct Typed(pipe::Sender);

impl AsyncRead for Printed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.0).poll_read(cx, into)) {
            // Its last program is gone: the end.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Poll::Ready(Ok(())),
            other => Poll::Ready(other),
        }
    }
}

impl AsyncWrite for Typed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_write(cx, &[END_OF_INPUT]))?;
        Poll::Ready(Ok(()))
    }
}

/// Control of one session. Its end of the connection closes with it, which hangs the program up.
#[derive(Debug)]
struct Handle {
    container: ContainerId,
    terminal: Option<OwnedFd>,
    requests: Mutex<OwnedWriteHalf>,
    status: watch::Receiver<Option<i32>>,
}

#[async_trait]
impl SessionHandle for Handle {
    async fn resize(&self, rows: u16, columns: u16) -> Result<(), RuntimeError> {
        let Some(master) = &self.terminal else { return Ok(()) };
        match set_size(master, rows, columns) {
            // Its programs are gone.
            Ok(()) | Err(Errno::IO) => Ok(()),
            Err(error) => {
                let attempt = format!("resize the terminal of {}", self.container);
                Err(system(attempt)(error.into()))
            }
        }
    }

    async fn signal(&self, signal: i32) -> Result<(), RuntimeError> {
        let request = proto::encode(&Request::SignalSession { signal });
        let sent = self.requests.lock().await.write_all(&request).await;
        // A program that has ended does not mind.
        if sent.is_err() && self.status.borrow().is_none() {
            return sent.map_err(system(format!("signal the session in {}", self.container)));
        }
        Ok(())
    }

    async fn wait(&self) -> Result<i32, RuntimeError> {
        let mut status = self.status.clone();
        let ended = status.wait_for(Option::is_some).await.ok().and_then(|code| *code);
        Ok(ended.unwrap_or(KILLED))
    }
}

/// Hears the end of a session.
async fn hear(
    mut replies: OwnedReadHalf,
    mut received: Vec<u8>,
    ended: watch::Sender<Option<i32>>,
) {
    let mut code = None;
    while code.is_none() {
        while let Ok(Some(body)) = proto::take(&mut received) {
            if let Ok(Reply::SessionEnded { code: status }) = serde_json::from_slice(&body) {
                code = Some(status);
            }
        }
        if code.is_none() && !replies.read_buf(&mut received).await.is_ok_and(|read| read > 0) {
            code = Some(KILLED);
        }
    }
    // Nobody waiting is nobody told.
    ended.send(code).unwrap_or_default();
}

impl Inner {
    /// As [`crate::Runtime::open_session`].
    pub(super) async fn open_session(
        &self,
        container: &ContainerId,
        spec: &SessionSpec,
    ) -> Result<Session, RuntimeError> {
        let attempt = || system(format!("open a session in {container}"));
        let sandbox = self.sandbox_of(container)?;
        let connection = ShimConnection::open(&self.places.run(&sandbox)).await;
        let mut connection = connection.map_err(attempt())?;
        let user = if spec.user.is_empty() { "0".to_owned() } else { spec.user.clone() };
        let order = SessionOrder {
            args: spec.args.clone(),
            env: spec.env.clone(),
            user,
            terminal: spec.terminal,
        };
        let request = Request::Session { container: container.clone(), order };
        match connection.ask(&request).await.map_err(attempt())? {
            Reply::Session => {}
            Reply::Failed(failure) => return Err(refused(container.as_str(), failure)),
            other => return Err(odd(container.as_str(), &other)),
        }
        connected(container, spec.terminal.is_some(), connection).map_err(attempt())
    }
}

fn connected(
    container: &ContainerId,
    terminal: bool,
    mut connection: ShimConnection,
) -> io::Result<Session> {
    let first = connection.take_descriptor()?;
    let (input, output, terminal): (Box<dyn AsyncWrite + Send + Unpin>, _, _) = if terminal {
        rustix::fs::fcntl_setfl(&first, OFlags::NONBLOCK)?;
        let printed = Printed(pipe::Receiver::from_owned_fd_unchecked(first.try_clone()?)?);
        let typed = Typed(pipe::Sender::from_owned_fd_unchecked(first.try_clone()?)?);
        let output: Box<dyn AsyncRead + Send + Unpin> = Box::new(printed);
        (Box::new(typed), output, Some(first))
    } else {
        let printed = connection.take_descriptor()?;
        for pipe in [&first, &printed] {
            rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK)?;
        }
        let output = Box::new(pipe::Receiver::from_owned_fd(printed)?);
        (Box::new(pipe::Sender::from_owned_fd(first)?), output, None)
    };
    let (replies, requests, received) = connection.split();
    let (ended, status) = watch::channel(None);
    tokio::spawn(hear(replies, received, ended));
    let container = container.clone();
    let handle = Handle { container, terminal, requests: Mutex::new(requests), status };
    Ok(Session { input, output, handle: Box::new(handle) })
}
