//! Rolling updates: when one is done, and how it goes back.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>

use std::sync::Arc;
use std::time::Duration;

use model::{
    Change, Cleanup, Deployment, DeploymentChange, DeploymentId, DeploymentStatus, RevisionKey,
    RolloutState, RolloutStrategy, Service, ServiceDeploymentStatus as Status, ServiceKey,
    ServiceRevision, Stage,
};
use stdx::Timestamp;

use super::begin::{current, current_key, resolve};
use super::{Why, abort, deployment, fail, goes_back, primary_of, reached};
use crate::desk::Desk;
use crate::replicas::Tally;
use crate::{timing, words};

/// Follows what users ask of a deployment on its way. Whether it ended.
pub(super) fn follow(desk: &mut Desk<'_>, key: &ServiceKey) -> bool {
    let now = desk.now;
    let record = desk.state.service(key).and_then(|service| current_key(service));
    let Some(record) = record.and_then(|key| desk.record(&key)) else { return false };
    match record.status {
        Status::Pending => {
            record.status = Status::InProgress;
            record.started_at = Some(now);
            false
        }
        Status::StopRequested => {
            abort(desk, key);
            true
        }
        Status::RollbackRequested => {
            fail(desk, key, &Why::User, true);
            true
        }
        Status::InProgress
        | Status::RollbackInProgress
        | Status::Successful
        | Status::Stopped
        | Status::RollbackSuccessful
        | Status::RollbackFailed => false,
    }
}

/// A deployment is complete when it has all its tasks, healthy, and nothing else is left; when the
/// circuit breaker watches it, once each of them has stayed; and when it bakes, some time after that.
/// One with criteria for early success is complete before.
pub(super) fn complete(
    desk: &mut Desk<'_>,
    key: &ServiceKey,
    tally: &Tally<'_>,
) -> Option<Timestamp> {
    let now = desk.now;
    let service = desk.state.service(key)?;
    let strategy = current(desk.state, service).map(|record| record.method.strategy);
    let draft = desk.draft(key)?;
    let (desired, watched) = (draft.desired_count, draft.config.circuit_breaker.enable);
    let enough = enough(strategy.unwrap_or_default(), tally, desired);
    let primary = primary_of(draft)?;
    if primary.rollout != RolloutState::InProgress || primary.failures_in_a_row > 0 || !enough {
        return None;
    }
    let going_back = primary.rolls_back.is_some();
    let youngest = tally.members.iter().filter_map(|m| m.task.progress.started_at).max();
    if let Some(stayed) = youngest.filter(|_| watched).map(|at| at + timing::TRIAL)
        && stayed > now
    {
        return Some(stayed);
    }
    if !going_back && let Some(at) = bake(desk, key).filter(|at| *at > now) {
        return Some(at);
    }
    reached(desk, key);
    None
}

/// Whether as many tasks are healthy as there have to be, and the others gone if they have to be.
fn enough(strategy: RolloutStrategy, tally: &Tally<'_>, desired: u32) -> bool {
    let RolloutStrategy::Early(early) = strategy else { return tally.settled(desired) };
    let wanted = u64::from(desired) * u64::from(early.healthy_percent);
    let healthy = u64::from(tally.good_healthy) >= wanted.div_ceil(100);
    let alone = tally.live() == tally.good;
    healthy
        && match early.cleanup {
            Cleanup::Blocking => alone,
            Cleanup::Deferred => true,
        }
}

/// Until when a deployment bakes that has all it needs.
fn bake(desk: &mut Desk<'_>, key: &ServiceKey) -> Option<Timestamp> {
    let now = desk.now;
    let service = desk.state.service(key)?;
    let record = desk.record(&current_key(service)?)?;
    if record.status != Status::InProgress {
        return None;
    }
    let watched = record.method.watched().is_some();
    let usual = if watched { record.alarm_bake } else { Duration::ZERO };
    let bake = record.method.bake.unwrap_or(usual);
    if bake.is_zero() {
        return None;
    }
    if record.stage != Some(Stage::BakeTime) {
        record.stage = Some(Stage::BakeTime);
        record.stage_since = now;
    }
    Some(record.stage_since + bake)
}

/// Brings back what was last complete. Whether there is anything to bring back.
pub(super) fn back(
    desk: &mut Desk<'_>,
    key: &ServiceKey,
    failed: &DeploymentId,
    why: &Why,
) -> bool {
    let now = desk.now;
    let Some(draft) = desk.draft(key) else { return false };
    let Some(stable) = draft.stable.clone() else { return false };
    if let Some(source) = draft.stable_capacity.clone() {
        draft.draw_from(source);
    }
    let (desired, launch_type) = (draft.desired_count, draft.launch_type);
    let (aims, network) = (draft.stable_load_balancers.clone(), draft.stable_network.clone());
    // The one that it replaces may still be there, and then goes on.
    let old = draft
        .deployments
        .iter()
        .position(|d| d.definition == stable && d.rollout == RolloutState::Completed);
    let stands = draft.deployments.first().map(|d| d.load_balancers.clone());
    let old = old.map(|at| draft.deployments.remove(at));
    let found = old.is_some();
    let mut target = old.unwrap_or_else(|| Deployment {
        load_balancers: resolve(&aims, stands.as_deref(), false),
        network: network.clone(),
        ..deployment(desk, stable, desired)
    });
    target.status = DeploymentStatus::Primary;
    target.desired_count = desired;
    target.launch_type = launch_type;
    target.rollout = RolloutState::InProgress;
    target.rollout_reason = why.rolling_back(&target.id);
    target.rolls_back = Some(failed.clone());
    target.failed_tasks = 0;
    target.healthy_seen = 0;
    target.failures_in_a_row = 0;
    target.not_before = None;
    target.updated_at = now;
    let id = target.id.clone();
    if !found && let Some(draft) = desk.draft(key).cloned() {
        remember(desk, &draft, &target);
    }
    let record = desk.draft(key).and_then(|draft| {
        for old in &mut draft.deployments {
            old.status = DeploymentStatus::Active;
        }
        draft.load_balancers = aims;
        draft.network = network;
        draft.deployments.insert(0, target);
        current_key(draft)
    });
    if let Some(record) = record.and_then(|record| desk.record(&record)) {
        goes_back(record, why, Some(id.clone()), now);
        record.stage = None;
    }
    desk.say(key, &words::rolls_back(&id));
    true
}

/// What is brought back anew is a revision of its own.
fn remember(desk: &mut Desk<'_>, service: &Service, target: &Deployment) {
    let revision = ServiceRevision {
        key: RevisionKey { service: service.key.clone(), deployment: target.id.clone() },
        definition: target.definition.clone(),
        launch_type: target.launch_type,
        providers: service.providers.clone(),
        load_balancers: service.stable_load_balancers.clone(),
        resolved: target.load_balancers.clone(),
        network: target.network.clone(),
        created_at: desk.now,
    };
    desk.put(Change::Deployment(DeploymentChange::PutRevision(Arc::new(revision))));
}
