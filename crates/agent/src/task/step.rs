//! The next thing to do for a task: one at a time, as many at once as are asked for.

use std::time::Duration;

use stdx::Timestamp;

use super::depend::{Verdict, verdict};
use super::report::{Report, due};
use super::{
    ContainerState, Fetch, LogState, NetworkState, Resources, Run, SandboxState, Status, TaskView,
};

/// How the ECS agent words, and with which code it tells, what waits for something that never comes.
const DEPENDENCY: &str = "CannotStartContainerError: dependency graph: ";
const DEPENDENCY_CODE: i32 = 143;

/// A log router outlives the containers whose output it takes by so long at most.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Something to do. Once it is under way, [`TaskView::begin`] has noted it and [`step`] goes on to
/// the next; when it is done, a [`super::Happening`] says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the sandbox and the task's own volumes.
    CreateSandbox,
    /// Give its containers their places in the network.
    AttachNetwork,
    /// Fetch the secrets and the like that containers need.
    FetchResources,
    /// Make a container's log stream.
    PrepareLogs(usize),
    /// Make a container's image present.
    PullImage(usize),
    /// Start a container.
    StartContainer(usize),
    /// Remove what is left of a container that is to be started again.
    ClearContainer(usize),
    /// End a container that has not started, or is not started again: nothing to be done outside.
    Skip {
        /// Which.
        container: usize,
        /// Why, in ECS's words, unless it is only that the task stops.
        reason: Option<String>,
        /// The exit code that is told of it.
        code: Option<i32>,
    },
    /// End a container that runs.
    StopContainer(usize),
    /// Tell the server.
    Report(Report),
    /// Give its places in the network back.
    DetachNetwork,
    /// Remove the sandbox and the task's own volumes.
    RemoveSandbox,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This.
    Do(Action),
    /// Nothing until something happens, or until that instant.
    WaitUntil(Option<Timestamp>),
    /// Nothing, ever: the task can be forgotten.
    Settled,
}

/// How long a stopped task is waited for and remembered.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Logs that could not be shipped for so long after the end go with the sandbox.
    pub log_drain: Duration,
    /// A task is remembered for so long after its end.
    pub remember: Duration,
}

/// Decides the next thing to do.
pub fn step(view: &TaskView, limits: &Limits, now: Timestamp) -> Step {
    if let Some(report) = due(view) {
        return Step::Do(Action::Report(report));
    }
    if view.stopping() { stop(view, limits, now) } else { run(view, now) }
}

fn run(view: &TaskView, now: Timestamp) -> Step {
    let state = &view.state;
    if state.sandbox == SandboxState::Idle {
        return Step::Do(Action::CreateSandbox);
    }
    if state.resources == Resources::Idle && waits_for_resources(view) {
        return Step::Do(Action::FetchResources);
    }
    for (index, plan, container) in view.containers() {
        let may_pull = plan.needs.registry.is_none() || state.resources == Resources::Ready;
        if container.image == Fetch::Idle && may_pull {
            return Step::Do(Action::PullImage(index));
        }
        if container.logs == LogState::Idle {
            return Step::Do(Action::PrepareLogs(index));
        }
    }
    if state.network == NetworkState::Idle && state.sandbox == SandboxState::Ready {
        return Step::Do(Action::AttachNetwork);
    }
    let mut until: Option<Timestamp> = None;
    for (index, container) in state.containers.iter().enumerate() {
        match &container.run {
            Run::Waiting => {}
            Run::Restarting(_) => return Step::Do(Action::ClearContainer(index)),
            _ => continue,
        }
        match readiness(view, index, now) {
            Verdict::Ready => return Step::Do(Action::StartContainer(index)),
            Verdict::Never(reason) => {
                let code = reason.starts_with(DEPENDENCY).then_some(DEPENDENCY_CODE);
                return Step::Do(Action::Skip { container: index, reason: Some(reason), code });
            }
            Verdict::Wait(at) => until = earliest(until, at),
        }
    }
    Step::WaitUntil(until)
}

/// Whether a waiting container may start: what it needs is there, and what it depends on allows it.
fn readiness(view: &TaskView, index: usize, now: Timestamp) -> Verdict {
    let state = &view.state;
    let Some(container) = state.containers.get(index) else { return Verdict::Wait(None) };
    if let Some(reason) = failure(container) {
        return Verdict::Never(reason.to_owned());
    }
    match verdict(view, index, now) {
        Verdict::Ready => {}
        Verdict::Never(why) => return Verdict::Never(format!("{DEPENDENCY}{why}")),
        wait @ Verdict::Wait(_) => return wait,
    }
    let needs = view.plan.containers.get(index).is_some_and(|plan| !plan.needs.is_empty());
    let there = matches!(state.network, NetworkState::Unneeded | NetworkState::Attached)
        && (!needs || state.resources == Resources::Ready)
        && state.sandbox == SandboxState::Ready
        && matches!(container.image, Fetch::Present(_))
        && matches!(container.logs, LogState::Unneeded | LogState::Ready);
    if there { Verdict::Ready } else { Verdict::Wait(None) }
}

/// Whether a container is yet to start that needs what is not here: at first, and for one that is
/// started again under an agent that has not fetched it itself.
fn waits_for_resources(view: &TaskView) -> bool {
    view.containers().any(|(_, plan, state)| {
        !plan.needs.is_empty()
            && matches!(state.run, Run::Waiting | Run::Restarting(_) | Run::Clearing(_))
    })
}

/// What a container needs and could not be had, in ECS's words.
fn failure(container: &ContainerState) -> Option<&str> {
    match (&container.image, &container.logs) {
        (Fetch::Failed(reason), _) | (_, LogState::Failed(reason)) => Some(reason),
        _ => None,
    }
}

fn stop(view: &TaskView, limits: &Limits, now: Timestamp) -> Step {
    let state = &view.state;
    let mut until: Option<Timestamp> = None;
    for (index, container) in state.containers.iter().enumerate() {
        match &container.run {
            Run::Waiting | Run::Restarting(_) => {
                let reason = failure(container).map(str::to_owned);
                return Step::Do(Action::Skip { container: index, reason, code: None });
            }
            Run::Running { .. } if !has_live_dependents(view, index) => {
                match routes_until(view, index).filter(|at| *at > now) {
                    None => return Step::Do(Action::StopContainer(index)),
                    wait => until = earliest(until, wait),
                }
            }
            _ => {}
        }
    }
    if state.containers.iter().any(|c| c.status() != Status::Stopped) {
        return Step::WaitUntil(until);
    }
    if state.network == NetworkState::Attached {
        return Step::Do(Action::DetachNetwork);
    }
    if state.reported.task == Some(Status::Stopped) {
        return clean_up(view, limits, now);
    }
    Step::WaitUntil(None)
}

/// Whether a container that depends on this one still runs: it is stopped first.
fn has_live_dependents(view: &TaskView, index: usize) -> bool {
    view.plan.dependents(index).any(|other| {
        view.state
            .containers
            .get(other)
            .is_some_and(|c| !matches!(c.run, Run::Waiting | Run::Over(_)))
    })
}

/// Until when a log router is left running for the last words of containers that are over, so that they
/// are routed too; none if nothing is on its way to it.
fn routes_until(view: &TaskView, index: usize) -> Option<Timestamp> {
    let on_its_way = view.containers().filter(|(_, plan, state)| {
        plan.router == Some(index) && state.started_at.is_some() && state.logs == LogState::Ready
    });
    on_its_way.filter_map(|(_, _, state)| Some(state.ended_at? + LAST_WORDS)).max()
}

fn clean_up(view: &TaskView, limits: &Limits, now: Timestamp) -> Step {
    let state = &view.state;
    let ended = state.execution_stopped_at.unwrap_or(now);
    let later = |at: Timestamp, step: Step| {
        if now >= at { step } else { Step::WaitUntil(Some(at)) }
    };
    match state.sandbox {
        SandboxState::Ready => {
            let shipped = state.containers.iter().all(|c| {
                c.started_at.is_none() || matches!(c.logs, LogState::Unneeded | LogState::Shipped)
            });
            let at = if shipped { now } else { ended + limits.log_drain };
            later(at, Step::Do(Action::RemoveSandbox))
        }
        SandboxState::Creating | SandboxState::Removing => Step::WaitUntil(None),
        SandboxState::Idle | SandboxState::Gone => later(ended + limits.remember, Step::Settled),
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
