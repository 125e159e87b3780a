//! Tests of the room as a whole: documented examples, recorded clients, corner cases, properties.

mod botocore;
mod chunks;
mod corners;
mod documented;
mod keys;
mod properties;
mod sessions;

use stdx::Timestamp;

use crate::{Credentials, Key, KeyStore, Principal, SecretString};

pub(super) const ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// One long-term key, and one temporary key with its token.
pub(super) struct Keys;

pub(super) const TEMPORARY: &str = "ASIAIOSFODNN7EXAMPLE";
pub(super) const TOKEN: &str = "token/with+signs==";

pub(super) fn principal() -> Principal {
    Principal {
        account: "123456789012".to_owned(),
        arn: "arn:aws:iam::123456789012:root".to_owned(),
        user_id: "123456789012".to_owned(),
    }
}

impl KeyStore for Keys {
    fn find(&self, access_key_id: &str) -> Option<Key> {
        let (session_token, expires) = match access_key_id {
            ID | "AKIDEXAMPLE" => (None, None),
            TEMPORARY => (Some(SecretString::from(TOKEN)), Some(at("20261122T150000Z"))),
            _ => return None,
        };
        let secret = if access_key_id == "AKIDEXAMPLE" {
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
        } else {
            SECRET
        };
        Some(Key {
            secret: secret.into(),
            session_token,
            expires,
            principal: principal(),
            role: None,
        })
    }
}

pub(super) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("an instant")
}

pub(super) fn long_term() -> Credentials {
    Credentials::new(ID, SECRET)
}

pub(super) fn temporary() -> Credentials {
    Credentials {
        access_key_id: TEMPORARY.to_owned(),
        secret: SECRET.into(),
        session_token: Some(TOKEN.into()),
    }
}

/// The headers of an outgoing request as the door hands them over.
pub(super) fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}
