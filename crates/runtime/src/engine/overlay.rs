//! A container's root: the image's layers under a writable one, mounted where only the container's
//! own mount namespace sees it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags};
use serde::{Deserialize, Serialize};

use super::{Attempt, Fault, mounts, user_map};

/// Where a root comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overlay {
    /// The image's layers, uppermost first.
    pub(crate) lower: Vec<PathBuf>,
    /// What the container writes.
    pub(crate) upper: PathBuf,
    /// The kernel's scratch folder beside it.
    pub(crate) work: PathBuf,
    /// Where it is mounted.
    pub(crate) at: PathBuf,
}

impl Overlay {
    /// Mounts it in this process's mount namespace and opens its root.
    pub(crate) fn mount(&self) -> Result<OwnedFd, Fault> {
        let what = || format!("mount the image's {} layers", self.lower.len());
        if self.lower.is_empty() {
            return Err(Fault::refused(what(), "an image without layers has nothing to run"));
        }
        match self.detached(&self.lower).and_then(|mount| self.put(&mount)) {
            Ok(()) => {}
            // Before Linux 6.8 there is no "lowerdir+".
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.mount_by_string(&self.lower).attempt(what)?;
            }
            Err(source) => return Err(Fault { attempt: what(), source }),
        }
        rustix::fs::open(
            &self.at,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .attempt(|| format!("open {}", self.at.display()))
    }

    /// The root as a detached mount whose layers' owners are shown as a user namespace has them; the
    /// upper layer must belong to that namespace. Only in a mount namespace of this process's own:
    /// overlayfs takes no layers that are not mounted somewhere (before Linux 6.15).
    pub(crate) fn shown_as(&self, users: impl AsFd) -> Result<OwnedFd, Fault> {
        let what = || format!("mount the image's {} layers", self.lower.len());
        let at = rustix::fs::open(&self.at, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let at = at.attempt(|| format!("open {}", self.at.display()))?;
        let mut layers = Vec::new();
        for lower in &self.lower {
            let layer = user_map::copy_shown_as(lower, false, &users)?;
            mounts::put(&layer, &at)?;
            layers.push(layer);
        }
        let path = |layer: &OwnedFd| PathBuf::from(format!("/proc/self/fd/{}", layer.as_raw_fd()));
        let paths: Vec<PathBuf> = layers.iter().map(path).collect();
        match self.detached(&paths) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.mount_by_string(&paths).attempt(what)?;
                mounts::copy_of(&self.at, false)
            }
            other => other.attempt(what),
        }
    }

    fn put(&self, mount: &OwnedFd) -> io::Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        Ok(rustix::mount::move_mount(mount, "", CWD, &self.at, flags)?)
    }

    fn detached(&self, lower: &[PathBuf]) -> io::Result<OwnedFd> {
        let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        for lower in lower {
            rustix::mount::fsconfig_set_string(&fs, "lowerdir+", lower.as_path())?;
        }
        rustix::mount::fsconfig_set_string(&fs, "upperdir", self.upper.as_path())?;
        rustix::mount::fsconfig_set_string(&fs, "workdir", self.work.as_path())?;
        rustix::mount::fsconfig_create(&fs)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RELATIME;
        Ok(rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
    }

    fn mount_by_string(&self, lower: &[PathBuf]) -> io::Result<()> {
        let options = self.option_string(lower)?;
        // The kernel takes at most one page.
        if options.len() >= 4096 {
            return Err(io::Error::other(format!(
                "the paths of {} layers do not fit in a mount call of this kernel; Linux 6.8 or a \
                 shorter state folder would do",
                lower.len()
            )));
        }
        let options = std::ffi::CString::new(options)?;
        rustix::mount::mount(
            "overlay",
            &self.at,
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        )?;
        Ok(())
    }

    fn option_string(&self, lower: &[PathBuf]) -> io::Result<String> {
        let escaped = |path: &PathBuf| {
            let text = path.to_str().ok_or_else(|| io::Error::other("a path is not UTF-8"))?;
            Ok::<_, io::Error>(text.replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,"))
        };
        let lower = lower.iter().map(escaped).collect::<Result<Vec<_>, _>>()?.join(":");
        let (upper, work) = (escaped(&self.upper)?, escaped(&self.work)?);
        Ok(format!("lowerdir={lower},upperdir={upper},workdir={work}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_string_escapes_what_would_separate() {
        let overlay = Overlay {
            lower: vec!["/a:b".into(), "/c,d".into()],
            upper: "/u".into(),
            work: "/w".into(),
            at: "/m".into(),
        };
        assert_eq!(
            overlay.option_string(&overlay.lower).unwrap(),
            "lowerdir=/a\\:b:/c\\,d,upperdir=/u,workdir=/w"
        );
    }
}
