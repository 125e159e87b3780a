//! A client's bytes on their way to the HTTP library, under the eye of the [`Guard`].

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::conn::ConnState;
use crate::guard::{Guard, REFUSED_REQUEST, Refusal, Then};
use crate::usage::{BalancerCells, Sharded};

/// How much is read at once.
const READ: usize = 16 * 1024;

thread_local! {
    // What is read lies here only while it is looked at, so that an idle connection has no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A stream that can tell whether there is something to read, without reading it.
pub(crate) trait Readable {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Readable for TcpStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The runtime takes a new connection for readable until somebody has looked.
        let mut byte = [0];
        self.poll_peek(context, &mut ReadBuf::new(&mut byte)).map_ok(drop)
    }
}

// Whoever asks has read all that was decrypted.
impl Readable for TlsStream<TcpStream> {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().0.poll_readable(context)
    }
}

/// A client's side of a connection.
#[derive(Debug)]
pub(crate) struct ClientIo<S> {
    inner: S,
    /// None for HTTP/2, whose framing the library checks.
    guard: Option<Guard>,
    /// Bytes that may not pass yet.
    held: Vec<u8>,
    /// Bytes that may pass, for which there was no room; from the position on.
    passed: Vec<u8>,
    at: usize,
    broken: bool,
    state: Arc<ConnState>,
    cells: Arc<Sharded<BalancerCells>>,
}

impl<S> ClientIo<S> {
    pub(crate) const fn new(
        inner: S,
        guard: Option<Guard>,
        state: Arc<ConnState>,
        cells: Arc<Sharded<BalancerCells>>,
    ) -> Self {
        Self {
            inner,
            guard,
            held: Vec::new(),
            passed: Vec::new(),
            at: 0,
            broken: false,
            state,
            cells,
        }
    }

    /// Puts back what was given and not used.
    pub(crate) fn unread(&mut self, bytes: &[u8]) {
        self.passed.drain(..self.at);
        self.at = 0;
        self.passed.splice(..0, bytes.iter().copied());
    }

    fn count(&self, bytes: usize) {
        if bytes > 0 {
            self.state.touch();
            self.cells.processed_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.state.refuse(refusal);
        self.passed.extend_from_slice(REFUSED_REQUEST);
    }

    /// Looks at what is held and `fresh` bytes after it, and passes what may pass.
    fn look(&mut self, fresh: &[u8], out: &mut ReadBufCursor<'_>) {
        let Some(guard) = &mut self.guard else { return };
        let joined;
        let bytes = if self.held.is_empty() {
            fresh
        } else {
            self.held.extend_from_slice(fresh);
            joined = std::mem::take(&mut self.held);
            &joined
        };
        let verdict = guard.look(bytes);
        let (pass, rest) = bytes.split_at(verdict.pass);
        let room = if self.passed.is_empty() { pass.len().min(out.remaining()) } else { 0 };
        out.put_slice(&pass[..room]);
        self.passed.extend_from_slice(&pass[room..]);
        match verdict.then {
            Then::More | Then::Undecided => self.held = rest.to_vec(),
            Then::RefuseRequest(refusal) => self.refuse(refusal),
            Then::RefuseBody(refusal) => {
                self.state.refuse(refusal);
                self.broken = true;
            }
        }
        let within_head = self.guard.as_ref().is_some_and(Guard::within_head);
        self.state.head(within_head);
    }

    /// Gives what could not be given before. Says whether anything was.
    fn give(&mut self, out: &mut ReadBufCursor<'_>) -> bool {
        let waiting = &self.passed[self.at..];
        if waiting.is_empty() {
            return false;
        }
        let room = waiting.len().min(out.remaining());
        out.put_slice(&waiting[..room]);
        self.at += room;
        if self.at == self.passed.len() {
            // An idle connection keeps no buffer.
            self.passed = Vec::new();
            self.at = 0;
        }
        room > 0
    }
}

impl<S: Readable> ClientIo<S> {
    /// Whether there is something to read; false if the connection broke.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<bool> {
        if !self.passed.is_empty() {
            return Poll::Ready(true);
        }
        self.inner.poll_readable(context).map(|readable| readable.is_ok())
    }
}

impl<S: AsyncRead + Unpin> ClientIo<S> {
    fn read_plain(
        &mut self,
        context: &mut Context<'_>,
        out: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let most = out.remaining().min(scratch.len());
            let mut buffer = ReadBuf::new(&mut scratch[..most]);
            ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
            self.count(buffer.filled().len());
            out.put_slice(buffer.filled());
            Poll::Ready(Ok(()))
        })
    }

    /// Reads and looks. Says whether the client's side has ended.
    fn read_guarded(
        &mut self,
        context: &mut Context<'_>,
        out: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<bool>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
            let fresh = buffer.filled();
            self.count(fresh.len());
            if fresh.is_empty() {
                return Poll::Ready(Ok(true));
            }
            self.look(fresh, out);
            Poll::Ready(Ok(false))
        })
    }
}

impl<S: AsyncRead + Unpin> Read for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if out.remaining() == 0 || this.give(&mut out) {
                return Poll::Ready(Ok(()));
            }
            if this.broken {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the body is malformed",
                )));
            }
            let Some(guard) = &mut this.guard else { return this.read_plain(context, &mut out) };
            if guard.is_tunnel() && this.held.is_empty() {
                return this.read_plain(context, &mut out);
            }
            if guard.is_over() {
                // Nothing more is read; the connection ends after the answer.
                return Poll::Pending;
            }
            if this.state.head_is_late() && !guard.within_body() {
                guard.give_up();
                this.refuse(Refusal::Timeout);
                continue;
            }
            let before = out.remaining();
            if guard.is_undecided() {
                let Some(switched) = this.state.switched(context) else { return Poll::Pending };
                guard.decided(switched);
                this.look(&[], &mut out);
            } else if ready!(this.read_guarded(context, &mut out))? {
                return Poll::Ready(Ok(()));
            }
            if out.remaining() < before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Write for ClientIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.state.stuck(written.is_pending());
        let written = ready!(written)?;
        self.count(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.state.stuck(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
