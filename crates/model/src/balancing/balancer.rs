//! A load balancer.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancer.html>

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{BalancerId, Tags};

/// A load balancer. Its listeners and rules are records of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Where it is found.
    pub id: BalancerId,
    /// What it balances.
    pub kind: BalancerKind,
    /// For whom it is.
    pub scheme: Scheme,
    /// By which addresses it is reached.
    pub addresses: IpAddressType,
    /// The subnets that were asked for, one an availability zone.
    pub subnets: Vec<String>,
    /// The security groups that were asked for. They restrict nothing: the host's firewall does.
    pub security_groups: Vec<String>,
    /// The name by which clients reach it.
    pub dns_name: String,
    /// Its attributes.
    pub settings: BalancerSettings,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a load balancer balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BalancerKind {
    /// Requests: HTTP and HTTPS.
    Application,
    /// Connections and datagrams: TCP, TLS and UDP.
    Network,
}

/// For whom a load balancer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// Everyone who reaches its address.
    InternetFacing,
    /// Those inside.
    Internal,
}

/// By which addresses a load balancer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpAddressType {
    /// IPv4.
    Ipv4,
    /// IPv4 and IPv6.
    DualStack,
}

/// The attributes of a load balancer, typed.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BalancerSettings {
    /// `deletion_protection.enabled`
    pub deletion_protection: bool,
    /// `load_balancing.cross_zone.enabled`
    pub cross_zone: bool,
    /// `idle_timeout.timeout_seconds`: a connection on which nothing moves for so long is closed.
    pub idle_timeout: Duration,
    /// `client_keep_alive.seconds`: no connection of a client lives longer.
    pub client_keep_alive: Duration,
    /// `routing.http2.enabled`
    pub http2: bool,
    /// `routing.http.drop_invalid_header_fields.enabled`
    pub drop_invalid_headers: bool,
    /// `routing.http.preserve_host_header.enabled`
    pub preserve_host: bool,
    /// `routing.http.xff_header_processing.mode`
    pub forwarded_for: ForwardedFor,
    /// `routing.http.xff_client_port.enabled`
    pub forwarded_client_port: bool,
    /// `routing.http.x_amzn_tls_version_and_cipher_suite.enabled`
    pub tls_headers: bool,
    /// `routing.http.desync_mitigation_mode`
    pub desync: Desync,
    /// `access_logs.s3.*`
    pub access_log: TrafficLog,
    /// `connection_logs.s3.*`
    pub connection_log: TrafficLog,
}

/// Whether and where a load balancer's log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficLog {
    /// Whether it is written.
    pub on: bool,
    /// The bucket; it may be named before the log is on.
    pub bucket: String,
    /// What the keys of its objects begin with, without a slash at either end.
    pub prefix: String,
}

impl Default for BalancerSettings {
    fn default() -> Self {
        Self {
            deletion_protection: false,
            cross_zone: true,
            idle_timeout: Duration::from_secs(60),
            client_keep_alive: Duration::from_secs(3600),
            http2: true,
            drop_invalid_headers: false,
            preserve_host: false,
            forwarded_for: ForwardedFor::Append,
            forwarded_client_port: false,
            tls_headers: false,
            desync: Desync::Defensive,
            access_log: TrafficLog::default(),
            connection_log: TrafficLog::default(),
        }
    }
}

/// What becomes of `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardedFor {
    /// The client's address is added to it.
    Append,
    /// It goes on as it came.
    Preserve,
    /// It is taken away.
    Remove,
}

/// What becomes of requests that different servers read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Desync {
    /// Only what is certain to harm is refused.
    Monitor,
    /// What may harm is refused or travels alone.
    Defensive,
    /// Whatever is not by RFC 7230 is refused.
    Strictest,
}
