//! Why a task is where it is, or why it is over.

use model::{
    ContainerProgress, ContainerStatus, HealthStatus, State, StopCode, TargetState, Task, TaskKey,
    TaskStatus,
};
use stdx::Timestamp;

use super::{Explanation, advice, obstacles};
use crate::decide::targets::drained_at;
use crate::decide::waiting;
use crate::words;

/// How a task stands; none if there is no such task.
pub fn task(state: &State, key: &TaskKey, now: Timestamp) -> Option<Explanation> {
    let task = state.task(key)?;
    let mut explained = Explanation { settled: task.is_running(), ..Explanation::default() };
    explained.verdict = match task.progress.status {
        TaskStatus::Provisioning => provisioning(state, task, &mut explained),
        TaskStatus::Pending => pending(state, task),
        TaskStatus::Activating => activating(state, task),
        TaskStatus::Running => running(state, task, &mut explained, now),
        TaskStatus::Deactivating => draining(state, task),
        TaskStatus::Stopping | TaskStatus::Deprovisioning => stopping(task),
        TaskStatus::Stopped => stopped(task, &mut explained),
    };
    let place = match state.instance_of(&task.facts) {
        Some(instance) => format!("It was placed on {}.", instance.key.instance),
        None => "It has no instance.".to_owned(),
    };
    explained.reasons.push(format!(
        "It runs {} as part of {}. {place}",
        task.facts.definition, task.facts.group
    ));
    explained.reasons.extend(task.progress.containers.iter().filter_map(container));
    Some(explained)
}

/// Whether a task is over because something went wrong.
pub(super) fn failed(task: &Task) -> bool {
    task.progress.status == TaskStatus::Stopped
        && match task.progress.stop_code {
            Some(StopCode::UserInitiated | StopCode::ServiceSchedulerInitiated) | None => false,
            Some(
                StopCode::TaskFailedToStart
                | StopCode::EssentialContainerExited
                | StopCode::SpotInterruption
                | StopCode::TerminationNotice,
            ) => true,
        }
}

fn provisioning(state: &State, task: &Task, explained: &mut Explanation) -> String {
    if let Some(failure) = waiting::nowhere(state, &task.facts) {
        explained.obstacles = obstacles(&failure);
        explained.advice = advice::place(&failure);
    }
    match &task.facts.provider {
        Some(provider) => format!(
            "It waits for a node of the capacity provider {provider}; it is given up at {}.",
            waiting::given_up_at(task)
        ),
        None => "It waits for its network.".to_owned(),
    }
}

fn pending(state: &State, task: &Task) -> String {
    let progress = &task.progress;
    let Some(instance) = state.instance_of(&task.facts) else {
        return "Its instance is gone; it will be stopped.".to_owned();
    };
    let id = &instance.key.instance;
    if !instance.agent.connected {
        let since = instance.agent.connected_changed_at.unwrap_or(instance.registered_at);
        return format!("Its instance {id} has been away since {since}, and has not started it.");
    }
    match (progress.connected_at, progress.pull_started_at, progress.pull_stopped_at) {
        (_, Some(since), None) => {
            format!("Its images have been being pulled on {id} since {since}.")
        }
        (None, ..) => format!("It was sent to {id}, which has not answered yet."),
        _ => format!("Its containers are being started on {id}."),
    }
}

fn activating(state: &State, task: &Task) -> String {
    let joined = state.balancing().targets_of(&task.facts.key).count();
    format!(
        "Its containers run; it waits until its node has told its ports, and is {joined} targets so far."
    )
}

fn running(state: &State, task: &Task, explained: &mut Explanation, now: Timestamp) -> String {
    let since = task.progress.started_at.unwrap_or(task.facts.created_at);
    let checks = task.progress.containers.iter().filter(|c| c.health == HealthStatus::Unhealthy);
    for container in checks {
        explained.settled = false;
        explained
            .reasons
            .push(format!("The health check of its container {} fails.", container.name));
        explained
            .advice
            .push(format!("Try the check inside: `wharf exec {} -- sh`.", task.facts.key.task));
    }
    let book = state.balancing();
    for target in book.targets_of(&task.facts.key) {
        let (at, how) = (&target.key, book.state_of(target));
        let found = match how {
            TargetState::Healthy | TargetState::Draining => continue,
            TargetState::Unused => "is in a target group that no listener uses".to_owned(),
            TargetState::Initial => "is being checked for the first time".to_owned(),
            TargetState::Unhealthy => {
                explained.settled = false;
                let verdict = book.verdict_of(target).and_then(|v| v.description.clone());
                format!("fails its health checks: {}", verdict.unwrap_or_default())
            }
        };
        explained.reasons.push(format!("Its target {at} {found}."));
    }
    if let Some(until) = task.protected_until(now) {
        explained.reasons.push(format!("It is protected from scale-in until {until}."));
    }
    match explained.settled {
        true => format!("It has been running since {since}."),
        false => format!("It has been running since {since}, and is not healthy."),
    }
}

fn draining(state: &State, task: &Task) -> String {
    let book = state.balancing();
    let until = book.targets_of(&task.facts.key).map(|target| drained_at(book, target)).max();
    let why = why(task);
    match until {
        Some(until) => {
            format!("It is to stop ({why}), and finishes what it has until {until} at the latest.")
        }
        None => format!("It is to stop ({why})."),
    }
}

fn stopping(task: &Task) -> String {
    let since = task.progress.stopping_at.unwrap_or(task.facts.created_at);
    format!("It is being stopped since {since} ({}): its containers have not all ended.", why(task))
}

fn stopped(task: &Task, explained: &mut Explanation) -> String {
    explained.settled = !failed(task);
    explained.advice = advice::stopped(&task.progress);
    let at = task.progress.stopped_at.unwrap_or(task.facts.created_at);
    let why = why(task);
    match words::never_started(&why) {
        true => format!("It never ran: {why}. That was at {at}."),
        false => format!("It stopped at {at}: {why}."),
    }
}

fn why(task: &Task) -> String {
    let given = task.progress.stopped_reason.as_deref().unwrap_or("no reason was given");
    given.trim_end_matches('.').to_owned()
}

/// A container that is not simply running.
fn container(container: &ContainerProgress) -> Option<String> {
    let name = &container.name;
    let reason = container.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match (container.status, container.exit_code) {
        (ContainerStatus::Running, _) => None,
        (ContainerStatus::Pending, _) => {
            Some(format!("Its container {name} has not started{reason}."))
        }
        (ContainerStatus::Stopped, Some(code)) => {
            let means = advice::exit(code).map(|text| format!(" ({text})")).unwrap_or_default();
            Some(format!("Its container {name} ended with {code}{means}{reason}."))
        }
        (ContainerStatus::Stopped, None) => Some(format!("Its container {name} is over{reason}.")),
    }
}
