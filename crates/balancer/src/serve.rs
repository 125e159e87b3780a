//! One HTTP request: from its head to the answer that its rule gives.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::{Body as _, Incoming};

use crate::account::{Account, ConnContext};
use crate::answer::{self, Answer};
use crate::body::OutBody;
use crate::forward;
use crate::guard::{REFUSED_METHOD, asks_for_upgrade};
use crate::headers::{self, Via};
use crate::route::{Facts, Ready};
use crate::state::{Deed, Plan};
use crate::usage::bump;

/// What is done with a request: the deed of a rule, or of no rule.
enum Found<'a> {
    Rule(&'a Ready<Deed>),
    Default(&'a Deed),
}

impl Found<'_> {
    fn deed(&self) -> &Deed {
        match self {
            Self::Rule(ready) => &ready.action,
            Self::Default(deed) => deed,
        }
    }
}

/// The request with its texts in memory of their own. As it comes they lie in the connection's read
/// buffer, which the library would otherwise have to replace while the request is under way: an allocation
/// of eight kibibytes for each.
pub(crate) fn unshared(mut request: Request<Incoming>) -> Request<Incoming> {
    let path = request.uri().path_and_query().map_or("", PathAndQuery::as_str).len();
    let fields: usize = request.headers().values().map(HeaderValue::len).sum();
    let mut bytes = Vec::with_capacity(path + fields);
    // An absolute target is rare, and stays as it is.
    let origin = request.uri().authority().is_none();
    if origin {
        bytes.extend_from_slice(
            request.uri().path_and_query().map_or("", PathAndQuery::as_str).as_bytes(),
        );
    }
    for value in request.headers().values() {
        bytes.extend_from_slice(value.as_bytes());
    }
    let mut bytes = Bytes::from(bytes);
    if origin && let Ok(uri) = Uri::from_maybe_shared(bytes.split_to(path)) {
        *request.uri_mut() = uri;
    }
    for value in request.headers_mut().values_mut() {
        if let Ok(own) = HeaderValue::from_maybe_shared(bytes.split_to(value.len())) {
            *value = own;
        }
    }
    request
}

/// Answers a request.
pub(crate) async fn serve(
    conn: Arc<ConnContext>,
    request: Request<Incoming>,
) -> Result<Response<OutBody>, Infallible> {
    let plan = conn.listener.plan.load_full();
    let mut account = Account::begin(&conn, &plan, &request);
    if request.method().as_str() == REFUSED_METHOD {
        // Only the guard makes this method up, and only after it said why.
        let refusal = conn.state.refusal.get();
        bump(&conn.listener.cells.refused_requests);
        let mut response =
            own(answer::error(refusal.map_or(400, |refusal| refusal.status())), account);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return Ok(response);
    }
    let switch = asks_for_switch(&conn, &request);
    let grpc = is_grpc(&request);
    if grpc {
        bump(&conn.listener.cells.grpc_requests);
    }
    let response = match decide(&conn, &plan, request, &mut account) {
        Err(answer) if grpc && answer.status.is_server_error() => {
            own(answer::grpc_error(answer.status.as_u16()), account)
        }
        Err(answer) => own(answer, account),
        Ok((request, found)) => {
            let (groups, stickiness) = match found.deed() {
                Deed::Forward { groups, stickiness } => (groups.as_slice(), *stickiness),
                // These were answered by `decide`.
                Deed::Redirect(_) | Deed::Fixed { .. } => (&[][..], None),
            };
            forward::forward(&conn, groups, stickiness, request, account, switch).await
        }
    };
    if switch {
        conn.state.decide(response.status().as_u16() == 101);
    }
    Ok(response)
}

/// An answer of the balancer's own.
pub(crate) fn own(answer: Answer, mut account: Box<Account>) -> Response<OutBody> {
    account.own(answer.status.as_u16());
    account.responds(answer.status, &answer.headers);
    let mut response = Response::new(OutBody::Own(Some(answer.body), account));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// An error of the balancer's own, in the form that the caller reads.
pub(crate) fn own_error(status: u16, grpc: bool, account: Box<Account>) -> Response<OutBody> {
    own(if grpc { answer::grpc_error(status) } else { answer::error(status) }, account)
}

/// Whether a request asks for another protocol, exactly as the guard saw it.
fn asks_for_switch(conn: &ConnContext, request: &Request<Incoming>) -> bool {
    if conn.http2
        || request.version() != Version::HTTP_11
        || !request.headers().contains_key(UPGRADE)
    {
        return false;
    }
    let connection = request.headers().get_all(CONNECTION).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    connection
        && request.headers().get_all(UPGRADE).iter().any(|value| asks_for_upgrade(value.as_bytes()))
}

pub(crate) fn is_grpc(request: &Request<Incoming>) -> bool {
    request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Finds the rule and prepares the request for a target, or answers.
#[expect(clippy::result_large_err, reason = "an answer is an outcome as usual as the other")]
fn decide<'a>(
    conn: &Arc<ConnContext>,
    plan: &'a Plan,
    request: Request<Incoming>,
    account: &mut Account,
) -> Result<(Request<Incoming>, Found<'a>), Answer> {
    let request = with_host(request).ok_or_else(|| answer::error(400))?;
    if headers::too_many_forwards(request.headers()) {
        return Err(answer::error(463));
    }
    if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        return Err(answer::error(if request.method() == Method::TRACE { 405 } else { 400 }));
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = headers::bare_host(host);
    let facts = Facts {
        host: &host,
        path: request.uri().path(),
        query: request.uri().query(),
        method: request.method().as_str(),
        headers: request.headers(),
        source: conn.client.ip(),
    };
    let cells = &conn.listener.cells;
    let (ready, looked) = plan.router.find(&facts);
    if looked > 0 {
        cells.rule_evaluations.fetch_add(looked, Ordering::Relaxed);
    }
    let found = match ready {
        Some(ready) => Found::Rule(ready),
        None => Found::Default(&plan.default),
    };
    let priority = match &found {
        Found::Rule(ready) => Some(ready.rule.priority),
        Found::Default(_) => None,
    };
    account.rule(priority, found.deed().name());
    match found.deed() {
        Deed::Forward { .. } => Ok((request, found)),
        Deed::Redirect(redirect) => {
            bump(&cells.redirects);
            let (answer, url) =
                answer::redirect(redirect, &facts, conn.tls.is_some(), conn.listener.port);
            account.redirect(url);
            Err(answer)
        }
        Deed::Fixed { status, content_type, body } => {
            bump(&cells.fixed_responses);
            Err(answer::fixed(*status, content_type.as_deref(), body))
        }
    }
}

/// The request with its authority in `Host`, wherever it was before, and a target in origin form; none if
/// that cannot be.
fn with_host(request: Request<Incoming>) -> Option<Request<Incoming>> {
    if request.uri().authority().is_none() && request.uri().scheme().is_none() {
        return Some(request);
    }
    let (mut parts, body) = request.into_parts();
    let mut uri = parts.uri.into_parts();
    if let Some(authority) = uri.authority.take() {
        let text = authority.as_str();
        // What stands before an `@` is no part of the host.
        let host = text.rsplit('@').next().unwrap_or(text);
        parts.headers.insert(HOST, HeaderValue::from_str(host).ok()?);
    }
    uri.scheme = None;
    uri.path_and_query = uri.path_and_query.or_else(|| "/".parse().ok());
    parts.uri = Uri::from_parts(uri).ok()?;
    Some(Request::from_parts(parts, body))
}

/// What is told to a target of the connection.
pub(crate) fn via(conn: &ConnContext) -> Via<'_> {
    Via {
        client: conn.client,
        port: conn.listener.port,
        names: &conn.names,
        tls: conn.tls.as_ref().map(|tls| (tls.version, tls.cipher.as_str())),
    }
}

/// Whether a request has a body.
pub(crate) fn has_body(request: &Request<Incoming>) -> bool {
    !request.body().is_end_stream()
}
