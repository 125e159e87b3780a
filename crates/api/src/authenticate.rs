//! Who asks: Signature Version 4 over an HTTP request.

use auth::{AuthError, Body, Dialect, Expected, Identity, Payload, SignedRequest, Verified};
use aws::{Protocol, ecs};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::request::Parts;

use crate::answer;
use crate::door::{Caller, Door};
use crate::identity::{Standing, standing};

/// Puts the check of [`Door::authenticate`] in front of other routes that only ECS's agents may use:
/// their sockets. Who passes is left in the request's extensions as [`Identity`].
pub fn guard(door: Door, routes: Router) -> Router {
    if routes.has_routes() { routes.route_layer(from_fn_with_state(door, check)) } else { routes }
}

async fn check(State(door): State<Door>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match door.authenticate(&parts) {
        Ok(identity) if identity.service == ecs::FACTS.signing_name => {
            if let Err(error) = may_connect(&door, &parts, &identity) {
                return refused(&error);
            }
            parts.extensions.insert(identity);
            next.run(Request::from_parts(parts, body)).await
        }
        Ok(_) => refused(&wrong_service(ecs::FACTS.signing_name)),
        Err(response) => response,
    }
}

/// A role's session may open an agent's socket if it may `ecs:Poll`, or begin telemetry: a container
/// instance may, a task may not.
fn may_connect(door: &Door, parts: &Parts, identity: &Identity) -> Result<(), AuthError> {
    if identity.role.is_none() {
        return Ok(());
    }
    let telemetry = parts.uri.path().starts_with("/tcs");
    let action = if telemetry { "ecs:StartTelemetrySession" } else { "ecs:Poll" };
    let query = parts.uri.query().unwrap_or_default();
    let named = ["containerInstanceArn=", "containerInstance="].into_iter().find_map(|name| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name))?;
        percent_encoding::percent_decode_str(value).decode_utf8().ok()
    });
    let caller =
        Caller { identity: identity.clone(), request_id: answer::request_id(), source: None };
    door.permit(&caller, action, named.as_deref().unwrap_or("*"))
}

/// The refusal of a signature for another service.
pub(crate) fn wrong_service(right: &str) -> AuthError {
    AuthError::WrongScope(format!("Credential should be scoped to correct service: '{right}'."))
}

/// The answer to a request that is not for an operation.
fn refused(error: &AuthError) -> Response {
    let error = refusal(error, Dialect::Json);
    answer::error(Protocol::Json11, None, &error, &answer::request_id())
}

impl Door {
    /// Who asks, for a request without a body: the sockets of the agents, above all.
    ///
    /// # Errors
    /// The response that says why the signature is not taken, in AWS's words, for the caller to send.
    #[expect(clippy::result_large_err, reason = "the error is the response to send")]
    pub fn authenticate(&self, parts: &Parts) -> Result<Identity, Response> {
        let verified = self.verify(parts, Body::Bytes(&[])).map_err(|error| refused(&error))?;
        match verified.payload {
            Payload::Verified | Payload::Unsigned => Ok(verified.identity),
            Payload::Promised(_) | Payload::Chunked(_) => Err(refused(&AuthError::Incomplete(
                "The request is signed with a body, and there is no room for one here.".to_owned(),
            ))),
        }
    }

    /// Verifies the signature of a request, and that the session that made it still stands.
    pub(crate) fn verify(&self, parts: &Parts, body: Body<'_>) -> Result<Verified, AuthError> {
        let headers: Vec<(&str, &[u8])> =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let request = SignedRequest {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &headers,
            body,
        };
        let expected = Expected::new(&self.realm().region, self.now());
        let verified = auth::verify(&request, &*self.config().keys, &expected)?;
        match &verified.identity.role {
            None => Ok(verified),
            Some(session) => match standing(&self.snapshot(), session) {
                Standing::Good => Ok(verified),
                Standing::RoleGone => Err(AuthError::InvalidToken),
                Standing::TaskOver => Err(AuthError::ExpiredToken),
            },
        }
    }
}

/// A refusal as an AWS error.
pub(crate) fn refusal(error: &AuthError, dialect: Dialect) -> aws::Error {
    aws::Error::new(error.code(dialect), error.status(dialect), error.message())
}

/// The dialect in which refusals are told to whoever speaks a protocol.
pub(crate) const fn dialect(protocol: Protocol) -> Dialect {
    match protocol {
        Protocol::Query | Protocol::Ec2 => Dialect::Query,
        Protocol::Json10 | Protocol::Json11 | Protocol::Cbor => Dialect::Json,
    }
}
