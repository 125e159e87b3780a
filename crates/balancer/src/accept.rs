//! Listening sockets: taking connections, and giving each to the worker with the fewest.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::account::ConnContext;
use crate::conn::{Conn, ConnState, Driver, End, Limits};
use crate::flow::{self, FlowLog};
use crate::guard::Guard;
use crate::io::{ClientIo, Readable};
use crate::serve::{serve, unshared};
use crate::state::{ListenerRuntime, Plan};
use crate::usage::bump;
use crate::worker::Worker;
use crate::{DesyncMode, ListenerProtocol, tcp};

/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long to wait when the process has no file descriptors left.
const OUT_OF_FILES: Duration = Duration::from_millis(50);
/// The most requests at once on one connection of HTTP/2, as an ALB has it.
const STREAMS: u32 = 128;
/// The most bytes of a request's head in HTTP/2.
const HEAD_LIMIT: u32 = 64 * 1024;

/// Takes connections until `stop` says so.
pub(crate) async fn accept(
    listening: TcpListener,
    listener: Arc<ListenerRuntime>,
    own: usize,
    workers: Arc<[Arc<Worker>]>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listening.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            // The client is gone already, or there are no descriptors: the next may have more luck.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                tracing::warn!(port = listener.port, %error, "a connection could not be taken");
                tokio::time::sleep(OUT_OF_FILES).await;
                continue;
            }
        };
        let chosen = least(&workers, own);
        let worker = Arc::clone(&workers[chosen]);
        let listener = Arc::clone(&listener);
        if chosen == own {
            tokio::spawn(connection(stream, client, listener, worker));
        } else if let Ok(stream) = stream.into_std() {
            let handle = worker.handle.clone();
            handle.spawn(async move {
                if let Ok(stream) = TcpStream::from_std(stream) {
                    connection(stream, client, listener, worker).await;
                }
            });
        }
    }
}

/// The worker with the fewest connections; the own one among equals.
fn least(workers: &[Arc<Worker>], own: usize) -> usize {
    let key = |place: usize| (workers[place].open(), place != own);
    (0..workers.len()).min_by_key(|place| key(*place)).unwrap_or(own)
}

async fn connection(
    stream: TcpStream,
    client: SocketAddr,
    listener: Arc<ListenerRuntime>,
    worker: Arc<Worker>,
) {
    // Without it answers wait for each other; a socket that is gone shows soon.
    drop(stream.set_nodelay(true));
    let client = SocketAddr::new(client.ip().to_canonical(), client.port());
    let plan = listener.plan.load_full();
    let state = ConnState::new(plan.listener.id.clone(), Arc::clone(&worker));
    let conn = ConnContext::new(&worker, Arc::clone(&listener), state, client);
    // What most connections are stays small; the others have their room elsewhere.
    if plan.tls.is_some() {
        Box::pin(secure(stream, conn, plan)).await;
    } else if plan.listener.protocol.is_http() {
        flow::tell(&conn, &plan, None);
        drop(plan);
        drop(listener);
        drop(worker);
        http1(stream, conn, false).await;
    } else {
        Box::pin(tcp::flow(stream, conn, None)).await;
    }
}

async fn secure(stream: TcpStream, mut conn: ConnContext, plan: Arc<Plan>) {
    let Some(tls) = &plan.tls else { return };
    let (begun, address) = (Instant::now(), stream.local_addr());
    let mut log = address.ok().and_then(|address| FlowLog::begin(&conn, &plan, address));
    let handshake = tokio::time::timeout(HANDSHAKE_TIME, tls.acceptor.accept(stream)).await;
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        failed => {
            bump(&conn.listener.cells.client_tls_errors);
            if let (Some(log), Ok(Err(error))) = (&mut log, &failed) {
                log.failed(error);
            }
            flow::tell(&conn, &plan, None);
            return;
        }
    };
    let session = stream.get_ref().1;
    conn.tls = Some(tls.facts(session));
    conn.http2 = session.alpn_protocol() == Some(b"h2");
    if let Some(log) = &mut log {
        log.secured(conn.tls.as_ref());
    }
    flow::tell(&conn, &plan, Some(begun.elapsed()));
    match (&plan.listener.protocol, conn.http2) {
        (ListenerProtocol::Https(_), true) => http2(stream, conn).await,
        (ListenerProtocol::Https(_) | ListenerProtocol::Http, _) => http1(stream, conn, true).await,
        (
            ListenerProtocol::Tcp
            | ListenerProtocol::Tls(_)
            | ListenerProtocol::Udp
            | ListenerProtocol::TcpUdp,
            _,
        ) => {
            tcp::flow(stream, conn, log).await;
        }
    }
}

fn limits(conn: &ConnContext) -> Limits {
    let plan = conn.listener.plan.load();
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4);
    Limits {
        idle: millis(plan.listener.balancer.idle_timeout),
        whole: millis(plan.listener.balancer.client_keep_alive),
    }
}

/// Requests one after the other. Between them, and before the first one, a connection that rests has
/// neither buffers nor the library's state. `begun` says that something may have been read already.
async fn http1<S>(stream: S, conn: ConnContext, begun: bool)
where
    S: AsyncRead + AsyncWrite + Readable + Unpin + Send + 'static,
{
    let strictest = conn.listener.plan.load().listener.balancer.desync == DesyncMode::Strictest;
    let (limits, conn) = (limits(&conn), Arc::new(conn));
    let state = Arc::clone(&conn.state);
    let mut io = ClientIo::new(
        stream,
        Some(Guard::new(strictest)),
        Arc::clone(&state),
        Arc::clone(&conn.listener.cells),
    );
    let mut rests = !begun;
    loop {
        if rests && !state.rest(limits, |context| io.poll_readable(context)).await {
            return;
        }
        match Driver::new(library(io, &conn), Arc::clone(&state), limits).await {
            End::Over => return,
            End::Parked(parked) => io = parked,
        }
        rests = true;
    }
}

/// The HTTP library on a connection.
fn library<S>(io: ClientIo<S>, conn: &Arc<ConnContext>) -> impl Conn<Io = ClientIo<S>> + use<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let conn = Arc::clone(conn);
    let service = service_fn(move |request: http::Request<Incoming>| {
        serve(Arc::clone(&conn), unshared(request))
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.half_close(false).header_read_timeout(None).max_buf_size(128 * 1024).writev(false);
    builder.serve_connection(io, service).with_upgrades()
}

/// Requests side by side.
async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, conn: ConnContext) {
    let io = ClientIo::new(stream, None, Arc::clone(&conn.state), Arc::clone(&conn.listener.cells));
    let (limits, state) = (limits(&conn), Arc::clone(&conn.state));
    let conn = Arc::new(conn);
    let service = service_fn(move |request: http::Request<Incoming>| {
        serve(Arc::clone(&conn), request).boxed()
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_LIMIT)
        .adaptive_window(true);
    let connection = builder.serve_connection(io, service);
    match Driver::new(connection, state, limits).await {
        End::Over => {}
        End::Parked(never) => match never {},
    }
}

impl<I, B, S> Conn for hyper::server::conn::http1::UpgradeableConnection<ClientIo<I>, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Self: Unpin,
{
    type Io = ClientIo<I>;

    fn finish(self: std::pin::Pin<&mut Self>) {
        self.graceful_shutdown();
    }

    fn park(self) -> Option<ClientIo<I>> {
        let parts = self.into_parts()?;
        let mut io = parts.io;
        io.unread(&parts.read_buf);
        Some(io)
    }

    const PARKS: bool = true;
}

impl<I, B, S, E> Conn for hyper::server::conn::http2::Connection<I, S, E>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
    Self: Unpin,
{
    type Io = Infallible;

    fn finish(self: std::pin::Pin<&mut Self>) {
        self.graceful_shutdown();
    }

    fn park(self) -> Option<Infallible> {
        None
    }

    const PARKS: bool = false;
}
