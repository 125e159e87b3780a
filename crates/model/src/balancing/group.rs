//! A target group: who answers, and how it is known that they can.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroup.html>

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{GroupId, Tags};

/// A target group. Its targets are records of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Where it is found.
    pub id: GroupId,
    /// How targets are spoken to.
    pub protocol: GroupProtocol,
    /// The version of HTTP, where it is HTTP.
    pub version: ProtocolVersion,
    /// Where targets listen that were registered without a port.
    pub port: u16,
    /// What targets are named by.
    pub kind: TargetKind,
    /// The VPC that was asked for.
    pub vpc: Option<String>,
    /// How it is known that a target can answer.
    pub health: HealthCheck,
    /// Its attributes.
    pub settings: GroupSettings,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Timestamp,
}

/// How targets are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GroupProtocol {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// Connections of TCP.
    Tcp,
    /// Connections of TLS.
    Tls,
    /// Datagrams.
    Udp,
    /// Both on one port.
    TcpUdp,
}

/// The version of HTTP that targets are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProtocolVersion {
    /// HTTP/1.1
    Http1,
    /// HTTP/2
    Http2,
    /// gRPC, which is HTTP/2.
    Grpc,
}

/// What targets are named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetKind {
    /// Ids of instances.
    Instance,
    /// Addresses.
    Ip,
}

/// How it is known that a target can answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Whether anybody asks; if nobody does, targets count as healthy.
    pub enabled: bool,
    /// How it is asked: HTTP, HTTPS or a connection of TCP.
    pub protocol: GroupProtocol,
    /// Where it is asked.
    pub port: HealthPort,
    /// What it is asked for, where it is HTTP.
    pub path: String,
    /// Which answers are good.
    pub matcher: Matcher,
    /// Between two questions.
    pub interval: Duration,
    /// So long an answer may take.
    pub timeout: Duration,
    /// So many good answers in a row make a target healthy.
    pub healthy_threshold: u32,
    /// So many bad answers in a row make it unhealthy.
    pub unhealthy_threshold: u32,
}

/// Where a health check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthPort {
    /// Where the target takes traffic.
    Traffic,
    /// Elsewhere.
    Port(u16),
}

/// Which answers are good: inclusive ranges of codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Matcher {
    /// HTTP status codes.
    Http(Vec<(u16, u16)>),
    /// gRPC status codes.
    Grpc(Vec<(u16, u16)>),
}

/// The attributes of a target group, typed.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupSettings {
    /// `deregistration_delay.timeout_seconds`: a target that leaves may finish what it has begun.
    pub deregistration_delay: Duration,
    /// `deregistration_delay.connection_termination.enabled`
    pub terminate_connections: bool,
    /// `stickiness.*`, when it is on: what follows from the members named `sticky` and `cookie`.
    pub stickiness: Option<Stickiness>,
    /// `stickiness.enabled`
    pub sticky: bool,
    /// `stickiness.type`
    pub sticky_by: StickyBy,
    /// `stickiness.lb_cookie.duration_seconds`
    pub balancer_cookie: Duration,
    /// `stickiness.app_cookie.duration_seconds`
    pub application_cookie: Duration,
    /// `stickiness.app_cookie.cookie_name`
    pub application_cookie_name: String,
    /// `load_balancing.algorithm.type`
    pub algorithm: Algorithm,
    /// `slow_start.duration_seconds`; zero is off.
    pub slow_start: Duration,
    /// `proxy_protocol_v2.enabled`
    pub proxy_protocol: bool,
    /// `preserve_client_ip.enabled`
    pub preserve_client_ip: bool,
    /// `load_balancing.cross_zone.enabled`; none follows the load balancer.
    pub cross_zone: Option<bool>,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            deregistration_delay: Duration::from_secs(300),
            terminate_connections: false,
            stickiness: None,
            sticky: false,
            sticky_by: StickyBy::BalancerCookie,
            balancer_cookie: Duration::from_secs(86_400),
            application_cookie: Duration::from_secs(86_400),
            application_cookie_name: String::new(),
            algorithm: Algorithm::RoundRobin,
            slow_start: Duration::ZERO,
            proxy_protocol: false,
            preserve_client_ip: false,
            cross_zone: None,
        }
    }
}

/// By what a client comes back to the same target, whether or not it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StickyBy {
    /// `lb_cookie`
    BalancerCookie,
    /// `app_cookie`
    ApplicationCookie,
    /// `source_ip`
    SourceIp,
}

/// How a client comes back to the same target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stickiness {
    /// By a cookie of the balancer's own, for so long.
    Balancer(Duration),
    /// By a cookie of the application's, for so long.
    Application {
        /// The cookie's name.
        cookie: String,
        /// For so long.
        lasts: Duration,
    },
    /// By its address.
    SourceIp,
}

/// How a target is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastOutstandingRequests,
    /// By chance.
    WeightedRandom,
}
