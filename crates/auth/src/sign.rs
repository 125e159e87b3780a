//! Signing a request as a client does: in the header, in the query, or for a websocket.

use std::time::Duration;

use stdx::Timestamp;

use crate::canonical::{self, encode, query_pairs};
use crate::crypto::{EMPTY_SHA256, hmac, sha256_hex};
use crate::scope::{ALGORITHM, Scope, signing_key, string_to_sign};
use crate::{Body, Credentials, SignedRequest};

/// Headers that a hop on the way may change or take away, and that are therefore never signed.
const NEVER_SIGNED: [&str; 7] = [
    "authorization",
    "connection",
    "expect",
    "te",
    "transfer-encoding",
    "user-agent",
    "x-amzn-trace-id",
];

/// A request to be signed. Names of headers are lower-case, and `host` must be among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path as it will be sent.
    pub path: String,
    /// The query as it will be sent, without the `?`.
    pub query: String,
    /// Lower-case names and values.
    pub headers: Vec<(String, String)>,
}

/// A URL that cannot be signed for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sign for {url}: not a URL of the form scheme://host[:port][/path][?query]")]
pub struct UrlError {
    url: String,
}

impl Outgoing {
    /// A request to this URL with its `host` header.
    ///
    /// # Errors
    /// A URL without scheme or host.
    pub fn to(method: &str, url: &str) -> Result<Self, UrlError> {
        let wrong = || UrlError { url: url.to_owned() };
        let (_, rest) = url.split_once("://").ok_or_else(wrong)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let host = authority.rsplit('@').next().unwrap_or_default();
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(wrong());
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Self {
            method: method.to_owned(),
            path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
            query: query.to_owned(),
            headers: vec![("host".to_owned(), host.to_owned())],
        })
    }

    fn signature(
        &self,
        credentials: &Credentials,
        scope: &Scope,
        instant: &str,
        signed_headers: &[String],
        payload_hash: &str,
    ) -> String {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let request = SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &headers,
            body: Body::Unread,
        };
        let date = instant.get(..8).unwrap_or_default();
        let pairs = query_pairs(&self.query);
        let canonical =
            canonical::request_to(&scope.service, &request, &pairs, signed_headers, payload_hash);
        let to_sign = string_to_sign(instant, &scope.render(date), &canonical);
        hex::encode(hmac(&signing_key(&credentials.secret, date, scope), to_sign.as_bytes()))
    }

    fn replace_header(&mut self, name: &str, value: String) {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value));
    }

    fn signed_headers(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .headers
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .filter(|name| !NEVER_SIGNED.contains(&name.as_str()))
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Signs in the header: adds `x-amz-date`, `x-amz-security-token` for temporary credentials, and
/// `authorization`; every other header that is there by now is signed too. An
/// `x-amz-content-sha256` header is taken at its word (`UNSIGNED-PAYLOAD`, or a hash computed
/// elsewhere), and `body` is not looked at then.
pub fn sign(
    request: &mut Outgoing,
    body: &[u8],
    credentials: &Credentials,
    scope: &Scope,
    now: Timestamp,
) {
    let instant = now.iso_basic();
    request.replace_header("x-amz-date", instant.clone());
    if let Some(token) = &credentials.session_token {
        request.replace_header("x-amz-security-token", token.reveal().to_owned());
    }
    let payload_hash = request
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("x-amz-content-sha256"))
        .map_or_else(|| sha256_hex(body), |(_, value)| value.trim().to_owned());
    let names = request.signed_headers();
    let signature = request.signature(credentials, scope, &instant, &names, &payload_hash);
    let value = format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={signature}",
        credentials.access_key_id,
        scope.render(instant.get(..8).unwrap_or_default()),
        names.join(";"),
    );
    request.replace_header("authorization", value);
}

/// Signs in the query, valid for `validity` (AWS takes 1 second to 7 days). Only `host` is signed
/// of the headers, so that anybody can send it, and the body is taken to be empty.
pub fn presign(
    request: &mut Outgoing,
    credentials: &Credentials,
    scope: &Scope,
    now: Timestamp,
    validity: Duration,
) {
    let instant = now.iso_basic();
    let date = instant.get(..8).unwrap_or_default();
    let credential = format!("{}/{}", credentials.access_key_id, scope.render(date));
    let mut pairs = vec![
        ("X-Amz-Algorithm", ALGORITHM.to_owned()),
        ("X-Amz-Credential", credential),
        ("X-Amz-Date", instant.clone()),
        ("X-Amz-Expires", validity.as_secs().to_string()),
        ("X-Amz-SignedHeaders", "host".to_owned()),
    ];
    if let Some(token) = &credentials.session_token {
        pairs.push(("X-Amz-Security-Token", token.reveal().to_owned()));
    }
    for (name, value) in pairs {
        append(&mut request.query, name, &value);
    }
    let names = ["host".to_owned()];
    let signature = request.signature(credentials, scope, &instant, &names, EMPTY_SHA256);
    append(&mut request.query, "X-Amz-Signature", &signature);
}

fn append(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    query.push('=');
    query.push_str(&encode(value.as_bytes()));
}

/// The headers of a websocket's handshake to `url` as the ECS agent signs it: `GET`, an empty body,
/// `SignedHeaders=host;x-amz-date` (and the session token, for temporary credentials). What is
/// returned is `host`, `x-amz-date`, `authorization` and maybe `x-amz-security-token`.
///
/// # Errors
/// A URL without scheme or host.
pub fn sign_websocket(
    url: &str,
    credentials: &Credentials,
    scope: &Scope,
    now: Timestamp,
) -> Result<Vec<(String, String)>, UrlError> {
    let mut request = Outgoing::to("GET", url)?;
    sign(&mut request, b"", credentials, scope, now);
    Ok(request.headers)
}
