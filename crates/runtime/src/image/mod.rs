//! Images: names, pulling, and a content-addressed store of unpacked layers.
//!
//! A reference is understood (`reference`), its registry asked (`client`), the manifest for this
//! machine chosen (`document`, `platform`), and each layer that is not here yet streamed
//! (`stream`) through decompression into a folder (`archive`, `unpack`, `tree`) that
//! overlayfs can stack (`layers`). What is here is remembered (`records`).
//!
//! Invariants: a layer is in its place as a whole or not at all, whenever the process is killed;
//! nothing an archive contains is written outside of its layer's folder; what is recorded as an
//! image has all of its layers; a layer is stored once, however many images share it.

mod archive;
#[cfg(test)]
mod archive_tests;
mod client;
mod digest;
mod document;
#[cfg(test)]
pub(crate) mod fuzzed;
mod layers;
mod platform;
mod progress;
mod pull;
mod records;
pub(crate) mod reference;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;
#[cfg(test)]
mod unpack_tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};

use shell::Clock;
use stdx::Timestamp;

pub use self::layers::StoreError;

use self::client::Clients;
use self::digest::Digest;
use self::layers::LayerFolder;
use self::platform::Platform;
use self::records::{ImageRecord, NameRecord, Records};
use crate::seam::{Image, ImageConfig, ImageError, ImageRequest, StoredImage};

/// Layers that are unpacked at the same time; more would only wait for the disk.
const MOST_UNPACKING: usize = 4;

/// The images of a node. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct ImageStore {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    platform: Platform,
    /// Shared with the background write-through, which must not hold the store open.
    folder: Arc<LayerFolder>,
    clients: Clients,
    records: RwLock<Records>,
    /// One at a time pulls a name, and one at a time a layer; the others wait for it.
    turns: Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>>,
    unpacking: tokio::sync::Semaphore,
    /// When images were last asked for by this process.
    used: Mutex<BTreeMap<Digest, Timestamp>>,
    opened: Timestamp,
    /// Held until the process ends, so that two never share a store.
    _lock: std::fs::File,
}

/// An image's files, ready to be stacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayers {
    /// The layers' folders, the uppermost first, as overlayfs wants its `lowerdir`. Empty for an
    /// image without files.
    pub lower_dirs: Vec<PathBuf>,
    /// How the image wants to be run.
    pub config: ImageConfig,
}

impl ImageStore {
    /// Opens the store in a folder, which is made if absent and belongs to this process from then
    /// on. What was left by a killed process or a power loss and is not whole is removed.
    pub fn open(dir: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        std::fs::create_dir_all(&dir).map_err(StoreError::at("create", &dir))?;
        let lock = lock(&dir)?;
        let folder = Arc::new(LayerFolder::open(&dir)?);
        let records = Records::load(&dir, &folder)?;
        let opened = clock.now();
        Ok(Self {
            inner: Arc::new(Inner {
                root: dir,
                clock,
                platform: Platform::of_this_machine(),
                folder,
                clients: Clients::default(),
                records: RwLock::new(records),
                turns: Mutex::default(),
                unpacking: tokio::sync::Semaphore::new(MOST_UNPACKING),
                used: Mutex::default(),
                opened,
                _lock: lock,
            }),
        })
    }

    /// Makes an image present under the request's policy. Safe to cancel: what was unpacked of it is
    /// kept, what was under way is removed.
    pub async fn ensure(&self, request: &ImageRequest) -> Result<Image, ImageError> {
        pull::ensure(&self.inner, request).await
    }

    /// The layers of an image that is present, by [`Image::id`].
    pub fn layers(&self, image_id: &str) -> Result<ImageLayers, ImageError> {
        let absent = || ImageError::NotFound {
            reference: image_id.to_owned(),
            host: "this node".to_owned(),
        };
        let id = Digest::parse(image_id).map_err(|_| absent())?;
        let image = self.inner.records().images.get(&id).cloned().ok_or_else(absent)?;
        self.inner.used(&id);
        let lower_dirs =
            image.diff_ids.iter().rev().map(|id| self.inner.folder.files(id)).collect();
        Ok(ImageLayers { lower_dirs, config: image.config.clone() })
    }

    /// All images that are present. Which containers stand on them the store does not know:
    /// [`StoredImage::in_use`] is for the runtime to say. An image that was last used by an earlier
    /// process counts as used when this one opened the store.
    pub fn list(&self) -> Vec<StoredImage> {
        let records = self.inner.records();
        let bytes = |id: &Digest| records.layers.get(id).map_or(0, |facts| facts.bytes);
        let used = self.inner.used.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = |image: &Arc<ImageRecord>| {
            let names = records.names.values().filter(|name| name.image == image.id);
            let (references, times): (Vec<_>, Vec<_>) =
                names.map(|name| (name.name.clone(), name.at)).unzip();
            let pulled_at = times.into_iter().max().unwrap_or_default();
            StoredImage {
                id: image.id.to_string(),
                references,
                bytes: image.diff_ids.iter().map(bytes).sum(),
                pulled_at,
                used_at: used.get(&image.id).copied().unwrap_or(self.inner.opened).max(pulled_at),
                in_use: false,
            }
        };
        records.images.values().map(stored).collect()
    }

    /// Forgets a name, or an image by its id with all its names, and removes the layers that no
    /// other image has. The caller sees to it that no container still stands on them. False if there
    /// is no such name or image.
    pub fn remove(&self, reference_or_id: &str) -> Result<bool, ImageError> {
        let failed = |error: StoreError| ImageError::Store {
            reference: reference_or_id.to_owned(),
            path: error.path,
            source: error.source,
        };
        let mut records = self.inner.records_mut();
        let gone: Vec<String> = match Digest::parse(reference_or_id) {
            Ok(id) => {
                records.names.values().filter(|n| n.image == id).map(|n| n.name.clone()).collect()
            }
            Err(_) => {
                let request = ImageRequest {
                    reference: reference_or_id.to_owned(),
                    policy: crate::seam::PullPolicy::IfAbsent,
                    credentials: None,
                    endpoint: None,
                    progress: None,
                };
                let name = reference::parse(&request)?.canonical;
                records.names.contains_key(&name).then_some(name).into_iter().collect()
            }
        };
        for name in &gone {
            records::drop_record(&records::name_path(&self.inner.root, name)).map_err(failed)?;
            records.names.remove(name);
        }
        self.inner.sweep(&mut records).map_err(failed)?;
        Ok(!gone.is_empty())
    }
}

impl Inner {
    fn records(&self) -> RwLockReadGuard<'_, Records> {
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn records_mut(&self) -> RwLockWriteGuard<'_, Records> {
        self.records.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an image was asked for.
    fn used(&self, id: &Digest) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(id.clone(), self.clock.now());
    }

    /// The turn of whoever pulls a name or a layer.
    fn turn(&self, of: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns: MutexGuard<'_, _> =
            self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(of).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn: &mut Weak<_>| turn.strong_count() > 0);
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        turns.insert(of.to_owned(), Arc::downgrade(&turn));
        turn
    }

    /// Removes images without a name, then layers without an image.
    fn sweep(&self, records: &mut Records) -> Result<(), StoreError> {
        for id in records.nameless() {
            records::drop_record(&records::image_path(&self.root, &id))?;
            records.images.remove(&id);
        }
        for id in records.loose() {
            self.folder.remove(&id)?;
            records.layers.remove(&id);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|id, _| records.images.contains_key(id));
        Ok(())
    }

    /// Records an image under a name, on the disk and then in memory.
    fn record(&self, image: ImageRecord, name: NameRecord) -> Result<(), StoreError> {
        let mut records = self.records_mut();
        self.folder.write(&records::image_path(&self.root, &image.id), &json(&image))?;
        self.folder.write(&records::name_path(&self.root, &name.name), &json(&name))?;
        records.images.insert(image.id.clone(), Arc::new(image));
        records.names.insert(name.name.clone(), name);
        Ok(())
    }
}

fn json(record: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records hold only texts, lists and numbers")
}

/// One process at a time: two would unpack into each other's folders.
fn lock(dir: &std::path::Path) -> Result<std::fs::File, StoreError> {
    let path = dir.join("lock");
    let file = std::fs::File::create(&path).map_err(StoreError::at("create", &path))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(
        |errno| {
            let source = match errno {
                rustix::io::Errno::WOULDBLOCK => std::io::Error::new(
                    std::io::ErrorKind::ResourceBusy,
                    "another process uses this image store; stop it or choose another data folder",
                ),
                other => other.into(),
            };
            StoreError { attempt: "lock", path: path.clone(), source }
        },
    )?;
    Ok(file)
}

impl std::fmt::Debug for ImageStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageStore").field("root", &self.inner.root).finish_non_exhaustive()
    }
}
