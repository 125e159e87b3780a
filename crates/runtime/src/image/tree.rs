//! A folder that is filled with names nobody trusts.
//!
//! Every path is resolved by the kernel with the folder as its root (`openat2(2)` with
//! `RESOLVE_IN_ROOT`): a symbolic link may lead anywhere inside, and cannot lead outside. The last
//! component is never followed. All further work is done on the parent's descriptor.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, XattrFlags};
use rustix::io::Errno;

/// How deep folders may lie in each other; removal holds two descriptors a level.
pub(crate) const MAX_DEPTH: usize = 256;

/// A path inside the folder: components that are neither empty, nor `.`, nor `..`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inside(Vec<u8>);

impl Inside {
    /// Reads a path as an archive has it: absolute ones are inside too, `.` and `..` are resolved
    /// in the text, and a path that climbs above the folder is refused.
    pub(crate) fn parse(path: &[u8]) -> Result<Self, &'static str> {
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop().ok_or("it leads out of the image's root")?;
                }
                _ if part.contains(&0) => return Err("it contains a zero byte"),
                _ if part.len() > 255 => return Err("a part of it has more than 255 bytes"),
                _ => parts.push(part),
            }
        }
        if parts.len() > MAX_DEPTH {
            return Err("it is nested more than 256 folders deep");
        }
        let joined = parts.join(&b'/');
        if joined.len() > 4000 {
            return Err("it has more than 4000 bytes");
        }
        Ok(Self(joined))
    }

    /// Whether it is the folder itself.
    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, joined by slashes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its components.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
    }

    /// The folder it lies in and its name there.
    pub(crate) fn split(&self) -> (Self, &[u8]) {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (Self(self.0[..slash].to_vec()), &self.0[slash + 1..]),
            None => (Self::default(), &self.0),
        }
    }

    /// Another name in the same folder.
    pub(crate) fn sibling(&self, name: &[u8]) -> Self {
        let (Self(mut parent), _) = self.split();
        if !parent.is_empty() {
            parent.push(b'/');
        }
        parent.extend_from_slice(name);
        Self(parent)
    }
}

/// The folder.
pub(crate) struct Tree {
    root: OwnedFd,
    /// The folder that was used last: archives come sorted, so the next entry mostly lies there too.
    last: Option<(Inside, OwnedFd)>,
}

impl Tree {
    /// Opens the folder.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self { root, last: None })
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    fn resolve(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        loop {
            let opened = rustix::fs::openat2(
                &self.root,
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            );
            // The kernel asks to try again when something on the disk was renamed meanwhile.
            if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
                return opened;
            }
        }
    }

    /// Opens a folder inside, for reading its metadata or changing them.
    pub(crate) fn directory(&self, path: &Inside) -> Result<OwnedFd, Errno> {
        self.resolve(path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)
    }

    /// Opens a folder inside in which names are looked up; links on the way are followed, inside.
    pub(crate) fn directory_of(&self, path: &Inside) -> Result<OwnedFd, Errno> {
        self.resolve(path.as_bytes(), OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Opens a folder inside in which names are made or looked up; what is missing is made, owned
    /// by root with mode 0755.
    pub(crate) fn parent(&mut self, path: &Inside) -> Result<BorrowedFd<'_>, Errno> {
        let known = self.last.as_ref().is_some_and(|(last, _)| last == path);
        if !known {
            let opened = match self.resolve(path.as_bytes(), OFlags::PATH | OFlags::DIRECTORY) {
                Err(Errno::NOENT | Errno::NOTDIR) => self.make_all(path)?,
                other => other?,
            };
            self.last = Some((path.clone(), opened));
        }
        let (_, opened) = self.last.as_ref().expect("it was set just now");
        Ok(opened.as_fd())
    }

    fn make_all(&self, path: &Inside) -> Result<OwnedFd, Errno> {
        let mut so_far: Vec<u8> = Vec::new();
        let mut folder = self.resolve(b"", OFlags::PATH | OFlags::DIRECTORY)?;
        for part in path.parts() {
            if !so_far.is_empty() {
                so_far.push(b'/');
            }
            so_far.extend_from_slice(part);
            folder = match self.resolve(&so_far, OFlags::PATH | OFlags::DIRECTORY) {
                Err(Errno::NOENT) => {
                    // Fails with EEXIST on a link to nowhere, which is right: it is not followed.
                    rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755))?;
                    rustix::fs::chmodat(
                        &folder,
                        part,
                        Mode::from_raw_mode(0o755),
                        AtFlags::empty(),
                    )?;
                    self.resolve(&so_far, OFlags::PATH | OFlags::DIRECTORY)?
                }
                // A folder that hides the one below instead of adding to it.
                Err(Errno::NOTDIR) if stat(&folder, part)?.as_ref().is_some_and(is_whiteout) => {
                    rustix::fs::unlinkat(&folder, part, AtFlags::empty())?;
                    rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755))?;
                    let made = self.resolve(&so_far, OFlags::RDONLY | OFlags::DIRECTORY)?;
                    set_opaque(&made)?;
                    made
                }
                other => other?,
            };
        }
        Ok(folder)
    }

    /// Forgets the folder used last, because something was removed that it may have been.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }
}

/// What stands under a name, links not followed; none if nothing does.
pub(crate) fn stat(parent: impl AsFd, name: &[u8]) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether it is what overlayfs takes for "the lower layer's file is gone".
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Marks an open folder as one that hides all that lower layers have there.
pub(crate) fn set_opaque(folder: impl AsFd) -> Result<(), Errno> {
    rustix::fs::fsetxattr(folder, "trusted.overlay.opaque", b"y", XattrFlags::empty())
}

/// Whether it is a folder.
pub(crate) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Removes a name with all that lies under it; links are removed, not followed. Gone already is
/// success.
pub(crate) fn remove(parent: impl AsFd, name: impl rustix::path::Arg + Copy) -> Result<(), Errno> {
    let parent = parent.as_fd();
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says the first, POSIX the second.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let mut listing = rustix::fs::Dir::read_from(&folder)?;
    while let Some(entry) = listing.read() {
        let entry = entry?;
        let inner: &CStr = entry.file_name();
        if inner != c"." && inner != c".." {
            remove(&folder, inner)?;
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_or_are_refused() {
        for (given, expected) in [
            ("a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            ("a/../b", "b"),
            ("./", ""),
            ("/", ""),
        ] {
            assert_eq!(Inside::parse(given.as_bytes()).unwrap().as_bytes(), expected.as_bytes());
        }
        for bad in ["..", "../a", "a/../../b", "/..", &"a/".repeat(300), &"a".repeat(256), "a\0b"] {
            assert!(Inside::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let path = Inside::parse(b"a/b/c").unwrap();
        assert_eq!(path.split().1, b"c");
        assert_eq!(path.sibling(b"d").as_bytes(), b"a/b/d");
        assert_eq!(Inside::parse(b"a").unwrap().sibling(b"d").as_bytes(), b"d");
    }

    #[test]
    fn links_resolve_inside_and_links_to_nowhere_are_not_followed() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        std::fs::create_dir_all(root.join("usr")).unwrap();
        std::os::unix::fs::symlink("/usr", root.join("in")).unwrap();
        std::os::unix::fs::symlink("../../..", root.join("up")).unwrap();
        std::os::unix::fs::symlink("/nowhere", root.join("gone")).unwrap();
        let mut tree = Tree::open(&root).unwrap();
        let name = |path: &str| Inside::parse(path.as_bytes()).unwrap();
        tree.parent(&name("in/lib")).unwrap();
        assert!(root.join("usr/lib").is_dir());
        tree.parent(&name("up/made")).unwrap();
        assert!(root.join("made").is_dir());
        assert_eq!(tree.parent(&name("gone/x")).unwrap_err(), Errno::EXIST);
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
        remove(tree.root(), b"up".as_slice()).unwrap();
        remove(tree.root(), b"usr".as_slice()).unwrap();
        remove(tree.root(), b"usr".as_slice()).unwrap();
        assert!(!root.join("usr").exists() && root.join("made").exists());
    }
}
