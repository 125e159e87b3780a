//! A blob on its way from the network to the disk: chunks from a channel, counted and hashed,
//! decompressed, hashed again.

use std::io::{self, BufReader, Read};
use std::path::Path;

use bytes::{Buf, Bytes};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::archive::ArchiveError;
use super::digest::Digest;
use super::unpack::{Limits, UnpackError, Unpacked, unpack};

/// The largest window that a zstd stream may ask for: 128 MiB, as its own tools have it.
const ZSTD_WINDOW_LOG: u32 = 27;

/// What a layer has to be.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// Digest of the bytes as they are sent.
    pub blob: Digest,
    /// Their number.
    pub size: u64,
    /// Digest of the archive once it is decompressed.
    pub diff_id: Digest,
}

/// Why a layer was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    /// The stream ended before its size was reached: whoever fed it knows why.
    #[error("layer {blob} was cut off")]
    CutOff {
        /// The layer.
        blob: Digest,
    },
    /// The bytes are not what they should be.
    #[error("layer {blob} {why}")]
    Wrong {
        /// The layer.
        blob: Digest,
        /// What is wrong.
        why: String,
    },
    /// It could not be unpacked.
    #[error("layer {blob} could not be unpacked")]
    Unpack {
        /// The layer.
        blob: Digest,
        /// Why.
        #[source]
        source: UnpackError,
    },
}

/// Unpacks what comes through a channel into an empty folder and checks both digests. Blocks.
pub(crate) fn receive(
    chunks: mpsc::Receiver<Bytes>,
    folder: &Path,
    expected: &Expected,
) -> Result<Unpacked, LayerError> {
    let mut sent = Hashing::new(Channel { chunks, now: Bytes::new() });
    let limits = Limits::for_layer(expected.size);
    let unpack_error = |source| LayerError::Unpack { blob: expected.blob.clone(), source };
    let (outcome, diff_id) = {
        let decompressed =
            decompress(&mut sent).map_err(|e| unpack_error(UnpackError::Archive(e.into())))?;
        let mut archive = Hashing::new(decompressed);
        let capped = Capped { inner: &mut archive, left: stream_limit(limits) };
        (unpack(capped, folder, limits), archive.finish())
    };
    match outcome {
        // May be no more than the sign of a stream that was cut off or garbled: look at the rest.
        Ok(_) | Err(UnpackError::Archive(ArchiveError::Read(_))) => {}
        Err(source) => return Err(unpack_error(source)),
    }
    let wrong = |why: String| LayerError::Wrong { blob: expected.blob.clone(), why };
    io::copy(&mut sent, &mut io::sink()).map_err(|error| wrong(error.to_string()))?;
    if sent.count < expected.size {
        return Err(LayerError::CutOff { blob: expected.blob.clone() });
    }
    let received = sent.finish();
    if received != expected.blob {
        return Err(wrong(format!("has the digest {received} as it was received")));
    }
    let unpacked = outcome.map_err(unpack_error)?;
    if diff_id != expected.diff_id {
        return Err(wrong(format!(
            "has the digest {diff_id} when decompressed; the image's configuration says {}",
            expected.diff_id
        )));
    }
    Ok(unpacked)
}

/// Bytes of archive for the limits: the files, and headers (with names and attributes) for each.
fn stream_limit(limits: Limits) -> u64 {
    limits.bytes.saturating_add(limits.entries.saturating_mul(4096))
}

/// Sees from the first bytes how the archive is compressed; media types are often wrong about it.
fn decompress<'a>(mut reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut mark = Vec::with_capacity(4);
    (&mut reader).take(4).read_to_end(&mut mark)?;
    let kind = mark.clone();
    let whole = BufReader::with_capacity(128 << 10, Read::chain(io::Cursor::new(mark), reader));
    Ok(match kind.as_slice() {
        // Some tools write a gzip stream in several members.
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut decoder = zstd::Decoder::with_buffer(whole)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        _ => Box::new(whole),
    })
}

/// The receiving end of a channel as a reader.
struct Channel {
    chunks: mpsc::Receiver<Bytes>,
    now: Bytes,
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.now = chunk,
                None => return Ok(0),
            }
        }
        let read = self.now.len().min(buffer.len());
        self.now.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}

/// Counts and hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    count: u64,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new(), count: 0 }
    }

    fn finish(self) -> Digest {
        Digest::finish(self.hasher)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.count += read as u64;
        Ok(read)
    }
}

/// Ends a stream that grows beyond all measure.
struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other("it grows out of all proportion to its compressed size")
        })?;
        Ok(read)
    }
}
