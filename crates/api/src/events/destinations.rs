//! API destinations: web hooks that rules call.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html>
//!
//! Unlike AWS, an endpoint may be `http://` too: hooks on one's own machines.

use aws::Error;
use aws::events::*;
use model::{ApiDestination as Held, State};
use scheduler::{BusCommand, BusRejection};
use stdx::Entropy;

use super::errors::{invalid, page, refusal, submit};
use crate::door::Door;

/// The calls a second of a destination that says nothing about it, as with AWS.
const USUAL_RATE: i32 = 300;

pub(super) async fn create(
    door: &Door,
    request: CreateApiDestinationRequest,
) -> Result<CreateApiDestinationResponse, Error> {
    let state = door.snapshot();
    let arn = request.connection_arn.unwrap_or_default();
    let found = state.realm().parse_connection(&arn);
    let connection = found.and_then(|(name, id)| {
        state.bus().connection(&name).filter(|there| there.id == id).map(|there| there.name.clone())
    });
    let connection = connection.ok_or_else(|| {
        super::errors::missing(format!("Connection {arn} does not exist. Create it first."))
    })?;
    let endpoint = request.invocation_endpoint.unwrap_or_default();
    let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
    if host.is_none_or(|rest| rest.starts_with('/') || rest.is_empty()) {
        return Err(invalid(
            "InvocationEndpoint: it must be a URL that begins with https:// or http://.",
        ));
    }
    let method = match request.http_method {
        Some(ApiDestinationHttpMethod::Unrecognized(text)) => {
            return Err(invalid(format!("HttpMethod: {text} is not one of them.")));
        }
        Some(method) => method.to_string(),
        None => return Err(invalid("HttpMethod is missing.")),
    };
    let rate = request.invocation_rate_limit_per_second.unwrap_or(USUAL_RATE);
    let new = Held {
        name: request.name.unwrap_or_default().into(),
        id: shell::OsEntropy.uuid(),
        description: request.description.filter(|text| !text.is_empty()),
        connection,
        endpoint,
        method,
        rate: u32::try_from(rate).unwrap_or(1),
        created_at: door.now(),
    };
    let arn = state.realm().api_destination(&new);
    let at = Some(new.created_at);
    submit(door, BusCommand::CreateDestination(new)).await?;
    Ok(CreateApiDestinationResponse {
        api_destination_arn: Some(arn),
        api_destination_state: Some(ApiDestinationState::Active),
        creation_time: at,
        last_modified_time: at,
    })
}

pub(super) async fn delete(
    door: &Door,
    request: DeleteApiDestinationRequest,
) -> Result<DeleteApiDestinationResponse, Error> {
    submit(door, BusCommand::DeleteDestination(request.name.unwrap_or_default().into())).await?;
    Ok(DeleteApiDestinationResponse {})
}

/// The ARN of a destination's connection.
fn connection_arn(state: &State, it: &Held) -> Option<String> {
    state.bus().connection(&it.connection).map(|there| state.realm().connection(there))
}

pub(super) fn describe(
    state: &State,
    request: &DescribeApiDestinationRequest,
) -> Result<DescribeApiDestinationResponse, Error> {
    let name = request.name.as_deref().unwrap_or_default().into();
    let found = state.bus().destination(&name);
    let it = found.ok_or_else(|| refusal(&BusRejection::NoDestination(name)))?;
    Ok(DescribeApiDestinationResponse {
        api_destination_arn: Some(state.realm().api_destination(it)),
        api_destination_state: Some(ApiDestinationState::Active),
        connection_arn: connection_arn(state, it),
        creation_time: Some(it.created_at),
        description: it.description.clone(),
        http_method: Some(it.method.as_str().into()),
        invocation_endpoint: Some(it.endpoint.clone()),
        invocation_rate_limit_per_second: i32::try_from(it.rate).ok(),
        last_modified_time: Some(it.created_at),
        name: Some(it.name.to_string()),
    })
}

pub(super) fn list(
    state: &State,
    request: &ListApiDestinationsRequest,
) -> Result<ListApiDestinationsResponse, Error> {
    let prefix = request.name_prefix.as_deref().unwrap_or_default();
    let wanted = request.connection_arn.as_ref();
    let all = state.bus().destinations().filter(|it| it.name.as_str().starts_with(prefix));
    let all = all.filter(|it| wanted.is_none() || connection_arn(state, it).as_ref() == wanted);
    let show = |it: &Held| ApiDestination {
        api_destination_arn: Some(state.realm().api_destination(it)),
        api_destination_state: Some(ApiDestinationState::Active),
        connection_arn: connection_arn(state, it),
        creation_time: Some(it.created_at),
        http_method: Some(it.method.as_str().into()),
        invocation_endpoint: Some(it.endpoint.clone()),
        invocation_rate_limit_per_second: i32::try_from(it.rate).ok(),
        last_modified_time: Some(it.created_at),
        name: Some(it.name.to_string()),
    };
    let entries = all.map(|it| (it.name.to_string(), show(it))).collect();
    let (destinations, next_token) =
        page("ListApiDestinations", request.next_token.as_ref(), request.limit, entries)?;
    Ok(ListApiDestinationsResponse { api_destinations: Some(destinations), next_token })
}
