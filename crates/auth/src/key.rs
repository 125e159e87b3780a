//! Keys, whom they stand for, and the secrets in them, which no `Debug` shows.

use std::fmt;
use std::sync::Arc;

use stdx::Timestamp;

use crate::RoleSession;

/// A secret as text, which nothing shows but [`SecretString::reveal`]. Its memory is not wiped when
/// it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretString(String);

impl SecretString {
    /// Keeps `secret`.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretString(…)")
    }
}

impl From<&str> for SecretString {
    fn from(secret: &str) -> Self {
        Self::new(secret)
    }
}

impl From<String> for SecretString {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

/// Whom a key stands for, in the words of STS's `GetCallerIdentity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The twelve digits of the account.
    pub account: String,
    /// `arn:aws:iam::123456789012:root`, `arn:aws:sts::…:assumed-role/name/session`, …
    pub arn: String,
    /// The account for root, `AIDA…` for a user, `AROA…:session` for a role.
    pub user_id: String,
}

/// What a [`KeyStore`] knows of an access key.
#[derive(Clone, Debug)]
pub struct Key {
    /// The secret access key.
    pub secret: SecretString,
    /// The session token that has to come with temporary credentials; none for long-term ones.
    pub session_token: Option<SecretString>,
    /// When temporary credentials end.
    pub expires: Option<Timestamp>,
    /// Whom it stands for.
    pub principal: Principal,
    /// The role session that these are the credentials of.
    pub role: Option<Arc<RoleSession>>,
}

/// Where keys are found.
pub trait KeyStore {
    /// The key with this id, expired or not; none if it was never made or is disabled.
    fn find(&self, access_key_id: &str) -> Option<Key>;

    /// The temporary key with this id that came with this session token; the token may tell all
    /// there is to know. Unless a store says otherwise, temporary keys are found like others.
    fn find_session(&self, access_key_id: &str, token: &str) -> Option<Key> {
        let _ = token;
        self.find(access_key_id)
    }
}

impl<T: KeyStore + ?Sized> KeyStore for &T {
    fn find(&self, access_key_id: &str) -> Option<Key> {
        (**self).find(access_key_id)
    }

    fn find_session(&self, access_key_id: &str, token: &str) -> Option<Key> {
        (**self).find_session(access_key_id, token)
    }
}

impl<T: KeyStore + ?Sized> KeyStore for Arc<T> {
    fn find(&self, access_key_id: &str) -> Option<Key> {
        (**self).find(access_key_id)
    }

    fn find_session(&self, access_key_id: &str, token: &str) -> Option<Key> {
        (**self).find_session(access_key_id, token)
    }
}

/// Who made a request, once its signature is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The access key that signed.
    pub access_key_id: String,
    /// Whom it stands for.
    pub principal: Principal,
    /// Whether the credentials are temporary (came with a session token).
    pub session: bool,
    /// The service that the credential scope names, such as `ecs`.
    pub service: String,
    /// The region that the credential scope names.
    pub region: String,
    /// The role session that asks; none for the root key.
    pub role: Option<Arc<RoleSession>>,
}

/// What a client signs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// `AKIA…` or `ASIA…`.
    pub access_key_id: String,
    /// The secret access key.
    pub secret: SecretString,
    /// The session token of temporary credentials.
    pub session_token: Option<SecretString>,
}

impl Credentials {
    /// Long-term credentials.
    pub fn new(access_key_id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        Self { access_key_id: access_key_id.into(), secret: secret.into(), session_token: None }
    }
}
