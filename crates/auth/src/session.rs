//! Temporary credentials of roles, as STS gives them: nothing of them is stored.
//!
//! The session token holds all that is known of the session and an HMAC over it; access key id and
//! secret follow from the same bytes under keys of their own. So any server with the root key
//! verifies them, and a new root key ends them all. Whether the role is still there and the task
//! still runs is for the door to see, which has the state.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::crypto::{Digest32, hmac, same};
use crate::root_key::BASE32;
use crate::{Credentials, Key, KeyStore, Principal, SecretString};

/// Begins the bytes of a token, so that a later form is told apart.
const VERSION: u8 = 1;

/// The length of the tag at a token's end.
const TAG: usize = 32;

/// Who assumed which role, until when, and with what narrower rights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSession {
    /// `arn:aws:iam::123456789012:role/path/name`.
    #[serde(rename = "r")]
    pub role_arn: String,
    /// `AROA…`: a role that was deleted and made again is another one.
    #[serde(rename = "i")]
    pub role_id: String,
    /// `RoleSessionName`; a task's id for a task.
    #[serde(rename = "n")]
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    #[serde(rename = "a")]
    pub issued: i64,
    /// When it ends, in milliseconds since 1970.
    #[serde(rename = "e")]
    pub expires: i64,
    /// `cluster/id` of the task whose credentials these are: they end with it.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Session policies: what they do not allow, the session may not do, whatever its role allows.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// ARNs of managed policies that narrow the session in the same way.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub policy_arns: Vec<String>,
}

impl RoleSession {
    /// When it was made.
    pub const fn issued_at(&self) -> Timestamp {
        Timestamp::from_millis(self.issued)
    }

    /// When it ends.
    pub const fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.expires)
    }

    /// The role's name: what stands after the last slash of its ARN.
    pub fn role_name(&self) -> &str {
        self.role_arn.rsplit('/').next().unwrap_or_default()
    }

    /// The role's account.
    pub fn account(&self) -> &str {
        self.role_arn.split(':').nth(4).unwrap_or_default()
    }

    /// Whom the session's credentials stand for.
    pub fn principal(&self) -> Principal {
        let partition = self.role_arn.split(':').nth(1).unwrap_or("aws");
        let (account, role, name) = (self.account(), self.role_name(), &self.name);
        Principal {
            account: account.to_owned(),
            arn: format!("arn:{partition}:sts::{account}:assumed-role/{role}/{name}"),
            user_id: format!("{}:{name}", self.role_id),
        }
    }

    /// As it stands in tokens.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers have a JSON form")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Makes and reads the credentials of role sessions.
pub struct SessionMint {
    token: Digest32,
    id: Digest32,
    secret: Digest32,
    names: Digest32,
}

impl fmt::Debug for SessionMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionMint(…)")
    }
}

impl SessionMint {
    /// Derives its keys from the root key's secret.
    pub fn new(root_secret: &SecretString) -> Self {
        let key = |purpose: &[u8]| hmac(root_secret.reveal().as_bytes(), purpose);
        Self {
            token: key(b"wharf session token v1"),
            id: key(b"wharf session access key id v1"),
            secret: key(b"wharf session secret v1"),
            names: key(b"wharf credentials id v1"),
        }
    }

    /// The credentials of a session. Equal sessions have equal credentials.
    pub fn mint(&self, session: &RoleSession) -> Credentials {
        let claims = session.encode();
        let mut bytes = Vec::with_capacity(1 + claims.len() + TAG);
        bytes.push(VERSION);
        bytes.extend_from_slice(&claims);
        let tag = hmac(&self.token, &bytes);
        bytes.extend_from_slice(&tag);
        Credentials {
            access_key_id: self.access_key_id(&claims),
            secret: self.secret(&claims),
            session_token: Some(SecretString::new(URL_SAFE_NO_PAD.encode(bytes))),
        }
    }

    /// The session that a token is of, if it was made under this root key; it may have ended.
    pub fn read(&self, token: &str) -> Option<RoleSession> {
        let bytes = URL_SAFE_NO_PAD.decode(token.trim()).ok()?;
        let (signed, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG)?)?;
        if !same(&hmac(&self.token, signed), tag) {
            return None;
        }
        match signed.split_first()? {
            (&VERSION, claims) => RoleSession::decode(claims),
            _ => None,
        }
    }

    /// A name for credentials that nobody can guess who is not told: a UUID that follows from `what`.
    pub fn name(&self, what: &str) -> String {
        let hash = hex::encode(hmac(&self.names, what.as_bytes()));
        let part = |from: usize, to: usize| hash.get(from..to).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }

    fn access_key_id(&self, claims: &[u8]) -> String {
        let letters = hmac(&self.id, claims)
            .into_iter()
            .take(16)
            .filter_map(|byte| BASE32.get(usize::from(byte % 32)).copied())
            .map(char::from);
        "ASIA".chars().chain(letters).collect()
    }

    fn secret(&self, claims: &[u8]) -> SecretString {
        let hash = hmac(&self.secret, claims);
        SecretString::new(STANDARD.encode(hash.get(..30).unwrap_or(&hash)))
    }
}

/// The root key and every session that was made under it.
#[derive(Debug)]
pub struct SessionStore<K> {
    keys: K,
    mint: Arc<SessionMint>,
}

impl<K: KeyStore> SessionStore<K> {
    /// Long-term keys of `keys`, and the sessions of `mint`.
    pub const fn new(keys: K, mint: Arc<SessionMint>) -> Self {
        Self { keys, mint }
    }
}

impl<K: KeyStore> KeyStore for SessionStore<K> {
    fn find(&self, access_key_id: &str) -> Option<Key> {
        self.keys.find(access_key_id)
    }

    fn find_session(&self, access_key_id: &str, token: &str) -> Option<Key> {
        let session = self.mint.read(token)?;
        let claims = session.encode();
        let ours = self.mint.access_key_id(&claims);
        if !same(ours.as_bytes(), access_key_id.as_bytes()) {
            return None;
        }
        Some(Key {
            secret: self.mint.secret(&claims),
            session_token: Some(SecretString::new(token)),
            expires: Some(session.expires_at()),
            principal: session.principal(),
            role: Some(Arc::new(session)),
        })
    }
}
