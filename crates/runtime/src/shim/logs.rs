//! From a container's pipes to its log: lines are cut, stamped and framed here, buffered, and handed
//! to a writer process, so that a slow disk never holds up the shim.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{clock, writer};
use crate::engine::{Attempt, Fault, process, sys};
use crate::log::{Kind, MAX_LINE, Stream, frame};

/// Without a limit of its own, so much is buffered before the container has to wait.
const BLOCKING_BUFFER: usize = 256 << 10;
/// One read.
const CHUNK: usize = 32 << 10;

/// One of a container's outputs.
#[derive(Debug)]
struct Input {
    pipe: OwnedFd,
    stream: Stream,
    line: Vec<u8>,
}

/// How a container's output is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// A file is turned at this size.
    pub(crate) max_bytes: u64,
    /// So many files are kept.
    pub(crate) max_files: u32,
    /// Lines are dropped beyond a buffer of this size; none lets the container wait.
    pub(crate) non_blocking_bytes: Option<u64>,
}

/// One container's log, under way.
#[derive(Debug)]
pub(crate) struct Pump {
    inputs: Vec<Input>,
    buffer: VecDeque<u8>,
    limit: usize,
    drops: bool,
    dropped: u64,
    /// The end has been framed: once that is written, there is nothing more to come.
    ended: bool,
    out: Option<OwnedFd>,
}

fn set_nonblocking(fd: impl AsFd) -> Result<(), Fault> {
    let what = || "set a pipe not to block".to_owned();
    let flags = rustix::fs::fcntl_getfl(&fd).attempt(what)?;
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK).attempt(what)
}

impl Pump {
    /// Begins to keep what comes out of these pipes in files in `folder`.
    pub(crate) fn start(
        pipes: Vec<(OwnedFd, Stream)>,
        folder: &Path,
        keep: Keep,
    ) -> Result<Self, Fault> {
        let (read, write) = process::pipe()?;
        // It ends at the end of its pipe, and is reaped with the strays.
        match sys::clone3(0, None).attempt(|| "start a log writer".into())? {
            sys::Fork::Child => writer::run(&read, folder, keep),
            sys::Fork::Parent(_) => {}
        }
        set_nonblocking(&write)?;
        let mut inputs = Vec::new();
        for (pipe, stream) in pipes {
            set_nonblocking(&pipe)?;
            inputs.push(Input { pipe, stream, line: Vec::new() });
        }
        let limit = keep.non_blocking_bytes.and_then(|bytes| usize::try_from(bytes).ok());
        Ok(Self {
            inputs,
            buffer: VecDeque::new(),
            limit: limit.unwrap_or(BLOCKING_BUFFER),
            drops: limit.is_some(),
            dropped: 0,
            ended: false,
            out: Some(write),
        })
    }

    /// Reads what comes out of these pipes and throws it away: a terminal's user must not have to wait.
    pub(crate) fn discard(pipes: Vec<(OwnedFd, Stream)>) -> Result<Self, Fault> {
        let mut inputs = Vec::new();
        for (pipe, stream) in pipes {
            set_nonblocking(&pipe)?;
            inputs.push(Input { pipe, stream, line: Vec::new() });
        }
        let buffer = VecDeque::new();
        Ok(Self { inputs, buffer, limit: 0, drops: true, dropped: 0, ended: false, out: None })
    }

    /// The pipes to wait for.
    pub(crate) fn waiting_inputs(&self) -> Vec<(usize, BorrowedFd<'_>)> {
        if !self.drops && self.buffer.len() >= self.limit {
            return Vec::new();
        }
        self.inputs.iter().enumerate().map(|(index, input)| (index, input.pipe.as_fd())).collect()
    }

    /// The writer's pipe, while there is something for it.
    pub(crate) fn waiting_output(&self) -> Option<BorrowedFd<'_>> {
        if self.buffer.is_empty() { None } else { self.out.as_ref().map(AsFd::as_fd) }
    }

    /// Reads what an input has at present, at most one chunk.
    pub(crate) fn read(&mut self, index: usize) {
        let mut chunk = [0; CHUNK];
        let Some(input) = self.inputs.get_mut(index) else { return };
        match rustix::io::read(&input.pipe, &mut chunk) {
            Ok(0) => self.end_input(index),
            Ok(length) => self.take(index, &chunk[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // A terminal whose last user is gone answers with EIO.
            Err(_) => self.end_input(index),
        }
        self.write();
    }

    fn end_input(&mut self, index: usize) {
        let mut input = self.inputs.remove(index);
        if !input.line.is_empty() {
            let line = std::mem::take(&mut input.line);
            self.push(Kind::Line(input.stream), false, &line);
        }
    }

    fn take(&mut self, index: usize, mut bytes: &[u8]) {
        let stream = self.inputs[index].stream;
        let mut line = std::mem::take(&mut self.inputs[index].line);
        while !bytes.is_empty() {
            let room = MAX_LINE - line.len();
            let end = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
            let (piece, rest) = match end {
                Some(at) => (&bytes[..at], &bytes[at + 1..]),
                None => bytes.split_at(bytes.len().min(room)),
            };
            line.extend_from_slice(piece);
            bytes = rest;
            if end.is_some() || line.len() == MAX_LINE {
                self.push(Kind::Line(stream), end.is_none(), &line);
                line.clear();
            }
        }
        self.inputs[index].line = line;
    }

    fn push(&mut self, kind: Kind, partial: bool, bytes: &[u8]) {
        if self.drops && self.buffer.len() + bytes.len() > self.limit {
            self.dropped += 1;
            return;
        }
        let mut framed = Vec::with_capacity(bytes.len() + 2 * crate::log::HEADER);
        if self.dropped > 0 {
            frame(&mut framed, Kind::Lost, false, clock::nanos(), &self.dropped.to_le_bytes());
            self.dropped = 0;
        }
        frame(&mut framed, kind, partial, clock::nanos(), bytes);
        self.buffer.extend(framed);
    }

    /// Hands on what the writer takes at present.
    pub(crate) fn write(&mut self) {
        while let (Some(out), false) = (&self.out, self.buffer.is_empty()) {
            match rustix::io::write(out, self.buffer.as_slices().0) {
                Ok(written) => {
                    self.buffer.drain(..written);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The writer is gone (a full disk, say): the container goes on without a log.
                Err(_) => {
                    self.buffer.clear();
                    self.out = None;
                }
            }
        }
    }

    /// The container has exited: takes what its pipes still hold, then ends the log.
    pub(crate) fn finish(&mut self) {
        let blocking = !self.drops;
        // Its processes are gone, so what the pipes hold is finite; it may pass the limit once.
        while !self.inputs.is_empty() {
            let mut chunk = [0; CHUNK];
            match rustix::io::read(&self.inputs[0].pipe, &mut chunk) {
                Ok(0) => self.end_input(0),
                Ok(length) => self.take(0, &chunk[..length]),
                Err(Errno::INTR) => {}
                Err(_) => self.end_input(0),
            }
            if blocking {
                self.write();
            }
        }
        self.drops = false;
        self.ended = true;
        self.push(Kind::End, false, b"");
        self.write();
        self.let_go_if_drained();
    }

    /// Closes the writer's pipe once everything after the end has gone through it.
    pub(crate) fn let_go_if_drained(&mut self) {
        if self.ended && self.buffer.is_empty() {
            self.out = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{LogPosition, LogReader};

    #[test]
    fn lines_are_cut_framed_and_dropped_beyond_the_buffer() {
        let (read, write) = process::pipe().unwrap();
        let (out_read, out_write) = process::pipe().unwrap();
        set_nonblocking(&read).unwrap();
        set_nonblocking(&out_write).unwrap();
        let inputs = vec![Input { pipe: read, stream: Stream::Error, line: Vec::new() }];
        let mut pump = Pump {
            inputs,
            buffer: VecDeque::new(),
            limit: 40 << 10,
            drops: true,
            dropped: 0,
            ended: false,
            out: Some(out_write),
        };
        let long = "x".repeat(MAX_LINE + 5);
        rustix::io::write(&write, format!("one\n\n{long}\nrest").as_bytes()).unwrap();
        pump.read(0);
        drop(write);
        // The output may end, and all of it be written, before the program does.
        pump.read(0);
        pump.read(0);
        assert!(pump.inputs.is_empty() && pump.buffer.is_empty());
        pump.let_go_if_drained();
        pump.finish();
        assert!(pump.out.is_none());
        drop(pump);
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::fs::File::from(out_read), &mut bytes).unwrap();
        std::fs::write(dir.path().join("00000001.log"), bytes).unwrap();
        let mut reader = LogReader::open(dir.path(), LogPosition::default());
        let mut lines = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            assert_eq!(entry.stream, Stream::Error);
            lines.push((entry.bytes.len(), entry.partial));
        }
        assert_eq!(lines, [(3, false), (0, false), (MAX_LINE, true), (5, false), (4, false)]);
        assert!(reader.is_finished());
    }
}
