//! What a session of ExecuteCommand printed, byte by byte, as one object in a bucket.
//!
//! The object is an upload in parts until the session ends, so that what was printed is kept as it
//! comes and a server that is killed loses seconds of it at most. An upload that nobody ended is
//! completed when the next session is logged to its bucket.

use std::time::Duration;

use bytes::Bytes;
use model::ExecBucket;
use objects::{CompletedPart, Conditions, MOST_PARTS, Meta, Objects, ObjectsError};
use tokio::time::Instant;

use crate::door::Door;
use crate::exec_relay::is_id;

/// A part that is complete: the least that S3 takes of one that is not the last.
const PART: usize = 5 << 20;
/// What has been printed is stored so often, at least.
const STORE_EVERY: Duration = Duration::from_secs(10);
/// After a restart a session goes on in another object; so many are tried.
const MOST_OBJECTS: usize = 100;

/// A session's object in the making.
#[derive(Debug)]
pub(crate) struct Transcript {
    objects: Objects,
    bucket: String,
    key: String,
    upload: String,
    parts: Vec<CompletedPart>,
    /// The part that is not complete, and how much of it is stored.
    tail: Vec<u8>,
    stored: usize,
    at: Instant,
}

/// The keys of a session's objects: one, and another after each restart of the server.
fn keys(bucket: &ExecBucket, session: &str) -> impl Iterator<Item = String> {
    let prefix = bucket.prefix.as_deref().unwrap_or_default().trim_end_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    let stem = format!("{prefix}{slash}{session}");
    (1..=MOST_OBJECTS).map(move |n| match n {
        1 => format!("{stem}.log"),
        n => format!("{stem}-{n}.log"),
    })
}

/// The session whose object has this key, if it is one.
fn session_of(key: &str) -> Option<&str> {
    let name = key.rsplit('/').next().unwrap_or(key).strip_suffix(".log")?;
    if is_id(name) {
        return Some(name);
    }
    let (session, number) = name.rsplit_once('-')?;
    (is_id(session) && number.parse::<u32>().is_ok()).then_some(session)
}

impl Transcript {
    /// Begins a session's object. Why not is told to the log.
    pub(crate) async fn begin(door: &Door, bucket: &ExecBucket, session: &str) -> Option<Self> {
        let objects = door.config().objects.clone();
        finish_left(door, &objects, &bucket.name, session).await;
        match Self::try_begin(objects, bucket, session).await {
            Ok(transcript) => Some(transcript),
            Err(error) => {
                let (bucket, error) = (&bucket.name, stdx::chain(&error));
                tracing::error!(bucket, session, error, "A session is not logged.");
                None
            }
        }
    }

    async fn try_begin(
        objects: Objects,
        bucket: &ExecBucket,
        session: &str,
    ) -> Result<Self, ObjectsError> {
        let mut key = String::new();
        for candidate in keys(bucket, session) {
            let free = objects.object(&bucket.name, &candidate).await.is_err();
            key = candidate;
            if free {
                break;
            }
        }
        let mut meta = Meta::default();
        meta.headers.insert("content-type".to_owned(), "text/plain".to_owned());
        let upload = objects.create_upload(&bucket.name, &key, meta, None, None).await?;
        let (parts, tail, at) = (Vec::new(), Vec::new(), Instant::now());
        Ok(Self { objects, bucket: bucket.name.clone(), key, upload, parts, tail, stored: 0, at })
    }

    /// Takes output; true when a part is complete.
    pub(crate) fn write(&mut self, output: &[u8]) -> bool {
        self.tail.extend_from_slice(output);
        self.tail.len() >= PART
    }

    /// Stores what waits, if it is enough or has waited long, or at once.
    pub(crate) async fn flush(&mut self, at_once: bool) {
        let complete = self.tail.len() >= PART;
        let due = at_once || self.at.elapsed() >= STORE_EVERY;
        if !complete && (!due || self.stored == self.tail.len()) {
            return;
        }
        self.at = Instant::now();
        if let Err(error) = self.store(complete).await {
            let (bucket, key, error) = (&self.bucket, &self.key, stdx::chain(&error));
            tracing::error!(bucket, key, error, "Output of a session is not logged.");
        }
        if complete {
            self.tail.clear();
            self.stored = 0;
        }
    }

    /// Puts the tail as the part that comes next; it is put again until it is complete.
    async fn store(&mut self, complete: bool) -> Result<CompletedPart, ObjectsError> {
        let number = u32::try_from(self.parts.len() + 1).unwrap_or(MOST_PARTS).min(MOST_PARTS);
        let mut incoming = self.objects.receive(&[])?;
        incoming.push(Bytes::copy_from_slice(&self.tail)).await?;
        let received = incoming.finish().await?;
        let put = self.objects.put_part(&self.bucket, &self.key, &self.upload, number, received);
        let part = CompletedPart { number, etag: put.await?.etag, checksum: None };
        self.stored = self.tail.len();
        if complete {
            self.parts.push(part.clone());
        }
        Ok(part)
    }

    /// The session is over: makes the object of its parts.
    pub(crate) async fn end(mut self) {
        let ended = async {
            // An object has at least one part, an empty one if nothing was printed.
            if !self.tail.is_empty() || self.parts.is_empty() {
                let last = self.store(false).await?;
                self.parts.push(last);
            }
            let place = (self.bucket.as_str(), self.key.as_str(), self.upload.as_str());
            let parts = std::mem::take(&mut self.parts);
            self.objects.complete_upload(place, parts, Conditions::default(), None).await
        };
        if let Err(error) = ended.await {
            let error = stdx::chain(&error);
            tracing::error!(error, "The object of a session could not be completed.");
        }
    }
}

/// Completes the uploads of sessions that a killed server has left, and this session's own.
async fn finish_left(door: &Door, objects: &Objects, bucket: &str, session: &str) {
    let Ok(uploads) = objects.uploads(bucket).await else { return };
    let open: Vec<String> = door.exec().list().into_iter().map(|open| open.id).collect();
    for upload in uploads {
        let theirs = session_of(&upload.key)
            .is_some_and(|of| of == session || !open.iter().any(|open| open == of));
        if !theirs {
            continue;
        }
        let place = (bucket, upload.key.as_str(), upload.id.as_str());
        let Ok(parts) = objects.parts(place.0, place.1, place.2).await else { continue };
        let finished = if parts.is_empty() {
            objects.abort_upload(place.0, place.1, place.2).await
        } else {
            let parts = parts.into_iter();
            let parts =
                parts.map(|p| CompletedPart { number: p.number, etag: p.etag, checksum: None });
            let none = Conditions::default();
            objects.complete_upload(place, parts.collect(), none, None).await.map(drop)
        };
        match finished {
            Ok(()) => tracing::info!(bucket, key = upload.key, "A session's log was completed."),
            Err(error) => {
                let (key, error) = (&upload.key, stdx::chain(&error));
                tracing::warn!(bucket, key, error, "A session's log could not be completed.");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_after_their_sessions() {
        let id = "ecs-execute-command-0123456789abcdef0";
        let named = |prefix: Option<&str>| {
            let bucket = ExecBucket { name: "b".into(), prefix: prefix.map(str::to_owned) };
            keys(&bucket, id).take(2).collect::<Vec<_>>()
        };
        assert_eq!(named(None), [format!("{id}.log"), format!("{id}-2.log")]);
        assert_eq!(named(Some("a/b/"))[0], format!("a/b/{id}.log"));
        for key in named(Some("p")) {
            assert_eq!(session_of(&key), Some(id), "{key}");
        }
        for key in ["a.log", "p/x-2.log", "p/ecs-execute-command-0.log", &format!("{id}-x.log")] {
            assert_eq!(session_of(key), None, "{key}");
        }
    }
}
