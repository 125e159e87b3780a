//! The credential scope, the signing key derived for it, and the string to sign.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::SecretString;
use crate::crypto::{Digest32, hmac, sha256_hex};

/// The one algorithm there is.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What ends every credential scope.
pub(crate) const TERMINATOR: &str = "aws4_request";

/// For which region and service a request is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Such as `us-east-1`.
    pub region: String,
    /// The signing name, such as `ecs`.
    pub service: String,
}

impl Scope {
    /// This region and service.
    pub fn new(region: impl Into<String>, service: impl Into<String>) -> Self {
        Self { region: region.into(), service: service.into() }
    }

    /// `20150830/us-east-1/iam/aws4_request`.
    pub(crate) fn render(&self, date: &str) -> String {
        format!("{date}/{}/{}/{TERMINATOR}", self.region, self.service)
    }
}

/// So many derived keys are kept by each thread.
const KEPT: usize = 16;

thread_local! {
    /// The keys that were derived last, the newest first: one holds for a day, and most requests are
    /// signed with one of few.
    static DERIVED: RefCell<VecDeque<Derived>> = const { RefCell::new(VecDeque::new()) };
}

/// A signing key, and what it is derived from.
struct Derived {
    secret: SecretString,
    date: String,
    scope: Scope,
    key: Digest32,
}

/// The signing key of a secret for a day and a scope.
pub(crate) fn signing_key(secret: &SecretString, date: &str, scope: &Scope) -> Digest32 {
    DERIVED.with_borrow_mut(|kept| {
        let same = |it: &Derived| it.date == date && it.scope == *scope && it.secret == *secret;
        if let Some(at) = kept.iter().position(same) {
            return kept[at].key;
        }
        let key = derive(secret, date, scope);
        kept.truncate(KEPT - 1);
        let (secret, date, scope) = (secret.clone(), date.to_owned(), scope.clone());
        kept.push_front(Derived { secret, date, scope, key });
        key
    })
}

/// `HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request")`.
fn derive(secret: &SecretString, date: &str, scope: &Scope) -> Digest32 {
    let mut first = Vec::with_capacity(4 + secret.reveal().len());
    first.extend_from_slice(b"AWS4");
    first.extend_from_slice(secret.reveal().as_bytes());
    let key = hmac(&first, date.as_bytes());
    let key = hmac(&key, scope.region.as_bytes());
    let key = hmac(&key, scope.service.as_bytes());
    hmac(&key, TERMINATOR.as_bytes())
}

/// What the signature is the HMAC of: algorithm, instant, scope, hash of the canonical request.
pub(crate) fn string_to_sign(instant: &str, scope: &str, canonical_request: &[u8]) -> String {
    format!("{ALGORITHM}\n{instant}\n{scope}\n{}", sha256_hex(canonical_request))
}
