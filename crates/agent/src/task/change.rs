//! What happens to a task, and what becomes of the task by it.

use std::sync::Arc;

use runtime::{Exit, Health, Image};
use stdx::Timestamp;

use super::step::Action;
use super::{
    ContainerState, Desired, End, Fetch, LogState, NetworkState, Place, Report, Reported,
    Resources, Run, SandboxState, Status, TaskView,
};
use crate::plan::Given;

/// ECS's words for a container that the kernel killed for want of memory.
const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";
const EXIT_LOST: &str = "the container ended while nobody watched it; its exit code is lost";

/// Something that happened to a task. Those with an index are about that container.
#[derive(Clone, Debug)]
pub enum Happening {
    /// The server wants it so. The same again, for a task that is over, asks for its last report.
    Wanted(Desired),
    /// The sandbox stands.
    SandboxReady,
    /// The sandbox could not be made.
    SandboxFailed(String),
    /// What watched over the sandbox died, and its containers with it.
    SandboxLost,
    /// The sandbox is removed.
    SandboxRemoved,
    /// The task has its places in the network: one for each container, in order.
    Attached(Vec<Option<Place>>),
    /// It could not have it.
    AttachFailed(String),
    /// It has given it back.
    Detached,
    /// What containers need is here.
    Fetched(Arc<Given>),
    /// It could not be had.
    FetchFailed(String),
    /// An image is here.
    ImagePresent(usize, Image),
    /// An image could not be had.
    ImageFailed(usize, String),
    /// A log stream exists.
    LogsReady(usize),
    /// A log stream could not be made.
    LogsFailed(usize, String),
    /// All of a container's output is in its log stream.
    LogsShipped(usize),
    /// A container started; where it is reached, if the container runtime saw to that.
    Started(usize, Timestamp, Option<Place>),
    /// A container did not start.
    StartFailed(usize, String),
    /// A container ended.
    Exited(usize, Exit),
    /// What was left of a container is removed.
    Cleared(usize),
    /// It could not be removed, so the container is not started again.
    ClearFailed(usize, String),
    /// A health check changed its verdict.
    Health(usize, Health, Timestamp),
    /// The server took a report, or will never take it.
    Reported(Reported),
}

impl TaskView {
    /// Notes that an action is under way.
    pub fn begin(&mut self, action: &Action, now: Timestamp) {
        let state = &mut self.state;
        match action {
            Action::CreateSandbox => state.sandbox = SandboxState::Creating,
            Action::RemoveSandbox => state.sandbox = SandboxState::Removing,
            Action::FetchResources => state.resources = Resources::Fetching,
            Action::AttachNetwork => state.network = NetworkState::Attaching,
            Action::DetachNetwork => state.network = NetworkState::Detaching,
            Action::Report(Report { .. }) => state.reporting = true,
            Action::PullImage(at) => self.edit(*at, |c| c.image = Fetch::Pulling),
            Action::PrepareLogs(at) => self.edit(*at, |c| c.logs = LogState::Preparing),
            Action::StartContainer(at) => self.edit(*at, |c| c.run = Run::Starting),
            Action::ClearContainer(at) => self.edit(*at, |c| {
                if let Run::Restarting(exit) = &c.run {
                    c.run = Run::Clearing(exit.clone());
                }
            }),
            Action::StopContainer(at) => self.edit(*at, |c| {
                if let Run::Running { since } = c.run {
                    c.run = Run::Stopping { since };
                }
            }),
            Action::Skip { container, reason, code } => {
                self.edit(*container, |c| {
                    let code = match &c.run {
                        Run::Restarting(exit) | Run::Clearing(exit) => exit.code,
                        _ => *code,
                    };
                    c.run = Run::Over(End { code, reason: reason.clone() });
                });
                self.settle(now);
            }
        }
    }

    /// Notes what happened. What cannot be, such as the end of a container that is over, changes
    /// nothing.
    pub fn apply(&mut self, happening: Happening, now: Timestamp) {
        let state = &mut self.state;
        match happening {
            Happening::Wanted(desired) => self.wanted(desired),
            Happening::SandboxReady => state.sandbox = SandboxState::Ready,
            Happening::SandboxFailed(reason) => {
                state.sandbox = SandboxState::Gone;
                state.failure.get_or_insert(reason);
            }
            Happening::SandboxLost => self.lost(now),
            Happening::SandboxRemoved => state.sandbox = SandboxState::Gone,
            Happening::Attached(places) => self.placed(NetworkState::Attached, places),
            Happening::AttachFailed(reason) => {
                state.network = NetworkState::Detached;
                state.failure.get_or_insert(reason);
            }
            Happening::Detached => {
                self.placed(NetworkState::Detached, vec![None; self.plan.containers.len()]);
            }
            Happening::Fetched(given) => {
                state.resources = Resources::Ready;
                self.given = given;
            }
            Happening::FetchFailed(reason) => {
                state.resources = Resources::Idle;
                state.failure.get_or_insert(reason);
            }
            Happening::Reported(told) => self.told(told),
            Happening::ImagePresent(at, image) => self.edit(at, |c| {
                c.pulled = image.pulled;
                c.image = Fetch::Present(image.into());
            }),
            Happening::ImageFailed(at, reason) => {
                self.edit(at, |c| c.image = Fetch::Failed(reason))
            }
            Happening::LogsReady(at) => self.edit(at, |c| c.logs = LogState::Ready),
            Happening::LogsFailed(at, reason) => {
                self.edit(at, |c| c.logs = LogState::Failed(reason))
            }
            Happening::LogsShipped(at) => self.edit(at, |c| c.logs = LogState::Shipped),
            Happening::Started(at, since, place) => self.edit(at, |c| {
                started(c, since);
                c.place = place.or(c.place.take());
            }),
            Happening::StartFailed(at, reason) => self.edit(at, |c| {
                if matches!(c.run, Run::Starting) {
                    c.run = Run::Over(End { code: None, reason: Some(reason) });
                }
            }),
            Happening::Exited(at, exit) => self.exited(at, exit, now),
            Happening::Cleared(at) => self.edit(at, |c| {
                if matches!(c.run, Run::Clearing(_)) {
                    c.restarts = c.restarts.saturating_add(1);
                    c.run = Run::Waiting;
                }
            }),
            Happening::ClearFailed(at, reason) => self.edit(at, |c| {
                if let Run::Clearing(exit) = &c.run {
                    c.run = Run::Over(End { code: exit.code, reason: Some(reason) });
                }
            }),
            Happening::Health(at, health, since) => self.edit(at, |c| {
                if matches!(c.run, Run::Running { .. } | Run::Stopping { .. }) {
                    c.health = Some((health, since));
                }
            }),
        }
        self.settle(now);
    }

    fn placed(&mut self, network: NetworkState, places: Vec<Option<Place>>) {
        self.state.network = network;
        for (container, place) in self.state.containers.iter_mut().zip(places) {
            container.place = place;
        }
    }

    fn wanted(&mut self, desired: Desired) {
        let state = &mut self.state;
        state.desired = state.desired.max(desired);
        // The server asks again for a task that is over: it has not kept the last report.
        if state.status == Status::Stopped && state.reported.task == Some(Status::Stopped) {
            state.reported.task = Some(Status::Running);
            state.reported.containers.fill(None);
        }
    }

    fn told(&mut self, told: Reported) {
        let state = &mut self.state;
        state.reporting = false;
        state.reported.task = state.reported.task.max(told.task);
        for (known, told) in state.reported.containers.iter_mut().zip(told.containers) {
            *known = (*known).max(told);
        }
    }

    /// Every container ended with the sandbox; nobody knows how.
    fn lost(&mut self, now: Timestamp) {
        if self.state.containers.iter().all(|c| c.status() == Status::Stopped) {
            return;
        }
        for at in 0..self.state.containers.len() {
            let exit = Exit { code: None, oom_killed: false, at: now };
            self.exited(at, exit, now);
        }
        self.state.failure.get_or_insert_with(|| {
            "TaskStateError: the process that watched over the task's containers died".to_owned()
        });
    }

    fn exited(&mut self, at: usize, exit: Exit, now: Timestamp) {
        let stopping = self.stopping();
        let Some(plan) = self.plan.containers.get(at) else { return };
        let Some(container) = self.state.containers.get_mut(at) else { return };
        let since = match container.run {
            Run::Running { since } | Run::Stopping { since } => since,
            // It ended before word came that it started.
            Run::Starting => {
                started(container, exit.at);
                exit.at
            }
            _ => return,
        };
        let again = plan.restart.as_ref().is_some_and(|policy| {
            !stopping
                && exit.code.is_some_and(|code| !policy.ignored_exit_codes.contains(&code))
                && exit.at.since(since) >= policy.attempt_period
        });
        container.ended_at = Some(exit.at);
        container.run = if again {
            container.health = None;
            Run::Restarting(exit)
        } else {
            Run::Over(end(&exit))
        };
        self.settle(now);
    }

    /// Draws the task's status from its containers'.
    fn settle(&mut self, now: Timestamp) {
        let stopping = self.stopping();
        let state = &mut self.state;
        let over = state.containers.iter().all(|c| c.status() == Status::Stopped);
        let up = state
            .containers
            .iter()
            .all(|c| c.started_at.is_some() || (!stopping && c.status() == Status::Stopped));
        if over && state.execution_stopped_at.is_none() {
            state.execution_stopped_at = Some(now);
        }
        // Its ports are free before anybody hears that it has stopped.
        let unplugged = matches!(
            state.network,
            NetworkState::Unneeded | NetworkState::Idle | NetworkState::Detached
        );
        let status = match (over && unplugged, up) {
            (true, _) => Status::Stopped,
            (false, true) => Status::Running,
            (false, false) => Status::Pending,
        };
        state.status = state.status.max(status);
    }

    fn edit(&mut self, at: usize, change: impl FnOnce(&mut ContainerState)) {
        if let Some(container) = self.state.containers.get_mut(at) {
            change(container);
        }
    }
}

fn started(container: &mut ContainerState, since: Timestamp) {
    if matches!(container.run, Run::Starting) {
        container.run = Run::Running { since };
        container.started_at.get_or_insert(since);
    }
}

fn end(exit: &Exit) -> End {
    let reason = match exit.code {
        _ if exit.oom_killed => Some(OUT_OF_MEMORY.to_owned()),
        None => Some(EXIT_LOST.to_owned()),
        Some(_) => None,
    };
    End { code: exit.code, reason }
}
