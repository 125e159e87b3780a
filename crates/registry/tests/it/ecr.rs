//! ECR's operations: their results, failures, pages; what survives a restart; what is collected.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{OCI_INDEX, Served, config, descriptor, digest_of};
use registry::{
    Digest, ImageFailureCode, ImageId, NewRepository, Page, Registry, RegistryError, TagMutability,
    TagStatus,
};
use serde_json::json;

fn by_tag(tag: &str) -> ImageId {
    ImageId { tag: Some(tag.to_owned()), digest: None }
}

fn by_digest(digest: &Digest) -> ImageId {
    ImageId { digest: Some(digest.to_string()), tag: None }
}

fn page(max: usize, token: Option<String>) -> Page {
    Page { max: Some(max), token }
}

#[tokio::test]
async fn repositories_are_made_described_and_deleted_as_on_ecr() {
    let served = Served::new().await;
    let registry = &served.registry;
    let new = NewRepository {
        name: "team/web".to_owned(),
        mutability: TagMutability { immutable: true, except: Vec::new() },
        tags: [("team".to_owned(), "a".to_owned())].into(),
    };
    let made = registry.create_repository(new.clone()).await.unwrap();
    assert_eq!(made.arn, "arn:aws:ecr:eu-west-1:123456789012:repository/team/web");
    assert_eq!(made.uri, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/web");
    let again = registry.create_repository(new).await.unwrap_err();
    assert!(matches!(again, RegistryError::RepositoryAlreadyExists { .. }));
    assert_eq!(
        again.to_string(),
        "The repository with name 'team/web' already exists in the registry with id '123456789012'"
    );
    let bad = registry.create_repository(NewRepository::named("Web")).await.unwrap_err();
    assert!(matches!(bad, RegistryError::InvalidParameter(_)));
    for name in ["aa", "bb"] {
        served.create(name).await;
    }
    let first = registry.describe_repositories(&[], &page(2, None)).unwrap();
    assert_eq!(first.items.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["aa", "bb"]);
    let rest = registry.describe_repositories(&[], &page(2, first.next)).unwrap();
    assert_eq!((rest.items, rest.next), (vec![made.clone()], None));
    let named = registry.describe_repositories(&["team/web".to_owned()], &Page::default()).unwrap();
    assert_eq!(named.items, [made]);
    let absent =
        registry.describe_repositories(&["aa".to_owned(), "no".to_owned()], &Page::default());
    assert!(matches!(absent, Err(RegistryError::RepositoryNotFound { name, .. }) if name == "no"));

    registry.tag_repository("aa", [("k".to_owned(), "v".to_owned())].into()).await.unwrap();
    registry
        .untag_repository("team/web", vec!["team".to_owned(), "none".to_owned()])
        .await
        .unwrap();
    assert_eq!(registry.repository_tags("aa").unwrap()["k"], "v");
    assert!(registry.repository_tags("team/web").unwrap().is_empty());
    let reserved =
        registry.tag_repository("aa", [("aws:k".to_owned(), "v".to_owned())].into()).await;
    assert!(matches!(reserved, Err(RegistryError::InvalidTag(_))));
    let many = (0..51).map(|n| (n.to_string(), String::new())).collect();
    assert!(matches!(
        registry.tag_repository("aa", many).await,
        Err(RegistryError::TooManyTags(_))
    ));

    served.push_image("aa", "v1", b"layer").await;
    let full = registry.delete_repository("aa", false).await.unwrap_err();
    assert!(matches!(full, RegistryError::RepositoryNotEmpty { .. }));
    registry.delete_repository("aa", true).await.unwrap();
    registry.delete_repository("bb", false).await.unwrap();
    let gone = registry.delete_repository("bb", false).await.unwrap_err();
    assert!(matches!(gone, RegistryError::RepositoryNotFound { .. }));
}

#[tokio::test]
async fn images_are_listed_described_and_read() {
    let served = Served::new().await;
    let registry = &served.registry;
    served.create("web").await;
    let one = served.push_image("web", "v1", b"one").await;
    served.clock.advance(Duration::from_secs(5));
    let two = served.push_image("web", "v2", b"two!").await;
    served.push_image("web", "latest", b"two!").await;
    served.push_image("web", "v1", b"three").await;
    let list = |status| registry.list_images("web", status, &Page::default()).unwrap().items;
    assert_eq!(list(TagStatus::Any).len(), 4);
    assert_eq!(list(TagStatus::Tagged).len(), 3);
    assert_eq!(list(TagStatus::Untagged), [by_digest(&digest_of(&one))]);
    let first = registry.list_images("web", TagStatus::Any, &page(3, None)).unwrap();
    let rest = registry.list_images("web", TagStatus::Any, &page(3, first.next)).unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.next), (3, 1, None));

    let two = digest_of(&two);
    let described = registry
        .describe_images("web", &[by_tag("v2"), by_digest(&two)], TagStatus::Any, &Page::default())
        .unwrap();
    let [image] = described.items.as_slice() else { panic!("{described:?}") };
    assert_eq!((image.digest.as_str(), image.tags.join(",").as_str()), (two.as_str(), "latest,v2"));
    assert_eq!(image.bytes, 2 + 4);
    let untagged =
        registry.describe_images("web", &[], TagStatus::Untagged, &Page::default()).unwrap();
    assert_eq!(image.pushed_at.since(untagged.items[0].pushed_at), Duration::from_secs(5));
    let absent = registry
        .describe_images("web", &[by_tag("v9")], TagStatus::Any, &Page::default())
        .unwrap_err();
    assert_eq!(
        absent.to_string(),
        "The image with imageId {imageDigest:'null', imageTag:'v9'} does not exist within the repository with name 'web' in the registry with id '123456789012'"
    );

    let both = ImageId { tag: Some("v1".to_owned()), digest: Some(two.to_string()) };
    let bad = ImageId { tag: None, digest: Some("sha256:1".to_owned()) };
    let ids = vec![by_tag("v2"), by_tag("v9"), both, bad, by_tag("a b"), ImageId::default()];
    let batch = registry.batch_get_image("web", ids).await.unwrap();
    assert_eq!(Digest::of(batch.done[0].manifest.as_bytes()), two);
    assert_eq!(
        batch.done[0].id,
        ImageId { tag: Some("v2".to_owned()), digest: Some(two.to_string()) }
    );
    let codes: Vec<_> = batch.failures.iter().map(|failure| failure.code).collect();
    assert_eq!(
        codes,
        [
            ImageFailureCode::NotFound,
            ImageFailureCode::TagDoesNotMatchDigest,
            ImageFailureCode::InvalidDigest,
            ImageFailureCode::InvalidTag,
            ImageFailureCode::MissingDigestAndTag,
        ]
    );
    let sizes = registry.layer_sizes("web", &[Digest::of(b"two!"), Digest::of(b"none")]).unwrap();
    assert_eq!(sizes, [Some(4), None]);
}

#[tokio::test]
async fn images_are_deleted_by_tag_and_by_digest() {
    let served = Served::new().await;
    let registry = &served.registry;
    served.create("web").await;
    let one = digest_of(&served.push_image("web", "v1", b"one").await);
    served.push_image("web", "also", b"one").await;
    let two = served.push_image("web", "v2", b"two").await;
    let child = descriptor(crate::common::OCI_IMAGE, two.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [child]});
    assert_eq!(served.put_manifest("web", "all", OCI_INDEX, &index).await.status(), 201);
    let delete = async |id: ImageId| registry.batch_delete_image("web", vec![id]).await.unwrap();

    let tag = delete(by_tag("also")).await;
    assert_eq!(tag.done, [ImageId { tag: Some("also".to_owned()), digest: Some(one.to_string()) }]);
    assert_eq!(served.get(&format!("/v2/web/manifests/{one}")).await.status(), 200);
    delete(by_tag("v1")).await;
    assert_eq!(served.get(&format!("/v2/web/manifests/{one}")).await.status(), 404);

    let listed = delete(by_digest(&digest_of(&two))).await;
    assert_eq!(listed.failures[0].code, ImageFailureCode::ReferencedByIndex);
    assert!(listed.failures[0].reason.contains(digest_of(&index).as_str()));
    assert_eq!(delete(by_tag("all")).await.done.len(), 1);
    assert_eq!(delete(by_digest(&digest_of(&two))).await.done.len(), 1);
    assert_eq!(delete(by_tag("v2")).await.failures[0].code, ImageFailureCode::NotFound);
    let none = registry.batch_delete_image("no", vec![by_tag("v2")]).await;
    assert!(matches!(none, Err(RegistryError::RepositoryNotFound { .. })));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = crate::common::clock();
    let manifest = crate::common::image(b"layer").to_string();
    {
        let registry = Registry::open(config(dir.path(), &clock, false)).unwrap();
        registry.create_repository(NewRepository::named("web")).await.unwrap();
        registry.create_repository(NewRepository::named("gone")).await.unwrap();
        registry.delete_repository("gone", false).await.unwrap();
    }
    let served = Served::new().await;
    served.create("web").await;
    served.push_image("web", "v1", b"layer").await;
    // A copy of the folder as it is, without a word to the registry: what a crash would leave.
    copy(served.dir(), &dir.path().join("copy"));
    std::fs::write(dir.path().join("copy/uploads/left"), b"half").unwrap();
    let registry = Registry::open(config(&dir.path().join("copy"), &clock, false)).unwrap();
    let batch = registry.batch_get_image("web", vec![by_tag("v1")]).await.unwrap();
    assert_eq!(batch.done[0].manifest, manifest);
    assert_eq!(registry.layer_sizes("web", &[Digest::of(b"layer")]).unwrap(), [Some(5)]);
    assert_eq!(std::fs::read_dir(dir.path().join("copy/uploads")).unwrap().count(), 0);

    let reopened = Registry::open(config(dir.path(), &clock, false)).unwrap();
    let names: Vec<_> = reopened.describe_repositories(&[], &Page::default()).unwrap().items;
    assert_eq!(names.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["web"]);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn garbage_is_collected_and_nothing_else() {
    let served = Served::new().await;
    let registry: &Arc<Registry> = &served.registry;
    served.create("web").await;
    served.create("other").await;
    served.push_image("web", "v1", b"kept").await;
    let old = digest_of(&served.push_image("web", "v2", b"old").await);
    served.push_blob("web", b"idle").await;
    served.push_blob("other", b"asked for").await;
    served.request(reqwest::Method::POST, "/v2/web/blobs/uploads/").send().await.unwrap();
    registry.batch_delete_image("web", vec![by_digest(&old)]).await.unwrap();

    let hour = Duration::from_secs(3600);
    assert_eq!(registry.collect_garbage(hour).unwrap(), registry::Collected::default());
    served.clock.advance(3 * hour);
    // Whoever asks for a blob is about to need it.
    let asked = format!("/v2/other/blobs/{}", Digest::of(b"asked for"));
    assert_eq!(served.request(reqwest::Method::HEAD, &asked).send().await.unwrap().status(), 200);
    let collected = registry.collect_garbage(hour).unwrap();
    assert_eq!((collected.links, collected.files, collected.uploads), (2, 3, 1), "{collected:?}");
    assert_eq!(collected.bytes, 3 + 4 + crate::common::image(b"old").to_string().len() as u64);
    assert_eq!(served.get(&asked).await.text().await.unwrap(), "asked for");
    assert_eq!(served.get("/v2/web/manifests/v1").await.status(), 200);
    let kept = format!("/v2/web/blobs/{}", Digest::of(b"kept"));
    assert_eq!(served.get(&kept).await.text().await.unwrap(), "kept");
    assert_eq!(served.get(&format!("/v2/web/blobs/{}", Digest::of(b"idle"))).await.status(), 404);
}
