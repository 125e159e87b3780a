//! Attributes of load balancers.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html>

use aws::Error;
use aws::elbv2 as wire;
use model::{BalancerKind, Desync, ForwardedFor, LoadBalancer, State};
use scheduler::{BalancerAttribute as A, BalancingCommand};

use super::attributes::{self, Given, seconds};
use super::errors::submit;
use super::{balancers, logs, refer};
use crate::door::Door;

const DESYNC: &[(&str, Desync)] = &[
    ("monitor", Desync::Monitor),
    ("defensive", Desync::Defensive),
    ("strictest", Desync::Strictest),
];

const FORWARDED_FOR: &[(&str, ForwardedFor)] = &[
    ("append", ForwardedFor::Append),
    ("preserve", ForwardedFor::Preserve),
    ("remove", ForwardedFor::Remove),
];

/// Keys that can only be what they are, of both kinds.
const FIXED: &[(&str, &str)] =
    &[("ipv6.deny_all_igw_traffic", "false"), ("zonal_shift.config.enabled", "false")];

/// Keys that can only be what they are, of application load balancers.
const FIXED_APPLICATION: &[(&str, &str)] = &[
    ("health_check_logs.s3.enabled", "false"),
    ("health_check_logs.s3.bucket", ""),
    ("health_check_logs.s3.prefix", ""),
    ("waf.fail_open.enabled", "false"),
];

/// Keys that can only be what they are, of network load balancers.
const FIXED_NETWORK: &[(&str, &str)] = &[
    ("dns_record.client_routing_policy", "any_availability_zone"),
    ("secondary_ips.auto_assigned.per_subnet", "0"),
];

fn fixed(kind: BalancerKind) -> Vec<(&'static str, &'static str)> {
    let more = match kind {
        BalancerKind::Application => FIXED_APPLICATION,
        BalancerKind::Network => FIXED_NETWORK,
    };
    FIXED.iter().chain(more).copied().collect()
}

fn read(kind: BalancerKind, given: Given<'_>) -> Result<Option<A>, Error> {
    if let Some(log) = logs::read(given)? {
        return Ok(Some(log));
    }
    Ok(Some(match given.key {
        "deletion_protection.enabled" => A::DeletionProtection(given.flag()?),
        "load_balancing.cross_zone.enabled" => A::CrossZone(given.flag()?),
        "idle_timeout.timeout_seconds" => A::IdleTimeout(given.seconds(1, 4000)?),
        "client_keep_alive.seconds" => A::ClientKeepAlive(given.seconds(60, 604_800)?),
        "routing.http2.enabled" => A::Http2(given.flag()?),
        "routing.http.drop_invalid_header_fields.enabled" => A::DropInvalidHeaders(given.flag()?),
        "routing.http.preserve_host_header.enabled" => A::PreserveHost(given.flag()?),
        "routing.http.xff_header_processing.mode" => A::ForwardedFor(given.word(FORWARDED_FOR)?),
        "routing.http.xff_client_port.enabled" => A::ForwardedClientPort(given.flag()?),
        "routing.http.x_amzn_tls_version_and_cipher_suite.enabled" => A::TlsHeaders(given.flag()?),
        "routing.http.desync_mitigation_mode" => A::Desync(given.word(DESYNC)?),
        _ => {
            given.only(&fixed(kind))?;
            return Ok(None);
        }
    }))
}

pub(super) async fn modify(
    door: &Door,
    request: wire::ModifyLoadBalancerAttributesInput,
) -> Result<wire::ModifyLoadBalancerAttributesOutput, Error> {
    let snapshot = door.snapshot();
    let balancer = balancers::find(&snapshot, request.load_balancer_arn.as_ref())?;
    let changes = attributes::read(
        "Load balancer",
        request.attributes.as_ref(),
        |attribute: &wire::LoadBalancerAttribute| {
            (attribute.key.as_ref(), attribute.value.as_ref())
        },
        |given| read(balancer.kind, given),
    )?;
    let id = refer::balancer(door.realm(), request.load_balancer_arn.as_ref())?;
    logs::check(door, balancer, &changes).await?;
    let committed = submit(door, BalancingCommand::SetBalancer(id.clone(), changes)).await?;
    let after = committed.state.balancing().balancer(&id);
    Ok(wire::ModifyLoadBalancerAttributesOutput { attributes: after.map(|after| view(after)) })
}

pub(super) fn describe(
    state: &State,
    request: &wire::DescribeLoadBalancerAttributesInput,
) -> Result<wire::DescribeLoadBalancerAttributesOutput, Error> {
    let balancer = balancers::find(state, request.load_balancer_arn.as_ref())?;
    Ok(wire::DescribeLoadBalancerAttributesOutput { attributes: Some(view(balancer)) })
}

fn view(balancer: &LoadBalancer) -> Vec<wire::LoadBalancerAttribute> {
    let settings = &balancer.settings;
    let flag = |on: bool| on.to_string();
    let mut pairs = vec![
        ("deletion_protection.enabled", flag(settings.deletion_protection)),
        ("load_balancing.cross_zone.enabled", flag(settings.cross_zone)),
    ];
    if balancer.kind == BalancerKind::Application {
        let desync = DESYNC.iter().find(|(_, mode)| *mode == settings.desync);
        let forwarded = FORWARDED_FOR.iter().find(|(_, mode)| *mode == settings.forwarded_for);
        let word = |found: Option<&str>| found.unwrap_or_default().to_owned();
        pairs.extend([
            ("idle_timeout.timeout_seconds", seconds(settings.idle_timeout)),
            ("client_keep_alive.seconds", seconds(settings.client_keep_alive)),
            ("routing.http.desync_mitigation_mode", word(desync.map(|(word, _)| *word))),
            (
                "routing.http.drop_invalid_header_fields.enabled",
                flag(settings.drop_invalid_headers),
            ),
            ("routing.http.preserve_host_header.enabled", flag(settings.preserve_host)),
            (
                "routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
                flag(settings.tls_headers),
            ),
            ("routing.http.xff_client_port.enabled", flag(settings.forwarded_client_port)),
            ("routing.http.xff_header_processing.mode", word(forwarded.map(|(word, _)| *word))),
            ("routing.http2.enabled", flag(settings.http2)),
        ]);
    }
    let fixed = fixed(balancer.kind).into_iter().map(|(key, value)| (key, value.to_owned()));
    let mut all: Vec<(String, String)> =
        pairs.into_iter().chain(fixed).map(|(key, value)| (key.to_owned(), value)).collect();
    all.extend(logs::view("access_logs", &settings.access_log));
    if balancer.kind == BalancerKind::Application {
        all.extend(logs::view("connection_logs", &settings.connection_log));
    }
    let one = |(key, value)| wire::LoadBalancerAttribute { key: Some(key), value: Some(value) };
    all.into_iter().map(one).collect()
}
