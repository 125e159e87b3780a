//! Health checks: asking a target, and telling what it comes to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::health::{self, Outcome};
use crate::state::{GroupRuntime, TargetRuntime, lock};
use crate::tls::ClientTls;
use crate::upstream::{self, ConnectFailure, Stream};
use crate::worker::Worker;
use crate::{
    Event, Failure, Health, HealthCheck, HealthProtocol, Matcher, ProbePort, ProtocolVersion,
};

/// What a check calls itself.
const AGENT: &str = "ELB-HealthChecker/2.0";
/// The message of a call of gRPC that is empty: not compressed, no bytes.
const EMPTY_MESSAGE: &[u8] = &[0; 5];

/// Where checks tell what they found.
#[derive(Clone, Debug)]
pub(crate) struct Teller(pub(crate) mpsc::UnboundedSender<Event>);

impl Teller {
    /// Tells a target's health. Nobody may be listening any more, at the end.
    pub(crate) fn health(&self, group: &GroupRuntime, target: &TargetRuntime, health: Health) {
        let told = Event::TargetHealth {
            group: group.id.clone(),
            target: target.target.key.clone(),
            health,
        };
        drop(self.0.send(told));
    }

    pub(crate) fn idle(&self, group: &GroupRuntime, target: &TargetRuntime) {
        drop(self.0.send(Event::TargetIdle {
            group: group.id.clone(),
            target: target.target.key.clone(),
        }));
    }
}

/// Checks a target for as long as it is let.
pub(crate) async fn watch(
    group: Arc<GroupRuntime>,
    target: Arc<TargetRuntime>,
    check: HealthCheck,
    version: ProtocolVersion,
    worker: Arc<Worker>,
    teller: Teller,
) {
    let mut last = None;
    loop {
        let now = worker.now();
        let due = health::next_due(now, last, check.interval, worker.random());
        tokio::time::sleep(due.since(now)).await;
        last = Some(worker.now());
        if lock(&target.course).begin() {
            teller.health(&group, &target, target.health());
        }
        let outcome = once(target.target.address, &check, version, &worker.common.client_tls).await;
        let (turned, health) = {
            let mut course = lock(&target.course);
            (course.note(&check, outcome), course.health().clone())
        };
        if turned {
            if health == Health::Healthy {
                target.became_healthy(worker.now());
            }
            group.refresh();
            tracing::debug!(group = %group.id, target = %target.target.key, ?health, "a target's health changed");
            teller.health(&group, &target, health);
        }
    }
}

/// Asks a target once.
pub(crate) async fn once(
    address: SocketAddr,
    check: &HealthCheck,
    version: ProtocolVersion,
    tls: &ClientTls,
) -> Outcome {
    let address = match check.port {
        ProbePort::Traffic => address,
        ProbePort::Port(port) => SocketAddr::new(address.ip(), port),
    };
    let deadline = Instant::now() + check.timeout;
    tokio::time::timeout_at(deadline, ask(address, check, version, tls))
        .await
        .unwrap_or(Err(Failure::Timeout))
}

async fn ask(
    address: SocketAddr,
    check: &HealthCheck,
    version: ProtocolVersion,
    tls: &ClientTls,
) -> Outcome {
    let (secure, http) = match check.protocol {
        HealthProtocol::Http => (false, true),
        HealthProtocol::Https => (true, true),
        HealthProtocol::Tcp => (false, false),
        HealthProtocol::Tls => (true, false),
    };
    let http2 = http && version != ProtocolVersion::Http1;
    // The deadline around it is the shorter one.
    let stream = upstream::open(address, secure.then_some(tls), http2, Duration::MAX / 4).await;
    let stream = stream.map_err(|failure| match failure {
        ConnectFailure::Timeout => Failure::Timeout,
        ConnectFailure::Refused(error) | ConnectFailure::Tls(error) => {
            Failure::FailedHealthChecks(error.to_string())
        }
    })?;
    if !http {
        return Ok(());
    }
    let response = request(stream, address, check, version).await.map_err(failed)?;
    match &check.matcher {
        Matcher::Http(_) => health::verdict(&check.matcher, response.status().as_u16()),
        Matcher::Grpc(_) => match grpc_status(response).await {
            Some(code) => health::verdict(&check.matcher, code),
            None => Err(Failure::FailedHealthChecks("the answer has no status of gRPC".to_owned())),
        },
    }
}

fn failed(error: hyper::Error) -> Failure {
    Failure::FailedHealthChecks(stdx::chain(&error))
}

async fn request(
    stream: Stream,
    address: SocketAddr,
    check: &HealthCheck,
    version: ProtocolVersion,
) -> Result<Response<Incoming>, hyper::Error> {
    let grpc = version == ProtocolVersion::Grpc;
    let mut request = Request::new(Full::new(if grpc {
        Bytes::from_static(EMPTY_MESSAGE)
    } else {
        Bytes::new()
    }));
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if grpc {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        *request.method_mut() = Method::POST;
    }
    let path = if check.path.starts_with('/') { check.path.as_str() } else { "/" };
    if version == ProtocolVersion::Http1 {
        if let Ok(host) = HeaderValue::try_from(address.to_string()) {
            request.headers_mut().insert(HOST, host);
        }
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        *request.uri_mut() = path.parse().unwrap_or_default();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        return sender.send_request(request).await;
    }
    *request.version_mut() = Version::HTTP_2;
    let scheme = if check.protocol == HealthProtocol::Https { "https" } else { "http" };
    *request.uri_mut() = format!("{scheme}://{address}{path}").parse().unwrap_or_default();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    sender.send_request(request).await
}

/// The status of a call of gRPC, from its head or its trailers.
async fn grpc_status(response: Response<Incoming>) -> Option<u16> {
    let read = |headers: &http::HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse().ok();
    if let Some(code) = read(response.headers()) {
        return Some(code);
    }
    let body =
        http_body_util::Limited::new(response.into_body(), 64 * 1024).collect().await.ok()?;
    body.trailers().and_then(read)
}
