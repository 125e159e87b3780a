//! The cookies that keep a client with its target or its group.
//!
//! A cookie is the identities' digests and an expiry, sealed with a keyed digest: a client can neither
//! read a target's address from it nor make one up. What cannot be opened counts as no cookie.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use ring::{digest, hmac};
use stdx::Timestamp;

/// The balancer's own cookie and its twin for requests from other sites.
pub(crate) const LB_COOKIES: [&str; 2] = ["AWSALB", "AWSALBCORS"];
/// The same for groups of a weighted action.
pub(crate) const GROUP_COOKIES: [&str; 2] = ["AWSALBTG", "AWSALBTGCORS"];
/// The cookie beside an application's.
pub(crate) const APP_COOKIE: &str = "AWSALBAPP-0";

/// How long the authentication code within a cookie is.
const TAG: usize = 16;
const PLAIN: usize = 25;

/// A digest of an identity, as cookies have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest(u64);

impl Digest {
    /// The digest of these texts, which are kept apart.
    pub(crate) fn of(texts: &[&str]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for text in texts {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        }
        let digest = context.finish();
        Self(digest.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// A number that spreads well.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

/// What kind of cookie it is; one cannot be used as the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Target = 1,
    Group = 2,
    App = 3,
}

/// What a cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) kind: Kind,
    pub(crate) group: Digest,
    pub(crate) target: Digest,
}

/// Seals and opens cookies.
#[derive(Clone)]
pub(crate) struct Sealer(hmac::Key);

impl std::fmt::Debug for Sealer {
    // The key stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The cookie's value.
    pub(crate) fn seal(&self, ticket: Ticket, expires: Timestamp) -> String {
        let mut bytes = Vec::with_capacity(PLAIN + TAG);
        bytes.push(ticket.kind as u8);
        bytes.extend_from_slice(&ticket.group.0.to_be_bytes());
        bytes.extend_from_slice(&ticket.target.0.to_be_bytes());
        bytes.extend_from_slice(&expires.as_millis().to_be_bytes());
        let tag = hmac::sign(&self.0, &bytes);
        bytes.extend_from_slice(&tag.as_ref()[..TAG]);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a cookie says, if it is ours, of this kind and not too old.
    pub(crate) fn open(&self, kind: Kind, value: &str, now: Timestamp) -> Option<Ticket> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(value).ok()?;
        let (plain, tag) = bytes.split_at_checked(PLAIN)?;
        let made = hmac::sign(&self.0, plain);
        // In constant time, so that a tag cannot be guessed byte by byte.
        let wrong = made.as_ref()[..TAG].iter().zip(tag).fold(0, |wrong, (a, b)| wrong | (a ^ b));
        if tag.len() != TAG || wrong != 0 || plain[0] != kind as u8 {
            return None;
        }
        let word = |from: usize| {
            plain[from..from + 8].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let expires = Timestamp::from_millis(word(17).cast_signed());
        (now < expires).then_some(Ticket { kind, group: Digest(word(1)), target: Digest(word(9)) })
    }
}

/// A cookie of the request.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).find_map(|value| {
        value.split(';').find_map(|part| {
            part.trim().split_once('=').filter(|(key, _)| *key == name).map(|(_, v)| v)
        })
    })
}

/// Whether an answer sets a cookie of this name.
pub(crate) fn sets_cookie(headers: &HeaderMap, name: &str) -> bool {
    headers
        .get_all(http::header::SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split_once('=').is_some_and(|(key, _)| key.trim() == name))
}

/// The `Set-Cookie` fields for one value: the cookie, and its twin that browsers send to other sites too.
pub(crate) fn set_cookies(
    names: &[&str],
    value: &str,
    now: Timestamp,
    duration: Duration,
) -> impl Iterator<Item = HeaderValue> {
    let expires = http_date(now + duration);
    names.iter().enumerate().filter_map(move |(twin, name)| {
        let cors = if twin == 1 { "; SameSite=None" } else { "" };
        let max_age = duration.as_secs();
        HeaderValue::try_from(format!(
            "{name}={value}; Expires={expires}; Max-Age={max_age}; Path=/{cors}"
        ))
        .ok()
    })
}

/// An instant as HTTP has it (RFC 9110, 5.6.7): `Sun, 22 Nov 2026 14:30:57 GMT`.
pub(crate) fn http_date(instant: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = instant.rfc3339();
    let day = usize::try_from(instant.as_secs().div_euclid(86_400).rem_euclid(7)).unwrap_or(0);
    let month = text.get(5..7).and_then(|month| month.parse::<usize>().ok()).unwrap_or(1);
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or("00");
    format!(
        "{}, {} {} {} {} GMT",
        DAYS[day],
        part(8..10),
        MONTHS[(month - 1) % 12],
        part(0..4),
        part(11..19)
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticket() -> Ticket {
        Ticket { kind: Kind::Target, group: Digest::of(&["g"]), target: Digest::of(&["t", "80"]) }
    }

    #[test]
    fn only_what_was_sealed_opens_and_only_in_time_and_kind() {
        let sealer = Sealer::new(&[7; 32]);
        let now = Timestamp::from_millis(1_000_000);
        let value = sealer.seal(ticket(), now + Duration::from_secs(60));
        assert_eq!(sealer.open(Kind::Target, &value, now), Some(ticket()));
        assert_eq!(sealer.open(Kind::Target, &value, now + Duration::from_secs(60)), None);
        assert_eq!(sealer.open(Kind::Group, &value, now), None);
        assert_eq!(Sealer::new(&[8; 32]).open(Kind::Target, &value, now), None);
        assert_ne!(Digest::of(&["ab", "c"]), Digest::of(&["a", "bc"]));
    }

    #[test]
    fn cookies_are_found_and_made() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "a=1; AWSALBX=no".parse().unwrap());
        headers.append(COOKIE, "AWSALB=yes;b=2=3".parse().unwrap());
        assert_eq!(cookie(&headers, "AWSALB"), Some("yes"));
        assert_eq!(cookie(&headers, "b"), Some("2=3"));
        assert_eq!(cookie(&headers, "c"), None);
        headers.append(http::header::SET_COOKIE, "JSESSIONID=x; Path=/".parse().unwrap());
        assert!(sets_cookie(&headers, "JSESSIONID") && !sets_cookie(&headers, "SESSIONID"));
        let now = Timestamp::from_millis(1_795_357_857_000);
        let made: Vec<_> = set_cookies(&LB_COOKIES, "v", now, Duration::from_secs(60)).collect();
        assert_eq!(made[0], "AWSALB=v; Expires=Sun, 22 Nov 2026 14:31:57 GMT; Max-Age=60; Path=/");
        assert!(made[1].to_str().unwrap().ends_with("Path=/; SameSite=None"));
    }

    proptest! {
        #[test]
        fn nothing_else_opens(text in "[-_A-Za-z0-9]{0,80}", at in 0_usize..54, byte in prop::sample::select(b"Aaz09-_".to_vec())) {
            let sealer = Sealer::new(&[7; 32]);
            prop_assert_eq!(sealer.open(Kind::Target, &text, Timestamp::EPOCH), None);
            let value = sealer.seal(ticket(), Timestamp::from_millis(1));
            let mut changed = value.clone().into_bytes();
            let at = at.min(changed.len() - 1);
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            // The last digit has bits that say nothing; the decoder refuses those that are set.
            prop_assert!(changed == value || sealer.open(Kind::Target, &changed, Timestamp::EPOCH).is_none());
        }
    }
}
