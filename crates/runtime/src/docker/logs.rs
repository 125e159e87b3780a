//! What containers say, from the Engine's log into files of ours: see [`crate::log`].
//!
//! The Engine keeps the log while nobody is here. It is gone on with where our files end: nothing
//! between is lost, and nothing is written twice.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::LogsOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt;
use shell::OsEntropy;
use stdx::Backoff;

use super::fault::status;
use super::found::Found;
use super::{Inner, guard};
use crate::log::{Kind, LogPosition, LogReader, MAX_LINE, Stream, frame};
use crate::shim::logs::Keep;
use crate::shim::writer::Files;
use crate::{ContainerId, ContainerSpec, LogMode};

/// Lines of the two streams may be told a little out of order; the Engine is asked for so many
/// seconds more than is missing.
const OVERLAP: i64 = 5;
/// A container's removal waits so long for what it said last.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How far one stream has been written down: the instant of its last line, in nanoseconds, and how
/// many lines of that instant there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    nanos: u64,
    lines: u64,
}

impl Mark {
    fn note(&mut self, nanos: u64) {
        self.lines = if nanos == self.nanos { self.lines + 1 } else { 1 };
        self.nanos = nanos;
    }
}

/// How far both have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks {
    output: Mark,
    error: Mark,
}

impl Marks {
    fn of(&mut self, stream: Stream) -> &mut Mark {
        match stream {
            Stream::Output => &mut self.output,
            Stream::Error => &mut self.error,
        }
    }

    /// The second from which on the Engine is asked.
    fn since(&self) -> i32 {
        let last = self.output.nanos.max(self.error.nanos) / 1_000_000_000;
        let last = i64::try_from(last).unwrap_or(i64::MAX);
        i32::try_from((last - OVERLAP).max(0)).unwrap_or(i32::MAX)
    }
}

/// Leaves out what has been written down already.
#[derive(Debug)]
struct Sieve {
    known: Marks,
    /// How many lines of the last known instant have come again.
    again: Marks,
}

impl Sieve {
    fn is_new(&mut self, stream: Stream, nanos: u64) -> bool {
        let known = *self.known.of(stream);
        if nanos != known.nanos {
            return nanos > known.nanos;
        }
        let again = self.again.of(stream);
        again.lines += 1;
        again.lines > known.lines
    }
}

/// Where our files end, and whether the container's last run does there.
fn marks(folder: &Path) -> io::Result<(Marks, bool)> {
    let mut reader = LogReader::open(folder, LogPosition::default());
    let mut marks = Marks::default();
    while let Some(entry) = reader.next_entry()? {
        marks.of(entry.stream).note(entry.at_nanos);
    }
    Ok((marks, reader.is_finished()))
}

/// A line as the Engine tells it: `2026-11-22T20:00:00.123456789Z text`.
fn line(text: &Bytes) -> Option<(u64, Bytes, bool)> {
    let space = text.iter().position(|byte| *byte == b' ')?;
    let at: jiff::Timestamp = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
    let nanos = u64::try_from(at.as_nanosecond()).ok()?;
    let rest = text.slice(space + 1..);
    Some(match rest.last() {
        Some(b'\n') => (nanos, rest.slice(..rest.len() - 1), false),
        // The Engine's pieces of a long line are of this size; a shorter one is the output's end.
        _ => {
            let goes_on = rest.len() >= MAX_LINE;
            (nanos, rest, goes_on)
        }
    })
}

/// Who writes one container's log down.
struct Follower {
    inner: Arc<Inner>,
    engine_id: String,
    folder: PathBuf,
    keep: Keep,
    files: Option<Files>,
    marks: Marks,
}

/// Begins to write down what a container says that was just started.
pub(crate) fn follow(inner: &Arc<Inner>, engine_id: &str, spec: &ContainerSpec) {
    let Some(keep) = keep(&spec.log) else { return };
    let folder = inner.records.log(&spec.sandbox, &spec.id);
    begin(inner, engine_id, &spec.id, folder, keep, false);
}

/// Goes on with a container that was found.
pub(crate) fn resume(inner: &Arc<Inner>, found: &Found) {
    let Some(container) = &found.container else { return };
    let Some(keep) = found.log.as_ref().and_then(keep) else { return };
    if found.started_at.is_some() {
        let folder = inner.records.log(&found.sandbox, container);
        begin(inner, &found.engine_id, container, folder, keep, true);
    }
}

fn keep(mode: &LogMode) -> Option<Keep> {
    match *mode {
        LogMode::Files { max_bytes, max_files, non_blocking_bytes } => {
            Some(Keep { max_bytes, max_files, non_blocking_bytes })
        }
        LogMode::None | LogMode::Driver { .. } => None,
    }
}

fn begin(
    inner: &Arc<Inner>,
    engine_id: &str,
    container: &ContainerId,
    folder: PathBuf,
    keep: Keep,
    found: bool,
) {
    let follower = Follower {
        inner: Arc::clone(inner),
        engine_id: engine_id.to_owned(),
        folder,
        keep,
        files: None,
        marks: Marks::default(),
    };
    let mut followers = guard(&inner.followers);
    let before = followers.remove(container);
    let task = tokio::spawn(async move {
        // A log goes on where the run before ended.
        if let Some(before) = before {
            before.await.unwrap_or_default();
        }
        follower.run(found).await;
    });
    followers.insert(container.clone(), task);
}

impl Inner {
    /// Waits until everything a container said has been written down, if that is under way.
    pub(crate) async fn last_words(&self, container: &ContainerId) {
        let follower = guard(&self.followers).remove(container);
        if let Some(follower) = follower
            && tokio::time::timeout(LAST_WORDS, follower).await.is_err()
        {
            tracing::warn!(%container, "Not everything that a container said could be kept.");
        }
    }

    /// Ends writing down what a container says.
    pub(crate) fn hush(&self, container: &ContainerId) {
        if let Some(follower) = guard(&self.followers).remove(container) {
            follower.abort();
        }
    }
}

/// How a pass over the Engine's log ended.
enum Pass {
    /// With the container's run, or because it is gone.
    Over,
    /// Too early: it is to be gone on with.
    Broken,
}

impl Follower {
    async fn run(mut self, found: bool) {
        let folder = self.folder.clone();
        if found {
            let read = tokio::task::spawn_blocking(move || marks(&folder)).await;
            match read {
                Ok(Ok((marks, finished))) => {
                    self.marks = marks;
                    if finished && self.inner.seen_exit(&self.engine_id).is_some() {
                        return;
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(folder = %self.folder.display(), %error, "A log is begun anew.");
                }
                Err(_) => return,
            }
        }
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            let mut passed = self.pass(true).await;
            // What was said last may have come too late for who followed; now all of it is there.
            if let Ok(Pass::Over) = passed {
                passed = self.pass(false).await;
            }
            match passed {
                Ok(Pass::Over) => break,
                Ok(Pass::Broken) => tokio::time::sleep(backoff.delay(&mut OsEntropy)).await,
                Err(error) => {
                    tracing::error!(folder = %self.folder.display(), %error, "A log could not be written.");
                    tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
                }
            }
        }
        let mut end = Vec::new();
        let now = u64::try_from(self.inner.now().as_millis()).unwrap_or(0);
        frame(&mut end, Kind::End, false, now.saturating_mul(1_000_000), b"");
        if let Err(error) = self.write(end).await {
            tracing::error!(folder = %self.folder.display(), %error, "A log could not be ended.");
        }
    }

    /// Reads the Engine's log from where ours ends, until it ends.
    async fn pass(&mut self, follow: bool) -> io::Result<Pass> {
        let options = LogsOptionsBuilder::default()
            .follow(follow)
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .since(self.marks.since())
            .tail("all")
            .build();
        let inner = Arc::clone(&self.inner);
        let stream = inner.engine.logs(&self.engine_id, Some(options)).ready_chunks(256);
        let mut stream = std::pin::pin!(stream);
        let mut sieve = Sieve { known: self.marks, again: Marks::default() };
        while let Some(chunk) = stream.next().await {
            let mut frames = Vec::new();
            let mut broken = None;
            for item in chunk {
                match item {
                    Ok(output) => self.take(output, &mut sieve, &mut frames),
                    Err(error) => broken = Some(error),
                }
            }
            self.write(frames).await?;
            if let Some(error) = broken {
                return Ok(self.after(&error));
            }
        }
        // Its log ends with it; only if it does not run there is nothing more to come.
        match inner.inspect(&self.engine_id).await {
            Ok(Some(found)) if found.exit.is_none() => Ok(Pass::Broken),
            Ok(_) => Ok(Pass::Over),
            Err(_) => Ok(Pass::Broken),
        }
    }

    fn after(&self, error: &Error) -> Pass {
        match status(error) {
            Some(404) => Pass::Over,
            _ => {
                tracing::debug!(container = self.engine_id, %error, "A log breaks off.");
                Pass::Broken
            }
        }
    }

    fn take(&mut self, output: LogOutput, sieve: &mut Sieve, frames: &mut Vec<u8>) {
        let (stream, text) = match output {
            LogOutput::StdErr { message } => (Stream::Error, message),
            LogOutput::StdOut { message }
            | LogOutput::Console { message }
            | LogOutput::StdIn { message } => (Stream::Output, message),
        };
        let Some((nanos, text, goes_on)) = line(&text) else {
            tracing::warn!(container = self.engine_id, "A line without its time is left out.");
            return;
        };
        if !sieve.is_new(stream, nanos) {
            return;
        }
        let mut pieces = text.chunks(MAX_LINE).peekable();
        if pieces.peek().is_none() {
            self.marks.of(stream).note(nanos);
            frame(frames, Kind::Line(stream), goes_on, nanos, b"");
        }
        while let Some(piece) = pieces.next() {
            self.marks.of(stream).note(nanos);
            let goes_on = goes_on || pieces.peek().is_some();
            frame(frames, Kind::Line(stream), goes_on, nanos, piece);
        }
    }

    async fn write(&mut self, mut frames: Vec<u8>) -> io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        let (files, folder, keep) = (self.files.take(), self.folder.clone(), self.keep);
        let written = tokio::task::spawn_blocking(move || {
            let mut files = match files {
                Some(files) => files,
                None => Files::open(&folder, keep)?,
            };
            files.write_frames(&mut frames)?;
            Ok::<_, io::Error>(files)
        });
        self.files = Some(written.await.map_err(io::Error::other)??);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_with_their_times() {
        let (nanos, text, goes_on) =
            line(&Bytes::from_static(b"1970-01-01T00:00:01.000000005Z a b\n")).unwrap();
        assert_eq!((nanos, &text[..], goes_on), (1_000_000_005, &b"a b"[..], false));
        let (_, text, goes_on) = line(&Bytes::from_static(b"1970-01-01T00:00:01Z end")).unwrap();
        assert_eq!((&text[..], goes_on), (&b"end"[..], false));
        let piece = [b"1970-01-01T00:00:01Z ", vec![b'y'; MAX_LINE].as_slice()].concat();
        assert!(line(&Bytes::from(piece)).unwrap().2);
        let (_, text, _) = line(&Bytes::from_static(b"1970-01-01T00:00:01Z \n")).unwrap();
        assert!(text.is_empty());
        assert!(line(&Bytes::from_static(b"no time")).is_none());
    }

    #[test]
    fn what_is_known_is_left_out_and_nothing_else() {
        let mut known = Marks::default();
        for nanos in [10, 20, 20] {
            known.output.note(nanos);
        }
        known.error.note(15);
        let mut sieve = Sieve { known, again: Marks::default() };
        let mut new = |stream, nanos| sieve.is_new(stream, nanos);
        let (out, err) = (Stream::Output, Stream::Error);
        assert_eq!(
            [10, 20, 20, 20, 21].map(|nanos| new(out, nanos)),
            [false, false, false, true, true]
        );
        assert_eq!([15, 15, 14].map(|nanos| new(err, nanos)), [false, true, false]);
        assert_eq!(Marks::default().since(), 0);
    }

    #[test]
    fn marks_are_read_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep { max_bytes: 1 << 20, max_files: 2, non_blocking_bytes: None };
        let mut files = Files::open(dir.path(), keep).unwrap();
        let mut frames = Vec::new();
        for (stream, nanos) in [(Stream::Output, 7), (Stream::Output, 7), (Stream::Error, 9)] {
            frame(&mut frames, Kind::Line(stream), false, nanos, b"x");
        }
        files.write_frames(&mut frames).unwrap();
        let (found, finished) = marks(dir.path()).unwrap();
        assert_eq!(found.output, Mark { nanos: 7, lines: 2 });
        assert_eq!((found.error, finished), (Mark { nanos: 9, lines: 1 }, false));
    }
}
