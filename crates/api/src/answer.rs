//! Answers: bodies, content types and the request's id.

use aws::{Error, Protocol, ServiceFacts};
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use stdx::Entropy;

/// What AWS calls the header that names a request.
pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The old code of an error, from a service that once spoke Query alone.
static QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// What an answer in RPC v2 says it is.
static SMITHY_PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");

/// A new id for a request.
pub(crate) fn request_id() -> String {
    shell::OsEntropy.uuid()
}

/// A body in a protocol.
pub(crate) fn body(protocol: Protocol, status: u16, body: Vec<u8>, request_id: &str) -> Response {
    let mut response = respond(status, protocol.response_type(), Body::from(body), request_id);
    if protocol == Protocol::Cbor {
        let spoken = HeaderValue::from_static("rpc-v2-cbor");
        response.headers_mut().insert(SMITHY_PROTOCOL.clone(), spoken);
    }
    response
}

/// An error in a protocol.
pub(crate) fn error(
    protocol: Protocol,
    service: Option<&ServiceFacts>,
    error: &Error,
    request_id: &str,
) -> Response {
    let bytes = aws::protocol::encode_error(protocol, service, error, request_id);
    let mut response = body(protocol, error.status, bytes, request_id);
    let code = aws::protocol::query_error(protocol, service, error);
    if let Some(code) = code.and_then(|code| HeaderValue::try_from(code).ok()) {
        response.headers_mut().insert(QUERY_ERROR.clone(), code);
    }
    response
}

/// Plain text, for people and probes.
pub(crate) fn text(status: StatusCode, kind: &'static str, text: String) -> Response {
    respond(status.as_u16(), kind, Body::from(text), &request_id())
}

fn respond(status: u16, kind: &'static str, body: Body, request_id: &str) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID.clone(), id);
    }
    response
}
