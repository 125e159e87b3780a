//! Asking a registry: `oci-client` with repeated attempts, resumed downloads, and errors that say
//! who refused what.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use oci_client::client::{BlobResponse, Client, ClientConfig, ClientProtocol, SizedStream};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use stdx::Backoff;
use tokio::sync::mpsc;

use super::digest::Digest;
use super::document::{Descriptor, MANIFEST_TYPES};
use super::progress::Progress;
use super::reference::Name;
use crate::seam::{Credentials, ImageError};

/// Clients that are kept: each holds connections and tokens of one user at one registry.
const MOST_CLIENTS: usize = 16;

/// Attempts in a row that may fail before a request is given up.
pub(crate) const PATIENT: u32 = 4;

/// Whose client it is.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    host: String,
    plain_http: bool,
    user: Option<(String, String)>,
}

/// Clients in use, the most recent last.
#[derive(Default)]
pub(crate) struct Clients(Mutex<Vec<(Key, Client)>>);

impl Clients {
    fn get(&self, key: &Key) -> Result<Client, OciDistributionError> {
        if let Some(client) = self.kept(key) {
            return Ok(client);
        }
        let client = Client::try_from(config(key.plain_http))?;
        let mut clients = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if clients.len() >= MOST_CLIENTS {
            clients.remove(0);
        }
        clients.push((key.clone(), client.clone()));
        Ok(client)
    }

    fn kept(&self, key: &Key) -> Option<Client> {
        let mut clients = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let index = clients.iter().position(|(kept, _)| kept == key)?;
        let kept = clients.remove(index);
        let client = kept.1.clone();
        clients.push(kept);
        Some(client)
    }

    fn forget(&self, key: &Key) -> bool {
        let mut clients = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = clients.len();
        clients.retain(|(kept, _)| kept != key);
        clients.len() < before
    }
}

fn config(plain_http: bool) -> ClientConfig {
    ClientConfig {
        protocol: if plain_http { ClientProtocol::Http } else { ClientProtocol::Https },
        connect_timeout: Some(Duration::from_secs(10)),
        read_timeout: Some(Duration::from_secs(30)),
        user_agent: concat!("wharf/", env!("CARGO_PKG_VERSION")),
        // A proxy from the environment is for the outside world: registries without TLS are on this
        // machine or next to it. A proxy that is named and excluded for all hosts is the way to say so.
        http_proxy: plain_http.then(|| "http://127.0.0.1:9".to_owned()),
        no_proxy: plain_http.then(|| "*,0.0.0.0/0,::/0".to_owned()),
        ..ClientConfig::default()
    }
}

/// One image's registry, asked as one user.
pub(crate) struct Source<'a> {
    clients: &'a Clients,
    name: &'a Name,
    key: Key,
    auth: RegistryAuth,
    attempts: u32,
}

/// What to do about a failed request.
enum Verdict {
    /// It will fail again.
    Final(ImageError),
    /// It may pass.
    Again(Box<dyn std::error::Error + Send + Sync>),
    /// The token may have expired.
    Unauthorized(String),
}

/// How often a request has failed.
struct Tries {
    failed: u32,
    renewed: bool,
    backoff: Backoff,
}

impl Tries {
    fn new() -> Self {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        Self { failed: 0, renewed: false, backoff }
    }
}

impl<'a> Source<'a> {
    /// A registry that is asked up to `attempts` times in a row.
    pub(crate) fn new(
        clients: &'a Clients,
        name: &'a Name,
        credentials: Option<&Credentials>,
        attempts: u32,
    ) -> Self {
        let user = credentials.map(|c| (c.username.clone(), c.password.clone()));
        let auth = match &user {
            Some((name, password)) => RegistryAuth::Basic(name.clone(), password.clone()),
            None => RegistryAuth::Anonymous,
        };
        let key = Key { host: name.host.clone(), plain_http: name.plain_http, user };
        Self { clients, name, key, auth, attempts }
    }

    /// The digest that the name stands for at present.
    pub(crate) async fn digest(&self) -> Result<Digest, ImageError> {
        let mut tries = Tries::new();
        loop {
            let asked = match self.clients.get(&self.key) {
                Ok(client) => client.fetch_manifest_digest(&self.name.remote, &self.auth).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(text) => return Digest::parse(&text).map_err(|why| self.invalid(why)),
                Err(error) => self.pause(&mut tries, error).await?,
            }
        }
    }

    /// The manifest with this digest, or the one that the name stands for, and its digest.
    pub(crate) async fn manifest(
        &self,
        digest: Option<&Digest>,
    ) -> Result<(Bytes, Digest), ImageError> {
        let mut tries = Tries::new();
        let remote = &self.name.remote;
        let reference =
            digest.map_or_else(|| remote.clone(), |d| remote.clone_with_digest(d.to_string()));
        loop {
            let asked = match self.clients.get(&self.key) {
                Ok(client) => {
                    client.pull_manifest_raw(&reference, &self.auth, MANIFEST_TYPES).await
                }
                Err(error) => Err(error),
            };
            match asked {
                Ok((bytes, _)) => {
                    let actual = Digest::of(&bytes);
                    if let Some(wanted) = digest.filter(|wanted| **wanted != actual) {
                        return Err(
                            self.invalid(format!("manifest {wanted} has the digest {actual}"))
                        );
                    }
                    return Ok((bytes, actual));
                }
                Err(error) => self.pause(&mut tries, error).await?,
            }
        }
    }

    /// A blob that is small enough for memory.
    pub(crate) async fn small_blob(&self, blob: &Descriptor) -> Result<Vec<u8>, ImageError> {
        let (sender, mut receiver) = mpsc::channel(4);
        let collect = async {
            let mut bytes = Vec::new();
            while let Some(chunk) = receiver.recv().await {
                let chunk: Bytes = chunk;
                bytes.extend_from_slice(&chunk);
            }
            bytes
        };
        let mut progress = Progress::none();
        let (sent, bytes) = tokio::join!(self.blob(blob, sender, &mut progress), collect);
        sent?;
        let actual = Digest::of(&bytes);
        if actual == blob.digest {
            Ok(bytes)
        } else {
            Err(self.invalid(format!("blob {} has the digest {actual}", blob.digest)))
        }
    }

    /// Sends a blob's bytes into a channel; goes on where it was when the connection breaks. Ends
    /// early, without an error, when nobody listens any more. The receiver checks the digest.
    pub(crate) async fn blob(
        &self,
        blob: &Descriptor,
        to: mpsc::Sender<Bytes>,
        progress: &mut Progress,
    ) -> Result<(), ImageError> {
        let mut tries = Tries::new();
        let mut offset = 0;
        while offset < blob.size {
            let before = offset;
            match self.blob_from(blob, &mut offset, &to, progress).await {
                Ok(()) if to.is_closed() => return Ok(()),
                Ok(()) if offset == blob.size => return Ok(()),
                Ok(()) if offset > blob.size => {
                    let why = format!(
                        "blob {} has more bytes than the {} of its manifest",
                        blob.digest, blob.size
                    );
                    return Err(self.invalid(why));
                }
                Ok(()) => {
                    let short = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                    self.pause(&mut tries, short.into()).await?;
                }
                // All is here, and not what it should be: the receiver says so.
                Err(_) if offset == blob.size => return Ok(()),
                Err(error) => self.pause(&mut tries, error).await?,
            }
            if offset > before {
                tries = Tries::new();
            }
        }
        Ok(())
    }

    async fn blob_from(
        &self,
        blob: &Descriptor,
        offset: &mut u64,
        to: &mpsc::Sender<Bytes>,
        progress: &mut Progress,
    ) -> Result<(), OciDistributionError> {
        let client = self.clients.get(&self.key)?;
        client.store_auth_if_needed(self.name.remote.resolve_registry(), &self.auth).await;
        let layer = OciDescriptor { digest: blob.digest.to_string(), ..OciDescriptor::default() };
        let (mut stream, mut skip): (SizedStream, u64) = if *offset == 0 {
            (client.pull_blob_stream(&self.name.remote, &layer).await?, 0)
        } else {
            match client.pull_blob_stream_partial(&self.name.remote, &layer, *offset, None).await? {
                BlobResponse::Partial(stream) => (stream, 0),
                // The registry knows nothing of ranges: what is here already is passed over.
                BlobResponse::Full(stream) => (stream, *offset),
            }
        };
        while let Some(chunk) = stream.next().await {
            let mut chunk = chunk?;
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= known as u64;
            let chunk = chunk.split_off(known);
            *offset += chunk.len() as u64;
            progress.received(chunk.len());
            if *offset > blob.size || to.send(chunk).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// After a failure: waits before the next attempt, or gives up.
    async fn pause(
        &self,
        tries: &mut Tries,
        error: OciDistributionError,
    ) -> Result<(), ImageError> {
        match self.judge(error) {
            Verdict::Final(error) => Err(error),
            Verdict::Unauthorized(why) => {
                if !tries.renewed && self.clients.forget(&self.key) {
                    tries.renewed = true;
                    return Ok(());
                }
                Err(self.denied(why))
            }
            Verdict::Again(source) => {
                tries.failed += 1;
                if tries.failed >= self.attempts {
                    return Err(ImageError::Unreachable {
                        reference: self.name.given.clone(),
                        host: self.name.host.clone(),
                        source,
                    });
                }
                let delay = tries.backoff.delay(&mut shell::OsEntropy);
                tracing::debug!(image = %self.name.given, error = %source, ?delay, "asking the registry again");
                tokio::time::sleep(delay).await;
                Ok(())
            }
        }
    }

    fn judge(&self, error: OciDistributionError) -> Verdict {
        use OciDistributionError as E;
        match error {
            E::RegistryError { envelope, url } => {
                let Some(first) = envelope.errors.first() else {
                    return Verdict::Again(Box::new(E::RegistryError { envelope, url }));
                };
                match first.code {
                    OciErrorCode::ManifestUnknown
                    | OciErrorCode::NameUnknown
                    | OciErrorCode::NotFound
                    | OciErrorCode::BlobUnknown => Verdict::Final(self.not_found()),
                    OciErrorCode::Unauthorized => Verdict::Unauthorized(first.message.clone()),
                    OciErrorCode::Denied => Verdict::Final(self.denied(first.message.clone())),
                    OciErrorCode::Toomanyrequests => {
                        Verdict::Again(Box::new(E::RegistryError { envelope, url }))
                    }
                    _ => Verdict::Final(self.unreachable(E::RegistryError { envelope, url })),
                }
            }
            E::ServerError { code: 404, .. } | E::ImageManifestNotFoundError(_) => {
                Verdict::Final(self.not_found())
            }
            E::ServerError { code: 403, message, .. } => Verdict::Final(self.denied(message)),
            E::ServerError { code, .. } if code == 429 || code >= 500 => {
                Verdict::Again(Box::new(error))
            }
            E::UnauthorizedError { .. } => Verdict::Unauthorized(self.unauthorized()),
            E::AuthenticationFailure(why) => Verdict::Final(self.denied(why)),
            E::DigestError(why) => Verdict::Final(self.invalid(why.to_string())),
            E::RequestError(request) if request.is_builder() => {
                Verdict::Final(self.unreachable(E::RequestError(request)))
            }
            E::RequestError(_) | E::IoError(_) => Verdict::Again(Box::new(error)),
            other => Verdict::Final(self.unreachable(other)),
        }
    }

    fn unauthorized(&self) -> String {
        match &self.key.user {
            Some((user, _)) => format!("it did not accept the password of user \"{user}\""),
            None => "it wants a user name and password, and none were given".to_owned(),
        }
    }

    fn not_found(&self) -> ImageError {
        ImageError::NotFound { reference: self.name.given.clone(), host: self.name.host.clone() }
    }

    fn denied(&self, why: String) -> ImageError {
        let why = if why.trim().is_empty() { self.unauthorized() } else { why.trim().to_owned() };
        ImageError::Denied { reference: self.name.given.clone(), host: self.name.host.clone(), why }
    }

    fn unreachable(&self, source: OciDistributionError) -> ImageError {
        ImageError::Unreachable {
            reference: self.name.given.clone(),
            host: self.name.host.clone(),
            source: Box::new(source),
        }
    }

    fn invalid(&self, why: String) -> ImageError {
        ImageError::Invalid { reference: self.name.given.clone(), why }
    }
}
