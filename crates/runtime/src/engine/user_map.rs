//! User namespaces: a range of the node's user and group ids that a sandbox has for its own, how it is
//! written into the kernel, and mounts that show a file's owner as that range has it.
//!
//! Inside, ids start at 0; on the node they start at [`UserRange::base`]. What the engine makes for a
//! sandbox (upper layer, `/dev`, pipes) belongs to the range; what is shared (layers, volumes) stays as
//! it is on the disk, and is *shown* in the range by an idmapped mount.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Uid};
use serde::{Deserialize, Serialize};

use super::{Attempt, Fault, mounts, sys};

/// How many ids every sandbox has: all that 16 bits can name, as images expect.
pub(crate) const RANGE: u32 = 65_536;

/// The ids of one sandbox's user namespace: users and groups alike, [`RANGE`] of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct UserRange {
    /// What the container's root is on the node.
    pub(crate) base: u32,
}

impl UserRange {
    /// Writes the range as the map of a process that is alone in a new user namespace.
    pub(crate) fn write_for(self, pid: i32) -> Result<(), Fault> {
        let line = format!("0 {} {RANGE}\n", self.base);
        for name in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{pid}/{name}"), &line)
                .attempt(|| format!("map the ids of a user namespace to {}", self.base))?;
        }
        Ok(())
    }

    /// Gives something open to the container's root.
    pub(crate) fn own(self, fd: impl AsFd) -> Result<(), Fault> {
        let (uid, gid) = (Uid::from_raw(self.base), Gid::from_raw(self.base));
        rustix::fs::fchown(fd, Some(uid), Some(gid))
            .attempt(|| "give a descriptor to the container's root".into())
    }

    /// Gives an entry of a folder to a user and group of the container.
    pub(crate) fn own_at(
        self,
        folder: impl AsFd,
        name: &Path,
        uid: u32,
        gid: u32,
    ) -> Result<(), Fault> {
        let what = || format!("give {} to the container", name.display());
        let beyond = || Fault::refused(what(), beyond(uid.max(gid)));
        let on_node = |id: u32| (id < RANGE).then(|| self.base.checked_add(id)).flatten();
        let uid = on_node(uid).ok_or_else(beyond)?;
        let gid = on_node(gid).ok_or_else(beyond)?;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
        rustix::fs::chownat(folder, name, Some(uid), Some(gid), flags).attempt(what)
    }
}

/// What is said of an id that no range has.
pub(crate) fn beyond(id: u32) -> String {
    format!(
        "the id {id} is not among the {RANGE} of a user namespace; use one below, or a node without \
         --userns"
    )
}

/// Becomes the root of the user namespace that this process has just joined. Its own id, the node's
/// root, does not exist there.
pub(crate) fn become_root() -> Result<(), Fault> {
    let what = || "become the root of the user namespace".to_owned();
    rustix::thread::set_thread_groups(&[]).attempt(what)?;
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    rustix::thread::set_thread_res_gid(gid, gid, gid).attempt(what)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).attempt(what)
}

/// Shows a detached mount's owners as a user namespace has them.
pub(crate) fn show_as(
    mount: impl AsFd,
    recursive: bool,
    users: impl AsFd,
    path: &Path,
) -> Result<(), Fault> {
    let what = || format!("show the owners of {} in the user namespace", path.display());
    match sys::idmap(&mount, recursive, users) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(Fault::refused(
            what(),
            format!(
                "its file system ({}), or one mounted below, cannot be idmapped by this kernel; keep \
                 the files elsewhere (ext4, xfs, btrfs, tmpfs), or use a node without --userns",
                kind_of(&mount)
            ),
        )),
        other => other.attempt(what),
    }
}

/// A detached, idmapped copy of what is mounted at `path` of the node.
pub(crate) fn copy_shown_as(
    path: &Path,
    recursive: bool,
    users: impl AsFd,
) -> Result<OwnedFd, Fault> {
    let copy = mounts::copy_of(path, recursive)?;
    show_as(&copy, recursive, users, path)?;
    Ok(copy)
}

/// The name of a file system, by what `statfs` says (`linux/magic.h`).
fn kind_of(mount: impl AsFd) -> String {
    const KNOWN: [(i64, &str); 10] = [
        (0xef53, "ext4"),
        (0x0102_1994, "tmpfs"),
        (0x794c_7630, "overlay"),
        (0x6969, "nfs"),
        (0x6573_5546, "fuse"),
        (0x0102_1997, "9p"),
        (0xff53_4d42, "cifs"),
        (0x9fa0, "proc"),
        (0x6265_6572, "sysfs"),
        (0x2fc1_2fc1, "zfs"),
    ];
    let Ok(stat) = rustix::fs::fstatfs(mount) else { return "unknown".into() };
    let found = KNOWN.iter().find(|(magic, _)| *magic == stat.f_type);
    found.map_or_else(|| format!("type {:#x}", stat.f_type), |(_, name)| (*name).to_owned())
}
