//! One request's account: what is counted and what the access log tells, whatever becomes of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{CONTENT_TYPE, DATE, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use stdx::Timestamp;
use tokio::time::Instant;

use crate::access_log::{AccessEntry, RequestKind};
use crate::body::Progress;
use crate::conn::ConnState;
use crate::headers::Names;
use crate::state::{GroupRuntime, ListenerRuntime, Plan, TargetRuntime};
use crate::usage::{bump, class};
use crate::worker::{Entered, Worker};
use crate::{CertificateId, GroupId, LogEntry, TlsAgreed};

/// A client's connection as its requests know it.
#[derive(Debug)]
pub(crate) struct ConnContext {
    pub(crate) worker: Arc<Worker>,
    pub(crate) listener: Arc<ListenerRuntime>,
    pub(crate) state: Arc<ConnState>,
    pub(crate) client: SocketAddr,
    pub(crate) tls: Option<TlsFacts>,
    pub(crate) http2: bool,
    /// What the connection is called in logs.
    pub(crate) number: u128,
    pub(crate) names: Names,
    entered: Entered,
}

impl ConnContext {
    pub(crate) fn new(
        worker: &Arc<Worker>,
        listener: Arc<ListenerRuntime>,
        state: Arc<ConnState>,
        client: SocketAddr,
    ) -> Self {
        bump(&listener.cells.new_connections);
        bump(&listener.cells.active_connections);
        let entered = worker.enter(&state);
        let names = Names::new(client, listener.port);
        let number = u128::from(worker.random()) << 64 | u128::from(worker.random());
        Self {
            worker: Arc::clone(worker),
            listener,
            state,
            client,
            tls: None,
            http2: false,
            number,
            names,
            entered,
        }
    }
}

impl Drop for ConnContext {
    fn drop(&mut self) {
        let _: &Entered = &self.entered;
        self.listener.cells.active_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a TLS handshake found.
#[derive(Clone, Debug)]
pub(crate) struct TlsFacts {
    pub(crate) version: &'static str,
    pub(crate) cipher: String,
    pub(crate) server_name: Option<String>,
    pub(crate) certificate: Option<CertificateId>,
    pub(crate) alpn: Option<String>,
}

impl TlsFacts {
    /// As entries of logs tell it.
    pub(crate) fn agreed(&self) -> TlsAgreed {
        TlsAgreed {
            version: self.version,
            cipher: self.cipher.clone(),
            certificate: self.certificate.clone(),
            server_name: self.server_name.clone(),
            alpn: self.alpn.clone(),
        }
    }
}

/// What only the access log wants.
#[derive(Debug)]
struct Draft {
    plan: Arc<Plan>,
    created: Timestamp,
    kind: RequestKind,
    request: String,
    user_agent: String,
    trace_id: String,
    rule_priority: Option<u32>,
    action: Option<&'static str>,
    redirect_url: Option<String>,
    group: Option<GroupId>,
    target: Option<SocketAddr>,
    /// Bytes of the heads.
    received: usize,
    sent: usize,
    responded: Option<Instant>,
}

/// A request from its head to the end of its answer.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) conn: Arc<ConnContext>,
    /// None if nobody wants to know.
    began: Option<Instant>,
    dispatched: Option<Instant>,
    answered: Option<Instant>,
    status: Option<u16>,
    target_status: Option<u16>,
    progress: Option<Arc<Progress>>,
    sent: u64,
    draft: Option<Box<Draft>>,
}

impl Account {
    pub(crate) fn begin(
        conn: &Arc<ConnContext>,
        plan: &Arc<Plan>,
        request: &Request<Incoming>,
    ) -> Box<Self> {
        conn.state.request_begins();
        let wanted = plan.listener.balancer.access_log && conn.worker.common.log.is_some();
        let draft = wanted.then(|| Box::new(draft(conn, plan, request)));
        Box::new(Self {
            conn: Arc::clone(conn),
            began: wanted.then(Instant::now),
            dispatched: None,
            answered: None,
            status: None,
            target_status: None,
            progress: None,
            sent: 0,
            draft,
        })
    }

    pub(crate) fn rule(&mut self, priority: Option<u32>, action: &'static str) {
        if let Some(draft) = &mut self.draft {
            draft.rule_priority = priority;
            draft.action = Some(action);
        }
    }

    pub(crate) fn redirect(&mut self, url: Option<String>) {
        if let Some(draft) = &mut self.draft {
            draft.redirect_url = url;
        }
    }

    /// The request has a body.
    pub(crate) fn body(&mut self, progress: &Arc<Progress>) {
        self.progress = Some(Arc::clone(progress));
    }

    pub(crate) fn trace(&mut self, id: &http::HeaderValue) {
        if let Some(draft) = &mut self.draft {
            draft.trace_id = id.to_str().unwrap_or_default().to_owned();
        }
    }

    /// It is given to a target.
    pub(crate) fn dispatch(&mut self, group: &GroupRuntime, target: &TargetRuntime) {
        self.dispatched = Some(Instant::now());
        if let Some(draft) = &mut self.draft {
            draft.group = Some(group.id.clone());
            draft.target = Some(target.target.address);
        }
    }

    /// The head of a target's answer came.
    pub(crate) fn answered(&mut self, group: &GroupRuntime, status: u16) {
        let now = Instant::now();
        let micros =
            u64::try_from((now - self.dispatched.unwrap_or(now)).as_micros()).unwrap_or(u64::MAX);
        self.answered = Some(now);
        self.status = Some(status);
        self.target_status = Some(status);
        let cells = &self.conn.listener.cells;
        bump(&cells.requests);
        bump(&group.cells.requests);
        cells.response_time.record(micros);
        group.cells.response_time.record(micros);
        if let Some(class) = class(status) {
            bump(&cells.target_codes[class]);
            bump(&group.cells.target_codes[class]);
        }
    }

    /// The head of an answer goes to the client.
    pub(crate) fn responds(&mut self, status: StatusCode, headers: &HeaderMap) {
        if let Some(draft) = &mut self.draft {
            draft.responded = Some(Instant::now());
            let line = "HTTP/1.1 200 \r\n".len() + status.canonical_reason().map_or(0, str::len);
            // The library adds the date.
            let date = if headers.contains_key(DATE) { 0 } else { DATE_LINE };
            draft.sent = line + date + fields(headers);
        }
    }

    /// The protocol was switched, and so many bytes have passed since.
    pub(crate) fn passed(&mut self, received: u64, sent: u64) {
        self.sent += sent;
        if let Some(draft) = &mut self.draft {
            draft.received += usize::try_from(received).unwrap_or(usize::MAX);
        }
    }

    /// The balancer answers itself.
    pub(crate) fn own(&mut self, status: u16) {
        self.status = Some(status);
        self.conn.listener.cells.own_answer(status);
    }

    /// So many bytes of the answer's body went to the client.
    pub(crate) const fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.conn.state.request_ends();
        // A client that does not wait for its answer is told of as 460.
        let status = self.status.unwrap_or_else(|| {
            self.conn.listener.cells.own_answer(460);
            460
        });
        let Some(draft) = self.draft.take() else { return };
        let Some(log) = &self.conn.worker.common.log else { return };
        let since =
            |from: Option<Instant>, to: Option<Instant>| -> Option<Duration> { Some(to? - from?) };
        let tls = self.conn.tls.as_ref();
        let entry = AccessEntry {
            balancer: draft.plan.listener.balancer.id.clone(),
            balancer_name: draft.plan.listener.balancer.name.as_str().into(),
            kind: draft.kind,
            time: self.conn.worker.now(),
            created: draft.created,
            client: self.conn.client,
            target: draft.target,
            request_time: since(self.began, self.dispatched),
            target_time: since(self.dispatched, self.answered),
            response_time: since(self.answered, draft.responded),
            elb_status: status,
            target_status: self.target_status,
            received_bytes: draft.received as u64
                + self.progress.as_ref().map_or(0, |body| body.bytes.load(Ordering::Relaxed)),
            sent_bytes: draft.sent as u64 + self.sent,
            request: draft.request,
            user_agent: draft.user_agent,
            tls: tls.map(|tls| (tls.cipher.clone(), tls.version.to_owned())),
            group: draft.group,
            trace_id: draft.trace_id,
            domain_name: tls.and_then(|tls| tls.server_name.clone()),
            certificate: tls.and_then(|tls| tls.certificate.clone()),
            rule_priority: draft.rule_priority,
            action: draft.action,
            redirect_url: draft.redirect_url,
            refused: self.conn.state.refusal.get().and_then(|refusal| refusal.reason()),
            connection: self.conn.number,
        };
        log.put(LogEntry::Request(Box::new(entry)));
    }
}

/// `Date: Mon, 01 Jan 2024 00:00:00 GMT` and the end of the line.
const DATE_LINE: usize = 37;

/// The bytes of header fields as HTTP/1 has them, and of the line that ends them.
fn fields(headers: &HeaderMap) -> usize {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + ": \r\n".len()
    };
    headers.iter().map(field).sum::<usize>() + "\r\n".len()
}

fn draft(conn: &ConnContext, plan: &Arc<Plan>, request: &Request<Incoming>) -> Draft {
    let text = |name| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let websocket = text(http::header::UPGRADE).eq_ignore_ascii_case("websocket");
    let grpc = text(CONTENT_TYPE).starts_with("application/grpc");
    let kind = match (conn.tls.is_some(), conn.http2) {
        (_, true) if grpc => RequestKind::Grpcs,
        (_, true) => RequestKind::H2,
        (true, false) if websocket => RequestKind::Wss,
        (false, false) if websocket => RequestKind::Ws,
        (true, false) => RequestKind::Https,
        (false, false) => RequestKind::Http,
    };
    let scheme = if conn.tls.is_some() { "https" } else { "http" };
    let uri = request.uri();
    let host =
        uri.authority().map_or_else(|| text(http::header::HOST), http::uri::Authority::as_str);
    let host = crate::headers::bare_host(host);
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let refused = request.method().as_str() == crate::guard::REFUSED_METHOD;
    let line = if refused {
        format!("- {scheme}://{}:{}- -", conn.client.ip(), conn.listener.port)
    } else {
        format!(
            "{} {scheme}://{host}:{}{path} {:?}",
            request.method(),
            conn.listener.port,
            request.version()
        )
    };
    Draft {
        plan: Arc::clone(plan),
        created: conn.worker.now(),
        kind,
        request: line,
        user_agent: text(USER_AGENT).to_owned(),
        trace_id: String::new(),
        rule_priority: None,
        action: None,
        redirect_url: None,
        group: None,
        target: None,
        received: request.method().as_str().len()
            + path.len()
            + "  HTTP/1.1\r\n".len()
            + fields(request.headers()),
        sent: 0,
        responded: None,
    }
}
