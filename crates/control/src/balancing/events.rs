//! What the balancer sees of targets, as commands.

use std::time::Duration;

use balancer::{Event, Failure, Health, InitialReason};
use model::{State, VerdictReason, VerdictState};
use scheduler::{Command, TargetNews, TargetReport};
use shell::Shutdown;
use store::Store;
use tokio::sync::mpsc;

use super::groups::read_target_key;

/// So many events go into one command at most.
const MOST: usize = 64;
/// After a failure of the store.
const PAUSE: Duration = Duration::from_secs(1);

/// Reports until shutdown. An event is told once, so it is not let go before it is stored.
pub(super) async fn report(
    store: Store,
    mut events: mpsc::UnboundedReceiver<Event>,
    mut shutdown: Shutdown,
) {
    let mut batch = Vec::with_capacity(MOST);
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            n = events.recv_many(&mut batch, MOST) => if n == 0 { return },
        }
        let state = store.snapshot();
        let reports: Vec<TargetReport> =
            batch.drain(..).filter_map(|event| read(&state, &event)).collect();
        if reports.is_empty() {
            continue;
        }
        while let Err(error) = store.submit(Command::ReportTargets(reports.clone())).await {
            let error = stdx::chain(&error);
            tracing::error!(error, "What was seen of targets could not be stored yet.");
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

/// An event as a report; none if it is of a target that is gone, or tells what follows from the state.
fn read(state: &State, event: &Event) -> Option<TargetReport> {
    let (Event::TargetHealth { group, target, .. } | Event::TargetIdle { group, target }) = event;
    let kind = state.balancing().group(&group.as_str().into())?.kind;
    let found = state.balancing().target(&read_target_key(group, target, kind)?)?;
    let news = match event {
        Event::TargetHealth { health, .. } => verdict(health)?,
        Event::TargetIdle { .. } => TargetNews::Idle { since: found.draining_since? },
    };
    Some(TargetReport { key: found.key.clone(), registered_at: found.registered_at, news })
}

fn verdict(health: &Health) -> Option<TargetNews> {
    let (state, reason) = match health {
        Health::Unused => return None,
        Health::Initial(InitialReason::RegistrationInProgress) => {
            (VerdictState::Initial, Some(VerdictReason::RegistrationInProgress))
        }
        Health::Initial(InitialReason::InitialHealthChecking) => {
            (VerdictState::Initial, Some(VerdictReason::InitialHealthChecking))
        }
        Health::Healthy => (VerdictState::Healthy, None),
        Health::Unhealthy(Failure::ResponseCodeMismatch(_)) => {
            (VerdictState::Unhealthy, Some(VerdictReason::ResponseCodeMismatch))
        }
        Health::Unhealthy(Failure::Timeout) => {
            (VerdictState::Unhealthy, Some(VerdictReason::Timeout))
        }
        Health::Unhealthy(Failure::FailedHealthChecks(_)) => {
            (VerdictState::Unhealthy, Some(VerdictReason::FailedHealthChecks))
        }
    };
    Some(TargetNews::Health { state, reason, description: health.description() })
}
