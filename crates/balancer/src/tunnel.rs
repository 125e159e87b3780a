//! Bytes passed both ways, until one side ends or both fall silent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::account::Account;
use crate::body::Lease;
use crate::h1::H1;
use crate::usage::{BalancerCells, Sharded};
use crate::worker::Worker;

/// How much is passed on at once.
const BUFFER: usize = 16 * 1024;

/// A stream whose bytes are counted and taken as a sign of life.
struct Counted<S> {
    inner: S,
    worker: Arc<Worker>,
    active: Arc<AtomicU64>,
    tally: Tally,
}

/// What the bytes of a client are counted into.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// The listener's counters.
    pub(crate) cells: Option<Arc<Sharded<BalancerCells>>>,
    /// This flow's own.
    pub(crate) passed: Option<Arc<Passed>>,
}

/// Bytes that passed.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// From the client.
    pub(crate) received: AtomicU64,
    /// To the client.
    pub(crate) sent: AtomicU64,
}

impl<S> Counted<S> {
    fn count(&self, bytes: usize, counter: impl Fn(&Passed) -> &AtomicU64) {
        if bytes > 0 {
            self.active.store(self.worker.tick(), Ordering::Relaxed);
            if let Some(cells) = &self.tally.cells {
                cells.processed_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            }
            if let Some(passed) = &self.tally.passed {
                counter(passed).fetch_add(bytes as u64, Ordering::Relaxed);
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, out))?;
        self.count(out.filled().len() - before, |passed| &passed.received);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        self.count(written, |passed| &passed.sent);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// A stream of which something was read already.
struct Prefixed<S> {
    first: Bytes,
    inner: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.inner).poll_read(context, out);
        }
        let taken = self.first.len().min(out.remaining());
        out.put_slice(&self.first.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Passes bytes both ways. A side that ends its half leaves the other its own; after `idle` without a byte
/// it is over. `tally` counts what goes to and comes from the client.
pub(crate) async fn relay(
    worker: &Arc<Worker>,
    client: impl AsyncRead + AsyncWrite + Unpin,
    target: impl AsyncRead + AsyncWrite + Unpin,
    idle: Duration,
    tally: Tally,
) {
    let active = Arc::new(AtomicU64::new(worker.tick()));
    let shared = || (Arc::clone(worker), Arc::clone(&active));
    let (a, b) = (shared(), shared());
    let mut client = Counted { inner: client, worker: a.0, active: a.1, tally };
    let mut target = Counted { inner: target, worker: b.0, active: b.1, tally: Tally::default() };
    let silent = async {
        let allowed = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        loop {
            let quiet = worker.tick().saturating_sub(active.load(Ordering::Relaxed));
            if quiet >= allowed {
                break;
            }
            tokio::time::sleep(Duration::from_millis((allowed - quiet).max(1))).await;
        }
    };
    tokio::select! {
        // How it ended matters to neither side any more.
        end = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut target, BUFFER, BUFFER) => drop(end),
        () = silent => {}
    }
}

/// Passes the bytes of a connection whose protocol was switched, such as a websocket. Its request is over
/// when it is.
pub(crate) async fn after_switch(
    mut account: Box<Account>,
    client: OnUpgrade,
    target: H1,
    lease: Lease,
    idle: Duration,
) {
    let (stream, first, link) = target.into_parts();
    let target = Prefixed { first, inner: stream };
    let passed = Arc::<Passed>::default();
    // The client's side counts its bytes itself.
    let tally = Tally { cells: None, passed: Some(Arc::clone(&passed)) };
    let conn = Arc::clone(&account.conn);
    let relay = async {
        let Ok(client) = client.await else { return };
        relay(&conn.worker, TokioIo::new(client), target, idle, tally).await;
    };
    let ended = conn.state.until_cut();
    let both = async {
        tokio::select! {
            () = relay => {}
            () = ended => {}
        }
    };
    link.while_whole(both).await;
    account.passed(passed.received.load(Ordering::Relaxed), passed.sent.load(Ordering::Relaxed));
    drop(lease);
}
