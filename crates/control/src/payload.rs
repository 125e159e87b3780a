//! A task as an agent is sent it.
//!
//! Wharf's agent reads the typed definitions in the member `wharf`. AWS's stock agent reads the
//! contract's own members, and Docker's documents for what has none.

use std::collections::BTreeMap;

use aws::agent::acs;
use aws::ecs::{ContainerDefinition, LogDriver, TaskDefinition, TaskOverride};
use model::{DesiredStatus, State, Task};

use crate::docker;
use crate::merge::{DocumentError, effective};

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
}

/// The task as it should run, or merely its stop.
pub(crate) fn task(state: &State, task: &Task) -> Result<acs::Task, PayloadError> {
    match task.progress.desired {
        DesiredStatus::Stopped => Ok(stop(state, task)),
        DesiredStatus::Running => run(state, task),
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

fn run(state: &State, task: &Task) -> Result<acs::Task, PayloadError> {
    let facts = &task.facts;
    let name = || facts.key.to_string();
    let definition = state
        .definition(&facts.definition)
        .ok_or_else(|| PayloadError::DefinitionMissing(name()))?;
    let (document, overrides) = effective(definition, task)
        .map_err(|source| PayloadError::Document { task: name(), source })?;
    let instance = state.instance(&facts.instance_key());
    let zone = instance.and_then(|i| i.attribute("ecs.availability-zone").flatten());
    let definitions = document.container_definitions.clone().unwrap_or_default();
    let containers = definitions
        .iter()
        .map(|definition| container(state, task, &document, definition, overrides.as_ref()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| PayloadError::Docker { task: name(), source })?;
    let number = |text: &Option<String>| text.as_ref().and_then(|t| t.trim().parse::<f64>().ok());
    Ok(acs::Task {
        arn: state.realm().task(&facts.key),
        task_cluster_arn: Some(state.realm().cluster(facts.cluster())),
        family: Some(facts.definition.family.to_string()),
        version: Some(facts.definition.revision.to_string()),
        desired_status: acs::DesiredStatus::Running,
        network_mode: document.network_mode.clone(),
        // The contract counts whole CPUs, a definition units.
        cpu: number(&document.cpu).map(|units| units / 1024.0),
        memory: definition.spec.memory.map(i64::from),
        containers,
        volumes: volumes(&document),
        service_name: facts.service.as_ref().map(ToString::to_string),
        group: Some(facts.group.clone()),
        task_definition_account_id: Some(state.realm().account.clone()),
        zone: zone.map(str::to_owned),
        pid_mode: document.pid_mode.clone(),
        ipc_mode: document.ipc_mode.clone(),
        wharf: Some(acs::WharfTask {
            container_definitions: definitions,
            volumes: document.volumes.clone().unwrap_or_default(),
            network_mode: document.network_mode.clone(),
            pid_mode: document.pid_mode.clone(),
            ipc_mode: document.ipc_mode.clone(),
            ephemeral_storage: document.ephemeral_storage.clone(),
            runtime_platform: document.runtime_platform.clone(),
            availability_zone: zone.map(str::to_owned),
            tags: Vec::new(),
        }),
        ..acs::Task::default()
    })
}

fn volumes(document: &TaskDefinition) -> Vec<acs::Volume> {
    let volumes = document.volumes.iter().flatten();
    volumes
        .map(|volume| acs::Volume {
            name: volume.name.clone().unwrap_or_default(),
            r#type: Some("host".to_owned()),
            host: Some(acs::HostVolume {
                source_path: volume.host.as_ref().and_then(|host| host.source_path.clone()),
            }),
            ..acs::Volume::default()
        })
        .collect()
}

fn container(
    state: &State,
    task: &Task,
    document: &TaskDefinition,
    definition: &ContainerDefinition,
    overrides: Option<&TaskOverride>,
) -> Result<acs::Container, serde_json::Error> {
    let name = definition.name.clone().unwrap_or_default();
    let id = task.facts.containers.iter().find(|c| c.name.as_str() == name).map(|c| c.id.as_str());
    let host = docker::host_config(document, definition, log_options(task, definition));
    let own = overrides
        .and_then(|o| o.container_overrides.as_ref())
        .and_then(|all| all.iter().find(|o| o.name.as_deref() == Some(name.as_str())));
    let command = own.and_then(|o| o.command.as_ref());
    let overrides = command
        .map(|command| serde_json::to_string(&BTreeMap::from([("command", command)])))
        .transpose()?;
    let mut environment = environment(definition);
    environment.insert("AWS_EXECUTION_ENV".to_owned(), "AWS_ECS_EC2".to_owned());
    let policy = definition.restart_policy.as_ref();
    Ok(acs::Container {
        image: definition.image.clone(),
        container_arn: id.map(|id| state.realm().container(&task.facts.key, id)),
        command: definition.command.clone(),
        entry_point: definition.entry_point.clone(),
        environment,
        cpu: definition.cpu.map(i64::from),
        memory: definition.memory.map(i64::from),
        essential: definition.essential.unwrap_or(true),
        port_mappings: ports(definition),
        mount_points: mounts(definition),
        depends_on: depends_on(definition),
        start_timeout: definition.start_timeout.map(i64::from),
        stop_timeout: definition.stop_timeout.map(i64::from),
        restart_policy: policy.map(|policy| acs::RestartPolicy {
            enabled: policy.enabled.unwrap_or(false),
            ignored_exit_codes: policy
                .ignored_exit_codes
                .iter()
                .flatten()
                .map(|code| i64::from(*code))
                .collect(),
            restart_attempt_period: policy.restart_attempt_period.map(i64::from),
        }),
        // Lower case: the stock agent reports no health for any other spelling.
        health_check_type: definition.health_check.as_ref().map(|_| "docker".to_owned()),
        registry_authentication: is_ecr(definition).then(|| ecr(state)),
        overrides,
        docker_config: Some(acs::DockerConfig {
            version: Some("1.25".to_owned()),
            config: Some(serde_json::to_string(&docker::config(definition))?),
            host_config: Some(serde_json::to_string(&host)?),
        }),
        name,
        ..acs::Container::default()
    })
}

fn environment(definition: &ContainerDefinition) -> BTreeMap<String, String> {
    let variables = definition.environment.iter().flatten();
    variables.filter_map(|v| Some((v.name.clone()?, v.value.clone().unwrap_or_default()))).collect()
}

fn ports(definition: &ContainerDefinition) -> Vec<acs::PortMapping> {
    let mappings = definition.port_mappings.iter().flatten();
    mappings
        .map(|mapping| acs::PortMapping {
            container_port: mapping.container_port.map(i64::from),
            host_port: mapping.host_port.map(i64::from),
            container_port_range: mapping.container_port_range.clone(),
            protocol: mapping.protocol.clone(),
        })
        .collect()
}

fn mounts(definition: &ContainerDefinition) -> Vec<acs::MountPoint> {
    let points = definition.mount_points.iter().flatten();
    points
        .map(|point| acs::MountPoint {
            source_volume: point.source_volume.clone(),
            container_path: point.container_path.clone(),
            read_only: point.read_only.unwrap_or(false),
        })
        .collect()
}

fn depends_on(definition: &ContainerDefinition) -> Vec<acs::ContainerDependency> {
    let others = definition.depends_on.iter().flatten();
    others
        .map(|other| acs::ContainerDependency {
            container_name: other.container_name.clone().unwrap_or_default(),
            condition: other.condition.clone(),
        })
        .collect()
}

fn is_ecr(definition: &ContainerDefinition) -> bool {
    let host = definition.image.as_deref().unwrap_or_default().split('/').next();
    host.is_some_and(|host| host.contains(".dkr.ecr.") && host.contains(".amazonaws.com"))
}

fn ecr(state: &State) -> acs::RegistryAuthentication {
    acs::RegistryAuthentication {
        r#type: Some("ecr".to_owned()),
        ecr_auth_data: Some(acs::EcrAuthData {
            registry_id: Some(state.realm().account.clone()),
            region: Some(state.realm().region.clone()),
            endpoint_override: None,
            use_execution_role: false,
        }),
        asm_auth_data: None,
    }
}

/// The driver and its options for this task. For `awslogs` ECS turns a prefix into a stream's name:
/// `prefix/container/task`.
fn log_options(
    task: &Task,
    definition: &ContainerDefinition,
) -> Option<(String, BTreeMap<String, String>)> {
    let log = definition.log_configuration.as_ref()?;
    let driver = log.log_driver.as_ref()?;
    let mut options = log.options.clone().unwrap_or_default();
    if *driver == LogDriver::Awslogs
        && let Some(prefix) = options.remove("awslogs-stream-prefix")
    {
        let container = definition.name.as_deref().unwrap_or_default();
        let stream = format!("{prefix}/{container}/{}", task.facts.key.task);
        options.insert("awslogs-stream".to_owned(), stream);
    }
    Some((driver.as_str().to_owned(), options))
}
