//! Content as files named by their digests.
//!
//! A file is complete and on the disk before it gets its name: it is written under another, synced
//! and renamed, and the folder is synced.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::ObjectsError;

/// The folders of content.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    blobs: PathBuf,
    incoming: PathBuf,
}

impl Content {
    /// The folders below `root`, made if absent. What an earlier process was receiving is removed:
    /// its clients begin again.
    pub(crate) fn open(root: &Path) -> Result<Self, ObjectsError> {
        let content = Self { blobs: root.join("blobs"), incoming: root.join("incoming") };
        if content.incoming.exists() {
            fs::remove_dir_all(&content.incoming)
                .map_err(ObjectsError::disk("empty", &content.incoming))?;
        }
        for path in [&content.blobs, &content.incoming] {
            fs::create_dir_all(path).map_err(ObjectsError::disk("make", path))?;
        }
        Ok(content)
    }

    /// Where content is, if it is there.
    pub(crate) fn path(&self, digest: &str) -> PathBuf {
        self.blobs.join(digest.get(..2).unwrap_or_default()).join(digest)
    }

    /// A new file to receive into.
    pub(crate) fn create(&self, id: &str) -> Result<(PathBuf, File), ObjectsError> {
        let path = self.incoming.join(id);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        Ok((path.clone(), file.map_err(ObjectsError::disk("make", &path))?))
    }

    /// Gives a complete and synced file its name. What is there already stays.
    pub(crate) fn adopt(&self, file: &Path, digest: &str) -> Result<(), ObjectsError> {
        let path = self.path(digest);
        let folder = path.parent().unwrap_or(&self.blobs);
        if !folder.exists() {
            fs::create_dir_all(folder).map_err(ObjectsError::disk("make", folder))?;
            sync_folder(&self.blobs)?;
        }
        fs::rename(file, &path).map_err(ObjectsError::disk("rename a file to", &path))?;
        sync_folder(folder)
    }

    /// Removes content. Gone already is success.
    pub(crate) fn remove(&self, digest: &str) -> Result<(), ObjectsError> {
        remove_file(&self.path(digest))
    }

    /// The digests of everything that is there.
    pub(crate) fn all(&self) -> Result<Vec<String>, ObjectsError> {
        let list = |path: &Path| -> Result<Vec<PathBuf>, ObjectsError> {
            let read = || -> io::Result<Vec<PathBuf>> {
                fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect()
            };
            read().map_err(ObjectsError::disk("list", path))
        };
        let mut digests = Vec::new();
        for folder in list(&self.blobs)? {
            for path in list(&folder)? {
                digests.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        Ok(digests)
    }
}

/// Removes a file. Gone already is success.
pub(crate) fn remove_file(path: &Path) -> Result<(), ObjectsError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(ObjectsError::disk("remove", path)),
    }
}

fn sync_folder(path: &Path) -> Result<(), ObjectsError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(ObjectsError::disk("sync", path))
}
