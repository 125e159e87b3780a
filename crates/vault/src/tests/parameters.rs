//! Parameters: versions, labels, selectors, paths, filters.

use super::disk::parameter;
use super::{Store, refusal, store, text};
use crate::{
    CreateSecret, DescribeQuery, FilterKey, FilterOption, ParameterFilter, PathQuery, PutParameter,
    Tags, Tier, TierChoice, Type,
};

impl Store {
    async fn put_text(&self, name: &str, value: &str) -> u64 {
        let wanted = PutParameter { overwrite: true, ..parameter(name, Type::String, value) };
        self.vault.put_parameter(wanted).await.unwrap().version
    }

    async fn text_of(&self, name: &str) -> String {
        let found = self.vault.parameter(name, true).await.unwrap();
        found.value.reveal_text().unwrap().to_owned()
    }
}

#[tokio::test]
async fn versions_are_got_by_number_and_by_label() {
    let store = store();
    assert_eq!(store.put_text("/a/b", "one").await, 1);
    let again = store.vault.put_parameter(parameter("/a/b", Type::String, "x")).await;
    let (code, why) = refusal(again);
    assert_eq!(code, "ParameterAlreadyExists");
    assert!(why.starts_with("The parameter already exists. To overwrite this value"), "{why}");
    assert_eq!(store.put_text("/a/b", "two").await, 2);
    assert_eq!(store.text_of("/a/b").await, "two");
    assert_eq!(store.text_of("/a/b:1").await, "one");
    assert_eq!(store.text_of("arn:aws:ssm:us-east-1:123456789012:parameter/a/b:1").await, "one");
    let labels = vec!["prod".to_owned(), "1bad".to_owned(), "awsome".to_owned()];
    let labelled = store.vault.label_parameter("/a/b", Some(1), labels).await.unwrap();
    assert_eq!((labelled.version, labelled.invalid.len()), (1, 2));
    let found = store.vault.parameter("/a/b:prod", false).await.unwrap();
    assert_eq!((found.version, found.selector.as_deref()), (1, Some(":prod")));
    // A label moves.
    store.vault.label_parameter("/a/b", None, vec!["prod".to_owned()]).await.unwrap();
    assert_eq!(store.text_of("/a/b:prod").await, "two");
    let history = store.vault.parameter_history("/a/b", false, Some(1), None).await.unwrap();
    assert!(history.items[0].labels.is_empty());
    let rest =
        store.vault.parameter_history("/a/b", false, None, history.next_token.as_deref()).await;
    assert_eq!(rest.unwrap().items[0].metadata.version, 2);
    let off = store.vault.unlabel_parameter("/a/b", 2, vec!["prod".into(), "x".into()]).await;
    let off = off.unwrap();
    assert_eq!((off.removed, off.invalid), (vec!["prod".to_owned()], vec!["x".to_owned()]));
    for (name, code) in [
        ("/a/b:9", "ParameterVersionNotFound"),
        ("/a/b:prod", "ParameterVersionNotFound"),
        ("/a/c", "ParameterNotFound"),
        ("arn:aws:ssm:eu-west-1:123456789012:parameter/a/b", "ParameterNotFound"),
    ] {
        assert_eq!(refusal(store.vault.parameter(name, true).await).0, code, "{name}");
    }
}

#[tokio::test]
async fn secure_strings_are_told_only_decrypted() {
    let store = store();
    let wanted = parameter("s", Type::SecureString, "hunter2");
    store.vault.put_parameter(wanted).await.unwrap();
    let closed = store.vault.parameter("s", false).await.unwrap().value;
    assert!(closed.reveal_text().is_some_and(|text| text.len() > 60 && !text.contains("hunter2")));
    assert_eq!(store.text_of("s").await, "hunter2");
    let (found, missing) =
        store.vault.parameters(vec!["s".into(), "nope".into(), "s:7".into()], true).await.unwrap();
    assert_eq!((found.len(), missing), (1, vec!["nope".to_owned(), "s:7".to_owned()]));
}

#[tokio::test]
async fn the_hundred_and_first_version_drops_the_first_unless_it_has_a_label() {
    let store = store();
    for _ in 0..101 {
        store.put_text("p", "x").await;
    }
    assert_eq!(refusal(store.vault.parameter("p:1", true).await).0, "ParameterVersionNotFound");
    assert_eq!(store.vault.parameter("p:2", true).await.unwrap().version, 2);
    store.vault.label_parameter("p", Some(2), vec!["keep".to_owned()]).await.unwrap();
    let wanted = PutParameter { overwrite: true, ..parameter("p", Type::String, "x") };
    let (code, why) = refusal(store.vault.put_parameter(wanted).await);
    assert_eq!(code, "ParameterMaxVersionLimitExceeded");
    assert!(why.contains("Version 2, the oldest version"), "{why}");
    assert_eq!(store.vault.parameter("p", true).await.unwrap().version, 101);
}

#[tokio::test]
async fn paths_and_filters_find_what_is_below() {
    let store = store();
    for name in ["/app/db/host", "/app/db/port", "/app/name", "/other", "plain"] {
        store.put_text(name, name).await;
    }
    let wanted = parameter("/app/db/password", Type::SecureString, "x");
    let tags = Tags::from([("team".to_owned(), "web".to_owned())]);
    store.vault.put_parameter(PutParameter { tags, ..wanted }).await.unwrap();
    let path = async |path: &str, recursive: bool, filters: Vec<ParameterFilter>| {
        let (mut names, mut next) = (Vec::new(), None);
        loop {
            let query = PathQuery {
                path: path.to_owned(),
                recursive,
                filters: filters.clone(),
                limit: Some(2),
                next_token: next,
                ..PathQuery::default()
            };
            let page = store.vault.parameters_by_path(query).await.unwrap();
            names.extend(page.items.into_iter().map(|item| item.name));
            next = page.next_token;
            if next.is_none() {
                return names;
            }
        }
    };
    assert_eq!(path("/app", false, vec![]).await, ["/app/name"]);
    assert_eq!(path("/app/", true, vec![]).await.len(), 4);
    assert_eq!(path("/", true, vec![]).await.len(), 6);
    let filter = |key, option, values: &[&str]| ParameterFilter {
        key,
        option,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let secure = filter(FilterKey::Type, None, &["SecureString"]);
    assert_eq!(path("/app", true, vec![secure.clone()]).await, ["/app/db/password"]);
    let describe = async |filters: Vec<ParameterFilter>| {
        let query = DescribeQuery { filters, ..DescribeQuery::default() };
        let page = store.vault.describe_parameters(query).await.unwrap();
        page.items.into_iter().map(|item| item.name).collect::<Vec<_>>()
    };
    let begins = Some(FilterOption::BeginsWith);
    assert_eq!(describe(vec![filter(FilterKey::Name, begins, &["/app/db/p"])]).await.len(), 2);
    assert_eq!(describe(vec![filter(FilterKey::Path, None, &["/app/db"])]).await.len(), 3);
    let tag = FilterKey::Tag("team".to_owned());
    assert_eq!(describe(vec![filter(tag, None, &["web"]), secure]).await, ["/app/db/password"]);
    let contains = filter(FilterKey::Type, Some(FilterOption::Contains), &["x"]);
    let query = DescribeQuery { filters: vec![contains], ..DescribeQuery::default() };
    assert_eq!(refusal(store.vault.describe_parameters(query).await).0, "InvalidFilterOption");
    let query = PathQuery { path: "app".to_owned(), ..PathQuery::default() };
    assert_eq!(refusal(store.vault.parameters_by_path(query).await).0, "ValidationException");
}

#[tokio::test]
async fn a_parameter_may_refer_to_a_secret() {
    let store = store();
    let wanted = CreateSecret {
        name: "db".to_owned(),
        token: Some("one".repeat(12)),
        value: Some(text("first")),
        ..CreateSecret::default()
    };
    store.vault.create_secret(wanted).await.unwrap();
    store.vault.put_secret_value("db", None, text("second"), Default::default()).await.unwrap();
    let name = "/aws/reference/secretsmanager/db";
    let found = store.vault.parameter(name, true).await.unwrap();
    assert_eq!(found.value.reveal_text(), Some("second"));
    assert_eq!((found.version, found.kind, found.name.as_str()), (0, Type::SecureString, name));
    assert!(found.source_result.unwrap().reveal_text().unwrap().contains("\"versionStages\""));
    assert_eq!(store.text_of(&format!("{name}:AWSPREVIOUS")).await, "first");
    assert_eq!(store.text_of(&format!("{name}:{}", "one".repeat(12))).await, "first");
    assert_eq!(refusal(store.vault.parameter(name, false).await).0, "ValidationException");
    let none = store.vault.parameter("/aws/reference/secretsmanager/none", true).await;
    assert_eq!(refusal(none).0, "ParameterNotFound");
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let store = store();
    let put = async |wanted: PutParameter| store.vault.put_parameter(wanted).await;
    let plain = |value: &str| parameter("p", Type::String, value);
    for (wanted, code) in [
        (plain(""), "ValidationException"),
        (plain("{{ssm:x}}"), "ValidationException"),
        (plain(&"x".repeat(4097)), "ValidationException"),
        (PutParameter { kind: None, ..plain("x") }, "ValidationException"),
        (
            PutParameter { key_id: Some("alias/aws/ssm".into()), ..plain("x") },
            "ValidationException",
        ),
        (PutParameter { key_id: Some("alias/mine".into()), ..plain("x") }, "InvalidKeyId"),
        (
            PutParameter { data_type: Some("aws:ec2:image".into()), ..plain("x") },
            "ValidationException",
        ),
        (
            PutParameter { allowed_pattern: Some("^\\d+$".into()), ..plain("x") },
            "ParameterPatternMismatchException",
        ),
        (
            PutParameter { allowed_pattern: Some("(?=x)".into()), ..plain("x") },
            "InvalidAllowedPatternException",
        ),
    ] {
        assert_eq!(refusal(put(wanted.clone()).await).0, code, "{wanted:?}");
    }
    assert!(store.vault.parameter("p", true).await.is_err(), "a refused call changes nothing");
    let tier = Some(TierChoice::Enough);
    let made = put(PutParameter { tier, ..plain(&"x".repeat(4097)) }).await.unwrap();
    assert_eq!(made.tier, Tier::Advanced);
    let over = PutParameter { overwrite: true, ..plain("y") };
    let back = PutParameter { tier: Some(TierChoice::Is(Tier::Standard)), ..over.clone() };
    assert_eq!(refusal(put(back).await).0, "ValidationException");
    assert_eq!(put(over.clone()).await.unwrap().tier, Tier::Advanced);
    let other = PutParameter { kind: Some(Type::SecureString), ..over.clone() };
    assert_eq!(refusal(put(other).await).0, "HierarchyTypeMismatchException");
    let tagged = PutParameter { tags: Tags::from([("a".into(), "b".into())]), ..over.clone() };
    assert_eq!(refusal(put(tagged).await).0, "ValidationException");
    // What is not said again stays: the type, and the pattern.
    let digits = PutParameter {
        allowed_pattern: Some("[0-9]+".into()),
        ..parameter("n", Type::String, "1")
    };
    put(digits).await.unwrap();
    let next = PutParameter { kind: None, overwrite: true, ..parameter("n", Type::String, "x1") };
    assert_eq!(refusal(put(next.clone()).await).0, "ParameterPatternMismatchException");
    put(PutParameter { value: text("2"), ..next }).await.unwrap();
    store.vault.delete_parameter("n").await.unwrap();
    assert_eq!(refusal(store.vault.delete_parameter("n").await).0, "ParameterNotFound");
    assert_eq!(refusal(store.vault.parameter_tags("n").await).0, "InvalidResourceId");
}
