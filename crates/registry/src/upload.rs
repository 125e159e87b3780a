//! Blobs on their way in: appended piece by piece, hashed as they come, never in memory as a whole.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use stdx::Timestamp;

use crate::content;
use crate::digest::Digest;
use crate::error::RegistryError;

/// An upload under way. Its file goes when it goes, unless the file has become a blob.
#[derive(Debug)]
pub(crate) struct Upload {
    /// The repository it is for.
    pub repository: String,
    path: PathBuf,
    progress: Mutex<Progress>,
    /// One request at a time appends.
    pub turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Progress {
    file: File,
    hasher: Sha256,
    bytes: u64,
    used_at: Timestamp,
}

impl Upload {
    /// An empty upload into a new file.
    pub(crate) fn new(repository: String, (path, file): (PathBuf, File), now: Timestamp) -> Self {
        let progress = Progress { file, hasher: Sha256::new(), bytes: 0, used_at: now };
        Self {
            repository,
            path,
            progress: Mutex::new(progress),
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes received so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.progress().bytes
    }

    /// When something was last received.
    pub(crate) fn used_at(&self) -> Timestamp {
        self.progress().used_at
    }

    /// Appends what was received. Blocks.
    pub(crate) fn append(&self, pieces: &[Bytes], now: Timestamp) -> Result<(), RegistryError> {
        let mut progress = self.progress();
        for piece in pieces {
            progress.file.write_all(piece).map_err(RegistryError::disk("write", &self.path))?;
            progress.hasher.update(piece);
            progress.bytes += piece.len() as u64;
        }
        progress.used_at = now;
        Ok(())
    }

    /// Makes what was received durable and tells its digest and size. Blocks.
    pub(crate) fn seal(&self) -> Result<(Digest, u64), RegistryError> {
        let progress = self.progress();
        progress.file.sync_all().map_err(RegistryError::disk("sync", &self.path))?;
        Ok((Digest::finish(progress.hasher.clone()), progress.bytes))
    }

    /// The file.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Success too once the file has been renamed.
        if let Err(error) = content::remove_file(&self.path) {
            tracing::warn!(
                error = stdx::chain(&error),
                "an ended upload stays behind until the next start"
            );
        }
    }
}
