//! Helpers of the tests: archives, images, and a registry that can be told to misbehave.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::digest::Digest;

/// Whether this process may own files in other people's names; tests that need it say so.
pub(super) fn is_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("{what} needs root: nothing was tested");
    }
    root
}

/// An archive that is put together entry by entry.
pub(super) struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    pub(super) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// An entry with any name and link, hostile ones too, which `tar` itself would refuse to write.
    pub(super) fn raw(mut self, kind: tar::EntryType, path: &str, link: &str, data: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        let fields = header.as_gnu_mut().unwrap();
        let put = |field: &mut [u8], text: &str| {
            let most = field.len().min(text.len());
            field[..most].copy_from_slice(&text.as_bytes()[..most]);
        };
        put(&mut fields.name, path);
        put(&mut fields.linkname, link);
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    pub(super) fn file(self, path: &str, data: &str) -> Self {
        self.raw(tar::EntryType::Regular, path, "", data.as_bytes())
    }

    pub(super) fn folder(self, path: &str) -> Self {
        self.raw(tar::EntryType::Directory, path, "", b"")
    }

    pub(super) fn symlink(self, path: &str, link: &str) -> Self {
        self.raw(tar::EntryType::Symlink, path, link, b"")
    }

    pub(super) fn hardlink(self, path: &str, link: &str) -> Self {
        self.raw(tar::EntryType::Link, path, link, b"")
    }

    /// Sets owner, mode and attributes of the entry that `header` makes.
    pub(super) fn header(
        mut self,
        edit: impl FnOnce(&mut tar::Header),
        path: &str,
        data: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        edit(&mut header);
        self.0.append_data(&mut header, path, data).unwrap();
        self
    }

    /// A PAX header for the next entry.
    pub(super) fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    pub(super) fn tar(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// What a registry serves, and how badly.
#[derive(Default)]
pub(super) struct Content {
    /// By `path` below `/v2/`: the media type and the bytes.
    pub(super) files: BTreeMap<String, (String, Vec<u8>)>,
    /// By path: so many requests end after so many bytes of the body.
    pub(super) cuts: BTreeMap<String, (usize, usize)>,
    /// So many requests for anything are answered 503.
    pub(super) failures: usize,
    /// Requests for a part are answered with the whole.
    pub(super) no_ranges: bool,
    /// `user:password`, which is then wanted.
    pub(super) basic: Option<String>,
    /// A token, which is then wanted, and had from `/token`.
    pub(super) bearer: Option<String>,
    /// All requests so far: method, path, and the range if there was one.
    pub(super) log: Vec<String>,
}

/// A registry on a loopback socket, gone with the test's runtime.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    pub(super) content: Arc<Mutex<Content>>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let content = Arc::new(Mutex::new(Content::default()));
        let fake = Self { address, content };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(
                    async move { while server.answer_one(&mut stream).await.is_some() {} },
                );
            }
        });
        fake
    }

    pub(super) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Content) -> T) -> T {
        work(&mut self.content.lock().unwrap())
    }

    /// How many requests so far have had this in their log line.
    pub(super) fn asked(&self, what: &str) -> usize {
        self.with(|content| content.log.iter().filter(|line| line.contains(what)).count())
    }

    pub(super) fn blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let path = format!("{repository}/blobs/{digest}");
        self.with(|c| {
            c.files.insert(path, ("application/octet-stream".to_owned(), bytes.to_vec()))
        });
        digest
    }

    pub(super) fn manifest(&self, repository: &str, tag: &str, kind: &str, text: &str) -> Digest {
        let digest = Digest::of(text.as_bytes());
        for reference in [tag, digest.as_str()] {
            let path = format!("{repository}/manifests/{reference}");
            let file = (kind.to_owned(), text.as_bytes().to_vec());
            self.with(|content| content.files.insert(path, file));
        }
        digest
    }

    /// An image of layers given as `(as sent, media type, uncompressed)`; returns its manifest's digest.
    pub(super) fn image(
        &self,
        repository: &str,
        tag: &str,
        layers: &[(Vec<u8>, &str, &[u8])],
    ) -> Digest {
        let diff_ids: Vec<String> =
            layers.iter().map(|(_, _, plain)| Digest::of(plain).to_string()).collect();
        let config =
            json!({"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/run", tag]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}})
            .to_string();
        let describe = |kind: &str, bytes: &[u8]| {
            let digest = self.blob(repository, bytes);
            json!({"mediaType": kind, "digest": digest.as_str(), "size": bytes.len()})
        };
        let layers: Vec<_> = layers.iter().map(|(sent, kind, _)| describe(kind, sent)).collect();
        let config = describe("application/vnd.oci.image.config.v1+json", config.as_bytes());
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest =
            json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
        self.manifest(repository, tag, kind, &manifest.to_string())
    }

    /// An image of one plain layer.
    pub(super) fn plain(&self, repository: &str, tag: &str, layer: Vec<u8>) -> Digest {
        let kind = "application/vnd.oci.image.layer.v1.tar";
        self.image(repository, tag, &[(layer.clone(), kind, &layer)])
    }

    /// Reads one request and answers it; none when the connection is at its end.
    async fn answer_one(&self, stream: &mut TcpStream) -> Option<()> {
        let head = read_head(stream).await?;
        let mut lines = head.lines();
        let mut first = lines.next()?.split(' ');
        let (method, path) = (first.next()?, first.next()?);
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let (answer, body, cut) =
            self.with(|content| content.answer(self.address, method, path, &headers));
        let head = format!("HTTP/1.1 {answer}content-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.ok()?;
        if method != "HEAD" {
            stream.write_all(&body[..cut.unwrap_or(body.len())]).await.ok()?;
        }
        if cut.is_some() { None } else { Some(()) }
    }
}

impl Content {
    /// The status line with headers, the body, and after how many bytes the connection breaks.
    fn answer(
        &mut self,
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &BTreeMap<String, String>,
    ) -> (String, Vec<u8>, Option<usize>) {
        let range = headers.get("range").cloned().unwrap_or_default();
        self.log.push(format!("{method} {path} {range}"));
        if self.failures > 0 {
            self.failures -= 1;
            return ("503 Unavailable\r\n".to_owned(), Vec::new(), None);
        }
        if let (Some(token), true) = (&self.bearer, path.starts_with("/token")) {
            return (
                "200 OK\r\n".to_owned(),
                json!({"token": token}).to_string().into_bytes(),
                None,
            );
        }
        let given = headers.get("authorization").cloned().unwrap_or_default();
        if self.bearer.as_ref().is_some_and(|token| given != format!("Bearer {token}")) {
            let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"x\"");
            return (format!("401 No\r\nwww-authenticate: {challenge}\r\n"), Vec::new(), None);
        }
        if self.basic.as_ref().is_some_and(|basic| given != format!("Basic {basic}")) {
            return (
                "401 No\r\nwww-authenticate: Basic realm=\"x\"\r\n".to_owned(),
                Vec::new(),
                None,
            );
        }
        if path == "/v2/" {
            return ("200 OK\r\n".to_owned(), Vec::new(), None);
        }
        let key = path.trim_start_matches("/v2/").to_owned();
        let Some((kind, bytes)) = self.files.get(&key).cloned() else {
            let body =
                json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no"}]}).to_string();
            return ("404 Not Found\r\n".to_owned(), body.into_bytes(), None);
        };
        let digest = Digest::of(&bytes);
        let offset = range.trim_start_matches("bytes=").trim_end_matches('-').parse().ok();
        let (status, body) = match offset.filter(|_: &usize| !self.no_ranges) {
            Some(offset) => ("206 Partial", bytes[offset..].to_vec()),
            None => ("200 OK", bytes),
        };
        let cut = self.cuts.get_mut(&key).filter(|(times, _)| *times > 0).map(|(times, after)| {
            *times -= 1;
            (*after).min(body.len())
        });
        let digest = if kind.contains("octet") {
            String::new()
        } else {
            format!("docker-content-digest: {digest}\r\n")
        };
        (format!("{status}\r\ncontent-type: {kind}\r\n{digest}"), body, cut)
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
