//! From an HTTP request to an operation and back: one way in for every service and protocol.
//!
//! A request is read up to a limit, its signature verified over what was read, its operation found,
//! decoded, called and answered. One line in the log tells of each; bodies are never logged.

use std::net::SocketAddr;
use std::time::Duration;

use auth::{AuthError, Body as Signed, Payload};
use aws::protocol::{Call, Head};
use aws::{
    Error, acm, application_autoscaling, autoscaling, cloudwatch, ec2, ecr, ecs, elbv2, events,
    iam, logs, secretsmanager, ssm, sts, wharf,
};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::{any, get};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::authenticate::{dialect, guard, refusal, wrong_service};
use crate::door::{Caller, Door};
use crate::{answer, authorize, compressed, errors, exec_relay, metrics_series, turns};

/// The largest body.
const MOST: usize = 2 * 1024 * 1024;

/// The one operation that may have a larger one, and how large: 1 MiB of events, of which JSON makes
/// six times as much when they are all control characters.
const LOG_EVENTS: (&str, usize) = ("Logs_20140328.PutLogEvents", 8 * 1024 * 1024);

/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The routes of the door: the API at `/`, the probes, and an AWS-like error for everything else.
/// The registry (`/v2/`) and the agents' sockets have routers of their own, to be merged with it.
pub fn router(door: Door) -> Router {
    let exec = guard(door.clone(), exec_relay::agent_routes().with_state(door.clone()));
    Router::new()
        .route("/", any(serve))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(exec_relay::client_routes())
        .fallback(serve)
        .with_state(door)
        .merge(exec)
}

async fn alive() -> Response {
    answer::text(StatusCode::OK, "text/plain; charset=utf-8", "alive\n".to_owned())
}

/// A store that is open is loaded. One that fails takes no commands, so nothing should be sent here.
async fn ready(State(door): State<Door>) -> Response {
    let kind = "text/plain; charset=utf-8";
    if !door.takes_commands() {
        let text = "not ready: the store can not write; the server's log says why\n".to_owned();
        return answer::text(StatusCode::SERVICE_UNAVAILABLE, kind, text);
    }
    let state = door.snapshot();
    let text = format!(
        "ready: region {}, account {}, revision {}\n",
        state.realm().region,
        state.realm().account,
        door.config().store.revision()
    );
    answer::text(StatusCode::OK, kind, text)
}

async fn metrics(State(door): State<Door>) -> Response {
    let store = &door.config().store;
    let mut text = door.metrics().render(
        &door.snapshot(),
        store.revision(),
        store.stats(),
        door.exec().counts(),
        door.config().version,
    );
    metrics_series::render(&mut text, &door.config().telemetry);
    answer::text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
}

/// What is told of a request when it is over.
struct Told {
    service: &'static str,
    operation: &'static str,
    principal: String,
}

pub(crate) async fn serve(State(door): State<Door>, request: Request) -> Response {
    let began = door.now();
    let request_id = answer::request_id();
    let (parts, body) = request.into_parts();
    let head = head(&parts);
    let protocol = aws::protocol::of(&head);
    let mut told = Told { service: "-", operation: "-", principal: "-".to_owned() };
    let mut service = None;
    let result = async {
        let (call, caller, body) = admit(&door, &parts, body, &request_id).await?;
        service = Some(call.service);
        (told.service, told.operation) = (call.service.name, call.operation.name);
        told.principal.clone_from(&caller.identity.principal.arn);
        let turn = door.turns().take(call.operation.name);
        let _turn = turn.ok_or_else(|| turns::refusal(call.protocol))?;
        operate(&door, &call, &caller, parts.uri.query().unwrap_or_default(), &body).await
    }
    .await;
    let (response, code) = match result {
        Ok(body) => (answer::body(protocol, 200, body, &request_id), "-".to_owned()),
        Err(error) => {
            let response = answer::error(protocol, service, &error, &request_id);
            (response, error.code.into_owned())
        }
    };
    let (status, took) = (response.status().as_u16(), door.now().since(began));
    door.metrics().answered(told.service, told.operation, status, took);
    tracing::info!(
        request_id,
        service = told.service,
        operation = told.operation,
        principal = told.principal,
        status,
        error = code,
        ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "request"
    );
    response
}

fn head(parts: &Parts) -> Head<'_> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    Head {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        target: header("x-amz-target"),
        content_type: header("content-type"),
        smithy_protocol: header("smithy-protocol"),
    }
}

/// Reads the body, verifies who sent it, and finds what is called.
async fn admit(
    door: &Door,
    parts: &Parts,
    body: Body,
    request_id: &str,
) -> Result<(Call, Caller, Bytes), Error> {
    let head = head(parts);
    let most = if head.target == Some(LOG_EVENTS.0) { LOG_EVENTS.1 } else { MOST };
    let body = collect(body, most).await?;
    let told_in = dialect(aws::protocol::of(&head));
    let refuse = |error: AuthError| refusal(&error, told_in);
    let verified = door.verify(parts, Signed::Bytes(&body)).map_err(refuse)?;
    let body = match verified.payload {
        Payload::Verified | Payload::Unsigned | Payload::Promised(_) => body,
        Payload::Chunked(mut decoder) => {
            let plain = decoder.push(&body).map_err(refuse)?;
            decoder.finish().map_err(refuse)?;
            Bytes::from(plain)
        }
    };
    let body = compressed::plain(&parts.headers, body)?;
    if head.path != "/" && !head.path.starts_with("/service/") {
        return Err(nothing_there(&head));
    }
    let call = aws::detect(&head, &body)?;
    if verified.identity.service != call.service.signing_name {
        return Err(refuse(wrong_service(call.service.signing_name)));
    }
    let source = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let caller = Caller { identity: verified.identity, request_id: request_id.to_owned(), source };
    Ok((call, caller, body))
}

fn nothing_there(head: &Head<'_>) -> Error {
    let path: String = head.path.chars().take(100).collect();
    Error::new(
        "UnknownOperationException",
        404,
        format!(
            "There is nothing at {path}. The API is at /, the registry at /v2/, probes at /healthz and \
             /readyz, metrics at /metrics."
        ),
    )
}

async fn collect(body: Body, most: usize) -> Result<Bytes, Error> {
    let reading = tokio::time::timeout(PATIENCE, Limited::new(body, most).collect());
    match reading.await {
        Err(_) => Err(Error::new(
            "RequestTimeout",
            408,
            format!("The body did not come within {} seconds.", PATIENCE.as_secs()),
        )),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Error::new(
            "RequestEntityTooLargeException",
            413,
            format!("The body has more than {most} bytes."),
        )),
        Ok(Err(_)) => Err(Error::serialization("The body broke off.")),
    }
}

/// Calls the operation and encodes its answer.
async fn operate(
    door: &Door,
    call: &Call,
    caller: &Caller,
    query: &str,
    body: &[u8],
) -> Result<Vec<u8>, Error> {
    let name = call.operation.name;
    let unknown = || Error::unknown_operation(format!("{name} is not an operation."));
    let body = call.request(query, body)?;
    authorize::operation(door, caller, call, &body).await?;
    // Each service has operations of its own type, which only a macro can pass over.
    macro_rules! dispatch {
        ($service:ident) => {{
            let operation = $service::Operation::from_name(name).ok_or_else(unknown)?;
            $service::dispatch(door, caller, operation, &body).await?
        }};
    }
    let json = match call.service.name {
        "acm" => dispatch!(acm),
        "application-autoscaling" => dispatch!(application_autoscaling),
        "autoscaling" => dispatch!(autoscaling),
        "cloudwatch" => dispatch!(cloudwatch),
        "ec2" => dispatch!(ec2),
        "ecr" => dispatch!(ecr),
        "ecs" => dispatch!(ecs),
        "elbv2" => dispatch!(elbv2),
        "events" => dispatch!(events),
        "iam" => dispatch!(iam),
        "logs" => dispatch!(logs),
        "secretsmanager" => dispatch!(secretsmanager),
        "ssm" => dispatch!(ssm),
        "sts" => dispatch!(sts),
        "wharf" => dispatch!(wharf),
        other => return Err(errors::server(format!("{other} has no room behind this door."))),
    };
    call.response(json, &caller.request_id)
}
