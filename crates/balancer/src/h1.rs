//! HTTP/1 to targets: a connection that carries one exchange after the other, driven by whoever has the
//! request, so that an exchange costs no second task and no channel.
//!
//! What a target says is read as strictly as what a client says: an answer whose bounds are doubtful is
//! none, and a connection on which anything comes that nobody asked for is not used again.

mod body;
mod head;
mod send;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::body::UpBody;
use crate::state::Link;
use crate::upstream::Stream;

pub(crate) use body::Body;
use head::{Bounds, Head};
use send::Sending;

/// How much is read at once.
const READ: usize = 32 * 1024;
/// The longest head of an answer.
const HEAD_LIMIT: usize = 128 * 1024;

thread_local! {
    // What is read and written lies here only while it is looked at: a connection that waits for its next
    // exchange has no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
    static HEAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection to a target.
#[derive(Debug)]
pub(crate) struct H1 {
    stream: Stream,
    /// What was read and not used yet.
    rest: BytesMut,
    /// What is to be written yet.
    out: BytesMut,
    link: Link,
}

/// An answer's head, and how to go on.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Body,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The target was not given the request.
    Unsent(UpBody),
    /// The connection ended before any answer.
    Ended,
    /// The answer is none, or the client's body broke off.
    Broken(io::Error),
    /// There is none in time.
    Late,
}

impl H1 {
    pub(crate) fn new(stream: Stream, link: Link) -> Self {
        Self { stream, rest: BytesMut::new(), out: BytesMut::new(), link }
    }

    /// Whether the connection can take an exchange: it has not ended, and nothing has come that nobody
    /// asked for.
    pub(crate) fn is_ready(&mut self) -> bool {
        let context = &mut Context::from_waker(Waker::noop());
        let mut byte = [0];
        !self.link.is_cut()
            && self.rest.is_empty()
            && Pin::new(&mut self.stream)
                .poll_read(context, &mut ReadBuf::new(&mut byte))
                .is_pending()
    }

    /// Gives the stream away, with what was read of it.
    pub(crate) fn into_parts(self) -> (Stream, Bytes, Link) {
        (self.stream, self.rest.freeze(), self.link)
    }

    /// Writes what waits. Ready when nothing does.
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.out))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.out.advance(written),
            }
        }
        if self.out.capacity() > 0 {
            self.out = BytesMut::new();
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Writes a head, as far as that goes now.
    fn begin(
        &mut self,
        context: &mut Context<'_>,
        request: &Parts,
        chunked: bool,
    ) -> io::Result<usize> {
        HEAD.with_borrow_mut(|head| {
            head.clear();
            head::write(head, request, chunked);
            let written = match Pin::new(&mut self.stream).poll_write(context, head) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            self.out.extend_from_slice(&head[written..]);
            Ok(written)
        })
    }

    /// Reads once and adds it to what is unused; how much that was, nothing at the end.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            self.rest.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    }

    /// Reads until a head is complete; none if the connection ended before its first byte.
    fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        request: &Parts,
    ) -> Poll<io::Result<Option<Head>>> {
        loop {
            let found = SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
                let fresh = buffer.filled();
                if fresh.is_empty() {
                    let nothing = self.rest.is_empty();
                    return Poll::Ready(if nothing { Ok(None) } else { Err(head::ended()) });
                }
                // Most heads come whole, and are read where they lie.
                if self.rest.is_empty() {
                    return Poll::Ready(match head::read(fresh, request)? {
                        Some((head, length)) => {
                            self.rest.extend_from_slice(&fresh[length..]);
                            Ok(Some(Some(head)))
                        }
                        None => {
                            self.rest.extend_from_slice(fresh);
                            Ok(Some(None))
                        }
                    });
                }
                self.rest.extend_from_slice(fresh);
                Poll::Ready(Ok(Some(self.take_head(request)?)))
            });
            match ready!(found)? {
                None => return Poll::Ready(Ok(None)),
                Some(Some(head)) => return Poll::Ready(Ok(Some(head))),
                Some(None) if self.rest.len() > HEAD_LIMIT => {
                    return Poll::Ready(Err(head::bad("its head is too large")));
                }
                Some(None) => {}
            }
        }
    }

    fn take_head(&mut self, request: &Parts) -> io::Result<Option<Head>> {
        let Some((head, length)) = head::read(&self.rest, request)? else { return Ok(None) };
        self.rest.advance(length);
        Ok(Some(head))
    }
}

/// Sends a request and waits for the head of its answer. `late` is asked whenever something happens, and
/// every half second at least by whoever drives the client's connection.
pub(crate) async fn exchange(
    conn: Box<H1>,
    request: &Parts,
    body: UpBody,
    late: impl Fn() -> bool,
) -> Result<Answered, Failed> {
    let mut conn = Some(conn);
    let mut sending = Sending::new(request, body);
    let mut begun = false;
    let mut write_failed = false;
    let head = poll_fn(|context| {
        let Some(conn) = conn.as_mut() else { return Poll::Ready(Err(Failed::Ended)) };
        if conn.link.poll_cut(context) {
            return Poll::Ready(Err(Failed::Ended));
        }
        if !begun {
            begun = true;
            if conn.begin(context, request, sending.is_chunked()).is_err() {
                return Poll::Ready(Err(Failed::Unsent(sending.take())));
            }
        }
        if !write_failed {
            match sending.poll(conn, context) {
                Poll::Ready(Err(send::Error::Client(error))) => {
                    return Poll::Ready(Err(Failed::Broken(error)));
                }
                // It may have said why before it closed its side.
                Poll::Ready(Err(send::Error::Target)) => write_failed = true,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        loop {
            // What came behind an answer of 1xx lies here already.
            let taken = match conn.take_head_if_any(request) {
                Ok(Some(head)) => Poll::Ready(Ok(Some(head))),
                Ok(None) => conn.poll_head(context, request),
                Err(error) => Poll::Ready(Err(error)),
            };
            match taken {
                Poll::Ready(Ok(Some(head))) if head.is_interim() => {}
                Poll::Ready(Ok(Some(head))) => return Poll::Ready(Ok(head)),
                Poll::Ready(Ok(None)) => return Poll::Ready(Err(Failed::Ended)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(failed(error))),
                Poll::Pending if late() => return Poll::Ready(Err(Failed::Late)),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await?;
    let Some(conn) = conn else { return Err(Failed::Ended) };
    let reusable = head.reusable && !write_failed;
    let body = Body::new(conn, head.bounds, sending, reusable);
    Ok(Answered { head: head.parts, body })
}

fn failed(error: io::Error) -> Failed {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Failed::Ended,
        _ => Failed::Broken(error),
    }
}

impl H1 {
    fn take_head_if_any(&mut self, request: &Parts) -> io::Result<Option<Head>> {
        if self.rest.is_empty() { Ok(None) } else { self.take_head(request) }
    }
}

#[cfg(test)]
mod tests;
