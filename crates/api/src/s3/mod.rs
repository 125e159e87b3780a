//! S3, as far as tasks need it: REST and XML in front of [`objects::Objects`].
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html>
//!
//! Its requests are told from others by their signature, which names the service, because a bucket
//! and a key may be any path. What is not built is refused by its operation's name, and so is every
//! header that asks for it.

mod body;
mod buckets;
mod error;
mod headers;
mod listing;
mod multipart;
mod object;
mod operation;
mod target;
mod xml;

use std::net::SocketAddr;

use auth::{Body as Signed, Identity, Payload};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use objects::{Code, Objects, ObjectsError};

use crate::answer;
use crate::door::{Caller, Door};
use error::S3Error;
use operation::Operation;
use target::{Query, Target};

/// The name by which signatures call the service.
const SERVICE: &str = "s3";

/// What S3 calls the header that names a request.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// Puts S3 in front of other routes: whatever is signed for it is a bucket or an object, and nothing
/// else is.
pub fn storage(door: Door, routes: Router) -> Router {
    routes.layer(from_fn_with_state(door, first))
}

async fn first(State(door): State<Door>, request: Request, next: Next) -> Response {
    if target::is_for(SERVICE, request.headers(), request.uri().query().unwrap_or_default()) {
        serve(door, request).await
    } else {
        next.run(request).await
    }
}

/// A request whose signature is right, and what it is about.
struct Asked {
    parts: Parts,
    target: Target,
    query: Query,
    caller: Caller,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }

    fn bucket(&self) -> &str {
        self.target.bucket.as_deref().unwrap_or_default()
    }

    fn key(&self) -> &str {
        self.target.key.as_deref().unwrap_or_default()
    }
}

impl Door {
    fn objects(&self) -> &Objects {
        &self.config().objects
    }
}

async fn serve(door: Door, request: Request) -> Response {
    let (began, request_id) = (door.now(), answer::request_id());
    let (parts, body) = request.into_parts();
    let head = parts.method == http::Method::HEAD;
    let path = parts.uri.path().to_owned();
    let (mut name, mut principal) = ("-", "-".to_owned());
    let result = async {
        let (asked, payload) = admit(&door, parts, &request_id)?;
        principal.clone_from(&asked.caller.identity.principal.arn);
        let operation = operation::of(&asked)?;
        name = operation.name();
        headers::check(&asked, operation)?;
        permit(&door, &asked, operation)?;
        operation::call(&door, &asked, operation, body::Incoming { payload, body }).await
    }
    .await;
    let (mut response, code) = match result {
        Ok(response) => (response, "-".into()),
        Err(error) => (error.response(&path, &request_id, head), error.code),
    };
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID.clone(), id);
    }
    let (status, took) = (response.status().as_u16(), door.now().since(began));
    door.metrics().answered(SERVICE, name, status, took);
    tracing::info!(
        request_id,
        service = SERVICE,
        operation = name,
        principal,
        status,
        error = %code,
        ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "request"
    );
    response
}

/// Verifies who asks, and reads what about.
fn admit(door: &Door, parts: Parts, request_id: &str) -> Result<(Asked, Payload), S3Error> {
    // S3 wants the hash of a body to be said; of a request that has none, it is known.
    let bodiless = !parts.headers.contains_key("x-amz-content-sha256") && body::is_none(&parts);
    let unread = if bodiless { Signed::Bytes(&[]) } else { Signed::Unread };
    let verified = door.verify(&parts, unread)?;
    let identity: Identity = verified.identity;
    let target = Target::of(&parts)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let source = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let caller = Caller { identity, request_id: request_id.to_owned(), source };
    Ok((Asked { parts, target, query, caller }, verified.payload))
}

/// Checks that a role may do it.
fn permit(door: &Door, asked: &Asked, operation: Operation) -> Result<(), S3Error> {
    for (action, resource) in operation.needs(asked) {
        door.permit(&asked.caller, action, &resource)?;
    }
    Ok(())
}

/// An answer in XML.
fn xml(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// An answer without a body.
fn empty(status: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn refused(code: Code, message: impl Into<String>) -> S3Error {
    ObjectsError::refused(code, message).into()
}
