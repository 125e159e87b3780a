//! Layers on the disk: each is a folder named after the digest of its archive, there as a whole or
//! not at all.
//!
//! A layer is unpacked under `tmp/` and renamed into `layers/`, so a killed process leaves no half
//! of one. Writing hundreds of megabytes through to a slow disk would hold up the pull, so a layer
//! is renamed with a file `unsynced` in it that names this boot of the machine; a background
//! `syncfs` takes the file away. A layer that still has it after a power loss may have holes and is
//! thrown away when the store is opened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::tree;

/// What is kept beside a layer's files.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct LayerFacts {
    /// Bytes of its files.
    pub bytes: u64,
    /// Entries of its archive.
    pub entries: u64,
}

/// The folders of the store.
#[derive(Debug)]
pub(crate) struct LayerFolder {
    root: PathBuf,
    boot: String,
    counter: AtomicU64,
}

/// A layer that is being unpacked; removed unless it is committed.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
    committed: bool,
}

/// An operation on the disk that failed.
#[derive(Debug, thiserror::Error)]
#[error("{attempt} {path}")]
pub struct StoreError {
    /// What was attempted, such as "create".
    pub attempt: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What went wrong.
    #[source]
    pub source: io::Error,
}

impl StoreError {
    /// For `map_err`.
    pub(crate) fn at(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { attempt, path, source }
    }
}

impl LayerFolder {
    /// The folders below `root`, made if absent. What an earlier process left half-done is removed
    /// in the background.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let folder = Self {
            root: root.to_owned(),
            boot: boot.trim().to_owned(),
            counter: AtomicU64::new(0),
        };
        for path in [root.to_owned(), folder.layers(), root.join("images"), root.join("refs")] {
            fs::create_dir_all(&path).map_err(StoreError::at("create", &path))?;
        }
        // Images hold set-user-id programs and other people's secrets: root's eyes only.
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
        fs::set_permissions(root, mode).map_err(StoreError::at("restrict", root))?;
        folder.empty_tmp()?;
        Ok(folder)
    }

    fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn empty_tmp(&self) -> Result<(), StoreError> {
        let (tmp, stale) = (self.tmp(), self.root.join("tmp.stale"));
        if !stale.exists() && tmp.exists() {
            fs::rename(&tmp, &stale).map_err(StoreError::at("rename", &tmp))?;
        }
        fs::create_dir_all(&tmp).map_err(StoreError::at("create", &tmp))?;
        if stale.exists() {
            let remove = move || discard(&stale);
            let spawned = std::thread::Builder::new().name("image-clean".to_owned()).spawn(remove);
            spawned.map_err(StoreError::at("start a thread to empty", &tmp))?;
        }
        Ok(())
    }

    /// Where a layer's files are, if it is there.
    pub(crate) fn files(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(diff_id.hex()).join("files")
    }

    /// Every whole layer; what may have suffered from a power loss is removed.
    pub(crate) fn scan(&self) -> Result<Vec<(Digest, LayerFacts)>, StoreError> {
        let layers = self.layers();
        let mut found = Vec::new();
        for entry in fs::read_dir(&layers).map_err(StoreError::at("list", &layers))? {
            let path = entry.map_err(StoreError::at("list", &layers))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let digest = Digest::parse(&format!("sha256:{name}")).ok();
            let torn =
                fs::read_to_string(path.join("unsynced")).is_ok_and(|boot| boot != self.boot);
            let facts = fs::read(path.join("facts.json"))
                .ok()
                .and_then(|b| serde_json::from_slice(&b).ok());
            match (digest, facts) {
                (Some(digest), Some(facts)) if !torn => found.push((digest, facts)),
                _ => {
                    tracing::warn!(layer = %path.display(), "a layer is not whole and is removed");
                    self.retire(&path)?;
                }
            }
        }
        Ok(found)
    }

    /// A new empty folder to unpack a layer into.
    pub(crate) fn stage(&self) -> Result<Staging, StoreError> {
        let path = self.fresh();
        let staging = Staging { path: path.clone(), committed: false };
        fs::create_dir(&path).map_err(StoreError::at("create", &path))?;
        let files = staging.files();
        fs::create_dir(&files).map_err(StoreError::at("create", &files))?;
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(&files, mode).map_err(StoreError::at("restrict", &files))?;
        // On the disk before anything else of the layer can be: no layer is ever taken for whole
        // that was not synced.
        let mark = path.join("unsynced");
        fs::write(&mark, &self.boot)
            .and_then(|()| fs::File::open(&mark)?.sync_all())
            .map_err(StoreError::at("write", &mark))?;
        Ok(staging)
    }

    /// Puts an unpacked layer in its place.
    pub(crate) fn commit(
        &self,
        mut staging: Staging,
        diff_id: &Digest,
        facts: LayerFacts,
    ) -> Result<(), StoreError> {
        let path = staging.path.join("facts.json");
        let json = serde_json::to_vec(&facts).expect("two numbers are always JSON");
        fs::write(&path, json).map_err(StoreError::at("write", &path))?;
        let target = self.layers().join(diff_id.hex());
        fs::rename(&staging.path, &target).map_err(StoreError::at("rename a layer to", &target))?;
        staging.committed = true;
        Ok(())
    }

    /// Takes a layer (or anything else of the store) away at once, and its files in time.
    pub(crate) fn retire(&self, path: &Path) -> Result<(), StoreError> {
        let away = self.fresh();
        match fs::rename(path, &away) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(StoreError::at("move away", path))?,
        }
        let remove = move || discard(&away);
        let spawned = std::thread::Builder::new().name("image-clean".to_owned()).spawn(remove);
        spawned.map_err(StoreError::at("start a thread to remove", path))?;
        Ok(())
    }

    /// Takes a layer away.
    pub(crate) fn remove(&self, diff_id: &Digest) -> Result<(), StoreError> {
        self.retire(&self.layers().join(diff_id.hex()))
    }

    /// Writes through to the disk what has not been. Blocks, perhaps for long.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let layers = self.layers();
        let list = |path: &Path| fs::read_dir(path).map_err(StoreError::at("list", &layers));
        let marks: Vec<PathBuf> = list(&layers)?
            .filter_map(|entry| Some(entry.ok()?.path().join("unsynced")))
            .filter(|mark| mark.exists())
            .collect();
        if marks.is_empty() {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&layers, flags, Mode::empty())
            .and_then(rustix::fs::syncfs)
            .map_err(|errno| StoreError::at("write through", &layers)(errno.into()))?;
        for mark in marks {
            match fs::remove_file(&mark) {
                // The layer was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(StoreError::at("remove", &mark))?,
            }
        }
        Ok(())
    }

    /// Writes a small file as a whole or not at all.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let fresh = self.fresh();
        fs::write(&fresh, bytes).map_err(StoreError::at("write", &fresh))?;
        fs::rename(&fresh, path).map_err(StoreError::at("rename a file to", path))
    }

    fn fresh(&self) -> PathBuf {
        self.tmp().join(self.counter.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Staging {
    /// The folder to unpack into.
    pub(crate) fn files(&self) -> PathBuf {
        self.path.join("files")
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.committed {
            discard(&self.path);
        }
    }
}

/// Removes a folder as far as possible; what remains is removed when the store is next opened.
fn discard(path: &Path) {
    if let Err(error) = tree::remove(rustix::fs::CWD, path) {
        tracing::warn!(path = %path.display(), %error, "what is left of a layer could not be removed");
    }
}
