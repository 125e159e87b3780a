//! Attributes of target groups.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html>

use std::time::Duration;

use aws::Error;
use aws::elbv2 as wire;
use model::{Algorithm, GroupProtocol, State, StickyBy, TargetGroup};
use scheduler::{BalancingCommand, GroupAttribute as A};

use super::attributes::{self, Given, seconds};
use super::errors::{invalid, submit};
use super::groups;
use crate::door::Door;

const STICKY_BY: &[(&str, StickyBy)] = &[
    ("lb_cookie", StickyBy::BalancerCookie),
    ("app_cookie", StickyBy::ApplicationCookie),
    ("source_ip", StickyBy::SourceIp),
];

const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("round_robin", Algorithm::RoundRobin),
    ("least_outstanding_requests", Algorithm::LeastOutstandingRequests),
    ("weighted_random", Algorithm::WeightedRandom),
];

const CROSS_ZONE: &[(&str, Option<bool>)] =
    &[("true", Some(true)), ("false", Some(false)), ("use_load_balancer_configuration", None)];

/// Keys that can only be what they are, of every group.
const FIXED: &[(&str, &str)] = &[
    ("target_group_health.dns_failover.minimum_healthy_targets.count", "1"),
    ("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off"),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off"),
];

/// Keys that can only be what they are, of groups whose targets speak HTTP.
const FIXED_HTTP: &[(&str, &str)] = &[("load_balancing.algorithm.anomaly_mitigation", "off")];

/// Keys that can only be what they are, of the others. A proxy in user space has an address of its
/// own, so that targets see the client's by PROXY protocol only.
const FIXED_PLAIN: &[(&str, &str)] = &[
    ("preserve_client_ip.enabled", "false"),
    ("target_health_state.unhealthy.connection_termination.enabled", "true"),
    ("target_health_state.unhealthy.draining_interval_seconds", "0"),
];

const fn is_http(protocol: GroupProtocol) -> bool {
    matches!(protocol, GroupProtocol::Http | GroupProtocol::Https)
}

fn fixed(protocol: GroupProtocol) -> Vec<(&'static str, &'static str)> {
    let more = if is_http(protocol) { FIXED_HTTP } else { FIXED_PLAIN };
    FIXED.iter().chain(more).copied().collect()
}

fn read(protocol: GroupProtocol, given: Given<'_>) -> Result<Option<A>, Error> {
    const WEEK: u64 = 604_800;
    Ok(Some(match given.key {
        "deregistration_delay.timeout_seconds" => A::DeregistrationDelay(given.seconds(0, 3600)?),
        "deregistration_delay.connection_termination.enabled" => {
            A::TerminateConnections(given.flag()?)
        }
        "stickiness.enabled" => A::Sticky(given.flag()?),
        "stickiness.type" => A::StickyBy(given.word(STICKY_BY)?),
        "stickiness.lb_cookie.duration_seconds" => A::BalancerCookie(given.seconds(1, WEEK)?),
        "stickiness.app_cookie.duration_seconds" => A::ApplicationCookie(given.seconds(1, WEEK)?),
        "stickiness.app_cookie.cookie_name" => A::ApplicationCookieName(cookie(given)?),
        "load_balancing.algorithm.type" => A::Algorithm(given.word(ALGORITHMS)?),
        "load_balancing.cross_zone.enabled" => A::CrossZone(given.word(CROSS_ZONE)?),
        "slow_start.duration_seconds" if given.value == "0" => A::SlowStart(Duration::ZERO),
        "slow_start.duration_seconds" => A::SlowStart(given.seconds(30, 900)?),
        "proxy_protocol_v2.enabled" => A::ProxyProtocol(given.flag()?),
        _ => {
            given.only(&fixed(protocol))?;
            return Ok(None);
        }
    }))
}

/// A cookie's name: a token, and none of the balancer's own.
fn cookie(given: Given<'_>) -> Result<String, Error> {
    let name = given.value;
    let token = |letter: char| letter.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(letter);
    if !name.chars().all(token) {
        return Err(invalid(format!("The cookie name '{name}' must be a token of ASCII letters")));
    }
    if ["AWSALB", "AWSALBAPP", "AWSALBTG"].iter().any(|own| name.starts_with(own)) {
        return Err(invalid(format!(
            "The cookie name '{name}' is reserved: names that begin with AWSALB are the load balancer's"
        )));
    }
    Ok(name.to_owned())
}

pub(super) async fn modify(
    door: &Door,
    request: wire::ModifyTargetGroupAttributesInput,
) -> Result<wire::ModifyTargetGroupAttributesOutput, Error> {
    let snapshot = door.snapshot();
    let group = groups::find(&snapshot, request.target_group_arn.as_ref())?;
    let changes = attributes::read(
        "Target group",
        request.attributes.as_ref(),
        |attribute: &wire::TargetGroupAttribute| (attribute.key.as_ref(), attribute.value.as_ref()),
        |given| read(group.protocol, given),
    )?;
    let id = group.id.clone();
    let committed = submit(door, BalancingCommand::SetGroup(id.clone(), changes)).await?;
    let after = committed.state.balancing().group(&id);
    Ok(wire::ModifyTargetGroupAttributesOutput { attributes: after.map(|after| view(after)) })
}

pub(super) fn describe(
    state: &State,
    request: &wire::DescribeTargetGroupAttributesInput,
) -> Result<wire::DescribeTargetGroupAttributesOutput, Error> {
    let group = groups::find(state, request.target_group_arn.as_ref())?;
    Ok(wire::DescribeTargetGroupAttributesOutput { attributes: Some(view(group)) })
}

fn view(group: &TargetGroup) -> Vec<wire::TargetGroupAttribute> {
    let settings = &group.settings;
    let flag = |on: bool| on.to_string();
    let sticky = STICKY_BY.iter().find(|(_, by)| *by == settings.sticky_by);
    let cross_zone = CROSS_ZONE.iter().find(|(_, on)| *on == settings.cross_zone);
    let word = |found: Option<&str>| found.unwrap_or_default().to_owned();
    let mut pairs = vec![
        ("deregistration_delay.timeout_seconds", seconds(settings.deregistration_delay)),
        ("stickiness.enabled", flag(settings.sticky)),
        ("stickiness.type", word(sticky.map(|(word, _)| *word))),
        ("load_balancing.cross_zone.enabled", word(cross_zone.map(|(word, _)| *word))),
    ];
    if is_http(group.protocol) {
        let algorithm = ALGORITHMS.iter().find(|(_, known)| *known == settings.algorithm);
        pairs.extend([
            ("load_balancing.algorithm.type", word(algorithm.map(|(word, _)| *word))),
            ("slow_start.duration_seconds", seconds(settings.slow_start)),
            ("stickiness.lb_cookie.duration_seconds", seconds(settings.balancer_cookie)),
            ("stickiness.app_cookie.duration_seconds", seconds(settings.application_cookie)),
            ("stickiness.app_cookie.cookie_name", settings.application_cookie_name.clone()),
        ]);
    } else {
        pairs.extend([
            (
                "deregistration_delay.connection_termination.enabled",
                flag(settings.terminate_connections),
            ),
            ("proxy_protocol_v2.enabled", flag(settings.proxy_protocol)),
        ]);
    }
    let fixed = fixed(group.protocol).into_iter().map(|(key, value)| (key, value.to_owned()));
    let one = |(key, value): (&str, String)| wire::TargetGroupAttribute {
        key: Some(key.to_owned()),
        value: Some(value),
    };
    pairs.into_iter().chain(fixed).map(one).collect()
}
