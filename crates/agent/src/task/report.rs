//! What the server is told: SubmitTaskStateChange, in the order and the shapes of the ECS agent.

use aws::ecs;
use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use super::{Desired, Fetch, Run, Status, TaskView};
use crate::plan::network_bindings;

/// ECS cuts a reason here.
const MAX_REASON: usize = 1024;
/// ECS cuts a runtime id and a digest here.
const MAX_ID: usize = 255;

/// What the server has been told of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The task's status.
    pub task: Option<Status>,
    /// The containers' status, in the order of the plan.
    pub containers: Vec<Option<Status>>,
}

impl Reported {
    /// Nothing yet.
    pub fn nothing(containers: usize) -> Self {
        Self { task: None, containers: vec![None; containers] }
    }
}

/// A report that is due: when it is accepted, the server knows so much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the server will have been told.
    pub tells: Reported,
    /// The containers that it is about.
    pub about: Vec<usize>,
}

/// The report that is due, if any. A task that ran is told to run before it is told to have
/// stopped; a container's own change is told at once, but not one by one while the task starts or
/// while the server waits for its end.
pub(super) fn due(view: &TaskView) -> Option<Report> {
    let state = &view.state;
    if state.reporting || state.reported.task == Some(Status::Stopped) {
        return None;
    }
    let ran = state.containers.iter().all(|c| c.started_at.is_some());
    let told_running = state.reported.task >= Some(Status::Running);
    let status = match state.status {
        Status::Stopped if ran && !told_running => Status::Running,
        status => status,
    };
    let current: Vec<Option<Status>> = view
        .state
        .containers
        .iter()
        .map(|c| Some(c.status()).filter(|s| *s > Status::Pending))
        .collect();
    let about: Vec<usize> = current
        .iter()
        .zip(&state.reported.containers)
        .enumerate()
        .filter(|(_, (now, told))| now > told)
        .map(|(index, _)| index)
        .collect();
    let task_moves = status > Status::Pending && Some(status) > state.reported.task;
    let starting = state.containers.iter().any(|c| matches!(c.run, Run::Starting));
    let ending =
        state.containers.iter().all(|c| c.status() == Status::Stopped) && status != Status::Stopped;
    let soon_more =
        (status == Status::Pending && starting) || ending || state.desired == Desired::Stopped;
    let worth = task_moves || (!about.is_empty() && !soon_more);
    worth.then_some(Report { tells: Reported { task: Some(status), containers: current }, about })
}

/// The call that makes a report. `cluster` is the configured string.
pub fn render(
    view: &TaskView,
    report: &Report,
    cluster: &str,
) -> ecs::SubmitTaskStateChangeRequest {
    let state = &view.state;
    let status = report.tells.task.unwrap_or(Status::Pending);
    let stopped = status == Status::Stopped;
    let pulls = || state.containers.iter().filter_map(|c| c.pulled);
    let containers = report.about.iter().filter_map(|index| container(view, *index)).collect();
    let reason = match &state.failure {
        Some(failure) if stopped => cut(failure, MAX_REASON),
        _ => String::new(),
    };
    ecs::SubmitTaskStateChangeRequest {
        cluster: Some(cluster.to_owned()),
        task: Some(view.plan.order.arn.clone()),
        status: Some(status.as_str().to_owned()),
        reason: Some(reason),
        containers: Some(containers),
        pull_started_at: pulls().map(|(from, _)| from).min(),
        pull_stopped_at: pulls().map(|(_, to)| to).max(),
        execution_stopped_at: stopped.then_some(state.execution_stopped_at).flatten(),
        managed_agents: view.plan.order.exec.then(|| exec_agents(view, report)),
        ..Default::default()
    }
}

/// What runs ExecuteCommand sessions is this agent: it is there as soon as the container is.
fn exec_agents(view: &TaskView, report: &Report) -> Vec<ecs::ManagedAgentStateChange> {
    let one = |index: &usize| {
        let plan = view.plan.containers.get(*index)?;
        let status = view.state.containers.get(*index)?.status();
        Some(ecs::ManagedAgentStateChange {
            container_name: Some(plan.name.clone()),
            managed_agent_name: Some(ecs::ManagedAgentName::ExecuteCommandAgent),
            status: Some(status.as_str().to_owned()),
            reason: None,
        })
    };
    report.about.iter().filter_map(one).collect()
}

fn container(view: &TaskView, index: usize) -> Option<ecs::ContainerStateChange> {
    let plan = view.plan.containers.get(index)?;
    let state = view.state.containers.get(index)?;
    let bound = state.place.as_ref().map(|place| place.bindings.as_slice()).unwrap_or_default();
    let bindings = network_bindings(&plan.ports, bound);
    let digest = match &state.image {
        Fetch::Present(image) => Some(cut(&image.digest, MAX_ID)).filter(|d| !d.is_empty()),
        _ => None,
    };
    Some(ecs::ContainerStateChange {
        container_name: Some(plan.name.clone()),
        exit_code: state.end().and_then(|end| end.code),
        image_digest: digest,
        network_bindings: Some(bindings).filter(|bindings| !bindings.is_empty()),
        reason: state.end().and_then(|end| end.reason.as_deref()).map(|r| cut(r, MAX_REASON)),
        runtime_id: state.started_at.map(|_: Timestamp| cut(plan.id.as_str(), MAX_ID)),
        status: Some(state.status().as_str().to_owned()),
    })
}

/// The first `most` characters.
fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
