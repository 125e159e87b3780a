//! How a deployment ends: reached, given up, stopped where it is, or brought back.

use model::{
    DeploymentId, Monitor, Rollback, RolloutState, ServiceDeployment,
    ServiceDeploymentStatus as Status, ServiceKey,
};
use stdx::Timestamp;

use super::begin::{counts, current_key, end};
use super::{primary_of, rolling, stages};
use crate::desk::Desk;
use crate::words;

/// Why a deployment does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Too many of its tasks failed.
    Breaker,
    /// These alarms went off.
    Alarms(Vec<String>),
    /// A hook says no, in words.
    Hook(String),
    /// A user wants it so.
    User,
    /// The rule or listener that sends traffic is gone: its ARN.
    RuleGone(String),
}

impl Why {
    /// The same in words, as `rolloutStateReason` and `statusReason` have it.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Breaker => words::TASKS_FAILED_TO_START.to_owned(),
            Self::Alarms(names) => words::alarmed(names),
            Self::Hook(why) => why.clone(),
            Self::User => words::ROLLBACK_ASKED_FOR.to_owned(),
            Self::RuleGone(arn) => words::rule_gone(arn),
        }
    }

    /// `rolloutStateReason` of what is brought back.
    pub(crate) fn rolling_back(&self, to: &DeploymentId) -> String {
        match self {
            Self::Breaker => words::rolling_back(to),
            Self::Alarms(_) | Self::Hook(_) | Self::User | Self::RuleGone(_) => {
                words::rolling_back_because(to, &self.words())
            }
        }
    }
}

/// A deployment cannot succeed, or is not to: it is given up, and what stood before is brought back if
/// that is wanted and there is something.
pub(crate) fn fail(desk: &mut Desk<'_>, key: &ServiceKey, why: &Why, rollback: bool) {
    let now = desk.now;
    let Some(draft) = desk.draft(key) else { return };
    let Some(primary) = primary_of(draft) else { return };
    let failed = primary.id.clone();
    primary.rollout = RolloutState::Failed;
    primary.rollout_reason = why.words();
    primary.updated_at = now;
    let failures = primary.failed_tasks;
    draft.steady_since = None;
    let record = current_key(draft);
    let progressive = draft.method.strategy.is_progressive();
    desk.say(key, &words::deployment_failed(&failed, why));
    if let Some(record) = record.as_ref().and_then(|record| desk.record(record)) {
        record.failures = failures;
        match why {
            Why::Breaker => record.breaker = Monitor::Triggered,
            Why::Alarms(names) => {
                record.alarms = Monitor::Triggered;
                record.triggered.clone_from(names);
            }
            Why::Hook(_) | Why::User | Why::RuleGone(_) => {}
        }
    }
    let progressive = match record.as_ref().and_then(|record| desk.record(record)) {
        Some(record) => record.method.strategy.is_progressive(),
        None => progressive,
    };
    let back = rollback
        && if progressive {
            stages::back(desk, key, why)
        } else {
            rolling::back(desk, key, &failed, why)
        };
    if back {
        return;
    }
    let (state, draft) = (desk.state, desk.draft(key).cloned());
    let counts = draft.map(|draft| counts(state, &draft)).unwrap_or_default();
    if let Some(record) = record.as_ref().and_then(|record| desk.record(record)) {
        let (how, reason) = if rollback || record.goes_back() {
            (Status::RollbackFailed, words::nothing_to_bring_back(&why.words()))
        } else {
            (Status::Stopped, why.words())
        };
        end(record, how, now, counts);
        record.reason = Some(reason);
    }
}

/// The record of a deployment that goes back.
pub(super) fn goes_back(
    record: &mut ServiceDeployment,
    why: &Why,
    revision: Option<DeploymentId>,
    now: Timestamp,
) {
    record.status = Status::RollbackInProgress;
    record.reason = Some(why.words());
    record.rollback = Some(Rollback { reason: why.words(), started_at: now, revision });
    for monitor in [&mut record.breaker, &mut record.alarms] {
        if *monitor == Monitor::Monitoring {
            *monitor = Monitor::Complete;
        }
    }
}

/// A user wants a deployment to end where it is: nothing more of it is started.
pub(crate) fn abort(desk: &mut Desk<'_>, key: &ServiceKey) {
    let now = desk.now;
    let Some(draft) = desk.draft(key) else { return };
    let record = current_key(draft);
    let Some(primary) = primary_of(draft) else { return };
    primary.rollout = RolloutState::Failed;
    primary.rollout_reason = words::STOP_ASKED_FOR.to_owned();
    primary.updated_at = now;
    let id = primary.id.clone();
    draft.steady_since = None;
    let (state, draft) = (desk.state, desk.draft(key).cloned());
    let counts = draft.map(|draft| counts(state, &draft)).unwrap_or_default();
    if let Some(record) = record.as_ref().and_then(|record| desk.record(record)) {
        end(record, Status::Stopped, now, counts);
        record.reason = Some(words::STOP_ASKED_FOR.to_owned());
    }
    desk.say(key, &words::deployment_stopped(&id));
}

/// A service is deleted in the middle of a deployment.
pub(crate) fn abandon(desk: &mut Desk<'_>, key: &ServiceKey) {
    let now = desk.now;
    let Some(service) = desk.state.service(key) else { return };
    let counts = counts(desk.state, service);
    let record = current_key(service).and_then(|record| desk.record(&record));
    if let Some(record) = record.filter(|record| !record.status.is_over()) {
        end(record, Status::Stopped, now, counts);
        record.reason = Some(words::SERVICE_DELETED.to_owned());
    }
}

/// The deployment to reach is reached: the first one, or the one that was brought back.
pub(crate) fn reached(desk: &mut Desk<'_>, key: &ServiceKey) {
    let now = desk.now;
    let Some(draft) = desk.draft(key) else { return };
    let record = current_key(draft);
    let Some(primary) = primary_of(draft) else { return };
    let failures = primary.failed_tasks;
    primary.rollout = RolloutState::Completed;
    primary.rollout_reason = words::completed(&primary.id);
    primary.rolls_back = None;
    primary.failed_tasks = 0;
    primary.healthy_seen = 0;
    primary.updated_at = now;
    let (id, definition) = (primary.id.clone(), primary.definition.clone());
    draft.stable = Some(definition);
    draft.stable_load_balancers = draft.load_balancers.clone();
    draft.stable_network = draft.network.clone();
    draft.stable_capacity = Some(draft.capacity());
    let (state, draft) = (desk.state, desk.draft(key).cloned());
    let counts = draft.map(|draft| counts(state, &draft)).unwrap_or_default();
    if let Some(record) = record.as_ref().and_then(|record| desk.record(record))
        && !record.status.is_over()
    {
        if record.goes_back() {
            end(record, Status::RollbackSuccessful, now, counts);
        } else {
            record.failures = failures;
            end(record, Status::Successful, now, counts);
        }
    }
    desk.say(key, &words::deployment_completed(&id));
}
