//! Blobs and manifests as files named after their digests, shared by all repositories.
//!
//! A file is complete and on the disk before it gets its name: it is written under another, synced
//! and renamed, and the folder is synced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use stdx::Timestamp;

use crate::digest::Digest;
use crate::error::RegistryError;

/// The folders of content.
#[derive(Debug)]
pub(crate) struct Content {
    blobs: PathBuf,
    uploads: PathBuf,
}

impl Content {
    /// The folders below `root`, made if absent. Uploads of an earlier process are removed: their
    /// clients begin again.
    pub(crate) fn open(root: &Path) -> Result<Self, RegistryError> {
        let content =
            Self { blobs: root.join("blobs").join("sha256"), uploads: root.join("uploads") };
        if content.uploads.exists() {
            fs::remove_dir_all(&content.uploads)
                .map_err(RegistryError::disk("empty", &content.uploads))?;
        }
        for path in [&content.blobs, &content.uploads] {
            fs::create_dir_all(path).map_err(RegistryError::disk("create", path))?;
        }
        Ok(content)
    }

    /// Where content is, if it is there.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(&digest.hex()[..2]).join(digest.hex())
    }

    /// A new file for an upload.
    pub(crate) fn new_upload(&self, id: &str) -> Result<(PathBuf, File), RegistryError> {
        let path = self.uploads.join(id);
        let file = File::create_new(&path).map_err(RegistryError::disk("create", &path))?;
        Ok((path, file))
    }

    /// Gives a complete and synced file its name. What is there already stays.
    pub(crate) fn adopt(&self, file: &Path, digest: &Digest) -> Result<(), RegistryError> {
        let path = self.path(digest);
        let folder = path.parent().expect("every blob lies in a folder");
        if !folder.exists() {
            fs::create_dir_all(folder).map_err(RegistryError::disk("create", folder))?;
            sync_folder(&self.blobs)?;
        }
        fs::rename(file, &path).map_err(RegistryError::disk("rename a file to", &path))?;
        sync_folder(folder)
    }

    /// Keeps a small piece of content.
    pub(crate) fn put(&self, id: &str, bytes: &[u8], digest: &Digest) -> Result<(), RegistryError> {
        if self.path(digest).exists() {
            return Ok(());
        }
        let (path, mut file) = self.new_upload(id)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(RegistryError::disk("write", &path))?;
        self.adopt(&path, digest)
    }

    /// All content of a small file.
    pub(crate) fn read(&self, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        let path = self.path(digest);
        fs::read(&path).map_err(RegistryError::disk("read", &path))
    }

    /// Content that was written before an instant.
    pub(crate) fn older_than(&self, before: Timestamp) -> Result<Vec<Digest>, RegistryError> {
        let mut found = Vec::new();
        for folder in list(&self.blobs)? {
            for path in list(&folder)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let Some(digest) = Digest::parse(&format!("sha256:{name}")) else { continue };
                let written = fs::metadata(&path).and_then(|metadata| metadata.modified());
                let written = written.map_err(RegistryError::disk("inspect", &path))?;
                let since = written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                if Timestamp::EPOCH + since < before {
                    found.push(digest);
                }
            }
        }
        Ok(found)
    }

    /// Removes content. Gone already is success. Returns the bytes freed.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<u64, RegistryError> {
        let path = self.path(digest);
        let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        remove_file(&path)?;
        Ok(bytes)
    }
}

/// Removes a file. Gone already is success.
pub(crate) fn remove_file(path: &Path) -> Result<(), RegistryError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(RegistryError::disk("remove", path)),
    }
}

fn sync_folder(path: &Path) -> Result<(), RegistryError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(RegistryError::disk("sync", path))
}

fn list(path: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    read().map_err(RegistryError::disk("list", path))
}
