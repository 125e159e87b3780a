//! Where the parts of one data folder are, on disk and in the kernel. Several data folders on one
//! machine do not meet: each has names of its own.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// The places of one data folder.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The data folder, absolute.
    pub(crate) data: PathBuf,
    /// Six letters that follow from its path.
    tag: String,
}

impl Places {
    /// The places of a data folder; makes the folder if it is absent, for its owner only.
    pub(crate) fn of(data_dir: &Path) -> Result<Self> {
        let attempt = || format!("make the data folder {}", data_dir.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).with_context(attempt)?;
        let data = data_dir.canonicalize().with_context(attempt)?;
        let digest = Sha256::digest(data.as_os_str().as_encoded_bytes());
        Ok(Self { data, tag: hex::encode(digest)[..6].to_owned() })
    }

    /// A folder in the data folder, made if it is absent.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.data.join(name);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// What does not outlive the machine's uptime: sockets and the records of running containers.
    /// Not in the data folder, because a socket's path must be short.
    pub(crate) fn run(&self) -> PathBuf {
        volatile().join(&self.tag)
    }

    /// Makes the parent of the above, which nobody else may write to.
    pub(crate) fn make_run(&self) -> Result<()> {
        let parent = volatile();
        let attempt = || format!("make {}", parent.display());
        match fs::DirBuilder::new().mode(0o700).create(&parent) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.with_context(attempt)?,
        }
        let found = fs::symlink_metadata(&parent).with_context(attempt)?;
        let ours = found.uid() == rustix::process::geteuid().as_raw();
        if !found.is_dir() || !ours || found.mode() & 0o022 != 0 {
            bail!(
                "{} is not a folder that only this user may write to; remove it, then try again",
                parent.display()
            );
        }
        Ok(())
    }

    /// Removes it, and its parent if nobody else is in there.
    pub(crate) fn remove_run(&self) -> Result<()> {
        let run = self.run();
        match fs::remove_dir_all(&run) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", run.display()));
            }
            _ => {}
        }
        match fs::remove_dir(volatile()) {
            // Another data folder's, or gone already.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The six letters by which the things of this data folder are known elsewhere.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// The parent of all cgroups, from the root of each hierarchy.
    pub(crate) fn cgroup(&self) -> String {
        format!("/wharf-{}", self.tag)
    }

    /// The bridge's name.
    pub(crate) fn bridge(&self) -> String {
        format!("wharf-{}", self.tag)
    }

    /// The name of the packet filter's table.
    pub(crate) fn table(&self) -> String {
        format!("wharf_{}", self.tag)
    }

    /// Takes the data folder for this process until the value is dropped.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.data.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {
                // Who holds it, for `wharf down`.
                let holder = format!("{}\n", std::process::id());
                file.set_len(0)
                    .and_then(|()| (&file).write_all(holder.as_bytes()))
                    .with_context(|| format!("write {}", path.display()))?;
                Ok(file)
            }
            Err(fs::TryLockError::WouldBlock) => bail!(
                "{} is in use by another wharf.\nStop it with `wharf down --data-dir {}`, or give this one another --data-dir.",
                self.data.display(),
                self.data.display()
            ),
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("lock {}", path.display()))
            }
        }
    }
}

/// Where files go that a reboot may lose: in memory if this machine has such a place. What is written
/// there at each start of a container costs no disk.
fn volatile() -> PathBuf {
    const TMPFS: i64 = 0x0102_1994;
    let in_memory =
        |path: &&&str| rustix::fs::statfs(**path).is_ok_and(|found| found.f_type == TMPFS);
    let parent = ["/run", "/dev/shm"].iter().find(in_memory).unwrap_or(&"/run");
    Path::new(parent).join("wharf")
}
