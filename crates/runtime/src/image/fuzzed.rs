//! What of images is fuzzed: see `fuzz_tests`.

use std::fs;

use tar::EntryType;

use super::document::{parse_config, parse_manifest};
use super::testing::Layer;
use super::unpack::{self, Limits};

/// Layers to begin with.
pub(crate) fn layers() -> Vec<Vec<u8>> {
    let plain = Layer::new().folder("etc").file("etc/passwd", "root:x:0:0").symlink("l", "etc");
    let links = Layer::new()
        .symlink("out", "../outside")
        .file("out/file", "x")
        .hardlink("hard", "out/file")
        .raw(EntryType::Char, "null", "", b"");
    let whiteouts = Layer::new()
        .file("a/.wh.b", "")
        .file("a/.wh..wh..opq", "")
        .pax(&[("SCHILY.xattr.user.a", b"b"), ("path", b"long/name")])
        .file("x", "y");
    [plain, links, whiteouts].into_iter().map(Layer::tar).collect()
}

/// Unpacks a layer: whatever it says, its neighbours stay as they are.
pub(crate) fn unpack(bytes: &[u8]) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    for folder in [&root, &outer.path().join("outside")] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(outer.path().join("outside/file"), "alive").unwrap();
    drop(unpack::unpack(bytes, &root, Limits { entries: 200, bytes: 1 << 20 }));
    let names = |path: &str| fs::read_dir(outer.path().join(path)).unwrap().count();
    assert_eq!((names(""), names("outside")), (2, 1));
    assert_eq!(fs::read(outer.path().join("outside/file")).unwrap(), b"alive");
}

/// Manifests, indexes and configurations to begin with.
pub(crate) fn documents() -> Vec<Vec<u8>> {
    let digest = format!("sha256:{}", "a".repeat(64));
    let manifest = format!(
        r#"{{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "{digest}",
        "size": 7}}, "layers": [{{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": "{digest}", "size": 32654}}]}}"#
    );
    let index = format!(
        r#"{{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest":
        "{digest}", "size": 7, "platform": {{"architecture": "arm64", "os": "linux", "variant":
        "v8"}}}}]}}"#
    );
    let config = format!(
        r#"{{"architecture": "amd64", "os": "linux", "config": {{"Env": ["A=b"], "Cmd": ["sh"],
        "Volumes": {{"/v": {{}}}}, "StopSignal": "SIGINT", "Healthcheck": {{"Test": ["CMD", "x"],
        "Interval": 1000}}}}, "rootfs": {{"type": "layers", "diff_ids": ["{digest}"]}}}}"#
    );
    [manifest, index, config].map(String::into_bytes).into()
}

/// Reads a document in every way.
pub(crate) fn read_documents(bytes: &[u8]) {
    drop(parse_manifest(bytes));
    drop(parse_config(bytes));
}
