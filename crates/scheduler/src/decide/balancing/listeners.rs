//! Listeners, and where they may send to.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateListener.html>

use std::sync::Arc;
use std::time::Duration;

use model::{
    Action, BalancerKind, BalancingChange, BalancingResource, CertificateArn, GroupProtocol,
    Listener, ListenerId, ListenerProtocol, LoadBalancer, ProtocolVersion, RuleId,
};

use super::{Decided, balancers, done, draft, groups, put, tail, within};
use crate::desk::Desk;
use crate::{BalancingLimit, BalancingRejection, ListenerEdit, NewListener, Reply};

type Refusal = BalancingRejection;

/// The listener of that id.
pub(super) fn find<'s>(desk: &Desk<'s>, id: &ListenerId) -> Result<&'s Arc<Listener>, Refusal> {
    let found = desk.state.balancing().listener(id);
    found.ok_or_else(|| Refusal::NoListener(desk.state.realm().listener(id)))
}

pub(super) fn create(desk: &mut Desk<'_>, new: &NewListener) -> Decided {
    let balancer = balancers::find(desk, &new.balancer)?.clone();
    within(BalancingLimit::Tags, new.tags.0.len())?;
    let book = desk.state.balancing();
    if let Some(there) = book.listeners(&balancer.id).find(|it| clash(it, new.port, new.protocol)) {
        let same = there.port == new.port
            && there.protocol == new.protocol
            && there.certificates.first() == new.certificates.first()
            && there.tls_policy == new.tls_policy
            && there.alpn == new.alpn
            && there.default_action == new.action;
        if same {
            return done(BalancingResource::Listener(there.id.clone()));
        }
        return Err(Refusal::ListenerExists(desk.state.realm().balancer(&balancer.id)));
    }
    within(BalancingLimit::Listeners, book.listeners(&balancer.id).count() + 1)?;
    let id = ListenerId::from(format!("{}/{}", balancer.id, tail(desk.ids)).as_str());
    let default_rule = RuleId::from(format!("{id}/{}", tail(desk.ids)).as_str());
    let listener = Listener {
        id: id.clone(),
        port: new.port,
        protocol: new.protocol,
        certificates: new.certificates.clone(),
        tls_policy: new.tls_policy.clone(),
        alpn: new.alpn,
        tcp_idle_timeout: None,
        default_rule,
        default_action: new.action.clone(),
        tags: new.tags.clone(),
        created_at: desk.now,
    };
    check(desk, &balancer, &listener)?;
    put(desk, BalancingChange::PutListener(Arc::new(listener)));
    done(BalancingResource::Listener(id))
}

/// Whether a listener needs what another would need: the port in the same transport.
fn clash(there: &Listener, port: u16, protocol: ListenerProtocol) -> bool {
    let ((tcp, udp), (other_tcp, other_udp)) = (transports(there.protocol), transports(protocol));
    there.port == port && ((tcp && other_tcp) || (udp && other_udp))
}

/// Whether a listener takes connections, and whether it takes datagrams.
const fn transports(protocol: ListenerProtocol) -> (bool, bool) {
    match protocol {
        ListenerProtocol::Http
        | ListenerProtocol::Https
        | ListenerProtocol::Tcp
        | ListenerProtocol::Tls => (true, false),
        ListenerProtocol::Udp => (false, true),
        ListenerProtocol::TcpUdp => (true, true),
    }
}

/// Whether a listener ends TLS.
const fn is_tls(protocol: ListenerProtocol) -> bool {
    matches!(protocol, ListenerProtocol::Https | ListenerProtocol::Tls)
}

/// Holds a whole listener against its load balancer and against what else there is.
fn check(desk: &Desk<'_>, balancer: &LoadBalancer, listener: &Listener) -> Result<(), Refusal> {
    let application = matches!(listener.protocol, ListenerProtocol::Http | ListenerProtocol::Https);
    if application != (balancer.kind == BalancerKind::Application) {
        let (kind, protocols) = match balancer.kind {
            BalancerKind::Application => ("application", "HTTP, HTTPS"),
            BalancerKind::Network => ("network", "TCP, TLS, UDP, TCP_UDP"),
        };
        return Err(Refusal::UnsupportedProtocol(format!(
            "The protocol {} is not supported for listeners of {kind} load balancers; it must be one of {protocols}",
            word(listener.protocol)
        )));
    }
    let tls = is_tls(listener.protocol);
    if tls && listener.certificates.is_empty() {
        return Err(Refusal::Invalid("A certificate must be specified for HTTPS listeners".into()));
    }
    if !tls && (!listener.certificates.is_empty() || listener.tls_policy.is_some()) {
        return Err(Refusal::InvalidConfiguration(format!(
            "Certificates and SslPolicy are for listeners of HTTPS and TLS; this one's protocol is {}",
            word(listener.protocol)
        )));
    }
    if listener.alpn.is_some() && listener.protocol != ListenerProtocol::Tls {
        return Err(Refusal::InvalidConfiguration(
            "AlpnPolicy is only for listeners whose protocol is TLS".to_owned(),
        ));
    }
    let other =
        desk.state.balancing().all_listeners().find(|other| {
            other.id != listener.id && clash(other, listener.port, listener.protocol)
        });
    // Every load balancer of AWS has addresses of its own; here they share those of the machine.
    if let Some(other) = other {
        if other.id.balancer() == balancer.id {
            return Err(Refusal::ListenerExists(desk.state.realm().balancer(&balancer.id)));
        }
        return Err(Refusal::InvalidConfiguration(format!(
            "Port {} cannot be listened on: the listener '{}' has it, and all load balancers share this \
             machine's addresses. Choose another port, or one listener with rules by host name",
            listener.port,
            desk.state.realm().listener(&other.id)
        )));
    }
    check_action(desk, balancer, listener.protocol, &listener.default_action)
}

/// Whether a listener may do that.
pub(super) fn check_action(
    desk: &Desk<'_>,
    balancer: &LoadBalancer,
    protocol: ListenerProtocol,
    action: &Action,
) -> Result<(), Refusal> {
    if balancer.kind == BalancerKind::Network && !matches!(action, Action::Forward(_)) {
        return Err(Refusal::InvalidConfiguration(
            "Listeners of network load balancers can only forward".to_owned(),
        ));
    }
    let (book, realm) = (desk.state.balancing(), desk.state.realm());
    for id in action.groups() {
        let group = groups::find(desk, id)?;
        if !fits(protocol, group.protocol) {
            return Err(Refusal::IncompatibleProtocols(format!(
                "The protocol of the target group '{}' is {:?}, which does not go with a listener whose protocol is {}",
                realm.group(id),
                group.protocol,
                word(protocol)
            )));
        }
        if group.version != ProtocolVersion::Http1 && protocol == ListenerProtocol::Http {
            return Err(Refusal::InvalidConfiguration(format!(
                "Listener protocol 'HTTP' is not supported with a target group with the protocol-version '{}'",
                if group.version == ProtocolVersion::Grpc { "GRPC" } else { "HTTP2" }
            )));
        }
        if book.balancers_of(id).any(|other| other.id != balancer.id) {
            return Err(Refusal::GroupTaken(realm.group(id)));
        }
    }
    Ok(())
}

/// Which target groups a listener may send to.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-target-groups.html>
const fn fits(listener: ListenerProtocol, group: GroupProtocol) -> bool {
    use GroupProtocol as G;
    match listener {
        ListenerProtocol::Http | ListenerProtocol::Https => matches!(group, G::Http | G::Https),
        ListenerProtocol::Tcp => matches!(group, G::Tcp | G::TcpUdp),
        ListenerProtocol::Tls => matches!(group, G::Tcp | G::Tls),
        ListenerProtocol::Udp => matches!(group, G::Udp | G::TcpUdp),
        ListenerProtocol::TcpUdp => matches!(group, G::TcpUdp),
    }
}

/// AWS's word for a protocol.
const fn word(protocol: ListenerProtocol) -> &'static str {
    match protocol {
        ListenerProtocol::Http => "HTTP",
        ListenerProtocol::Https => "HTTPS",
        ListenerProtocol::Tcp => "TCP",
        ListenerProtocol::Tls => "TLS",
        ListenerProtocol::Udp => "UDP",
        ListenerProtocol::TcpUdp => "TCP_UDP",
    }
}

pub(super) fn edit(desk: &mut Desk<'_>, id: &ListenerId, edit: &ListenerEdit) -> Decided {
    let mut listener = draft(find(desk, id)?);
    let balancer = balancers::find(desk, &id.balancer())?.clone();
    listener.port = edit.port.unwrap_or(listener.port);
    listener.protocol = edit.protocol.unwrap_or(listener.protocol);
    if is_tls(listener.protocol) {
        if let Some(certificate) = &edit.certificate {
            listener.certificates.retain(|there| there != certificate);
            if !listener.certificates.is_empty() {
                listener.certificates.remove(0);
            }
            listener.certificates.insert(0, certificate.clone());
        }
        listener.tls_policy = edit.tls_policy.clone().or(listener.tls_policy);
    } else {
        // AWS drops both when a listener turns away from TLS; given along with that, they are refused.
        listener.certificates = edit.certificate.iter().cloned().collect();
        listener.tls_policy.clone_from(&edit.tls_policy);
    }
    listener.alpn = match listener.protocol {
        ListenerProtocol::Tls => edit.alpn.or(listener.alpn),
        _ => edit.alpn,
    };
    if let Some(action) = &edit.action {
        listener.default_action = action.clone();
    }
    check(desk, &balancer, &listener)?;
    for rule in desk.state.balancing().rules(id) {
        check_action(desk, &balancer, listener.protocol, &rule.action)?;
    }
    put(desk, BalancingChange::PutListener(Arc::new(listener)));
    done(BalancingResource::Listener(id.clone()))
}

pub(super) fn set_idle_timeout(desk: &mut Desk<'_>, id: &ListenerId, timeout: Duration) -> Decided {
    let mut listener = draft(find(desk, id)?);
    if listener.protocol != ListenerProtocol::Tcp {
        return Err(Refusal::InvalidConfiguration(format!(
            "Listener attribute key 'tcp.idle_timeout.seconds' is not supported on listeners whose protocol is {}",
            word(listener.protocol)
        )));
    }
    listener.tcp_idle_timeout = Some(timeout);
    put(desk, BalancingChange::PutListener(Arc::new(listener)));
    done(BalancingResource::Listener(id.clone()))
}

pub(super) fn delete(desk: &mut Desk<'_>, id: &ListenerId) -> Decided {
    if let Some(listener) = desk.state.balancing().listener(id) {
        remove(desk, listener);
    }
    Ok(Reply::Done)
}

/// Takes a listener away, with its rules.
pub(super) fn remove(desk: &mut Desk<'_>, listener: &Listener) {
    for rule in desk.state.balancing().rules(&listener.id) {
        put(desk, BalancingChange::DeleteRule(rule.id.clone()));
    }
    put(desk, BalancingChange::DeleteListener(listener.id.clone()));
}

/// The listener, if it ends TLS: others have no certificates.
fn with_certificates(desk: &Desk<'_>, id: &ListenerId) -> Result<Listener, Refusal> {
    let listener = draft(find(desk, id)?);
    if is_tls(listener.protocol) {
        return Ok(listener);
    }
    Err(Refusal::InvalidConfiguration(format!(
        "Certificates are for listeners of HTTPS and TLS; this one's protocol is {}",
        word(listener.protocol)
    )))
}

pub(super) fn add_certificates(
    desk: &mut Desk<'_>,
    id: &ListenerId,
    arns: &[CertificateArn],
) -> Decided {
    let mut listener = with_certificates(desk, id)?;
    for arn in arns {
        if !listener.certificates.contains(arn) {
            listener.certificates.push(arn.clone());
        }
    }
    let of_others: usize = desk
        .state
        .balancing()
        .listeners(&id.balancer())
        .filter(|other| other.id != *id)
        .map(|other| other.certificates.len().saturating_sub(1))
        .sum();
    within(BalancingLimit::Certificates, of_others + listener.certificates.len() - 1)?;
    put(desk, BalancingChange::PutListener(Arc::new(listener)));
    Ok(Reply::Done)
}

pub(super) fn remove_certificates(
    desk: &mut Desk<'_>,
    id: &ListenerId,
    arns: &[CertificateArn],
) -> Decided {
    let mut listener = with_certificates(desk, id)?;
    if let Some(default) = listener.certificates.first().filter(|first| arns.contains(first)) {
        return Err(Refusal::NotPermitted(format!(
            "Certificate '{default}' is the default certificate of the listener; set another with ModifyListener \
             first"
        )));
    }
    listener.certificates.retain(|arn| !arns.contains(arn));
    put(desk, BalancingChange::PutListener(Arc::new(listener)));
    Ok(Reply::Done)
}
