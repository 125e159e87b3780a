//! The store as a whole, against a registry that can be told to misbehave. All of it needs root:
//! layers belong to many owners.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shell::{Clock, SystemClock};

use super::testing::{Fake, Layer, gzip, is_root, zstd};
use super::{ImageLayers, ImageStore};
use crate::seam::{Credentials, Image, ImageError, ImageRequest, PullPolicy, PullStage};

const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

struct World {
    folder: tempfile::TempDir,
    fake: Fake,
    store: ImageStore,
}

impl World {
    async fn new() -> Option<Self> {
        if !is_root("pulling images") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        Some(Self { folder, fake: Fake::start().await, store })
    }

    fn request(&self, rest: &str, policy: PullPolicy) -> ImageRequest {
        ImageRequest {
            reference: self.fake.name(rest),
            policy,
            credentials: None,
            endpoint: None,
            progress: None,
        }
    }

    async fn ensure(&self, rest: &str, policy: PullPolicy) -> Result<Image, ImageError> {
        self.store.ensure(&self.request(rest, policy)).await
    }

    fn layers(&self, image: &Image) -> ImageLayers {
        self.store.layers(&image.id).unwrap()
    }

    /// What lies in the store's folders, but for the store's own lock.
    fn count(&self, folder: &str) -> usize {
        std::fs::read_dir(self.folder.path().join(folder)).unwrap().count()
    }
}

fn open(path: &Path) -> ImageStore {
    ImageStore::open(path.to_owned(), Arc::new(SystemClock)).unwrap()
}

/// Waits for what happens in the background.
async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..4000 {
        if done() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("it did not happen");
}

fn hello(text: &str) -> Vec<u8> {
    Layer::new().file("hello", text).tar()
}

/// A layer that is larger than what is buffered on the way.
fn large() -> Vec<u8> {
    let mut seed = 1u32;
    let mut letters = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + u8::try_from(seed >> 28).unwrap())
    };
    let text: String = (0..3_000_000).map(|_| letters()).collect();
    Layer::new().file("large", &text).tar()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_compression_is_unpacked_and_stacked_in_order() {
    let Some(world) = World::new().await else { return };
    let below =
        Layer::new().file("usr/gone", "x").file("usr/kept", "x").file("same", "below").tar();
    let middle = Layer::new().file("usr/.wh.gone", "").file("same", "middle").tar();
    let above = Layer::new().file("same", "above").tar();
    // Two members, as some tools write.
    let members = [gzip(&middle[..700]), gzip(&middle[700..])].concat();
    let layers = [
        (below.clone(), PLAIN, below.as_slice()),
        (members, GZIP, &middle),
        (zstd(&above), ZSTD, &above),
    ];
    let manifest = world.fake.image("app", "v1", &layers);
    let image = world.ensure("app:v1", PullPolicy::IfAbsent).await.unwrap();
    assert_eq!((image.digest.as_str(), image.pulled.is_some()), (manifest.as_str(), true));
    assert_eq!(image.config.cmd, ["/run", "v1"]);
    let layers = world.layers(&image);
    let read = |index: usize, path: &str| {
        std::fs::read_to_string(layers.lower_dirs[index].join(path)).unwrap()
    };
    assert_eq!((read(0, "same").as_str(), read(2, "same").as_str()), ("above", "below"));
    assert_eq!(world.count("tmp"), 0);

    let again = world.ensure("app:v1", PullPolicy::IfAbsent).await.unwrap();
    assert_eq!((again.id, again.pulled), (image.id, None));
    let merged = overlay(&layers.lower_dirs);
    assert_eq!(merged, "./same above\n./usr/kept x\n");
}

/// What overlayfs makes of the layers, seen in a mount namespace that ends with the question.
fn overlay(lower: &[PathBuf]) -> String {
    let point = tempfile::tempdir().unwrap();
    let lower: Vec<_> = lower.iter().map(|path| path.to_str().unwrap()).collect();
    let script = "mount -t overlay overlay -o lowerdir=$0 $1 && cd $1 &&
        find . -type f | sort | while read -r file; do echo \"$file $(cat $file)\"; done";
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script, &lower.join(":"), point.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_is_stored_once_and_pulled_once() {
    let Some(world) = World::new().await else { return };
    let (base, one, two) = (large(), hello("one"), hello("two"));
    let base = |kind: &'static str| match kind {
        GZIP => (gzip(&base), GZIP, base.as_slice()),
        _ => (zstd(&base), ZSTD, base.as_slice()),
    };
    world.fake.image("app", "one", &[base(GZIP), (one.clone(), PLAIN, &one)]);
    world.fake.image("app", "two", &[base(ZSTD), (two.clone(), PLAIN, &two)]);
    let pull = |tag: &'static str| {
        let (store, request) = (world.store.clone(), world.request(tag, PullPolicy::IfAbsent));
        tokio::spawn(async move { store.ensure(&request).await.unwrap() })
    };
    let pulls: Vec<_> =
        (0..8).map(|n| pull(if n % 2 == 0 { "app:one" } else { "app:two" })).collect();
    let mut pulled = 0;
    for pull in pulls {
        pulled += usize::from(pull.await.unwrap().pulled.is_some());
    }
    assert_eq!(pulled, 2);
    // Two manifests, two configurations, three layers: nothing came twice, though eight asked.
    assert_eq!((world.fake.asked("/manifests/"), world.fake.asked("/blobs/")), (2, 5));
    assert_eq!(world.count("layers"), 3);

    // What is shared stays until the last image that has it goes.
    assert!(world.store.remove(&world.fake.name("app:one")).unwrap());
    assert!(!world.store.remove(&world.fake.name("app:one")).unwrap());
    assert_eq!((world.count("layers"), world.count("images"), world.count("refs")), (2, 1, 1));
    let left = world.store.list();
    let [left] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!(
        (left.references[0].as_str(), left.bytes),
        (world.fake.name("app:two").as_str(), 3_000_003)
    );
    assert!(world.store.remove(&left.id).unwrap());
    assert_eq!((world.count("layers"), world.count("images"), world.count("refs")), (0, 0, 0));
    assert!(matches!(world.store.layers(&left.id), Err(ImageError::NotFound { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_download_goes_on_where_it_was() {
    let Some(world) = World::new().await else { return };
    for no_ranges in [false, true] {
        let tag = if no_ranges { "b" } else { "a" };
        let mut layer = large();
        layer.extend_from_slice(tag.as_bytes());
        let path = format!("app/blobs/{}", super::digest::Digest::of(&layer));
        world.fake.plain("app", tag, layer);
        world.fake.with(|content| {
            content.no_ranges = no_ranges;
            content.cuts.insert(path.clone(), (3, 900_000));
            content.failures = 2;
        });
        world.ensure(&format!("app:{tag}"), PullPolicy::IfAbsent).await.unwrap();
        let asked = |range: &str| world.fake.asked(&format!("{path} {range}"));
        if no_ranges {
            assert!(asked("") >= 3);
        } else {
            assert_eq!(
                (asked("bytes=900000-"), asked("bytes=1800000-"), asked("bytes=2700000-")),
                (1, 1, 1)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_are_found_out_and_leave_nothing() {
    let Some(world) = World::new().await else { return };
    let layer = hello("x");
    let claim = |sent: &[u8], plain: &[u8]| {
        world.fake.image("app", "v1", &[(sent.to_vec(), PLAIN, plain)]);
    };
    let refused = async |word: &str| {
        let error = world.ensure("app:v1", PullPolicy::IfAbsent).await.expect_err(word);
        assert!(matches!(error, ImageError::Invalid { .. }), "{error:?}");
        let told = error.to_string();
        assert!(told.contains(word), "{told} should speak of: {word}");
    };
    // The archive is not the one of the configuration.
    claim(&layer, b"another");
    refused("the image's configuration says").await;
    // The blob is not the one of the manifest.
    claim(&layer, &layer);
    let path = format!("app/blobs/{}", super::digest::Digest::of(&layer));
    let mut other = layer.clone();
    other[600] ^= 1;
    world.fake.with(|content| content.files.get_mut(&path).unwrap().1 = other);
    refused("digest").await;
    // It is longer than the manifest says.
    world.fake.with(|content| {
        content.files.get_mut(&path).unwrap().1 = [layer.clone(), vec![0; 512]].concat()
    });
    refused("more bytes").await;
    // It is no archive; it is a hostile one; its gzip is garbled.
    claim(&[7; 2000], &[7; 2000]);
    refused("checksum").await;
    let hostile = Layer::new().file("../evil", "").tar();
    claim(&hostile, &hostile);
    refused("out of the image's root").await;
    let mut garbled = gzip(&layer);
    let middle = garbled.len() / 2;
    garbled[middle..].fill(0xff);
    claim(&garbled, &layer);
    refused("could not be unpacked").await;
    assert_eq!((world.count("layers"), world.count("tmp"), world.count("refs")), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_ask_when_they_should() {
    let Some(world) = World::new().await else { return };
    world.fake.plain("app", "v1", hello("one"));
    let first = world.ensure("app:v1", PullPolicy::IfAbsent).await.unwrap();
    let asked = world.fake.asked("");
    world.ensure("app:v1", PullPolicy::IfAbsent).await.unwrap();
    assert_eq!(world.fake.asked(""), asked);
    let same = world.ensure("app:v1", PullPolicy::Always).await.unwrap();
    assert_eq!((same.pulled, world.fake.asked("HEAD")), (None, 1));

    world.fake.plain("app", "v1", hello("two"));
    let fresh = world.ensure("app:v1", PullPolicy::PreferFresh).await.unwrap();
    assert!(fresh.pulled.is_some() && fresh.id != first.id);
    let stale = world.ensure("app:v1", PullPolicy::IfAbsent).await.unwrap();
    assert_eq!(stale.id, fresh.id);
    // By its digest it is there under any name that was asked for by digest.
    let by_digest = format!("app@{}", fresh.digest);
    assert_eq!(world.ensure(&by_digest, PullPolicy::IfAbsent).await.unwrap().id, fresh.id);

    world.fake.with(|content| content.files.clear());
    let kept = world.ensure("app:v1", PullPolicy::PreferFresh).await.unwrap();
    assert_eq!((kept.id, kept.pulled), (fresh.id, None));
    let gone = world.ensure("app:v1", PullPolicy::Always).await.unwrap_err();
    assert!(
        matches!(&gone, ImageError::NotFound { host, .. } if *host == world.fake.address.to_string())
    );
    assert!(matches!(
        world.ensure("app:v2", PullPolicy::PreferFresh).await,
        Err(ImageError::NotFound { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_matters() {
    let Some(world) = World::new().await else { return };
    world.fake.plain("app", "v1", hello("one"));
    let ask = async |password: Option<&str>| {
        let mut request = world.request("app:v1", PullPolicy::Always);
        request.credentials =
            password.map(|p| Credentials { username: "AWS".to_owned(), password: p.to_owned() });
        world.store.ensure(&request).await
    };
    // "AWS:good" in base64.
    world.fake.with(|content| content.basic = Some("QVdTOmdvb2Q=".to_owned()));
    let none = ask(None).await.unwrap_err().to_string();
    assert!(none.contains("none were given"), "{none}");
    let bad = ask(Some("bad")).await.unwrap_err().to_string();
    assert!(bad.contains("did not accept the password of user \"AWS\""), "{bad}");
    assert!(!format!("{:?}", ask(Some("bad")).await).contains("bad"));
    ask(Some("good")).await.unwrap();
    // A token of the kind that Docker Hub gives, and a new one when it has expired.
    world.fake.with(|content| (content.basic, content.bearer) = (None, Some("first".to_owned())));
    ask(None).await.unwrap();
    world.fake.with(|content| content.bearer = Some("second".to_owned()));
    ask(None).await.unwrap();
    assert_eq!(world.fake.asked("/token"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_platform_is_chosen_and_the_name_may_live_elsewhere() {
    let Some(world) = World::new().await else { return };
    let image = world.fake.plain("app", "v1", hello("one"));
    let kind = "application/vnd.oci.image.index.v1+json";
    let entry = |architecture: &str| {
        format!(
            r#"{{"digest":"{image}","size":1,"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#
        )
    };
    let index = |entries: &[&str]| {
        let entries: Vec<_> = entries.iter().map(|architecture| entry(architecture)).collect();
        format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","))
    };
    let own = super::platform::Platform::of_this_machine().architecture;
    let top = world.fake.manifest("app", "all", kind, &index(&["riscv64", &own]));
    let request = ImageRequest {
        reference: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:all".to_owned(),
        policy: PullPolicy::Always,
        credentials: None,
        endpoint: Some((world.fake.address.to_string(), true)),
        progress: None,
    };
    let pulled = world.store.ensure(&request).await.unwrap();
    assert_eq!(pulled.digest, image.as_str());
    // The name stands for the index: as long as it does, nothing is pulled again.
    assert_eq!(world.store.ensure(&request).await.unwrap().pulled, None);
    assert_eq!(world.store.list()[0].references, std::slice::from_ref(&request.reference));
    assert_ne!(top, image);

    world.fake.manifest("app", "none", kind, &index(&["s390x", "riscv64"]));
    let error = world.ensure("app:none", PullPolicy::Always).await.unwrap_err();
    assert!(
        matches!(&error, ImageError::Platform { available, .. } if available == "linux/riscv64, linux/s390x")
    );
    let me = format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{top}","size":1}}]}}"#);
    world.fake.manifest("app", "nested", kind, &me);
    world.ensure("app:nested", PullPolicy::Always).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_whole_outlives_the_process_and_what_is_not_does_not() {
    let Some(World { folder, fake, store }) = World::new().await else { return };
    fake.plain("app", "v1", hello("one"));
    fake.plain("app", "v2", hello("two"));
    let request = |tag: &str| ImageRequest {
        reference: fake.name(&format!("app:{tag}")),
        policy: PullPolicy::IfAbsent,
        credentials: None,
        endpoint: None,
        progress: None,
    };
    let one = store.ensure(&request("v1")).await.unwrap();
    let two = store.ensure(&request("v2")).await.unwrap();
    let busy = ImageStore::open(folder.path().to_owned(), Arc::new(SystemClock)).unwrap_err();
    assert!(stdx::chain(&busy).contains("another process uses this image store"));
    let layer =
        |image: &Image| store.layers(&image.id).unwrap().lower_dirs[0].parent().unwrap().to_owned();
    let (first, second) = (layer(&one), layer(&two));
    // The background sync holds the store until it is done.
    until(|| !(first.join("unsynced").exists() || second.join("unsynced").exists())).await;
    drop(store);
    // A killed pull leaves this; a power loss during a pull the other.
    std::fs::create_dir_all(folder.path().join("tmp/7/files/deep")).unwrap();
    std::fs::write(second.join("unsynced"), "another boot").unwrap();
    // A detached thread may hold the last clone for a moment.
    let mut opened = None;
    until(|| {
        opened = ImageStore::open(folder.path().to_owned(), Arc::new(SystemClock)).ok();
        opened.is_some()
    })
    .await;
    let store = opened.unwrap();
    assert!(first.exists() && !second.exists());
    fake.with(|content| content.log.clear());
    assert_eq!(store.ensure(&request("v1")).await.unwrap().id, one.id);
    assert_eq!(fake.asked(""), 0);
    assert!(matches!(store.layers(&two.id), Err(ImageError::NotFound { .. })));
    assert_eq!(store.ensure(&request("v2")).await.unwrap().id, two.id);
    assert!(second.exists());
    until(|| !folder.path().join("tmp.stale").exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_pull_leaves_nothing_half_done() {
    let Some(world) = World::new().await else { return };
    let layer = large();
    let path = format!("app/blobs/{}", super::digest::Digest::of(&layer));
    world.fake.plain("app", "v1", layer);
    // It breaks off again and again, so that it is under way for a while.
    world.fake.with(|content| content.cuts.insert(path, (1000, 0)));
    let (store, request) = (world.store.clone(), world.request("app:v1", PullPolicy::IfAbsent));
    let pull = tokio::spawn(async move { store.ensure(&request).await });
    until(|| world.count("tmp") > 0).await;
    pull.abort();
    until(|| world.count("tmp") == 0).await;
    assert_eq!((world.count("layers"), world.count("refs")), (0, 0));
    world.fake.with(|content| content.cuts.clear());
    world.ensure("app:v1", PullPolicy::IfAbsent).await.unwrap();
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(rustls::crypto::ring::default_provider().install_default());
    let store = open(folder.path());
    // A port that was free a moment ago.
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let request = ImageRequest {
        reference: format!("{address}/app"),
        policy: PullPolicy::IfAbsent,
        credentials: None,
        endpoint: None,
        progress: None,
    };
    let error = store.ensure(&request).await.unwrap_err();
    assert!(matches!(&error, ImageError::Unreachable { host, .. } if *host == address.to_string()));
    assert!(stdx::chain(&error).contains("refused"), "{}", stdx::chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_how_far_a_pull_is_and_what_is_used() {
    let Some(world) = World::new().await else { return };
    let (base, one, two) = (large(), hello("one"), hello("two"));
    let base = (gzip(&base), GZIP, base.as_slice());
    world.fake.image("app", "one", &[base.clone(), (one.clone(), PLAIN, &one)]);
    world.fake.image("app", "two", &[base, (two.clone(), PLAIN, &two)]);
    let before = SystemClock.now();
    for (tag, present) in [("app:one", 0), ("app:two", 1)] {
        let (progress, mut told) = tokio::sync::mpsc::unbounded_channel();
        let request = world.request(tag, PullPolicy::IfAbsent);
        world.store.ensure(&ImageRequest { progress: Some(progress), ..request }).await.unwrap();
        let mut last = std::collections::BTreeMap::new();
        while let Ok(report) = told.try_recv() {
            assert!(report.received <= report.total, "{report:?}");
            let before = last.insert(report.layer.clone(), report.clone());
            assert!(before.is_none_or(|before| before.received <= report.received), "{report:?}");
        }
        assert_eq!(last.len(), 2, "{last:?}");
        assert!(last.values().all(|report| report.received == report.total), "{last:?}");
        let was_there = last.values().filter(|report| report.stage == PullStage::Present).count();
        assert_eq!(was_there, present, "{last:?}");
    }
    let images = world.store.list();
    assert!(images.iter().all(|image| image.pulled_at >= before), "{images:?}");
    let used = images[0].used_at;
    world.store.layers(&images[0].id).unwrap();
    assert!(world.store.list()[0].used_at >= used);
}
