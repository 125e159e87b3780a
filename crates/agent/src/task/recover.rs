//! A task after the agent was away: what was written down, set right by what is found on the node.

use runtime::{ContainerStatus, Exit, SandboxStatus};
use stdx::Timestamp;

use super::{
    Desired, End, Fetch, Happening, LogState, NetworkState, Resources, Run, SandboxState, Status,
    TaskState, TaskView,
};

/// Why a task stops that `wharf down` has put out.
const TAKEN_DOWN: &str = "Task stopped because its container instance was taken down";

impl TaskState {
    /// Notes that the task was ended and removed from the node without its agent, and how its
    /// containers ended, as far as it is known.
    pub(crate) fn put_out(&mut self, mut ended: impl FnMut(usize) -> Option<Exit>) {
        let before = self.status;
        for (at, container) in self.containers.iter_mut().enumerate() {
            if container.status() == Status::Stopped {
                continue;
            }
            let exit = ended(at);
            let at = exit.as_ref().map(|exit| exit.at);
            self.execution_stopped_at = self.execution_stopped_at.max(at);
            if exit.is_some() {
                container.started_at = container.started_at.or(at);
            }
            let code = exit.and_then(|exit| exit.code);
            container.run = Run::Over(End { code, reason: None });
        }
        self.desired = Desired::Stopped;
        self.status = Status::Stopped;
        self.sandbox = SandboxState::Gone;
        if self.network != NetworkState::Unneeded {
            self.network = NetworkState::Detached;
        }
        if before != Status::Stopped {
            self.failure.get_or_insert_with(|| TAKEN_DOWN.to_owned());
        }
    }
}

impl TaskView {
    /// Sets right what was written down by what is found: what was under way is asked for again,
    /// what ended meanwhile has ended.
    pub fn recover(&mut self, found: Option<&SandboxStatus>, now: Timestamp) {
        self.state.reporting = false;
        let alive = found.is_some_and(|f| f.alive);
        for at in 0..self.state.containers.len() {
            let id = self.plan.containers.get(at).map(|plan| &plan.id);
            let seen = found.and_then(|f| f.containers.iter().find(|c| Some(&c.id) == id));
            self.recover_container(at, seen, alive, now);
        }
        let state = &mut self.state;
        let started = state.containers.iter().any(|c| c.started_at.is_some());
        state.sandbox = match (&state.sandbox, found) {
            (SandboxState::Gone, None) => SandboxState::Gone,
            (_, Some(_)) => SandboxState::Ready,
            (_, None) if started => SandboxState::Gone,
            (_, None) => SandboxState::Idle,
        };
        // Attaching and detaching may be asked for twice.
        match state.network {
            NetworkState::Attaching => state.network = NetworkState::Idle,
            NetworkState::Attached if !started && found.is_none() => {
                state.network = NetworkState::Idle;
            }
            NetworkState::Detaching => state.network = NetworkState::Attached,
            _ => {}
        }
        // Nothing of it is ever written down.
        if state.resources != Resources::Unneeded {
            state.resources = Resources::Idle;
        }
        if found.is_some_and(|f| !f.alive) {
            self.apply(Happening::SandboxLost, now);
        } else if self.state.sandbox == SandboxState::Gone && started {
            // A reboot, or somebody removed it.
            self.apply(Happening::SandboxLost, now);
            self.state.sandbox = SandboxState::Gone;
        }
    }

    fn recover_container(
        &mut self,
        at: usize,
        seen: Option<&ContainerStatus>,
        alive: bool,
        now: Timestamp,
    ) {
        let Some(container) = self.state.containers.get_mut(at) else { return };
        if container.image == Fetch::Pulling {
            container.image = Fetch::Idle;
        }
        if container.logs == LogState::Preparing {
            container.logs = LogState::Idle;
        }
        let known = match &container.run {
            Run::Over(_) => return,
            Run::Running { since } | Run::Stopping { since } => Some(*since),
            _ => None,
        };
        match seen {
            Some(ContainerStatus { exit: Some(exit), started_at, health, .. }) => {
                let since = started_at.or(known).unwrap_or(exit.at);
                match &container.run {
                    Run::Restarting(_) => {}
                    Run::Clearing(exit) => container.run = Run::Restarting(exit.clone()),
                    _ => {
                        container.health = health.or(container.health);
                        container.started_at.get_or_insert(since);
                        container.run = Run::Running { since };
                        self.apply(Happening::Exited(at, exit.clone()), now);
                    }
                }
            }
            Some(ContainerStatus { pid, started_at, health, .. }) if alive && pid.is_some() => {
                let since = started_at.or(known).unwrap_or(now);
                container.health = health.or(container.health);
                container.started_at.get_or_insert(since);
                container.run = Run::Running { since };
            }
            _ => match &container.run {
                Run::Running { .. } | Run::Stopping { .. } => {
                    let exit = Exit { code: None, oom_killed: false, at: now };
                    self.apply(Happening::Exited(at, exit), now);
                }
                Run::Clearing(_) => {
                    container.restarts = container.restarts.saturating_add(1);
                    container.run = Run::Waiting;
                }
                Run::Starting => container.run = Run::Waiting,
                Run::Waiting | Run::Restarting(_) | Run::Over(_) => {}
            },
        }
    }
}
