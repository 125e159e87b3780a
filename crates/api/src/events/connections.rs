//! Connections: how API destinations are let in. What is secret of one lies in a secret of Secrets
//! Manager, as with AWS.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateConnection.html>

use aws::Error;
use aws::events::*;
use model::{Connection as Held, Document, State};
use scheduler::{BusCommand, BusRejection};
use stdx::Entropy;
use vault::{CreateSecret, Recovery, SecretValue};

use super::errors::{failed, invalid, not_built, page, refusal, submit};
use crate::door::Door;

pub(super) async fn create(
    door: &Door,
    request: CreateConnectionRequest,
) -> Result<CreateConnectionResponse, Error> {
    if request.invocation_connectivity_parameters.is_some() {
        return Err(not_built("InvocationConnectivityParameters", "private endpoints are"));
    }
    if request.kms_key_identifier.is_some_and(|key| !key.is_empty()) {
        return Err(not_built("KmsKeyIdentifier", "keys of KMS are"));
    }
    let parameters = request.auth_parameters.unwrap_or_default();
    let shown = shown(request.authorization_type.as_ref(), &parameters)?;
    let (name, id) = (request.name.unwrap_or_default(), shell::OsEntropy.uuid());
    let state = door.snapshot();
    if state.bus().connection(&name.as_str().into()).is_some() {
        return Err(refusal(&BusRejection::ConnectionExists(name.into())));
    }
    let text = serde_json::to_string(&parameters).map_err(|_| failed())?;
    let secret = CreateSecret {
        name: format!("events/connection/{name}/{id}"),
        token: None,
        description: Some(format!("What the connection {name} of EventBridge is let in with.")),
        kms_key_id: None,
        value: Some(SecretValue::text(text)),
        tags: std::collections::BTreeMap::new(),
    };
    let vault = &door.config().vault;
    let secret = vault.create_secret(secret).await.map_err(|error| {
        tracing::error!(error = stdx::chain(&error), "a connection's secret was not stored");
        failed()
    })?;
    let new = Held {
        name: name.into(),
        id,
        description: request.description.filter(|text| !text.is_empty()),
        shown: Document(serde_json::to_vec(&shown).map_err(|_| failed())?.into()),
        secret: secret.arn.clone(),
        created_at: door.now(),
    };
    let (arn, at) = (state.realm().connection(&new), Some(new.created_at));
    if let Err(error) = submit(door, BusCommand::CreateConnection(new)).await {
        forget(door, &secret.arn).await;
        return Err(error);
    }
    Ok(CreateConnectionResponse {
        connection_arn: Some(arn),
        connection_state: Some(ConnectionState::Authorized),
        creation_time: at,
        last_modified_time: at,
    })
}

/// What DescribeConnection tells: nothing that is secret. Written down beside its kind.
#[derive(serde::Serialize, serde::Deserialize)]
struct Shown {
    kind: ConnectionAuthorizationType,
    parameters: ConnectionAuthResponseParameters,
}

fn shown(
    kind: Option<&ConnectionAuthorizationType>,
    given: &CreateConnectionAuthRequestParameters,
) -> Result<Shown, Error> {
    use ConnectionAuthorizationType as T;
    if given.connectivity_parameters.is_some() {
        return Err(not_built("ConnectivityParameters", "private endpoints are"));
    }
    let mut parameters = ConnectionAuthResponseParameters::default();
    let kind = match (kind, &given.basic_auth_parameters, &given.api_key_auth_parameters) {
        (Some(T::Basic), Some(basic), None) => {
            let username = basic.username.clone();
            parameters.basic_auth_parameters =
                Some(ConnectionBasicAuthResponseParameters { username });
            T::Basic
        }
        (Some(T::ApiKey), None, Some(key)) => {
            let api_key_name = key.api_key_name.clone();
            parameters.api_key_auth_parameters =
                Some(ConnectionApiKeyAuthResponseParameters { api_key_name });
            T::ApiKey
        }
        (Some(T::OauthClientCredentials), ..) => {
            return Err(not_built("AuthorizationType", "OAUTH_CLIENT_CREDENTIALS is"));
        }
        (Some(kind), ..) => {
            return Err(invalid(format!(
                "AuthParameters must have the parameters of {kind} and no others."
            )));
        }
        (None, ..) => return Err(invalid("AuthorizationType is missing.")),
    };
    if given.o_auth_parameters.is_some() {
        return Err(invalid(format!(
            "AuthParameters must have the parameters of {kind} and no others."
        )));
    }
    if let Some(http) = &given.invocation_http_parameters {
        parameters.invocation_http_parameters = Some(without_secrets(http));
    }
    Ok(Shown { kind, parameters })
}

fn without_secrets(http: &ConnectionHttpParameters) -> ConnectionHttpParameters {
    let mut http = http.clone();
    for it in http.header_parameters.iter_mut().flatten() {
        it.value = it.value.take().filter(|_| it.is_value_secret != Some(true));
    }
    for it in http.query_string_parameters.iter_mut().flatten() {
        it.value = it.value.take().filter(|_| it.is_value_secret != Some(true));
    }
    for it in http.body_parameters.iter_mut().flatten() {
        it.value = it.value.take().filter(|_| it.is_value_secret != Some(true));
    }
    http
}

async fn forget(door: &Door, secret: &str) {
    if let Err(error) = door.config().vault.delete_secret(secret, Recovery::None).await {
        tracing::warn!(
            error = stdx::chain(&error),
            secret,
            "A connection's secret is left behind."
        );
    }
}

pub(super) async fn delete(
    door: &Door,
    request: DeleteConnectionRequest,
) -> Result<DeleteConnectionResponse, Error> {
    let name = request.name.unwrap_or_default().into();
    let state = door.snapshot();
    let before = state.bus().connection(&name).cloned();
    submit(door, BusCommand::DeleteConnection(name)).await?;
    let before = before.ok_or_else(failed)?;
    forget(door, &before.secret).await;
    Ok(DeleteConnectionResponse {
        connection_arn: Some(state.realm().connection(&before)),
        connection_state: Some(ConnectionState::Deleting),
        creation_time: Some(before.created_at),
        last_authorized_time: Some(before.created_at),
        last_modified_time: Some(before.created_at),
    })
}

fn read(held: &Held) -> Result<Shown, Error> {
    serde_json::from_slice(&held.shown.0).map_err(|_| failed())
}

pub(super) fn describe(
    state: &State,
    request: &DescribeConnectionRequest,
) -> Result<DescribeConnectionResponse, Error> {
    let name = request.name.as_deref().unwrap_or_default().into();
    let found = state.bus().connection(&name);
    let it = found.ok_or_else(|| refusal(&BusRejection::NoConnection(name)))?;
    let shown = read(it)?;
    Ok(DescribeConnectionResponse {
        auth_parameters: Some(shown.parameters),
        authorization_type: Some(shown.kind),
        connection_arn: Some(state.realm().connection(it)),
        connection_state: Some(ConnectionState::Authorized),
        creation_time: Some(it.created_at),
        description: it.description.clone(),
        last_authorized_time: Some(it.created_at),
        last_modified_time: Some(it.created_at),
        name: Some(it.name.to_string()),
        secret_arn: Some(it.secret.clone()),
        ..DescribeConnectionResponse::default()
    })
}

pub(super) fn list(
    state: &State,
    request: &ListConnectionsRequest,
) -> Result<ListConnectionsResponse, Error> {
    let prefix = request.name_prefix.as_deref().unwrap_or_default();
    let wanted = request.connection_state.as_ref();
    let all = state.bus().connections().filter(|it| it.name.as_str().starts_with(prefix));
    let all = all.filter(|_| wanted.is_none_or(|wanted| *wanted == ConnectionState::Authorized));
    let show = |it: &Held| -> Result<(String, Connection), Error> {
        let wire = Connection {
            authorization_type: Some(read(it)?.kind),
            connection_arn: Some(state.realm().connection(it)),
            connection_state: Some(ConnectionState::Authorized),
            creation_time: Some(it.created_at),
            last_authorized_time: Some(it.created_at),
            last_modified_time: Some(it.created_at),
            name: Some(it.name.to_string()),
            ..Connection::default()
        };
        Ok((it.name.to_string(), wire))
    };
    let entries = all.map(|it| show(it)).collect::<Result<_, _>>()?;
    let (connections, next_token) =
        page("ListConnections", request.next_token.as_ref(), request.limit, entries)?;
    Ok(ListConnectionsResponse { connections: Some(connections), next_token })
}
