//! Task sets: what a program of the user's has a service run, and how much of each. Each is a
//! deployment beside the others, with its share of the service's desired count; none is completed,
//! given up or rolled back here, since that is for the program to say.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-external.html>

use model::{
    Deployment, DeploymentController, DeploymentId, DeploymentStatus, RolloutState, Service,
    ServiceKey, ServiceStatus, State, Task,
};
use stdx::Timestamp;

use crate::desk::Desk;
use crate::replicas::{Claim, Tally, Want};
use crate::{timing, words};

/// The most task sets of a service, an ECS quota.
pub(crate) const MOST_SETS: usize = 5;

/// Whether a service's deployments are task sets.
pub(crate) fn are_of(service: &Service) -> bool {
    service.controller == DeploymentController::External
}

/// How many tasks a task set is to have: its share of the service's desired count, rounded up, and
/// none once it or its service is deleted.
pub fn computed_count(service: &Service, deployment: &Deployment) -> u32 {
    match &deployment.set {
        Some(set) if service.status == ServiceStatus::Active && !set.draining => {
            set.scale.of(service.desired_count)
        }
        Some(_) | None => 0,
    }
}

/// Each task set by itself.
pub(crate) fn wants(service: &Service) -> Vec<Want<'_>> {
    let want = |deployment| {
        let count = computed_count(service, deployment);
        let want = Want::of(service, deployment, count, Claim::Own);
        let providers = deployment.set.as_ref().map_or(&[][..], |set| &set.providers);
        Want { providers, ..want }
    };
    service.deployments.iter().map(want).collect()
}

/// Whether a task set is in a steady state: it has its tasks, they are healthy, and none of them is
/// on an instance that drains.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskSet.html>
pub fn is_stable(state: &State, service: &Service, set: &DeploymentId, now: Timestamp) -> bool {
    let wants = wants(service);
    let Some(want) = wants.iter().find(|want| want.deployment == set) else { return false };
    let tally = Tally::new(state, service, want, now);
    tally.settled(want.count)
}

/// Whether nothing is to be done for a service of task sets, from what is counted anyway.
pub(crate) fn settled(state: &State, service: &Service) -> bool {
    let calm = |d: &Deployment| {
        d.failures_in_a_row == 0 && d.set.as_ref().is_some_and(|set| !set.draining)
    };
    let wanted = service.deployments.iter().map(|d| computed_count(service, d)).sum();
    service.status == ServiceStatus::Active
        && service.steady_since.is_some()
        && service.deployments.iter().all(calm)
        && state.service_counts(&service.key) == (wanted, 0)
}

/// Moves the task sets of a service on: their counts, the end of a back-off, the end of those that
/// are deleted. Tells when time alone will move them further.
pub(crate) fn step(desk: &mut Desk<'_>, key: &ServiceKey) -> Option<Timestamp> {
    let (state, now) = (desk.state, desk.now);
    let service = state.service(key)?;
    let (mut wake, mut whole) = (None, true);
    for want in &wants(service) {
        let tally = Tally::new(state, service, want, now);
        whole &= tally.settled(want.count);
        let calm_at = calm_at(want, &tally);
        let Some(draft) = desk.draft(key) else { continue };
        let set = draft.deployments.iter_mut().find(|d| d.id == *want.deployment);
        let Some(set) = set else { continue };
        set.desired_count = want.count;
        whole &= set.failures_in_a_row <= 1;
        match calm_at {
            Some(at) if at <= now => {
                set.failures_in_a_row = 0;
                set.not_before = None;
            }
            Some(at) => wake = Some(wake.map_or(at, |before: Timestamp| before.min(at))),
            None => {}
        }
    }
    let live = |id: &DeploymentId| {
        let mut tasks = state.tasks_of(key).filter(|task| task.holds_resources());
        tasks.any(|task: &Task| task.facts.deployment.as_ref() == Some(id))
    };
    let draft = desk.draft(key)?;
    let deleted = |d: &Deployment| d.set.as_ref().is_none_or(|set| set.draining);
    draft.deployments.retain(|d| !deleted(d) || live(&d.id));
    let kept = !draft.deployments.iter().any(deleted);
    if whole && kept && draft.steady_since.is_none() && !draft.deployments.is_empty() {
        draft.steady_since = Some(now);
        desk.say(key, words::STEADY);
    }
    wake
}

/// When the back-off of a task set ends, if one is to end: one task has stayed that was made after
/// the last failure, or nothing is wanting and nothing has failed for so long, or none is wanted.
fn calm_at(want: &Want<'_>, tally: &Tally<'_>) -> Option<Timestamp> {
    if want.failures_in_a_row == 0 {
        return None;
    }
    if want.count == 0 {
        return Some(Timestamp::EPOCH);
    }
    let since = want.not_before.unwrap_or(Timestamp::EPOCH);
    let stayed = tally
        .members
        .iter()
        .filter(|m| m.flaw.is_none() && m.task.is_running() && m.task.facts.created_at >= since)
        .filter_map(|m| m.task.progress.started_at);
    let whole = tally.settled(want.count).then_some(since);
    stayed.chain(whole).min().map(|at| at + timing::STAYS)
}

/// Makes one task set the primary one: what describes it describes its service from now on.
pub(crate) fn make_primary(service: &mut Service, id: &DeploymentId, now: Timestamp) {
    for set in &mut service.deployments {
        let status =
            if set.id == *id { DeploymentStatus::Primary } else { DeploymentStatus::Active };
        if set.status != status {
            set.status = status;
            set.updated_at = now;
        }
    }
    let Some(primary) = service.primary().cloned() else { return };
    service.launch_type = primary.launch_type;
    service.load_balancers = primary.load_balancers;
    service.network = primary.network;
    service.providers = primary.set.map(|set| set.providers).unwrap_or_default();
}

/// What a task set is beside its program's words: it is neither given up nor rolled back.
pub(crate) fn begun(deployment: Deployment) -> Deployment {
    Deployment {
        status: DeploymentStatus::Active,
        rollout: RolloutState::InProgress,
        rollout_reason: String::new(),
        ..deployment
    }
}
