//! Target groups.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html>

use std::sync::Arc;
use std::time::Duration;

use model::{
    BalancingChange, BalancingResource, GroupId, GroupProtocol, GroupSettings, HealthCheck,
    Matcher, ProtocolVersion, Stickiness, StickyBy, TargetGroup,
};

use super::{Decided, done, draft, put, tail, within};
use crate::desk::Desk;
use crate::{BalancingLimit, BalancingRejection, GroupAttribute, HealthEdit, NewGroup};

/// The target group of that id.
pub(super) fn find<'s>(
    desk: &Desk<'s>,
    id: &GroupId,
) -> Result<&'s Arc<TargetGroup>, BalancingRejection> {
    let found = desk.state.balancing().group(id);
    found.ok_or_else(|| BalancingRejection::NoGroup(desk.state.realm().group(id)))
}

pub(super) fn create(desk: &mut Desk<'_>, new: &NewGroup) -> Decided {
    within(BalancingLimit::Tags, new.tags.0.len())?;
    check_health(new.protocol, new.version, &new.health)?;
    let book = desk.state.balancing();
    if let Some(there) = book.groups().find(|group| group.id.name() == new.name) {
        let same = there.protocol == new.protocol
            && there.version == new.version
            && there.port == new.port
            && there.kind == new.kind
            && there.vpc == new.vpc
            && there.health == new.health;
        if same {
            return done(BalancingResource::Group(there.id.clone()));
        }
        return Err(BalancingRejection::GroupExists(new.name.clone()));
    }
    within(BalancingLimit::Groups, book.groups().count() + 1)?;
    let id = GroupId::from(format!("{}/{}", new.name, tail(desk.ids)).as_str());
    let group = TargetGroup {
        id: id.clone(),
        protocol: new.protocol,
        version: new.version,
        port: new.port,
        kind: new.kind,
        vpc: new.vpc.clone(),
        health: new.health.clone(),
        settings: GroupSettings {
            sticky_by: if is_http(new.protocol) {
                StickyBy::BalancerCookie
            } else {
                StickyBy::SourceIp
            },
            ..GroupSettings::default()
        },
        tags: new.tags.clone(),
        created_at: desk.now,
    };
    put(desk, BalancingChange::PutGroup(Arc::new(group)));
    done(BalancingResource::Group(id))
}

pub(super) fn delete(desk: &mut Desk<'_>, id: &GroupId) -> Decided {
    let book = desk.state.balancing();
    if book.in_use(id) {
        return Err(BalancingRejection::GroupInUse(desk.state.realm().group(id)));
    }
    if book.group(id).is_some() {
        for target in book.targets(id) {
            put(desk, BalancingChange::DeleteTarget(target.key.clone()));
        }
        put(desk, BalancingChange::DeleteGroup(id.clone()));
    }
    done(BalancingResource::Group(id.clone()))
}

pub(super) fn edit_health(desk: &mut Desk<'_>, id: &GroupId, edit: &HealthEdit) -> Decided {
    let mut group = draft(find(desk, id)?);
    let health = &mut group.health;
    health.enabled = edit.enabled.unwrap_or(health.enabled);
    health.protocol = edit.protocol.unwrap_or(health.protocol);
    health.port = edit.port.unwrap_or(health.port);
    health.interval = edit.interval.unwrap_or(health.interval);
    health.timeout = edit.timeout.unwrap_or(health.timeout);
    health.healthy_threshold = edit.healthy_threshold.unwrap_or(health.healthy_threshold);
    health.unhealthy_threshold = edit.unhealthy_threshold.unwrap_or(health.unhealthy_threshold);
    if let Some(path) = &edit.path {
        health.path.clone_from(path);
    }
    if let Some(matcher) = &edit.matcher {
        health.matcher = matcher.clone();
    }
    if is_plain(health.protocol) && (edit.path.is_some() || edit.matcher.is_some()) {
        return Err(BalancingRejection::InvalidConfiguration(
            "Health check path and matcher are not supported for health checks with protocol TCP"
                .to_owned(),
        ));
    }
    check_health(group.protocol, group.version, &group.health)?;
    put(desk, BalancingChange::PutGroup(Arc::new(group)));
    done(BalancingResource::Group(id.clone()))
}

/// Whether targets are spoken to in HTTP.
pub(super) const fn is_http(protocol: GroupProtocol) -> bool {
    match protocol {
        GroupProtocol::Http | GroupProtocol::Https => true,
        GroupProtocol::Tcp | GroupProtocol::Tls | GroupProtocol::Udp | GroupProtocol::TcpUdp => {
            false
        }
    }
}

/// Whether a health check only connects.
const fn is_plain(protocol: GroupProtocol) -> bool {
    !is_http(protocol)
}

/// What of a health check goes together.
fn check_health(
    protocol: GroupProtocol,
    version: ProtocolVersion,
    health: &HealthCheck,
) -> Result<(), BalancingRejection> {
    let invalid = |what: String| Err(BalancingRejection::Invalid(what));
    if health.timeout > health.interval || (health.timeout == health.interval && is_http(protocol))
    {
        return invalid(format!(
            "Health check timeout '{}' must be smaller than the interval '{}'",
            health.timeout.as_secs(),
            health.interval.as_secs()
        ));
    }
    if !health.enabled && is_http(protocol) {
        return invalid(
            "Health check enabled must be true for target groups with target type 'instance' and 'ip'"
                .to_owned(),
        );
    }
    let possible = match health.protocol {
        GroupProtocol::Http | GroupProtocol::Https => true,
        GroupProtocol::Tcp => !is_http(protocol),
        GroupProtocol::Tls | GroupProtocol::Udp | GroupProtocol::TcpUdp => false,
    };
    if !possible {
        return invalid(format!(
            "Health check protocol {:?} is not supported for target groups with protocol {protocol:?}",
            health.protocol
        ));
    }
    let grpc = version == ProtocolVersion::Grpc;
    match &health.matcher {
        Matcher::Grpc(_) if !grpc => invalid(
            "Matcher: GrpcCode is only for target groups whose protocol version is GRPC".to_owned(),
        ),
        Matcher::Http(_) if grpc => invalid(
            "Matcher: a target group whose protocol version is GRPC takes GrpcCode, not HttpCode"
                .to_owned(),
        ),
        Matcher::Http(_) | Matcher::Grpc(_) => Ok(()),
    }
}

pub(super) fn set(desk: &mut Desk<'_>, id: &GroupId, attributes: &[GroupAttribute]) -> Decided {
    let mut group = draft(find(desk, id)?);
    let http = is_http(group.protocol);
    for attribute in attributes {
        if let Some(key) = of_the_other_kind(http, attribute) {
            return Err(BalancingRejection::InvalidConfiguration(format!(
                "Target group attribute key '{key}' is not supported on target groups with protocol {:?}",
                group.protocol
            )));
        }
        apply(&mut group.settings, attribute);
    }
    settle(&mut group)?;
    put(desk, BalancingChange::PutGroup(Arc::new(group)));
    done(BalancingResource::Group(id.clone()))
}

/// The key of an attribute that groups of this kind of protocol do not have.
const fn of_the_other_kind(http: bool, attribute: &GroupAttribute) -> Option<&'static str> {
    use GroupAttribute as A;
    match (http, attribute) {
        (true, A::TerminateConnections(_)) => {
            Some("deregistration_delay.connection_termination.enabled")
        }
        (true, A::ProxyProtocol(_)) => Some("proxy_protocol_v2.enabled"),
        (true, A::StickyBy(StickyBy::SourceIp)) => Some("stickiness.type=source_ip"),
        (false, A::StickyBy(StickyBy::BalancerCookie)) => Some("stickiness.type=lb_cookie"),
        (false, A::StickyBy(StickyBy::ApplicationCookie)) => Some("stickiness.type=app_cookie"),
        (false, A::BalancerCookie(_)) => Some("stickiness.lb_cookie.duration_seconds"),
        (false, A::ApplicationCookie(_)) => Some("stickiness.app_cookie.duration_seconds"),
        (false, A::ApplicationCookieName(_)) => Some("stickiness.app_cookie.cookie_name"),
        (false, A::Algorithm(_)) => Some("load_balancing.algorithm.type"),
        (false, A::SlowStart(_)) => Some("slow_start.duration_seconds"),
        _ => None,
    }
}

fn apply(settings: &mut GroupSettings, attribute: &GroupAttribute) {
    use GroupAttribute as A;
    match attribute {
        A::DeregistrationDelay(time) => settings.deregistration_delay = *time,
        A::TerminateConnections(on) => settings.terminate_connections = *on,
        A::Sticky(on) => settings.sticky = *on,
        A::StickyBy(by) => settings.sticky_by = *by,
        A::BalancerCookie(time) => settings.balancer_cookie = *time,
        A::ApplicationCookie(time) => settings.application_cookie = *time,
        A::ApplicationCookieName(name) => settings.application_cookie_name.clone_from(name),
        A::Algorithm(algorithm) => settings.algorithm = *algorithm,
        A::SlowStart(time) => settings.slow_start = *time,
        A::ProxyProtocol(on) => settings.proxy_protocol = *on,
        A::CrossZone(on) => settings.cross_zone = *on,
    }
}

/// What follows from the attributes together.
fn settle(group: &mut TargetGroup) -> Result<(), BalancingRejection> {
    let settings = &mut group.settings;
    if settings.slow_start > Duration::ZERO && settings.algorithm != model::Algorithm::RoundRobin {
        return Err(BalancingRejection::InvalidConfiguration(
            "Slow start is only for target groups whose algorithm is round_robin; set \
             slow_start.duration_seconds to 0 or load_balancing.algorithm.type to round_robin"
                .to_owned(),
        ));
    }
    settings.stickiness = match (settings.sticky, settings.sticky_by) {
        (false, _) => None,
        (true, StickyBy::BalancerCookie) => Some(Stickiness::Balancer(settings.balancer_cookie)),
        (true, StickyBy::ApplicationCookie) => {
            if settings.application_cookie_name.is_empty() {
                return Err(BalancingRejection::InvalidConfiguration(
                    "stickiness.type is app_cookie, which needs stickiness.app_cookie.cookie_name"
                        .to_owned(),
                ));
            }
            let cookie = settings.application_cookie_name.clone();
            Some(Stickiness::Application { cookie, lasts: settings.application_cookie })
        }
        (true, StickyBy::SourceIp) => Some(Stickiness::SourceIp),
    };
    Ok(())
}
