//! The registry's password: what ECR's `GetAuthorizationToken` hands out and `docker login` sends
//! back as the password of the user `AWS`, for twelve hours.
//!
//! The token carries its expiry and its principal, and an HMAC under a key derived from the root
//! secret: nothing is stored, any server with the root key can verify it, and a new root key ends
//! them all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use stdx::Timestamp;

use crate::crypto::{Digest32, hmac, same};
use crate::{AuthError, Identity, Principal, RoleSession, SecretString};

/// How long a token is valid, as ECR has it.
const VALIDITY: Duration = Duration::from_secs(12 * 60 * 60);

/// The only user that a token is the password of.
const USER: &str = "AWS";

/// Tokens are bytes of this version, then the fields, then the tag.
const VERSION: &str = "ecr2";

/// Separates the fields: a character that is in none of them.
const SEPARATOR: char = '\u{1f}';

const TAG: usize = 32;

/// Mints and verifies the registry's passwords.
pub struct EcrToken {
    key: Digest32,
}

impl fmt::Debug for EcrToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcrToken(…)")
    }
}

impl EcrToken {
    /// Derives the key from the root key's secret.
    pub fn new(root_secret: &SecretString) -> Self {
        Self { key: hmac(root_secret.reveal().as_bytes(), b"wharf registry password v1") }
    }

    /// A password for this identity, and when it ends.
    pub fn mint(&self, identity: &Identity, now: Timestamp) -> (SecretString, Timestamp) {
        // A password ends with the credentials that asked for it.
        let role = identity.role.as_ref();
        let until = role.map_or(now + VALIDITY, |role| role.expires_at().min(now + VALIDITY));
        let role = role.map(|role| URL_SAFE_NO_PAD.encode(role.encode())).unwrap_or_default();
        let fields = [
            VERSION,
            &until.as_millis().to_string(),
            &identity.access_key_id,
            &identity.principal.account,
            &identity.principal.arn,
            &identity.principal.user_id,
            if identity.session { "1" } else { "0" },
            &identity.region,
            &role,
        ];
        let mut bytes = fields
            .map(|field| field.replace(SEPARATOR, ""))
            .join(&SEPARATOR.to_string())
            .into_bytes();
        let tag = hmac(&self.key, &bytes);
        bytes.extend_from_slice(&tag);
        (SecretString::new(URL_SAFE_NO_PAD.encode(bytes)), until)
    }

    /// What `GetAuthorizationToken` calls `authorizationToken`: `AWS:<password>` in base64.
    pub fn authorization(password: &SecretString) -> SecretString {
        SecretString::new(STANDARD.encode(format!("{USER}:{}", password.reveal())))
    }

    /// Verifies a password.
    ///
    /// # Errors
    /// [`AuthError::InvalidPassword`] for anything that was not minted under this key,
    /// [`AuthError::ExpiredPassword`] after its twelve hours.
    pub fn verify(&self, password: &str, now: Timestamp) -> Result<Identity, AuthError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(password.trim().trim_end_matches('='))
            .map_err(|_| AuthError::InvalidPassword)?;
        let split = bytes.len().checked_sub(TAG).ok_or(AuthError::InvalidPassword)?;
        let (fields, tag) = bytes.split_at(split);
        if !same(&hmac(&self.key, fields), tag) {
            return Err(AuthError::InvalidPassword);
        }
        let text = std::str::from_utf8(fields).map_err(|_| AuthError::InvalidPassword)?;
        let fields: Vec<&str> = text.split(SEPARATOR).collect();
        let [VERSION, until, access_key_id, account, arn, user_id, session, region, role] =
            fields[..]
        else {
            return Err(AuthError::InvalidPassword);
        };
        let until = until.parse().map_err(|_| AuthError::InvalidPassword)?;
        if now >= Timestamp::from_millis(until) {
            return Err(AuthError::ExpiredPassword);
        }
        let role = match role {
            "" => None,
            role => Some(read_role(role).ok_or(AuthError::InvalidPassword)?),
        };
        Ok(Identity {
            access_key_id: access_key_id.to_owned(),
            principal: Principal {
                account: account.to_owned(),
                arn: arn.to_owned(),
                user_id: user_id.to_owned(),
            },
            session: session == "1",
            service: "ecr".to_owned(),
            region: region.to_owned(),
            role: role.map(Arc::new),
        })
    }

    /// Verifies the credentials of an HTTP `Basic` header (the part after the scheme).
    ///
    /// # Errors
    /// As [`EcrToken::verify`]; another user than `AWS` is refused too.
    pub fn verify_basic(&self, credentials: &str, now: Timestamp) -> Result<Identity, AuthError> {
        let text = STANDARD
            .decode(credentials.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or(AuthError::InvalidPassword)?;
        match text.split_once(':') {
            Some((USER, password)) => self.verify(password, now),
            _ => Err(AuthError::InvalidPassword),
        }
    }
}

fn read_role(text: &str) -> Option<RoleSession> {
    RoleSession::decode(&URL_SAFE_NO_PAD.decode(text).ok()?)
}
