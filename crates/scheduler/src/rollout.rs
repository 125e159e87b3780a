//! Deployments: begun, reached, given up, rolled back, ended.

use model::{
    DefinitionKey, Deployment, DeploymentId, DeploymentStatus, LaunchType, RolloutState, Service,
    ServiceKey, ServiceStatus,
};
use stdx::Timestamp;

use crate::desk::Desk;
use crate::replicas::{self, Tally};
use crate::{Waiting, complaints, timing, words};

/// A new deployment, the one to reach.
pub(crate) fn deployment(
    desk: &mut Desk<'_>,
    definition: DefinitionKey,
    desired: u32,
) -> Deployment {
    // Nineteen digits, as ECS has them.
    const FIRST: u64 = 1_000_000_000_000_000_000;
    let id = DeploymentId::from(format!("ecs-svc/{}", FIRST + desk.ids.below(9 * FIRST - 1)));
    Deployment {
        rollout_reason: words::in_progress(&id),
        id,
        status: DeploymentStatus::Primary,
        definition,
        desired_count: desired,
        launch_type: LaunchType::Ec2,
        load_balancers: Vec::new(),
        rollout: RolloutState::InProgress,
        failed_tasks: 0,
        failures_in_a_row: 0,
        not_before: None,
        rolls_back: None,
        created_at: desk.now,
        updated_at: desk.now,
    }
}

/// Makes a deployment the one to reach; the others are being replaced from now on.
pub(crate) fn replace(service: &mut Service, primary: Deployment) {
    for old in &mut service.deployments {
        old.status = DeploymentStatus::Active;
    }
    service.load_balancers.clone_from(&primary.load_balancers);
    service.deployments.insert(0, primary);
}

/// A deleted service is empty.
pub(crate) fn close(service: &mut Service, now: Timestamp) {
    service.status = ServiceStatus::Inactive;
    service.deployments.clear();
    service.steady_since = None;
    service.placement_failed_at = None;
    service.inactive_since = Some(now);
}

/// So many failed tasks end a deployment.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
pub(crate) fn threshold(desired: u32) -> u32 {
    desired.div_ceil(2).clamp(3, 200)
}

/// Moves the deployments of a service on as far as the facts allow, and tells when time alone will
/// move them further. At rest it changes nothing.
pub(crate) fn step(desk: &mut Desk<'_>, key: &ServiceKey) -> Option<Timestamp> {
    let state = desk.state;
    let before = state.service(key)?;
    let tally = Tally::new(state, before, desk.now);
    match before.status {
        ServiceStatus::Inactive => return None,
        ServiceStatus::Draining => {
            let now = desk.now;
            if tally.live() == 0
                && let Some(draft) = desk.draft(key)
            {
                close(draft, now);
            }
            return None;
        }
        ServiceStatus::Active => {}
    }
    tidy(desk, key, &tally);
    let calm = calm_down(desk, key, &tally);
    trip(desk, key);
    let complete = complete(desk, key, &tally);
    steady(desk, key, &tally);
    let blocked = blocked(desk, key, &tally);
    calm.into_iter().chain(complete).chain(blocked).min()
}

/// Says that the percentages of a service allow no step, when nothing else would move it. Tells when
/// it will be said again.
fn blocked(desk: &mut Desk<'_>, key: &ServiceKey, tally: &Tally<'_>) -> Option<Timestamp> {
    let service = desk.state.service(key)?;
    let launch = replicas::launch(service, tally, desk.now);
    let room = matches!(launch.waiting, Some(Waiting::Room { .. }));
    if !room || !replicas::stops(service, tally, launch.no_room).is_empty() {
        return None;
    }
    if complaints::complain(desk, service, words::BLOCKED) {
        return None;
    }
    Some(complaints::due(desk.state, service, words::BLOCKED))
}

/// Old deployments want what they still have, and end when they have nothing.
fn tidy(desk: &mut Desk<'_>, key: &ServiceKey, tally: &Tally<'_>) {
    let counts = tally.by_deployment();
    let Some(draft) = desk.draft(key) else { return };
    draft.deployments.retain_mut(|d| {
        if d.status == DeploymentStatus::Primary {
            return true;
        }
        let (live, wanted) = counts.get(&d.id).copied().unwrap_or_default();
        d.desired_count = wanted;
        live > 0
    });
}

/// What ends the back-off: one task that stays, made after the last failure; or that nothing is
/// wanting and nothing has failed for so long; or that no task is wanted.
fn calm_down(desk: &mut Desk<'_>, key: &ServiceKey, tally: &Tally<'_>) -> Option<Timestamp> {
    let now = desk.now;
    let draft = desk.draft(key)?;
    let desired = draft.desired_count;
    let primary = primary_of(draft)?;
    if primary.failures_in_a_row == 0 {
        return None;
    }
    let since = primary.not_before.unwrap_or(Timestamp::EPOCH);
    let stayed = tally
        .members
        .iter()
        .filter(|m| m.flaw.is_none() && m.task.is_running())
        .filter(|m| m.task.facts.created_at >= since)
        .filter_map(|m| m.task.progress.started_at)
        .min();
    let whole = tally.settled(desired).then_some(since);
    let calm_at = match (stayed.into_iter().chain(whole).min(), desired) {
        (Some(_), 0) => now,
        (Some(at), _) => at + timing::STAYS,
        (None, _) => return None,
    };
    if calm_at > now {
        return Some(calm_at);
    }
    primary.failures_in_a_row = 0;
    primary.not_before = None;
    None
}

/// The circuit breaker: a deployment that cannot succeed is given up, and the last one that did is
/// brought back if that is wanted. What brings back is not given up in its turn.
fn trip(desk: &mut Desk<'_>, key: &ServiceKey) {
    let now = desk.now;
    let Some(draft) = desk.draft(key) else { return };
    let (breaker, desired) = (draft.config.circuit_breaker, draft.desired_count);
    let stable = draft.stable.clone();
    let Some(primary) = primary_of(draft) else { return };
    let acts = breaker.enable
        && primary.rollout == RolloutState::InProgress
        && primary.rolls_back.is_none()
        && primary.failed_tasks >= threshold(desired);
    if !acts {
        return;
    }
    let failed = primary.id.clone();
    primary.rollout = RolloutState::Failed;
    primary.rollout_reason = words::TASKS_FAILED_TO_START.to_owned();
    primary.updated_at = now;
    draft.steady_since = None;
    desk.say(key, &words::deployment_failed(&failed));
    if let Some(stable) = stable.filter(|_| breaker.rollback) {
        roll_back(desk, key, &failed, stable);
    }
}

fn roll_back(desk: &mut Desk<'_>, key: &ServiceKey, failed: &DeploymentId, stable: DefinitionKey) {
    let now = desk.now;
    let Some(draft) = desk.draft(key) else { return };
    let (desired, launch_type) = (draft.desired_count, draft.launch_type);
    let aims = draft.stable_load_balancers.clone();
    // The one that it replaces may still be there, and then goes on.
    let old = draft
        .deployments
        .iter()
        .position(|d| d.definition == stable && d.rollout == RolloutState::Completed);
    let old = old.map(|at| draft.deployments.remove(at));
    let mut target = old.unwrap_or_else(|| Deployment {
        load_balancers: aims,
        ..deployment(desk, stable, desired)
    });
    target.status = DeploymentStatus::Primary;
    target.desired_count = desired;
    target.launch_type = launch_type;
    target.rollout = RolloutState::InProgress;
    target.rollout_reason = words::rolling_back(&target.id);
    target.rolls_back = Some(failed.clone());
    target.failed_tasks = 0;
    target.failures_in_a_row = 0;
    target.not_before = None;
    target.updated_at = now;
    let id = target.id.clone();
    if let Some(draft) = desk.draft(key) {
        replace(draft, target);
    }
    desk.say(key, &words::rolls_back(&id));
}

/// A deployment is complete when it has all its tasks, healthy, and nothing else is left; when the
/// circuit breaker watches it, once each of them has stayed.
fn complete(desk: &mut Desk<'_>, key: &ServiceKey, tally: &Tally<'_>) -> Option<Timestamp> {
    let now = desk.now;
    let draft = desk.draft(key)?;
    let (desired, watched) = (draft.desired_count, draft.config.circuit_breaker.enable);
    let primary = primary_of(draft)?;
    if primary.rollout != RolloutState::InProgress
        || primary.failures_in_a_row > 0
        || !tally.settled(desired)
    {
        return None;
    }
    let youngest = tally.members.iter().filter_map(|m| m.task.progress.started_at).max();
    if let Some(stayed) = youngest.filter(|_| watched).map(|at| at + timing::TRIAL)
        && stayed > now
    {
        return Some(stayed);
    }
    primary.rollout = RolloutState::Completed;
    primary.rollout_reason = words::completed(&primary.id);
    primary.rolls_back = None;
    primary.failed_tasks = 0;
    primary.updated_at = now;
    let (id, definition) = (primary.id.clone(), primary.definition.clone());
    draft.stable = Some(definition);
    draft.stable_load_balancers = draft.load_balancers.clone();
    desk.say(key, &words::deployment_completed(&id));
    None
}

/// Says once after each disturbance that the service is as it should be. One lone failure that is
/// made good does not keep it from that; a series does, until a task has stayed.
fn steady(desk: &mut Desk<'_>, key: &ServiceKey, tally: &Tally<'_>) {
    let now = desk.now;
    let Some(draft) = desk.draft(key) else { return };
    let desired = draft.desired_count;
    let reached = draft.deployments.len() == 1
        && draft.steady_since.is_none()
        && tally.settled(desired)
        && draft
            .primary()
            .is_some_and(|p| p.rollout == RolloutState::Completed && p.failures_in_a_row <= 1);
    if reached {
        draft.steady_since = Some(now);
        desk.say(key, words::STEADY);
    }
}

fn primary_of(service: &mut Service) -> Option<&mut Deployment> {
    service.deployments.iter_mut().find(|d| d.status == DeploymentStatus::Primary)
}
