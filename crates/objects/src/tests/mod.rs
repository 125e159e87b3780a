//! Tests of buckets and objects on a real folder.

mod crash;

use bytes::Bytes;
use shell::ManualClock;
use stdx::Timestamp;

use crate::{
    Algorithm, ChecksumKind, Code, CompletedPart, Conditions, ListQuery, Meta, Object, Objects,
    ObjectsConfig, ObjectsError, Received, Span,
};

/// 2026-11-22T14:30:57Z.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_357_857_000);

pub(super) fn open_at(dir: &std::path::Path) -> Objects {
    let clock = std::sync::Arc::new(ManualClock::new(NOW));
    Objects::open(ObjectsConfig::new(dir, clock)).unwrap()
}

pub(super) async fn receive(store: &Objects, content: &[u8]) -> Received {
    let mut incoming = store.receive(&[Algorithm::Crc64Nvme]).unwrap();
    for piece in content.chunks(300_000) {
        incoming.push(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    incoming.finish().await.unwrap()
}

pub(super) async fn put(store: &Objects, key: &str, content: &[u8]) -> Object {
    let received = receive(store, content).await;
    let (meta, conditions) = (Meta::default(), Conditions::default());
    store.put_object("bkt", key, received, meta, conditions).await.unwrap()
}

pub(super) async fn get(store: &Objects, key: &str) -> Result<Vec<u8>, ObjectsError> {
    read(store, key, |object| Span { first: 0, length: object.bytes }).await
}

async fn read(
    store: &Objects,
    key: &str,
    span: impl Fn(&Object) -> Span + Send + Sync,
) -> Result<Vec<u8>, ObjectsError> {
    let (_, (), reader) =
        store.open_object("bkt", key, |object| Ok(((), Some(span(object))))).await?;
    let (mut reader, mut content) = (reader.unwrap(), Vec::new());
    while let Some(piece) = reader.next().await? {
        content.extend_from_slice(&piece);
    }
    Ok(content)
}

/// The names of the files with content.
fn files(dir: &std::path::Path) -> usize {
    let folders = std::fs::read_dir(dir.join("blobs")).unwrap();
    folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
}

fn code<T: std::fmt::Debug>(result: Result<T, ObjectsError>) -> Code {
    result.unwrap_err().code()
}

async fn store() -> (Objects, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = open_at(dir.path());
    store.create_bucket("bkt").await.unwrap();
    (store, dir)
}

#[tokio::test]
async fn content_is_kept_once_and_goes_with_its_last_use() {
    let (store, dir) = store().await;
    let long: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    assert_eq!(put(&store, "a", b"hello").await.etag, "5d41402abc4b2a76b9719d911017c592");
    put(&store, "b", b"hello").await;
    put(&store, "../../long", &long).await;
    assert_eq!(files(dir.path()), 2);
    assert_eq!(get(&store, "../../long").await.unwrap(), long);
    let middle = read(&store, "../../long", |_| Span { first: 299_999, length: 3 }).await.unwrap();
    assert_eq!(middle, &long[299_999..300_002]);
    store.copy_object(("bkt", "a"), ("bkt", "c"), None, Conditions::default()).await.unwrap();
    store.delete_objects("bkt", vec!["a".into(), "b".into(), "none".into()]).await.unwrap();
    assert_eq!(get(&store, "c").await.unwrap(), b"hello");
    put(&store, "c", b"other").await;
    put(&store, "c", b"other").await;
    assert_eq!(files(dir.path()), 2);
    store.delete_objects("bkt", vec!["c".into(), "../../long".into()]).await.unwrap();
    assert_eq!(files(dir.path()), 0);
    assert_eq!(code(get(&store, "c").await), Code::NoSuchKey);
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let (store, dir) = store().await;
    put(&store, "a", b"one").await;
    let none = Conditions { differs: Some(vec!["*".to_owned()]), ..Conditions::default() };
    let received = receive(&store, b"two").await;
    let again = store.put_object("bkt", "a", received, Meta::default(), none).await;
    assert_eq!(code(again), Code::PreconditionFailed);
    let received = receive(&store, b"three").await;
    let (meta, any) = (Meta::default(), Conditions::default());
    assert_eq!(code(store.put_object("none", "a", received, meta, any).await), Code::NoSuchBucket);
    drop(store.receive(&[]).unwrap());
    assert_eq!(get(&store, "a").await.unwrap(), b"one");
    assert_eq!(files(dir.path()), 1);
    assert_eq!(std::fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
    assert_eq!(code(store.create_bucket("bkt").await), Code::BucketAlreadyOwnedByYou);
    assert_eq!(code(store.create_bucket("Not.A.Bucket").await), Code::InvalidBucketName);
    assert_eq!(code(store.delete_bucket("bkt").await), Code::BucketNotEmpty);
}

#[tokio::test]
async fn lists_join_into_the_whole() {
    let (store, _dir) = store().await;
    store.create_bucket("other").await.unwrap();
    for key in ["a", "b/1", "b/2", "b0", "c/x/1", "ä"] {
        put(&store, key, b"").await;
    }
    let mut query = ListQuery { most: 1, delimiter: Some("/".into()), ..ListQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = store.list_objects("bkt", query.clone()).await.unwrap();
        seen.extend(page.objects.into_iter().map(|object| object.key));
        seen.extend(page.prefixes);
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a", "b/", "b0", "c/", "ä"]);
    // What begins between two keys of a common prefix still has the prefix.
    let query = ListQuery { most: 9, after: Some("b/1".into()), ..query };
    let page = store.list_objects("bkt", query).await.unwrap();
    assert_eq!(page.prefixes, ["b/", "c/"]);
    let all = ListQuery { most: 9, ..ListQuery::default() };
    assert!(store.list_objects("other", all).await.unwrap().objects.is_empty());
}

#[tokio::test]
async fn parts_become_an_object_with_the_checksum_of_the_whole() {
    let (store, dir) = store().await;
    let big = vec![7; 5 << 20];
    let crc = Some(Algorithm::Crc64Nvme);
    let id = store.create_upload("bkt", "k", Meta::default(), crc, None).await.unwrap();
    let mut parts = Vec::new();
    for (number, content) in [(1, big.as_slice()), (4, b"end".as_slice())] {
        let received = receive(&store, content).await;
        let part = store.put_part("bkt", "k", &id, number, received).await.unwrap();
        parts.push(CompletedPart { number, etag: part.etag, checksum: None });
    }
    let place = ("bkt", "k", id.as_str());
    let any = Conditions::default;
    let wrong = Some("AAAAAAAAAAA=".to_owned());
    let refused = store.complete_upload(place, parts.clone(), any(), wrong).await;
    assert_eq!(code(refused), Code::BadDigest);
    let swapped: Vec<_> = parts.iter().rev().cloned().collect();
    assert_eq!(
        code(store.complete_upload(place, swapped, any(), None).await),
        Code::InvalidPartOrder
    );
    let made = store.complete_upload(place, parts.clone(), any(), None).await.unwrap();
    let whole = [big.as_slice(), b"end"].concat();
    let checksum = made.checksum.unwrap();
    assert_eq!(checksum.kind, ChecksumKind::FullObject);
    assert_eq!(checksum, receive(&store, &whole).await.checksums[0]);
    assert!(made.etag.ends_with("-2"));
    assert_eq!(get(&store, "k").await.unwrap(), whole);
    assert_eq!(code(store.complete_upload(place, parts, any(), None).await), Code::NoSuchUpload);
    store.delete_objects("bkt", vec!["k".into()]).await.unwrap();
    let id = store.create_upload("bkt", "k", Meta::default(), None, None).await.unwrap();
    for content in [b"one".as_slice(), b"two"] {
        let received = receive(&store, content).await;
        store.put_part("bkt", "k", &id, 1, received).await.unwrap();
    }
    assert_eq!(files(dir.path()), 1, "a part that is replaced goes");
    store.abort_upload("bkt", "k", &id).await.unwrap();
    assert_eq!(files(dir.path()), 0);
}
