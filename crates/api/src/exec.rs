//! ExecuteCommand: a session in a container, for AWS's session-manager-plugin and `wharf exec`.
//!
//! The door checks whether the container takes sessions, asks its agent for one, and answers where
//! the client finds it; `exec_relay` then brings both together.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ExecuteCommand.html>

use std::fmt::Debug;

use aws::Error;
use aws::agent::acs::ExecuteCommandMessage;
use aws::ecs::{ErrorKind, ExecuteCommandRequest, ExecuteCommandResponse, Session};
use model::{
    ContainerFacts, ContainerName, ContainerStatus, ExecAgentStatus, InstanceKey, Resource, State,
    Task, TaskKey, TaskStatus,
};

use crate::door::{Caller, Door};
use crate::errors::{client, invalid};
use crate::exec_relay::{Opening, stream_url};
use crate::{exec_log, refer};

/// What ECS says when the container does not take sessions (yet).
const NOT_ENABLED: &str = "The execute command failed because execute command was not enabled when the \
     task was run or the execute command agent isn\u{2019}t running. Wait and try again or run a new \
     task with execute command enabled and try again.";
/// The build by which Wharf's own agent tells itself from the stock one.
const OWN_AGENT: &str = "wharf";
/// The longest command, as it goes through one message to the agent.
const LONGEST_COMMAND: usize = 16 << 10;

/// Who passes a wish on to the agent of an instance.
pub trait Reach: Send + Sync + Debug {
    /// Asks the agent to open a session; false if it is not connected.
    fn execute(&self, instance: &InstanceKey, message: ExecuteCommandMessage) -> bool;
}

/// What is to be run where, once it is clear that it can be.
struct Target {
    key: TaskKey,
    container: ContainerFacts,
    instance: InstanceKey,
    command: String,
    log: exec_log::Target,
}

pub(crate) async fn execute(
    door: &Door,
    caller: &Caller,
    request: ExecuteCommandRequest,
) -> Result<ExecuteCommandResponse, Error> {
    let state = door.snapshot();
    let target = read(&state, &request)?;
    exec_log::check(door, &target.log).await?;
    let opening = Opening {
        container: (target.key.clone(), target.container.name.clone()),
        log: target.log.clone(),
        owner: Some(caller.identity.principal.arn.clone()),
    };
    let (session, token) = door.exec().open(door, opening)?;
    let message = ExecuteCommandMessage {
        session_id: session.clone(),
        task_arn: door.realm().task(&target.key),
        container_name: target.container.name.to_string(),
        command: target.command.clone(),
    };
    tracing::info!(
        session,
        task = %target.key,
        container = %target.container.name,
        command = target.command,
        principal = caller.identity.principal.arn,
        log_group = target.log.group.as_deref().unwrap_or("-"),
        bucket = target.log.bucket.as_ref().map_or("-", |bucket| bucket.name.as_str()),
        "ExecuteCommand"
    );
    if !door.exec().reach(&target.instance, message) {
        door.exec().forget(&session);
        return Err(disconnected());
    }
    let url = stream_url(door, &session);
    Ok(ExecuteCommandResponse {
        cluster_arn: Some(door.realm().cluster(&target.key.cluster)),
        container_arn: Some(door.realm().container(&target.key, &target.container.id)),
        container_name: Some(target.container.name.to_string()),
        interactive: Some(true),
        session: Some(Session {
            session_id: Some(session),
            stream_url: Some(url),
            token_value: Some(token),
        }),
        task_arn: Some(door.realm().task(&target.key)),
    })
}

fn read(state: &State, request: &ExecuteCommandRequest) -> Result<Target, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    if request.interactive != Some(true) {
        return Err(invalid("Interactive is the only mode supported currently."));
    }
    let command = request.command.as_deref().map(str::trim).unwrap_or_default();
    if command.is_empty() || command.len() > LONGEST_COMMAND {
        return Err(invalid(format!(
            "command: it has between 1 and {LONGEST_COMMAND} characters, such as \"/bin/sh\"."
        )));
    }
    let key = refer::task(state.realm(), &cluster, request.task.as_deref().unwrap_or_default())?;
    let task = state.task(&key).ok_or_else(|| invalid("The referenced task was not found."))?;
    if task.progress.status == TaskStatus::Stopped {
        return Err(invalid("Tasks that are stopped cannot be used with execute command."));
    }
    let container = container(task, request.container.as_deref())?;
    let Some(instance) = task.facts.instance_key() else {
        return Err(invalid("The task waits for capacity and has no container yet."));
    };
    ready(state, task, &container.name, &instance)?;
    let log = exec_log::target(state, task, &container.name)?;
    Ok(Target { key, container: container.clone(), instance, command: command.to_owned(), log })
}

/// What a session is for that an agent brings back: none unless the container takes sessions.
pub(crate) fn find(door: &Door, task_arn: &str, container: &str) -> Option<Opening> {
    let state = door.snapshot();
    let Ok(Resource::Task(key)) = state.realm().parse(task_arn) else { return None };
    let task = state.task(&key)?;
    let name = task.facts.containers.iter().find(|c| c.name.as_str() == container)?.name.clone();
    // The agent itself may not have connected yet: that it asks is enough.
    if !task.facts.enable_execute_command || task.progress.status == TaskStatus::Stopped {
        return None;
    }
    let log = exec_log::target(&state, task, &name).ok()?;
    Some(Opening { container: (key, name), log, owner: None })
}

/// The container that is meant; it may be left out where there is only one.
fn container<'a>(task: &'a Task, given: Option<&str>) -> Result<&'a ContainerFacts, Error> {
    let all = &task.facts.containers;
    match (given.filter(|name| !name.is_empty()), all.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(invalid(
            "Container name must be specified because there are multiple containers in the task.",
        )),
        (Some(name), _) => all.iter().find(|c| c.name.as_str() == name).ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|c| c.name.as_str()).collect();
            invalid(format!(
                "The container \"{name}\" was not found in the task; it has {}.",
                names.join(", ")
            ))
        }),
    }
}

fn disconnected() -> Error {
    ErrorKind::TargetNotConnectedException.with(
        "The execute command failed due to an internal error. Try again later. (The agent of the \
         task's container instance is not connected.)",
    )
}

/// Whether the container takes sessions now.
fn ready(
    state: &State,
    task: &Task,
    name: &ContainerName,
    instance: &InstanceKey,
) -> Result<(), Error> {
    if !task.facts.enable_execute_command {
        return Err(invalid(NOT_ENABLED));
    }
    let Some(instance) = state.instance(instance) else { return Err(disconnected()) };
    if instance.agent.hash.as_deref() != Some(OWN_AGENT) {
        return Err(ErrorKind::TargetNotConnectedException.with(
            "The task runs under the stock Amazon ECS agent, which carries no ExecuteCommand \
             sessions itself and has no program that would speak to Wharf. Run the task on an \
             instance that was joined by `wharf agent` or `wharf up`.",
        ));
    }
    let progress = task.progress.containers.iter().find(|c| c.name == *name);
    let running = progress.is_some_and(|c| c.status == ContainerStatus::Running);
    let takes = progress.and_then(|c| c.exec_agent.as_ref());
    if !running || takes.is_none_or(|agent| agent.status != ExecAgentStatus::Running) {
        return Err(invalid(NOT_ENABLED));
    }
    if !instance.agent.connected {
        return Err(disconnected());
    }
    Ok(())
}

/// The refusal of a session beyond the most that a container has.
pub(crate) fn too_many(container: &ContainerName, most: usize) -> Error {
    client(format!(
        "The container {container} has {most} ExecuteCommand sessions, and no more are possible at \
         once. End one of them and try again."
    ))
}
