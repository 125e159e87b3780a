//! From a request to an image that is present.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::mpsc;

use super::Inner;
use super::client::{PATIENT, Source};
use super::digest::Digest;
use super::document::{self, Configuration, Descriptor, Manifest};
use super::layers::{LayerFacts, Staging, StoreError};
use super::progress::Progress;
use super::records::{ImageRecord, NameRecord};
use super::reference::{self, Name};
use super::stream::{self, Expected, LayerError};
use super::unpack::UnpackError;
use crate::seam::{Image, ImageError, ImageRequest, PullPolicy, PullStage};

/// How long a registry may take to say whether an image that is here is still the right one, when
/// the one that is here would do.
const FRESHNESS_PATIENCE: Duration = Duration::from_secs(5);

/// Indexes may point to indexes, but not for ever.
const MOST_INDEXES: usize = 4;

/// Chunks on their way between the network and the disk.
const CHUNKS: usize = 32;

/// Makes an image present.
pub(super) async fn ensure(
    inner: &Arc<Inner>,
    request: &ImageRequest,
) -> Result<Image, ImageError> {
    let name = reference::parse(request)?;
    if request.policy == PullPolicy::IfAbsent
        && let Some((_, image)) = inner.present(&name)
    {
        return Ok(image);
    }
    let turn = inner.turn(&name.canonical);
    let _mine = turn.lock().await;
    let present = inner.present(&name);
    match (request.policy, present) {
        // Somebody else pulled it while this one waited.
        (PullPolicy::IfAbsent, Some((_, image))) => Ok(image),
        (PullPolicy::PreferFresh, Some((remote, image))) => {
            match refresh(inner, request, &name, &remote, image.clone(), 1).await {
                Ok(image) => Ok(image),
                Err(error) => {
                    let why = stdx::chain(&error);
                    tracing::warn!(image = %name.given, %why, "the image that is present is used");
                    Ok(image)
                }
            }
        }
        (PullPolicy::Always, Some((remote, image))) => {
            refresh(inner, request, &name, &remote, image, PATIENT).await
        }
        (_, None) => pull(inner, request, &name, PATIENT).await,
    }
}

/// Asks whether the name still stands for what is here, and pulls if it does not.
async fn refresh(
    inner: &Arc<Inner>,
    request: &ImageRequest,
    name: &Name,
    remote: &Digest,
    image: Image,
    attempts: u32,
) -> Result<Image, ImageError> {
    let source = Source::new(&inner.clients, name, request.credentials.as_ref(), attempts);
    let asked = if request.policy == PullPolicy::PreferFresh {
        let slow = |_| ImageError::Unreachable {
            reference: name.given.clone(),
            host: name.host.clone(),
            source: format!("it did not answer in {} seconds", FRESHNESS_PATIENCE.as_secs()).into(),
        };
        tokio::time::timeout(FRESHNESS_PATIENCE, source.digest()).await.map_err(slow)??
    } else {
        source.digest().await?
    };
    if asked == *remote { Ok(image) } else { pull(inner, request, name, attempts).await }
}

async fn pull(
    inner: &Arc<Inner>,
    request: &ImageRequest,
    name: &Name,
    attempts: u32,
) -> Result<Image, ImageError> {
    let began = inner.clock.now();
    let source = Source::new(&inner.clients, name, request.credentials.as_ref(), attempts);
    let found = find(inner, name, &source).await?;
    let pinned = Pin::new(inner, &found.configuration.diff_ids);
    let each = found.layers.iter().zip(&found.configuration.diff_ids);
    try_join_all(each.map(|(layer, diff_id)| {
        let progress = Progress::of(layer, request.progress.as_ref());
        pull_layer(inner, name, &source, (layer, diff_id), progress)
    }))
    .await?;
    let ended = inner.clock.now();
    let image = ImageRecord {
        id: found.id.clone(),
        diff_ids: found.configuration.diff_ids.clone(),
        config: found.configuration.config.clone(),
    };
    let record = NameRecord {
        name: name.canonical.clone(),
        remote: found.remote,
        manifest: found.manifest.clone(),
        image: found.id.clone(),
        at: ended,
    };
    inner.record(image, record).map_err(|error| store_error(name, error))?;
    drop(pinned);
    sync_later(inner);
    Ok(Image {
        digest: found.manifest.to_string(),
        id: found.id.to_string(),
        config: found.configuration.config,
        pulled: Some((began, ended)),
    })
}

/// Writes new layers through to the disk without holding up whoever waits for the image.
fn sync_later(inner: &Inner) {
    let folder = Arc::clone(&inner.folder);
    drop(tokio::task::spawn_blocking(move || {
        if let Err(error) = folder.sync() {
            tracing::warn!(
                error = stdx::chain(&error),
                "new layers were not written through to the disk"
            );
        }
    }));
}

/// What a name stands for, as the registry has it.
struct Found {
    remote: Digest,
    manifest: Digest,
    id: Digest,
    layers: Vec<Descriptor>,
    configuration: Configuration,
}

async fn find(inner: &Inner, name: &Name, source: &Source<'_>) -> Result<Found, ImageError> {
    let invalid = |why: String| ImageError::Invalid { reference: name.given.clone(), why };
    let (mut bytes, remote) = source.manifest(None).await?;
    let mut manifest = remote.clone();
    for _ in 0..MOST_INDEXES {
        match document::parse_manifest(&bytes).map_err(invalid)? {
            Manifest::Index(list) => {
                manifest = choose(inner, name, &list)?;
                (bytes, _) = source.manifest(Some(&manifest)).await?;
            }
            Manifest::Image { config, layers } => {
                let json = source.small_blob(&config).await?;
                let configuration = document::parse_config(&json).map_err(invalid)?;
                check(inner, name, &layers, &configuration)?;
                return Ok(Found { remote, manifest, id: config.digest, layers, configuration });
            }
        }
    }
    Err(invalid(format!("its indexes point to further indexes more than {MOST_INDEXES} times")))
}

fn choose(inner: &Inner, name: &Name, list: &[Descriptor]) -> Result<Digest, ImageError> {
    let offered: Vec<_> = list.iter().map(|entry| entry.platform.clone()).collect();
    inner.platform.choose(&offered).map(|index| list[index].digest.clone()).ok_or_else(|| {
        let mut known: Vec<String> = offered
            .iter()
            .flatten()
            .filter(|platform| platform.os != "unknown")
            .map(ToString::to_string)
            .collect();
        known.sort();
        known.dedup();
        let available = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        ImageError::Platform {
            reference: name.given.clone(),
            platform: inner.platform.to_string(),
            available,
        }
    })
}

fn check(
    inner: &Inner,
    name: &Name,
    layers: &[Descriptor],
    configuration: &Configuration,
) -> Result<(), ImageError> {
    if !configuration.os.is_empty() && configuration.os != inner.platform.os {
        return Err(ImageError::Platform {
            reference: name.given.clone(),
            platform: inner.platform.to_string(),
            available: format!("{}/{}", configuration.os, configuration.architecture),
        });
    }
    let (sent, listed) = (layers.len(), configuration.diff_ids.len());
    if sent != listed {
        return Err(ImageError::Invalid {
            reference: name.given.clone(),
            why: format!("its manifest has {sent} layers and its configuration {listed}"),
        });
    }
    Ok(())
}

async fn pull_layer(
    inner: &Arc<Inner>,
    name: &Name,
    source: &Source<'_>,
    (layer, diff_id): (&Descriptor, &Digest),
    mut progress: Progress,
) -> Result<(), ImageError> {
    let turn = inner.turn(diff_id.as_str());
    let _mine = turn.lock().await;
    if inner.records().layers.contains_key(diff_id) {
        progress.ended(PullStage::Present);
        return Ok(());
    }
    let _slot = inner.unpacking.acquire().await.expect("the semaphore is never closed");
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let expected =
        Expected { blob: layer.digest.clone(), size: layer.size, diff_id: diff_id.clone() };
    let work = {
        let inner = Arc::clone(inner);
        tokio::task::spawn_blocking(move || make_layer(&inner, receiver, &expected))
    };
    let fed = source.blob(layer, sender, &mut progress).await;
    let made = work.await.unwrap_or_else(|panic| {
        let source = std::io::Error::other(panic);
        Err(Failure::Store(StoreError {
            attempt: "unpack a layer in",
            path: inner.root.clone(),
            source,
        }))
    });
    // A stream that broke off explains a layer that is cut off, but not one that was refused.
    match (fed, made) {
        (_, Ok(())) => {
            progress.ended(PullStage::Done);
            Ok(())
        }
        (Err(network), Err(Failure::Layer(LayerError::CutOff { .. }))) => Err(network),
        (_, Err(failure)) => Err(explain(inner, name, failure)),
    }
}

enum Failure {
    Layer(LayerError),
    Store(StoreError),
}

/// Unpacks one layer and puts it in its place. Blocks.
fn make_layer(
    inner: &Inner,
    chunks: mpsc::Receiver<bytes::Bytes>,
    expected: &Expected,
) -> Result<(), Failure> {
    let staging: Staging = inner.folder.stage().map_err(Failure::Store)?;
    let unpacked = stream::receive(chunks, &staging.files(), expected).map_err(Failure::Layer)?;
    let facts = LayerFacts { bytes: unpacked.bytes, entries: unpacked.entries };
    let mut records = inner.records_mut();
    inner.folder.commit(staging, &expected.diff_id, facts).map_err(Failure::Store)?;
    records.layers.insert(expected.diff_id.clone(), facts);
    Ok(())
}

fn explain(inner: &Inner, name: &Name, failure: Failure) -> ImageError {
    match failure {
        Failure::Store(error) => store_error(name, error),
        Failure::Layer(LayerError::Unpack {
            source: UnpackError::Disk { path, source }, ..
        }) => ImageError::Store {
            reference: name.given.clone(),
            path: inner.root.join("tmp").join(path),
            source,
        },
        Failure::Layer(error) => {
            ImageError::Invalid { reference: name.given.clone(), why: stdx::chain(&error) }
        }
    }
}

fn store_error(name: &Name, error: StoreError) -> ImageError {
    ImageError::Store { reference: name.given.clone(), path: error.path, source: error.source }
}

impl Inner {
    /// The image that is here under a name, and what the name stood for.
    fn present(&self, name: &Name) -> Option<(Digest, Image)> {
        let records = self.records();
        let (record, image) = records.find(&name.canonical)?;
        self.used(&image.id);
        let present = Image {
            digest: record.manifest.to_string(),
            id: image.id.to_string(),
            config: image.config.clone(),
            pulled: None,
        };
        Some((record.remote.clone(), present))
    }
}

/// Keeps a pull's layers from being removed before their image is recorded.
struct Pin {
    inner: Arc<Inner>,
    diff_ids: Vec<Digest>,
}

impl Pin {
    fn new(inner: &Arc<Inner>, diff_ids: &[Digest]) -> Self {
        inner.records_mut().pin(diff_ids, true);
        Self { inner: Arc::clone(inner), diff_ids: diff_ids.to_vec() }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.inner.records_mut().pin(&self.diff_ids, false);
    }
}
