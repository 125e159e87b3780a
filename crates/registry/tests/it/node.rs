//! The node's image store pulls what was pushed here: one code path from push to layers.

use std::io::Write as _;
use std::sync::Arc;

use registry::{Digest, NewRepository};
use reqwest::Method;
use runtime::image::ImageStore;
use runtime::{Credentials, ImageError, ImageRequest, PullPolicy};
use serde_json::json;

use crate::common::{OCI_IMAGE, PASSWORD, Served, descriptor};

/// An archive of one file.
fn archive(path: &str, data: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, path, data.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Pushes an image of these layers and returns its manifest's digest.
async fn push(served: &Served, name: &str, tag: &str, layers: &[Vec<u8>]) -> Digest {
    let ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = json!({"os": "linux", "architecture": "amd64", "config": {"Entrypoint": ["/app"], "User": "7"},
        "rootfs": {"type": "layers", "diff_ids": ids}})
    .to_string();
    served.push_blob(name, config.as_bytes()).await;
    let mut described = Vec::new();
    for layer in layers {
        let sent = gzip(layer);
        served.push_blob(name, &sent).await;
        described.push(descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &sent));
    }
    let config = descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes());
    let manifest =
        json!({"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": described});
    assert_eq!(served.put_manifest(name, tag, OCI_IMAGE, &manifest).await.status(), 201);
    Digest::of(manifest.to_string().as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_here_is_stacked_there() {
    let served = Served::new().await;
    served.registry.create_repository(NewRepository::named("team/web")).await.unwrap();
    let layers = [archive("below", "1"), archive("above", "2")];
    let digest = push(&served, "team/web", "v1", &layers).await;
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::open(folder.path().to_owned(), Arc::new(shell::SystemClock)).unwrap();
    let request = |password: Option<&str>, policy| ImageRequest {
        reference: format!("{}/team/web:v1", served.registry.host()),
        policy,
        credentials: password
            .map(|p| Credentials { username: "AWS".to_owned(), password: p.to_owned() }),
        endpoint: Some((served.address.to_string(), true)),
        progress: None,
    };
    let denied = store.ensure(&request(None, PullPolicy::IfAbsent)).await.unwrap_err();
    assert!(matches!(denied, ImageError::Denied { .. }), "{denied:?}");
    let denied = store.ensure(&request(Some("old"), PullPolicy::IfAbsent)).await.unwrap_err();
    assert!(matches!(denied, ImageError::Denied { .. }), "{denied:?}");
    if std::fs::metadata("/proc/self").map(|me| std::os::unix::fs::MetadataExt::uid(&me)).unwrap()
        != 0
    {
        eprintln!("unpacking layers needs root: the rest was not tested");
        return;
    }
    let image = store.ensure(&request(Some(PASSWORD), PullPolicy::IfAbsent)).await.unwrap();
    assert_eq!((image.digest.as_str(), image.config.user.as_str()), (digest.as_str(), "7"));
    let stacked = store.layers(&image.id).unwrap();
    let read = |index: usize, path: &str| {
        std::fs::read_to_string(stacked.lower_dirs[index].join(path)).unwrap()
    };
    assert_eq!((read(0, "above").as_str(), read(1, "below").as_str()), ("2", "1"));

    let same = store.ensure(&request(Some(PASSWORD), PullPolicy::Always)).await.unwrap();
    assert_eq!(same.pulled, None);
    let newer = push(&served, "team/web", "v1", &[layers[0].clone(), archive("above", "3")]).await;
    let fresh = store.ensure(&request(Some(PASSWORD), PullPolicy::PreferFresh)).await.unwrap();
    assert_eq!(fresh.digest, newer.as_str());
    let path = format!("/v2/team/web/manifests/{newer}");
    assert_eq!(served.request(Method::DELETE, &path).send().await.unwrap().status(), 202);
    let gone = store.ensure(&request(Some(PASSWORD), PullPolicy::Always)).await.unwrap_err();
    assert!(matches!(gone, ImageError::NotFound { .. }), "{gone:?}");
    let kept = store.ensure(&request(Some(PASSWORD), PullPolicy::PreferFresh)).await.unwrap();
    assert_eq!(kept.id, fresh.id);
}
