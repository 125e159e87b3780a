//! Bytes passed both ways, until one side ends or both fall silent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::Abortable;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::account::ConnContext;
use crate::body::Lease;
use crate::usage::{BalancerCells, Sharded};
use crate::worker::Worker;

/// How much is passed on at once.
const BUFFER: usize = 16 * 1024;

/// A stream whose bytes are counted and taken as a sign of life.
struct Counted<S> {
    inner: S,
    worker: Arc<Worker>,
    active: Arc<AtomicU64>,
    cells: Option<Arc<Sharded<BalancerCells>>>,
}

impl<S> Counted<S> {
    fn count(&self, bytes: usize) {
        if bytes > 0 {
            self.active.store(self.worker.tick(), Ordering::Relaxed);
            if let Some(cells) = &self.cells {
                cells.processed_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
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
        self.count(out.filled().len() - before);
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
        self.count(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Passes bytes both ways. A side that ends its half leaves the other its own; after `idle` without a byte
/// it is over. `cells` count what goes to and comes from the client.
pub(crate) async fn relay(
    worker: &Arc<Worker>,
    client: impl AsyncRead + AsyncWrite + Unpin,
    target: impl AsyncRead + AsyncWrite + Unpin,
    idle: Duration,
    cells: Option<Arc<Sharded<BalancerCells>>>,
) {
    let active = Arc::new(AtomicU64::new(worker.tick()));
    let counted = |cells| (Arc::clone(worker), Arc::clone(&active), cells);
    let (a, b) = (counted(cells), counted(None));
    let mut client = Counted { inner: client, worker: a.0, active: a.1, cells: a.2 };
    let mut target = Counted { inner: target, worker: b.0, active: b.1, cells: b.2 };
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

/// Passes the bytes of a connection whose protocol was switched, such as a websocket.
pub(crate) async fn after_switch(
    conn: Arc<ConnContext>,
    client: OnUpgrade,
    target: OnUpgrade,
    lease: Lease,
    idle: Duration,
) {
    let (link, registration) = lease.target().link();
    let relay = async {
        let (Ok(client), Ok(target)) = tokio::join!(client, target) else { return };
        // The client's side counts its bytes itself.
        relay(&conn.worker, TokioIo::new(client), TokioIo::new(target), idle, None).await;
    };
    Abortable::new(relay, registration).await.unwrap_or_default();
    drop(link);
    drop(lease);
}
