//! What can be done about what is wrong, in the imperative.

use model::TaskProgress;

use crate::{Failure, Lack, Waiting, placement};

/// What can be done about what a service waits for.
pub(super) fn waiting(waiting: &Waiting) -> Vec<String> {
    match waiting {
        Waiting::Place(failure) => place(failure),
        Waiting::BackOff { .. } => vec![
            "See why its tasks fail: `wharf why TASK` of a stopped one, and `wharf logs`.".to_owned(),
            "Update it to a revision that works: the back-off ends with the new deployment.".to_owned(),
        ],
        Waiting::Room { .. } => vec![
            "Raise maximumPercent or lower minimumHealthyPercent with UpdateService, so that a task can be \
             started before or stopped before another."
                .to_owned(),
        ],
        Waiting::Failed { .. } => vec![
            "Update it to a revision that works (UpdateService), or force a new deployment.".to_owned(),
        ],
        _ => Vec::new(),
    }
}

/// So much is advised at most when no instance takes a task.
const ADVICE: usize = 3;

/// What can be done when no instance takes a task: first about what the nearest instance lacks, then
/// about what most of them do.
pub(super) fn place(failure: &Failure) -> Vec<String> {
    if failure.shortfalls.is_empty() {
        return vec![
            "Start a node: `wharf agent --server …`, or `wharf up` on this machine.".to_owned(),
        ];
    }
    let mut all: Vec<String> = Vec::new();
    let nearest = failure.shortfalls.iter().filter(|shortfall| {
        Some(&shortfall.nearest) == failure.instance.as_ref()
            && placement::reason(&shortfall.lack) == failure.reason
    });
    for shortfall in nearest.chain(&failure.shortfalls) {
        let advice = lacking(&shortfall.lack);
        if !all.contains(&advice) {
            all.push(advice);
        }
    }
    all.truncate(ADVICE);
    all
}

fn lacking(lack: &Lack) -> String {
    match lack {
        Lack::AgentDisconnected => {
            "Start the agent of the instance, or wait until it is back.".to_owned()
        }
        Lack::Draining => {
            "Set the instance ACTIVE again (UpdateContainerInstancesState), or add another."
                .to_owned()
        }
        Lack::Unknown => "Name an instance that is registered in this cluster.".to_owned(),
        Lack::LaunchType => "Use the launch type of the instances that there are.".to_owned(),
        Lack::Provider(name) => {
            format!("Let the group of the capacity provider {name} grow, or use another.")
        }
        Lack::Cpu { .. } => "Stop tasks, lower the task's `cpu`, or add an instance.".to_owned(),
        Lack::Memory { .. } => {
            "Stop tasks, lower the task's `memory`, or add an instance.".to_owned()
        }
        Lack::Port(port) => format!(
            "Leave the host port {} to the node (hostPort 0), or run fewer tasks than instances.",
            port.port
        ),
        Lack::Gpu { .. } => "Stop a task that has GPUs, or add an instance with GPUs.".to_owned(),
        Lack::Address(_) => "Stop tasks, or name a subnet with free addresses.".to_owned(),
        Lack::Attribute(name) => {
            format!(
                "Give an instance the attribute {name} (PutAttributes), or add one that has it."
            )
        }
        Lack::NotDistinct => "Add an instance: each task of it wants one of its own.".to_owned(),
        Lack::Expression(_) => {
            "Change the expression of memberOf, or add an instance that satisfies it.".to_owned()
        }
    }
}

/// What the exit status of a container tells, where it tells something.
pub(super) fn exit(code: i32) -> Option<&'static str> {
    Some(match code {
        126 => "its program may not be executed: look at its mode and at the image's architecture",
        127 => "its program was not found: look at `command`, `entryPoint` and the image",
        134 => "it aborted itself (SIGABRT)",
        137 => {
            "it was killed (SIGKILL): it used more than its memory, or did not end within stopTimeout"
        }
        139 => "it touched memory that is not its own (SIGSEGV)",
        143 => "it was asked to end (SIGTERM)",
        _ => return None,
    })
}

/// What can be done about a task that is over.
pub(super) fn stopped(progress: &TaskProgress) -> Vec<String> {
    let texts = progress.containers.iter().filter_map(|container| container.reason.as_deref());
    let mut all: Vec<String> = Vec::new();
    for text in texts.chain(progress.stopped_reason.as_deref()) {
        let advice = match text {
            _ if text.contains("CannotPull") => {
                "Look at the image's name and tag, and at the registry's credentials."
            }
            _ if text.contains("ResourceInitialization") => {
                "Look at the execution role and at the secrets, log groups and files that the task names."
            }
            _ if text.contains("OutOfMemory") => "Give the container more `memory`.",
            _ => continue,
        };
        if !all.iter().any(|known| known == advice) {
            all.push(advice.to_owned());
        }
    }
    if progress.containers.iter().any(|container| container.exit_code.is_some_and(|code| code != 0))
    {
        all.push("Read what it wrote last: `wharf logs`.".to_owned());
    }
    all
}
