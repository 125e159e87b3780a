//! Filling an empty volume with what the image has at its target, as Docker does: owners, modes,
//! times, links and extended attributes included. Everything is named relative to open folders and no
//! link is followed, so that an image decides only what its own files are.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::io::Errno;

use super::{Attempt, Fault, root};

/// Folders may lie so deep in each other.
const MAX_DEPTH: usize = 256;
/// One extended attribute, and a list of their names, is at most so large (the kernel's limit).
const MAX_XATTR: usize = 64 << 10;

/// Fills the volume that `volume` is the root of, if it is empty, with the image's folder at `target`;
/// a target that the image does not have, or not as a folder, leaves it empty.
pub(crate) fn fill(root: impl AsFd, target: &Path, volume: impl AsFd) -> Result<(), Fault> {
    let what = || format!("fill the volume at {} from the image", target.display());
    let Ok(source) = root::locate(root, target) else { return Ok(()) };
    if root::kind(&source).attempt(what)? != root::Kind::Folder {
        return Ok(());
    }
    if root::kind(&volume).attempt(what)? != root::Kind::Folder {
        return Ok(());
    }
    let (source, volume) = (open_folder(&source, c".").attempt(what)?, open_folder(&volume, c"."));
    let volume = volume.attempt(what)?;
    // Two containers may start with the same volume at once.
    rustix::fs::flock(&volume, FlockOperation::LockExclusive).attempt(what)?;
    if !names(&volume).attempt(what)?.is_empty() {
        return Ok(());
    }
    let done = copy_folder(&source, &volume, 0);
    let done = done.and_then(|()| Ok(settle(&volume, &rustix::fs::fstat(&source)?)?));
    done.attempt(what)
}

fn open_folder(at: impl AsFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

fn names(folder: &OwnedFd) -> rustix::io::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b".." | b"lost+found") {
            names.push(name);
        }
    }
    Ok(names)
}

fn copy_folder(from: &OwnedFd, to: &OwnedFd, depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other(format!("folders lie more than {MAX_DEPTH} deep")));
    }
    for name in names(from)? {
        let stat = rustix::fs::statat(from, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        let (kind, mode) = (FileType::from_raw_mode(stat.st_mode), stat.st_mode & 0o7777);
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(to, &name, Mode::from(0o700))?;
                let (below, made) = (open_folder(from, &name)?, open_folder(to, &name)?);
                copy_folder(&below, &made, depth + 1)?;
                copy_attributes(&below, &made)?;
                settle(&made, &stat)?;
            }
            FileType::RegularFile => copy_file(from, to, &name, &stat)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, &name, Vec::new())?;
                rustix::fs::symlinkat(&target, to, &name)?;
                own(to, &name, &stat)?;
            }
            // A socket is of use only to the process that made it.
            FileType::Socket | FileType::Unknown => {}
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                rustix::fs::mknodat(to, &name, kind, Mode::from(mode), stat.st_rdev)?;
                own(to, &name, &stat)?;
                rustix::fs::chmodat(to, &name, Mode::from(mode), AtFlags::empty())?;
            }
        }
    }
    Ok(())
}

fn own(at: &OwnedFd, name: &CStr, stat: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(at, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn copy_file(from: &OwnedFd, to: &OwnedFd, name: &CStr, stat: &Stat) -> io::Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let make = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, read, Mode::empty())?;
    let made = rustix::fs::openat(to, name, make, Mode::from(0o600))?;
    let (mut source, mut made) = (std::fs::File::from(source), std::fs::File::from(made));
    io::copy(&mut source, &mut made)?;
    let (source, made) = (OwnedFd::from(source), OwnedFd::from(made));
    settle(&made, stat)?;
    // After the owner, whose change would take a file's capabilities away.
    copy_attributes(&source, &made)
}

/// Owner, mode and times, in this order: a change of owner takes set-user-id bits away.
fn settle(made: &OwnedFd, stat: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(made, Some(uid), Some(gid))?;
    rustix::fs::fchmod(made, Mode::from(stat.st_mode & 0o7777))?;
    let time = |seconds, nanos: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanos).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    rustix::fs::futimens(made, &times)
}

/// Extended attributes, as far as the volume's file system has them. Those of overlayfs itself are
/// not the image's.
fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let mut list = vec![0; MAX_XATTR];
    let length = match rustix::fs::flistxattr(from, &mut list) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"trusted.") {
            continue;
        }
        let name = std::ffi::CString::new(name)?;
        let mut value = vec![0; MAX_XATTR];
        let length = rustix::fs::fgetxattr(from, &name, &mut value)?;
        match rustix::fs::fsetxattr(to, &name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn folder(path: &Path) -> OwnedFd {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).unwrap()
    }

    #[test]
    fn an_empty_volume_gets_the_images_files_and_a_full_one_keeps_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (image, volume) = (dir.path().join("image"), dir.path().join("volume"));
        std::fs::create_dir_all(image.join("data/deep")).unwrap();
        std::fs::create_dir(&volume).unwrap();
        std::fs::write(image.join("data/deep/file"), "text").unwrap();
        symlink("/etc/passwd", image.join("data/link")).unwrap();
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(image.join("data/deep/file"), mode(0o4751)).unwrap();
        std::fs::set_permissions(image.join("data"), mode(0o711)).unwrap();
        let (root, to) = (folder(&image), folder(&volume));
        fill(&root, Path::new("/absent"), &to).unwrap();
        assert_eq!(std::fs::read_dir(&volume).unwrap().count(), 0);
        fill(&root, Path::new("/data"), &to).unwrap();
        assert_eq!(std::fs::read_to_string(volume.join("deep/file")).unwrap(), "text");
        let [source, copy] = [&image.join("data"), &volume].map(|at| {
            let file = std::fs::metadata(at.join("deep/file")).unwrap();
            (file.mode(), file.mtime_nsec(), std::fs::metadata(at).unwrap().mode())
        });
        assert_eq!(source, copy);
        assert_eq!(std::fs::read_link(volume.join("link")).unwrap(), Path::new("/etc/passwd"));

        std::fs::write(image.join("data/later"), "").unwrap();
        fill(&root, Path::new("/data"), &to).unwrap();
        assert!(!volume.join("later").exists());
    }
}
