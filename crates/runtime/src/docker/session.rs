//! Programs in a container with their input and output connected.
//!
//! The connection is made here rather than by the client's crate, whose reader takes a terminal's
//! output for framed if it begins with one of the first three control characters.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::ResizeExecOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::Inner;
use super::exec::Program;
use super::fault::cause;
use crate::embedded::system;
use crate::{ContainerId, RuntimeError, Session, SessionHandle, SessionSpec};

/// The head of an answer is no longer than this.
const HEAD: usize = 16 << 10;
/// What Ctrl-D types.
const END_OF_INPUT: u8 = 4;
/// So much output waits for its reader.
const BUFFER: usize = 64 << 10;
/// Between the hang-up and the kill of a program that nobody watches any more.
const HANG_UP: Duration = Duration::from_secs(3);

impl Inner {
    /// Runs a program with its input and output connected.
    pub(crate) async fn connect_program(
        self: &Arc<Self>,
        container: &ContainerId,
        spec: &SessionSpec,
    ) -> Result<Session, RuntimeError> {
        let program = Program {
            args: &spec.args,
            env: &spec.env,
            user: if spec.user.is_empty() { "0" } else { &spec.user },
            input: true,
            terminal: spec.terminal.is_some(),
        };
        let id = self.note_program(container, &program).await?;
        let stream = hijack(&self.socket, &id, spec.terminal.is_some())
            .await
            .map_err(system(format!("connect to a program in {container}")))?;
        let (mut read, write) = stream.into_split();
        if !self.begun(&id).await? {
            let mut said = Vec::new();
            // The reason is told in the place of the output; without it there is none.
            drop(tokio::time::timeout(HANG_UP, read.read_to_end(&mut said)).await);
            let said = String::from_utf8_lossy(&said);
            let said = said.find("OCI runtime").and_then(|at| said.get(at..)).unwrap_or(&said);
            let why = cause(said.trim_start_matches(|c: char| c.is_control()));
            return Err(RuntimeError::Start { id: container.to_string(), why });
        }
        let handle = Handle { inner: Arc::clone(self), id, terminal: spec.terminal.is_some() };
        if let Some((rows, columns)) = spec.terminal
            && let Err(error) = handle.resize(rows, columns).await
        {
            // One that has ended already has no size.
            tracing::debug!(%container, error = stdx::chain(&error), "A terminal keeps its size.");
        }
        let output: Box<dyn AsyncRead + Send + Unpin> =
            if spec.terminal.is_some() { Box::new(read) } else { Box::new(unframed(read)) };
        let input: Box<dyn AsyncWrite + Send + Unpin> =
            if spec.terminal.is_some() { Box::new(Typed(write)) } else { Box::new(write) };
        Ok(Session { input, output, handle: Box::new(handle) })
    }
}

impl Inner {
    /// Waits until a program runs, or has run; whether it could be executed.
    async fn begun(&self, id: &str) -> Result<bool, RuntimeError> {
        loop {
            let found = self.program(id).await?;
            let pid = found.pid.unwrap_or(0);
            if found.running == Some(true) && pid > 0 {
                return Ok(true);
            }
            if found.running != Some(true) && found.exit_code.is_some() {
                return Ok(pid > 0);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Starts a noted program over a connection that then is the program's.
async fn hijack(socket: &str, id: &str, terminal: bool) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket).await?;
    let body = format!("{{\"Detach\":false,\"Tty\":{terminal}}}");
    let request = format!(
        "POST /exec/{id}/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    // Byte by byte: what follows the head is the program's.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD {
            return Err(io::Error::other("the Engine's answer has no end"));
        }
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.split(' ').nth(1).unwrap_or("");
    if status == "101" || status == "200" {
        return Ok(stream);
    }
    let mut why = String::new();
    let mut body = stream.take(HEAD as u64);
    // Some of the reason is better than none.
    drop(tokio::time::timeout(Duration::from_secs(1), body.read_to_string(&mut why)).await);
    Err(io::Error::other(format!("the Engine answered {status}: {why}")))
}

/// The output of a program without a terminal, out of the frames that the Engine puts it in: a byte
/// for the stream, three of nothing, four of length.
fn unframed(mut from: OwnedReadHalf) -> DuplexStream {
    let (mut into, out) = tokio::io::duplex(BUFFER);
    tokio::spawn(async move {
        loop {
            let mut header = [0; 8];
            if from.read_exact(&mut header).await.is_err() {
                return;
            }
            let [.., a, b, c, d] = header;
            let length = u64::from(u32::from_be_bytes([a, b, c, d]));
            let mut piece = (&mut from).take(length);
            if tokio::io::copy(&mut piece, &mut into).await.is_err() {
                return;
            }
        }
    });
    out
}

/// What is typed into a terminal. Its end is a key, as nobody hangs up who stops typing.
struct Typed(OwnedWriteHalf);

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
        Pin::new(&mut self.0).poll_write(cx, &[END_OF_INPUT]).map_ok(drop)
    }
}

/// Controls a program.
#[derive(Debug)]
struct Handle {
    inner: Arc<Inner>,
    id: String,
    terminal: bool,
}

#[async_trait]
impl SessionHandle for Handle {
    async fn resize(&self, rows: u16, columns: u16) -> Result<(), RuntimeError> {
        if !self.terminal {
            return Ok(());
        }
        let size = ResizeExecOptions { h: i32::from(rows), w: i32::from(columns) };
        let resized = self.inner.engine.resize_exec(&self.id, size).await;
        match resized {
            Ok(()) => Ok(()),
            // A program that is gone has no terminal.
            Err(_) if self.inner.program(&self.id).await?.running != Some(true) => Ok(()),
            Err(error) => Err(self.inner.failed("give a terminal another size", &error)),
        }
    }

    async fn signal(&self, signal: i32) -> Result<(), RuntimeError> {
        self.inner.signal_program(&self.id, signal).await
    }

    async fn wait(&self) -> Result<i32, RuntimeError> {
        self.inner.program_end(&self.id).await
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (inner, id) = (Arc::clone(&self.inner), std::mem::take(&mut self.id));
        runtime.spawn(async move {
            for (signal, patience) in [(libc::SIGHUP, HANG_UP), (libc::SIGKILL, Duration::ZERO)] {
                if let Err(error) = inner.signal_program(&id, signal).await {
                    tracing::debug!(%error, "A program that nobody watches could not be ended.");
                }
                let gone = tokio::time::timeout(patience, inner.program_end(&id)).await;
                if gone.is_ok() {
                    return;
                }
            }
        });
    }
}
