//! The files in which a container's output is kept, and their reader.
//!
//! A container's log is a folder of files `00000001.log`, `00000002.log`, …; the highest is being
//! written, the oldest are deleted. A file is a row of frames; a frame is a header of 16 bytes and the
//! bytes of the line without its end:
//!
//! ```text
//! 0  u8   'W'
//! 1  u8   kind: 1 output, 2 error, 3 end of this run of the container, 4 lost (u64: how many lines)
//! 2  u8   1 if the line goes on in the next frame of the same stream
//! 3  u8   0
//! 4  u32  number of bytes that follow, little endian
//! 8  u64  nanoseconds since the Unix epoch, little endian
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The size of a frame's header.
pub(crate) const HEADER: usize = 16;
/// A longer line is cut into several frames, as Docker does.
pub(crate) const MAX_LINE: usize = 16 << 10;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output (and everything of a terminal).
    Output,
    /// Standard error.
    Error,
}

/// One line, or a piece of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When it was received, in nanoseconds since the Unix epoch.
    pub at_nanos: u64,
    /// Where it came from.
    pub stream: Stream,
    /// The line without its end.
    pub bytes: Vec<u8>,
    /// The line goes on in the next entry of the same stream.
    pub partial: bool,
}

/// A place in a log, to be kept and come back to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogPosition {
    /// The number of the file; 0 for the oldest that there is.
    pub file: u64,
    /// Bytes into it.
    pub offset: u64,
}

/// A frame, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Line(Stream),
    End,
    Lost,
}

/// Writes a frame to the end of `into`.
pub(crate) fn frame(into: &mut Vec<u8>, kind: Kind, partial: bool, at_nanos: u64, bytes: &[u8]) {
    let code = match kind {
        Kind::Line(Stream::Output) => 1,
        Kind::Line(Stream::Error) => 2,
        Kind::End => 3,
        Kind::Lost => 4,
    };
    into.extend([b'W', code, u8::from(partial), 0]);
    into.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    into.extend(at_nanos.to_le_bytes());
    into.extend(bytes);
}

/// The length of the whole frame that a header begins; none if it is no header.
pub(crate) fn frame_length(header: &[u8; HEADER]) -> Option<usize> {
    let [b'W', 1..=4, 0..=1, 0, a, b, c, d, ..] = *header else { return None };
    let bytes = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
    (bytes <= MAX_LINE).then_some(HEADER + bytes)
}

/// The path of one file of a log.
pub(crate) fn file_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.log"))
}

/// The numbers of a log's files, in order.
pub(crate) fn file_numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads a container's log, also while it is written. It never waits: ask again after a while.
#[derive(Debug)]
pub struct LogReader {
    folder: PathBuf,
    position: LogPosition,
    file: Option<File>,
    buffer: Vec<u8>,
    finished: bool,
    lost: u64,
}

impl LogReader {
    /// Reads the log in `folder` (see [`crate::Runtime::log_path`]) from a position. A log that has
    /// not begun yet is empty.
    pub fn open(folder: impl Into<PathBuf>, from: LogPosition) -> Self {
        Self {
            folder: folder.into(),
            position: from,
            file: None,
            buffer: Vec::new(),
            finished: false,
            lost: 0,
        }
    }

    /// Where the next entry begins. Reading from here later neither repeats nor omits one.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// Whether everything of the container's last run has been read: it exited and its output ended.
    /// If it is started again, reading goes on.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// How many lines the container wrote that were dropped (non-blocking mode), as far as read.
    pub fn lost_lines(&self) -> u64 {
        self.lost
    }

    /// The next entry; none if there is none yet.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or its frames are broken.
    pub fn next_entry(&mut self) -> io::Result<Option<LogEntry>> {
        loop {
            let Some(frame) = self.next_frame()? else { return Ok(None) };
            let mut at = [0; 8];
            at.copy_from_slice(&frame[8..HEADER]);
            let at_nanos = u64::from_le_bytes(at);
            let bytes = frame[HEADER..].to_vec();
            let stream = match frame[1] {
                1 => Stream::Output,
                2 => Stream::Error,
                3 => {
                    self.finished = true;
                    continue;
                }
                _ => {
                    let count =
                        bytes.first_chunk::<8>().map_or(0, |count| u64::from_le_bytes(*count));
                    self.lost = self.lost.saturating_add(count);
                    continue;
                }
            };
            self.finished = false;
            return Ok(Some(LogEntry { at_nanos, stream, bytes, partial: frame[2] == 1 }));
        }
    }

    /// One whole frame, going over to the next file where one ends.
    fn next_frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if self.file.is_none() && !self.open_file()? {
                return Ok(None);
            }
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            // A file is complete once there is a higher one. Looking in this order, nothing that was
            // written to it before is missed.
            let higher = self.next_number()?;
            if !self.fill()? {
                let Some(higher) = higher else { return Ok(None) };
                // What is left is a frame that its writer did not live to end.
                self.buffer.clear();
                self.file = None;
                self.position = LogPosition { file: higher, offset: 0 };
            }
        }
    }

    fn next_number(&self) -> io::Result<Option<u64>> {
        Ok(file_numbers(&self.folder)?.into_iter().find(|number| *number > self.position.file))
    }

    fn open_file(&mut self) -> io::Result<bool> {
        let numbers = match file_numbers(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        // A file that was deleted in the meantime is skipped.
        let Some(number) = numbers.into_iter().find(|number| *number >= self.position.file) else {
            return Ok(false);
        };
        if number != self.position.file {
            self.position = LogPosition { file: number, offset: 0 };
        }
        let mut file = match File::open(file_path(&self.folder, number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        file.seek(SeekFrom::Start(self.position.offset))?;
        self.file = Some(file);
        self.buffer.clear();
        Ok(true)
    }

    fn take_frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(header) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
        let length = frame_length(header).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} has no frame at byte {}",
                    file_path(&self.folder, self.position.file).display(),
                    self.position.offset
                ),
            )
        })?;
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.position.offset += length as u64;
        let rest = self.buffer.split_off(length);
        Ok(Some(std::mem::replace(&mut self.buffer, rest)))
    }

    /// Whether more was read.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(file) = &mut self.file else { return Ok(false) };
        let mut chunk = vec![0; 64 << 10];
        let read = file.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, number: u64, bytes: &[u8]) {
        use std::io::Write as _;
        let path = file_path(folder, number);
        File::options().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
    }

    fn line(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame(&mut bytes, Kind::Line(Stream::Output), false, 7, text.as_bytes());
        bytes
    }

    fn texts(reader: &mut LogReader) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            texts.push(String::from_utf8(entry.bytes).unwrap());
        }
        texts
    }

    #[test]
    fn reading_follows_rotation_and_can_be_resumed() {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = LogReader::open(dir.path().join("absent"), LogPosition::default());
        assert_eq!(reader.next_entry().unwrap(), None);

        write(dir.path(), 3, &[line("a"), line("b"), line("torn")[..18].to_vec()].concat());
        let mut reader = LogReader::open(dir.path(), LogPosition::default());
        assert_eq!(texts(&mut reader), ["a", "b"]);
        let kept = reader.position();
        write(dir.path(), 4, &line("c"));
        assert_eq!(texts(&mut reader), ["c"], "the torn frame is left behind");
        let mut end = Vec::new();
        frame(&mut end, Kind::Lost, false, 0, &5_u64.to_le_bytes());
        frame(&mut end, Kind::End, false, 0, b"");
        write(dir.path(), 4, &end);
        assert!(!reader.is_finished());
        assert_eq!(texts(&mut reader), [""; 0]);
        assert!(reader.is_finished());
        assert_eq!(reader.lost_lines(), 5);
        write(dir.path(), 5, &line("again"));
        assert_eq!(texts(&mut reader), ["again"]);
        assert!(!reader.is_finished());

        std::fs::remove_file(file_path(dir.path(), 3)).unwrap();
        let mut resumed = LogReader::open(dir.path(), kept);
        assert_eq!(texts(&mut resumed), ["c", "again"]);
    }

    #[test]
    fn broken_frames_are_told() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 1, &[b'X'; 40]);
        let mut reader = LogReader::open(dir.path(), LogPosition::default());
        assert_eq!(reader.next_entry().unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut huge = line("x");
        huge[7] = 0xff;
        assert_eq!(frame_length(huge.first_chunk().unwrap()), None);
    }
}
