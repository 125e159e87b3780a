//! A task as an agent is sent it.
//!
//! Wharf's agent reads the typed definitions in the member `wharf`. AWS's stock agent reads the
//! contract's own members, and Docker's documents for what has none.

mod access;
mod admission;
mod container;
#[cfg(test)]
mod tests;
mod volumes;

use aws::agent::acs;
use aws::ecs::TaskDefinition;
use model::{ContainerFacts, DesiredStatus, State, Task, TaskFacts};

use crate::merge::{DocumentError, effective};
use crate::mint::{MintError, Minting, RolePurpose};

/// The contract's name of a device's kind.
const GPU: &str = "gpu";

/// Why a task cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PayloadError {
    /// A bug or a damaged record.
    #[error("task {0} refers to a task definition that is not stored")]
    DefinitionMissing(String),
    /// A bug or a damaged record.
    #[error("make the payload of task {task}")]
    Document {
        /// The task.
        task: String,
        /// What went wrong.
        #[source]
        source: DocumentError,
    },
    /// A bug.
    #[error("write Docker's documents for task {task}")]
    Docker {
        /// The task.
        task: String,
        /// What went wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The task can not run: a role of its can not be assumed.
    #[error(transparent)]
    Role(#[from] MintError),
}

/// The task as it should run, or merely its stop.
pub(crate) fn task(
    state: &State,
    task: &Task,
    minting: Minting<'_>,
) -> Result<acs::Task, PayloadError> {
    match task.progress.desired {
        DesiredStatus::Stopped => Ok(stop(state, task)),
        DesiredStatus::Running => run(state, task, minting),
    }
}

/// An order to stop needs no more than the name.
fn stop(state: &State, task: &Task) -> acs::Task {
    acs::Task {
        arn: state.realm().task(&task.facts.key),
        desired_status: acs::DesiredStatus::Stopped,
        ..acs::Task::default()
    }
}

fn run(state: &State, task: &Task, minting: Minting<'_>) -> Result<acs::Task, PayloadError> {
    let facts = &task.facts;
    let name = || facts.key.to_string();
    let definition = state
        .definition(&facts.definition)
        .ok_or_else(|| PayloadError::DefinitionMissing(name()))?;
    let (document, overrides) = effective(definition, task)
        .map_err(|source| PayloadError::Document { task: name(), source })?;
    let instance = state.instance_of(facts);
    let zone = instance.and_then(|i| i.attribute("ecs.availability-zone").flatten());
    let containers = document
        .container_definitions
        .iter()
        .flatten()
        .map(|definition| {
            container::container(state, task, &document, definition, overrides.as_ref())
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| PayloadError::Docker { task: name(), source })?;
    let number = |text: &Option<String>| text.as_ref().and_then(|t| t.trim().parse::<f64>().ok());
    let sent = acs::Task {
        arn: state.realm().task(&facts.key),
        task_cluster_arn: Some(state.realm().cluster(facts.cluster())),
        family: Some(facts.definition.family.to_string()),
        version: Some(facts.definition.revision.to_string()),
        desired_status: acs::DesiredStatus::Running,
        network_mode: document.network_mode.clone(),
        // The contract counts whole CPUs, a definition units.
        cpu: number(&document.cpu).map(|units| units / 1024.0),
        memory: document.memory.as_ref().and_then(|text| text.trim().parse().ok()),
        containers,
        volumes: volumes::volumes(&document),
        service_name: facts.service.as_ref().map(ToString::to_string),
        group: Some(facts.group.clone()),
        task_definition_account_id: Some(state.realm().account.clone()),
        zone: zone.map(str::to_owned),
        role_credentials: minting.of(
            document.task_role_arn.as_ref(),
            &facts.key,
            RolePurpose::TaskApplication,
        )?,
        execution_role_credentials: minting.of(
            document.execution_role_arn.as_ref(),
            &facts.key,
            RolePurpose::TaskExecution,
        )?,
        associations: associations(facts),
        pid_mode: document.pid_mode.clone(),
        ipc_mode: document.ipc_mode.clone(),
        wharf: Some(typed(facts, &document, zone)),
        ..acs::Task::default()
    };
    if let Some(more) = admission::excess(&admission::counted(&sent), &facts.reserved) {
        tracing::error!(task = %facts.key, more, "AWS's agent would count more for a task than it was placed for.");
    }
    Ok(sent)
}

/// The GPUs of a task, each with the one container whose own it is. The stock agent takes no task
/// with a GPU that it did not register, or that two containers share; Wharf's reads the same.
fn associations(facts: &TaskFacts) -> Vec<acs::Association> {
    let own = |c: &ContainerFacts| {
        let name = c.name.to_string();
        let gpus = c.gpus.iter().map(move |gpu| acs::Association {
            name: gpu.to_string(),
            r#type: Some(GPU.to_owned()),
            containers: vec![name.clone()],
            content: Some(acs::EncodedText {
                value: String::new(),
                encoding: Some("base64".to_owned()),
            }),
        });
        gpus.collect::<Vec<_>>()
    };
    facts.containers.iter().flat_map(own).collect()
}

/// The task for Wharf's own agent: ECS's own shapes, overrides applied.
fn typed(facts: &TaskFacts, document: &TaskDefinition, zone: Option<&str>) -> acs::WharfTask {
    acs::WharfTask {
        container_definitions: document.container_definitions.clone().unwrap_or_default(),
        volumes: document.volumes.clone().unwrap_or_default(),
        network_mode: document.network_mode.clone(),
        pid_mode: document.pid_mode.clone(),
        ipc_mode: document.ipc_mode.clone(),
        ephemeral_storage: document.ephemeral_storage.clone(),
        runtime_platform: document.runtime_platform.clone(),
        task_role_arn: document.task_role_arn.clone(),
        execution_role_arn: document.execution_role_arn.clone(),
        enable_execute_command: facts.enable_execute_command,
        availability_zone: zone.map(str::to_owned),
        tags: Vec::new(),
    }
}
