//! Blue/green, linear and canary deployments: a whole second set of tasks comes up beside the first,
//! traffic moves to it, and the first goes once nothing has gone wrong for a while.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/blue-green-deployment-how-it-works.html>
//!
//! A step takes a deployment at most one stage further, and everything that it waits for is in its
//! record: it goes on after a restart where it was.

use std::time::Duration;

use model::{
    CapacitySource, Deployment, DeploymentId, DeploymentStatus, RolloutState, ServiceDeployment,
    ServiceDeploymentKey, ServiceDeploymentStatus as Status, ServiceKey, Stage, TrafficRule,
    TrafficShare,
};
use stdx::Timestamp;

use super::begin::current_key;
use super::traffic::{self, Which};
use super::{Why, hooks};
use crate::desk::Desk;
use crate::replicas::{Tally, Want};
use crate::{timing, words};

/// What a deployment can see of its service.
struct View<'a> {
    key: &'a ServiceKey,
    record: &'a ServiceDeploymentKey,
    /// The deployment to reach has all its tasks, healthy.
    settled: bool,
    /// When they have stayed long enough, if the circuit breaker watches.
    stayed_at: Option<Timestamp>,
    /// Others still have tasks.
    others: bool,
    /// Others do beside the one that serves.
    beside: bool,
}

/// Moves it on, and tells when time alone will move it further.
pub(super) fn step(
    desk: &mut Desk<'_>,
    key: &ServiceKey,
    primary: &Want<'_>,
    tally: &Tally<'_>,
) -> Option<Timestamp> {
    let service = desk.state.service(key)?;
    let record = current_key(service)?;
    let (state, now) = (desk.state, desk.now);
    let serving = desk.record(&record)?.sources.first().cloned();
    let others: Vec<&DeploymentId> = state
        .tasks_of(key)
        .filter(|task| task.holds_resources())
        .filter_map(|task| task.facts.deployment.as_ref())
        .filter(|id| *id != primary.deployment)
        .collect();
    let beside = others.iter().any(|id| Some(*id) != serving.as_ref());
    let settled = tally.good == primary.count && tally.good_healthy == primary.count;
    let youngest = tally.members.iter().filter_map(|m| m.task.progress.started_at).max();
    let watched = service.config.circuit_breaker.enable;
    let stayed_at = youngest.filter(|_| watched).map(|at| at + timing::TRIAL);
    let others = !others.is_empty();
    let view = View { key, record: &record, settled, stayed_at, others, beside };
    let draft = desk.record(&record)?;
    match draft.status {
        Status::Pending => {
            draft.status = Status::InProgress;
            draft.started_at = Some(now);
            let stage = draft.stage.unwrap_or(Stage::PreScaleUp);
            enter(desk, &view, stage);
            None
        }
        Status::StopRequested => {
            super::abort(desk, key);
            None
        }
        Status::RollbackRequested => {
            super::fail(desk, key, &Why::User, true);
            None
        }
        Status::InProgress | Status::RollbackInProgress => advance(desk, &view),
        Status::Successful
        | Status::Stopped
        | Status::RollbackSuccessful
        | Status::RollbackFailed => None,
    }
}

fn advance(desk: &mut Desk<'_>, view: &View<'_>) -> Option<Timestamp> {
    let now = desk.now;
    let draft = desk.record(view.record)?;
    match hooks::judge(draft, now) {
        hooks::Verdict::Go => {}
        hooks::Verdict::Wait(at) => return at,
        hooks::Verdict::Stop(why) => {
            super::fail(desk, view.key, &Why::Hook(why), true);
            return None;
        }
    }
    match next(draft, view, now) {
        Next::Enter(stage) => {
            enter(desk, view, stage);
            None
        }
        Next::Wait(at) => at,
        Next::Done => {
            super::reached(desk, view.key);
            None
        }
    }
}

/// What comes after the stage at which a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Enter(Stage),
    Wait(Option<Timestamp>),
    Done,
}

/// The order of stages, and what has to be true before each is left.
fn next(record: &ServiceDeployment, view: &View<'_>, now: Timestamp) -> Next {
    let first = record.sources.is_empty();
    let after = |wait: Duration| record.stage_since + wait;
    let stage = record.stage.unwrap_or(Stage::PreScaleUp);
    if record.goes_back() {
        return match stage {
            Stage::ProductionTrafficShift => Next::Enter(Stage::TestTrafficShift),
            Stage::CleanUp if !view.others && view.settled => Next::Done,
            Stage::CleanUp => Next::Wait(None),
            _ => Next::Enter(Stage::CleanUp),
        };
    }
    match stage {
        Stage::ReconcileService if view.beside => Next::Wait(None),
        Stage::ReconcileService => Next::Enter(Stage::PreScaleUp),
        Stage::PreScaleUp => Next::Enter(Stage::ScaleUp),
        Stage::ScaleUp if !view.settled => Next::Wait(None),
        Stage::ScaleUp if view.stayed_at > Some(now) => Next::Wait(view.stayed_at),
        Stage::ScaleUp => Next::Enter(Stage::PostScaleUp),
        Stage::PostScaleUp => Next::Enter(Stage::TestTrafficShift),
        Stage::TestTrafficShift => Next::Enter(Stage::PostTestTrafficShift),
        Stage::PostTestTrafficShift => Next::Enter(Stage::PreProductionTrafficShift),
        // No traffic goes where nobody can answer it.
        Stage::PreProductionTrafficShift if !view.settled => Next::Wait(None),
        Stage::PreProductionTrafficShift => Next::Enter(Stage::ProductionTrafficShift),
        Stage::ProductionTrafficShift if record.production == TrafficShare::ALL => {
            Next::Enter(Stage::PostProductionTrafficShift)
        }
        Stage::ProductionTrafficShift => {
            let at = after(record.method.strategy.step_bake());
            if at > now {
                Next::Wait(Some(at))
            } else {
                Next::Enter(Stage::PreProductionTrafficShift)
            }
        }
        Stage::PostProductionTrafficShift => Next::Enter(Stage::BakeTime),
        Stage::BakeTime => {
            let bake = record.method.bake.unwrap_or(timing::BAKE);
            let at = after(if first { Duration::ZERO } else { bake });
            if at > now { Next::Wait(Some(at)) } else { Next::Enter(Stage::CleanUp) }
        }
        Stage::CleanUp if view.others || !view.settled => Next::Wait(None),
        Stage::CleanUp => Next::Done,
    }
}

/// A deployment arrives at a stage: what belongs to it is done, and its hooks begin.
fn enter(desk: &mut Desk<'_>, view: &View<'_>, stage: Stage) {
    let now = desk.now;
    let Some(service) = desk.draft(view.key).cloned() else { return };
    let Some(draft) = desk.record(view.record) else { return };
    draft.stage = Some(stage);
    draft.stage_since = now;
    let before = draft.production;
    let share = if draft.sources.is_empty() {
        TrafficShare::ALL
    } else {
        draft.method.strategy.next(before)
    };
    let (goes_back, serving) = (draft.goes_back(), draft.sources.first().cloned());
    let target = service.deployment(&draft.target).cloned();
    let serving = serving.and_then(|id| service.deployment(&id).cloned());
    let moved = match (stage, target) {
        _ if goes_back => Ok(()),
        (Stage::ReconcileService, _) => serving.map_or(Ok(()), |serving| all_to(desk, &serving)),
        (Stage::ScaleUp, Some(target)) => traffic::attach(desk, &target),
        (Stage::TestTrafficShift, Some(target)) => {
            traffic::shift(desk, &target, Which::Test, TrafficShare::ALL)
        }
        (Stage::ProductionTrafficShift, Some(target)) => {
            traffic::shift(desk, &target, Which::Production, share)
        }
        _ => Ok(()),
    };
    if let Err(rule) = moved {
        let arn = rule_arn(desk, &rule);
        super::fail(desk, view.key, &Why::RuleGone(arn), true);
        return;
    }
    let mut said: Option<String> = None;
    if let Some(draft) = desk.record(view.record).filter(|_| !goes_back) {
        if stage == Stage::TestTrafficShift {
            draft.test = true;
        } else if stage == Stage::ProductionTrafficShift {
            draft.production = share;
            said = Some(words::traffic_moved(&draft.target, share));
        }
    }
    if let Some(said) = said.filter(|_| before != share) {
        desk.say(view.key, &said);
    }
    begin_hooks(desk, view.record);
}

/// Begins the hooks of the stage at which a deployment has arrived.
pub(super) fn begin_hooks(desk: &mut Desk<'_>, key: &ServiceDeploymentKey) {
    let now = desk.now;
    let Some(mut draft) = desk.record(key).cloned() else { return };
    hooks::begin(&mut draft, now, desk.ids);
    desk.found_record(draft);
}

fn all_to(desk: &mut Desk<'_>, serving: &Deployment) -> Result<(), TrafficRule> {
    traffic::shift(desk, serving, Which::Production, TrafficShare::ALL)?;
    traffic::shift(desk, serving, Which::Test, TrafficShare::ALL)
}

fn rule_arn(desk: &Desk<'_>, rule: &TrafficRule) -> String {
    let realm = desk.state.realm();
    match rule {
        TrafficRule::Rule(id) => realm.rule(id),
        TrafficRule::Listener(id) => realm.listener(id),
    }
}

/// Brings back what stood before: it takes all traffic at once, and what was to be reached goes.
/// Whether there was anything to bring back.
pub(super) fn back(desk: &mut Desk<'_>, key: &ServiceKey, why: &Why) -> bool {
    let now = desk.now;
    let Some(service) = desk.draft(key).cloned() else { return false };
    let Some(record_key) = current_key(&service) else { return false };
    let Some(record) = desk.record(&record_key).cloned() else { return false };
    let late = record.stage == Some(Stage::CleanUp) || record.goes_back();
    let old = record.sources.first().and_then(|id| service.deployment(id)).cloned();
    // What never was complete, or was given up, is nothing to go back to.
    let was_good =
        |old: &Deployment| old.rollout == RolloutState::Completed || old.rolls_back.is_some();
    let Some(old) = old.filter(|old| !late && was_good(old)) else { return false };
    // A rule that is gone cannot be brought back; the tasks can. Before a deployment has reconciled,
    // traffic is where the one before it has left it.
    _ = traffic::shift(desk, &old, Which::Production, TrafficShare::ALL);
    if record.test || record.stage == Some(Stage::ReconcileService) {
        _ = traffic::shift(desk, &old, Which::Test, TrafficShare::ALL);
    }
    let Some(draft) = desk.draft(key) else { return false };
    let desired = draft.desired_count;
    for deployment in &mut draft.deployments {
        let is_old = deployment.id == old.id;
        deployment.status =
            if is_old { DeploymentStatus::Primary } else { DeploymentStatus::Active };
        if is_old {
            deployment.desired_count = desired;
            deployment.rollout = RolloutState::InProgress;
            deployment.rollout_reason = why.rolling_back(&old.id);
            deployment.rolls_back = Some(record.target.clone());
            deployment.updated_at = now;
        }
    }
    draft.deployments.sort_by_key(|d| d.status != DeploymentStatus::Primary);
    if let Some(revision) = desk
        .state
        .deployments()
        .revision(&model::RevisionKey { service: key.clone(), deployment: old.id.clone() })
        && let Some(draft) = desk.draft(key)
    {
        draft.load_balancers.clone_from(&revision.load_balancers);
        draft.network.clone_from(&revision.network);
        let platform = draft.stable_capacity.as_ref().map_or(draft.platform, |it| it.platform);
        let (launch_type, providers) = (revision.launch_type, revision.providers.clone());
        draft.draw_from(CapacitySource { launch_type, platform, providers });
    }
    let stage = match (record.production, record.test) {
        (TrafficShare::NONE, false) => Stage::CleanUp,
        (TrafficShare::NONE, true) => Stage::TestTrafficShift,
        _ => Stage::ProductionTrafficShift,
    };
    if let Some(draft) = desk.record(&record_key) {
        super::goes_back(draft, why, Some(old.id.clone()), now);
        draft.stage = Some(stage);
        draft.stage_since = now;
        (draft.production, draft.test) = (TrafficShare::NONE, false);
    }
    begin_hooks(desk, &record_key);
    desk.say(key, &words::rolls_back(&old.id));
    true
}
