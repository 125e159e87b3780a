//! The telemetry service: health verdicts become commands, metrics become measurements of services and
//! clusters. Both are acknowledged, so that the agent stays connected.

use std::sync::PoisonError;
use std::time::Duration;

use aws::agent::acs::Rejection;
use aws::agent::tcs::{
    AgentMessage, ConnectQuery, Frame, PublishHealthRequest, PublishMetricsRequest, ServerMessage,
    TaskHealth,
};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use model::{ContainerName, HealthStatus, Resource};
use scheduler::Command;
use tokio::time::MissedTickBehavior;

use crate::Control;
use crate::handshake::{Refusal, instance};
use crate::measure::{self, Reports};

/// An agent reconnects after a minute without a word.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The contract's bound on a message.
const MOST_BYTES: usize = 2 << 20;
/// The buffer is there as long as the session, and there are thousands; a long message is read in parts.
const READ_BYTES: usize = 8 << 10;

/// `GET /tcs/ws`.
pub(crate) async fn connect(
    State(control): State<Control>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let query = match ConnectQuery::parse(&query.unwrap_or_default()) {
        Ok(query) => query,
        Err(error) => return Refusal(Rejection::BadRequest, error.to_string()).into_response(),
    };
    if let Err(refusal) = instance(&control.store.snapshot(), &query.container_instance_arn) {
        return refusal.into_response();
    }
    upgrade
        .max_message_size(MOST_BYTES)
        .read_buffer_size(READ_BYTES)
        .on_upgrade(move |socket| session(control, socket))
        .into_response()
}

async fn session(control: Control, mut socket: WebSocket) {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shutdown = control.shutdown.clone();
    let mut reports = Reports::new();
    loop {
        let answer = tokio::select! {
            () = shutdown.wait() => break,
            _ = heartbeat.tick() => Some(ServerMessage::Heartbeat { healthy: true }),
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => received(&control, &mut reports, &text).await,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_))) => None,
                None | Some(Err(_) | Ok(Message::Close(_))) => break,
            },
        };
        if let Some(answer) = answer
            && socket.send(Message::Text(answer.encode().into())).await.is_err()
        {
            break;
        }
    }
    // The agent may be gone already.
    drop(socket.send(Message::Close(None)).await);
}

async fn received(control: &Control, reports: &mut Reports, text: &str) -> Option<ServerMessage> {
    let message = String::new();
    match Frame::decode(text) {
        Ok(frame) => match frame.message {
            AgentMessage::PublishMetrics(metrics) => {
                take_metrics(control, reports, &metrics);
                Some(ServerMessage::AckPublishMetric { message })
            }
            AgentMessage::PublishHealth(health) => {
                take_health(control, health).await;
                Some(ServerMessage::AckPublishHealth { message })
            }
            AgentMessage::PublishInstanceStatus(_) => {
                Some(ServerMessage::AckPublishInstanceStatus { message })
            }
            AgentMessage::StartTelemetrySession(_) | AgentMessage::Unrecognized { .. } => None,
        },
        Err(error) => {
            let error = stdx::chain(&error);
            tracing::warn!(error, "A telemetry frame cannot be read.");
            None
        }
    }
}

fn take_metrics(control: &Control, reports: &mut Reports, request: &PublishMetricsRequest) {
    let (state, now) = (control.store.snapshot(), control.clock.now());
    let measured = {
        let mut book = control.usage.lock().unwrap_or_else(PoisonError::into_inner);
        measure::take(&state, &mut book, reports, request, now)
    };
    if !measured.is_empty() {
        control.sink.record(measured);
    }
}

async fn take_health(control: &Control, request: PublishHealthRequest) {
    for task in request.tasks {
        let Some(command) = health(control, &task) else { continue };
        if let Err(error) = control.store.submit(command).await {
            tracing::warn!(task = task.task_arn, %error, "A health report could not be taken.");
        }
    }
}

fn health(control: &Control, task: &TaskHealth) -> Option<Command> {
    let state = control.store.snapshot();
    let Ok(Resource::Task(key)) = state.realm().parse(&task.task_arn) else { return None };
    let known = state.task(&key)?;
    let health: Vec<(ContainerName, HealthStatus)> = task
        .containers
        .iter()
        .map(|c| {
            (ContainerName::from(c.container_name.as_str()), verdict(c.health_status.as_ref()))
        })
        // Reports come every 20 seconds; only what is new is worth a command.
        .filter(|(name, verdict)| {
            known.progress.containers.iter().any(|c| c.name == *name && c.health != *verdict)
        })
        .collect();
    (!health.is_empty()).then_some(Command::ReportHealth { key, health })
}

const fn verdict(told: Option<&aws::ecs::HealthStatus>) -> HealthStatus {
    use aws::ecs::HealthStatus as Wire;
    match told {
        Some(Wire::Healthy) => HealthStatus::Healthy,
        Some(Wire::Unhealthy) => HealthStatus::Unhealthy,
        Some(Wire::Unknown | Wire::Unrecognized(_)) | None => HealthStatus::Unknown,
    }
}
