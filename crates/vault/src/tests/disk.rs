//! What is on the disk: nothing in plain, nothing that opens elsewhere or with another key.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use redb::{ReadableDatabase, TableDefinition};

use super::{open_at, store, text, try_open};
use crate::{
    CreateSecret, MasterKeyError, PutParameter, SecretValue, Type, Vault, VaultError, VersionChoice,
};

const NEEDLE: &str = "correct-horse-battery-staple";

async fn plant(vault: &Vault) {
    let secret =
        CreateSecret { name: "s".to_owned(), value: Some(text(NEEDLE)), ..CreateSecret::default() };
    vault.create_secret(secret).await.unwrap();
    let binary = SecretValue::binary(NEEDLE.as_bytes().to_vec());
    vault.put_secret_value("s", None, binary, Default::default()).await.unwrap();
    for kind in [Type::String, Type::StringList, Type::SecureString] {
        vault.put_parameter(parameter(kind.as_str(), kind, NEEDLE)).await.unwrap();
    }
}

pub(super) fn parameter(name: &str, kind: Type, value: &str) -> PutParameter {
    PutParameter {
        name: name.to_owned(),
        value: text(value),
        kind: Some(kind),
        description: None,
        key_id: None,
        overwrite: false,
        allowed_pattern: None,
        tags: Default::default(),
        tier: None,
        data_type: None,
        user: "arn:aws:iam::123456789012:root".to_owned(),
    }
}

#[tokio::test]
async fn no_value_is_in_any_file_in_plain_or_encoded() {
    let store = store();
    plant(&store.vault).await;
    let (dir, clock) = (store.dir, store.clock);
    drop(store.vault);
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(NEEDLE);
    let needles = [NEEDLE.to_owned(), hex::encode(NEEDLE), encoded[..24].to_owned()];
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        for needle in &needles {
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            assert!(!found, "{} holds {needle}", path.display());
        }
    }
    let key = dir.path().join("master-key.json");
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    // It is there all the same.
    let vault = open_at(dir.path(), &clock);
    let value = vault.parameter("String", false).await.unwrap().value;
    assert_eq!(value.reveal_text(), Some(NEEDLE));
}

#[tokio::test]
async fn a_value_moved_to_another_place_does_not_open() {
    const VALUES: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("parameter_values");
    let store = store();
    for name in ["a", "b"] {
        store.vault.put_parameter(parameter(name, Type::SecureString, name)).await.unwrap();
    }
    let path = store.dir.path().join("vault.redb");
    drop(store.vault);
    let database = redb::Database::open(path).unwrap();
    let stolen = {
        let table = database.begin_read().unwrap().open_table(VALUES).unwrap();
        table.get(("a", 1)).unwrap().unwrap().value().to_vec()
    };
    let transaction = database.begin_write().unwrap();
    transaction.open_table(VALUES).unwrap().insert(("b", 1), stolen.as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let vault = open_at(store.dir.path(), &store.clock);
    assert!(matches!(vault.parameter("b", true).await, Err(VaultError::Damaged(_))));
    assert_eq!(vault.parameter("a", true).await.unwrap().value.reveal_text(), Some("a"));
}

#[tokio::test]
async fn without_its_own_key_a_vault_does_not_open() {
    let store = store();
    plant(&store.vault).await;
    drop(store.vault);
    let key = store.dir.path().join("master-key.json");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let error = try_open(store.dir.path(), &store.clock).unwrap_err();
    assert!(matches!(&error, VaultError::Key(e) if matches!(**e, MasterKeyError::Lost { .. })));
    assert!(!key.exists(), "a new key would hide that the old one is gone");
    fs::write(&key, format!("{{\"version\":1,\"key\":\"{}\"}}", "ab".repeat(32))).unwrap();
    let error = try_open(store.dir.path(), &store.clock).unwrap_err();
    assert!(matches!(&error, VaultError::Key(e) if matches!(**e, MasterKeyError::Foreign { .. })));
    fs::write(&key, kept).unwrap();
    let vault = open_at(store.dir.path(), &store.clock);
    let found = vault.secret_value("s", VersionChoice::default()).await.unwrap();
    assert_eq!(found.value.reveal_bytes(), NEEDLE.as_bytes());
    assert!(!found.value.is_text());
}

#[tokio::test]
async fn nothing_that_holds_a_value_shows_it() {
    let store = store();
    plant(&store.vault).await;
    let wanted = parameter("x", Type::String, NEEDLE);
    let secret = store.vault.secret_value("s", VersionChoice::default()).await.unwrap();
    let value = store.vault.parameter("String", true).await.unwrap();
    let create = CreateSecret { value: Some(text(NEEDLE)), ..CreateSecret::default() };
    let told = format!("{wanted:?} {secret:?} {value:?} {create:?} {:?}", store.vault);
    assert!(!told.contains(NEEDLE), "{told}");
}
