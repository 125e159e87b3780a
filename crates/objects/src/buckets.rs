//! Buckets: make, delete, look, list.

use redb::{ReadableTable, ReadableTableMetadata};

use crate::tables::{decode, encode};
use crate::types::BucketRecord;
use crate::{Bucket, Code, Objects, ObjectsError, name};

/// How many buckets there may be.
const MOST_BUCKETS: u64 = 10_000;

impl Objects {
    /// `CreateBucket`.
    ///
    /// # Errors
    /// The name is not valid or taken, or there are too many.
    pub async fn create_bucket(&self, bucket: &str) -> Result<(), ObjectsError> {
        name::check_bucket(bucket)?;
        let bucket = bucket.to_owned();
        self.write(move |tables, desk| {
            if tables.buckets.get(bucket.as_str())?.is_some() {
                return Err(ObjectsError::refused(
                    Code::BucketAlreadyOwnedByYou,
                    "Your previous request to create the named bucket succeeded and you already own \
                     it.",
                ));
            }
            if tables.buckets.len()? >= MOST_BUCKETS {
                return Err(ObjectsError::refused(
                    Code::TooManyBuckets,
                    format!("You have attempted to create more buckets than {MOST_BUCKETS}."),
                ));
            }
            let record = BucketRecord { created: desk.now };
            tables.buckets.insert(bucket.as_str(), encode(&bucket, &record)?.as_slice())?;
            Ok(())
        })
        .await
    }

    /// `DeleteBucket`. Uploads of parts that were begun in it go with it.
    ///
    /// # Errors
    /// There is no such bucket, or there are objects in it.
    pub async fn delete_bucket(&self, bucket: &str) -> Result<(), ObjectsError> {
        let bucket = bucket.to_owned();
        self.write(move |tables, _| {
            tables.bucket(&bucket)?;
            let first = tables.objects.range((bucket.as_str(), "")..)?.next().transpose()?;
            if first.is_some_and(|(place, _)| place.value().0 == bucket) {
                return Err(ObjectsError::refused(
                    Code::BucketNotEmpty,
                    "The bucket you tried to delete is not empty",
                ));
            }
            let mut uploads = Vec::new();
            for entry in tables.uploads.iter()? {
                let (id, record) = entry?;
                let record: crate::types::UploadRecord = decode(id.value(), record.value())?;
                if record.bucket == bucket {
                    uploads.push(id.value().to_owned());
                }
            }
            for id in uploads {
                tables.remove_upload(&id)?;
            }
            tables.buckets.remove(bucket.as_str())?;
            Ok(())
        })
        .await
    }

    /// The bucket of that name.
    ///
    /// # Errors
    /// There is none.
    pub async fn bucket(&self, bucket: &str) -> Result<Bucket, ObjectsError> {
        let name = bucket.to_owned();
        self.read(move |snapshot| {
            let found = snapshot.buckets.get(name.as_str())?.ok_or_else(ObjectsError::no_bucket)?;
            let record: BucketRecord = decode(&name, found.value())?;
            Ok(Bucket { name, created: record.created })
        })
        .await
    }

    /// `ListBuckets`: those that begin so and come after that name, and whether there are more.
    ///
    /// # Errors
    /// The store fails.
    pub async fn buckets(
        &self,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<(Vec<Bucket>, bool), ObjectsError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.read(move |snapshot| {
            let mut found = Vec::new();
            for entry in snapshot.buckets.iter()? {
                let (name, record) = entry?;
                let name = name.value();
                if !name.starts_with(&prefix) || after.as_deref().is_some_and(|a| name <= a) {
                    continue;
                }
                if found.len() == most {
                    return Ok((found, true));
                }
                let record: BucketRecord = decode(name, record.value())?;
                found.push(Bucket { name: name.to_owned(), created: record.created });
            }
            Ok((found, false))
        })
        .await
    }
}
