//! Target groups and their targets, as the balancer has them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use balancer::{CodeRange, HealthProtocol, Phase, ProbePort};
use model::{Book, GroupProtocol, HealthPort, Matcher, Place, State, Target, TargetGroup};

/// Where instances are reached, by what they are named as targets.
pub(super) type Addresses = BTreeMap<String, IpAddr>;

/// Where the instances of a state are reached. One that registered in several clusters is reached at
/// the same address by each of its names.
pub(super) fn addresses(state: &State) -> Addresses {
    let named = |instance: &Arc<model::Instance>| {
        Some((instance.target_id().to_owned(), instance.address?))
    };
    state.all_instances().filter_map(named).collect()
}

/// A group with its targets; those of the group as it was are shared where they are the same.
pub(super) fn group(
    book: &Book,
    from: &TargetGroup,
    addresses: &Addresses,
    before: Option<&balancer::Group>,
) -> balancer::Group {
    let settings = &from.settings;
    let targets = book.targets(&from.id).filter_map(|target| {
        let made = self::target(target, addresses)?;
        let same = before.and_then(|b| b.targets.get(&made.key)).filter(|old| ***old == made);
        Some((made.key.clone(), same.cloned().unwrap_or_else(|| Arc::new(made))))
    });
    balancer::Group {
        id: from.id.as_str().into(),
        protocol: protocol(from.protocol),
        version: match from.version {
            model::ProtocolVersion::Http1 => balancer::ProtocolVersion::Http1,
            model::ProtocolVersion::Http2 => balancer::ProtocolVersion::Http2,
            model::ProtocolVersion::Grpc => balancer::ProtocolVersion::Grpc,
        },
        algorithm: match settings.algorithm {
            model::Algorithm::RoundRobin => balancer::Algorithm::RoundRobin,
            model::Algorithm::LeastOutstandingRequests => {
                balancer::Algorithm::LeastOutstandingRequests
            }
            model::Algorithm::WeightedRandom => balancer::Algorithm::WeightedRandom,
        },
        slow_start: settings.slow_start,
        stickiness: settings.stickiness.as_ref().map(stickiness),
        deregistration_delay: settings.deregistration_delay,
        connection_termination: settings.terminate_connections,
        proxy_protocol_v2: settings.proxy_protocol,
        health_check: health_check(&from.health),
        targets: targets.collect(),
        ..balancer::Group::default()
    }
}

fn stickiness(from: &model::Stickiness) -> balancer::Stickiness {
    match from {
        model::Stickiness::Balancer(duration) => {
            balancer::Stickiness::LbCookie { duration: *duration }
        }
        model::Stickiness::Application { cookie, lasts } => {
            balancer::Stickiness::AppCookie { name: cookie.clone(), duration: *lasts }
        }
        model::Stickiness::SourceIp => balancer::Stickiness::SourceIp,
    }
}

const fn protocol(from: GroupProtocol) -> balancer::GroupProtocol {
    match from {
        GroupProtocol::Http => balancer::GroupProtocol::Http,
        GroupProtocol::Https => balancer::GroupProtocol::Https,
        GroupProtocol::Tcp => balancer::GroupProtocol::Tcp,
        GroupProtocol::Tls => balancer::GroupProtocol::Tls,
        GroupProtocol::Udp => balancer::GroupProtocol::Udp,
        GroupProtocol::TcpUdp => balancer::GroupProtocol::TcpUdp,
    }
}

fn health_check(from: &model::HealthCheck) -> balancer::HealthCheck {
    let ranges = |ranges: &[(u16, u16)]| {
        ranges.iter().map(|&(first, last)| CodeRange { first, last }).collect()
    };
    balancer::HealthCheck {
        enabled: from.enabled,
        protocol: match from.protocol {
            GroupProtocol::Http => HealthProtocol::Http,
            GroupProtocol::Https => HealthProtocol::Https,
            GroupProtocol::Tls => HealthProtocol::Tls,
            // Health is asked by TCP where datagrams are served.
            GroupProtocol::Tcp | GroupProtocol::Udp | GroupProtocol::TcpUdp => HealthProtocol::Tcp,
        },
        port: match from.port {
            HealthPort::Traffic => ProbePort::Traffic,
            HealthPort::Port(port) => ProbePort::Port(port),
        },
        path: from.path.clone(),
        interval: from.interval,
        timeout: from.timeout,
        healthy_threshold: from.healthy_threshold,
        unhealthy_threshold: from.unhealthy_threshold,
        matcher: match &from.matcher {
            Matcher::Http(codes) => balancer::Matcher::Http(ranges(codes)),
            Matcher::Grpc(codes) => balancer::Matcher::Grpc(ranges(codes)),
        },
    }
}

/// A target; none as long as nobody knows where its instance is.
fn target(from: &Target, addresses: &Addresses) -> Option<balancer::Target> {
    let address = match &from.key.place {
        Place::Instance(id) => *addresses.get(id)?,
        Place::Ip(address) => *address,
    };
    Some(balancer::Target {
        key: target_key(&from.key),
        address: SocketAddr::new(address, from.key.port),
        registered_at: from.registered_at,
        phase: match from.draining_since {
            None => Phase::Registered,
            Some(since) => Phase::Draining { since },
        },
    })
}

/// What the balancer calls a target within its group.
pub(super) fn target_key(key: &model::TargetKey) -> balancer::TargetKey {
    format!("{}:{}", key.place, key.port).into()
}

/// The target that the balancer calls so.
pub(super) fn read_target_key(
    group: &balancer::GroupId,
    target: &balancer::TargetKey,
    kind: model::TargetKind,
) -> Option<model::TargetKey> {
    let (place, port) = target.as_str().rsplit_once(':')?;
    let place = match kind {
        model::TargetKind::Instance => Place::Instance(place.to_owned()),
        model::TargetKind::Ip => Place::Ip(place.parse().ok()?),
    };
    Some(model::TargetKey { group: group.as_str().into(), place, port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_found_by_what_the_balancer_calls_it() {
        for (place, kind) in [
            (Place::Instance("i-1234".to_owned()), model::TargetKind::Instance),
            (Place::Ip("10.0.0.7".parse().unwrap()), model::TargetKind::Ip),
            (Place::Ip("2001:db8::7".parse().unwrap()), model::TargetKind::Ip),
        ] {
            let key = model::TargetKey { group: "web/1".into(), place, port: 32_768 };
            let named = target_key(&key);
            assert_eq!(read_target_key(&"web/1".into(), &named, kind), Some(key));
        }
    }
}
