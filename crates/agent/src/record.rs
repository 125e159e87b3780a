//! What outlives the agent: small files, replaced as a whole.
//!
//! One thread writes, in order, so that nobody who starts a container waits for a disk. A file is
//! written beside and renamed: a reader sees the old or the new. It is not forced to the disk: it
//! survives the death of the process, and with the machine its containers die as well, whose tasks
//! the server then orders again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

/// A file to be written, or with nothing in it to be removed.
enum Job {
    Write(PathBuf, Option<Vec<u8>>),
    Tell(oneshot::Sender<()>),
}

/// Writes files in a thread of its own. Dropping every copy ends it after its last file.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    folder: PathBuf,
    jobs: mpsc::Sender<Job>,
}

impl Recorder {
    /// Makes the folder and starts the thread.
    ///
    /// # Errors
    /// The folder cannot be made, or no thread.
    pub(crate) fn start(folder: &Path) -> io::Result<Self> {
        for name in ["tasks", "logs"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("agent-recorder".to_owned())
            .spawn(move || work(&queue))?;
        Ok(Self { folder: folder.to_owned(), jobs })
    }

    /// Writes a value to a file, some time soon and after whatever came before.
    pub(crate) fn write(&self, name: &str, value: &impl Serialize) {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.queue(Job::Write(self.folder.join(name), Some(bytes))),
            Err(error) => tracing::error!(name, %error, "A record has no JSON form."),
        }
    }

    /// Removes a file, after whatever came before.
    pub(crate) fn remove(&self, name: &str) {
        self.queue(Job::Write(self.folder.join(name), None));
    }

    /// Resolves once everything that came before is written.
    pub(crate) async fn flushed(&self) {
        let (tell, told) = oneshot::channel();
        self.queue(Job::Tell(tell));
        // The thread lives as long as we do; if it died, there is nothing to wait for.
        if told.await.is_err() {
            tracing::error!("The agent's recorder has died; records are no longer kept.");
        }
    }

    /// Reads a value back; none if there is no such file, or it cannot be read, which is told.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.folder.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "A record cannot be read.");
                return None;
            }
        };
        serde_json::from_slice(&bytes)
            .inspect_err(|error| {
                tracing::error!(path = %path.display(), %error, "A record is damaged; it is left out.");
            })
            .ok()
    }

    /// The ids of the tasks that are recorded.
    pub(crate) fn tasks(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.join("tasks")) else { return Vec::new() };
        let mut ids: Vec<String> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                Some(name.to_str()?.strip_suffix(ORDER)?.to_owned())
            })
            .collect();
        ids.sort();
        ids
    }

    /// Removes what belongs to no task: what an agent that died left while it forgot one.
    pub(crate) fn sweep(&self, tasks: &BTreeSet<String>) {
        for (folder, end) in [("tasks", ".state.json"), ("tasks", ".new"), ("logs", ".json")] {
            let Ok(entries) = fs::read_dir(self.folder.join(folder)) else { continue };
            for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
                let Some(id) = name.strip_suffix(end) else { continue };
                let id = id.strip_suffix(".to").unwrap_or(id);
                // A container's name is its task's and a number.
                let task =
                    if folder == "logs" { id.rsplit_once('-').map_or(id, |(t, _)| t) } else { id };
                if !tasks.contains(task) {
                    self.remove(&format!("{folder}/{name}"));
                }
            }
        }
    }

    fn queue(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            tracing::error!("The agent's recorder has died; records are no longer kept.");
        }
    }
}

const ORDER: &str = ".order.json";

/// The file of what was ordered.
pub(crate) fn order_file(id: &str) -> String {
    format!("tasks/{id}{ORDER}")
}

/// The file of what became of it.
pub(crate) fn state_file(id: &str) -> String {
    format!("tasks/{id}.state.json")
}

/// The file of how far a container's log is shipped.
pub(crate) fn log_file(container: &str) -> String {
    format!("logs/{container}.json")
}

/// The file of where a container's log is shipped to.
pub(crate) fn log_target_file(container: &str) -> String {
    format!("logs/{container}.to.json")
}

/// Writes what waits; of several versions of a file only the last.
fn work(queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let mut files = BTreeMap::new();
        let mut tell = Vec::new();
        for job in std::iter::once(first).chain(queue.try_iter()) {
            match job {
                Job::Write(path, bytes) => {
                    files.insert(path, bytes);
                }
                Job::Tell(sender) => tell.push(sender),
            }
        }
        for (path, bytes) in files {
            if let Err(error) = put(&path, bytes.as_deref()) {
                tracing::error!(path = %path.display(), %error, "A record cannot be written.");
            }
        }
        for sender in tell {
            // Whoever asked may have gone away.
            sender.send(()).unwrap_or_default();
        }
    }
}

fn put(path: &Path, bytes: Option<&[u8]>) -> io::Result<()> {
    let Some(bytes) = bytes else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_version_is_kept_and_damage_is_no_version() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::start(dir.path()).unwrap();
        for version in 0..100 {
            recorder.write(&state_file("t"), &version);
        }
        recorder.write(&order_file("t"), &"order");
        recorder.flushed().await;
        assert_eq!(recorder.read::<i32>(&state_file("t")), Some(99));
        assert_eq!(recorder.tasks(), ["t"]);
        recorder.remove(&order_file("t"));
        recorder.remove("tasks/never-there.json");
        recorder.flushed().await;
        assert!(recorder.tasks().is_empty());
        fs::write(dir.path().join(log_file("t-0")), "1").unwrap();
        fs::write(dir.path().join(log_file("u-0")), "1").unwrap();
        recorder.sweep(&BTreeSet::from(["u".to_owned()]));
        recorder.flushed().await;
        assert_eq!(recorder.read::<i32>(&state_file("t")), None);
        assert_eq!(recorder.read::<i32>(&log_file("t-0")), None);
        assert_eq!(recorder.read::<i32>(&log_file("u-0")), Some(1));
        fs::write(dir.path().join(state_file("t")), "{").unwrap();
        assert_eq!(recorder.read::<i32>(&state_file("t")), None);
    }
}
