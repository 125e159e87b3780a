//! What both sockets check before they open: that the instance is one of ours.

use aws::agent::acs::Rejection;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use model::{InstanceKey, Resource, State};

/// A refusal with its sentence.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Rejection, pub(crate) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, "application/json")];
        (StatusCode::BAD_REQUEST, headers, self.0.body(&self.1)).into_response()
    }
}

/// The instance that an agent says it is. The agent names its cluster as it was told it, by name or
/// by ARN, or not at all in which case it found `default`; the instance's ARN decides.
pub(crate) fn instance(state: &State, arn: &str) -> Result<InstanceKey, Refusal> {
    let key = match state.realm().parse(arn) {
        Ok(Resource::Instance(key)) => key,
        Ok(_) => {
            let why = format!("{arn} is not a container instance's ARN");
            return Err(Refusal(Rejection::InvalidInstance, why));
        }
        Err(error) => return Err(Refusal(Rejection::InvalidInstance, error.to_string())),
    };
    if state.instance(&key).is_none() {
        let why = format!(
            "The container instance {arn} is not registered. Register it again, or restart its agent without its data."
        );
        return Err(Refusal(Rejection::InactiveInstance, why));
    }
    Ok(key)
}
