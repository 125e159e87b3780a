//! A registry on a loopback socket, a client for it, and images small enough to read.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use registry::{Digest, NewRepository, Registry, RegistryConfig};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use shell::ManualClock;

pub(crate) const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const PASSWORD: &str = "a-token";

/// A registry that is served until it is dropped.
pub(crate) struct Served {
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: ManualClock,
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    server: tokio::task::JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(crate) fn config(dir: &Path, clock: &ManualClock, create_on_push: bool) -> RegistryConfig {
    RegistryConfig {
        dir: dir.to_owned(),
        account: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        create_on_push,
        clock: Arc::new(clock.clone()),
    }
}

/// A clock that starts where the files' own times are.
pub(crate) fn clock() -> ManualClock {
    let now = shell::Clock::now(&shell::SystemClock);
    ManualClock::new(now + Duration::from_secs(1))
}

impl Served {
    pub(crate) async fn new() -> Self {
        Self::with(false).await
    }

    pub(crate) async fn with(create_on_push: bool) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let dir = tempfile::tempdir().unwrap();
        let clock = clock();
        let registry = Registry::open(config(dir.path(), &clock, create_on_push)).unwrap();
        let check = |username: &str, password: &str| match (username, password) {
            ("AWS", PASSWORD) => Ok(()),
            _ => Err("the token is not valid".to_owned()),
        };
        let app = registry::router(Arc::clone(&registry), Arc::new(check));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let client = Client::builder().no_proxy().build().unwrap();
        Self { registry, clock, address, client, server, dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn create(&self, name: &str) {
        self.registry.create_repository(NewRepository::named(name)).await.unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path)).basic_auth("AWS", Some(PASSWORD))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// Pushes a blob in one request.
    pub(crate) async fn push_blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let answer = self.request(Method::POST, &path).body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        digest
    }

    pub(crate) async fn put_manifest(
        &self,
        name: &str,
        reference: &str,
        kind: &str,
        manifest: &Value,
    ) -> Response {
        let path = format!("/v2/{name}/manifests/{reference}");
        let request = self.request(Method::PUT, &path).header("content-type", kind);
        request.body(manifest.to_string()).send().await.unwrap()
    }

    /// Pushes an image with one layer of these bytes; returns its manifest.
    pub(crate) async fn push_image(&self, name: &str, tag: &str, layer: &[u8]) -> Value {
        self.push_blob(name, b"{}").await;
        self.push_blob(name, layer).await;
        let manifest = image(layer);
        let answer = self.put_manifest(name, tag, OCI_IMAGE, &manifest).await;
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        manifest
    }
}

pub(crate) fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Digest::of(bytes).as_str(), "size": bytes.len()})
}

/// The manifest of an image with an empty configuration and one layer.
pub(crate) fn image(layer: &[u8]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    })
}

pub(crate) fn digest_of(manifest: &Value) -> Digest {
    Digest::of(manifest.to_string().as_bytes())
}

/// An answer's body as JSON.
pub(crate) async fn body(answer: Response) -> Value {
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

/// The status and the error code of an answer that is an error.
pub(crate) async fn error(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}"));
    assert!(!body["errors"][0]["message"].as_str().unwrap().is_empty());
    (status, body["errors"][0]["code"].as_str().unwrap().to_owned())
}

pub(crate) fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
}
