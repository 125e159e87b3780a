//! Who asks: Signature Version 4 over an HTTP request.

use auth::{AuthError, Body, Dialect, Expected, Identity, Payload, SignedRequest, Verified};
use aws::{Protocol, ecs};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::request::Parts;

use crate::answer;
use crate::door::Door;
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
            parts.extensions.insert(identity);
            next.run(Request::from_parts(parts, body)).await
        }
        Ok(_) => refused(&wrong_service(ecs::FACTS.signing_name)),
        Err(response) => response,
    }
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
        Protocol::Query => Dialect::Query,
        Protocol::Json10 | Protocol::Json11 | Protocol::Cbor => Dialect::Json,
    }
}
