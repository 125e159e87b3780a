//! What placement and the state machine act upon, derived from a document once.

use aws::Error;
use aws::ecs::{Compatibility, ContainerDefinition, NetworkMode as WireMode, TaskDefinition};
use model::{ContainerSpec, LaunchType, NetworkMode, PortMapping, TaskSpec};

use super::{attributes, devices, size};
use crate::errors::server;
use crate::placement::read_definition_constraints;
use crate::view::read_protocol;

/// Derives the specification. The document has passed validation, so an error here is our fault.
pub(super) fn derive(definition: &TaskDefinition) -> Result<TaskSpec, Error> {
    let network_mode = match &definition.network_mode {
        None | Some(WireMode::Bridge) => NetworkMode::Bridge,
        Some(WireMode::Host) => NetworkMode::Host,
        Some(WireMode::None) => NetworkMode::None,
        Some(WireMode::Awsvpc) => NetworkMode::Awsvpc,
        Some(WireMode::Unrecognized(text)) => {
            return Err(server(format!("networkMode \"{text}\" passed validation.")));
        }
    };
    let containers = definition.container_definitions.as_deref().unwrap_or_default();
    Ok(TaskSpec {
        network_mode,
        compatibilities: compatibilities(definition),
        cpu: definition.cpu.as_deref().and_then(size::cpu_units),
        memory: definition.memory.as_deref().and_then(size::memory_mib),
        containers: containers.iter().map(container).collect::<Result<_, _>>()?,
        constraints: read_definition_constraints(definition.placement_constraints.as_ref())?,
        required_attributes: attributes::derive(definition),
    })
}

fn compatibilities(definition: &TaskDefinition) -> Vec<LaunchType> {
    // Nothing required is everything that it fits.
    let fits = definition.requires_compatibilities.as_ref().or(definition.compatibilities.as_ref());
    fits.into_iter()
        .flatten()
        .filter_map(|compatibility| match compatibility {
            Compatibility::Ec2 => Some(LaunchType::Ec2),
            Compatibility::External => Some(LaunchType::External),
            Compatibility::Fargate => Some(LaunchType::Fargate),
            Compatibility::ManagedInstances | Compatibility::Unrecognized(_) => None,
        })
        .collect()
}

fn container(given: &ContainerDefinition) -> Result<ContainerSpec, Error> {
    let size = |size: Option<i32>| {
        size.map(|size| {
            u32::try_from(size).map_err(|_| server("A negative size passed validation."))
        })
        .transpose()
    };
    // The ports of a range are the node's choice, so placement need not know them.
    let ports = given.port_mappings.iter().flatten().filter(|p| p.container_port_range.is_none());
    Ok(ContainerSpec {
        name: given.name.clone().unwrap_or_default().into(),
        image: given.image.clone().unwrap_or_default(),
        essential: given.essential.unwrap_or(true),
        cpu: size(given.cpu)?.unwrap_or(0),
        memory: size(given.memory)?,
        memory_reservation: size(given.memory_reservation)?,
        ports: ports.map(port).collect::<Result<_, _>>()?,
        has_health_check: given.health_check.is_some(),
        gpus: devices::gpus(given.resource_requirements.as_deref()).unwrap_or(0),
    })
}

fn port(given: &aws::ecs::PortMapping) -> Result<PortMapping, Error> {
    let number = |port: Option<i32>| {
        u16::try_from(port.unwrap_or(0))
            .map_err(|_| server("A port beyond 65535 passed validation."))
    };
    Ok(PortMapping {
        container_port: number(given.container_port)?,
        host_port: Some(number(given.host_port)?).filter(|port| *port != 0),
        protocol: read_protocol(given.protocol.as_ref()),
    })
}
