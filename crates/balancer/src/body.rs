//! The bodies of requests and answers, and what happens when one is complete.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::account::Account;
use crate::h1;
use crate::pool::Sender;
use crate::state::{Outstanding, TargetRuntime};
use crate::worker::Worker;

/// How far a request's body has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) bytes: AtomicU64,
}

/// A request's body on its way to a target.
#[derive(Debug)]
pub(crate) enum UpBody {
    Empty,
    Stream(Incoming, Arc<Progress>),
}

impl Body for UpBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Stream(incoming, progress) = self.get_mut() else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *incoming).poll_frame(context));
        if let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref)) {
            progress.bytes.fetch_add(data.map_or(0, |data| data.len() as u64), Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(incoming, _) => incoming.size_hint(),
        }
    }
}

/// A target's while one request is served.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) worker: Arc<Worker>,
    pub(crate) outstanding: Outstanding,
}

impl Lease {
    pub(crate) const fn target(&self) -> &Arc<TargetRuntime> {
        &self.outstanding.0
    }

    /// The answer is complete. A connection of HTTP/2 never left its pool.
    fn release(&self, body: &mut DownBody) {
        if let DownBody::H1(body) = body
            && let Some(conn) = body.give_back()
        {
            self.worker.pool.put(self.target().uid, Sender::H1(conn), self.worker.tick());
        }
    }
}

/// An answer's body as a target gives it.
#[derive(Debug)]
pub(crate) enum DownBody {
    /// By a connection of HTTP/1.
    H1(h1::Body),
    /// By one of HTTP/2.
    H2(Incoming),
}

impl DownBody {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self {
            Self::H1(body) => body.poll_frame(context),
            Self::H2(body) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(io::Error::other))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::H1(body) => body.is_end_stream(),
            Self::H2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::H1(body) => body.size_hint(),
            Self::H2(body) => body.size_hint(),
        }
    }
}

/// An answer's body on its way to the client.
#[derive(Debug)]
pub(crate) enum OutBody {
    /// None: the protocol is another one from here on.
    None,
    /// The balancer's own.
    Own(Option<Bytes>, Box<Account>),
    /// A target's.
    Target(Box<TargetBody>),
}

/// A target's answer.
#[derive(Debug)]
pub(crate) struct TargetBody {
    incoming: DownBody,
    lease: Option<Lease>,
    account: Box<Account>,
}

impl OutBody {
    /// The body of a target's answer.
    pub(crate) fn target(mut incoming: DownBody, lease: Lease, account: Box<Account>) -> Self {
        // The library asks a body that is empty for nothing.
        let lease = if incoming.is_end_stream() {
            lease.release(&mut incoming);
            None
        } else {
            Some(lease)
        };
        Self::Target(Box::new(TargetBody { incoming, lease, account }))
    }
}

impl Body for OutBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::None => Poll::Ready(None),
            Self::Own(bytes, account) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                account.sent(bytes.as_ref().map_or(0, Bytes::len));
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Target(body) => {
                let frame = ready!(body.incoming.poll_frame(context));
                if let Some(Ok(data)) =
                    frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref))
                {
                    body.account.sent(data.map_or(0, Bytes::len));
                }
                let over = frame.is_none()
                    || (matches!(frame, Some(Ok(_))) && body.incoming.is_end_stream());
                if over && let Some(lease) = body.lease.take() {
                    lease.release(&mut body.incoming);
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Own(bytes, _) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Target(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::None => SizeHint::with_exact(0),
            Self::Own(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Self::Target(body) => body.incoming.size_hint(),
        }
    }
}
