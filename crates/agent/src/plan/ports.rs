//! The ports that a container is reached at, and how ECS tells where.

use aws::ecs;
use net::{PortBinding, PortRequest, Protocol};

use super::{NetworkPlan, Refusal};

/// A port mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortAsk {
    /// One port.
    One(PortRequest),
    /// Ports in a row, published at host ports in a row that are chosen at the start.
    Range {
        /// The first port of the container.
        first: u16,
        /// The last, not below the first.
        last: u16,
        /// The transport.
        protocol: Protocol,
    },
}

impl PortAsk {
    /// How many ports it is.
    pub fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Range { first, last, .. } => usize::from(last.saturating_sub(*first)) + 1,
        }
    }

    /// The single requests, a range's host ports beginning with `host`.
    pub fn requests(&self, host: Option<u16>) -> Vec<PortRequest> {
        match *self {
            Self::One(request) => vec![request],
            Self::Range { first, last, protocol } => (first..=last)
                .map(|container_port| PortRequest {
                    container_port,
                    host_port: host.map(|host| host.saturating_add(container_port - first)),
                    protocol,
                    host_ip: None,
                })
                .collect(),
        }
    }
}

/// A container's port mappings, for a network that has any.
pub(super) fn asks(
    definition: &ecs::ContainerDefinition,
    network: NetworkPlan,
) -> Result<Vec<PortAsk>, Refusal> {
    let name = definition.name.as_deref().unwrap_or_default();
    let cut_off = definition.disable_networking == Some(true) || network == NetworkPlan::None;
    let mappings = definition.port_mappings.iter().flatten();
    let asks =
        mappings.map(|mapping| ask(name, mapping, network)).collect::<Result<Vec<_>, _>>()?;
    Ok(if cut_off { Vec::new() } else { asks })
}

fn ask(name: &str, mapping: &ecs::PortMapping, network: NetworkPlan) -> Result<PortAsk, Refusal> {
    let wrong = |member: &str, why: String| {
        Refusal::new(format!("container {name}: portMappings.{member}"), why)
    };
    let protocol = match &mapping.protocol {
        None | Some(ecs::TransportProtocol::Tcp) => Protocol::Tcp,
        Some(ecs::TransportProtocol::Udp) => Protocol::Udp,
        Some(other) => {
            return Err(wrong("protocol", format!("\"{other}\" is neither tcp nor udp")));
        }
    };
    if let Some(range) = &mapping.container_port_range {
        let unreadable = || {
            let why = format!("\"{range}\" is not two ports in order, such as 8000-8010");
            wrong("containerPortRange", why)
        };
        let (first, last) = range.split_once('-').ok_or_else(unreadable)?;
        let number = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        let ends = number(first).zip(number(last)).filter(|(first, last)| first <= last);
        let (first, last) = ends.ok_or_else(unreadable)?;
        if mapping.container_port.is_some() || mapping.host_port.is_some_and(|port| port != 0) {
            let why = "a mapping has either a range or a port".to_owned();
            return Err(wrong("containerPortRange", why));
        }
        return Ok(PortAsk::Range { first, last, protocol });
    }
    let container_port = port(mapping.container_port)
        .ok_or_else(|| wrong("containerPort", "not a port between 1 and 65535".to_owned()))?;
    let host_port = match mapping.host_port {
        None | Some(0) => None,
        given => Some(
            port(given)
                .ok_or_else(|| wrong("hostPort", "not a port between 0 and 65535".to_owned()))?,
        ),
    };
    let own = matches!(network, NetworkPlan::Host | NetworkPlan::Own(_));
    if own && host_port.is_some_and(|host| host != container_port) {
        let why = "with networkMode host or awsvpc it must be the container's port".to_owned();
        return Err(wrong("hostPort", why));
    }
    Ok(PortAsk::One(PortRequest { container_port, host_port, protocol, host_ip: None }))
}

fn port(value: Option<i32>) -> Option<u16> {
    value.and_then(|v| u16::try_from(v).ok()).filter(|v| *v > 0)
}

/// The bindings in ECS's shape: a range is one of them.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_NetworkBinding.html>
pub fn bindings(asks: &[PortAsk], bound: &[PortBinding]) -> Vec<ecs::NetworkBinding> {
    let mut rest = bound;
    let mut told = Vec::new();
    for ask in asks {
        let Some((own, others)) = rest.split_at_checked(ask.count()) else { break };
        rest = others;
        told.extend(binding(ask, own));
    }
    told
}

fn binding(ask: &PortAsk, own: &[PortBinding]) -> Option<ecs::NetworkBinding> {
    let (first, last) = (own.first()?, own.last()?);
    let protocol = Some(match first.protocol {
        Protocol::Tcp => ecs::TransportProtocol::Tcp,
        Protocol::Udp => ecs::TransportProtocol::Udp,
    });
    let blank = ecs::NetworkBinding {
        bind_ip: Some(first.bind_ip.to_string()),
        protocol,
        ..Default::default()
    };
    Some(match ask {
        PortAsk::One(_) => ecs::NetworkBinding {
            container_port: Some(i32::from(first.container_port)),
            host_port: Some(i32::from(first.host_port)),
            ..blank
        },
        PortAsk::Range { .. } => ecs::NetworkBinding {
            container_port_range: Some(format!("{}-{}", first.container_port, last.container_port)),
            host_port_range: Some(format!("{}-{}", first.host_port, last.host_port)),
            ..blank
        },
    })
}
