//! Which images are here and under which names: kept in memory, one small file each on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use super::digest::Digest;
use super::layers::{LayerFacts, LayerFolder, StoreError};
use crate::seam::ImageConfig;

/// An image: its layers and how it wants to be run. Named by the digest of its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    /// Digest of the configuration.
    pub id: Digest,
    /// Digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// How it wants to be run.
    pub config: ImageConfig,
}

/// A name: what it stood for when the registry was last asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameRecord {
    /// The canonical reference.
    pub name: String,
    /// What the registry says the name stands for: a manifest, or an index of several.
    pub remote: Digest,
    /// The manifest for this machine.
    pub manifest: Digest,
    /// The image.
    pub image: Digest,
    /// When it was pulled.
    pub at: Timestamp,
}

/// All that is here. In memory; the caller keeps the disk in step.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// By id.
    pub images: BTreeMap<Digest, Arc<ImageRecord>>,
    /// By canonical reference.
    pub names: BTreeMap<String, NameRecord>,
    /// By diff id.
    pub layers: BTreeMap<Digest, LayerFacts>,
    /// Layers that pulls under way count on.
    pub pins: BTreeMap<Digest, usize>,
}

impl Records {
    /// Reads the disk. Names without an image and images without all of their layers are removed:
    /// they will be pulled again.
    pub(crate) fn load(root: &Path, folder: &LayerFolder) -> Result<Self, StoreError> {
        let mut records = Self { layers: folder.scan()?.into_iter().collect(), ..Self::default() };
        for (path, image) in read_all::<ImageRecord>(&root.join("images"))? {
            match image {
                Some(image) if image.diff_ids.iter().all(|id| records.layers.contains_key(id)) => {
                    records.images.insert(image.id.clone(), Arc::new(image));
                }
                _ => drop_record(&path)?,
            }
        }
        for (path, name) in read_all::<NameRecord>(&root.join("refs"))? {
            match name {
                Some(name) if records.images.contains_key(&name.image) => {
                    records.names.insert(name.name.clone(), name);
                }
                _ => drop_record(&path)?,
            }
        }
        Ok(records)
    }

    /// What a name stands for.
    pub(crate) fn find(&self, name: &str) -> Option<(&NameRecord, &Arc<ImageRecord>)> {
        let name = self.names.get(name)?;
        Some((name, self.images.get(&name.image)?))
    }

    /// Images that no name stands for.
    pub(crate) fn nameless(&self) -> Vec<Digest> {
        let named: BTreeSet<&Digest> = self.names.values().map(|name| &name.image).collect();
        self.images.keys().filter(|id| !named.contains(id)).cloned().collect()
    }

    /// Layers that neither an image nor a pull needs.
    pub(crate) fn loose(&self) -> Vec<Digest> {
        let needed: BTreeSet<&Digest> =
            self.images.values().flat_map(|image| &image.diff_ids).collect();
        let is_loose = |id: &&Digest| !needed.contains(id) && !self.pins.contains_key(id);
        self.layers.keys().filter(is_loose).cloned().collect()
    }

    /// Keeps layers from being removed, or lets go of them again.
    pub(crate) fn pin(&mut self, diff_ids: &[Digest], hold: bool) {
        for id in diff_ids {
            let count = self.pins.entry(id.clone()).or_default();
            *count = if hold { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.pins.remove(id);
            }
        }
    }
}

/// Where an image's record is.
pub(crate) fn image_path(root: &Path, id: &Digest) -> PathBuf {
    root.join("images").join(format!("{}.json", id.hex()))
}

/// Where a name's record is.
pub(crate) fn name_path(root: &Path, name: &str) -> PathBuf {
    root.join("refs").join(format!("{}.json", Digest::of(name.as_bytes()).hex()))
}

/// Removes a record's file. Gone already is success.
pub(crate) fn drop_record(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(StoreError::at("remove", path)),
    }
}

fn read_all<T: DeserializeOwned>(folder: &Path) -> Result<Vec<(PathBuf, Option<T>)>, StoreError> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::at("list", folder))? {
        let path = entry.map_err(StoreError::at("list", folder))?.path();
        let bytes = fs::read(&path).map_err(StoreError::at("read", &path))?;
        // After a power loss a record may be empty or garbled: what it spoke of is pulled again.
        let record = serde_json::from_slice(&bytes).ok();
        if record.is_none() {
            tracing::warn!(record = %path.display(), "an image record cannot be read and is removed");
        }
        all.push((path, record));
    }
    Ok(all)
}
