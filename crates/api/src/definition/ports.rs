//! Port mappings: what may be published in which network mode.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html>

use std::collections::BTreeSet;

use aws::Error;
use aws::ecs::{ContainerDefinition, NetworkMode, PortMapping, TransportProtocol};

use super::validate::Surroundings;
use crate::errors::client;
use crate::refuse::DEFINITION;
use crate::view::read_protocol;

/// The longest name of a port mapping.
const LONGEST_NAME: usize = 64;

/// Checks the mappings of one container.
pub(super) fn check(container: &ContainerDefinition, task: &Surroundings<'_>) -> Result<(), Error> {
    let name = container.name.as_deref().unwrap_or_default();
    for mapping in container.port_mappings.as_deref().unwrap_or_default() {
        DEFINITION.text(
            &format!("containerDefinitions['{name}'].portMappings.containerPortRange"),
            mapping.container_port_range.as_ref(),
            "ranges of ports are",
        )?;
        check_numbers(name, mapping)?;
        check_words(name, mapping)?;
        if *task.mode == NetworkMode::None {
            return Err(client(format!(
                "Invalid 'portMappings' setting for container '{name}': with networkMode=none nothing \
                 can be published."
            )));
        }
        let host = mapping.host_port.unwrap_or(0);
        if *task.mode == NetworkMode::Host && host != 0 && mapping.container_port != Some(host) {
            return Err(client(
                "When networkMode=host, the host ports and container ports in port mappings must \
                 match.",
            ));
        }
    }
    Ok(())
}

fn check_numbers(name: &str, mapping: &PortMapping) -> Result<(), Error> {
    let container = mapping.container_port.unwrap_or(0);
    if !(1..=65535).contains(&container) {
        return Err(client(format!(
            "Invalid 'containerPort' setting for container '{name}': {container} is not a port \
             between 1 and 65535."
        )));
    }
    let host = mapping.host_port.unwrap_or(0);
    if !(0..=65535).contains(&host) {
        return Err(client(format!(
            "Invalid 'hostPort' setting for container '{name}': {host} is not a port between 1 and \
             65535, nor 0 for one that the node chooses."
        )));
    }
    Ok(())
}

/// `name` and `appProtocol` are labels that Service Connect reads; services that ask for it are
/// refused, so here they are only kept.
fn check_words(name: &str, mapping: &PortMapping) -> Result<(), Error> {
    if let Some(TransportProtocol::Unrecognized(text)) = &mapping.protocol {
        return Err(client(format!(
            "Invalid 'protocol' setting for container '{name}': \"{text}\" is neither tcp nor udp."
        )));
    }
    let Some(label) = &mapping.name else {
        return Ok(());
    };
    let right = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if label.is_empty()
        || label.len() > LONGEST_NAME
        || label.starts_with('-')
        || !label.bytes().all(right)
    {
        return Err(client(format!(
            "Invalid 'portMappings.name' setting for container '{name}': it has up to {LONGEST_NAME} \
             lower-case letters, digits, underscores and hyphens, and does not begin with a hyphen."
        )));
    }
    Ok(())
}

/// Checks the mappings of all containers together: a host port can be held once.
pub(super) fn check_task(task: &Surroundings<'_>) -> Result<(), Error> {
    let mut held = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mappings = task.containers.iter().flat_map(|c| c.port_mappings.iter().flatten());
    for mapping in mappings {
        if let Some(name) = &mapping.name
            && !names.insert(name)
        {
            return Err(client(format!("Port mapping name '{name}' is used more than once.")));
        }
        let host = match (task.mode, mapping.host_port.unwrap_or(0)) {
            (NetworkMode::Host, 0) => mapping.container_port.unwrap_or(0),
            (_, port) => port,
        };
        let protocol = read_protocol(mapping.protocol.as_ref());
        if host != 0 && !held.insert((protocol, host)) {
            return Err(client(format!(
                "Invalid 'portMappings' setting: host port {host} is asked for more than once."
            )));
        }
    }
    Ok(())
}
