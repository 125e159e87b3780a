//! Where the engine keeps what: the run folder (gone after a reboot) and the state folder.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::user_map::UserRange;
use crate::shim::proto::Record;
use crate::{ContainerId, SandboxId, SandboxSpec};

/// The folders.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    run: PathBuf,
    state: PathBuf,
}

/// What is written down of a sandbox: `sandbox.json` in its run folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    pub(crate) spec: SandboxSpec,
    /// Its cgroup, which has a name of its own.
    pub(crate) group: String,
    /// Its state folder.
    pub(crate) state: PathBuf,
    /// The ids of its user namespace, if it has one of its own.
    #[serde(default)]
    pub(crate) users: Option<UserRange>,
}

impl Places {
    /// Makes the folders.
    pub(crate) fn make(run: &Path, state: &Path) -> io::Result<Self> {
        let places = Self { run: run.into(), state: state.into() };
        fs::create_dir_all(run.join("s"))?;
        fs::create_dir_all(state.join("s"))?;
        Ok(places)
    }

    /// Only one engine may use them at a time.
    pub(crate) fn lock(&self) -> io::Result<fs::File> {
        let file = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.run.join("lock"))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    /// A sandbox's run folder.
    pub(crate) fn run(&self, sandbox: &SandboxId) -> PathBuf {
        self.run.join("s").join(sandbox.as_str())
    }

    /// A sandbox's state folder.
    pub(crate) fn state(&self, sandbox: &SandboxId) -> PathBuf {
        self.state.join("s").join(sandbox.as_str())
    }

    /// A container's run folder.
    pub(crate) fn container_run(&self, sandbox: &SandboxId, container: &ContainerId) -> PathBuf {
        self.run(sandbox).join("c").join(container.as_str())
    }

    /// A container's state folder.
    pub(crate) fn container_state(&self, sandbox: &SandboxId, container: &ContainerId) -> PathBuf {
        self.state(sandbox).join("c").join(container.as_str())
    }

    /// A container's log folder.
    pub(crate) fn log(&self, sandbox: &SandboxId, container: &ContainerId) -> PathBuf {
        self.state(sandbox).join("logs").join(container.as_str())
    }

    /// The folder of all volumes.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// The folder of notes on what this engine has mounted on the node.
    pub(crate) fn mount_notes(&self) -> PathBuf {
        self.run.join("mounts")
    }

    /// Every sandbox that has a run folder.
    pub(crate) fn sandboxes(&self) -> io::Result<Vec<SandboxId>> {
        Ok(names(&self.run.join("s"))?.into_iter().map(SandboxId::from).collect())
    }

    /// What is written down of a sandbox; none if there is nothing (or half of it).
    pub(crate) fn record(&self, sandbox: &SandboxId) -> io::Result<Option<SandboxRecord>> {
        read_json(&self.run(sandbox).join("sandbox.json"))
    }

    /// Writes a sandbox down, in a folder of its own.
    pub(crate) fn write_record(&self, record: &SandboxRecord) -> io::Result<()> {
        let folder = self.run(&record.spec.id);
        fs::create_dir_all(folder.join("c"))?;
        write_json(&folder.join("sandbox.json"), record)
    }

    /// What is written down of a sandbox's containers.
    pub(crate) fn container_records(&self, sandbox: &SandboxId) -> io::Result<Vec<Record>> {
        let folder = self.run(sandbox).join("c");
        let mut records = Vec::new();
        for name in names(&folder)? {
            records.extend(read_json(&folder.join(name).join("record.json"))?);
        }
        Ok(records)
    }

    /// Writes a container down, for a shim that can no longer.
    pub(crate) fn write_container_record(
        &self,
        sandbox: &SandboxId,
        record: &Record,
    ) -> io::Result<()> {
        write_json(&self.container_run(sandbox, &record.status.id).join("record.json"), record)
    }

    /// The sandbox that a container belongs to.
    pub(crate) fn sandbox_of(&self, container: &ContainerId) -> io::Result<Option<SandboxId>> {
        let mut all = self.sandboxes()?.into_iter();
        Ok(all.find(|sandbox| self.container_run(sandbox, container).is_dir()))
    }
}

/// The names in a folder, in order; an absent folder is empty.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// Reads a file; absent or half written is none.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file, whole or not at all.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, serde_json::to_vec(value)?)?;
    fs::rename(draft, path)
}

/// Removes a folder and all below; absent already is success.
pub(crate) fn remove_tree(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
