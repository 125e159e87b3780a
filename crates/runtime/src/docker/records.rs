//! What is kept of sandboxes on this node: their specifications and their containers' logs.
//!
//! A folder per sandbox, `s/SANDBOX/sandbox.json` and `s/SANDBOX/log/CONTAINER/`. A lost record is
//! made good by the labels of the sandbox's containers.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::embedded::{check_name, system};
use crate::{ContainerId, RuntimeError, SandboxId, SandboxSpec};

/// The folder of records.
#[derive(Debug)]
pub(crate) struct Records {
    folder: PathBuf,
}

impl Records {
    /// Makes the folder if it is absent.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, RuntimeError> {
        let folder = state_dir.join("s");
        std::fs::create_dir_all(&folder).map_err(system(format!("make {}", folder.display())))?;
        Ok(Self { folder })
    }

    /// Where a container's log is.
    pub(crate) fn log(&self, sandbox: &SandboxId, container: &ContainerId) -> PathBuf {
        self.folder.join(sandbox.as_str()).join("log").join(container.as_str())
    }

    /// A sandbox as it was made, if it was.
    pub(crate) fn read(&self, id: &SandboxId) -> Result<Option<SandboxSpec>, RuntimeError> {
        check_name(id.as_str())?;
        let path = self.folder.join(id.as_str()).join("sandbox.json");
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| system(format!("read {}", path.display()))(error.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(system(format!("read {}", path.display()))(error)),
        }
    }

    /// Writes a sandbox down; whole or not at all.
    pub(crate) fn write(&self, spec: &SandboxSpec) -> Result<(), RuntimeError> {
        let folder = self.folder.join(spec.id.as_str());
        let put = || -> io::Result<()> {
            std::fs::create_dir_all(&folder)?;
            let fresh = folder.join("sandbox.json.new");
            std::fs::write(&fresh, serde_json::to_vec(spec)?)?;
            std::fs::rename(fresh, folder.join("sandbox.json"))
        };
        put().map_err(system(format!("write the record of {}", spec.id)))
    }

    /// Every sandbox written down.
    pub(crate) fn all(&self) -> Result<Vec<SandboxSpec>, RuntimeError> {
        let failed = |error| system(format!("read {}", self.folder.display()))(error);
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str() else { continue };
            all.extend(self.read(&SandboxId::new(name))?);
        }
        Ok(all)
    }

    /// Removes a sandbox's folder.
    pub(crate) fn remove(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        check_name(id.as_str())?;
        remove_tree(&self.folder.join(id.as_str()))
    }

    /// Removes all of them.
    pub(crate) fn clear(&self) -> Result<(), RuntimeError> {
        remove_tree(&self.folder)?;
        std::fs::create_dir_all(&self.folder)
            .map_err(system(format!("make {}", self.folder.display())))
    }
}

fn remove_tree(path: &Path) -> Result<(), RuntimeError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(system(format!("remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_is_written_is_read_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        assert!(records.read(&"sand".into()).unwrap().is_none());
        records.write(&testing::sandbox("sand")).unwrap();
        records.write(&testing::sandbox("sand")).unwrap();
        assert_eq!(records.all().unwrap().len(), 1);
        records.remove(&"sand".into()).unwrap();
        records.remove(&"sand".into()).unwrap();
        assert!(records.all().unwrap().is_empty());
        assert!(records.remove(&"..".into()).is_err(), "no name leads out of the folder");
    }
}
