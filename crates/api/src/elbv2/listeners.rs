//! Listeners, their certificates and attributes.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Listener.html>

use aws::Error;
use aws::elbv2 as wire;
use aws::elbv2::{ErrorKind, ProtocolEnum};
use model::{
    AlpnPolicy, BalancerKind, BalancingResource, CertificateArn, Listener, ListenerId,
    ListenerProtocol, Realm, State,
};
use scheduler::{BalancingCommand, ListenerEdit, NewListener, Reply};

use super::errors::{configuration, invalid, submit};
use super::refer::{self, no_listener};
use super::{actions, attributes, balancers, policies, ports};
use crate::door::Door;

const PROTOCOLS: &[(&str, ListenerProtocol)] = &[
    ("HTTP", ListenerProtocol::Http),
    ("HTTPS", ListenerProtocol::Https),
    ("TCP", ListenerProtocol::Tcp),
    ("TLS", ListenerProtocol::Tls),
    ("UDP", ListenerProtocol::Udp),
    ("TCP_UDP", ListenerProtocol::TcpUdp),
];

const ALPN: &[(&str, AlpnPolicy)] = &[
    ("HTTP1Only", AlpnPolicy::Http1Only),
    ("HTTP2Only", AlpnPolicy::Http2Only),
    ("HTTP2Optional", AlpnPolicy::Http2Optional),
    ("HTTP2Preferred", AlpnPolicy::Http2Preferred),
    ("None", AlpnPolicy::None),
];

fn protocol(given: &ProtocolEnum) -> Result<ListenerProtocol, Error> {
    let found = PROTOCOLS.iter().find(|(word, _)| *word == given.as_str());
    found.map(|(_, protocol)| *protocol).ok_or_else(|| {
        configuration(format!("Protocol '{given}' is not built yet in Wharf; choose another"))
    })
}

const fn is_tls(protocol: ListenerProtocol) -> bool {
    matches!(protocol, ListenerProtocol::Https | ListenerProtocol::Tls)
}

/// The one policy of a list: AWS takes one.
fn alpn(given: Option<&Vec<String>>) -> Result<Option<AlpnPolicy>, Error> {
    let given = given.map(Vec::as_slice).unwrap_or_default();
    match given {
        [] => Ok(None),
        [one] => {
            let found = ALPN.iter().find(|(word, _)| word == one);
            found.map(|(_, policy)| Some(*policy)).ok_or_else(|| {
                ErrorKind::ALPNPolicyNotSupportedException
                    .with(format!("ALPN policy '{one}' is not supported"))
            })
        }
        _ => Err(invalid("AlpnPolicy takes one policy")),
    }
}

/// The certificates that a request names. Each has to be there.
async fn certificates(
    door: &Door,
    given: Option<&Vec<wire::Certificate>>,
    may_be_default: bool,
) -> Result<Vec<CertificateArn>, Error> {
    let mut arns = Vec::new();
    for certificate in given.into_iter().flatten() {
        let arn = certificate.certificate_arn.clone().unwrap_or_default();
        if certificate.is_default.is_some() && !may_be_default {
            return Err(invalid(
                "You cannot specify IsDefault here; ModifyListener sets the default",
            ));
        }
        if door.config().vault.describe_certificate(&arn).await.is_err() {
            return Err(ErrorKind::CertificateNotFoundException
                .with(format!("Certificate ARN '{arn}' is not valid")));
        }
        arns.push(CertificateArn::from(arn.as_str()));
    }
    Ok(arns)
}

/// The certificate that a listener is made with.
async fn default_certificate(
    door: &Door,
    given: Option<&Vec<wire::Certificate>>,
) -> Result<Option<CertificateArn>, Error> {
    if given.is_some_and(|given| given.len() > 1) {
        return Err(ErrorKind::TooManyCertificatesException.with(
            "Only one certificate, the default one, can be given here; add others by \
             AddListenerCertificates",
        ));
    }
    Ok(certificates(door, given, false).await?.into_iter().next())
}

pub(super) async fn create(
    door: &Door,
    request: wire::CreateListenerInput,
) -> Result<wire::CreateListenerOutput, Error> {
    actions::no_mutual_tls(request.mutual_authentication.as_ref())?;
    let snapshot = door.snapshot();
    let balancer = balancers::find(&snapshot, request.load_balancer_arn.as_ref())?;
    let spoken = request.protocol.as_ref();
    let spoken = protocol(spoken.ok_or_else(|| invalid("A protocol must be specified"))?)?;
    let port = refer::port(request.port.ok_or_else(|| invalid("A port must be specified"))?)?;
    if let Some(policy) = request.ssl_policy.as_deref() {
        policies::check(policy)?;
    }
    let usual = is_tls(spoken).then(|| policies::USUAL.to_owned());
    let certificate = default_certificate(door, request.certificates.as_ref()).await?;
    let new = NewListener {
        balancer: balancer.id.clone(),
        port,
        protocol: spoken,
        certificates: certificate.into_iter().collect(),
        tls_policy: request.ssl_policy.clone().or(usual),
        alpn: alpn(request.alpn_policy.as_ref())?,
        action: actions::read(door.realm(), request.default_actions.as_ref())?,
        tags: refer::tags(request.tags.as_ref())?,
    };
    ports::check(door, &snapshot, port, spoken).await?;
    let committed = submit(door, BalancingCommand::CreateListener(new)).await?;
    let made = match &committed.reply {
        Reply::Balancing(BalancingResource::Listener(id)) => {
            committed.state.balancing().listener(id)
        }
        _ => None,
    };
    let made = made.map(|listener| view(door.realm(), listener));
    Ok(wire::CreateListenerOutput { listeners: Some(made.into_iter().collect()) })
}

pub(super) async fn modify(
    door: &Door,
    request: wire::ModifyListenerInput,
) -> Result<wire::ModifyListenerOutput, Error> {
    actions::no_mutual_tls(request.mutual_authentication.as_ref())?;
    let snapshot = door.snapshot();
    let before = find(&snapshot, request.listener_arn.as_ref())?;
    let spoken = request.protocol.as_ref().map(protocol).transpose()?;
    let port = request.port.map(refer::port).transpose()?;
    if let Some(policy) = request.ssl_policy.as_deref() {
        policies::check(policy)?;
    }
    let turns_tls = spoken.is_some_and(is_tls) && before.tls_policy.is_none();
    let usual = turns_tls.then(|| policies::USUAL.to_owned());
    let given = request.default_actions.as_ref();
    let edit = ListenerEdit {
        port,
        protocol: spoken,
        certificate: default_certificate(door, request.certificates.as_ref()).await?,
        tls_policy: request.ssl_policy.clone().or(usual),
        alpn: alpn(request.alpn_policy.as_ref())?,
        action: given.map(|given| actions::read(door.realm(), Some(given))).transpose()?,
    };
    if port.is_some_and(|port| port != before.port) {
        let protocol = spoken.unwrap_or(before.protocol);
        ports::check(door, &snapshot, port.unwrap_or(before.port), protocol).await?;
    }
    let id = before.id.clone();
    let committed = submit(door, BalancingCommand::EditListener(id.clone(), edit)).await?;
    let after = committed.state.balancing().listener(&id);
    let after = after.map(|listener| view(door.realm(), listener));
    Ok(wire::ModifyListenerOutput { listeners: Some(after.into_iter().collect()) })
}

pub(super) async fn delete(
    door: &Door,
    request: wire::DeleteListenerInput,
) -> Result<wire::DeleteListenerOutput, Error> {
    let id = refer::listener(door.realm(), request.listener_arn.as_ref())?;
    submit(door, BalancingCommand::DeleteListener(id)).await?;
    Ok(wire::DeleteListenerOutput {})
}

/// The listener that an ARN names.
pub(super) fn find<'s>(state: &'s State, arn: Option<&String>) -> Result<&'s Listener, Error> {
    let id = refer::listener(state.realm(), arn)?;
    let found = state.balancing().listener(&id).map(|listener| &**listener);
    found.ok_or_else(|| no_listener(&state.realm().listener(&id)))
}

pub(super) fn describe(
    state: &State,
    request: &wire::DescribeListenersInput,
) -> Result<wire::DescribeListenersOutput, Error> {
    let arns = request.listener_arns.as_deref().unwrap_or_default();
    if request.load_balancer_arn.is_some() != arns.is_empty() {
        return Err(invalid("You must specify either listener ARNs or a load balancer ARN"));
    }
    let mut found = Vec::new();
    for arn in arns {
        found.push(find(state, Some(arn))?);
    }
    if request.load_balancer_arn.is_some() {
        let balancer = balancers::find(state, request.load_balancer_arn.as_ref())?;
        found.extend(state.balancing().listeners(&balancer.id).map(|listener| &**listener));
    }
    let entries = found.into_iter().map(|l| (l.id.to_string(), view(state.realm(), l))).collect();
    let (page, next) =
        refer::page("DescribeListeners", request.marker.as_ref(), request.page_size, entries)?;
    Ok(wire::DescribeListenersOutput { listeners: Some(page), next_marker: next })
}

fn view(realm: &Realm, listener: &Listener) -> wire::Listener {
    let protocol = PROTOCOLS.iter().find(|(_, known)| *known == listener.protocol);
    let alpn = listener.alpn.and_then(|policy| ALPN.iter().find(|(_, known)| *known == policy));
    let tls = is_tls(listener.protocol);
    let default = listener
        .certificates
        .first()
        .map(|arn| wire::Certificate { certificate_arn: Some(arn.to_string()), is_default: None });
    wire::Listener {
        listener_arn: Some(realm.listener(&listener.id)),
        load_balancer_arn: Some(realm.balancer(&listener.id.balancer())),
        port: Some(i32::from(listener.port)),
        protocol: protocol.map(|(word, _)| ProtocolEnum::from(*word)),
        certificates: tls.then(|| default.into_iter().collect()),
        ssl_policy: listener.tls_policy.clone(),
        default_actions: Some(actions::view(realm, &listener.default_action)),
        alpn_policy: alpn.map(|(word, _)| vec![(*word).to_owned()]),
        mutual_authentication: (listener.protocol == ListenerProtocol::Https).then(|| {
            wire::MutualAuthenticationAttributes { mode: Some("off".into()), ..Default::default() }
        }),
    }
}

// === Certificates ===

pub(super) async fn add_certificates(
    door: &Door,
    request: wire::AddListenerCertificatesInput,
) -> Result<wire::AddListenerCertificatesOutput, Error> {
    let id = refer::listener(door.realm(), request.listener_arn.as_ref())?;
    let arns = certificates(door, request.certificates.as_ref(), false).await?;
    submit(door, BalancingCommand::AddCertificates(id, arns.clone())).await?;
    let added = arns.iter().map(|arn| wire::Certificate {
        certificate_arn: Some(arn.to_string()),
        is_default: Some(false),
    });
    Ok(wire::AddListenerCertificatesOutput { certificates: Some(added.collect()) })
}

pub(super) async fn remove_certificates(
    door: &Door,
    request: wire::RemoveListenerCertificatesInput,
) -> Result<wire::RemoveListenerCertificatesOutput, Error> {
    let id = refer::listener(door.realm(), request.listener_arn.as_ref())?;
    let given = request.certificates.iter().flatten();
    let arns = given.filter_map(|given| given.certificate_arn.as_deref());
    let arns = arns.map(CertificateArn::from).collect();
    submit(door, BalancingCommand::RemoveCertificates(id, arns)).await?;
    Ok(wire::RemoveListenerCertificatesOutput {})
}

pub(super) fn describe_certificates(
    state: &State,
    request: &wire::DescribeListenerCertificatesInput,
) -> Result<wire::DescribeListenerCertificatesOutput, Error> {
    let listener = find(state, request.listener_arn.as_ref())?;
    let entries = listener.certificates.iter().enumerate().map(|(at, arn)| {
        let shown =
            wire::Certificate { certificate_arn: Some(arn.to_string()), is_default: Some(at == 0) };
        (format!("{at:04}"), shown)
    });
    let (page, next) = refer::page(
        "DescribeListenerCertificates",
        request.marker.as_ref(),
        request.page_size,
        entries.collect(),
    )?;
    Ok(wire::DescribeListenerCertificatesOutput { certificates: Some(page), next_marker: next })
}

// === Attributes ===

/// `tcp.idle_timeout.seconds` unless set.
const TCP_IDLE: u64 = 350;
const TCP_IDLE_KEY: &str = "tcp.idle_timeout.seconds";

/// Headers that an application load balancer could rename or add: only as they are.
const RENAMED: &[&str] = &[
    "X-Amzn-Mtls-Clientcert-Serial-Number",
    "X-Amzn-Mtls-Clientcert-Issuer",
    "X-Amzn-Mtls-Clientcert-Subject",
    "X-Amzn-Mtls-Clientcert-Validity",
    "X-Amzn-Mtls-Clientcert-Leaf",
    "X-Amzn-Mtls-Clientcert",
    "X-Amzn-Tls-Version",
    "X-Amzn-Tls-Cipher-Suite",
];
const ADDED: &[&str] = &[
    "strict_transport_security",
    "access_control_allow_origin",
    "access_control_allow_methods",
    "access_control_allow_headers",
    "access_control_allow_credentials",
    "access_control_expose_headers",
    "access_control_max_age",
    "content_security_policy",
    "x_content_type_options",
    "x_frame_options",
];

fn fixed(listener: &Listener, state: &State) -> Vec<(String, String)> {
    let balancer = state.balancing().balancer(&listener.id.balancer());
    if balancer.is_none_or(|balancer| balancer.kind == BalancerKind::Network) {
        return Vec::new();
    }
    let added = ADDED
        .iter()
        .map(|name| (format!("routing.http.response.{name}.header_value"), String::new()));
    let mut pairs: Vec<(String, String)> = added.collect();
    pairs.push(("routing.http.response.server.enabled".to_owned(), "true".to_owned()));
    if listener.protocol == ListenerProtocol::Https {
        pairs.extend(RENAMED.iter().map(|name| {
            let key = name.to_ascii_lowercase().replace('-', "_");
            (format!("routing.http.request.{key}.header_name"), (*name).to_owned())
        }));
    }
    pairs
}

fn view_attributes(state: &State, listener: &Listener) -> Vec<wire::ListenerAttribute> {
    let mut pairs = fixed(listener, state);
    if listener.protocol == ListenerProtocol::Tcp {
        let seconds = listener.tcp_idle_timeout.map_or(TCP_IDLE, |time| time.as_secs());
        pairs.push((TCP_IDLE_KEY.to_owned(), seconds.to_string()));
    }
    let one = |(key, value)| wire::ListenerAttribute { key: Some(key), value: Some(value) };
    pairs.into_iter().map(one).collect()
}

pub(super) fn describe_attributes(
    state: &State,
    request: &wire::DescribeListenerAttributesInput,
) -> Result<wire::DescribeListenerAttributesOutput, Error> {
    let listener = find(state, request.listener_arn.as_ref())?;
    Ok(wire::DescribeListenerAttributesOutput {
        attributes: Some(view_attributes(state, listener)),
    })
}

pub(super) async fn modify_attributes(
    door: &Door,
    request: wire::ModifyListenerAttributesInput,
) -> Result<wire::ModifyListenerAttributesOutput, Error> {
    let snapshot = door.snapshot();
    let listener = find(&snapshot, request.listener_arn.as_ref())?;
    let fixed = fixed(listener, &snapshot);
    let fixed: Vec<(&str, &str)> =
        fixed.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let changes = attributes::read(
        "Listener",
        request.attributes.as_ref(),
        |attribute: &wire::ListenerAttribute| (attribute.key.as_ref(), attribute.value.as_ref()),
        |given| match given.key {
            TCP_IDLE_KEY => given.seconds(60, 6000).map(Some),
            _ => given.only(&fixed).map(|()| None),
        },
    )?;
    let id: ListenerId = listener.id.clone();
    for timeout in changes {
        submit(door, BalancingCommand::SetTcpIdleTimeout(id.clone(), timeout)).await?;
    }
    let state = door.snapshot();
    let after = state.balancing().listener(&id);
    Ok(wire::ModifyListenerAttributesOutput {
        attributes: after.map(|after| view_attributes(&state, after)),
    })
}
