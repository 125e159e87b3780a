//! The root key's file and the registry's passwords.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use stdx::SeededEntropy;

use super::{ID, SECRET, at, principal};
use crate::{AuthError, EcrToken, Identity, KeyStore, RootKey, RootKeyError, SecretString};

#[test]
fn a_root_key_is_made_once_and_is_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let key = RootKey::load_or_create(dir.path(), &mut SeededEntropy::new(1)).unwrap();
    let id = key.access_key_id();
    assert_eq!((id.len(), &id[..4], key.secret().reveal().len()), (20, "AKIA", 40));
    assert!(id[4..].bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b)));
    let path = dir.path().join("root-key.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let again = RootKey::load_or_create(dir.path(), &mut SeededEntropy::new(2)).unwrap();
    assert_eq!(key, again);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_ne!(key, RootKey::generate(&mut SeededEntropy::new(2)));

    let store = key.store("123456789012");
    assert_eq!(store.find(id).unwrap().principal, principal());
    assert!(store.find("AKIANOBODY").is_none());
}

#[test]
fn a_damaged_root_key_is_not_replaced() {
    for text in ["", "{}", "not json", r#"{"accessKeyId":"short","secretAccessKey":"12345678"}"#] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root-key.json");
        fs::write(&path, text).unwrap();
        let error = RootKey::load_or_create(dir.path(), &mut SeededEntropy::new(1)).unwrap_err();
        assert!(
            matches!(error, RootKeyError::Malformed { .. } | RootKeyError::Unusable { .. }),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let nowhere = std::path::Path::new("/nonexistent/folder");
    let error = RootKey::load_or_create(nowhere, &mut SeededEntropy::new(1)).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/folder/root-key.json"), "{error}");
}

#[test]
fn configured_keys_must_be_usable() {
    assert!(RootKey::new(ID, SECRET).is_ok());
    for (id, secret) in
        [("short", SECRET), ("AKIA/with/slashes/in", SECRET), (ID, "x"), (ID, "a b c d e")]
    {
        assert!(RootKey::new(id, secret).is_err(), "{id} {secret}");
    }
}

#[test]
fn no_debug_shows_a_secret() {
    let key = RootKey::new(ID, SECRET).unwrap();
    let found = key.store("123456789012").find(ID).unwrap();
    let shown =
        format!("{key:?} {:?} {found:?} {:?}", key.credentials(), EcrToken::new(key.secret()));
    assert!(!shown.contains(SECRET), "{shown}");
}

#[test]
fn a_registry_password_holds_for_twelve_hours_and_cannot_be_made_up() {
    let now = at("20261122T143057Z");
    let tokens = EcrToken::new(&SecretString::from(SECRET));
    let identity = Identity {
        access_key_id: ID.to_owned(),
        principal: principal(),
        session: false,
        service: "ecr".to_owned(),
        region: "us-east-1".to_owned(),
        role: None,
    };
    let (password, until) = tokens.mint(&identity, now);
    assert_eq!(until, now + Duration::from_secs(12 * 3600));
    assert_eq!(tokens.verify(password.reveal(), now), Ok(identity.clone()));
    assert_eq!(tokens.verify(password.reveal(), until), Err(AuthError::ExpiredPassword));
    let other = EcrToken::new(&SecretString::from("another"));
    assert_eq!(other.verify(password.reveal(), now), Err(AuthError::InvalidPassword));

    let basic = EcrToken::authorization(&password);
    assert_eq!(tokens.verify_basic(basic.reveal(), now), Ok(identity));
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD;
    let root = engine.encode(format!("root:{}", password.reveal()));
    for wrong in [root.as_str(), "", "AWS", "////", &engine.encode("AWS:"), &engine.encode("AWS")] {
        assert_eq!(tokens.verify_basic(wrong, now), Err(AuthError::InvalidPassword), "{wrong}");
    }
    for index in 0..password.reveal().len() - 1 {
        let mut changed = password.reveal().to_owned().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(tokens.verify(&changed, now), Err(AuthError::InvalidPassword), "{index}");
    }
}
