//! The listeners: who asks is told by which listener took the connection. A source has so many
//! connections, and one that says nothing is closed, so that nobody holds up anybody else.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};

use super::directory::Asker;

/// Connections that one source may have at a time.
const MOST: usize = 64;
/// A connection that says nothing for so long is closed; the ECS agent waits as long.
const SILENCE: Duration = Duration::from_secs(5);

/// Whence a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) asker: Asker,
    pub(super) address: IpAddr,
}

/// Which listener it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// What containers reach, with their own addresses.
    Containers,
    /// What processes in the machine's own network reach.
    Machine,
}

impl Door {
    fn origin(self, address: IpAddr) -> Origin {
        let asker = match (self, address) {
            (Self::Containers, IpAddr::V4(address)) => Asker::Container(address),
            (Self::Containers | Self::Machine, _) => Asker::Machine,
        };
        Origin { asker, address }
    }
}

type Counts = Arc<Mutex<BTreeMap<IpAddr, usize>>>;

/// A listener.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) door: Door,
    pub(super) listener: TcpListener,
    counts: Counts,
}

impl Listening {
    pub(super) fn new(door: Door, listener: TcpListener) -> Self {
        Self { door, listener, counts: Counts::default() }
    }
}

impl Listener for Listening {
    type Io = Guarded;
    type Addr = Origin;

    async fn accept(&mut self) -> (Guarded, Origin) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    if let Some(place) = Place::take(&self.counts, from.ip()) {
                        let silence = Box::pin(sleep(SILENCE));
                        let guarded = Guarded { stream, silence, _place: place };
                        return (guarded, self.door.origin(from.ip()));
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "A connection of a task could not be taken.");
                    // Out of descriptors, for one: others have to end first.
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Origin> {
        self.listener.local_addr().map(|address: SocketAddr| self.door.origin(address.ip()))
    }
}

impl Connected<IncomingStream<'_, Listening>> for Origin {
    fn connect_info(stream: IncomingStream<'_, Listening>) -> Self {
        *stream.remote_addr()
    }
}

/// One of the connections that a source may have; given back when dropped.
#[derive(Debug)]
struct Place {
    counts: Counts,
    of: IpAddr,
}

impl Place {
    fn take(counts: &Counts, of: IpAddr) -> Option<Self> {
        let mut all = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(of).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        Some(Self { counts: Arc::clone(counts), of })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.of);
            }
        }
    }
}

/// A connection that ends when it has been silent for too long.
#[derive(Debug)]
pub(super) struct Guarded {
    stream: TcpStream,
    silence: Pin<Box<Sleep>>,
    _place: Place,
}

impl Guarded {
    /// Passes on what came of an attempt; one that waits is over when the silence is too long.
    fn watch<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.silence.as_mut().reset(Instant::now() + SILENCE);
            return polled;
        }
        match self.silence.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watch(polled, context)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_connections_and_others_have_their_own() {
        let counts = Counts::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 2]), IpAddr::from([10, 0, 0, 3]));
        let mut places: Vec<Place> =
            (0..MOST).map(|_| Place::take(&counts, one).unwrap()).collect();
        assert!(Place::take(&counts, one).is_none());
        drop(Place::take(&counts, other).unwrap());
        places.pop();
        drop(Place::take(&counts, one).unwrap());
        drop(places);
        assert!(counts.lock().unwrap().is_empty());
    }
}
