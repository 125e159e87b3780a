//! Credentials of roles: what is minted verifies, and nothing else does.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{ID, SECRET, at, principal};
use crate::{
    AuthError, Body, EcrToken, Expected, Identity, Key, KeyStore, Outgoing, RoleSession, Scope,
    SecretString, SessionMint, SessionStore, SignedRequest, sign, verify,
};

struct NoKeys;

impl KeyStore for NoKeys {
    fn find(&self, _: &str) -> Option<Key> {
        None
    }
}

fn session() -> RoleSession {
    RoleSession {
        role_arn: "arn:aws:iam::123456789012:role/team/app".to_owned(),
        role_id: "AROAEXAMPLE".to_owned(),
        name: "0f".to_owned(),
        issued: at("20261122T143057Z").as_millis(),
        expires: at("20261122T203057Z").as_millis(),
        task: Some("default/0f".to_owned()),
        policies: Vec::new(),
        policy_arns: Vec::new(),
    }
}

fn mint() -> Arc<SessionMint> {
    Arc::new(SessionMint::new(&SecretString::from(SECRET)))
}

/// Signs as a client does, for a region and service, and verifies.
fn trip(
    change: impl FnOnce(&mut crate::Credentials),
    region: &str,
    service: &str,
    now: &str,
) -> Result<Identity, AuthError> {
    let mint = mint();
    let mut credentials = mint.mint(&session());
    change(&mut credentials);
    let now = at(now);
    let mut outgoing = Outgoing::to("POST", "http://127.0.0.1:4747/").unwrap();
    sign(&mut outgoing, b"{}", &credentials, &Scope::new(region, service), now);
    let headers: Vec<(String, String)> = outgoing.headers.clone();
    let headers: Vec<(&str, &[u8])> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = SignedRequest {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        body: Body::Bytes(b"{}"),
    };
    let keys = SessionStore::new(NoKeys, mint);
    verify(&request, &keys, &Expected::new("eu-west-1", now)).map(|verified| verified.identity)
}

#[test]
fn a_session_is_who_its_token_says() {
    let identity = trip(|_| (), "eu-west-1", "ecs", "20261122T150000Z").unwrap();
    assert!(identity.session);
    assert!(identity.access_key_id.starts_with("ASIA") && identity.access_key_id.len() == 20);
    assert_eq!(identity.principal.arn, "arn:aws:sts::123456789012:assumed-role/app/0f");
    assert_eq!(identity.principal.user_id, "AROAEXAMPLE:0f");
    assert_eq!(identity.role.as_deref(), Some(&session()));
}

#[test]
fn what_is_not_minted_here_is_refused() {
    type Change = fn(&mut crate::Credentials);
    let table: &[(&str, Change)] = &[
        ("no token", |c| c.session_token = None),
        ("another token", |c| c.session_token = Some("AAAA".into())),
        ("another key's id", |c| c.access_key_id = "ASIAAAAAAAAAAAAAAAAA".to_owned()),
        ("another root key's", |c| {
            *c = SessionMint::new(&SecretString::from("another secret")).mint(&session());
        }),
    ];
    for (what, change) in table {
        let refused = trip(change, "eu-west-1", "ecs", "20261122T150000Z");
        assert_eq!(refused, Err(AuthError::InvalidToken), "{what}");
    }
    let forged = trip(|c| c.secret = "guess".into(), "eu-west-1", "ecs", "20261122T150000Z");
    assert!(matches!(forged, Err(AuthError::SignatureMismatch { .. })), "{forged:?}");
    let late = trip(|_| (), "eu-west-1", "ecs", "20261122T203058Z");
    assert_eq!(late, Err(AuthError::ExpiredToken));
}

#[test]
fn global_services_are_signed_for_their_own_region() {
    for service in ["iam", "sts"] {
        assert!(trip(|_| (), "us-east-1", service, "20261122T150000Z").is_ok(), "{service}");
    }
    let other = trip(|_| (), "us-east-1", "ecs", "20261122T150000Z");
    assert!(matches!(other, Err(AuthError::WrongScope(_))), "{other:?}");
}

#[test]
fn a_registry_password_ends_with_the_session_that_asked_for_it() {
    let now = at("20261122T150000Z");
    let tokens = EcrToken::new(&SecretString::from(SECRET));
    let identity = Identity {
        access_key_id: ID.to_owned(),
        principal: principal(),
        session: true,
        service: "ecr".to_owned(),
        region: "eu-west-1".to_owned(),
        role: Some(Arc::new(session())),
    };
    let (password, until) = tokens.mint(&identity, now);
    assert_eq!(until, session().expires_at());
    assert_eq!(tokens.verify(password.reveal(), now), Ok(identity));
    let after = until + Duration::from_millis(1);
    assert_eq!(tokens.verify(password.reveal(), after), Err(AuthError::ExpiredPassword));
}

#[test]
fn a_token_is_small_and_names_tell_nothing_apart_from_their_subject() {
    let token = mint().mint(&session()).session_token.unwrap();
    assert!(token.reveal().len() < 512, "{}", token.reveal().len());
    let (one, two) = (mint().name("default/0f a"), mint().name("default/0f b"));
    assert_eq!(one, mint().name("default/0f a"));
    assert_ne!(one, two);
    assert_eq!(one.len(), 36);
}

proptest! {
    #[test]
    fn no_changed_token_is_read(at in 0_usize..400, to in "[A-Za-z0-9_-]") {
        let token = mint().mint(&session()).session_token.unwrap();
        let mut text = token.reveal().to_owned();
        let at = at % text.len();
        prop_assume!(text[at..=at] != to);
        text.replace_range(at..=at, &to);
        // The last letter of base64 may have bits that stand for nothing.
        prop_assert!(mint().read(&text).is_none() || at + 1 == text.len());
    }
}
