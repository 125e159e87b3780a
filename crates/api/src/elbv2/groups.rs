//! Target groups.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroup.html>

use std::time::Duration;

use aws::Error;
use aws::elbv2 as wire;
use aws::elbv2::{ProtocolEnum, TargetTypeEnum};
use model::{
    BalancingResource, GroupProtocol, HealthCheck, HealthPort, Matcher, ProtocolVersion, State,
    TargetGroup, TargetKind,
};
use scheduler::{BalancingCommand, HealthEdit, NewGroup, Reply};

use super::errors::{configuration, invalid, not_built, submit};
use super::refer::{self, no_group};
use crate::door::Door;
use crate::ec2::Network;

const PROTOCOLS: &[(&str, GroupProtocol)] = &[
    ("HTTP", GroupProtocol::Http),
    ("HTTPS", GroupProtocol::Https),
    ("TCP", GroupProtocol::Tcp),
    ("TLS", GroupProtocol::Tls),
    ("UDP", GroupProtocol::Udp),
    ("TCP_UDP", GroupProtocol::TcpUdp),
];

const VERSIONS: &[(&str, ProtocolVersion)] = &[
    ("HTTP1", ProtocolVersion::Http1),
    ("HTTP2", ProtocolVersion::Http2),
    ("GRPC", ProtocolVersion::Grpc),
];

fn protocol(member: &str, given: &ProtocolEnum) -> Result<GroupProtocol, Error> {
    let found = PROTOCOLS.iter().find(|(word, _)| *word == given.as_str());
    found.map(|(_, protocol)| *protocol).ok_or_else(|| {
        configuration(format!("{member} '{given}' is not built yet in Wharf; choose another"))
    })
}

fn wire_protocol(protocol: GroupProtocol) -> ProtocolEnum {
    let found = PROTOCOLS.iter().find(|(_, known)| *known == protocol);
    ProtocolEnum::from(found.map_or("", |(word, _)| word))
}

const fn is_http(protocol: GroupProtocol) -> bool {
    matches!(protocol, GroupProtocol::Http | GroupProtocol::Https)
}

pub(super) async fn create(
    door: &Door,
    request: wire::CreateTargetGroupInput,
) -> Result<wire::CreateTargetGroupOutput, Error> {
    let command = BalancingCommand::CreateGroup(read(door, &request)?);
    let committed = submit(door, command).await?;
    let made = match &committed.reply {
        Reply::Balancing(BalancingResource::Group(id)) => committed.state.balancing().group(id),
        _ => None,
    };
    let made = made.map(|group| view(&committed.state, group));
    Ok(wire::CreateTargetGroupOutput { target_groups: Some(made.into_iter().collect()) })
}

fn read(door: &Door, request: &wire::CreateTargetGroupInput) -> Result<NewGroup, Error> {
    not_built("TargetControlPort", request.target_control_port.as_ref(), "it is")?;
    if let Some(other) = request.ip_address_type.as_ref().filter(|t| t.as_str() != "ipv4") {
        return Err(configuration(format!(
            "IpAddressType '{other}' is not built yet in Wharf; choose ipv4"
        )));
    }
    let kind = match &request.target_type {
        None | Some(TargetTypeEnum::Instance) => TargetKind::Instance,
        Some(TargetTypeEnum::Ip) => TargetKind::Ip,
        Some(other) => {
            return Err(configuration(format!(
                "TargetType '{other}' is not built yet in Wharf; choose instance or ip"
            )));
        }
    };
    let spoken = request.protocol.as_ref();
    let spoken = spoken.ok_or_else(|| invalid("A protocol must be specified"))?;
    let spoken = protocol("Protocol", spoken)?;
    let version = match request.protocol_version.as_deref() {
        Some(_) if !is_http(spoken) => {
            return Err(invalid(
                "Protocol version is only supported for target groups with protocol HTTP or HTTPS",
            ));
        }
        None => ProtocolVersion::Http1,
        Some(given) => {
            let found = VERSIONS.iter().find(|(word, _)| *word == given);
            found.map(|(_, version)| *version).ok_or_else(|| {
                invalid(format!("Protocol version '{given}' must be HTTP1, HTTP2 or GRPC"))
            })?
        }
    };
    let port = request.port.ok_or_else(|| invalid("A port must be specified"))?;
    let vpc = request.vpc_id.clone();
    let vpc = vpc.ok_or_else(|| invalid("A VPC ID must be specified"))?;
    let known = Network::of(door.realm()).id;
    if vpc != known {
        return Err(invalid(format!(
            "The VPC ID '{vpc}' is not found; the default VPC is '{known}'"
        )));
    }
    Ok(NewGroup {
        name: refer::name("target group", request.name.as_ref())?,
        protocol: spoken,
        version,
        port: refer::port(port)?,
        kind,
        vpc: Some(vpc),
        health: health(spoken, version, request)?,
        tags: refer::tags(request.tags.as_ref())?,
    })
}

/// The health check of a new group, with AWS's values for what is not given.
fn health(
    spoken: GroupProtocol,
    version: ProtocolVersion,
    request: &wire::CreateTargetGroupInput,
) -> Result<HealthCheck, Error> {
    let usual = if is_http(spoken) { GroupProtocol::Http } else { GroupProtocol::Tcp };
    let asked = request.health_check_protocol.as_ref();
    let asked = asked.map(|given| protocol("HealthCheckProtocol", given)).transpose()?;
    let asked = asked.unwrap_or(usual);
    let grpc = version == ProtocolVersion::Grpc;
    let usual_path = if grpc { "/AWS.ALB/healthcheck" } else { "/" };
    let matcher = if grpc {
        Matcher::Grpc(vec![(12, 12)])
    } else if is_http(spoken) {
        Matcher::Http(vec![(200, 200)])
    } else {
        Matcher::Http(vec![(200, 399)])
    };
    if !is_http(asked) && (request.health_check_path.is_some() || request.matcher.is_some()) {
        return Err(configuration(
            "Health check path and matcher are not supported for health checks with protocol TCP",
        ));
    }
    let usual_timeout = match (is_http(spoken), asked) {
        (true, _) => 5,
        (false, GroupProtocol::Http) => 6,
        (false, _) => 10,
    };
    Ok(HealthCheck {
        enabled: request.health_check_enabled.unwrap_or(true),
        protocol: asked,
        port: health_port(request.health_check_port.as_ref())?.unwrap_or(HealthPort::Traffic),
        path: path(request.health_check_path.as_ref())?.unwrap_or_else(|| usual_path.to_owned()),
        matcher: self::matcher(request.matcher.as_ref())?.unwrap_or(matcher),
        interval: time(request.health_check_interval_seconds).unwrap_or(Duration::from_secs(30)),
        timeout: time(request.health_check_timeout_seconds)
            .unwrap_or(Duration::from_secs(usual_timeout)),
        healthy_threshold: count(request.healthy_threshold_count).unwrap_or(5),
        unhealthy_threshold: count(request.unhealthy_threshold_count).unwrap_or(2),
    })
}

fn time(seconds: Option<i32>) -> Option<Duration> {
    seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)
}

fn count(given: Option<i32>) -> Option<u32> {
    given.and_then(|count| u32::try_from(count).ok())
}

fn health_port(given: Option<&String>) -> Result<Option<HealthPort>, Error> {
    match given.map(String::as_str) {
        None => Ok(None),
        Some("traffic-port") => Ok(Some(HealthPort::Traffic)),
        Some(text) => {
            let port = text.parse::<u16>().ok().filter(|port| *port > 0);
            port.map(|port| Some(HealthPort::Port(port))).ok_or_else(|| {
                invalid(format!(
                    "Health check port '{text}' must be 'traffic-port' or a number from 1 to 65535"
                ))
            })
        }
    }
}

fn path(given: Option<&String>) -> Result<Option<String>, Error> {
    match given {
        Some(path) if !path.starts_with('/') || path.chars().any(|l| !l.is_ascii_graphic()) => {
            Err(invalid(format!(
                "Health check path '{path}' must begin with a '/' character, and can only contain \
                 printable ASCII characters, without spaces"
            )))
        }
        given => Ok(given.cloned()),
    }
}

fn matcher(given: Option<&wire::Matcher>) -> Result<Option<Matcher>, Error> {
    let Some(given) = given else { return Ok(None) };
    match (given.http_code.as_deref(), given.grpc_code.as_deref()) {
        (Some(codes), None) => Ok(Some(Matcher::Http(ranges(codes, 200, 599)?))),
        (None, Some(codes)) => Ok(Some(Matcher::Grpc(ranges(codes, 0, 99)?))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(invalid("You can specify either HttpCode or GrpcCode, not both")),
    }
}

/// `200,202,301-399`
fn ranges(codes: &str, least: u16, most: u16) -> Result<Vec<(u16, u16)>, Error> {
    let refuse = || {
        invalid(format!(
            "Health check matcher '{codes}' must be codes from {least} to {most}, such as '{least},{}' or \
             '{least}-{most}'",
            least + 2
        ))
    };
    let code = |text: &str| {
        let code = text.trim().parse::<u16>().ok();
        code.filter(|code| (least..=most).contains(code)).ok_or_else(refuse)
    };
    let one = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (code(first)?, code(last)?);
        if first > last { Err(refuse()) } else { Ok((first, last)) }
    };
    codes.split(',').map(one).collect()
}

fn wire_ranges(ranges: &[(u16, u16)]) -> String {
    let one = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(",")
}

pub(super) async fn modify(
    door: &Door,
    request: wire::ModifyTargetGroupInput,
) -> Result<wire::ModifyTargetGroupOutput, Error> {
    let id = refer::group(door.realm(), request.target_group_arn.as_ref())?;
    let asked = request.health_check_protocol.as_ref();
    let edit = HealthEdit {
        enabled: request.health_check_enabled,
        protocol: asked.map(|given| protocol("HealthCheckProtocol", given)).transpose()?,
        port: health_port(request.health_check_port.as_ref())?,
        path: path(request.health_check_path.as_ref())?,
        matcher: matcher(request.matcher.as_ref())?,
        interval: time(request.health_check_interval_seconds),
        timeout: time(request.health_check_timeout_seconds),
        healthy_threshold: count(request.healthy_threshold_count),
        unhealthy_threshold: count(request.unhealthy_threshold_count),
    };
    let committed = submit(door, BalancingCommand::EditHealth(id.clone(), edit)).await?;
    let after = committed.state.balancing().group(&id);
    let after = after.map(|group| view(&committed.state, group));
    Ok(wire::ModifyTargetGroupOutput { target_groups: Some(after.into_iter().collect()) })
}

pub(super) async fn delete(
    door: &Door,
    request: wire::DeleteTargetGroupInput,
) -> Result<wire::DeleteTargetGroupOutput, Error> {
    let id = refer::group(door.realm(), request.target_group_arn.as_ref())?;
    submit(door, BalancingCommand::DeleteGroup(id)).await?;
    Ok(wire::DeleteTargetGroupOutput {})
}

/// The target group that an ARN names.
pub(super) fn find<'s>(state: &'s State, arn: Option<&String>) -> Result<&'s TargetGroup, Error> {
    let id = refer::group(state.realm(), arn)?;
    let found = state.balancing().group(&id).map(|group| &**group);
    found.ok_or_else(|| no_group(&state.realm().group(&id)))
}

pub(super) fn describe(
    state: &State,
    request: &wire::DescribeTargetGroupsInput,
) -> Result<wire::DescribeTargetGroupsOutput, Error> {
    let arns = request.target_group_arns.as_deref().unwrap_or_default();
    let names = request.names.as_deref().unwrap_or_default();
    let balancer = request.load_balancer_arn.as_ref();
    let ways = [!arns.is_empty(), !names.is_empty(), balancer.is_some()];
    if ways.iter().filter(|way| **way).count() > 1 {
        return Err(invalid(
            "Target group names, target group ARNs, and a load balancer ARN cannot be specified at the \
             same time",
        ));
    }
    let book = state.balancing();
    let mut found = Vec::new();
    for arn in arns {
        found.push(find(state, Some(arn))?);
    }
    for name in names {
        let named = book.groups().find(|group| group.id.name() == name);
        found.push(named.ok_or_else(|| no_group(name))?);
    }
    match balancer {
        Some(_) => {
            let id = &super::balancers::find(state, balancer)?.id;
            let of = |group: &TargetGroup| book.balancers_of(&group.id).any(|b| b.id == *id);
            found.extend(book.groups().map(|group| &**group).filter(|group| of(group)));
        }
        None if arns.is_empty() && names.is_empty() => {
            found.extend(book.groups().map(|group| &**group));
        }
        None => {}
    }
    let entries = found.into_iter().map(|g| (g.id.to_string(), view(state, g))).collect();
    let (page, next) =
        refer::page("DescribeTargetGroups", request.marker.as_ref(), request.page_size, entries)?;
    Ok(wire::DescribeTargetGroupsOutput { target_groups: Some(page), next_marker: next })
}

fn view(state: &State, group: &TargetGroup) -> wire::TargetGroup {
    let realm = state.realm();
    let health = &group.health;
    let asks_http = is_http(health.protocol);
    let seconds = |time: Duration| i32::try_from(time.as_secs()).ok();
    let count = |n: u32| i32::try_from(n).ok();
    let version = VERSIONS.iter().find(|(_, known)| *known == group.version);
    let balancers = state.balancing().balancers_of(&group.id);
    wire::TargetGroup {
        target_group_arn: Some(realm.group(&group.id)),
        target_group_name: Some(group.id.name().to_owned()),
        protocol: Some(wire_protocol(group.protocol)),
        protocol_version: version
            .filter(|_| is_http(group.protocol))
            .map(|(word, _)| (*word).to_owned()),
        port: Some(i32::from(group.port)),
        vpc_id: group.vpc.clone(),
        target_type: Some(match group.kind {
            TargetKind::Instance => TargetTypeEnum::Instance,
            TargetKind::Ip => TargetTypeEnum::Ip,
        }),
        ip_address_type: Some("ipv4".into()),
        health_check_enabled: Some(health.enabled),
        health_check_protocol: Some(wire_protocol(health.protocol)),
        health_check_port: Some(match health.port {
            HealthPort::Traffic => "traffic-port".to_owned(),
            HealthPort::Port(port) => port.to_string(),
        }),
        health_check_path: asks_http.then(|| health.path.clone()),
        health_check_interval_seconds: seconds(health.interval),
        health_check_timeout_seconds: seconds(health.timeout),
        healthy_threshold_count: count(health.healthy_threshold),
        unhealthy_threshold_count: count(health.unhealthy_threshold),
        matcher: asks_http.then(|| match &health.matcher {
            Matcher::Http(codes) => {
                wire::Matcher { http_code: Some(wire_ranges(codes)), grpc_code: None }
            }
            Matcher::Grpc(codes) => {
                wire::Matcher { grpc_code: Some(wire_ranges(codes)), http_code: None }
            }
        }),
        load_balancer_arns: Some(balancers.map(|b| realm.balancer(&b.id)).collect()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_and_shown_again() {
        for text in ["200", "200,202", "200-399", "200,301-302"] {
            assert_eq!(wire_ranges(&ranges(text, 200, 599).unwrap()), text);
        }
        for text in ["", "199", "600", "300-200", "a", "200,,201", "200-"] {
            assert!(ranges(text, 200, 599).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_and_ports_are_held_to_their_forms() {
        assert!(path(Some(&"/a?b=c".into())).is_ok());
        assert!(path(Some(&"a".into())).is_err() && path(Some(&"/a b".into())).is_err());
        assert_eq!(health_port(Some(&"81".into())), Ok(Some(HealthPort::Port(81))));
        assert!(health_port(Some(&"0".into())).is_err());
    }
}
