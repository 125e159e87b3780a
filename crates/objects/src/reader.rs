//! Content on its way out: some bytes of some files, a piece at a time.

use std::collections::VecDeque;
use std::io::SeekFrom;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::ObjectsError;

/// Bytes read from the disk at a time.
const AT_ONCE: usize = 256 << 10;

/// So many files are opened at once, so that content which goes meanwhile is read to its end.
const OPEN: usize = 64;

/// Which bytes of an object: the first, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From this one on, counted from zero.
    pub first: u64,
    /// So many.
    pub length: u64,
}

/// The bytes of an object, in order.
#[derive(Debug)]
pub struct Reader {
    files: VecDeque<Part>,
}

#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    pub(crate) first: u64,
    pub(crate) left: u64,
    pub(crate) file: Option<File>,
}

impl Part {
    async fn open(&mut self) -> Result<(), ObjectsError> {
        let open = async {
            let mut file = File::open(&self.path).await?;
            file.set_max_buf_size(AT_ONCE);
            file.seek(SeekFrom::Start(self.first)).await?;
            Ok(file)
        };
        self.file = Some(open.await.map_err(ObjectsError::disk("read", &self.path))?);
        Ok(())
    }
}

impl Reader {
    pub(crate) async fn open(parts: Vec<Part>) -> Result<Self, ObjectsError> {
        let mut files = VecDeque::from(parts);
        for part in files.iter_mut().take(OPEN) {
            part.open().await?;
        }
        Ok(Self { files })
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// The disk fails, or a file is shorter than its record says.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ObjectsError> {
        loop {
            let Some(part) = self.files.front_mut() else { return Ok(None) };
            if part.left == 0 {
                self.files.pop_front();
                continue;
            }
            if part.file.is_none() {
                part.open().await?;
            }
            let Some(file) = &mut part.file else { return Ok(None) };
            let room = usize::try_from(part.left).unwrap_or(AT_ONCE).min(AT_ONCE);
            let mut piece = BytesMut::with_capacity(room);
            let read = file.take(part.left).read_buf(&mut piece).await;
            let read = read.map_err(ObjectsError::disk("read", &part.path))?;
            if read == 0 {
                return Err(ObjectsError::Damaged(part.path.display().to_string()));
            }
            part.left -= read as u64;
            return Ok(Some(piece.freeze()));
        }
    }
}
