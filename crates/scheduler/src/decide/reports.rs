//! What agents have seen: the core of a task's life. A report never moves anything back, and one that
//! brings nothing new changes nothing.

use model::{
    ContainerProgress, ContainerStatus, DesiredStatus, ExecAgent, ExecAgentStatus, HealthStatus,
    StopCode, Task, TaskKey, TaskProgress, TaskStatus,
};
use stdx::Timestamp;

use super::{progress, targets};
use crate::desk::Desk;
use crate::{
    ContainerReport, ExecAgentReport, Rejection, Reply, TaskReport, failures, timing, words,
};

/// SubmitTaskStateChange and SubmitContainerStateChange. A report of an unknown task, or of one that
/// still waits for an instance, so that no agent can have it, is answered and forgotten, since the agent
/// would repeat it for ever otherwise.
pub(super) fn task(desk: &mut Desk<'_>, report: &TaskReport) -> Result<Reply, Rejection> {
    let placed = |task: &&Task| task.facts.instance.is_some();
    let Some(task) = desk.state.task(&report.key).filter(placed).cloned() else {
        return Ok(Reply::Done);
    };
    let before = &*task.progress;
    let mut next = before.clone();
    next.connected_at = before.connected_at.or(Some(desk.now));
    next.pull_started_at = before.pull_started_at.or(report.pull_started_at);
    next.pull_stopped_at = before.pull_stopped_at.or(report.pull_stopped_at);
    next.execution_stopped_at = before.execution_stopped_at.or(report.execution_stopped_at);
    for seen in &report.containers {
        if let Some(container) = next.containers.iter_mut().find(|c| c.name == seen.name) {
            merge(container, seen);
        }
    }
    match report.status {
        Some(TaskStatus::Stopped) if before.status < TaskStatus::Stopped => {
            stopped(desk, &task, &mut next, report.reason.as_deref());
        }
        Some(TaskStatus::Running) if before.status < TaskStatus::Running => {
            next.status = TaskStatus::Activating;
        }
        Some(status) if before.status < status => next.status = status,
        Some(_) | None => {}
    }
    if next.status == TaskStatus::Activating && targets::join(desk, &task, &next) {
        next.status = TaskStatus::Running;
        next.started_at = next.started_at.or(Some(desk.now));
    }
    targets::drop_dead(desk, &task, &next);
    if next != *before {
        desk.put(progress(&report.key, next));
    }
    Ok(Reply::Done)
}

/// What runs ExecuteCommand sessions: it may come, go, and come again while its container runs.
pub(super) fn exec_agents(
    desk: &mut Desk<'_>,
    key: &TaskKey,
    agents: &[ExecAgentReport],
) -> Result<Reply, Rejection> {
    let Some(task) = desk.state.task(key) else { return Ok(Reply::Done) };
    if task.progress.status == TaskStatus::Stopped {
        return Ok(Reply::Done);
    }
    let mut next = TaskProgress::clone(&task.progress);
    for seen in agents {
        let Some(container) = next.containers.iter_mut().find(|c| c.name == seen.container) else {
            continue;
        };
        let before = container.exec_agent.as_ref();
        if container.status == ContainerStatus::Stopped
            || before.is_some_and(|b| b.status == seen.status && b.reason == seen.reason)
        {
            continue;
        }
        let started = (seen.status == ExecAgentStatus::Running).then_some(desk.now);
        container.exec_agent = Some(ExecAgent {
            status: seen.status,
            started_at: started.or(before.and_then(|b| b.started_at)),
            reason: seen.reason.clone(),
        });
    }
    if next != *task.progress {
        desk.put(progress(key, next));
    }
    Ok(Reply::Done)
}

/// Takes in what was seen of a container. Of one that is over only what is still unknown is learned.
fn merge(container: &mut ContainerProgress, seen: &ContainerReport) {
    let over = container.status == ContainerStatus::Stopped;
    container.status = seen.status.map_or(container.status, |s| s.max(container.status));
    learn(&mut container.runtime_id, &seen.runtime_id, over);
    learn(&mut container.image_digest, &seen.image_digest, over);
    learn(&mut container.exit_code, &seen.exit_code, over);
    learn(&mut container.reason, &seen.reason, over);
    if let Some(bindings) = &seen.bindings
        && !over
    {
        container.bindings.clone_from(bindings);
    }
    if container.status == ContainerStatus::Stopped {
        no_more_sessions(container);
    }
}

/// A container that is over takes no sessions.
fn no_more_sessions(container: &mut ContainerProgress) {
    if let Some(agent) = &mut container.exec_agent {
        agent.status = ExecAgentStatus::Stopped;
    }
}

fn learn<T: Clone>(known: &mut Option<T>, seen: &Option<T>, over: bool) {
    if seen.is_some() && !(over && known.is_some()) {
        known.clone_from(seen);
    }
}

/// A task is over: why is told by what was asked of it, and by what its containers say.
fn stopped(desk: &mut Desk<'_>, task: &Task, next: &mut TaskProgress, words: Option<&str>) {
    let asked = task.progress.desired == DesiredStatus::Stopped;
    if !asked {
        let (code, reason) = cause(desk, task, next, words);
        if code == StopCode::EssentialContainerExited {
            // It may have been so short that it was never seen running.
            next.started_at = next.started_at.or(Some(desk.now));
        }
        next.stop_code = Some(code);
        next.stopped_reason = Some(reason);
    }
    end(next, desk.now);
    targets::forget(desk, &task.facts.key);
    let Some(service) = task.facts.service_key() else { return };
    desk.disturb(&service);
    if asked {
        return;
    }
    let ran = next.started_at.map(|at| desk.now.since(at));
    let failed = next.stop_code == Some(StopCode::TaskFailedToStart)
        || ran.is_none_or(|ran| ran < timing::STAYS);
    if let Some(deployment) = task.facts.deployment.as_ref().filter(|_| failed) {
        let why = words::task_ended(&task.facts.key.task, next);
        failures::count(desk, &service, deployment, task.facts.created_at, &why);
    }
}

/// Why a task ended that nobody asked to.
fn cause(
    desk: &Desk<'_>,
    task: &Task,
    next: &TaskProgress,
    words: Option<&str>,
) -> (StopCode, String) {
    let said = words.filter(|w| !w.is_empty());
    // Docker gives an exit status to what it could not start, too.
    let broken = |c: &ContainerProgress| c.reason.as_deref().is_some_and(words::never_started);
    let exited = next
        .containers
        .iter()
        .any(|c| c.exit_code.is_some() && !broken(c) && essential(desk, task, &c.name));
    let ran = next.started_at.is_some() || exited;
    if ran && (exited || said.is_none_or(|w| !words::never_started(w))) {
        let reason = said.filter(|_| !exited).unwrap_or(words::ESSENTIAL_EXITED);
        return (StopCode::EssentialContainerExited, reason.to_owned());
    }
    let of_container = next.containers.iter().find_map(|c| c.reason.clone());
    let reason = said.map(str::to_owned).or(of_container);
    let reason = reason.unwrap_or_else(|| words::FAILED_TO_START.to_owned());
    (StopCode::TaskFailedToStart, reason)
}

fn essential(desk: &Desk<'_>, task: &Task, name: &model::ContainerName) -> bool {
    let definition = desk.state.definition(&task.facts.definition);
    definition.and_then(|d| d.spec.container(name)).is_none_or(|c| c.essential)
}

/// A task is over, and with it each of its containers.
pub(super) fn end(next: &mut TaskProgress, now: Timestamp) {
    next.status = TaskStatus::Stopped;
    next.desired = DesiredStatus::Stopped;
    next.stopping_at = next.stopping_at.or(Some(now));
    next.execution_stopped_at = next.execution_stopped_at.or(Some(now));
    next.stopped_at = Some(now);
    for container in &mut next.containers {
        container.status = ContainerStatus::Stopped;
        no_more_sessions(container);
    }
}

/// The verdicts of health checks.
pub(super) fn health(
    desk: &mut Desk<'_>,
    key: &TaskKey,
    verdicts: &[(model::ContainerName, HealthStatus)],
) -> Result<Reply, Rejection> {
    let Some(task) = desk.state.task(key) else { return Ok(Reply::Done) };
    if task.progress.status == TaskStatus::Stopped {
        return Ok(Reply::Done);
    }
    let mut next = TaskProgress::clone(&task.progress);
    let mut worse = false;
    for (name, verdict) in verdicts {
        if let Some(container) = next.containers.iter_mut().find(|c| c.name == *name) {
            worse |= *verdict != HealthStatus::Healthy && container.health != *verdict;
            container.health = *verdict;
        }
    }
    if next != *task.progress {
        desk.put(progress(key, next));
    }
    if let Some(service) = task.facts.service_key().filter(|_| worse) {
        desk.disturb(&service);
    }
    Ok(Reply::Done)
}
