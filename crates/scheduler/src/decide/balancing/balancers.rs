//! Load balancers.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html>

use std::sync::Arc;

use model::{
    BalancerId, BalancerKind, BalancerSettings, BalancingChange, BalancingResource, IpAddressType,
    LoadBalancer, Scheme, TrafficLog,
};

use super::{Decided, done, draft, listeners, put, tail, within};
use crate::desk::Desk;
use crate::{
    BalancerAttribute, BalancingLimit, BalancingRejection, LogAttribute, Names, NewBalancer,
};

/// The load balancer of that id.
pub(super) fn find<'s>(
    desk: &Desk<'s>,
    id: &BalancerId,
) -> Result<&'s Arc<LoadBalancer>, BalancingRejection> {
    let found = desk.state.balancing().balancer(id);
    found.ok_or_else(|| BalancingRejection::NoBalancer(desk.state.realm().balancer(id)))
}

pub(super) fn create(desk: &mut Desk<'_>, new: &NewBalancer) -> Decided {
    within(BalancingLimit::Tags, new.tags.0.len())?;
    let book = desk.state.balancing();
    if let Some(there) = book.balancers().find(|balancer| balancer.id.name() == new.name) {
        if same(there, new) {
            return done(BalancingResource::Balancer(there.id.clone()));
        }
        return Err(BalancingRejection::BalancerExists(new.name.clone()));
    }
    let of_kind = book.balancers().filter(|balancer| balancer.kind == new.kind).count();
    within(BalancingLimit::Balancers, of_kind + 1)?;
    let prefix = match new.kind {
        BalancerKind::Application => "app",
        BalancerKind::Network => "net",
    };
    let id = BalancerId::from(format!("{prefix}/{}/{}", new.name, tail(desk.ids)).as_str());
    let settings = BalancerSettings {
        // Of network load balancers AWS leaves it off.
        cross_zone: new.kind == BalancerKind::Application,
        ..BalancerSettings::default()
    };
    let balancer = LoadBalancer {
        id: id.clone(),
        kind: new.kind,
        scheme: new.scheme,
        addresses: new.addresses,
        subnets: new.subnets.clone(),
        security_groups: new.security_groups.clone(),
        dns_name: dns_name(desk, new, &id),
        settings,
        tags: new.tags.clone(),
        created_at: desk.now,
    };
    put(desk, BalancingChange::PutBalancer(Arc::new(balancer)));
    done(BalancingResource::Balancer(id))
}

/// Whether a load balancer is what is asked for once more.
fn same(there: &LoadBalancer, new: &NewBalancer) -> bool {
    there.kind == new.kind
        && there.scheme == new.scheme
        && there.addresses == new.addresses
        && there.subnets == new.subnets
        && there.security_groups == new.security_groups
}

/// `[internal-]NAME-NUMBER.REGION.elb.DOMAIN`, in AWS's form but for the domain.
fn dns_name(desk: &mut Desk<'_>, new: &NewBalancer, id: &BalancerId) -> String {
    let domain = match &new.names {
        Names::Under(domain) => domain,
        Names::Address(address) => return address.clone(),
    };
    let region = &desk.state.realm().region;
    let internal = match new.scheme {
        Scheme::Internal => "internal-",
        Scheme::InternetFacing => "",
    };
    let name = new.name.to_ascii_lowercase();
    match new.kind {
        BalancerKind::Application => {
            let number = 1_000_000_000 + desk.ids.below(9_000_000_000);
            format!("{internal}{name}-{number}.{region}.elb.{domain}")
        }
        BalancerKind::Network => {
            let tail = id.as_str().rsplit('/').next().unwrap_or_default();
            format!("{internal}{name}-{tail}.elb.{region}.{domain}")
        }
    }
}

pub(super) fn delete(desk: &mut Desk<'_>, id: &BalancerId) -> Decided {
    let book = desk.state.balancing();
    if let Some(balancer) = book.balancer(id) {
        if balancer.settings.deletion_protection {
            let arn = desk.state.realm().balancer(id);
            return Err(BalancingRejection::NotPermitted(format!(
                "Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
            )));
        }
        for listener in book.listeners(id) {
            listeners::remove(desk, listener);
        }
        put(desk, BalancingChange::DeleteBalancer(id.clone()));
    }
    done(BalancingResource::Balancer(id.clone()))
}

fn edit(
    desk: &mut Desk<'_>,
    id: &BalancerId,
    by: impl FnOnce(&mut LoadBalancer) -> Result<(), BalancingRejection>,
) -> Decided {
    let mut balancer = draft(find(desk, id)?);
    by(&mut balancer)?;
    put(desk, BalancingChange::PutBalancer(Arc::new(balancer)));
    done(BalancingResource::Balancer(id.clone()))
}

pub(super) fn set_subnets(
    desk: &mut Desk<'_>,
    id: &BalancerId,
    subnets: &[String],
    addresses: Option<IpAddressType>,
) -> Decided {
    edit(desk, id, |balancer| {
        balancer.subnets = subnets.to_vec();
        balancer.addresses = addresses.unwrap_or(balancer.addresses);
        Ok(())
    })
}

pub(super) fn set_security_groups(
    desk: &mut Desk<'_>,
    id: &BalancerId,
    groups: &[String],
) -> Decided {
    edit(desk, id, |balancer| {
        if balancer.kind == BalancerKind::Network && balancer.security_groups.is_empty() {
            return Err(BalancingRejection::InvalidConfiguration(
                "Security groups cannot be set on a network load balancer that was created without \
                 one"
                .to_owned(),
            ));
        }
        balancer.security_groups = groups.to_vec();
        Ok(())
    })
}

pub(super) fn set_addresses(
    desk: &mut Desk<'_>,
    id: &BalancerId,
    addresses: IpAddressType,
) -> Decided {
    edit(desk, id, |balancer| {
        balancer.addresses = addresses;
        Ok(())
    })
}

pub(super) fn set(
    desk: &mut Desk<'_>,
    id: &BalancerId,
    attributes: &[BalancerAttribute],
) -> Decided {
    edit(desk, id, |balancer| {
        let kind = balancer.kind;
        for attribute in attributes {
            if let Some(key) = of_the_other_kind(kind, attribute) {
                return Err(BalancingRejection::InvalidConfiguration(not_supported(kind, key)));
            }
            apply(&mut balancer.settings, attribute);
        }
        let settings = &balancer.settings;
        for (key, log) in
            [("access_logs", &settings.access_log), ("connection_logs", &settings.connection_log)]
        {
            if log.on && log.bucket.is_empty() {
                return Err(BalancingRejection::InvalidConfiguration(format!(
                    "{key}.s3.enabled is true and {key}.s3.bucket names no bucket; name one"
                )));
            }
        }
        Ok(())
    })
}

fn not_supported(kind: BalancerKind, key: &str) -> String {
    let kind = match kind {
        BalancerKind::Application => "application",
        BalancerKind::Network => "network",
    };
    format!(
        "Load balancer attribute key '{key}' is not supported on load balancers with type '{kind}'"
    )
}

/// The key of an attribute that load balancers of this kind do not have.
const fn of_the_other_kind(
    kind: BalancerKind,
    attribute: &BalancerAttribute,
) -> Option<&'static str> {
    use BalancerAttribute as A;
    match (kind, attribute) {
        (BalancerKind::Application, A::CrossZone(false)) => {
            Some("load_balancing.cross_zone.enabled=false")
        }
        (BalancerKind::Application, _)
        | (BalancerKind::Network, A::DeletionProtection(_) | A::CrossZone(_) | A::AccessLog(_)) => {
            None
        }
        (BalancerKind::Network, A::IdleTimeout(_)) => Some("idle_timeout.timeout_seconds"),
        (BalancerKind::Network, A::ClientKeepAlive(_)) => Some("client_keep_alive.seconds"),
        (BalancerKind::Network, A::Http2(_)) => Some("routing.http2.enabled"),
        (BalancerKind::Network, A::DropInvalidHeaders(_)) => {
            Some("routing.http.drop_invalid_header_fields.enabled")
        }
        (BalancerKind::Network, A::PreserveHost(_)) => {
            Some("routing.http.preserve_host_header.enabled")
        }
        (BalancerKind::Network, A::ForwardedFor(_)) => {
            Some("routing.http.xff_header_processing.mode")
        }
        (BalancerKind::Network, A::ForwardedClientPort(_)) => {
            Some("routing.http.xff_client_port.enabled")
        }
        (BalancerKind::Network, A::TlsHeaders(_)) => {
            Some("routing.http.x_amzn_tls_version_and_cipher_suite.enabled")
        }
        (BalancerKind::Network, A::Desync(_)) => Some("routing.http.desync_mitigation_mode"),
        (BalancerKind::Network, A::ConnectionLog(_)) => Some("connection_logs.s3"),
    }
}

fn apply(settings: &mut BalancerSettings, attribute: &BalancerAttribute) {
    use BalancerAttribute as A;
    match attribute {
        A::DeletionProtection(on) => settings.deletion_protection = *on,
        A::CrossZone(on) => settings.cross_zone = *on,
        A::IdleTimeout(time) => settings.idle_timeout = *time,
        A::ClientKeepAlive(time) => settings.client_keep_alive = *time,
        A::Http2(on) => settings.http2 = *on,
        A::DropInvalidHeaders(on) => settings.drop_invalid_headers = *on,
        A::PreserveHost(on) => settings.preserve_host = *on,
        A::ForwardedFor(mode) => settings.forwarded_for = *mode,
        A::ForwardedClientPort(on) => settings.forwarded_client_port = *on,
        A::TlsHeaders(on) => settings.tls_headers = *on,
        A::Desync(mode) => settings.desync = *mode,
        A::AccessLog(attribute) => apply_log(&mut settings.access_log, attribute),
        A::ConnectionLog(attribute) => apply_log(&mut settings.connection_log, attribute),
    }
}

fn apply_log(log: &mut TrafficLog, attribute: &LogAttribute) {
    match attribute {
        LogAttribute::On(on) => log.on = *on,
        LogAttribute::Bucket(bucket) => log.bucket.clone_from(bucket),
        LogAttribute::Prefix(prefix) => log.prefix.clone_from(prefix),
    }
}
