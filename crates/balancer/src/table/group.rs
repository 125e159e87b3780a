//! Target groups, their targets, and how the health of these is found out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use super::{GroupId, TargetKey};

/// A target group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Group {
    /// Its identity.
    pub id: GroupId,
    /// What its targets speak.
    pub protocol: GroupProtocol,
    /// How requests are put to them, if they speak HTTP.
    pub version: ProtocolVersion,
    /// Which target is next (`load_balancing.algorithm.type`).
    pub algorithm: Algorithm,
    /// Over what time a target that became healthy grows to its full share (`slow_start.duration_seconds`);
    /// zero is at once.
    pub slow_start: Duration,
    /// Whether and how a client stays with its target.
    pub stickiness: Option<Stickiness>,
    /// How long a target that leaves may finish what it has (`deregistration_delay.timeout_seconds`).
    pub deregistration_delay: Duration,
    /// Whether flows are cut when that time is over (`deregistration_delay.connection_termination.enabled`).
    /// Requests of HTTP groups always are.
    pub connection_termination: bool,
    /// Whether flows begin with a PROXY protocol header, version 2 (`proxy_protocol_v2.enabled`).
    pub proxy_protocol_v2: bool,
    /// How health is found out.
    pub health_check: HealthCheck,
    /// With fewer healthy targets than this, requests go to all of them
    /// (`target_group_health.unhealthy_state_routing.minimum_healthy_targets.count`).
    pub minimum_healthy_count: u32,
    /// The same as a share of the targets, 0 to 100; 0 is off
    /// (`target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage`).
    pub minimum_healthy_percent: u8,
    /// The targets.
    pub targets: BTreeMap<TargetKey, Arc<Target>>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            id: GroupId::from("group"),
            protocol: GroupProtocol::Http,
            version: ProtocolVersion::Http1,
            algorithm: Algorithm::RoundRobin,
            slow_start: Duration::ZERO,
            stickiness: None,
            deregistration_delay: Duration::from_secs(300),
            connection_termination: false,
            proxy_protocol_v2: false,
            health_check: HealthCheck::default(),
            minimum_healthy_count: 1,
            minimum_healthy_percent: 0,
            targets: BTreeMap::new(),
        }
    }
}

/// What a group's targets speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupProtocol {
    /// HTTP in clear.
    Http,
    /// HTTP over TLS; certificates of targets are not verified, as an ALB does not.
    Https,
    /// Bytes.
    Tcp,
    /// Bytes over TLS; certificates of targets are not verified.
    Tls,
    /// Datagrams.
    Udp,
    /// Bytes or datagrams, as the listener took them.
    TcpUdp,
}

/// How requests are put to targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, with prior knowledge or by ALPN.
    Http2,
    /// HTTP/2 that carries gRPC: errors of the balancer's own are told as gRPC has them.
    Grpc,
}

/// Which target is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastOutstandingRequests,
    /// Any, at random.
    WeightedRandom,
}

/// How a client stays with its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stickiness {
    /// A cookie that the balancer makes, `AWSALB`.
    LbCookie {
        /// For how long since the last request.
        duration: Duration,
    },
    /// A cookie that the application makes; the balancer adds `AWSALBAPP-0`.
    AppCookie {
        /// The application's cookie.
        name: String,
        /// For how long since the last answer that had it.
        duration: Duration,
    },
    /// The client's address; for TCP, TLS and UDP.
    SourceIp,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its identity within the group.
    pub key: TargetKey,
    /// Where it listens.
    pub address: SocketAddr,
    /// When it was registered. The same key with another instant is another registration, whose health
    /// begins anew.
    pub registered_at: Timestamp,
    /// Whether it stays.
    pub phase: Phase,
}

/// Where a target is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It serves when it is healthy.
    Registered,
    /// It is given nothing new, and finishes what it has until the group's delay is over.
    Draining {
        /// Since when.
        since: Timestamp,
    },
}

/// How a group's health is found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// Whether it is; if not, every target counts as healthy.
    pub enabled: bool,
    /// What is asked.
    pub protocol: HealthProtocol,
    /// At which port.
    pub port: ProbePort,
    /// The path, of HTTP and HTTPS; the method, of gRPC (`/AWS.ALB/healthcheck`).
    pub path: String,
    /// How often.
    pub interval: Duration,
    /// For how long an answer is awaited.
    pub timeout: Duration,
    /// Successes in a row that make an unhealthy target healthy. A new one needs a single success.
    pub healthy_threshold: u32,
    /// Failures in a row that make a target unhealthy.
    pub unhealthy_threshold: u32,
    /// Which answers are successes.
    pub matcher: Matcher,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            enabled: true,
            protocol: HealthProtocol::Http,
            port: ProbePort::Traffic,
            path: "/".to_owned(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: Matcher::Http(vec![CodeRange { first: 200, last: 200 }]),
        }
    }
}

/// What is asked of a target to find out its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthProtocol {
    /// A GET request in clear; with a group of gRPC, a call of the path.
    Http,
    /// The same over TLS.
    Https,
    /// A connection.
    Tcp,
    /// A connection with a TLS handshake.
    Tls,
}

/// Where a target's health is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbePort {
    /// Where its requests go (`traffic-port`).
    Traffic,
    /// This one.
    Port(u16),
}

/// Which answers are successes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matcher {
    /// Statuses of HTTP.
    Http(Vec<CodeRange>),
    /// Statuses of gRPC.
    Grpc(Vec<CodeRange>),
}

/// Codes from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl CodeRange {
    /// Whether the code is among them.
    pub const fn contains(self, code: u16) -> bool {
        self.first <= code && code <= self.last
    }
}
