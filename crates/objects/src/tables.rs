//! What is in the file of records: tables, keys and records.

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ObjectsError;
use crate::types::{BucketRecord, ObjectRecord, PartRecord, Piece, UploadRecord};

/// Name → record.
const BUCKETS: TableDefinition<&str, &[u8]> = TableDefinition::new("buckets");
/// Bucket, key → record. Ordered by the bytes of keys, as S3 lists them.
const OBJECTS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("objects");
/// Upload → record.
const UPLOADS: TableDefinition<&str, &[u8]> = TableDefinition::new("uploads");
/// Upload, number → record.
const PARTS: TableDefinition<(&str, u32), &[u8]> = TableDefinition::new("parts");
/// Digest → how many objects and parts name it.
const USES: TableDefinition<&str, u64> = TableDefinition::new("uses");

/// Every table, open for writing.
pub(crate) struct Tables<'t> {
    pub(crate) buckets: Table<'t, &'static str, &'static [u8]>,
    pub(crate) objects: Table<'t, (&'static str, &'static str), &'static [u8]>,
    pub(crate) uploads: Table<'t, &'static str, &'static [u8]>,
    pub(crate) parts: Table<'t, (&'static str, u32), &'static [u8]>,
    pub(crate) uses: Table<'t, &'static str, u64>,
    /// Content that was let go of; not all of it may be without a use in the end.
    pub(crate) dropped: Vec<String>,
}

impl<'t> Tables<'t> {
    /// Opens them all, and makes those that are not there yet.
    pub(crate) fn open(transaction: &'t WriteTransaction) -> Result<Self, ObjectsError> {
        Ok(Self {
            buckets: transaction.open_table(BUCKETS)?,
            objects: transaction.open_table(OBJECTS)?,
            uploads: transaction.open_table(UPLOADS)?,
            parts: transaction.open_table(PARTS)?,
            uses: transaction.open_table(USES)?,
            dropped: Vec::new(),
        })
    }

    pub(crate) fn bucket(&self, name: &str) -> Result<BucketRecord, ObjectsError> {
        let found = self.buckets.get(name)?.ok_or_else(ObjectsError::no_bucket)?;
        decode(name, found.value())
    }

    pub(crate) fn object(
        &self,
        bucket: &str,
        key: &str,
    ) -> Result<Option<ObjectRecord>, ObjectsError> {
        self.objects.get((bucket, key))?.map(|found| decode(key, found.value())).transpose()
    }

    /// Puts an object in the place of what is there, and counts the uses of both.
    pub(crate) fn put_object(
        &mut self,
        bucket: &str,
        key: &str,
        record: &ObjectRecord,
    ) -> Result<(), ObjectsError> {
        for piece in &record.pieces {
            self.hold(piece)?;
        }
        self.remove_object(bucket, key)?;
        self.objects.insert((bucket, key), encode(key, record)?.as_slice())?;
        Ok(())
    }

    /// Whether there was one.
    pub(crate) fn remove_object(&mut self, bucket: &str, key: &str) -> Result<bool, ObjectsError> {
        let Some(old) = self.object(bucket, key)? else { return Ok(false) };
        self.objects.remove((bucket, key))?;
        for piece in &old.pieces {
            self.let_go(piece)?;
        }
        Ok(true)
    }

    /// One use more.
    pub(crate) fn hold(&mut self, piece: &Piece) -> Result<(), ObjectsError> {
        let digest = piece.digest.as_str();
        let uses = self.uses.get(digest)?.map_or(0, |uses| uses.value());
        self.uses.insert(digest, uses + 1)?;
        Ok(())
    }

    /// One use less.
    pub(crate) fn let_go(&mut self, piece: &Piece) -> Result<(), ObjectsError> {
        let digest = piece.digest.as_str();
        let uses = self.uses.get(digest)?.map_or(0, |uses| uses.value());
        if uses > 1 {
            self.uses.insert(digest, uses - 1)?;
        } else {
            self.uses.remove(digest)?;
            self.dropped.push(piece.digest.clone());
        }
        Ok(())
    }

    /// What was let go of and has no use now.
    pub(crate) fn unused(&self) -> Result<Vec<String>, ObjectsError> {
        let mut unused = Vec::new();
        for digest in &self.dropped {
            if self.uses.get(digest.as_str())?.is_none() {
                unused.push(digest.clone());
            }
        }
        Ok(unused)
    }

    pub(crate) fn upload(&self, id: &str) -> Result<Option<UploadRecord>, ObjectsError> {
        self.uploads.get(id)?.map(|found| decode(id, found.value())).transpose()
    }

    /// An upload's parts, in the order of their numbers.
    pub(crate) fn parts(&self, id: &str) -> Result<Vec<(u32, PartRecord)>, ObjectsError> {
        parts(&self.parts, id)
    }

    /// Takes an upload away with its parts.
    pub(crate) fn remove_upload(&mut self, id: &str) -> Result<(), ObjectsError> {
        for (number, part) in self.parts(id)? {
            self.parts.remove((id, number))?;
            self.let_go(&part.piece)?;
        }
        self.uploads.remove(id)?;
        Ok(())
    }
}

/// Every table, in one snapshot.
pub(crate) struct Snapshot {
    pub(crate) buckets: ReadOnlyTable<&'static str, &'static [u8]>,
    pub(crate) objects: ReadOnlyTable<(&'static str, &'static str), &'static [u8]>,
    pub(crate) uploads: ReadOnlyTable<&'static str, &'static [u8]>,
    pub(crate) parts: ReadOnlyTable<(&'static str, u32), &'static [u8]>,
    /// Keeps the snapshot's pages.
    _transaction: ReadTransaction,
}

impl Snapshot {
    pub(crate) fn open(transaction: ReadTransaction) -> Result<Self, ObjectsError> {
        Ok(Self {
            buckets: transaction.open_table(BUCKETS)?,
            objects: transaction.open_table(OBJECTS)?,
            uploads: transaction.open_table(UPLOADS)?,
            parts: transaction.open_table(PARTS)?,
            _transaction: transaction,
        })
    }

    pub(crate) fn check_bucket(&self, name: &str) -> Result<(), ObjectsError> {
        self.buckets.get(name)?.map(|_| ()).ok_or_else(ObjectsError::no_bucket)
    }

    /// The object, in a bucket that is there.
    pub(crate) fn object(&self, bucket: &str, key: &str) -> Result<ObjectRecord, ObjectsError> {
        self.check_bucket(bucket)?;
        let found = self.objects.get((bucket, key))?.ok_or_else(ObjectsError::no_key)?;
        decode(key, found.value())
    }

    pub(crate) fn upload(&self, id: &str) -> Result<Option<UploadRecord>, ObjectsError> {
        self.uploads.get(id)?.map(|found| decode(id, found.value())).transpose()
    }

    pub(crate) fn parts(&self, id: &str) -> Result<Vec<(u32, PartRecord)>, ObjectsError> {
        parts(&self.parts, id)
    }
}

fn parts(
    table: &impl ReadableTable<(&'static str, u32), &'static [u8]>,
    id: &str,
) -> Result<Vec<(u32, PartRecord)>, ObjectsError> {
    table
        .range((id, 0)..=(id, u32::MAX))?
        .map(|entry| {
            let (place, record) = entry?;
            Ok((place.value().1, decode(id, record.value())?))
        })
        .collect()
}

pub(crate) fn encode(name: &str, record: &impl Serialize) -> Result<Vec<u8>, ObjectsError> {
    rmp_serde::to_vec_named(record).map_err(|_| ObjectsError::Damaged(name.to_owned()))
}

pub(crate) fn decode<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ObjectsError> {
    rmp_serde::from_slice(bytes).map_err(|_| ObjectsError::Damaged(name.to_owned()))
}
