//! Log entries of connections: those that a network load balancer writes of TLS, and the connection log of
//! an application load balancer.
//!
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-access-logs.html>
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-connection-logs.html>

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use stdx::Timestamp;

use crate::access_log::Or;
use crate::{BalancerId, CertificateId, ListenerId};

/// What TLS agreed upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsAgreed {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as OpenSSL has it.
    pub cipher: String,
    /// The certificate that was shown.
    pub certificate: Option<CertificateId>,
    /// The server name that the client sent.
    pub server_name: Option<String>,
    /// The protocol of ALPN.
    pub alpn: Option<String>,
}

/// A connection by TLS to a network load balancer; its `Display` is the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowEntry {
    /// Whose log.
    pub balancer: BalancerId,
    /// The balancer's name in the line.
    pub balancer_name: String,
    /// Which listener took it; the line has the end of its name.
    pub listener: ListenerId,
    /// When it came.
    pub created: Timestamp,
    /// When it was over.
    pub time: Timestamp,
    /// Who came.
    pub client: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// How long it was there.
    pub lasted: Duration,
    /// How long the handshake took, of that; none if there was none.
    pub handshake: Option<Duration>,
    /// Bytes from the client, decrypted.
    pub received_bytes: u64,
    /// Bytes to the client, before they are encrypted.
    pub sent_bytes: u64,
    /// The alert by which the client ended the handshake.
    pub alert: Option<u8>,
    /// What was agreed upon; none if the handshake failed.
    pub tls: Option<TlsAgreed>,
}

impl fmt::Display for FlowEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listener = self.listener.as_str().rsplit('/').next().unwrap_or_default();
        let seconds = |at: Timestamp| at.rfc3339().split('.').next().unwrap_or_default().to_owned();
        write!(
            f,
            "tls 2.0 {} {} {listener} {} {} {} {} ",
            seconds(self.time),
            self.balancer_name,
            self.client,
            self.destination,
            self.lasted.as_millis(),
            Or(self.handshake.map(|time| time.as_millis()), "-"),
        )?;
        let tls = self.tls.as_ref();
        let version = tls.map(|tls| tls.version.to_ascii_lowercase().replace('.', ""));
        write!(
            f,
            "{} {} {} {} - {} {} - {} ",
            self.received_bytes,
            self.sent_bytes,
            Or(self.alert, "-"),
            Or(tls.and_then(|tls| tls.certificate.as_ref()), "-"),
            Or(tls.map(|tls| &tls.cipher), "-"),
            Or(version, "-"),
            Or(tls.and_then(|tls| tls.server_name.as_ref()).map(|name| encoded(name)), "-"),
        )?;
        // To targets there is no ALPN, and what else the client would have spoken is not kept.
        let alpn = tls.and_then(|tls| tls.alpn.as_ref());
        write!(f, "{} - - {}", Or(alpn, "-"), seconds(self.created))
    }
}

/// A connection to an application load balancer; its `Display` is the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionEntry {
    /// Whose log.
    pub balancer: BalancerId,
    /// When it stood, or failed to.
    pub time: Timestamp,
    /// Who came.
    pub client: SocketAddr,
    /// The listener's port.
    pub port: u16,
    /// How long the handshake took, if there was one.
    pub handshake: Option<Duration>,
    /// Whether the listener speaks TLS.
    pub secure: bool,
    /// What was agreed upon; none in clear, or if the handshake failed.
    pub tls: Option<TlsAgreed>,
    /// Its number, as entries of the access log have it too.
    pub connection: u128,
}

impl fmt::Display for ConnectionEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = self.tls.as_ref();
        let latency = self.handshake.filter(|_| tls.is_some());
        write!(
            f,
            "{} {} {} {} {} {} {} ",
            self.time.rfc3339().replace('Z', "000Z"),
            self.client.ip(),
            self.client.port(),
            self.port,
            Or(tls.map(|tls| tls.version), "-"),
            Or(tls.map(|tls| &tls.cipher), "-"),
            Or(latency.map(|time| format!("{:.3}", time.as_secs_f64())), "-"),
        )?;
        let status = match (self.secure, tls) {
            (false, _) => "-",
            (true, Some(_)) => "Success",
            (true, None) => "Failed:UnmappedConnectionError",
        };
        // Clients are not asked for certificates.
        write!(f, "\"-\" - - {status} TID_{:032x}", self.connection)
    }
}

/// A name as it stands in a line of fields that are parted by spaces.
fn encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::CONTROLS).to_string()
}

#[cfg(test)]
impl ConnectionEntry {
    /// One for tests.
    pub(crate) fn of_test(connection: u128) -> Self {
        Self {
            balancer: BalancerId::from("app/web/1"),
            time: Timestamp::from_millis(1_530_571_405_000),
            client: "192.0.2.1:4711".parse().unwrap(),
            port: 443,
            handshake: Some(Duration::from_millis(4)),
            secure: true,
            tls: Some(TlsAgreed {
                version: "TLSv1.3",
                cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
                certificate: Some(CertificateId::from("arn:cert")),
                server_name: Some("a.test".to_owned()),
                alpn: Some("h2".to_owned()),
            }),
            connection,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_documented_fields() {
        let connection = ConnectionEntry::of_test(0xabc);
        assert_eq!(
            connection.to_string(),
            "2018-07-02T22:43:25.000000Z 192.0.2.1 4711 443 TLSv1.3 TLS_AES_128_GCM_SHA256 0.004 \"-\" - - \
             Success TID_00000000000000000000000000000abc"
        );
        let flow = FlowEntry {
            balancer: BalancerId::from("net/web/1"),
            balancer_name: "net/web/1".to_owned(),
            listener: ListenerId::from("net/web/1/2"),
            created: connection.time,
            time: connection.time,
            client: connection.client,
            destination: "192.0.2.2:443".parse().unwrap(),
            lasted: Duration::from_millis(50),
            handshake: connection.handshake,
            received_bytes: 98,
            sent_bytes: 246,
            alert: None,
            tls: connection.tls.clone(),
        };
        assert_eq!(
            flow.to_string(),
            "tls 2.0 2018-07-02T22:43:25 net/web/1 2 192.0.2.1:4711 192.0.2.2:443 50 4 98 246 - arn:cert - \
             TLS_AES_128_GCM_SHA256 tlsv13 - a.test h2 - - 2018-07-02T22:43:25"
        );
        let failed = FlowEntry { alert: Some(48), tls: None, handshake: None, ..flow };
        assert!(failed.to_string().contains(" 50 - 98 246 48 - - - - - - - - - 2018-"), "{failed}");
        let failed = ConnectionEntry { tls: None, ..connection };
        let line = failed.to_string();
        assert!(line.contains(" 443 - - - \"-\" - - Failed:Unmapped"), "{line}");
        let clear = ConnectionEntry { secure: false, ..failed };
        assert!(clear.to_string().contains(" 443 - - - \"-\" - - - TID_"), "{clear}");
    }
}
