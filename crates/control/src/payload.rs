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
use aws::ecs::{LaunchType as WireLaunch, LogDriver, TaskDefinition};
use model::{
    AccountSetting, ContainerFacts, DesiredStatus, LaunchType, SettingValue, State, Task,
    TaskFacts, Vpc,
};

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
    let (mut document, overrides) = effective(definition, task)
        .map_err(|source| PayloadError::Document { task: name(), source })?;
    modes(state, &mut document);
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
        // Without it AWS's agent takes it for EC2's.
        launch_type: (facts.launch_type == LaunchType::Fargate).then_some(WireLaunch::Fargate),
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
        elastic_network_interfaces: interfaces(state, facts),
        pid_mode: document.pid_mode.clone(),
        ipc_mode: document.ipc_mode.clone(),
        wharf: Some(typed(state, facts, &document, zone)),
        ..acs::Task::default()
    };
    if let Some(more) = admission::excess(&admission::counted(&sent), &facts.reserved) {
        tracing::error!(task = %facts.key, more, "AWS's agent would count more for a task than it was placed for.");
    }
    Ok(sent)
}

/// The mode of log drivers that are given none: the account setting `defaultLogDriverMode`, which is
/// root's. Routers' containers have none.
fn modes(state: &State, document: &mut TaskDefinition) {
    let root = state.realm().root();
    let setting = state.settings().effective(&root, &root, AccountSetting::LogMode);
    if setting != SettingValue::NonBlocking {
        return;
    }
    for definition in document.container_definitions.iter_mut().flatten() {
        let Some(log) = &mut definition.log_configuration else { continue };
        if log.log_driver.as_ref().is_some_and(|driver| *driver != LogDriver::Awsfirelens) {
            let options = log.options.get_or_insert_default();
            options.entry("mode".to_owned()).or_insert_with(|| "non-blocking".to_owned());
        }
    }
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

/// The task's own interface, in the contract's words.
fn interfaces(state: &State, facts: &TaskFacts) -> Vec<acs::ElasticNetworkInterface> {
    let realm = state.realm();
    let subnet = |at| Vpc::of(realm).subnet_at(at).map(|subnet| subnet.block);
    let interface = facts.interface().map(|interface| acs::ElasticNetworkInterface {
        attachment_arn: Some(realm.attachment(&interface.attachment)),
        ec2_id: Some(interface.id.clone()),
        mac_address: Some(interface.mac()),
        index: Some(0),
        ipv4_addresses: vec![acs::Ipv4Assignment {
            primary: true,
            private_address: interface.address.to_string(),
        }],
        subnet_gateway_ipv4_address: subnet(interface.address)
            .map(|block| format!("{}/{}", block.router(), block.prefix())),
        private_dns_name: Some(interface.dns_name(realm)),
        interface_association_protocol: Some("default".to_owned()),
        ..acs::ElasticNetworkInterface::default()
    });
    interface.into_iter().collect()
}

/// The task for Wharf's own agent: ECS's own shapes, overrides applied.
fn typed(
    state: &State,
    facts: &TaskFacts,
    document: &TaskDefinition,
    zone: Option<&str>,
) -> acs::WharfTask {
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
        vpc_cidr_block: facts.interface().map(|_| state.realm().vpc.to_string()),
        tags: Vec::new(),
    }
}
