//! Connections to targets.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::ProtocolVersion;
use crate::h1::H1;
use crate::pool::Sender;
use crate::state::TargetRuntime;
use crate::tls::ClientTls;
use crate::worker::Worker;

/// How long a connection to a target may take to stand, as an ALB's.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Why there is no connection to a target.
#[derive(Debug)]
pub(crate) enum ConnectFailure {
    /// It was refused or broke.
    Refused(io::Error),
    /// It took too long.
    Timeout,
    /// TLS could not be agreed upon.
    Tls(io::Error),
}

/// Bytes to and from a target, in clear or not.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, out),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, out),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// Connects to an address, over TLS if there is any; `http2` asks for it by ALPN.
pub(crate) async fn open(
    address: SocketAddr,
    tls: Option<&ClientTls>,
    http2: bool,
    time: Duration,
) -> Result<Stream, ConnectFailure> {
    let connect = async {
        let stream = TcpStream::connect(address).await.map_err(ConnectFailure::Refused)?;
        stream.set_nodelay(true).map_err(ConnectFailure::Refused)?;
        match tls {
            Some(tls) => secure(stream, address, tls, http2, time).await,
            None => Ok(Stream::Plain(stream)),
        }
    };
    tokio::time::timeout(time, connect).await.unwrap_or(Err(ConnectFailure::Timeout))
}

/// Begins TLS on a stream that stands.
pub(crate) async fn secure(
    stream: TcpStream,
    address: SocketAddr,
    tls: &ClientTls,
    http2: bool,
    time: Duration,
) -> Result<Stream, ConnectFailure> {
    let name = ServerName::IpAddress(address.ip().into());
    match tokio::time::timeout(time, tls.connector(http2).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(ConnectFailure::Tls(error)),
        Err(_) => Err(ConnectFailure::Timeout),
    }
}

/// Speaks HTTP on a stream. A connection of HTTP/2 lives in a task of its own until either side ends it.
pub(crate) async fn speak(
    stream: Stream,
    version: ProtocolVersion,
    target: &Arc<TargetRuntime>,
) -> Result<Sender, hyper::Error> {
    let link = target.link();
    match version {
        ProtocolVersion::Http1 => Ok(Sender::H1(Box::new(H1::new(stream, link)))),
        ProtocolVersion::Http2 | ProtocolVersion::Grpc => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).adaptive_window(true);
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
            // Whoever uses the connection hears of its end.
            tokio::spawn(async move { link.while_whole(connection).await.map(drop) });
            Ok(Sender::H2(sender))
        }
    }
}

/// A connection to a target that can take a request now.
pub(crate) async fn connect(
    worker: &Worker,
    target: &Arc<TargetRuntime>,
    tls: bool,
    version: ProtocolVersion,
) -> Result<Sender, ConnectFailure> {
    let http2 = version != ProtocolVersion::Http1;
    let tls = tls.then_some(&worker.common.client_tls);
    let stream = open(target.target.address, tls, http2, CONNECT_TIME).await?;
    let sender = speak(stream, version, target)
        .await
        .map_err(|error| ConnectFailure::Refused(io::Error::other(error)))?;
    if let Sender::H2(sender) = &sender {
        worker.pool.put(target.uid, Sender::H2(sender.clone()), worker.tick());
    }
    Ok(sender)
}
