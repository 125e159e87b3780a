//! The asker's side of a session: what its program reads and writes, and its control.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
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

/// A terminal's master, for reading and for writing.
#[derive(Clone, Debug)]
struct Terminal(Arc<AsyncFd<OwnedFd>>);

impl Terminal {
    fn new(master: OwnedFd) -> io::Result<Self> {
        rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK)?;
        Ok(Self(Arc::new(AsyncFd::new(master)?)))
    }
}

impl AsyncRead for Terminal {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let bytes = into.initialize_unfilled();
            match guard.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *bytes)?)) {
                Ok(Ok(read)) => {
                    into.advance(read);
                    return Poll::Ready(Ok(()));
                }
                // Its last program is gone: the end.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            match guard.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                Ok(done) => return Poll::Ready(done),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write(cx, &[END_OF_INPUT]))?;
        Poll::Ready(Ok(()))
    }
}

/// Control of one session. Its end of the connection closes with it, which hangs the program up.
#[derive(Debug)]
struct Handle {
    container: ContainerId,
    terminal: Option<Terminal>,
    requests: Mutex<OwnedWriteHalf>,
    status: watch::Receiver<Option<i32>>,
}

#[async_trait]
impl SessionHandle for Handle {
    async fn resize(&self, rows: u16, columns: u16) -> Result<(), RuntimeError> {
        let Some(Terminal(master)) = &self.terminal else { return Ok(()) };
        match set_size(master.get_ref(), rows, columns) {
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
        let terminal = Terminal::new(first)?;
        let output: Box<dyn AsyncRead + Send + Unpin> = Box::new(terminal.clone());
        (Box::new(terminal.clone()), output, Some(terminal))
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
