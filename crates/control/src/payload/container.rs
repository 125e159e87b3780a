//! A container as the contract has it: its own members first, Docker's documents for the rest.

use std::collections::BTreeMap;

use aws::agent::acs;
use aws::ecs::{ContainerDefinition, LogDriver, TaskDefinition, TaskOverride};
use model::{State, Task};

use super::access;
use crate::docker;

/// The least API of Docker Engine that the documents need.
const DOCKER_API: &str = "1.25";

/// One container of a task whose definition is `document`, overrides applied.
pub(super) fn container(
    state: &State,
    task: &Task,
    document: &TaskDefinition,
    definition: &ContainerDefinition,
    overrides: Option<&TaskOverride>,
) -> Result<acs::Container, serde_json::Error> {
    let name = definition.name.clone().unwrap_or_default();
    let realm = state.realm();
    let id = task.facts.containers.iter().find(|c| c.name.as_str() == name).map(|c| c.id.as_str());
    let host = docker::host_config(document, definition, log_options(task, definition));
    let mut environment = environment(definition);
    let fargate = task.facts.launch_type == model::LaunchType::Fargate;
    let runs_on = if fargate { "AWS_ECS_FARGATE" } else { "AWS_ECS_EC2" };
    environment.insert("AWS_EXECUTION_ENV".to_owned(), runs_on.to_owned());
    let has_execution_role = document.execution_role_arn.is_some();
    let linked = document.network_mode.is_none()
        || document.network_mode == Some(aws::ecs::NetworkMode::Bridge);
    Ok(acs::Container {
        image: definition.image.clone(),
        container_arn: id.map(|id| realm.container(&task.facts.key, id)),
        command: definition.command.clone(),
        entry_point: definition.entry_point.clone(),
        environment,
        environment_files: access::environment_files(definition),
        cpu: definition.cpu.map(i64::from),
        memory: definition.memory.map(i64::from),
        essential: definition.essential.unwrap_or(true),
        links: if linked { definition.links.clone().unwrap_or_default() } else { Vec::new() },
        port_mappings: ports(definition),
        mount_points: mounts(definition),
        volumes_from: volumes_from(definition),
        depends_on: depends_on(definition),
        start_timeout: definition.start_timeout.map(i64::from),
        stop_timeout: definition.stop_timeout.map(i64::from),
        secrets: access::secrets(realm, definition),
        registry_authentication: access::registry(realm, definition, has_execution_role),
        logs_auth_strategy: access::logs_strategy(definition, has_execution_role),
        firelens_configuration: access::router(definition),
        restart_policy: restart_policy(definition),
        // Lower case: the stock agent reports no health for any other spelling.
        health_check_type: definition.health_check.as_ref().map(|_| "docker".to_owned()),
        overrides: command_override(&name, overrides)?,
        docker_config: Some(acs::DockerConfig {
            version: Some(DOCKER_API.to_owned()),
            config: Some(serde_json::to_string(&docker::config(definition))?),
            host_config: Some(serde_json::to_string(&host)?),
        }),
        managed_agents: exec_agent(task),
        name,
        ..acs::Container::default()
    })
}

/// The program that ExecuteCommand needs, which the stock agent puts into the container if it has it.
fn exec_agent(task: &Task) -> Vec<acs::ManagedAgent> {
    let properties = BTreeMap::from([("sessionLimit".to_owned(), "2".to_owned())]);
    let agent = acs::ManagedAgent { name: "ExecuteCommandAgent".to_owned(), properties };
    task.facts.enable_execute_command.then_some(agent).into_iter().collect()
}

/// The only override that the stock agent reads by itself.
fn command_override(
    name: &str,
    overrides: Option<&TaskOverride>,
) -> Result<Option<String>, serde_json::Error> {
    let own = overrides
        .and_then(|o| o.container_overrides.as_ref())
        .and_then(|all| all.iter().find(|o| o.name.as_deref() == Some(name)));
    own.and_then(|o| o.command.as_ref())
        .map(|command| serde_json::to_string(&BTreeMap::from([("command", command)])))
        .transpose()
}

fn restart_policy(definition: &ContainerDefinition) -> Option<acs::RestartPolicy> {
    let policy = definition.restart_policy.as_ref()?;
    let ignored = policy.ignored_exit_codes.iter().flatten();
    Some(acs::RestartPolicy {
        enabled: policy.enabled.unwrap_or(false),
        ignored_exit_codes: ignored.map(|code| i64::from(*code)).collect(),
        restart_attempt_period: policy.restart_attempt_period.map(i64::from),
    })
}

fn environment(definition: &ContainerDefinition) -> BTreeMap<String, String> {
    let variables = definition.environment.iter().flatten();
    variables.filter_map(|v| Some((v.name.clone()?, v.value.clone().unwrap_or_default()))).collect()
}

fn ports(definition: &ContainerDefinition) -> Vec<acs::PortMapping> {
    if definition.disable_networking == Some(true) {
        return Vec::new();
    }
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

fn volumes_from(definition: &ContainerDefinition) -> Vec<acs::VolumeFrom> {
    let others = definition.volumes_from.iter().flatten();
    others
        .map(|other| acs::VolumeFrom {
            source_container: other.source_container.clone(),
            read_only: other.read_only.unwrap_or(false),
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
