//! Secrets: versions, labels, deletion, references, lists.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Store, refusal, store, text};
use crate::{
    CreateSecret, ListQuery, Recovery, SecretFilter, SecretFilterKey, SecretSort, StageMove, Tags,
    UpdateSecret, VersionChoice, VersionOutcome,
};

const DAY: Duration = Duration::from_secs(86_400);

fn secret(name: &str, value: &str) -> CreateSecret {
    CreateSecret { name: name.to_owned(), value: Some(text(value)), ..CreateSecret::default() }
}

fn by_stage(stage: &str) -> VersionChoice {
    VersionChoice { id: None, stage: Some(stage.to_owned()) }
}

fn token(n: u32) -> Option<String> {
    Some(format!("token-{n:032}"))
}

impl Store {
    async fn create(&self, name: &str, value: &str) -> VersionOutcome {
        self.vault.create_secret(secret(name, value)).await.unwrap()
    }

    async fn put(&self, id: &str, n: u32, value: &str, stages: &[&str]) -> VersionOutcome {
        let stages = stages.iter().map(|stage| (*stage).to_owned()).collect();
        self.vault.put_secret_value(id, token(n), text(value), stages).await.unwrap()
    }

    async fn value(&self, id: &str, choice: VersionChoice) -> String {
        let found = self.vault.secret_value(id, choice).await.unwrap();
        found.value.reveal_text().unwrap().to_owned()
    }
}

#[tokio::test]
async fn labels_go_from_version_to_version() {
    let store = store();
    store.create("s", "one").await;
    assert_eq!(store.value("s", VersionChoice::default()).await, "one");
    let (code, why) = refusal(store.vault.secret_value("s", by_stage("AWSPREVIOUS")).await);
    assert_eq!(code, "ResourceNotFoundException");
    assert!(why.ends_with("for staging label: AWSPREVIOUS"), "{why}");
    let two = store.put("s", 2, "two", &[]).await;
    assert_eq!(two.stages, BTreeSet::from(["AWSCURRENT".to_owned()]));
    assert_eq!(store.value("s", by_stage("AWSPREVIOUS")).await, "one");
    // A version that waits: nothing else moves.
    store.put("s", 3, "three", &["AWSPENDING"]).await;
    assert_eq!(store.value("s", VersionChoice::default()).await, "two");
    assert_eq!(store.value("s", by_stage("AWSPENDING")).await, "three");
    // It becomes the one in use.
    let mut step = StageMove { stage: "AWSCURRENT".to_owned(), to: token(3), from: None };
    let (code, why) = refusal(store.vault.move_secret_stage("s", step.clone()).await);
    assert_eq!(code, "InvalidParameterException");
    assert!(why.contains("RemoveFromVersionId can't be empty"), "{why}");
    step.from = token(2);
    store.vault.move_secret_stage("s", step).await.unwrap();
    assert_eq!(store.value("s", VersionChoice::default()).await, "three");
    assert_eq!(store.value("s", by_stage("AWSPREVIOUS")).await, "two");
    // The first one has no label now, and is still there by its id.
    let all = store.vault.describe_secret("s").await.unwrap().versions;
    assert!(all[0].stages.is_empty());
    let first = VersionChoice { id: Some(all[0].id.clone()), stage: None };
    assert_eq!(store.value("s", first.clone()).await, "one");
    let both = VersionChoice { stage: Some("AWSCURRENT".to_owned()), ..first };
    assert_eq!(refusal(store.vault.secret_value("s", both).await).0, "InvalidRequestException");
    let gone = StageMove { stage: "AWSCURRENT".to_owned(), to: None, from: token(3) };
    assert_eq!(
        refusal(store.vault.move_secret_stage("s", gone).await).0,
        "InvalidParameterException"
    );
    let off = StageMove { stage: "AWSPENDING".to_owned(), to: None, from: token(3) };
    store.vault.move_secret_stage("s", off).await.unwrap();
    assert!(store.vault.secret_value("s", by_stage("AWSPENDING")).await.is_err());
}

#[tokio::test]
async fn the_same_token_is_the_same_version() {
    let store = store();
    let wanted = CreateSecret { token: token(1), ..secret("s", "one") };
    let made = store.vault.create_secret(wanted.clone()).await.unwrap();
    assert_eq!(store.vault.create_secret(wanted.clone()).await.unwrap(), made);
    let other = CreateSecret { value: Some(text("other")), ..wanted };
    let (code, why) = refusal(store.vault.create_secret(other).await);
    assert_eq!(code, "ResourceExistsException");
    assert_eq!(why, "The operation failed because the secret s already exists.");
    let put = store.put("s", 2, "two", &[]).await;
    assert_eq!(store.put("s", 2, "two", &[]).await, put);
    let again = store.vault.put_secret_value("s", token(2), text("x"), BTreeSet::new()).await;
    assert_eq!(refusal(again).0, "ResourceExistsException");
    assert_eq!(store.vault.describe_secret("s").await.unwrap().versions.len(), 2);
    // An update without a value makes no version.
    let update = UpdateSecret { description: Some("d".to_owned()), ..UpdateSecret::default() };
    assert_eq!(store.vault.update_secret("s", update).await.unwrap().version_id, None);
    assert_eq!(store.vault.describe_secret("s").await.unwrap().description.as_deref(), Some("d"));
}

#[tokio::test]
async fn a_secret_is_found_by_name_and_by_whole_and_partial_arn() {
    let store = store();
    let arn = store.create("app/db-secret", "x").await.arn;
    assert_eq!(
        arn.len(),
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-secret-AbCdEf".len()
    );
    let partial = &arn[..arn.len() - 7];
    for id in ["app/db-secret", &arn, partial] {
        assert_eq!(store.vault.describe_secret(id).await.unwrap().arn, arn, "{id}");
    }
    let other = arn.replace("123456789012", "999999999999");
    let wrong_suffix = format!("{partial}-000000");
    for id in ["app/db", &other, &wrong_suffix, "arn:aws:secretsmanager", ""] {
        let (code, why) = refusal(store.vault.describe_secret(id).await);
        assert_eq!(code, "ResourceNotFoundException", "{id}");
        assert_eq!(why, "Secrets Manager can't find the specified secret.");
    }
    // A secret made again has another ARN, and the old one is nobody's.
    store.vault.delete_secret("app/db-secret", Recovery::None).await.unwrap();
    let again = store.create("app/db-secret", "y").await.arn;
    assert_ne!(again, arn);
    assert!(store.vault.describe_secret(&arn).await.is_err());
}

#[tokio::test]
async fn a_deleted_secret_can_be_restored_in_time() {
    let store = store();
    store.create("s", "x").await;
    let (code, why) = refusal(store.vault.delete_secret("s", Recovery::Days(Some(6))).await);
    assert_eq!(code, "InvalidParameterException");
    assert!(why.contains("between 7 and 30 days"), "{why}");
    let due = store.vault.delete_secret("s", Recovery::Days(Some(7))).await.unwrap().due;
    assert_eq!(due, super::NOW + 7 * DAY);
    for result in [
        store.vault.secret_value("s", VersionChoice::default()).await.map(|_| ()),
        store.vault.tag_secret("s", Tags::new()).await,
        store.vault.create_secret(secret("s", "y")).await.map(|_| ()),
        store.vault.delete_secret("s", Recovery::Days(None)).await.map(|_| ()),
    ] {
        assert_eq!(refusal(result).0, "InvalidRequestException");
    }
    assert_eq!(store.vault.describe_secret("s").await.unwrap().due, Some(due));
    assert!(store.vault.list_secrets(ListQuery::default()).await.unwrap().items.is_empty());
    store.vault.restore_secret("s").await.unwrap();
    assert_eq!(store.value("s", VersionChoice::default()).await, "x");
    // Now for good.
    store.vault.delete_secret("s", Recovery::Days(None)).await.unwrap();
    store.clock.advance(30 * DAY);
    assert_eq!(refusal(store.vault.restore_secret("s").await).0, "ResourceNotFoundException");
    assert_eq!(store.vault.sweep().await.unwrap(), 1);
    assert_eq!(store.vault.sweep().await.unwrap(), 0);
    store.create("s", "anew").await;
    assert_eq!(store.value("s", VersionChoice::default()).await, "anew");
    // Deleting what is not there at once is no error.
    store.vault.delete_secret("never", Recovery::None).await.unwrap();
}

#[tokio::test]
async fn old_versions_without_a_label_make_room() {
    let store = store();
    store.create("s", "0").await;
    for n in 1..=105 {
        store.put("s", n, &n.to_string(), &[]).await;
    }
    let versions = store.vault.describe_secret("s").await.unwrap().versions;
    assert_eq!(versions.len(), 100);
    let dropped = VersionChoice { id: token(3), stage: None };
    assert_eq!(
        refusal(store.vault.secret_value("s", dropped).await).0,
        "ResourceNotFoundException"
    );
    assert_eq!(store.value("s", by_stage("AWSPREVIOUS")).await, "104");
    let (_, page) = store.vault.secret_versions("s", false, None, None).await.unwrap();
    assert_eq!(page.items.len(), 2);
    let (mut seen, mut next) = (0, None);
    loop {
        let (_, page) =
            store.vault.secret_versions("s", true, Some(30), next.as_deref()).await.unwrap();
        seen += page.items.len();
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen, 100);
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_cut_into_pages() {
    let store = store();
    for (name, description) in
        [("prod/db", "The Main database"), ("prod/api", "key"), ("dev/db", "")]
    {
        let tags = Tags::from([("team".to_owned(), name[..3].to_owned())]);
        let wanted =
            CreateSecret { description: Some(description.to_owned()), tags, ..secret(name, "x") };
        store.vault.create_secret(wanted).await.unwrap();
        store.clock.advance(Duration::from_secs(1));
    }
    let list = async |key, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let filters = vec![SecretFilter { key, values }];
        let query = ListQuery { filters, sort: SecretSort::Name, ..ListQuery::default() };
        let page = store.vault.list_secrets(query).await.unwrap();
        page.items.into_iter().map(|secret| secret.name).collect::<Vec<_>>()
    };
    assert_eq!(list(SecretFilterKey::Name, &["prod/"]).await, ["prod/api", "prod/db"]);
    assert_eq!(list(SecretFilterKey::Name, &["!prod/"]).await, ["dev/db"]);
    assert_eq!(list(SecretFilterKey::Description, &["main DATA"]).await, ["prod/db"]);
    assert_eq!(list(SecretFilterKey::TagValue, &["dev", "nothing"]).await, ["dev/db"]);
    assert_eq!(list(SecretFilterKey::All, &["db"]).await, ["dev/db", "prod/db"]);
    assert!(list(SecretFilterKey::OwningService, &["rds"]).await.is_empty());
    let mut query = ListQuery { limit: Some(2), descending: true, ..ListQuery::default() };
    let first = store.vault.list_secrets(query.clone()).await.unwrap();
    assert_eq!(
        first.items.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
        ["dev/db", "prod/api"]
    );
    query.next_token = first.next_token;
    let second = store.vault.list_secrets(query.clone()).await.unwrap();
    assert_eq!(second.items.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["prod/db"]);
    assert_eq!(second.next_token, None);
    query.next_token = Some("x".to_owned());
    assert_eq!(refusal(store.vault.list_secrets(query).await).0, "InvalidNextTokenException");
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_by_name() {
    let store = store();
    let bad = |wanted: CreateSecret| async { refusal(store.vault.create_secret(wanted).await) };
    assert_eq!(bad(secret("a b", "x")).await.0, "ValidationException");
    assert_eq!(bad(secret("a", "")).await.0, "InvalidParameterException");
    assert_eq!(bad(secret("a", &"x".repeat(65_537))).await.0, "InvalidParameterException");
    let key = CreateSecret { kms_key_id: Some("alias/mine".to_owned()), ..secret("a", "x") };
    let (code, why) = bad(key).await;
    assert_eq!(code, "InvalidParameterException");
    assert!(why.contains("KmsKeyId") && why.contains("alias/mine"), "{why}");
    let own = CreateSecret {
        kms_key_id: Some("alias/aws/secretsmanager".to_owned()),
        ..secret("a", "x")
    };
    store.vault.create_secret(own).await.unwrap();
    let tags = (0..51).map(|n| (n.to_string(), String::new())).collect();
    assert_eq!(refusal(store.vault.tag_secret("a", tags).await).0, "LimitExceededException");
    assert!(store.vault.describe_secret("a").await.unwrap().tags.is_empty());
}
