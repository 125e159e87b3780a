//! Listeners, their rules and what their load balancer's attributes ask of them, as the balancer has
//! them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use balancer::{Certificate, Pattern, TlsSettings, TlsVersion};
use model::{CertificateArn, Condition, ListenerProtocol};

/// A flow of a network load balancer may be silent for so long by default.
const TCP_IDLE: Duration = Duration::from_secs(350);

/// Certificates by their ARNs, as far as they could be had.
pub(super) type Certificates = BTreeMap<CertificateArn, Arc<Certificate>>;

/// What a load balancer's attributes ask of its listeners.
pub(super) fn settings(from: &model::LoadBalancer) -> balancer::BalancerSettings {
    let s = &from.settings;
    balancer::BalancerSettings {
        id: from.id.as_str().into(),
        name: from.id.to_string(),
        idle_timeout: s.idle_timeout,
        client_keep_alive: s.client_keep_alive,
        http2: s.http2,
        drop_invalid_header_fields: s.drop_invalid_headers,
        xff: match s.forwarded_for {
            model::ForwardedFor::Append => balancer::XffMode::Append,
            model::ForwardedFor::Preserve => balancer::XffMode::Preserve,
            model::ForwardedFor::Remove => balancer::XffMode::Remove,
        },
        xff_client_port: s.forwarded_client_port,
        preserve_host_header: s.preserve_host,
        tls_headers: s.tls_headers,
        desync: match s.desync {
            model::Desync::Monitor => balancer::DesyncMode::Monitor,
            model::Desync::Defensive => balancer::DesyncMode::Defensive,
            model::Desync::Strictest => balancer::DesyncMode::Strictest,
        },
        access_log: s.access_log.on,
        connection_log: s.connection_log.on,
    }
}

/// A listener with its rules.
///
/// # Errors
///
/// Why it cannot be served, in words: a certificate of it is not to be had.
pub(super) fn listener(
    from: &model::Listener,
    balancer: Arc<balancer::BalancerSettings>,
    rules: Vec<Arc<balancer::Rule>>,
    bind: &[IpAddr],
    certificates: &Certificates,
) -> Result<balancer::Listener, String> {
    let protocol = match from.protocol {
        ListenerProtocol::Http => balancer::ListenerProtocol::Http,
        ListenerProtocol::Https => balancer::ListenerProtocol::Https(tls(from, certificates)?),
        ListenerProtocol::Tcp => balancer::ListenerProtocol::Tcp,
        ListenerProtocol::Tls => balancer::ListenerProtocol::Tls(tls(from, certificates)?),
        ListenerProtocol::Udp => balancer::ListenerProtocol::Udp,
        ListenerProtocol::TcpUdp => balancer::ListenerProtocol::TcpUdp,
    };
    Ok(balancer::Listener {
        id: from.id.as_str().into(),
        balancer,
        bind: bind.to_vec(),
        port: from.port,
        protocol,
        rules,
        default_action: action(&from.default_action),
        tcp_idle_timeout: from.tcp_idle_timeout.unwrap_or(TCP_IDLE),
    })
}

fn tls(from: &model::Listener, certificates: &Certificates) -> Result<TlsSettings, String> {
    let find = |arn: &CertificateArn| {
        certificates.get(arn).cloned().ok_or_else(|| format!("its certificate {arn} is missing"))
    };
    let Some((default, others)) = from.certificates.split_first() else {
        return Err("it has no certificate".to_owned());
    };
    let (minimum, only_tls12) = versions(from.tls_policy.as_deref().unwrap_or_default());
    Ok(TlsSettings {
        default_certificate: find(default)?,
        certificates: others.iter().map(find).collect::<Result<_, _>>()?,
        minimum,
        only_tls12,
        alpn: match from.alpn {
            None | Some(model::AlpnPolicy::None) => balancer::AlpnPolicy::None,
            Some(model::AlpnPolicy::Http1Only) => balancer::AlpnPolicy::Http1Only,
            Some(model::AlpnPolicy::Http2Only) => balancer::AlpnPolicy::Http2Only,
            Some(model::AlpnPolicy::Http2Optional) => balancer::AlpnPolicy::Http2Optional,
            Some(model::AlpnPolicy::Http2Preferred) => balancer::AlpnPolicy::Http2Preferred,
        },
    })
}

/// The versions of TLS that a security policy allows, of those that there are: those whose names have
/// `TLS13` know 1.3, and `TLS13-1-3` knows nothing older.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html>
fn versions(policy: &str) -> (TlsVersion, bool) {
    let only_13 = policy.contains("TLS13-1-3");
    let minimum = if only_13 { TlsVersion::Tls13 } else { TlsVersion::Tls12 };
    (minimum, !policy.is_empty() && !policy.contains("TLS13"))
}

/// A rule.
pub(super) fn rule(from: &model::Rule) -> balancer::Rule {
    balancer::Rule {
        id: from.id.as_str().into(),
        priority: from.priority,
        conditions: from.conditions.iter().map(condition).collect(),
        action: action(&from.action),
    }
}

fn condition(from: &Condition) -> balancer::Condition {
    match from {
        Condition::Host(values) => balancer::Condition::Host(patterns(values)),
        Condition::Path(values) => balancer::Condition::Path(patterns(values)),
        Condition::Header { name, values } => {
            balancer::Condition::Header { name: name.clone(), values: patterns(values) }
        }
        Condition::Method(values) => balancer::Condition::Method(values.clone()),
        Condition::Query(values) => balancer::Condition::Query(
            values
                .iter()
                .map(|(key, value)| balancer::QueryPattern {
                    key: key.clone(),
                    value: value.clone(),
                })
                .collect(),
        ),
        // Only ranges that can be read come into the state; one that cannot matches nothing.
        Condition::SourceIp(values) => balancer::Condition::SourceIp(
            values.iter().filter_map(|range| range.parse().ok()).collect(),
        ),
    }
}

fn patterns(values: &[String]) -> Vec<Pattern> {
    values.iter().cloned().map(Pattern::Wildcard).collect()
}

fn action(from: &model::Action) -> balancer::Action {
    match from {
        model::Action::Forward(forward) => balancer::Action::Forward {
            groups: forward
                .groups
                .iter()
                .map(|weighted| balancer::WeightedGroup {
                    group: weighted.group.as_str().into(),
                    weight: weighted.weight,
                })
                .collect(),
            stickiness: forward.sticky,
        },
        model::Action::Redirect(to) => balancer::Action::Redirect(balancer::Redirect {
            protocol: to.protocol.clone(),
            host: to.host.clone(),
            port: to.port.clone(),
            path: to.path.clone(),
            query: to.query.clone(),
            status: if to.permanent {
                balancer::RedirectStatus::MovedPermanently
            } else {
                balancer::RedirectStatus::Found
            },
        }),
        model::Action::Fixed { code, content_type, body } => balancer::Action::Fixed {
            status: *code,
            content_type: content_type.clone(),
            body: body.clone().unwrap_or_default(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_tell_their_versions_by_their_names() {
        for (policy, expected) in [
            ("ELBSecurityPolicy-2016-08", (TlsVersion::Tls12, true)),
            ("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", (TlsVersion::Tls12, true)),
            ("ELBSecurityPolicy-TLS13-1-2-2021-06", (TlsVersion::Tls12, false)),
            ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", (TlsVersion::Tls12, false)),
            ("ELBSecurityPolicy-TLS13-1-3-2021-06", (TlsVersion::Tls13, false)),
            ("", (TlsVersion::Tls12, false)),
        ] {
            assert_eq!(versions(policy), expected, "{policy}");
        }
    }
}
