//! Access log entries of requests, and the line that an ALB writes for each.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html>

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stdx::Timestamp;

use crate::{BalancerId, CertificateId, GroupId};

/// A request as the access log tells it; its `Display` is the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessEntry {
    /// Whose log.
    pub balancer: BalancerId,
    /// The balancer's name in the line.
    pub balancer_name: Arc<str>,
    /// How the request came.
    pub kind: RequestKind,
    /// When the answer was complete.
    pub time: Timestamp,
    /// When the request came.
    pub created: Timestamp,
    /// Who asked.
    pub client: SocketAddr,
    /// Which target served it last, if one did.
    pub target: Option<SocketAddr>,
    /// From the request to its dispatch; none if it was not dispatched.
    pub request_time: Option<Duration>,
    /// From the dispatch to the head of the answer; none if none came.
    pub target_time: Option<Duration>,
    /// From the head of the answer until the client was begun to be answered; none if none came.
    pub response_time: Option<Duration>,
    /// The status that the client was given; 460 if it did not wait for one.
    pub elb_status: u16,
    /// The target's status.
    pub target_status: Option<u16>,
    /// The bytes from the client, of the head and the body; of a websocket all that came.
    pub received_bytes: u64,
    /// The bytes to the client, of the head and the body; of a websocket all that went.
    pub sent_bytes: u64,
    /// `GET http://host:80/path HTTP/1.1`.
    pub request: String,
    /// The client's `User-Agent`.
    pub user_agent: String,
    /// TLS: the cipher suite and the version.
    pub tls: Option<(String, String)>,
    /// The group that served it.
    pub group: Option<GroupId>,
    /// `X-Amzn-Trace-Id` as the target was told.
    pub trace_id: String,
    /// The server name of the TLS handshake.
    pub domain_name: Option<String>,
    /// The certificate that was shown.
    pub certificate: Option<CertificateId>,
    /// The rule that matched; none is the default one.
    pub rule_priority: Option<u32>,
    /// What was done: `forward`, `redirect` or `fixed-response`.
    pub action: Option<&'static str>,
    /// Where it was sent.
    pub redirect_url: Option<String>,
    /// Why it was refused; the text follows RFC 9112.
    pub refused: Option<&'static str>,
    /// The client's connection, which other requests may share.
    pub connection: u128,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// HTTP/1.
    Http,
    /// HTTP/1 over TLS.
    Https,
    /// HTTP/2 over TLS.
    H2,
    /// gRPC over TLS.
    Grpcs,
    /// A websocket.
    Ws,
    /// A websocket over TLS.
    Wss,
}

impl RequestKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2 => "h2",
            Self::Grpcs => "grpcs",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// What there is, or a hyphen.
pub(crate) struct Or<T>(pub(crate) Option<T>, pub(crate) &'static str);

impl<T: fmt::Display> fmt::Display for Or<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str(self.1),
        }
    }
}

/// Within quotes: quotes, backslashes and what does not print are escaped, so that a line is a line.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                ' '..='~' => write!(f, "{character}")?,
                other => write!(f, "\\x{:02x}", u32::from(other))?,
            }
        }
        f.write_str("\"")
    }
}

impl fmt::Display for AccessEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Option<Duration>| {
            Or(time.map(|time| format!("{:.3}", time.as_secs_f64())), "-1")
        };
        let or = |text: Option<&str>| format!("{}", Quoted(text.unwrap_or("-")));
        let micros = |instant: Timestamp| instant.rfc3339().replace('Z', "000Z");
        let target = Or(self.target, "-");
        let status = Or(self.target_status, "-");
        write!(
            f,
            "{} {} {} {} {target} ",
            self.kind.name(),
            micros(self.time),
            self.balancer_name,
            self.client
        )?;
        write!(
            f,
            "{} {} {} ",
            seconds(self.request_time),
            seconds(self.target_time),
            seconds(self.response_time)
        )?;
        write!(f, "{} {status} {} {} ", self.elb_status, self.received_bytes, self.sent_bytes)?;
        write!(
            f,
            "{} {} ",
            Quoted(&self.request),
            or(Some(&self.user_agent).filter(|a| !a.is_empty()).map(|a| a.as_str()))
        )?;
        let (cipher, version) =
            self.tls.as_ref().map_or(("-", "-"), |(cipher, version)| (cipher, version));
        write!(f, "{cipher} {version} {} ", Or(self.group.as_ref(), "-"))?;
        let certificate = self.certificate.as_ref().map(CertificateId::as_str);
        write!(
            f,
            "{} {} {} ",
            Quoted(&self.trace_id),
            or(self.domain_name.as_deref()),
            or(certificate)
        )?;
        let priority = match (self.rule_priority, self.action) {
            (Some(priority), _) => priority.to_string(),
            (None, Some(_)) => "0".to_owned(),
            (None, None) => "-".to_owned(),
        };
        write!(f, "{priority} {} {} ", micros(self.created), or(self.action))?;
        write!(f, "{} \"-\" ", or(self.redirect_url.as_deref()))?;
        let list =
            |text: String| if text == "-" { "\"-\"".to_owned() } else { format!("\"{text}\"") };
        write!(f, "{} {} ", list(target.to_string()), list(status.to_string()))?;
        let class = self.refused.map(|_| "Severe");
        write!(f, "{} {} TID_{:032x} ", or(class), or(self.refused), self.connection)?;
        // What a transform would have made of the host and the path; there are none.
        f.write_str("\"-\" \"-\" \"-\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_documented_fields() {
        let entry = AccessEntry {
            balancer: BalancerId::from("arn"),
            balancer_name: "app/my-lb/50dc6c495c0c9188".into(),
            kind: RequestKind::Http,
            time: Timestamp::from_millis(1_530_571_405_000),
            created: Timestamp::from_millis(1_530_571_404_123),
            client: "192.168.131.39:2817".parse().unwrap(),
            target: Some("10.0.0.1:80".parse().unwrap()),
            request_time: Some(Duration::ZERO),
            target_time: Some(Duration::from_millis(1)),
            response_time: Some(Duration::ZERO),
            elb_status: 200,
            target_status: Some(200),
            received_bytes: 34,
            sent_bytes: 366,
            request: "GET http://www.example.com:80/\"\n HTTP/1.1".to_owned(),
            user_agent: "curl/7.46.0".to_owned(),
            tls: None,
            group: Some(GroupId::from("arn:tg")),
            trace_id: "Root=1-58337262-36d228ad5d99923122bbe354".to_owned(),
            domain_name: None,
            certificate: None,
            rule_priority: None,
            action: Some("forward"),
            redirect_url: None,
            refused: None,
            connection: 0xabc,
        };
        assert_eq!(
            entry.to_string(),
            "http 2018-07-02T22:43:25.000000Z app/my-lb/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 \
             0.000 200 200 34 366 \"GET http://www.example.com:80/\\\"\\x0a HTTP/1.1\" \"curl/7.46.0\" - - arn:tg \
             \"Root=1-58337262-36d228ad5d99923122bbe354\" \"-\" \"-\" 0 2018-07-02T22:43:24.123000Z \"forward\" \"-\" \
             \"-\" \"10.0.0.1:80\" \"200\" \"-\" \"-\" TID_00000000000000000000000000000abc \"-\" \"-\" \"-\""
        );
        let refused = AccessEntry {
            elb_status: 400,
            target: None,
            action: None,
            refused: Some("x"),
            ..entry
        };
        let line = refused.to_string();
        assert!(line.contains("\"Severe\" \"x\" TID_") && line.contains(" - 2018-"), "{line}");
    }
}
