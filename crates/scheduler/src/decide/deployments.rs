//! StopServiceDeployment, ContinueServiceDeployment, and what deployments on their way are told.

use model::{
    HookAction, HookId, HookStatus, HookTarget, ServiceDeployment, ServiceDeploymentKey,
    ServiceDeploymentStatus as Status, Stage,
};

use crate::desk::Desk;
use crate::rollout::{self, DeploymentCommand, DeploymentRejection as Refusal, Why};
use crate::{Rejection, Reply, words};

pub(super) fn decide(desk: &mut Desk<'_>, command: &DeploymentCommand) -> Result<Reply, Rejection> {
    match command {
        DeploymentCommand::Stop { key, rollback } => stop(desk, key, *rollback),
        DeploymentCommand::Continue { key, hook, action } => go_on(desk, key, hook, *action),
        DeploymentCommand::Answer { key, hook, answer } => {
            let now = desk.now;
            let record = open(desk, key)?;
            if rollout::answer(record, hook, answer, now) {
                Ok(Reply::Done)
            } else {
                Err(Rejection::Stale)
            }
        }
        DeploymentCommand::Alarms { key, in_alarm, notice } => {
            let record = open(desk, key)?;
            let Some(watched) = record.method.watched().cloned() else {
                return Err(Rejection::Stale);
            };
            if record.ignored.is_none() {
                record.alarm_bake = *notice;
            }
            let ignored = record.ignored.get_or_insert_with(|| in_alarm.clone());
            let off: Vec<String> =
                in_alarm.iter().filter(|name| !ignored.contains(name)).cloned().collect();
            let late = record.stage == Some(Stage::CleanUp);
            let on_its_way = matches!(record.status, Status::Pending | Status::InProgress);
            if !off.is_empty() && on_its_way && !late {
                let service = key.service.clone();
                rollout::fail(desk, &service, &Why::Alarms(off), watched.rollback);
            }
            if desk.is_idle() { Err(Rejection::Stale) } else { Ok(Reply::Done) }
        }
    }
}

/// A deployment that is still on its way; of others there is nothing to tell.
fn open<'d>(
    desk: &'d mut Desk<'_>,
    key: &ServiceDeploymentKey,
) -> Result<&'d mut ServiceDeployment, Rejection> {
    desk.record(key).filter(|record| !record.status.is_over()).ok_or(Rejection::Stale)
}

fn find<'d>(
    desk: &'d mut Desk<'_>,
    key: &ServiceDeploymentKey,
) -> Result<&'d mut ServiceDeployment, Rejection> {
    let arn = desk.state.realm().service_deployment(key);
    desk.record(key).ok_or(Rejection::Deployment(Refusal::NotFound(arn)))
}

/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopServiceDeployment.html>
fn stop(
    desk: &mut Desk<'_>,
    key: &ServiceDeploymentKey,
    rollback: bool,
) -> Result<Reply, Rejection> {
    let arn = desk.state.realm().service_deployment(key);
    let record = find(desk, key)?;
    match record.status {
        Status::Pending | Status::InProgress => {}
        Status::StopRequested
        | Status::Stopped
        | Status::RollbackRequested
        | Status::RollbackInProgress
        | Status::RollbackSuccessful
        | Status::RollbackFailed
        | Status::Successful => {
            let status = rollout::status(record.status);
            return Err(Rejection::Deployment(Refusal::NotStoppable { arn, status }));
        }
    }
    if record.stage == Some(Stage::CleanUp) {
        return Err(Rejection::Deployment(Refusal::TooLate(arn)));
    }
    record.status = if rollback { Status::RollbackRequested } else { Status::StopRequested };
    desk.disturb(&key.service);
    Ok(Reply::Done)
}

/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContinueServiceDeployment.html>
fn go_on(
    desk: &mut Desk<'_>,
    key: &ServiceDeploymentKey,
    hook: &HookId,
    action: HookAction,
) -> Result<Reply, Rejection> {
    let arn = desk.state.realm().service_deployment(key);
    let record = find(desk, key)?;
    let pauses = |target: &HookTarget| match target {
        HookTarget::Pause => true,
        HookTarget::Web { .. } => false,
    };
    let hooks = &record.method.hooks;
    let run = record.hooks.iter_mut().find(|run| {
        run.id == *hook
            && run.status == HookStatus::AwaitingAction
            && hooks.get(run.hook).is_some_and(|hook| pauses(&hook.target))
    });
    let Some(run) = run else {
        let hook = hook.to_string();
        return Err(Rejection::Deployment(Refusal::NotPaused { arn, hook }));
    };
    match action {
        HookAction::Continue => run.status = HookStatus::Succeeded,
        HookAction::Rollback => {
            run.status = HookStatus::Failed;
            run.reason = Some(words::ROLLBACK_CHOSEN.to_owned());
        }
    }
    Ok(Reply::Done)
}
