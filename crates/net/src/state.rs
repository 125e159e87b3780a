//! What is remembered on disk, so that the next process knows what this one left: one file per
//! attachment, and one each for the subnet and the kernel settings that were changed.
//!
//! Files are replaced by rename, so a reader sees the old or the new. They are not synced: after a
//! power failure the namespaces they speak of are gone too.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::NetError;
use crate::types::{Attachment, PortBinding};

const ATTACHMENTS: &str = "attachments";
const NETWORK: &str = "network.json";
const LONGEST_ID: usize = 120;

/// One attachment or reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) place: Place,
}

/// Where a task's ports are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// In a namespace on the bridge.
    Bridge(Attachment),
    /// In a namespace on the bridge, with an address that the bridge's subnet does not have.
    Own(Attachment),
    /// In the host's own namespace.
    Host(Vec<PortBinding>),
}

impl Place {
    pub(crate) fn bindings(&self) -> &[PortBinding] {
        match self {
            Self::Bridge(attachment) | Self::Own(attachment) => &attachment.bindings,
            Self::Host(bindings) => bindings,
        }
    }

    /// Its address of the bridge's subnet, if it has one.
    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Bridge(attachment) => Some(attachment.address),
            Self::Own(_) | Self::Host(_) => None,
        }
    }
}

/// What belongs to the network as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkRecord {
    /// The subnet in use, whether named or chosen.
    pub(crate) subnet: Option<String>,
    /// The network of tasks' own addresses, if any task ever had one.
    #[serde(default)]
    pub(crate) vpc: Option<String>,
    /// `net.ipv4.ip_forward` as it was, if this network changed it.
    pub(crate) ip_forward_was: Option<String>,
}

/// The state folder.
#[derive(Clone, Debug)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    /// Opens the folder, making it where it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, NetError> {
        let attachments = path.join(ATTACHMENTS);
        fs::create_dir_all(&attachments)
            .map_err(|error| NetError::file("create the folder", attachments, error))?;
        Ok(Self(path.to_owned()))
    }

    /// The folder as it stands, for reading and removal.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn network(&self) -> Result<NetworkRecord, NetError> {
        Ok(read(&self.0.join(NETWORK))?.unwrap_or_default())
    }

    pub(crate) fn put_network(&self, record: &NetworkRecord) -> Result<(), NetError> {
        write(&self.0.join(NETWORK), record)
    }

    /// Every readable record. What cannot be read, such as a file cut short by a full disk, is
    /// reported and left out: its ports and address are free again, and its namespace's interface
    /// is swept by `retain`.
    pub(crate) fn records(&self) -> Result<Vec<Record>, NetError> {
        let folder = self.0.join(ATTACHMENTS);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(NetError::file("list the folder", folder, error)),
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry
                .map_err(|error| NetError::file("list the folder", folder.clone(), error))?
                .path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read::<Record>(&path) {
                Ok(Some(record)) if path == self.path(&record.id) => records.push(record),
                Ok(_) => tracing::warn!(path = %path.display(), "a misplaced record is ignored"),
                Err(error) => {
                    tracing::warn!(error = stdx::chain(&error), "an attachment is forgotten");
                }
            }
        }
        records.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(records)
    }

    pub(crate) fn put(&self, record: &Record) -> Result<(), NetError> {
        write(&self.path(&record.id), record)
    }

    pub(crate) fn remove(&self, id: &str) -> Result<(), NetError> {
        remove_file(&self.path(id))
    }

    /// Removes everything this crate wrote, and the folder if nothing else is in it.
    pub(crate) fn clear(&self) -> Result<(), NetError> {
        let folder = self.0.join(ATTACHMENTS);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(NetError::file("remove the folder", folder, error));
            }
            _ => {}
        }
        remove_file(&self.0.join(NETWORK))?;
        match fs::remove_dir(&self.0) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Err(NetError::file("remove the folder", self.0.clone(), error))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.0.join(ATTACHMENTS).join(format!("{}.json", file_name(id)))
    }
}

/// Refuses ids that could not be a file's name.
pub(crate) fn check_id(id: &str) -> Result<(), NetError> {
    if id.is_empty() || id.len() > LONGEST_ID || file_name(id).len() > 240 {
        return Err(NetError::Id(id.to_owned()));
    }
    Ok(())
}

/// A file name for any id: what is not a letter, digit, `-` or `_` is written as its bytes.
fn file_name(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    name
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, NetError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(NetError::file("read", path, error)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| NetError::file("understand", path, error))
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), NetError> {
    let bytes = serde_json::to_vec(value).map_err(|error| NetError::file("write", path, error))?;
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes)
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(|error| NetError::file("write", path, error))
}

fn remove_file(path: &Path) -> Result<(), NetError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NetError::file("remove", path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(id: &str) -> Record {
        Record { id: id.to_owned(), place: Place::Host(Vec::new()) }
    }

    #[test]
    fn records_come_back_and_damaged_ones_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        for id in ["b/c:d", "a", "../../etc/passwd"] {
            state.put(&record(id)).unwrap();
        }
        let torn = folder.path().join(ATTACHMENTS).join("torn.json");
        fs::write(torn, "{\"id\":\"torn\",\"pla").unwrap();
        fs::write(
            folder.path().join(ATTACHMENTS).join("other.json"),
            r#"{"id":"a","place":{"host":[]}}"#,
        )
        .unwrap();
        let ids: Vec<_> = state.records().unwrap().into_iter().map(|record| record.id).collect();
        assert_eq!(ids, ["../../etc/passwd", "a", "b/c:d"]);
        state.remove("a").unwrap();
        state.remove("a").unwrap();
        assert_eq!(state.records().unwrap().len(), 2);
        state.clear().unwrap();
        state.clear().unwrap();
        assert!(!folder.path().exists());
        assert_eq!(state.records().unwrap(), []);
        assert_eq!(state.network().unwrap(), NetworkRecord::default());
    }

    proptest! {
        #[test]
        fn ids_map_to_distinct_plain_names(a in "\\PC{1,40}", b in "\\PC{1,40}") {
            prop_assert_eq!(a == b, file_name(&a) == file_name(&b));
            prop_assert!(!file_name(&a).contains(['/', '.']));
        }
    }
}
