//! A body on its way in: written and hashed as it comes, never in memory as a whole.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use md5::{Digest, Md5};
use sha2::Sha256;

use crate::checksum::Hasher;
use crate::content::remove_file;
use crate::store::MOST_BYTES;
use crate::{Algorithm, Checksum, Code, ObjectsError};

/// So much is gathered before it is written.
const BATCH: usize = 1 << 20;

/// A file that is removed again unless it has become content.
#[derive(Debug)]
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Success too once the file has been renamed.
        if let Err(error) = remove_file(&self.0) {
            tracing::warn!(
                error = stdx::chain(&error),
                "what was received of an object stays behind until the next start"
            );
        }
    }
}

/// A body that is being received.
pub struct Incoming {
    temporary: Temporary,
    sink: Option<Sink>,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    bytes: u64,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// What a piece is written to and hashed by.
struct Sink {
    file: File,
    md5: Md5,
    sha256: Sha256,
    more: Vec<Hasher>,
}

impl Sink {
    fn write(&mut self, pieces: &[Bytes]) -> std::io::Result<()> {
        for piece in pieces {
            self.file.write_all(piece)?;
            self.md5.update(piece);
            self.sha256.update(piece);
            for hasher in &mut self.more {
                hasher.update(piece);
            }
        }
        Ok(())
    }
}

/// A body that is complete and on the disk, but nobody's yet.
#[derive(Debug)]
pub struct Received {
    pub(crate) temporary: Temporary,
    /// SHA-256, in hexadecimal.
    pub(crate) digest: String,
    /// Its MD5.
    pub md5: [u8; 16],
    /// How many bytes it has.
    pub bytes: u64,
    /// The checksums that were asked for.
    pub checksums: Vec<Checksum>,
}

impl Received {
    /// SHA-256, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.digest
    }
}

impl Incoming {
    pub(crate) fn new((path, file): (PathBuf, File), algorithms: &[Algorithm]) -> Self {
        let more = algorithms.iter().map(|algorithm| Hasher::new(*algorithm)).collect();
        let sink = Sink { file, md5: Md5::new(), sha256: Sha256::new(), more };
        Self {
            temporary: Temporary(path),
            sink: Some(sink),
            waiting: Vec::new(),
            waiting_bytes: 0,
            bytes: 0,
        }
    }

    /// How many bytes have come.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// There is more than an object may have, or the disk fails.
    pub async fn push(&mut self, piece: Bytes) -> Result<(), ObjectsError> {
        self.bytes += piece.len() as u64;
        if self.bytes > MOST_BYTES {
            return Err(too_large());
        }
        self.waiting_bytes += piece.len();
        self.waiting.push(piece);
        if self.waiting_bytes >= BATCH { self.flush(false).await } else { Ok(()) }
    }

    async fn flush(&mut self, sync: bool) -> Result<(), ObjectsError> {
        let pieces = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let mut sink = self.sink.take().ok_or(ObjectsError::Closed)?;
        let task = tokio::task::spawn_blocking(move || {
            sink.write(&pieces)?;
            if sync {
                sink.file.sync_all()?;
            }
            Ok(sink)
        });
        let written = task.await.map_err(|_| ObjectsError::Closed)?;
        self.sink = Some(written.map_err(ObjectsError::disk("write", self.temporary.path()))?);
        Ok(())
    }

    /// The end of the body: makes it durable.
    ///
    /// # Errors
    /// The disk fails.
    pub async fn finish(mut self) -> Result<Received, ObjectsError> {
        self.flush(true).await?;
        let sink = self.sink.take().ok_or(ObjectsError::Closed)?;
        let checksums = sink
            .more
            .into_iter()
            .map(|hasher| Checksum::whole(hasher.algorithm(), &hasher.finish()))
            .collect();
        Ok(Received {
            temporary: self.temporary,
            digest: hex::encode(sink.sha256.finalize()),
            md5: sink.md5.finalize().into(),
            bytes: self.bytes,
            checksums,
        })
    }
}

pub(crate) fn too_large() -> ObjectsError {
    ObjectsError::refused(
        Code::EntityTooLarge,
        format!("Your proposed upload exceeds the maximum allowed size of {MOST_BYTES} bytes."),
    )
}
