//! How a request's and an answer's header fields change on their way.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::header::{CONNECTION, EXPECT, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue};
use stdx::Timestamp;

use crate::{BalancerSettings, XffMode};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const TLS_VERSION: HeaderName = HeaderName::from_static("x-amzn-tls-version");
const TLS_CIPHER: HeaderName = HeaderName::from_static("x-amzn-tls-cipher-suite");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The most addresses in `X-Forwarded-For`; with more an ALB answers 463.
const FORWARDED_LIMIT: usize = 30;

/// What is known of the connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Via<'a> {
    pub(crate) client: SocketAddr,
    pub(crate) port: u16,
    pub(crate) names: &'a Names,
    /// The version and the cipher suite, if it is TLS.
    pub(crate) tls: Option<(&'a str, &'a str)>,
}

/// Both ends of a client's connection, as fields tell them to each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    client: HeaderValue,
    port: HeaderValue,
}

impl Names {
    pub(crate) fn new(client: SocketAddr, port: u16) -> Self {
        let client = client.ip().to_canonical().to_string();
        let client = HeaderValue::try_from(client).unwrap_or(HeaderValue::from_static("-"));
        Self { client, port: HeaderValue::from(port) }
    }
}

/// `X-Forwarded-For` has more addresses than an ALB takes.
pub(crate) fn too_many_forwards(headers: &HeaderMap) -> bool {
    headers.contains_key(&FORWARDED_FOR)
        && headers
            .get_all(&FORWARDED_FOR)
            .iter()
            .map(|value| value.as_bytes().iter().filter(|byte| **byte == b',').count() + 1)
            .sum::<usize>()
            > FORWARDED_LIMIT
}

/// Which fields that are rare a message has: one look at the names is cheaper than a search for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rare(u16);

const RARE: [HeaderName; 11] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
    TE,
    EXPECT,
    TLS_VERSION,
    TLS_CIPHER,
    FORWARDED_FOR,
];

impl Rare {
    /// Those that concern one connection.
    const HOP_BY_HOP: u16 = 0x7f;

    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut found = 0;
        for name in headers.keys() {
            // Their lengths tell most other names apart.
            if matches!(name.as_str().len(), 2 | 6 | 7 | 10 | 14 | 15 | 16 | 17 | 18 | 23)
                && let Some(place) = RARE.iter().position(|rare| rare == name)
            {
                found |= 1 << place;
            }
        }
        Self(found)
    }

    fn has(self, name: &HeaderName) -> bool {
        RARE.iter().position(|rare| rare == name).is_some_and(|place| self.0 & 1 << place != 0)
    }

    fn take(self, headers: &mut HeaderMap, name: &HeaderName) {
        if self.has(name) {
            headers.remove(name);
        }
    }
}

/// Takes away what concerns one connection only (RFC 9110, 7.6.1). `switch` keeps what asks for another
/// protocol, and `trailers` what says that trailers are understood.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap, rare: Rare, switch: bool, trailers: bool) {
    if rare.0 & Rare::HOP_BY_HOP == 0 {
        return;
    }
    let upgrade = if switch { headers.get(UPGRADE).cloned() } else { None };
    if rare.has(&CONNECTION) {
        for name in named(headers, trailers) {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE, HTTP2_SETTINGS] {
        rare.take(headers, &name);
    }
    if rare.has(&TE) && !(trailers && headers.get(TE).is_some_and(|te| te == "trailers")) {
        headers.remove(TE);
    }
    if let Some(upgrade) = upgrade {
        headers.insert(UPGRADE, upgrade);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// The fields that `Connection` names, but for those that say whose and how long the message is: these are
/// not for either side to take away.
fn named(headers: &HeaderMap, trailers: bool) -> Vec<HeaderName> {
    let usual = |value: &HeaderValue| {
        let value = value.as_bytes();
        value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
    };
    headers
        .get_all(CONNECTION)
        .iter()
        .filter(|value| !usual(value))
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != HOST && *name != http::header::CONTENT_LENGTH && *name != TRACE_ID)
        .filter(|name| !(trailers && *name == TE))
        .collect()
}

/// What a request's fields become on their way to a target: RFC 9110's rules, and the fields that an ALB
/// adds. `trace` are random bits for a new trace; it is put to `trace_out` as it is told to the target.
pub(crate) fn to_target(
    headers: &mut HeaderMap,
    rare: Rare,
    settings: &BalancerSettings,
    via: Via<'_>,
    trace: (Timestamp, u128),
) -> HeaderValue {
    // The connection's own 100 is sent when the target's side wants the body.
    rare.take(headers, &EXPECT);
    if settings.drop_invalid_header_fields {
        drop_invalid(headers);
    }
    forwarded_for(headers, rare, settings, via);
    let proto = if via.tls.is_some() { "https" } else { "http" };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
    headers.insert(FORWARDED_PORT, via.names.port.clone());
    for (name, at) in [(TLS_VERSION, 0), (TLS_CIPHER, 1)] {
        let value =
            via.tls.filter(|_| settings.tls_headers).map(|tls| if at == 0 { tls.0 } else { tls.1 });
        match value.and_then(|value| HeaderValue::from_str(value).ok()) {
            Some(value) => drop(headers.insert(name, value)),
            // A client must not pretend to them.
            None => rare.take(headers, &name),
        }
    }
    if !settings.preserve_host_header {
        add_port(headers, via);
    }
    let id = trace_id(headers.get(&TRACE_ID), trace.0, trace.1);
    headers.insert(TRACE_ID, id.clone());
    id
}

fn forwarded_for(headers: &mut HeaderMap, rare: Rare, settings: &BalancerSettings, via: Via<'_>) {
    let client = via.client;
    match settings.xff {
        XffMode::Preserve => {}
        XffMode::Remove => rare.take(headers, &FORWARDED_FOR),
        XffMode::Append if !rare.has(&FORWARDED_FOR) && !settings.xff_client_port => {
            headers.insert(FORWARDED_FOR, via.names.client.clone());
        }
        XffMode::Append => {
            let mut text = String::with_capacity(48);
            for value in
                headers.get_all(&FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok())
            {
                text.push_str(value);
                text.push_str(", ");
            }
            let address = client.ip().to_canonical();
            let written = match (settings.xff_client_port, address) {
                (false, address) => address.to_string(),
                (true, IpAddr::V4(address)) => format!("{address}:{}", client.port()),
                (true, IpAddr::V6(address)) => format!("[{address}]:{}", client.port()),
            };
            text.push_str(&written);
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(FORWARDED_FOR, value);
            }
        }
    }
}

/// An ALB adds its port to a host without one, unless the port is usual.
fn add_port(headers: &mut HeaderMap, via: Via<'_>) {
    if matches!(via.port, 80 | 443) {
        return;
    }
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return };
    let after_brackets = host.rsplit(']').next().unwrap_or(host);
    if host.is_empty() || after_brackets.contains(':') {
        return;
    }
    let mut whole = Vec::with_capacity(host.len() + 6);
    whole.extend_from_slice(host.as_bytes());
    whole.push(b':');
    whole.extend_from_slice(via.names.port.as_bytes());
    if let Ok(value) = HeaderValue::try_from(whole) {
        headers.insert(HOST, value);
    }
}

/// Takes away fields whose names have other characters than letters, digits and hyphens.
fn drop_invalid(headers: &mut HeaderMap) {
    let plain = |name: &HeaderName| {
        name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if headers.keys().all(plain) {
        return;
    }
    let invalid: Vec<HeaderName> = headers.keys().filter(|name| !plain(name)).cloned().collect();
    for name in invalid {
        headers.remove(name);
    }
}

/// The trace of a request: a new root, or the balancer's own part before the client's root.
fn trace_id(given: Option<&HeaderValue>, now: Timestamp, random: u128) -> HeaderValue {
    let mut id = String::with_capacity(41);
    id.push_str("Root=1-");
    push_hex(&mut id, u128::from(now.as_secs().cast_unsigned()), 8);
    id.push('-');
    push_hex(&mut id, random >> 32, 24);
    let given = given.and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    let text = match given {
        None => id,
        Some(text) => {
            let kept: Vec<&str> =
                text.split(';').filter(|part| !part.trim().starts_with("Self=")).collect();
            let name = if kept.iter().any(|part| part.trim().starts_with("Root=")) {
                "Self"
            } else {
                "Root"
            };
            format!("{name}={};{}", &id["Root=".len()..], kept.join(";"))
        }
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// The last digits of a number.
fn push_hex(text: &mut String, number: u128, digits: u32) {
    for digit in (0..digits).rev() {
        let nibble = (number >> (digit * 4)) & 0xf;
        text.push(char::from_digit(u32::try_from(nibble).unwrap_or(0), 16).unwrap_or('0'));
    }
}

/// What an answer's fields become on their way to the client. `named` keeps which trailers are announced.
pub(crate) fn to_client(headers: &mut HeaderMap, switch: bool) {
    let rare = Rare::of(headers);
    if rare.0 & Rare::HOP_BY_HOP == 0 {
        return;
    }
    let announced = headers.get(TRAILER).cloned();
    strip_hop_by_hop(headers, rare, switch, false);
    if let Some(announced) = announced {
        headers.insert(TRAILER, announced);
    }
}

/// The host that rules look at: in lower case, without port.
pub(crate) fn bare_host(host: &str) -> Cow<'_, str> {
    let without = match host.rfind(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or(host),
    };
    if without.bytes().any(|byte| byte.is_ascii_uppercase()) {
        without.to_ascii_lowercase().into()
    } else {
        without.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn every_rare_field_is_found_in_the_one_look() {
        for name in RARE {
            let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("x"))]);
            let rare = Rare::of(&headers);
            assert!(rare.has(&name), "{name}: its length is not looked at");
            assert!(RARE.iter().all(|other| *other == name || !rare.has(other)));
        }
    }

    fn sent(
        fields: &[(&'static str, &str)],
        settings: &BalancerSettings,
        tls: Option<(&str, &str)>,
    ) -> HeaderMap {
        let mut headers = map(fields);
        let client = "192.0.2.9:4711".parse().unwrap();
        let via = Via { client, port: 8080, names: &Names::new(client, 8080), tls };
        let rare = Rare::of(&headers);
        to_target(
            &mut headers,
            rare,
            settings,
            via,
            (Timestamp::from_millis(0x5f00_0000_i64 * 1000), 7 << 32),
        );
        headers
    }

    #[test]
    fn an_albs_fields_are_added() {
        let settings = BalancerSettings::default();
        let headers = sent(
            &[
                ("host", "a"),
                ("x-forwarded-for", "10.0.0.1"),
                ("expect", "100-continue"),
                ("x-amzn-tls-version", "x"),
            ],
            &settings,
            None,
        );
        assert_eq!(headers["x-forwarded-for"], "10.0.0.1, 192.0.2.9");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-port"], "8080");
        assert_eq!(headers["host"], "a:8080");
        assert_eq!(headers["x-amzn-trace-id"], "Root=1-5f000000-000000000000000000000007");
        assert!(!headers.contains_key("expect") && !headers.contains_key("x-amzn-tls-version"));

        let settings = BalancerSettings {
            xff_client_port: true,
            preserve_host_header: true,
            tls_headers: true,
            drop_invalid_header_fields: true,
            ..settings
        };
        let headers = sent(
            &[("host", "a"), ("x_y", "z"), ("x-amzn-trace-id", "Self=1-x;Root=1-a-b;k=v")],
            &settings,
            Some(("TLSv1.3", "TLS_AES")),
        );
        assert_eq!(headers["x-forwarded-for"], "192.0.2.9:4711");
        assert_eq!(
            (&headers["host"], &headers["x-forwarded-proto"]),
            (&"a".parse().unwrap(), &"https".parse().unwrap())
        );
        assert_eq!(headers["x-amzn-tls-version"], "TLSv1.3");
        assert!(!headers.contains_key("x_y"));
        assert_eq!(
            headers["x-amzn-trace-id"],
            "Self=1-5f000000-000000000000000000000007;Root=1-a-b;k=v"
        );

        let keep = BalancerSettings { xff: XffMode::Preserve, ..BalancerSettings::default() };
        assert_eq!(sent(&[("x-forwarded-for", "z")], &keep, None)["x-forwarded-for"], "z");
        let remove = BalancerSettings { xff: XffMode::Remove, ..BalancerSettings::default() };
        assert!(!sent(&[("x-forwarded-for", "z")], &remove, None).contains_key("x-forwarded-for"));
    }

    #[test]
    fn what_concerns_one_connection_stays_there() {
        let fields = [
            ("connection", "close, X-Private, Host, content-length"),
            ("x-private", "1"),
            ("host", "a"),
            ("content-length", "5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("keep-alive", "5"),
        ];
        let mut headers = map(&fields);
        let rare = Rare::of(&headers);
        strip_hop_by_hop(&mut headers, rare, false, true);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "host", "te"]);
        let mut headers = map(&fields);
        strip_hop_by_hop(&mut headers, rare, true, false);
        assert_eq!(
            (&headers["upgrade"], &headers["connection"]),
            (&"websocket".parse().unwrap(), &"upgrade".parse().unwrap())
        );
    }

    #[test]
    fn hosts_lose_their_ports_and_long_chains_are_seen() {
        for (host, bare) in
            [("A.b:80", "a.b"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("", "")]
        {
            assert_eq!(bare_host(host), bare);
        }
        assert!(!too_many_forwards(&map(&[("x-forwarded-for", &["1.1.1.1"; 30].join(","))])));
        assert!(too_many_forwards(&map(&[
            ("x-forwarded-for", &["1.1.1.1"; 30].join(",")),
            ("x-forwarded-for", "2")
        ])));
    }
}
