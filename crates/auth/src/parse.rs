//! What a request claims about its signature, read from the `Authorization` header or, when it is
//! presigned, from the query. Nothing is verified here.

use std::time::Duration;

use stdx::Timestamp;

use crate::canonical::query_pairs;
use crate::scope::{ALGORITHM, Scope};
use crate::{AuthError, SignedRequest};

/// A signature and all that is needed to compute it again, but the key.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) access_key_id: String,
    /// The scope's date, `20150830`.
    pub(crate) date: String,
    pub(crate) scope: Scope,
    pub(crate) terminator: String,
    /// Lower-case and sorted.
    pub(crate) signed_headers: Vec<String>,
    /// As it came; hexadecimal if it is to match anything.
    pub(crate) signature: String,
    /// The instant as it enters the string to sign, `20150830T123600Z`.
    pub(crate) instant: String,
    pub(crate) signed_at: Timestamp,
    pub(crate) session_token: Option<String>,
    pub(crate) origin: Origin,
}

/// Where the claim stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Header,
    /// For how long it holds; none if the request does not say.
    Query(Option<Duration>),
}

/// The longest validity of a presigned request: seven days.
const LONGEST: u64 = 604_800;

/// Reads the claim, wherever it stands.
pub(crate) fn claim(request: &SignedRequest<'_>) -> Result<Claim, AuthError> {
    let pairs = query_pairs(request.query);
    let presigned = pairs.iter().any(|(name, _)| is_presigning(name));
    let mut headers = request.header_values("authorization");
    match (headers.next(), presigned) {
        (None, false) => Err(AuthError::MissingToken),
        (None, true) => from_query(&pairs),
        (Some(_), true) => Err(AuthError::Incomplete(
            "The request is signed twice: by its 'Authorization' header and by its query. Only one \
             of them is allowed."
                .to_owned(),
        )),
        (Some(value), false) => {
            if headers.next().is_some() {
                return Err(AuthError::Incomplete(
                    "The request has more than one 'Authorization' header.".to_owned(),
                ));
            }
            from_header(request, value)
        }
    }
}

fn is_presigning(name: &[u8]) -> bool {
    matches!(name, b"X-Amz-Algorithm" | b"X-Amz-Credential" | b"X-Amz-Signature")
}

fn from_header(request: &SignedRequest<'_>, value: &[u8]) -> Result<Claim, AuthError> {
    let value = std::str::from_utf8(value)
        .map_err(|_| AuthError::Incomplete("The 'Authorization' header is not text.".to_owned()))?
        .trim();
    if value.is_empty() {
        return Err(AuthError::MissingToken);
    }
    let (algorithm, rest) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    if algorithm != ALGORITHM {
        return Err(AuthError::UnsupportedAlgorithm(algorithm.to_owned()));
    }
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for part in rest.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, value)) = part.split_once('=') else {
            return Err(AuthError::Incomplete(format!(
                "Invalid key=value pair (missing equal-sign) in Authorization header: '{part}'."
            )));
        };
        let place = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            // More may come with time; what it says is not covered by the signature anyway.
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(AuthError::Incomplete(format!(
                "Authorization header has more than one '{name}' parameter."
            )));
        }
    }
    let instant = request.header("x-amz-date").or_else(|| request.header("date"));
    let mut lacks = String::new();
    for (name, value) in
        [("Credential", credential), ("Signature", signature), ("SignedHeaders", signed_headers)]
    {
        if value.is_none_or(str::is_empty) {
            lacks.push_str(&format!("Authorization header requires '{name}' parameter. "));
        }
    }
    if instant.is_none() {
        lacks.push_str(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
        );
    }
    let (Some(credential), Some(signed_headers), Some(signature), Some(instant), true) =
        (credential, signed_headers, signature, instant, lacks.is_empty())
    else {
        return Err(AuthError::Incomplete(lacks.trim_end().to_owned()));
    };
    let session_token = request.header("x-amz-security-token").map(str::to_owned);
    Parts { credential, signed_headers, signature, instant, session_token, origin: Origin::Header }
        .claim()
}

fn from_query(pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<Claim, AuthError> {
    let find = |name: &str| -> Result<Option<String>, AuthError> {
        let mut values = pairs.iter().filter(|(n, _)| n == name.as_bytes()).map(|(_, value)| value);
        let first = values.next();
        if values.next().is_some() {
            return Err(AuthError::Incomplete(format!(
                "AWS query-string parameters must not repeat '{name}'."
            )));
        }
        Ok(first.map(|value| String::from_utf8_lossy(value).into_owned()))
    };
    let algorithm = find("X-Amz-Algorithm")?;
    let credential = find("X-Amz-Credential")?;
    let signature = find("X-Amz-Signature")?;
    let signed_headers = find("X-Amz-SignedHeaders")?;
    let instant = find("X-Amz-Date")?;
    let mut lacks = String::new();
    for (name, value) in [
        ("X-Amz-Algorithm", &algorithm),
        ("X-Amz-Credential", &credential),
        ("X-Amz-Signature", &signature),
        ("X-Amz-SignedHeaders", &signed_headers),
        ("X-Amz-Date", &instant),
    ] {
        if value.as_deref().is_none_or(str::is_empty) {
            lacks.push_str(&format!("AWS query-string parameters must include '{name}'. "));
        }
    }
    let (Some(algorithm), Some(credential), Some(signature), Some(signed_headers), Some(instant)) =
        (algorithm, credential, signature, signed_headers, instant)
    else {
        return Err(AuthError::Incomplete(lacks.trim_end().to_owned()));
    };
    if !lacks.is_empty() {
        return Err(AuthError::Incomplete(lacks.trim_end().to_owned()));
    }
    if algorithm != ALGORITHM {
        return Err(AuthError::UnsupportedAlgorithm(algorithm));
    }
    let expires = find("X-Amz-Expires")?.map(|text| validity(&text)).transpose()?;
    Parts {
        credential: &credential,
        signed_headers: &signed_headers,
        signature: &signature,
        instant: &instant,
        session_token: find("X-Amz-Security-Token")?,
        origin: Origin::Query(expires),
    }
    .claim()
}

fn validity(text: &str) -> Result<Duration, AuthError> {
    let wrong = |why: &str| AuthError::Incomplete(format!("X-Amz-Expires {why}, not '{text}'."));
    let seconds: i128 = text.parse().map_err(|_| wrong("should be a number of seconds"))?;
    match u64::try_from(seconds) {
        _ if seconds < 1 => Err(wrong("must be at least 1")),
        Ok(seconds) if seconds <= LONGEST => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong("must be at most a week (in seconds), that is 604800")),
    }
}

struct Parts<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
    instant: &'a str,
    session_token: Option<String>,
    origin: Origin,
}

impl Parts<'_> {
    fn claim(self) -> Result<Claim, AuthError> {
        let elements: Vec<&str> = self.credential.split('/').collect();
        let [access_key_id, date, region, service, terminator] = elements[..] else {
            return Err(AuthError::Incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term, got '{}'",
                self.credential
            )));
        };
        let (instant, signed_at) = read_instant(self.instant)?;
        let mut signed_headers: Vec<String> =
            self.signed_headers.split(';').map(|name| name.trim().to_ascii_lowercase()).collect();
        signed_headers.sort();
        signed_headers.dedup();
        Ok(Claim {
            access_key_id: access_key_id.to_owned(),
            date: date.to_owned(),
            scope: Scope::new(region, service),
            terminator: terminator.to_owned(),
            signed_headers,
            signature: self.signature.to_owned(),
            instant,
            signed_at,
            session_token: self.session_token,
            origin: self.origin,
        })
    }
}

/// Reads the basic form of ISO 8601, or the form of the `Date` header (RFC 9110, section 5.6.7).
fn read_instant(text: &str) -> Result<(String, Timestamp), AuthError> {
    let basic = text.len() == 16
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    let instant = if basic {
        Timestamp::parse(text)
    } else {
        jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(text)
            .ok()
            .map(|instant| Timestamp::from_millis(instant.as_millisecond()))
    };
    let instant = instant.ok_or_else(|| {
        AuthError::Incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{text}'. See \
             https://en.wikipedia.org/wiki/ISO_8601"
        ))
    })?;
    Ok((instant.iso_basic(), instant))
}
