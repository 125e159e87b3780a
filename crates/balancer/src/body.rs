//! The bodies of requests and answers, and what happens when one is complete.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::account::Account;
use crate::pool::Sender;
use crate::state::{Outstanding, TargetRuntime};
use crate::worker::Worker;

/// How far a request's body has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) bytes: AtomicU64,
    pub(crate) whole: AtomicBool,
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
        if frame.is_none() || (matches!(frame, Some(Ok(_))) && incoming.is_end_stream()) {
            progress.whole.store(true, Ordering::Release);
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

/// A connection that serves one request, and goes back to its pool when both bodies are complete.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) sender: Option<Sender>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) outstanding: Outstanding,
    /// None if the request has no body.
    pub(crate) progress: Option<Arc<Progress>>,
}

impl Lease {
    pub(crate) const fn target(&self) -> &Arc<TargetRuntime> {
        &self.outstanding.0
    }

    /// The answer is complete.
    fn release(&mut self) {
        let sent =
            self.progress.as_ref().is_none_or(|progress| progress.whole.load(Ordering::Acquire));
        match self.sender.take() {
            // A connection of HTTP/2 never left its pool.
            Some(sender @ Sender::H1(_)) if sent => {
                self.worker.pool.put(self.target().uid, sender, self.worker.tick());
            }
            Some(_) | None => {}
        }
    }
}

/// An answer's body on its way to the client.
#[derive(Debug)]
pub(crate) enum OutBody {
    /// The balancer's own.
    Own(Option<Bytes>, Box<Account>),
    /// A target's.
    Target(Box<TargetBody>),
}

/// A target's answer.
#[derive(Debug)]
pub(crate) struct TargetBody {
    incoming: Incoming,
    lease: Option<Lease>,
    account: Box<Account>,
}

impl OutBody {
    /// The body of a target's answer.
    pub(crate) fn target(incoming: Incoming, mut lease: Lease, account: Box<Account>) -> Self {
        // The library asks a body that is empty for nothing.
        let lease = if incoming.is_end_stream() {
            lease.release();
            None
        } else {
            Some(lease)
        };
        Self::Target(Box::new(TargetBody { incoming, lease, account }))
    }
}

impl Body for OutBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Own(bytes, account) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                account.sent(bytes.as_ref().map_or(0, Bytes::len));
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Target(body) => {
                let frame = ready!(Pin::new(&mut body.incoming).poll_frame(context));
                if let Some(Ok(data)) =
                    frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref))
                {
                    body.account.sent(data.map_or(0, Bytes::len));
                }
                let over = frame.is_none()
                    || (matches!(frame, Some(Ok(_))) && body.incoming.is_end_stream());
                if over && let Some(mut lease) = body.lease.take() {
                    lease.release();
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes, _) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Target(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Self::Target(body) => body.incoming.size_hint(),
        }
    }
}
