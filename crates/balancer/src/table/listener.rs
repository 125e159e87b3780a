//! Listeners, and what their balancer's attributes ask of each.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Action, BalancerId, CertificateId, ListenerId, Rule};

/// One port on which connections are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Its identity: the same listener in the next table keeps its socket.
    pub id: ListenerId,
    /// The balancer that it belongs to.
    pub balancer: Arc<BalancerSettings>,
    /// The addresses to bind; the first one's outcome is the listener's.
    pub bind: Vec<IpAddr>,
    /// The port; 0 lets the system choose, which only tests want.
    pub port: u16,
    /// What is spoken there.
    pub protocol: ListenerProtocol,
    /// The rules in rising order of priority. Only HTTP and HTTPS listeners have any.
    #[serde(default)]
    pub rules: Vec<Arc<Rule>>,
    /// What happens when no rule matches. TCP, TLS and UDP listeners know [`Action::Forward`] only.
    pub default_action: Action,
    /// How long a TCP flow may be silent (`tcp.idle_timeout.seconds`, 350 s by default); HTTP listeners
    /// use [`BalancerSettings::idle_timeout`].
    #[serde(default = "tcp_idle_timeout")]
    pub tcp_idle_timeout: Duration,
}

fn tcp_idle_timeout() -> Duration {
    Duration::from_secs(350)
}

/// What a listener speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerProtocol {
    /// HTTP/1.1 in clear.
    Http,
    /// HTTP/1.1 or HTTP/2 over TLS.
    Https(TlsSettings),
    /// Bytes.
    Tcp,
    /// Bytes over TLS that ends here.
    Tls(TlsSettings),
    /// Datagrams.
    Udp,
    /// Bytes and datagrams on the same port number.
    TcpUdp,
}

/// What kind of socket is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// A listening TCP socket.
    Tcp,
    /// A UDP socket.
    Udp,
}

impl ListenerProtocol {
    /// The TLS settings, if it speaks TLS.
    pub const fn tls(&self) -> Option<&TlsSettings> {
        match self {
            Self::Https(tls) | Self::Tls(tls) => Some(tls),
            Self::Http | Self::Tcp | Self::Udp | Self::TcpUdp => None,
        }
    }

    /// The sockets that it takes.
    pub const fn transports(&self) -> &'static [Transport] {
        match self {
            Self::Http | Self::Https(_) | Self::Tcp | Self::Tls(_) => &[Transport::Tcp],
            Self::Udp => &[Transport::Udp],
            Self::TcpUdp => &[Transport::Tcp, Transport::Udp],
        }
    }

    /// Whether requests are read, rather than bytes passed on.
    pub const fn is_http(&self) -> bool {
        matches!(self, Self::Http | Self::Https(_))
    }
}

/// How TLS ends at a listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TlsSettings {
    /// The certificate for clients whose server name matches no other.
    pub default_certificate: Arc<Certificate>,
    /// Further certificates, chosen by the server name that the client sends.
    #[serde(default)]
    pub certificates: Vec<Arc<Certificate>>,
    /// The oldest version that is spoken.
    #[serde(default)]
    pub minimum: TlsVersion,
    /// Whether nothing newer than TLS 1.2 is spoken (the policies before TLS 1.3).
    #[serde(default)]
    pub only_tls12: bool,
    /// Which protocols a TLS listener offers; an HTTPS listener offers HTTP/2 when its balancer does.
    #[serde(default)]
    pub alpn: AlpnPolicy,
}

/// A certificate with its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its identity, as access logs tell it.
    pub id: CertificateId,
    /// The certificate and the chain, in PEM.
    pub chain_pem: String,
    /// The private key in PEM: PKCS#8, PKCS#1 or SEC 1.
    pub key_pem: String,
}

impl fmt::Debug for Certificate {
    // The key stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The versions of TLS that are spoken; older ones are broken and rustls has none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsVersion {
    /// TLS 1.2 and newer.
    #[default]
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

/// A TLS listener's ALPN policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlpnPolicy {
    /// No negotiation.
    #[default]
    None,
    /// `http/1.1` and `http/1.0` only.
    Http1Only,
    /// `h2` only.
    Http2Only,
    /// HTTP/1.1 before HTTP/2.
    Http2Optional,
    /// HTTP/2 before HTTP/1.1.
    Http2Preferred,
}

/// A balancer's attributes, as far as the data plane acts upon them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BalancerSettings {
    /// Its identity.
    pub id: BalancerId,
    /// Its name in access logs: `app/my-balancer/50dc6c495c0c9188`.
    pub name: String,
    /// How long a connection may be silent (`idle_timeout.timeout_seconds`).
    pub idle_timeout: Duration,
    /// How long a client's connection is kept in all (`client_keep_alive.seconds`).
    pub client_keep_alive: Duration,
    /// Whether HTTPS listeners offer HTTP/2 (`routing.http2.enabled`).
    pub http2: bool,
    /// Whether header fields with names that RFC 9110 does not allow are dropped rather than passed on
    /// (`routing.http.drop_invalid_header_fields.enabled`).
    pub drop_invalid_header_fields: bool,
    /// What becomes of `X-Forwarded-For` (`routing.http.xff_header_processing.mode`).
    pub xff: XffMode,
    /// Whether `X-Forwarded-For` has the client's port too (`routing.http.xff_client_port.enabled`).
    pub xff_client_port: bool,
    /// Whether the client's `Host` is passed on as it came, without a port added
    /// (`routing.http.preserve_host_header.enabled`).
    pub preserve_host_header: bool,
    /// Whether targets are told of TLS by `x-amzn-tls-version` and `x-amzn-tls-cipher-suite`
    /// (`routing.http.x_amzn_tls_version_and_cipher_suite.enabled`).
    pub tls_headers: bool,
    /// How requests are treated whose bounds two servers may see differently
    /// (`routing.http.desync_mitigation_mode`).
    pub desync: DesyncMode,
    /// Whether entries are written to the access log (`access_logs.s3.enabled`).
    pub access_log: bool,
    /// Whether entries are written to the connection log (`connection_logs.s3.enabled`).
    pub connection_log: bool,
}

impl Default for BalancerSettings {
    fn default() -> Self {
        Self {
            id: BalancerId::from("balancer"),
            name: "app/balancer/0".to_owned(),
            idle_timeout: Duration::from_secs(60),
            client_keep_alive: Duration::from_secs(3600),
            http2: true,
            drop_invalid_header_fields: false,
            xff: XffMode::Append,
            xff_client_port: false,
            preserve_host_header: false,
            tls_headers: false,
            desync: DesyncMode::Defensive,
            access_log: false,
            connection_log: false,
        }
    }
}

/// What becomes of `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum XffMode {
    /// The client's address is added at the end.
    #[default]
    Append,
    /// It is passed on as it came.
    Preserve,
    /// It is taken away.
    Remove,
}

/// How ambiguous requests are treated. In every mode a request is forwarded only in a form that has one
/// reading, and one whose bounds are doubtful (both lengths, two lengths, a malformed chunk) is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DesyncMode {
    /// Ambiguity that cannot be used against a target is let through.
    Monitor,
    /// The same, and the client's connection is closed after such a request.
    #[default]
    Defensive,
    /// Only requests that follow RFC 9112 to the letter are let through.
    Strictest,
}
