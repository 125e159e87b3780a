//! Why a service is not as it should be.

use model::{
    Deployment, DeploymentStatus, RolloutState, Service, ServiceKey, ServiceStatus, State, Task,
};
use stdx::Timestamp;

use super::{Explanation, advice, obstacles, task};
use crate::{Waiting, plan, words};

/// So many tasks that do not run are told of.
const TASKS: usize = 5;
/// So many events are told.
const EVENTS: usize = 5;

/// How a service stands; none if there is no such service.
pub fn service(state: &State, key: &ServiceKey, now: Timestamp) -> Option<Explanation> {
    let service = state.service(key)?;
    let waits = plan::waits(state, service, now);
    let (running, pending) = state.service_counts(key);
    let settled = service.status == ServiceStatus::Active
        && service.steady_since.is_some()
        && waits.is_empty();
    let mut explained = Explanation {
        verdict: verdict(service, &waits, (running, pending), settled),
        settled,
        ..Explanation::default()
    };
    explained.reasons.extend(waits.iter().skip(1).map(words::waiting));
    explained.reasons.extend(service.deployments.iter().map(deployment));
    explained.reasons.extend(troubled(state, service, now));
    for waiting in &waits {
        if let Waiting::Place(failure) = waiting {
            explained.obstacles = obstacles(failure);
        }
        for advice in advice::waiting(waiting) {
            if !explained.advice.contains(&advice) {
                explained.advice.push(advice);
            }
        }
    }
    let told =
        |event: &std::sync::Arc<model::ServiceEvent>| format!("{} {}", event.at, event.message);
    explained.history = state.events(key).take(EVENTS).map(told).collect();
    Some(explained)
}

fn verdict(
    service: &Service,
    waits: &[Waiting],
    (running, pending): (u32, u32),
    settled: bool,
) -> String {
    let desired = service.desired_count;
    match service.status {
        ServiceStatus::Inactive => return "It was deleted.".to_owned(),
        ServiceStatus::Draining => {
            return format!(
                "It was deleted, and {} tasks of it are still stopping.",
                running + pending
            );
        }
        ServiceStatus::Active => {}
    }
    let counts = format!("{running} of {desired} tasks run");
    match waits.first() {
        Some(waiting) => format!("{counts}. {}", words::waiting(waiting)),
        None if settled => format!("It is as it should be: {counts}."),
        None if running == desired && pending == 0 => {
            format!("{counts}; its deployment is not complete until they have proved themselves.")
        }
        None => format!("{counts}, {pending} are starting."),
    }
}

/// A deployment in a sentence.
fn deployment(deployment: &Deployment) -> String {
    let role = match deployment.status {
        DeploymentStatus::Primary => "is to be reached",
        DeploymentStatus::Active => "is being replaced",
    };
    let state = match deployment.rollout {
        RolloutState::InProgress => "under way",
        RolloutState::Completed => "complete",
        RolloutState::Failed => "given up",
    };
    let failed = match deployment.failed_tasks {
        0 => String::new(),
        n => format!(" {n} of its tasks have failed."),
    };
    format!(
        "Deployment {} of {} {role} and is {state}: {}{failed}",
        deployment.id, deployment.definition, deployment.rollout_reason
    )
}

/// The last failure, as long as failures are what the service suffers from, and tasks that should run
/// and do not.
fn troubled(state: &State, service: &Service, now: Timestamp) -> Vec<String> {
    let verdict = |task: &Task| Some(task::task(state, &task.facts.key, now)?.verdict);
    let mut told = Vec::new();
    if service.primary().is_some_and(|primary| primary.failed_tasks > 0) {
        let failed = state.tasks_of(&service.key).filter(|task| task::failed(task));
        let newest = failed.max_by_key(|task| task.progress.stopped_at);
        told.extend(newest.and_then(|task| {
            Some(format!("The last task that failed, {}: {}", task.facts.key.task, verdict(task)?))
        }));
    }
    let pending = state.tasks_of(&service.key).filter(|task| task.is_pending());
    let said = |task: &Task| Some(format!("Task {}: {}", task.facts.key.task, verdict(task)?));
    told.extend(pending.filter_map(said).take(TASKS));
    told
}
