//! The document: what was registered, with the defaults that ECS shows when it describes it.

use aws::Error;
use aws::ecs::{
    Compatibility, ContainerDefinition, HealthCheck, HostVolumeProperties, NetworkMode,
    PortMapping, RegisterTaskDefinitionRequest, Scope, TaskDefinition, TransportProtocol, Volume,
};
use model::Realm;

use super::{fargate, health, roles, size};
use crate::errors::client;

/// Fills in the defaults. The request has passed validation.
pub(super) fn fill(
    realm: &Realm,
    request: RegisterTaskDefinitionRequest,
) -> Result<TaskDefinition, Error> {
    let role = |given: Option<String>| roles::arn(realm, given.as_deref()).map_err(client);
    let own = request.network_mode == Some(NetworkMode::Awsvpc);
    let fargate = fargate::obstacle(&request).is_none();
    let host = own || request.network_mode == Some(NetworkMode::Host);
    let containers = request.container_definitions.unwrap_or_default();
    let sized = |text: Option<String>, read: fn(&str) -> Option<u32>| match text {
        None => Ok(None),
        Some(text) => read(&text)
            .map(|size| Some(size.to_string()))
            .ok_or_else(|| client(format!("\"{text}\" is not the size of a task."))),
    };
    Ok(TaskDefinition {
        family: request.family,
        container_definitions: Some(containers.into_iter().map(|c| container(c, host)).collect()),
        task_role_arn: role(request.task_role_arn)?,
        execution_role_arn: role(request.execution_role_arn)?,
        network_mode: request.network_mode,
        pid_mode: request.pid_mode,
        ipc_mode: request.ipc_mode,
        volumes: Some(request.volumes.unwrap_or_default().into_iter().map(volume).collect()),
        placement_constraints: Some(request.placement_constraints.unwrap_or_default()),
        compatibilities: Some(match (own, fargate) {
            (true, true) => vec![Compatibility::Ec2, Compatibility::Fargate],
            (true, false) => vec![Compatibility::Ec2],
            (false, _) => vec![Compatibility::External, Compatibility::Ec2],
        }),
        requires_compatibilities: request.requires_compatibilities.filter(|list| !list.is_empty()),
        runtime_platform: request.runtime_platform,
        cpu: sized(request.cpu, size::cpu_units)?,
        memory: sized(request.memory, size::memory_mib)?,
        ..TaskDefinition::default()
    })
}

fn container(given: ContainerDefinition, host: bool) -> ContainerDefinition {
    let ports = given.port_mappings.unwrap_or_default();
    ContainerDefinition {
        cpu: Some(given.cpu.unwrap_or(0)),
        port_mappings: Some(ports.into_iter().map(|mapping| port(mapping, host)).collect()),
        essential: Some(given.essential.unwrap_or(true)),
        environment: Some(given.environment.unwrap_or_default()),
        mount_points: Some(given.mount_points.unwrap_or_default()),
        volumes_from: Some(given.volumes_from.unwrap_or_default()),
        system_controls: Some(given.system_controls.unwrap_or_default()),
        health_check: given.health_check.map(probe),
        restart_policy: given.restart_policy.map(|mut policy| {
            if policy.enabled == Some(true) {
                policy.restart_attempt_period.get_or_insert(health::RESTART_ATTEMPT_PERIOD);
            }
            policy
        }),
        ..given
    }
}

fn port(given: PortMapping, host: bool) -> PortMapping {
    if given.container_port_range.is_some() {
        // The node chooses the ports of a range; ECS shows no port of the host for it.
        return PortMapping {
            protocol: Some(given.protocol.unwrap_or(TransportProtocol::Tcp)),
            ..given
        };
    }
    let fallback = if host { given.container_port } else { Some(0) };
    PortMapping {
        host_port: given.host_port.filter(|port| *port != 0).or(fallback),
        protocol: Some(given.protocol.unwrap_or(TransportProtocol::Tcp)),
        ..given
    }
}

fn probe(given: HealthCheck) -> HealthCheck {
    HealthCheck {
        interval: Some(given.interval.unwrap_or(health::INTERVAL)),
        timeout: Some(given.timeout.unwrap_or(health::TIMEOUT)),
        retries: Some(given.retries.unwrap_or(health::RETRIES)),
        ..given
    }
}

fn volume(mut given: Volume) -> Volume {
    if let Some(docker) = &mut given.docker_volume_configuration {
        docker.scope.get_or_insert(Scope::Task);
    }
    if given.docker_volume_configuration.is_some() || given.efs_volume_configuration.is_some() {
        return Volume { host: None, ..given };
    }
    let path = given.host.and_then(|host| host.source_path).filter(|path| !path.is_empty());
    Volume { host: Some(HostVolumeProperties { source_path: path }), ..given }
}
