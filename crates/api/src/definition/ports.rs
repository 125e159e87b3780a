//! Port mappings: what may be published in which network mode.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html>

use std::collections::BTreeSet;

use aws::Error;
use aws::ecs::{ContainerDefinition, NetworkMode, PortMapping, TransportProtocol};
use model::Protocol;

use super::container::wrong;
use super::validate::Surroundings;
use crate::errors::client;
use crate::view::read_protocol;

/// The longest name of a port mapping.
const LONGEST_NAME: usize = 64;

/// The most ranges of ports of a container.
const MOST_RANGES: usize = 100;

/// Checks the mappings of one container.
pub(super) fn check(container: &ContainerDefinition, task: &Surroundings<'_>) -> Result<(), Error> {
    let name = container.name.as_deref().unwrap_or_default();
    let mappings = container.port_mappings.as_deref().unwrap_or_default();
    if container.disable_networking == Some(true) && !mappings.is_empty() {
        return Err(wrong(name, "portMappings", "disableNetworking leaves nothing to publish."));
    }
    for mapping in mappings {
        check_words(name, mapping)?;
        if *task.mode == NetworkMode::None {
            return Err(client(format!(
                "Invalid 'portMappings' setting for container '{name}': with networkMode=none nothing \
                 can be published."
            )));
        }
        if mapping.container_port_range.is_some() {
            check_range(name, mapping, task.mode)?;
            continue;
        }
        check_numbers(name, mapping)?;
        let host = mapping.host_port.unwrap_or(0);
        let own = matches!(task.mode, NetworkMode::Host | NetworkMode::Awsvpc);
        if own && host != 0 && mapping.container_port != Some(host) {
            return Err(client(format!(
                "When networkMode={}, the host ports and container ports in port mappings must match.",
                task.mode
            )));
        }
    }
    check_overlaps(name, mappings)
}

/// A range of ports, such as `8000-8010`: published on ports that the node chooses.
fn check_range(name: &str, mapping: &PortMapping, mode: &NetworkMode) -> Result<(), Error> {
    let text = mapping.container_port_range.as_deref().unwrap_or_default();
    let wrong = |why: &str| Err(wrong(name, "containerPortRange", format!("\"{text}\": {why}")));
    if !matches!(mode, NetworkMode::Bridge | NetworkMode::Awsvpc) {
        return wrong(&format!("ranges need networkMode=bridge or awsvpc, not {mode}."));
    }
    if mapping.container_port.is_some_and(|p| p != 0) || mapping.host_port.is_some_and(|p| p != 0) {
        return wrong("with a range, containerPort and hostPort are left out.");
    }
    match read_range(text) {
        Some((from, to)) if from < to => Ok(()),
        Some(_) => wrong("its first port must be less than its last one."),
        None => wrong("it is two ports between 1 and 65535 with a hyphen between them."),
    }
}

fn read_range(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    Some((port(from)?, port(to)?))
}

/// ECS: at most 100 ranges a container, and beside ranges a port stands in one mapping only.
fn check_overlaps(name: &str, mappings: &[PortMapping]) -> Result<(), Error> {
    let ranges = mappings.iter().filter(|m| m.container_port_range.is_some()).count();
    if ranges == 0 {
        return Ok(());
    }
    if ranges > MOST_RANGES {
        return Err(wrong(
            name,
            "containerPortRange",
            format!("there are {ranges} ranges, at most {MOST_RANGES} are allowed."),
        ));
    }
    let mut spans: Vec<_> = mappings
        .iter()
        .filter_map(|m| {
            let span = match &m.container_port_range {
                Some(text) => read_range(text)?,
                None => {
                    let port = u16::try_from(m.container_port?).ok()?;
                    (port, port)
                }
            };
            Some((read_protocol(m.protocol.as_ref()), span))
        })
        .collect();
    spans.sort_unstable();
    let clash = spans.windows(2).find(|w| w[0].0 == w[1].0 && w[1].1.0 <= w[0].1.1);
    match clash {
        Some(clash) => Err(wrong(
            name,
            "containerPortRange",
            format!("port {} stands in more than one mapping.", clash[1].1.0),
        )),
        None => Ok(()),
    }
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
            (NetworkMode::Host | NetworkMode::Awsvpc, 0) => mapping.container_port.unwrap_or(0),
            (_, port) => port,
        };
        let protocol = read_protocol(mapping.protocol.as_ref());
        if host != 0 && !held.insert((protocol, host)) {
            let transport = match protocol {
                Protocol::Tcp => "TCP",
                Protocol::Udp => "UDP",
            };
            return Err(client(format!(
                "{transport} host port '{host}' is mapped multiple times in task."
            )));
        }
    }
    Ok(())
}
