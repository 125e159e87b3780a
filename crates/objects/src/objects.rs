//! Objects: put, get, look, copy, delete.

use crate::reader::Part;
use crate::tables::Tables;
use crate::types::{ObjectRecord, Piece};
use crate::{Code, Conditions, Meta, Object, Objects, ObjectsError, Reader, Received, Span, name};

/// So often is an object looked up again whose content went between looking and opening.
const TRIES: usize = 3;

impl Objects {
    /// `PutObject`, of a body that has been received.
    ///
    /// # Errors
    /// There is no such bucket, the key is not valid, or a condition does not hold.
    pub async fn put_object(
        &self,
        bucket: &str,
        key: &str,
        received: Received,
        meta: Meta,
        conditions: Conditions,
    ) -> Result<Object, ObjectsError> {
        name::check_key(key)?;
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.write(move |tables, desk| {
            tables.bucket(&bucket)?;
            check_conditions(tables, &bucket, &key, &conditions)?;
            let record = ObjectRecord {
                etag: hex::encode(received.md5),
                modified: desk.now,
                meta,
                checksum: received.checksums.first().cloned(),
                parts: None,
                pieces: vec![Piece { digest: received.digest.clone(), bytes: received.bytes }],
            };
            tables.put_object(&bucket, &key, &record)?;
            desk.content.adopt(received.temporary.path(), &received.digest)?;
            Ok(record.object(&key))
        })
        .await
    }

    /// `HeadObject`.
    ///
    /// # Errors
    /// There is no such bucket or object.
    pub async fn object(&self, bucket: &str, key: &str) -> Result<Object, ObjectsError> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.read(move |snapshot| Ok(snapshot.object(&bucket, &key)?.object(&key))).await
    }

    /// `GetObject`: the object, and a reader of the bytes that `choose` wants of it, if any.
    ///
    /// # Errors
    /// There is no such bucket or object, `choose` refuses, or the disk fails.
    pub async fn open_object<T>(
        &self,
        bucket: &str,
        key: &str,
        choose: impl Fn(&Object) -> Result<(T, Option<Span>), ObjectsError> + Send,
    ) -> Result<(Object, T, Option<Reader>), ObjectsError> {
        let mut tries = 1;
        loop {
            let (bucket, name) = (bucket.to_owned(), key.to_owned());
            let record = self.read(move |snapshot| snapshot.object(&bucket, &name)).await?;
            let pieces = record.pieces.clone();
            let object = record.object(key);
            let (chosen, span) = choose(&object)?;
            let Some(span) = span else { return Ok((object, chosen, None)) };
            match Reader::open(self.files(&pieces, span)).await {
                Ok(reader) => return Ok((object, chosen, Some(reader))),
                // It was overwritten just now.
                Err(_) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// The files that a span of an object lies in.
    pub(crate) fn files(&self, pieces: &[Piece], span: Span) -> Vec<Part> {
        let (mut begin, end) = (0, span.first + span.length);
        let mut files = Vec::new();
        for piece in pieces {
            let (from, to) = (span.first.max(begin), end.min(begin + piece.bytes));
            if from < to {
                let path = self.content().path(&piece.digest);
                files.push(Part { path, first: from - begin, left: to - from, file: None });
            }
            begin += piece.bytes;
        }
        files
    }

    /// `CopyObject`: the content is shared, not copied. With `meta` it says other things of itself.
    ///
    /// # Errors
    /// There is no such bucket or object, or a condition on the source does not hold.
    pub async fn copy_object(
        &self,
        from: (&str, &str),
        to: (&str, &str),
        meta: Option<Meta>,
        conditions: Conditions,
    ) -> Result<Object, ObjectsError> {
        name::check_key(to.1)?;
        let from = (from.0.to_owned(), from.1.to_owned());
        let to = (to.0.to_owned(), to.1.to_owned());
        self.write(move |tables, desk| {
            tables.bucket(&from.0)?;
            tables.bucket(&to.0)?;
            let mut record = tables.object(&from.0, &from.1)?.ok_or_else(ObjectsError::no_key)?;
            check_conditions(tables, &from.0, &from.1, &conditions)?;
            record.modified = desk.now;
            match meta {
                Some(meta) => record.meta = meta,
                None if from == to => {
                    return Err(ObjectsError::refused(
                        Code::InvalidRequest,
                        "This copy request is illegal because it is trying to copy an object to \
                         itself without changing the object's metadata, storage class, website \
                         redirect location or encryption attributes.",
                    ));
                }
                None => {}
            }
            tables.put_object(&to.0, &to.1, &record)?;
            Ok(record.object(&to.1))
        })
        .await
    }

    /// `DeleteObject` and `DeleteObjects`. What is not there is deleted too.
    ///
    /// # Errors
    /// There is no such bucket.
    pub async fn delete_objects(
        &self,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<(), ObjectsError> {
        let bucket = bucket.to_owned();
        self.write(move |tables, _| {
            tables.bucket(&bucket)?;
            for key in &keys {
                tables.remove_object(&bucket, key)?;
            }
            Ok(())
        })
        .await
    }
}

pub(crate) fn check_conditions(
    tables: &Tables<'_>,
    bucket: &str,
    key: &str,
    conditions: &Conditions,
) -> Result<(), ObjectsError> {
    if *conditions == Conditions::default() {
        return Ok(());
    }
    let there = tables.object(bucket, key)?.map(|record| record.etag);
    let etag = there.as_deref();
    if etag.is_none() && conditions.matches.is_some() {
        return Err(ObjectsError::no_key());
    }
    if conditions.match_holds(etag) && conditions.differ_holds(etag) {
        return Ok(());
    }
    Err(ObjectsError::refused(
        Code::PreconditionFailed,
        "At least one of the pre-conditions you specified did not hold",
    ))
}
