//! Paths inside a container's root, resolved so that no link of the image leads out of it
//! (`openat2(2)` with `RESOLVE_IN_ROOT`).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::{Attempt, Fault};

/// What a mount is put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A folder, made if absent.
    Folder,
    /// A file, made if absent.
    File,
}

fn open(root: impl AsFd, path: &Path, flags: OFlags, extra: ResolveFlags) -> io::Result<OwnedFd> {
    let path = path.strip_prefix("/").unwrap_or(path);
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | extra;
    // EAGAIN: something was renamed while the kernel walked the path; it asks to try again.
    for _ in 0..16 {
        match rustix::fs::openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN) => {}
            other => return Ok(other?),
        }
    }
    Err(io::Error::from(rustix::io::Errno::AGAIN))
}

/// A handle of what is at `path` (`O_PATH`).
pub(crate) fn locate(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    open(root, path, OFlags::PATH, ResolveFlags::empty())
}

/// A handle of the folder at `path`, where no part of it may be a link. For `/proc`, `/sys` and
/// `/dev`, which an image must not redirect.
pub(crate) fn locate_unlinked(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    open(root, path, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)
}

/// Opens a regular file for reading.
pub(crate) fn open_file(root: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = open(root, Path::new(path), flags, ResolveFlags::empty())?;
    if kind(&fd)? == Kind::Folder || !is_regular(&fd)? {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(fd)
}

fn is_regular(fd: impl AsFd) -> io::Result<bool> {
    let mode = rustix::fs::fstat(fd)?.st_mode;
    Ok(rustix::fs::FileType::from_raw_mode(mode).is_file())
}

/// Whether something open is a folder; all else counts as a file.
pub(crate) fn kind(fd: impl AsFd) -> io::Result<Kind> {
    let mode = rustix::fs::fstat(fd)?.st_mode;
    let folder = rustix::fs::FileType::from_raw_mode(mode).is_dir();
    Ok(if folder { Kind::Folder } else { Kind::File })
}

/// A handle of `path`, which is made (folders 0755, an empty file last) as far as it is absent.
pub(crate) fn ensure(root: impl AsFd, path: &Path, wanted: Kind) -> Result<OwnedFd, Fault> {
    let what = || format!("mount on {}", path.display());
    let refused = |why: &str| Fault::refused(what(), why);
    match locate(&root, path) {
        Ok(fd) => {
            let found = kind(&fd).attempt(what)?;
            return match (found, wanted) {
                (Kind::File, Kind::Folder) => Err(refused("it is a file, and the mount a folder")),
                (Kind::Folder, Kind::File) => Err(refused("it is a folder, and the mount a file")),
                _ => Ok(fd),
            };
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(Fault { attempt: what(), source }),
    }
    let parts: Vec<_> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(Ok(name)),
            Component::ParentDir => Some(Err(refused("\"..\" is not allowed in a mount's target"))),
            _ => None,
        })
        .collect::<Result<_, _>>()?;
    let mut walked = PathBuf::new();
    let mut parent = locate(&root, Path::new("/")).attempt(what)?;
    for (index, name) in parts.iter().enumerate() {
        walked.push(name);
        match locate(&root, &walked) {
            Ok(fd) => {
                parent = fd;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Fault { attempt: what(), source }),
        }
        // O_EXCL and mkdir do not follow a link in the last place: a dangling one is an error.
        if index + 1 == parts.len() && wanted == Kind::File {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(&parent, *name, flags, Mode::from(0o644)).attempt(what)?;
        } else {
            rustix::fs::mkdirat(&parent, *name, Mode::from(0o755)).attempt(what)?;
        }
        parent = locate(&root, &walked).attempt(what)?;
    }
    Ok(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let fd =
            rustix::fs::open(dir.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        (dir, fd)
    }

    #[test]
    fn links_of_the_image_stay_inside() {
        let (dir, fd) = root();
        std::os::unix::fs::symlink("/etc", dir.path().join("out")).unwrap();
        std::os::unix::fs::symlink("../../../..", dir.path().join("up")).unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let made = ensure(&fd, Path::new("/out/made"), Kind::Folder).unwrap();
        assert_eq!(kind(&made).unwrap(), Kind::Folder);
        assert!(dir.path().join("etc/made").is_dir());
        ensure(&fd, Path::new("/up/etc/file"), Kind::File).unwrap();
        assert!(dir.path().join("etc/file").is_file());
        assert!(locate_unlinked(&fd, Path::new("/out")).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (dir, fd) = root();
        std::os::unix::fs::symlink("/nowhere", dir.path().join("dangling")).unwrap();
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        for (path, kind) in [
            ("/dangling", Kind::File),
            ("/dangling/x", Kind::Folder),
            ("/loop/x", Kind::Folder),
            ("/file", Kind::Folder),
            ("/file/x", Kind::File),
            ("/absent/../../x", Kind::Folder),
        ] {
            let error = ensure(&fd, Path::new(path), kind).unwrap_err();
            assert!(error.line().starts_with(&format!("mount on {path}: ")), "{}", error.line());
        }
        assert!(!Path::new("/nowhere").exists());
    }
}
