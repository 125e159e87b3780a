//! Deployments: begun, reached, given up, rolled back, ended.

mod begin;
mod command;
mod ends;
mod hooks;
mod rolling;
mod stages;
mod traffic;

use std::collections::BTreeMap;

use model::{
    DefinitionKey, Deployment, DeploymentId, DeploymentStatus, DesiredStatus, LaunchType,
    RolloutState, Service, ServiceKey, ServiceStatus, Stage, State, Task,
};
use stdx::Timestamp;

use crate::desk::Desk;
use crate::replicas::{self, Claim, Tally, Want};
use crate::{Waiting, complaints, daemon, task_sets, timing, words};

pub use begin::watched_alarms;
pub(crate) use begin::{begin, current, forget_revisions};
pub(crate) use command::status;
pub use command::{DeploymentCommand, DeploymentRejection};
pub(crate) use ends::{Why, abandon, abort, fail, reached};
pub(crate) use hooks::answer;
pub use hooks::{HookAnswer, HookCall, calls as hook_calls};
pub(crate) use traffic::action;

use ends::goes_back;

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
        network: None,
        set: None,
        rollout: RolloutState::InProgress,
        failed_tasks: 0,
        healthy_seen: 0,
        failures_in_a_row: 0,
        not_before: None,
        rolls_back: None,
        created_at: desk.now,
        updated_at: desk.now,
    }
}

/// A deleted service is empty.
pub(crate) fn close(service: &mut Service, now: Timestamp) {
    service.status = ServiceStatus::Inactive;
    service.deployments.clear();
    service.steady_since = None;
    service.placement_failed_at = None;
    service.inactive_since = Some(now);
}

/// Moves the deployments of a service on as far as the facts allow, and tells when time alone will
/// move them further. At rest it changes nothing.
pub(crate) fn step(desk: &mut Desk<'_>, key: &ServiceKey) -> Option<Timestamp> {
    let state = desk.state;
    let before = state.service(key)?;
    match before.status {
        ServiceStatus::Inactive => return None,
        ServiceStatus::Draining => {
            let now = desk.now;
            if !state.tasks_of(key).any(Task::holds_resources)
                && let Some(draft) = desk.draft(key)
            {
                close(draft, now);
            }
            return None;
        }
        ServiceStatus::Active => {}
    }
    if task_sets::are_of(before) {
        return task_sets::step(desk, key);
    }
    let wants = replicas::wants(state, before);
    let primary = before.primary()?;
    let want = wants.iter().find(|want| *want.deployment == primary.id);
    daemon::count(desk, key);
    tidy(desk, key, &wants);
    // What is reconciled waits for what stood before it.
    let waits;
    let want = match want {
        Some(want) => want,
        None => {
            waits = Want::of(before, primary, 0, Claim::Own);
            &waits
        }
    };
    let tally = Tally::new(state, before, want, desk.now);
    let calm = calm_down(desk, key, &tally);
    let recovers = recover(desk, key, &tally);
    let progressive = current(state, before)
        .is_some_and(|r| r.method.strategy.is_progressive() && !r.status.is_over());
    let ended = trip(desk, key) || (!progressive && rolling::follow(desk, key));
    let moved = match (ended, progressive) {
        (true, _) => None,
        (false, true) => stages::step(desk, key, want, &tally),
        (false, false) => rolling::complete(desk, key, &tally),
    };
    steady(desk, key, &tally);
    let blocked = blocked(desk, key, want, &tally);
    calm.into_iter().chain(recovers).chain(moved).chain(blocked).min()
}

/// Says that the percentages of a service allow no step, when nothing else would move it. Tells when
/// it will be said again.
fn blocked(
    desk: &mut Desk<'_>,
    key: &ServiceKey,
    want: &Want<'_>,
    tally: &Tally<'_>,
) -> Option<Timestamp> {
    let service = desk.state.service(key)?;
    let (launch, stops) = if daemon::is(service) {
        let look = daemon::Look::new(desk.state, service, desk.now)?;
        let launch = daemon::launch(service, &look, desk.now);
        let stops = daemon::stops(service, &look, launch.no_room > 0);
        (launch, stops)
    } else {
        let launch = replicas::launch(service, want, tally, desk.now);
        let stops = replicas::stops(service, want, tally, launch.no_room);
        (launch, stops)
    };
    let room = matches!(launch.waiting, Some(Waiting::Room { .. }));
    if !room || !stops.is_empty() {
        return None;
    }
    if complaints::complain(desk, service, words::BLOCKED) {
        return None;
    }
    Some(complaints::due(desk.state, service, words::BLOCKED))
}

/// Old deployments want what they still have, or what they stand by with, and end when they have
/// nothing.
fn tidy(desk: &mut Desk<'_>, key: &ServiceKey, wants: &[Want<'_>]) {
    let state = desk.state;
    let keeps = state.service(key).and_then(|service| stands_by(state, service));
    let mut counts: BTreeMap<&DeploymentId, (u32, u32)> = BTreeMap::new();
    for task in state.tasks_of(key).filter(|t| t.holds_resources()) {
        if let Some(id) = &task.facts.deployment {
            let count = counts.entry(id).or_default();
            count.0 += 1;
            count.1 += u32::from(task.progress.desired == DesiredStatus::Running);
        }
    }
    let asked = |id: &DeploymentId| wants.iter().find(|want| want.deployment == id);
    let Some(draft) = desk.draft(key) else { return };
    draft.deployments.retain_mut(|d| {
        if d.status == DeploymentStatus::Primary {
            return true;
        }
        let (live, wanted) = counts.get(&d.id).copied().unwrap_or_default();
        d.desired_count = asked(&d.id).map_or(wanted, |want| want.count);
        live > 0 || keeps.as_ref() == Some(&d.id)
    });
}

/// The deployment that is brought back if the one on its way fails, tasks or none.
fn stands_by(state: &State, service: &Service) -> Option<DeploymentId> {
    let record = current(state, service)?;
    let stands = record.method.strategy.is_progressive()
        && !record.status.is_over()
        && record.stage < Some(Stage::CleanUp);
    record.sources.first().filter(|_| stands).cloned()
}

/// A task that has become healthy, and stayed so, makes good the failures before it, unless they are to
/// be counted on. Tells when time alone will do so.
fn recover(desk: &mut Desk<'_>, key: &ServiceKey, tally: &Tally<'_>) -> Option<Timestamp> {
    let now = desk.now;
    let draft = desk.draft(key)?;
    let breaker = draft.config.circuit_breaker;
    let primary = primary_of(draft)?;
    if !breaker.enable || breaker.counts_on || primary.rollout != RolloutState::InProgress {
        return None;
    }
    let good = tally.members.iter().filter(|m| m.flaw.is_none() && m.healthy);
    let trials = good.filter_map(|m| m.task.progress.started_at).map(|at| at + timing::TRIAL);
    let (over, to_come): (Vec<Timestamp>, Vec<Timestamp>) = trials.partition(|at| *at <= now);
    let stayed = replicas::small(over.len());
    if stayed > primary.healthy_seen {
        primary.failed_tasks = 0;
    }
    primary.healthy_seen = stayed;
    to_come.into_iter().min()
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
/// brought back if that is wanted. What brings back is not given up in its turn. Whether it acted.
fn trip(desk: &mut Desk<'_>, key: &ServiceKey) -> bool {
    let Some(draft) = desk.draft(key) else { return false };
    let (breaker, desired) = (draft.config.circuit_breaker, draft.desired_count);
    let Some(primary) = primary_of(draft) else { return false };
    let acts = breaker.enable
        && primary.rollout == RolloutState::InProgress
        && primary.rolls_back.is_none()
        && primary.failed_tasks >= breaker.threshold.of(desired);
    if acts {
        fail(desk, key, &Why::Breaker, breaker.rollback);
    }
    acts
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
