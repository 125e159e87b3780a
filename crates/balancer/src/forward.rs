//! A request on its way to a target, and the answer on its way back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{HOST, SET_COOKIE};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::account::{Account, ConnContext};
use crate::body::{DownBody, Lease, OutBody, Progress, UpBody};
use crate::h1;
use crate::headers::{self, Rare};
use crate::pick::{self, Keep, Picked};
use crate::pool::Sender;
use crate::serve::{has_body, is_grpc, own_error, via};
use crate::state::{GroupUse, Outstanding, TargetRuntime};
use crate::sticky::{self, Ticket};
use crate::tunnel;
use crate::upstream::{self, ConnectFailure};
use crate::usage::bump;
use crate::worker::Worker;
use crate::{GroupProtocol, ProtocolVersion};

/// How many targets are tried for a request that none has been given yet.
const TRIES: usize = 3;

/// A request that waits for its target.
struct Outgoing {
    parts: Parts,
    body: UpBody,
    /// Sending it twice does no harm (RFC 9110, 9.2.2).
    repeatable: bool,
}

/// Why a target gave no answer.
enum Failure {
    /// It was not given the request.
    Unsent(UpBody),
    /// The connection ended before any answer.
    Ended,
    /// 502.
    Broken,
    /// 504.
    Late,
}

/// A target's answer.
struct Answered {
    head: response::Parts,
    body: DownBody,
    lease: Lease,
}

/// Forwards a request to one of the groups.
pub(crate) async fn forward(
    conn: &Arc<ConnContext>,
    groups: &[(GroupUse, u32)],
    stickiness: Option<Duration>,
    mut request: Request<Incoming>,
    mut account: Box<Account>,
    switch: bool,
) -> Response<OutBody> {
    let grpc = is_grpc(&request);
    let now = conn.worker.recent();
    let Some(picked) = pick::pick(conn, groups, stickiness, request.headers(), now) else {
        return own_error(503, grpc, account);
    };
    if let Some(status) = incompatible(conn, &request, picked.config.version, grpc) {
        return own_error(status, grpc, account);
    }
    let on_client = switch.then(|| hyper::upgrade::on(&mut request));
    let outgoing = prepare(conn, request, &picked, &mut account, switch);
    let idle = account_idle(conn);
    let answered = match attempt(conn, &picked, outgoing, &mut account, idle).await {
        Ok(answered) => answered,
        Err(status) => return own_error(status, grpc, account),
    };
    account.answered(&picked.group, answered.head.status.as_u16());
    answer(conn, &picked, answered, account, on_client)
}

fn account_idle(conn: &ConnContext) -> Duration {
    conn.listener.plan.load().listener.balancer.idle_timeout
}

/// Whether the group cannot serve what the request speaks, as an ALB's 464 tells.
fn incompatible(
    conn: &ConnContext,
    request: &Request<Incoming>,
    version: ProtocolVersion,
    grpc: bool,
) -> Option<u16> {
    let wrong = match version {
        ProtocolVersion::Http1 => grpc && conn.http2,
        ProtocolVersion::Http2 => !conn.http2,
        ProtocolVersion::Grpc => !conn.http2 || request.method() != Method::POST,
    };
    wrong.then_some(464)
}

/// The request as a target gets it.
fn prepare(
    conn: &ConnContext,
    request: Request<Incoming>,
    picked: &Picked,
    account: &mut Account,
    switch: bool,
) -> Outgoing {
    let repeatable = !has_body(&request)
        && !switch
        && matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
        );
    let body = has_body(&request);
    let (mut parts, incoming) = request.into_parts();
    let http2 = picked.config.version != ProtocolVersion::Http1;
    let rare = Rare::of(&parts.headers);
    headers::strip_hop_by_hop(&mut parts.headers, rare, switch, http2);
    let plan = conn.listener.plan.load();
    let random = u128::from(conn.worker.random()) << 64 | u128::from(conn.worker.random());
    let trace = headers::to_target(
        &mut parts.headers,
        rare,
        &plan.listener.balancer,
        via(conn),
        (conn.worker.recent(), random),
    );
    account.trace(&trace);
    parts.extensions = http::Extensions::new();
    if http2 {
        parts.version = Version::HTTP_2;
        let host = parts.headers.remove(HOST);
        let scheme = if picked.config.protocol == GroupProtocol::Https {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        parts.uri = absolute(&parts.uri, host.as_ref(), scheme);
    } else {
        parts.version = Version::HTTP_11;
    }
    let progress = body.then(Arc::<Progress>::default);
    let body = match progress {
        Some(progress) => {
            account.body(&progress);
            UpBody::Stream(incoming, progress)
        }
        None => UpBody::Empty,
    };
    Outgoing { parts, body, repeatable }
}

fn absolute(uri: &Uri, host: Option<&HeaderValue>, scheme: Scheme) -> Uri {
    let authority = host
        .and_then(|host| host.to_str().ok())
        .filter(|host| !host.is_empty())
        .unwrap_or("localhost");
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path)
        .build()
        .unwrap_or_default()
}

/// Tries targets until one answers; the status of the balancer's own answer if none does.
async fn attempt(
    conn: &Arc<ConnContext>,
    picked: &Picked,
    outgoing: Outgoing,
    account: &mut Account,
    idle: Duration,
) -> Result<Answered, u16> {
    let Outgoing { parts, mut body, repeatable } = outgoing;
    let mut place = picked.place;
    let mut fresh = false;
    let mut status = 502;
    for _ in 0..TRIES {
        let target = &picked.view.eligible[place];
        let outstanding = Outstanding::begin(target);
        account.dispatch(&picked.group, target);
        let (sender, reused) = match sender(conn, picked, target, fresh).await {
            Ok(sender) => sender,
            Err(failure) => {
                status = connect_failed(conn, picked, target, &failure);
                drop(outstanding);
                place = pick::another(conn, picked, place);
                continue;
            }
        };
        let given = std::mem::replace(&mut body, UpBody::Empty);
        match send(conn, sender, &parts, given, idle).await {
            Ok((head, body)) => {
                let lease = Lease { worker: Arc::clone(&conn.worker), outstanding };
                return Ok(Answered { head, body, lease });
            }
            Err(Failure::Unsent(unsent)) => {
                body = unsent;
                fresh = true;
            }
            // It served before, and ended while it waited.
            Err(Failure::Ended) if reused && repeatable => fresh = true,
            Err(Failure::Ended | Failure::Broken) => return Err(502),
            Err(Failure::Late) => return Err(504),
        }
    }
    Err(status)
}

/// A connection to the target, and whether it served before; `fresh` asks for a new one.
async fn sender(
    conn: &ConnContext,
    picked: &Picked,
    target: &Arc<TargetRuntime>,
    fresh: bool,
) -> Result<(Sender, bool), ConnectFailure> {
    if !fresh && let Some(sender) = conn.worker.pool.take(target.uid, conn.worker.tick()) {
        return Ok((sender, true));
    }
    let tls = picked.config.protocol == GroupProtocol::Https;
    // Rare and large: it has its room elsewhere.
    let connected =
        Box::pin(upstream::connect(&conn.worker, target, tls, picked.config.version)).await;
    Ok((connected?, false))
}

/// Counts a connection that could not be made, and says what an answer would be.
fn connect_failed(
    conn: &ConnContext,
    picked: &Picked,
    target: &TargetRuntime,
    failure: &ConnectFailure,
) -> u16 {
    let cells = &conn.listener.cells;
    bump(&target.cells.connection_errors);
    bump(&picked.group.cells.connection_errors);
    match failure {
        ConnectFailure::Refused(error) => {
            bump(&cells.target_connection_errors);
            tracing::debug!(target = %target.target.key, %error, "no connection to a target");
            502
        }
        ConnectFailure::Tls(error) => {
            bump(&cells.target_tls_errors);
            tracing::debug!(target = %target.target.key, %error, "no TLS with a target");
            502
        }
        ConnectFailure::Timeout => {
            bump(&cells.target_connection_errors);
            504
        }
    }
}

/// Sends a request and waits for the head of its answer.
async fn send(
    conn: &ConnContext,
    sender: Sender,
    parts: &Parts,
    body: UpBody,
    idle: Duration,
) -> Result<(response::Parts, DownBody), Failure> {
    match sender {
        Sender::H1(target) => {
            // Exact enough, and no timer for each request: a client's connection of HTTP/1 is looked
            // after every half second.
            let worker = &conn.worker;
            let allowed = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX / 2);
            let until = worker.tick().saturating_add(allowed);
            let exchange = h1::exchange(target, parts, body, || worker.tick() >= until);
            let answered = if conn.http2 {
                tokio::time::timeout(idle, exchange).await.unwrap_or(Err(h1::Failed::Late))
            } else {
                exchange.await
            };
            match answered {
                Ok(h1::Answered { head, body }) => Ok((head, DownBody::H1(body))),
                Err(h1::Failed::Unsent(body)) => Err(Failure::Unsent(body)),
                Err(h1::Failed::Ended) => Err(Failure::Ended),
                Err(h1::Failed::Broken(error)) => {
                    tracing::debug!(%error, "no answer of a target");
                    Err(Failure::Broken)
                }
                Err(h1::Failed::Late) => Err(Failure::Late),
            }
        }
        Sender::H2(mut sender) => {
            let request = Request::from_parts(copy(parts), body);
            match tokio::time::timeout(idle, sender.try_send_request(request)).await {
                Ok(Ok(response)) => {
                    let (head, body) = response.into_parts();
                    Ok((head, DownBody::H2(body)))
                }
                Ok(Err(mut error)) => match error.take_message() {
                    Some(request) => Err(Failure::Unsent(request.into_body())),
                    None if stale(error.error()) => Err(Failure::Ended),
                    None => Err(Failure::Broken),
                },
                Err(_) => Err(Failure::Late),
            }
        }
    }
}

fn copy(of: &Parts) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = of.method.clone();
    parts.uri = of.uri.clone();
    parts.version = of.version;
    parts.headers = of.headers.clone();
    parts
}

/// Whether the connection ended before any byte of an answer.
fn stale(error: &hyper::Error) -> bool {
    let reset = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
            )
        });
    error.is_incomplete_message() || error.is_closed() || error.is_canceled() || reset
}

/// The answer as the client gets it.
fn answer(
    conn: &Arc<ConnContext>,
    picked: &Picked,
    answered: Answered,
    mut account: Box<Account>,
    on_client: Option<OnUpgrade>,
) -> Response<OutBody> {
    let Answered { head: mut parts, body: mut incoming, lease } = answered;
    let on_target = match &mut incoming {
        DownBody::H1(body) => body.switched(),
        DownBody::H2(_) => None,
    };
    let switched = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    parts.version = Version::HTTP_11;
    parts.extensions = http::Extensions::new();
    let cookies = picked.cookies(&conn.worker, lease.target(), &parts.headers);
    headers::to_client(&mut parts.headers, switched);
    for cookie in cookies {
        parts.headers.append(SET_COOKIE, cookie);
    }
    account.responds(parts.status, &parts.headers);
    match (on_client, on_target) {
        (Some(client), Some(target)) => {
            let idle = account_idle(conn);
            tokio::spawn(tunnel::after_switch(account, client, target, lease, idle));
            Response::from_parts(parts, OutBody::None)
        }
        // A target that switches unasked breaks the protocol.
        (None, Some(_)) => own_error(502, false, account),
        (_, None) if switched => own_error(502, false, account),
        (Some(_) | None, None) => {
            Response::from_parts(parts, OutBody::target(incoming, lease, account))
        }
    }
}

impl Picked {
    /// The cookies that keep the client with its group and its target.
    fn cookies(
        &self,
        worker: &Worker,
        target: &TargetRuntime,
        answer: &http::HeaderMap,
    ) -> Vec<HeaderValue> {
        let mut cookies = Vec::new();
        for keep in [self.keep_group, self.keep_target(answer)].into_iter().flatten() {
            let Keep { kind, names, duration } = keep;
            let now = worker.now();
            let ticket = Ticket { kind, group: self.group.digest, target: target.digest };
            let value = worker.common.sealer.seal(ticket, now + duration);
            cookies.extend(sticky::set_cookies(names, &value, now, duration));
        }
        cookies
    }
}

/// A place in turn, for those that share a group.
pub(crate) fn turn(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}
