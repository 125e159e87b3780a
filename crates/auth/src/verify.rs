//! Verifying a request: who signed it, and whether they did so for this region, for this service,
//! and just now.
//!
//! The order of the checks is that of the cost of being wrong: form, scope, time, key, session,
//! and last the signature, so that a refusal says what to mend first.

use std::time::Duration;

use sha2::{Digest, Sha256};
use stdx::Timestamp;

use crate::canonical::{self, query_pairs};
use crate::chunked::ChunkedDecoder;
use crate::crypto::{Digest32, hmac, same, sha256_hex};
use crate::parse::{Claim, Origin, claim};
use crate::scope::{TERMINATOR, signing_key, string_to_sign};
use crate::{AuthError, Body, Identity, Key, KeyStore, SignedRequest};

/// Services without regions. Their clients sign for [`GLOBAL_REGION`], wherever they are.
const GLOBAL_SERVICES: [&str; 2] = ["iam", "sts"];

/// The region in which AWS has its global services.
const GLOBAL_REGION: &str = "us-east-1";

/// What this side expects of a request.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The region that this is.
    pub region: &'a str,
    /// The signing name that the scope must have; none takes any and reports it.
    pub service: Option<&'a str>,
    /// The present instant.
    pub now: Timestamp,
    /// How far the signer's clock may be off; AWS allows 15 minutes.
    pub skew: Duration,
}

impl<'a> Expected<'a> {
    /// Any service of this region, with AWS's skew of 15 minutes.
    pub const fn new(region: &'a str, now: Timestamp) -> Self {
        Self { region, service: None, now, skew: Duration::from_secs(15 * 60) }
    }
}

/// A request whose signature is right.
#[derive(Debug)]
pub struct Verified {
    /// Who made it.
    pub identity: Identity,
    /// How far its body is verified.
    pub payload: Payload,
}

/// How far a request's body is verified.
#[derive(Debug)]
pub enum Payload {
    /// The signature covers it.
    Verified,
    /// The body was not read yet: its SHA-256 must turn out to be this one.
    Promised([u8; 32]),
    /// The signer chose not to sign it (`UNSIGNED-PAYLOAD`).
    Unsigned,
    /// The body comes in chunks (`STREAMING-…`), and this decoder yields and verifies what is in
    /// them.
    Chunked(Box<ChunkedDecoder>),
}

/// Whether the request carries anything that [`verify`] would look at. A door that also takes
/// anonymous requests (health checks, the registry's `Basic`) asks this first.
pub fn carries_signature(request: &SignedRequest<'_>) -> bool {
    request.header("authorization").is_some_and(|value| value.starts_with("AWS"))
        || query_pairs(request.query).iter().any(|(name, _)| name == b"X-Amz-Signature")
}

/// Verifies a request's signature, in the header or presigned.
///
/// # Errors
/// Every way in which a signature can be wrong, as [`AuthError`] has them.
pub fn verify(
    request: &SignedRequest<'_>,
    keys: &dyn KeyStore,
    expected: &Expected<'_>,
) -> Result<Verified, AuthError> {
    let claim = claim(request)?;
    check_scope(&claim, expected)?;
    check_time(&claim, expected)?;
    check_headers(request, &claim)?;
    let id = &claim.access_key_id;
    let key = match &claim.session_token {
        Some(token) => keys.find_session(id, token),
        None => keys.find(id),
    }
    .ok_or(AuthError::InvalidToken)?;
    check_session(&claim, &key, expected.now)?;

    let (payload_hash, kind) = payload(request, &claim)?;
    let signing_key = signing_key(&key.secret, &claim.date, &claim.scope);
    check_signature(request, &claim, &signing_key, &payload_hash)?;

    let payload = match kind {
        Kind::Verified => Payload::Verified,
        Kind::Promised(hash) => Payload::Promised(hash),
        Kind::Unsigned => Payload::Unsigned,
        Kind::Chunked { signed, trailer } => Payload::Chunked(Box::new(ChunkedDecoder::new(
            signed.then(|| (signing_key, claim.signature.clone())),
            trailer,
            &claim.instant,
            &claim.scope.render(&claim.date),
            request.header("x-amz-decoded-content-length").and_then(|text| text.parse().ok()),
        ))),
    };
    Ok(Verified {
        identity: Identity {
            access_key_id: claim.access_key_id,
            principal: key.principal,
            session: key.session_token.is_some(),
            service: claim.scope.service,
            region: claim.scope.region,
            role: key.role,
        },
        payload,
    })
}

fn check_scope(claim: &Claim, expected: &Expected<'_>) -> Result<(), AuthError> {
    let mut wrong = Vec::new();
    let global = claim.scope.region == GLOBAL_REGION
        && GLOBAL_SERVICES.contains(&claim.scope.service.as_str());
    if claim.scope.region != expected.region && !global {
        wrong.push(format!(
            "Credential should be scoped to a valid region, not '{}'. This region is '{}'.",
            claim.scope.region, expected.region
        ));
    }
    if let Some(service) = expected.service
        && claim.scope.service != service
    {
        wrong.push(format!("Credential should be scoped to correct service: '{service}'."));
    }
    if claim.terminator != TERMINATOR {
        wrong.push(format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{}'.",
            claim.terminator
        ));
    }
    let day = claim.instant.get(..8).unwrap_or_default();
    if claim.date != day {
        wrong.push(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
             HTTP: '{}' != '{day}', from '{}'.",
            claim.date, claim.instant
        ));
    }
    if wrong.is_empty() { Ok(()) } else { Err(AuthError::WrongScope(wrong.join(" "))) }
}

fn check_time(claim: &Claim, expected: &Expected<'_>) -> Result<(), AuthError> {
    let Expected { now, skew, .. } = *expected;
    let minutes = skew.as_secs() / 60;
    let (signed, at) = (claim.instant.clone(), claim.signed_at);
    if at > now + skew {
        let bound = (now + skew).iso_basic();
        return Err(AuthError::NotYetCurrent { signed, bound, now: now.iso_basic(), minutes });
    }
    if let Origin::Query(Some(validity)) = claim.origin {
        let until = at + validity;
        if now > until {
            let until = until.iso_basic();
            return Err(AuthError::RequestExpired { until, now: now.iso_basic() });
        }
    } else if at < now - skew {
        let bound = (now - skew).iso_basic();
        return Err(AuthError::Expired { signed, bound, now: now.iso_basic(), minutes });
    }
    Ok(())
}

fn check_headers(request: &SignedRequest<'_>, claim: &Claim) -> Result<(), AuthError> {
    let signed = |name: &str| claim.signed_headers.iter().any(|signed| signed == name);
    if !signed("host") && !signed(":authority") {
        return Err(AuthError::HeadersNotSigned(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
        ));
    }
    // A session token may be added after signing; it is compared with the key's own instead.
    let mut unsigned: Vec<String> = request
        .headers
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .filter(|name| name.starts_with("x-amz-") && name != "x-amz-security-token")
        .filter(|name| !signed(name))
        .collect();
    unsigned.sort();
    unsigned.dedup();
    if !unsigned.is_empty() {
        return Err(AuthError::HeadersNotSigned(format!(
            "There were headers present in the request which were not signed: {}.",
            unsigned.join(", ")
        )));
    }
    Ok(())
}

fn check_session(claim: &Claim, key: &Key, now: Timestamp) -> Result<(), AuthError> {
    let matches = match (&claim.session_token, &key.session_token) {
        (None, None) => true,
        (Some(theirs), Some(ours)) => same(theirs.as_bytes(), ours.reveal().as_bytes()),
        _ => false,
    };
    if !matches {
        return Err(AuthError::InvalidToken);
    }
    if key.expires.is_some_and(|end| end <= now) {
        return Err(AuthError::ExpiredToken);
    }
    Ok(())
}

enum Kind {
    Verified,
    Promised(Digest32),
    Unsigned,
    Chunked { signed: bool, trailer: bool },
}

/// The hash that enters the canonical request, and what it says of the body.
fn payload(request: &SignedRequest<'_>, claim: &Claim) -> Result<(String, Kind), AuthError> {
    let declared = request.header("x-amz-content-sha256").map(str::to_owned).or_else(|| {
        let from_query = matches!(claim.origin, Origin::Query(_));
        query_pairs(request.query)
            .into_iter()
            .find(|(name, _)| from_query && name == b"X-Amz-Content-Sha256")
            .map(|(_, value)| String::from_utf8_lossy(&value).into_owned())
    });
    let kind = match declared.as_deref() {
        Some("UNSIGNED-PAYLOAD") => Kind::Unsigned,
        Some("STREAMING-AWS4-HMAC-SHA256-PAYLOAD") => {
            Kind::Chunked { signed: true, trailer: false }
        }
        Some("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER") => {
            Kind::Chunked { signed: true, trailer: true }
        }
        Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER") => {
            Kind::Chunked { signed: false, trailer: true }
        }
        Some(text) => promised(text, request.body)?,
        // A presigned URL of S3 never says what its body is.
        None if claim.scope.service == canonical::S3
            && matches!(claim.origin, Origin::Query(_)) =>
        {
            return Ok(("UNSIGNED-PAYLOAD".to_owned(), Kind::Unsigned));
        }
        None => match request.body {
            Body::Bytes(bytes) => return Ok((sha256_hex(bytes), Kind::Verified)),
            Body::Unread => {
                return Err(AuthError::Incomplete(
                    "The request needs an 'X-Amz-Content-Sha256' header, because its body is \
                     streamed."
                        .to_owned(),
                ));
            }
        },
    };
    Ok((declared.unwrap_or_default(), kind))
}

fn promised(text: &str, body: Body<'_>) -> Result<Kind, AuthError> {
    let hash: Digest32 =
        hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
            AuthError::Incomplete(format!(
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, \
                 STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, \
                 STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value, not '{text}'."
            ))
        })?;
    match body {
        Body::Unread => Ok(Kind::Promised(hash)),
        Body::Bytes(bytes) if Sha256::digest(bytes)[..] == hash => Ok(Kind::Verified),
        Body::Bytes(bytes) => Err(AuthError::PayloadMismatch {
            declared: text.to_owned(),
            computed: sha256_hex(bytes),
        }),
    }
}

/// Compares the signature with the one that the key gives. A presigned request may carry a session
/// token that was added after signing, so that is tried both ways, as AWS's services differ in it.
fn check_signature(
    request: &SignedRequest<'_>,
    claim: &Claim,
    key: &Digest32,
    payload_hash: &str,
) -> Result<(), AuthError> {
    let given = hex::decode(&claim.signature).unwrap_or_default();
    let mut pairs = query_pairs(request.query);
    if matches!(claim.origin, Origin::Query(_)) {
        pairs.retain(|(name, _)| name != b"X-Amz-Signature");
    }
    let scope = claim.scope.render(&claim.date);
    let service = claim.scope.service.as_str();
    let canonical =
        canonical::request_to(service, request, &pairs, &claim.signed_headers, payload_hash);
    let to_sign = string_to_sign(&claim.instant, &scope, &canonical);
    if same(&hmac(key, to_sign.as_bytes()), &given) {
        return Ok(());
    }
    if matches!(claim.origin, Origin::Query(_)) && claim.session_token.is_some() {
        pairs.retain(|(name, _)| name != b"X-Amz-Security-Token");
        let bare =
            canonical::request_to(service, request, &pairs, &claim.signed_headers, payload_hash);
        let bare = string_to_sign(&claim.instant, &scope, &bare);
        if same(&hmac(key, bare.as_bytes()), &given) {
            return Ok(());
        }
    }
    Err(AuthError::SignatureMismatch {
        canonical: String::from_utf8_lossy(&canonical).into_owned(),
        string_to_sign: to_sign,
    })
}
