//! The process that writes one container's log files. It does nothing else, so that waiting for the
//! disk holds up nobody, and it lives until the shim has let go of its pipe.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::logs::Keep;
use crate::engine::{process, sys};
use crate::log::{HEADER, file_numbers, file_path, frame_length};

/// Lives the writer's life.
pub(crate) fn run(pipe: &OwnedFd, folder: &Path, keep: Keep) -> ! {
    process::set_name(c"log");
    sys::close_all_but(&[pipe.as_raw_fd()]);
    let code = match copy(pipe, folder, keep) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("the log in {} ends: {error}", folder.display());
            1
        }
    };
    sys::exit_now(code)
}

fn copy(pipe: &OwnedFd, folder: &Path, keep: Keep) -> io::Result<()> {
    let mut files = Files::open(folder, keep)?;
    let mut held = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut chunk[..]))?;
        if read == 0 {
            return Ok(());
        }
        held.extend_from_slice(&chunk[..read]);
        files.write_frames(&mut held)?;
    }
}

/// The files of one log.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    keep: Keep,
    number: u64,
    file: File,
    size: u64,
}

impl Files {
    /// Begins a new file after those that there are.
    pub(crate) fn open(folder: &Path, keep: Keep) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let number = file_numbers(folder)?.last().copied().unwrap_or(0) + 1;
        let file = File::create_new(file_path(folder, number))?;
        Ok(Self { folder: folder.into(), keep, number, file, size: 0 })
    }

    /// Writes the whole frames among `held` and leaves the rest; turns the file between frames.
    pub(crate) fn write_frames(&mut self, held: &mut Vec<u8>) -> io::Result<()> {
        let mut done = 0;
        let mut from = 0;
        while let Some(header) = held[done..].first_chunk::<HEADER>() {
            let broken = || io::Error::new(io::ErrorKind::InvalidData, "a broken frame");
            let length = frame_length(header).ok_or_else(broken)?;
            if held.len() < done + length {
                break;
            }
            let pending = (done - from) as u64;
            let full = self.size + pending + length as u64 > self.keep.max_bytes;
            if full && self.size + pending > 0 {
                self.write(&held[from..done])?;
                self.turn()?;
                from = done;
            }
            done += length;
        }
        self.write(&held[from..done])?;
        held.drain(..done);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn turn(&mut self) -> io::Result<()> {
        self.number += 1;
        self.file = File::create_new(file_path(&self.folder, self.number))?;
        self.size = 0;
        let kept = u64::from(self.keep.max_files.max(1));
        for number in file_numbers(&self.folder)? {
            if number + kept <= self.number {
                std::fs::remove_file(file_path(&self.folder, number))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Kind, LogPosition, LogReader, Stream, frame};

    #[test]
    fn files_turn_between_frames_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep { max_bytes: 60, max_files: 2, non_blocking_bytes: None };
        let mut files = Files::open(dir.path(), keep).unwrap();
        let mut held = Vec::new();
        for index in 0..10_u8 {
            frame(&mut held, Kind::Line(Stream::Output), false, 0, &[index; 10]);
        }
        held.truncate(held.len() - 3);
        files.write_frames(&mut held).unwrap();
        assert_eq!(held.len(), 23, "a frame that is not whole stays");
        assert_eq!(file_numbers(dir.path()).unwrap(), [4, 5]);
        let mut reader = LogReader::open(dir.path(), LogPosition::default());
        let mut seen = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            seen.push(entry.bytes[0]);
        }
        assert_eq!(seen, [6, 7, 8]);
        Files::open(dir.path(), keep).unwrap();
        assert_eq!(file_numbers(dir.path()).unwrap(), [4, 5, 6], "a new run, a new file");
    }
}
