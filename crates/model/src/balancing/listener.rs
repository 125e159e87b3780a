//! Listeners and their rules: what comes in where, and where it goes.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Listener.html>

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{CertificateArn, GroupId, ListenerId, RuleId, Tags};

/// A port of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Where it is found.
    pub id: ListenerId,
    /// The port.
    pub port: u16,
    /// What is spoken on it.
    pub protocol: ListenerProtocol,
    /// The default certificate first, then those chosen by the name that a client asks for.
    pub certificates: Vec<CertificateArn>,
    /// The name of the policy that says which versions and ciphers of TLS are taken.
    pub tls_policy: Option<String>,
    /// Which application protocols a TLS listener of a network load balancer takes.
    pub alpn: Option<AlpnPolicy>,
    /// `tcp.idle_timeout.seconds` of a network load balancer's listener.
    pub tcp_idle_timeout: Option<Duration>,
    /// The rule for what no other takes.
    pub default_rule: RuleId,
    /// What that rule does.
    pub default_action: Action,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ListenerProtocol {
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
    /// Both.
    TcpUdp,
}

/// Which application protocols a TLS listener takes.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-listeners.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlpnPolicy {
    /// `HTTP1Only`
    Http1Only,
    /// `HTTP2Only`
    Http2Only,
    /// `HTTP2Optional`
    Http2Optional,
    /// `HTTP2Preferred`
    Http2Preferred,
    /// `None`
    None,
}

/// A rule of a listener of an application load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Where it is found.
    pub id: RuleId,
    /// Its place: the lowest that matches acts. 1 to 50,000, unique in its listener.
    pub priority: u32,
    /// All of them must hold.
    pub conditions: Vec<Condition>,
    /// What it does.
    pub action: Action,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a request must be: any of the values holds. `*` stands for any text, `?` for one character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Its host, without regard to case.
    Host(Vec<String>),
    /// Its path, without the query.
    Path(Vec<String>),
    /// A header.
    Header {
        /// Its name, without regard to case.
        name: String,
        /// Its value, without regard to case.
        values: Vec<String>,
    },
    /// Its method, as it is.
    Method(Vec<String>),
    /// Parameters of its query: a key where one is given, and a value.
    Query(Vec<(Option<String>, String)>),
    /// The client's address: CIDR blocks.
    SourceIp(Vec<String>),
}

/// What is done with a request or a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// It goes to a target.
    Forward(Forward),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    Fixed {
        /// The status: 2XX, 4XX or 5XX.
        code: u16,
        /// Such as `text/plain`.
        content_type: Option<String>,
        /// At most 1,024 bytes.
        body: Option<String>,
    },
}

/// To whom something goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// One to five groups.
    pub groups: Vec<Weighted>,
    /// A client stays with its group for so long.
    pub sticky: Option<Duration>,
}

/// A group's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighted {
    /// Which.
    pub group: GroupId,
    /// 0 to 999.
    pub weight: u32,
}

/// Where a client is sent. Parts may hold `#{protocol}`, `#{host}`, `#{port}`, `#{path}` and
/// `#{query}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// `HTTP`, `HTTPS` or `#{protocol}`.
    pub protocol: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: String,
    /// The path, with its slash.
    pub path: String,
    /// The query, without its question mark.
    pub query: String,
    /// 301 rather than 302.
    pub permanent: bool,
}

impl Action {
    /// The groups that it sends to, if it sends to any.
    pub fn groups(&self) -> impl Iterator<Item = &GroupId> {
        let groups = match self {
            Self::Forward(forward) => forward.groups.as_slice(),
            Self::Redirect(_) | Self::Fixed { .. } => &[],
        };
        groups.iter().map(|weighted| &weighted.group)
    }
}
