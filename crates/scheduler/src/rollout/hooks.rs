//! Lifecycle hooks: what is asked before a deployment goes on, of a web server or of whoever calls
//! ContinueServiceDeployment.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-lifecycle-hooks.html>

use model::{
    HookAction, HookId, HookRun, HookStatus, HookTarget, ServiceDeployment, ServiceDeploymentKey,
    Stage, State,
};
use stdx::{Entropy, Timestamp};

use crate::timing;

/// What the hooks of a stage have come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing was asked, or every answer is yes.
    Go,
    /// Answers are missing; the next time is over then.
    Wait(Option<Timestamp>),
    /// One says no, with its reason.
    Stop(String),
}

/// Begins the hooks of the stage at which a deployment has arrived.
pub(super) fn begin(record: &mut ServiceDeployment, now: Timestamp, ids: &mut dyn Entropy) {
    let Some(stage) = record.stage else { return };
    record.hooks.clear();
    for (at, hook) in record.method.hooks.iter().enumerate() {
        if !hook.stages.contains(&stage) {
            continue;
        }
        let (prefix, status, next_at) = match hook.target {
            HookTarget::Web { .. } => ("ecs-hook", HookStatus::InProgress, Some(now)),
            HookTarget::Pause => ("ecs-pause", HookStatus::AwaitingAction, None),
        };
        record.hooks.push(HookRun {
            id: HookId::from(format!("{prefix}-{}", ids.hex32())),
            hook: at,
            stage,
            status,
            next_at,
            details: None,
            failures: 0,
            reason: None,
            expires_at: now + hook.timeout,
            on_timeout: hook.on_timeout,
        });
    }
}

/// Ends what has had its time, and tells what the hooks come to. On the way back nothing that a hook
/// says stops a deployment.
pub(super) fn judge(record: &mut ServiceDeployment, now: Timestamp) -> Verdict {
    let goes_back = record.goes_back();
    for run in record.hooks.iter_mut().filter(|run| run.status.is_open()) {
        if run.expires_at <= now {
            run.status = HookStatus::TimedOut;
            run.next_at = None;
        }
    }
    let mut wait = None;
    for run in &record.hooks {
        match run.status {
            HookStatus::Succeeded => {}
            HookStatus::AwaitingAction | HookStatus::InProgress => {
                let sooner = |before: Timestamp| before.min(run.expires_at);
                wait = Some(wait.map_or(run.expires_at, sooner));
            }
            HookStatus::Failed if goes_back => {}
            HookStatus::Failed => {
                let why = run.reason.clone().unwrap_or_default();
                return Verdict::Stop(crate::words::hook_failed(run, &why));
            }
            HookStatus::TimedOut if goes_back || run.on_timeout == HookAction::Continue => {}
            HookStatus::TimedOut => return Verdict::Stop(crate::words::hook_timed_out(run)),
        }
    }
    match wait {
        None => Verdict::Go,
        Some(at) => Verdict::Wait(Some(at)),
    }
}

/// A call that is due: who is asked, and what of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookCall {
    /// The deployment that waits for the answer.
    pub deployment: ServiceDeploymentKey,
    /// The run of the hook.
    pub hook: HookId,
    /// Where to.
    pub url: String,
    /// At which stage.
    pub stage: Stage,
    /// What the hook was given to tell, or wants to be told again: a JSON object.
    pub details: Option<String>,
}

/// The calls that are due, and when the next one is.
pub fn calls(state: &State, now: Timestamp) -> (Vec<HookCall>, Option<Timestamp>) {
    let (mut due, mut next) = (Vec::new(), None);
    for record in state.deployments().open() {
        for run in record.hooks.iter().filter(|run| run.status == HookStatus::InProgress) {
            let Some(at) = run.next_at else { continue };
            let Some(hook) = record.method.hooks.get(run.hook) else { continue };
            let HookTarget::Web { url, details, .. } = &hook.target else { continue };
            if at > now {
                next = Some(next.map_or(at, |before: Timestamp| before.min(at)));
                continue;
            }
            due.push(HookCall {
                deployment: record.key.clone(),
                hook: run.id.clone(),
                url: url.clone(),
                stage: run.stage,
                details: run.details.clone().or_else(|| details.clone()),
            });
        }
    }
    (due, next)
}

/// What a web server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookAnswer {
    /// `SUCCEEDED`.
    Succeeded,
    /// `FAILED`, or something that is no answer; in words.
    Failed(String),
    /// `IN_PROGRESS`: it is asked again.
    InProgress {
        /// After so long; none for the usual time.
        delay: Option<std::time::Duration>,
        /// What it wants to be told then.
        details: Option<String>,
    },
    /// It could not be asked; in words.
    Unreachable(String),
}

/// Takes an answer in. Whether anything changed.
pub(crate) fn answer(
    record: &mut ServiceDeployment,
    hook: &HookId,
    answer: &HookAnswer,
    now: Timestamp,
) -> bool {
    let run = record.hooks.iter_mut().find(|run| run.id == *hook);
    let Some(run) = run.filter(|run| run.status == HookStatus::InProgress) else { return false };
    match answer {
        HookAnswer::Succeeded => run.status = HookStatus::Succeeded,
        HookAnswer::Failed(why) => {
            run.status = HookStatus::Failed;
            run.reason = Some(why.clone());
        }
        HookAnswer::InProgress { delay, details } => {
            run.next_at = Some(now + delay.unwrap_or(timing::HOOK_ASKED_AGAIN));
            run.failures = 0;
            if details.is_some() {
                run.details.clone_from(details);
            }
        }
        HookAnswer::Unreachable(why) => {
            run.failures += 1;
            run.next_at = Some(now + timing::HOOK_TRIED_AGAIN * run.failures);
            run.reason = Some(why.clone());
            if run.failures >= timing::HOOK_TRIES {
                run.status = HookStatus::Failed;
            }
        }
    }
    if !run.status.is_open() {
        run.next_at = None;
    }
    true
}
