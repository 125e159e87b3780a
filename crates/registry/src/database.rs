//! The registry's records on the disk: every [`Change`] is one record of one redb table.
//!
//! A key is the kind of record and its names, joined by zero bytes; a value is MessagePack with
//! field names, so that fields can be added.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::state::{Change, State};

const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");

/// The file of records.
#[derive(Debug)]
pub(crate) struct Records(Database);

impl Records {
    /// Opens the file, making it if absent, and reads all of it.
    pub(crate) fn open(path: &Path) -> Result<(Self, State), RegistryError> {
        let opened = RegistryError::records::<redb::Error>("opened");
        // All of it is in memory anyway: the file needs no great cache of its own.
        let database = Database::builder()
            .set_cache_size(4 << 20)
            .create(path)
            .map_err(|error| opened(error.into()))?;
        let records = Self(database);
        records.write(&[])?;
        let state = records.load()?;
        Ok((records, state))
    }

    fn load(&self) -> Result<State, RegistryError> {
        let failed = RegistryError::records::<Box<dyn std::error::Error + Send + Sync>>("read");
        let mut state = State::default();
        let read = || -> Result<Vec<Change>, Box<dyn std::error::Error + Send + Sync>> {
            let table = self.0.begin_read()?.open_table(RECORDS)?;
            // Ordered by key, and so by kind: repositories ("a") come before what is in them.
            table
                .iter()?
                .map(|row| row.map_err(Into::into).and_then(|(k, v)| decode(k.value(), v.value())))
                .collect()
        };
        for change in read().map_err(failed)? {
            state.apply(change);
        }
        Ok(state)
    }

    /// Writes changes, all or none. Durable when it returns.
    pub(crate) fn write(&self, changes: &[Change]) -> Result<(), RegistryError> {
        let failed = RegistryError::records::<redb::Error>("written");
        self.try_write(changes).map_err(failed)
    }

    fn try_write(&self, changes: &[Change]) -> Result<(), redb::Error> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for change in changes {
                if let Change::Repository(name, None) = change {
                    for kind in ["b", "c", "d"] {
                        // A name has no zero byte, so nothing but its own records lies in between.
                        let (from, to) =
                            (format!("{kind}\0{name}\0"), format!("{kind}\0{name}\u{1}"));
                        table.retain_in(from.as_str()..to.as_str(), |_, _| false)?;
                    }
                }
                match encode(change) {
                    (key, Some(value)) => drop(table.insert(key.as_str(), value.as_slice())?),
                    (key, None) => drop(table.remove(key.as_str())?),
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

fn encode(change: &Change) -> (String, Option<Vec<u8>>) {
    match change {
        Change::Repository(name, record) => (format!("a\0{name}"), record.as_ref().map(pack)),
        Change::Image(name, digest, record) => {
            (format!("b\0{name}\0{digest}"), record.as_ref().map(pack))
        }
        Change::Tag(name, tag, target) => (format!("c\0{name}\0{tag}"), target.as_ref().map(pack)),
        Change::Blob(name, digest, record) => {
            (format!("d\0{name}\0{digest}"), record.as_ref().map(pack))
        }
    }
}

fn pack(record: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(record).expect("records hold only texts, numbers, lists and maps")
}

fn decode(key: &str, value: &[u8]) -> Result<Change, Box<dyn std::error::Error + Send + Sync>> {
    fn unpack<T: DeserializeOwned>(value: &[u8]) -> Result<Option<T>, rmp_serde::decode::Error> {
        rmp_serde::from_slice(value).map(Some)
    }
    let unknown = || format!("the record {key:?} is of no kind that this version knows");
    let digest = |text: &str| Digest::parse(text).ok_or_else(unknown);
    let parts: Vec<&str> = key.split('\0').collect();
    Ok(match parts.as_slice() {
        ["a", name] => Change::Repository((*name).to_owned(), unpack(value)?),
        ["b", name, image] => Change::Image((*name).to_owned(), digest(image)?, unpack(value)?),
        ["c", name, tag] => Change::Tag((*name).to_owned(), (*tag).to_owned(), unpack(value)?),
        ["d", name, blob] => Change::Blob((*name).to_owned(), digest(blob)?, unpack(value)?),
        _ => return Err(unknown().into()),
    })
}

#[cfg(test)]
mod tests {
    use stdx::Timestamp;

    use super::*;
    use crate::state::{BlobRecord, RepositoryRecord, TagMutability};

    #[test]
    fn what_was_written_is_read_again_and_a_repository_goes_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.redb");
        let digest = Digest::of(b"x");
        let record = RepositoryRecord {
            created_at: Timestamp::from_millis(5),
            mutability: TagMutability { immutable: true, except: vec!["dev*".to_owned()] },
            resource_tags: [("team".to_owned(), "web".to_owned())].into(),
        };
        let blob = BlobRecord { bytes: 7, used_at: Timestamp::EPOCH };
        let (records, _) = Records::open(&path).unwrap();
        let mut changes = Vec::new();
        // "app" and "app/x" must not be mistaken for one another.
        for name in ["app", "app/x", "app0"] {
            changes.push(Change::Repository(name.to_owned(), Some(record.clone())));
            changes.push(Change::Blob(name.to_owned(), digest.clone(), Some(blob)));
            changes.push(Change::Tag(name.to_owned(), "v1".to_owned(), Some(digest.clone())));
        }
        records.write(&changes).unwrap();
        records.write(&[Change::Repository("app".to_owned(), None)]).unwrap();
        drop(records);

        let (records, state) = Records::open(&path).unwrap();
        assert_eq!(state.repositories.keys().collect::<Vec<_>>(), ["app/x", "app0"]);
        assert_eq!(state.repositories["app/x"].record, record);
        assert_eq!(state.repositories["app0"].blobs[&digest], blob);
        records.write(&[Change::Repository("app".to_owned(), Some(record))]).unwrap();
        drop(records);
        let (_, state) = Records::open(&path).unwrap();
        let made_again = &state.repositories["app"];
        assert!(made_again.blobs.is_empty() && made_again.tags.is_empty());
    }
}
