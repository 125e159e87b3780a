//! What may be asked of load balancers, and why it is refused.
//!
//! Values come read and checked by themselves: names, conditions, ranges. What depends on what else
//! there is, is decided in `decide::balancing`.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/Welcome.html>

use std::time::Duration;

use model::{
    Action, Algorithm, AlpnPolicy, BalancerId, BalancerKind, BalancingResource, CertificateArn,
    Condition, Desync, ForwardedFor, GroupId, GroupProtocol, HealthCheck, HealthPort,
    IpAddressType, ListenerId, ListenerProtocol, Matcher, Place, ProtocolVersion, RuleId, Scheme,
    Tags, TargetKind,
};

/// A command about balancing.
#[derive(Clone, Debug, PartialEq)]
pub enum BalancingCommand {
    /// CreateLoadBalancer. Again with the same settings: the one that is there.
    CreateBalancer(NewBalancer),
    /// DeleteLoadBalancer, with its listeners and rules. One that is gone is no error.
    DeleteBalancer(BalancerId),
    /// ModifyLoadBalancerAttributes.
    SetBalancer(BalancerId, Vec<BalancerAttribute>),
    /// SetSubnets.
    SetSubnets(BalancerId, Vec<String>, Option<IpAddressType>),
    /// SetSecurityGroups.
    SetSecurityGroups(BalancerId, Vec<String>),
    /// SetIpAddressType.
    SetAddresses(BalancerId, IpAddressType),
    /// CreateTargetGroup. Again with the same settings: the one that is there.
    CreateGroup(NewGroup),
    /// ModifyTargetGroup.
    EditHealth(GroupId, HealthEdit),
    /// DeleteTargetGroup: only one that no listener sends to. One that is gone is no error.
    DeleteGroup(GroupId),
    /// ModifyTargetGroupAttributes.
    SetGroup(GroupId, Vec<GroupAttribute>),
    /// RegisterTargets.
    Register(GroupId, Vec<NewTarget>),
    /// DeregisterTargets: those that are not there are no error.
    Deregister(GroupId, Vec<NewTarget>),
    /// CreateListener. Again with the same settings: the one that is there.
    CreateListener(NewListener),
    /// ModifyListener.
    EditListener(ListenerId, ListenerEdit),
    /// ModifyListenerAttributes: `tcp.idle_timeout.seconds`.
    SetTcpIdleTimeout(ListenerId, Duration),
    /// DeleteListener, with its rules. One that is gone is no error.
    DeleteListener(ListenerId),
    /// AddListenerCertificates.
    AddCertificates(ListenerId, Vec<CertificateArn>),
    /// RemoveListenerCertificates.
    RemoveCertificates(ListenerId, Vec<CertificateArn>),
    /// CreateRule.
    CreateRule(NewRule),
    /// ModifyRule: what is absent stays.
    EditRule(RuleId, Option<Vec<Condition>>, Option<Action>),
    /// DeleteRule.
    DeleteRule(RuleId),
    /// SetRulePriorities: all of them or none.
    SetPriorities(Vec<(RuleId, u32)>),
    /// AddTags: these win over those of the same key.
    Tag(Vec<BalancingResource>, Tags),
    /// RemoveTags.
    Untag(Vec<BalancingResource>, Vec<String>),
}

/// CreateLoadBalancer.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBalancer {
    /// Its name.
    pub name: String,
    /// What it balances.
    pub kind: BalancerKind,
    /// For whom it is.
    pub scheme: Scheme,
    /// By which addresses it is reached.
    pub addresses: IpAddressType,
    /// One subnet an availability zone.
    pub subnets: Vec<String>,
    /// Security groups.
    pub security_groups: Vec<String>,
    /// How it is called.
    pub names: Names,
    /// Its tags.
    pub tags: Tags,
}

/// How load balancers are called by their clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Each has a name of its own under this domain: `NAME-ID.REGION.elb.DOMAIN`.
    Under(String),
    /// All are reached by one address.
    Address(String),
}

/// An attribute of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BalancerAttribute {
    /// `deletion_protection.enabled`
    DeletionProtection(bool),
    /// `load_balancing.cross_zone.enabled`
    CrossZone(bool),
    /// `idle_timeout.timeout_seconds`
    IdleTimeout(Duration),
    /// `client_keep_alive.seconds`
    ClientKeepAlive(Duration),
    /// `routing.http2.enabled`
    Http2(bool),
    /// `routing.http.drop_invalid_header_fields.enabled`
    DropInvalidHeaders(bool),
    /// `routing.http.preserve_host_header.enabled`
    PreserveHost(bool),
    /// `routing.http.xff_header_processing.mode`
    ForwardedFor(ForwardedFor),
    /// `routing.http.xff_client_port.enabled`
    ForwardedClientPort(bool),
    /// `routing.http.x_amzn_tls_version_and_cipher_suite.enabled`
    TlsHeaders(bool),
    /// `routing.http.desync_mitigation_mode`
    Desync(Desync),
    /// `access_logs.s3.*`
    AccessLog(LogAttribute),
    /// `connection_logs.s3.*`
    ConnectionLog(LogAttribute),
}

/// An attribute of one of a load balancer's logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogAttribute {
    /// `enabled`
    On(bool),
    /// `bucket`
    Bucket(String),
    /// `prefix`
    Prefix(String),
}

/// CreateTargetGroup.
#[derive(Clone, Debug, PartialEq)]
pub struct NewGroup {
    /// Its name.
    pub name: String,
    /// How targets are spoken to.
    pub protocol: GroupProtocol,
    /// The version of HTTP.
    pub version: ProtocolVersion,
    /// Where targets listen.
    pub port: u16,
    /// What they are named by.
    pub kind: TargetKind,
    /// The VPC that was asked for.
    pub vpc: Option<String>,
    /// How it is known that they can answer.
    pub health: HealthCheck,
    /// Its tags.
    pub tags: Tags,
}

/// ModifyTargetGroup: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthEdit {
    /// Whether anybody asks.
    pub enabled: Option<bool>,
    /// How.
    pub protocol: Option<GroupProtocol>,
    /// Where.
    pub port: Option<HealthPort>,
    /// For what.
    pub path: Option<String>,
    /// Which answers are good.
    pub matcher: Option<Matcher>,
    /// Between two questions.
    pub interval: Option<Duration>,
    /// How long an answer may take.
    pub timeout: Option<Duration>,
    /// Good answers in a row.
    pub healthy_threshold: Option<u32>,
    /// Bad answers in a row.
    pub unhealthy_threshold: Option<u32>,
}

/// An attribute of a target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupAttribute {
    /// `deregistration_delay.timeout_seconds`
    DeregistrationDelay(Duration),
    /// `deregistration_delay.connection_termination.enabled`
    TerminateConnections(bool),
    /// `stickiness.enabled`
    Sticky(bool),
    /// `stickiness.type`
    StickyBy(model::StickyBy),
    /// `stickiness.lb_cookie.duration_seconds`
    BalancerCookie(Duration),
    /// `stickiness.app_cookie.duration_seconds`
    ApplicationCookie(Duration),
    /// `stickiness.app_cookie.cookie_name`
    ApplicationCookieName(String),
    /// `load_balancing.algorithm.type`
    Algorithm(Algorithm),
    /// `slow_start.duration_seconds`
    SlowStart(Duration),
    /// `proxy_protocol_v2.enabled`
    ProxyProtocol(bool),
    /// `load_balancing.cross_zone.enabled`; none is `use_load_balancer_configuration`.
    CrossZone(Option<bool>),
}

/// A target to register or to deregister.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTarget {
    /// Who.
    pub place: Place,
    /// Where it listens; the group's port unless given.
    pub port: Option<u16>,
    /// The availability zone that was given.
    pub zone: Option<String>,
}

/// CreateListener.
#[derive(Clone, Debug, PartialEq)]
pub struct NewListener {
    /// Of which load balancer.
    pub balancer: BalancerId,
    /// The port.
    pub port: u16,
    /// What is spoken.
    pub protocol: ListenerProtocol,
    /// At most one: the default certificate.
    pub certificates: Vec<CertificateArn>,
    /// The TLS policy, for TLS.
    pub tls_policy: Option<String>,
    /// Which application protocols are taken.
    pub alpn: Option<AlpnPolicy>,
    /// What is done.
    pub action: Action,
    /// Its tags.
    pub tags: Tags,
}

/// ModifyListener: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListenerEdit {
    /// The port.
    pub port: Option<u16>,
    /// What is spoken.
    pub protocol: Option<ListenerProtocol>,
    /// The default certificate.
    pub certificate: Option<CertificateArn>,
    /// The TLS policy.
    pub tls_policy: Option<String>,
    /// Which application protocols are taken.
    pub alpn: Option<AlpnPolicy>,
    /// What is done.
    pub action: Option<Action>,
}

/// CreateRule.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRule {
    /// Of which listener.
    pub listener: ListenerId,
    /// Its place.
    pub priority: u32,
    /// When it acts.
    pub conditions: Vec<Condition>,
    /// What it does.
    pub action: Action,
    /// Its tags.
    pub tags: Tags,
}

/// Why a command about balancing is refused. `Display` is the sentence; where AWS has one, it is AWS's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BalancingRejection {
    /// `LoadBalancerNotFound`
    #[error("Load balancer '{0}' not found")]
    NoBalancer(String),
    /// `TargetGroupNotFound`
    #[error("Target group '{0}' not found")]
    NoGroup(String),
    /// `ListenerNotFound`
    #[error("Listener '{0}' not found")]
    NoListener(String),
    /// `RuleNotFound`
    #[error("Rule '{0}' not found")]
    NoRule(String),
    /// `DuplicateLoadBalancerName`
    #[error("A load balancer with the same name '{0}' exists, but with different settings")]
    BalancerExists(String),
    /// `DuplicateTargetGroupName`
    #[error("A target group with the same name '{0}' exists, but with different settings")]
    GroupExists(String),
    /// `DuplicateListener`
    #[error("A listener already exists on this port for this load balancer '{0}'")]
    ListenerExists(String),
    /// `PriorityInUse`
    #[error("Priority '{0}' is currently in use")]
    PriorityInUse(u32),
    /// `ResourceInUse`
    #[error("Target group '{0}' is currently in use by a listener or a rule")]
    GroupInUse(String),
    /// `OperationNotPermitted`
    #[error("{0}")]
    NotPermitted(String),
    /// `TargetGroupAssociationLimit`
    #[error(
        "The following target groups cannot be associated with more than one load balancer: {0}"
    )]
    GroupTaken(String),
    /// `IncompatibleProtocols`
    #[error("{0}")]
    IncompatibleProtocols(String),
    /// `UnsupportedProtocol`
    #[error("{0}")]
    UnsupportedProtocol(String),
    /// `InvalidConfigurationRequest`
    #[error("{0}")]
    InvalidConfiguration(String),
    /// `InvalidTarget`
    #[error("The following targets are not in a running state and cannot be registered: {0}")]
    NoSuchTarget(String),
    /// `ValidationError`
    #[error("{0}")]
    Invalid(String),
    /// `TooManyLoadBalancers`, `TooManyTargets` and so on.
    #[error("{}", too_many(*.0, *.1))]
    TooMany(BalancingLimit, usize),
}

/// What there may be so many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalancingLimit {
    /// Load balancers of a kind in an account and region.
    Balancers,
    /// Target groups in an account and region.
    Groups,
    /// Listeners of a load balancer.
    Listeners,
    /// Rules of a load balancer, default ones left out.
    Rules,
    /// Targets of a target group.
    Targets,
    /// Certificates of a load balancer, default ones left out.
    Certificates,
    /// Tags of a resource.
    Tags,
}

impl BalancingLimit {
    /// How many there may be. Of listeners, targets, certificates and tags it is AWS's quota; of
    /// load balancers, groups and rules AWS's own may be raised on request, and here they are.
    pub const fn most(self) -> usize {
        match self {
            Self::Balancers => 1_000,
            Self::Groups => 10_000,
            Self::Listeners => 50,
            Self::Rules => 10_000,
            Self::Targets => 1_000,
            Self::Certificates => 25,
            Self::Tags => Tags::MOST,
        }
    }
}

fn too_many(limit: BalancingLimit, would_be: usize) -> String {
    let what = match limit {
        BalancingLimit::Balancers => "load balancers",
        BalancingLimit::Groups => "target groups",
        BalancingLimit::Listeners => "listeners of the load balancer",
        BalancingLimit::Rules => "rules of the load balancer",
        BalancingLimit::Targets => "targets of the target group",
        BalancingLimit::Certificates => "certificates of the load balancer",
        BalancingLimit::Tags => "tags of the resource",
    };
    format!("The maximum number of {what} is {}; there would be {would_be}", limit.most())
}
