//! Real clients push and pull: skopeo and docker, where they are installed.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::common::{PASSWORD, Served};
use registry::{Digest, Page, TagStatus};
use serde_json::json;
use tokio::process::Command;

/// Whether a program is there to be run.
async fn installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

async fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// An OCI layout with one image of one layer: `/hello`.
fn layout(folder: &Path) {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        std::fs::File::create(blobs.join(digest.hex())).unwrap().write_all(bytes).unwrap();
        json!({"digest": digest.as_str(), "size": bytes.len()})
    };
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(6);
    header.set_mode(0o644);
    archive.append_data(&mut header, "hello", &b"world\n"[..]).unwrap();
    let archive = archive.into_inner().unwrap();
    let config = json!({"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/hello"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&archive).as_str()]}});
    let kind = |mut descriptor: serde_json::Value, kind: &str| {
        descriptor["mediaType"] = json!(kind);
        descriptor
    };
    let config =
        kind(put(config.to_string().as_bytes()), "application/vnd.oci.image.config.v1+json");
    let layer = kind(put(&archive), "application/vnd.oci.image.layer.v1.tar");
    let manifest = json!({"schemaVersion": 2, "mediaType": crate::common::OCI_IMAGE, "config": config, "layers": [layer]});
    let manifest = kind(put(manifest.to_string().as_bytes()), crate::common::OCI_IMAGE);
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_pushes_inspects_and_pulls() {
    if !installed("skopeo").await {
        eprintln!("skopeo is not installed: nothing was tested");
        return;
    }
    let served = Served::new().await;
    served.create("team/web").await;
    let folder = tempfile::tempdir().unwrap();
    layout(&folder.path().join("in"));
    let source = format!("oci:{}", folder.path().join("in").display());
    let target = format!("docker://{}/team/web:v1", served.address);
    let credentials = format!("AWS:{PASSWORD}");
    run(
        "skopeo",
        &["copy", "--dest-tls-verify=false", "--dest-creds", &credentials, &source, &target],
    )
    .await;
    let images =
        served.registry.describe_images("team/web", &[], TagStatus::Any, &Page::default()).unwrap();
    assert_eq!(images.items[0].tags, ["v1"]);
    let text =
        run("skopeo", &["inspect", "--tls-verify=false", "--creds", &credentials, &target]).await;
    assert!(text.contains(&images.items[0].digest), "{text}");
    let back = format!("oci:{}", folder.path().join("out").display());
    run("skopeo", &["copy", "--src-tls-verify=false", "--src-creds", &credentials, &target, &back])
        .await;
    let index = std::fs::read_to_string(folder.path().join("out/index.json")).unwrap();
    assert!(index.contains(&images.items[0].digest), "{index}");

    let missing = format!("docker://{}/none:v1", served.address);
    let refused = Command::new("skopeo")
        .args(["copy", "--dest-tls-verify=false", "--dest-creds", &credentials, &source, &missing])
        .output()
        .await
        .unwrap();
    assert!(!refused.status.success());
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("does not exist in the registry with id"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_pushes_and_pulls() {
    let mut info = Command::new("docker");
    info.arg("info").stdout(Stdio::null()).stderr(Stdio::null());
    if !installed("skopeo").await || !info.status().await.is_ok_and(|status| status.success()) {
        eprintln!("docker does not run here, or skopeo is not installed: nothing was tested");
        return;
    }
    let served = Served::new().await;
    served.create("web").await;
    let folder = tempfile::tempdir().unwrap();
    layout(&folder.path().join("in"));
    let name = format!("{}/web:v1", served.address);
    let archive = folder.path().join("image.tar");
    let source = format!("oci:{}", folder.path().join("in").display());
    let target = format!("docker-archive:{}:{name}", archive.display());
    run("skopeo", &["copy", &source, &target]).await;
    let archive = archive.display().to_string();
    let configuration = folder.path().join("docker").display().to_string();
    let docker = async |arguments: &[&str]| {
        let all = [&["--config", configuration.as_str()], arguments].concat();
        run("docker", &all).await
    };
    docker(&["load", "--input", &archive]).await;
    docker(&["login", "--username", "AWS", "--password", PASSWORD, &served.address.to_string()])
        .await;
    docker(&["push", &name]).await;
    docker(&["image", "rm", &name]).await;
    docker(&["pull", &name]).await;
    docker(&["image", "rm", &name]).await;
    let images =
        served.registry.describe_images("web", &[], TagStatus::Any, &Page::default()).unwrap();
    assert_eq!(images.items[0].tags, ["v1"]);
    assert_eq!(images.items[0].media_type, "application/vnd.docker.distribution.manifest.v2+json");
}
