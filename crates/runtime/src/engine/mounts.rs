//! Mounts of a container: each is made detached, then moved by descriptor onto a target that was
//! resolved inside the root, so that no link of the image decides where it lands.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Mount;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use super::mount_options::{MountOptions, parse};
use super::root::{self, Kind};
use super::{Attempt, Fault, sys, user_map};

/// Moves a detached mount onto a target.
pub(crate) fn put(mount: impl AsFd, target: impl AsFd) -> Result<(), Fault> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target, "", flags)
        .attempt(|| "put a mount in place".into())
}

/// Moves a detached mount onto the root of this process's mount namespace, to become the root.
pub(crate) fn put_on_root(mount: impl AsFd) -> Result<(), Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let slash = rustix::fs::open("/", flags, Mode::empty()).attempt(|| "open the root".into())?;
    put(mount, slash)
}

/// A detached copy of what is mounted at `path` of the node.
pub(crate) fn copy_of(path: &Path, recursive: bool) -> Result<OwnedFd, Fault> {
    copy_at(CWD, path, recursive)
}

/// A detached copy of what an open handle shows.
pub(crate) fn copy_at(at: impl AsFd, path: &Path, recursive: bool) -> Result<OwnedFd, Fault> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree =
        rustix::mount::open_tree(at, path, flags).attempt(|| format!("bind {}", path.display()))?;
    // What the node mounts or unmounts later below the source does not reach the container.
    sys::mount_setattr(&tree, recursive, 0, libc::MS_PRIVATE)
        .attempt(|| format!("make the mount of {} private", path.display()))?;
    Ok(tree)
}

/// A new, detached file system.
pub(crate) fn fresh(kind: &str, source: &str, options: &MountOptions) -> Result<OwnedFd, Fault> {
    let what = || format!("mount a {kind} file system");
    let fs = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).attempt(what)?;
    rustix::mount::fsconfig_set_string(&fs, "source", source).attempt(what)?;
    for (key, value) in &options.data {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(&fs, key, value),
            None => rustix::mount::fsconfig_set_flag(&fs, key),
        }
        .attempt(|| format!("mount a {kind} file system with option {key}"))?;
    }
    // proc, sysfs and mqueue may be shared with others of the same namespace; tmpfs and devpts are
    // always new. A read-only mount of a new file system is a matter of the mount alone.
    rustix::mount::fsconfig_create(&fs).attempt(what)?;
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, options.attributes).attempt(what)
}

/// Applies attributes to a copy that is not in place yet.
pub(crate) fn set_attributes(
    mount: impl AsFd,
    recursive: bool,
    attributes: MountAttrFlags,
) -> Result<(), Fault> {
    if attributes.is_empty() {
        return Ok(());
    }
    sys::mount_setattr(mount, recursive, u64::from(attributes.bits()), 0)
        .attempt(|| "set the attributes of a mount".into())
}

/// Whether a mount of a specification is of something that the node has.
pub(crate) fn is_bind(mount: &Mount) -> bool {
    let kind = mount.typ().as_deref().unwrap_or("bind");
    kind == "bind" || parse(mount.options().as_deref().unwrap_or_default()).bind
}

/// A detached copy of what a bind mount shows, made where the node's mounts are seen; with a user
/// namespace, its owners are shown as that has them.
pub(crate) fn source_of(mount: &Mount, users: Option<&OwnedFd>) -> Result<OwnedFd, Fault> {
    let options = parse(mount.options().as_deref().unwrap_or_default());
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    match users {
        Some(users) => user_map::copy_shown_as(source, options.recursive, users),
        None => copy_of(source, options.recursive),
    }
}

/// Carries out one mount of a specification (all kinds but `cgroup`). `source` is what a bind mount
/// shows: see [`source_of`].
pub(crate) fn carry_out(
    root: impl AsFd,
    mount: &Mount,
    source: Option<OwnedFd>,
) -> Result<(), Fault> {
    let target = mount.destination();
    let options = parse(mount.options().as_deref().unwrap_or_default());
    let kind = mount.typ().as_deref().unwrap_or("bind");
    let at = |fault: Fault| Fault {
        attempt: format!("mount {}: {}", target.display(), fault.attempt),
        source: fault.source,
    };
    if is_bind(mount) {
        let source = source.ok_or_else(|| Fault::refused("bind it", "its source is missing"));
        return bind(root, source.map_err(at)?, target, &options).map_err(at);
    }
    let handle = if matches!(kind, "proc" | "sysfs") || target == Path::new("/dev") {
        unlinked(&root, target)?
    } else {
        root::ensure(&root, target, Kind::Folder)?
    };
    let source = mount.source().as_deref().and_then(Path::to_str).unwrap_or(kind);
    put(fresh(kind, source, &options).map_err(at)?, handle).map_err(at)
}

/// A folder, made if absent, that no link of the image may lead to.
fn unlinked(root: impl AsFd, target: &Path) -> Result<OwnedFd, Fault> {
    root::ensure(&root, target, Kind::Folder)?;
    root::locate_unlinked(&root, target)
        .attempt(|| format!("mount on {} (the image must not make it a link)", target.display()))
}

/// Puts a detached mount on a folder that no link of the image may lead to.
pub(crate) fn put_unlinked(root: impl AsFd, target: &Path, mount: impl AsFd) -> Result<(), Fault> {
    put(mount, unlinked(root, target)?)
}

fn bind(
    root: impl AsFd,
    tree: OwnedFd,
    target: &Path,
    options: &MountOptions,
) -> Result<(), Fault> {
    set_attributes(&tree, options.recursive, options.attributes)?;
    let kind = root::kind(&tree).attempt(|| "look at its source".into())?;
    put(tree, root::ensure(root, target, kind)?)
}

/// Hides paths: files behind `/dev/null`, folders behind an empty read-only one.
pub(crate) fn mask(root: impl AsFd, paths: &[String]) -> Result<(), Fault> {
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let Ok(target) = root::locate(&root, Path::new(path)) else { continue };
        let what = || format!("mask {path}");
        if root::kind(&target).attempt(what)? == Kind::File {
            let null = root::locate(&root, Path::new("/dev/null")).attempt(what)?;
            put(copy_at(null, Path::new(""), false)?, target)?;
            continue;
        }
        let cover = match &empty {
            Some(first) => copy_at(first, Path::new(""), false)?,
            None => fresh("tmpfs", "tmpfs", &parse(&["ro".into(), "size=0".into()]))?,
        };
        put(&cover, target)?;
        empty.get_or_insert(cover);
    }
    Ok(())
}

/// Makes paths read-only by binding them over themselves.
pub(crate) fn make_readonly(root: impl AsFd, paths: &[String]) -> Result<(), Fault> {
    for path in paths {
        let Ok(target) = root::locate(&root, Path::new(path)) else { continue };
        let copy = copy_at(&target, Path::new(""), true)?;
        set_attributes(&copy, true, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
        put(copy, target)?;
    }
    Ok(())
}

/// Makes the root of this process's mount namespace read-only (what is mounted below is not touched).
pub(crate) fn seal_root() -> Result<(), Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let what = || "make the root read-only".to_owned();
    let root = rustix::fs::open("/", flags, Mode::empty()).attempt(what)?;
    sys::mount_setattr(root, false, u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits()), 0)
        .attempt(what)
}
