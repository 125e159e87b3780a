//! Unpacking a layer: from a tar archive to a folder that overlayfs can use as a lower layer.
//!
//! Whiteouts (`.wh.name`) become character devices 0:0 and opaque folders (`.wh..wh..opq`) get
//! `trusted.overlay.opaque` (OCI image-spec, `layer.md`; kernel, `overlayfs.rst`). The archive comes
//! from strangers: it can fill the folder up to its limits, and that is all it can do.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::archive::{Archive, ArchiveError, Entry, Kind};
use super::tree::{self, Inside, Tree};

/// How much one layer may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Files, folders, links.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

impl Limits {
    /// For a layer that has `compressed` bytes as it is sent. Real layers shrink to a third or a
    /// tenth; a file of zeroes to a thousandth, and up to 8 GiB of those are accepted.
    pub(crate) fn for_layer(compressed: u64) -> Self {
        Self { entries: 2_000_000, bytes: (8 << 30) + compressed.saturating_mul(100) }
    }
}

/// What was unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An entry asks for something that is not done.
    #[error("its entry \"{path}\" is refused: {why}")]
    Refused {
        /// As the archive has it.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The disk failed, or is full.
    #[error("\"{path}\" could not be written")]
    Disk {
        /// Inside the layer.
        path: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// Unpacks the archive into an empty folder, which gets the root folder's own metadata too.
pub(crate) fn unpack(
    reader: impl Read,
    folder: &Path,
    limits: Limits,
) -> Result<Unpacked, UnpackError> {
    let disk = |source: io::Error| UnpackError::Disk { path: folder.display().to_string(), source };
    let tree = Tree::open(folder).map_err(disk)?;
    let mut unpacker = Unpacker {
        tree,
        limits,
        done: Unpacked::default(),
        folders: Vec::new(),
        buffer: vec![0; 128 << 10],
    };
    let mut archive = Archive::new(reader);
    while let Some(entry) = archive.next()? {
        unpacker.entry(&entry, &mut archive)?;
    }
    archive.finish()?;
    unpacker.finish()
}

struct Unpacker {
    tree: Tree,
    limits: Limits,
    done: Unpacked,
    /// Folders whose time is set at the end, when nothing is written into them any more.
    folders: Vec<(Inside, (i64, u32))>,
    buffer: Vec<u8>,
}

/// What an entry's name means to a layer.
enum Meaning<'a> {
    /// The thing itself.
    Itself,
    /// The named neighbour of the lower layers is gone.
    Whiteout(&'a [u8]),
    /// All that lower layers have in this folder is gone.
    Opaque,
    /// Bookkeeping of an old file system (`.wh..wh.plnk` and the like): not part of the image.
    Nothing,
}

impl Unpacker {
    fn entry<R: Read>(
        &mut self,
        entry: &Entry,
        archive: &mut Archive<R>,
    ) -> Result<(), UnpackError> {
        self.count(entry)?;
        let path = Inside::parse(&entry.path).map_err(|why| refused(entry, why))?;
        match meaning(&path).map_err(|why| refused(entry, why))? {
            Meaning::Nothing => Ok(()),
            Meaning::Opaque => self.opaque(&path),
            Meaning::Whiteout(name) => self.whiteout(&path.sibling(name)),
            Meaning::Itself if path.is_root() => self.root(entry),
            Meaning::Itself => match entry.kind {
                Kind::Directory => self.directory(entry, &path),
                Kind::File => self.file(entry, &path, archive),
                Kind::Symlink => self.symlink(entry, &path),
                Kind::Hardlink => self.hardlink(entry, &path),
                Kind::Character | Kind::Block | Kind::Fifo => self.special(entry, &path),
            },
        }
    }

    fn count(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        self.done.entries += 1;
        if self.done.entries > self.limits.entries {
            return Err(refused(
                entry,
                format!("the layer has more than {} entries", self.limits.entries),
            ));
        }
        self.done.bytes = self.done.bytes.saturating_add(entry.size);
        if self.done.bytes > self.limits.bytes {
            let most = self.limits.bytes;
            return Err(refused(entry, format!("the layer's files have more than {most} bytes")));
        }
        Ok(())
    }

    fn root(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        if entry.kind != Kind::Directory {
            return Err(refused(entry, "the image's root can only be a folder"));
        }
        let path = Inside::default();
        metadata(self.tree.root(), entry).map_err(failed(&path))?;
        self.folders.push((path, entry.mtime));
        Ok(())
    }

    fn whiteout(&mut self, path: &Inside) -> Result<(), UnpackError> {
        let (folder, name) = path.split();
        let parent = self.tree.parent(&folder).map_err(failed(path))?;
        match tree::stat(parent, name).map_err(failed(path))? {
            None => {
                let mode = Mode::empty();
                rustix::fs::mknodat(parent, name, FileType::CharacterDevice, mode, 0)
                    .map_err(failed(path))
            }
            // This layer has something of its own there: it hides the lower layers' only.
            Some(stat) if tree::is_directory(&stat) => self.set_opaque(path),
            Some(_) => Ok(()),
        }
    }

    fn opaque(&mut self, marker: &Inside) -> Result<(), UnpackError> {
        let (folder, _) = marker.split();
        if folder.is_root() {
            let why = "overlayfs cannot hide all of the layers below".to_owned();
            return Err(UnpackError::Refused { path: ".wh..wh..opq".to_owned(), why });
        }
        self.tree.parent(&folder).map_err(failed(&folder))?;
        self.set_opaque(&folder)
    }

    fn set_opaque(&mut self, path: &Inside) -> Result<(), UnpackError> {
        // The marker may lie behind a link; the folder it means is the one the link leads to.
        let parent = self.tree.parent(path).map_err(failed(path))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(parent, ".", flags, Mode::empty()).map_err(failed(path))?;
        tree::set_opaque(&folder).map_err(failed(path))
    }

    /// Makes room for something under a name. True if a whiteout stood there.
    fn clear(&mut self, path: &Inside) -> Result<bool, Errno> {
        let (folder, name) = path.split();
        let parent = self.tree.parent(&folder)?;
        let Some(stat) = tree::stat(parent, name)? else { return Ok(false) };
        tree::remove(parent, name)?;
        if tree::is_directory(&stat) {
            self.tree.forget();
        }
        Ok(tree::is_whiteout(&stat))
    }

    fn directory(&mut self, entry: &Entry, path: &Inside) -> Result<(), UnpackError> {
        let (folder, name) = path.split();
        let parent = self.tree.parent(&folder).map_err(failed(path))?;
        let there = tree::stat(parent, name).map_err(failed(path))?;
        if !there.as_ref().is_some_and(tree::is_directory) {
            let hidden = self.clear(path).map_err(failed(path))?;
            let parent = self.tree.parent(&folder).map_err(failed(path))?;
            rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)).map_err(failed(path))?;
            if hidden {
                self.set_opaque(path)?;
            }
        }
        let opened = self.tree.directory(path).map_err(failed(path))?;
        metadata(&opened, entry).map_err(failed(path))?;
        self.folders.push((path.clone(), entry.mtime));
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        entry: &Entry,
        path: &Inside,
        archive: &mut Archive<R>,
    ) -> Result<(), UnpackError> {
        let (folder, name) = path.split();
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let create = |tree: &mut Tree| rustix::fs::openat(tree.parent(&folder)?, name, flags, mode);
        let file = match create(&mut self.tree) {
            Err(Errno::EXIST) => {
                self.clear(path).map_err(failed(path))?;
                create(&mut self.tree)
            }
            other => other,
        }
        .map_err(failed(path))?;
        loop {
            let read = archive.read_data(&mut self.buffer)?;
            if read == 0 {
                break;
            }
            let mut rest = &self.buffer[..read];
            while !rest.is_empty() {
                let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))
                    .map_err(failed(path))?;
                rest = &rest[written..];
            }
        }
        metadata(&file, entry)
            .and_then(|()| rustix::fs::futimens(&file, &times(entry.mtime)))
            .map_err(failed(path))
    }

    fn symlink(&mut self, entry: &Entry, path: &Inside) -> Result<(), UnpackError> {
        if entry.link.is_empty() {
            return Err(refused(entry, "it is a symbolic link to nothing"));
        }
        self.clear(path).map_err(failed(path))?;
        let (folder, name) = path.split();
        let parent = self.tree.parent(&folder).map_err(failed(path))?;
        // Where it leads is the container's business: there, as here, its root is the root.
        rustix::fs::symlinkat(entry.link.as_slice(), parent, name)
            .and_then(|()| settle(parent, name, entry))
            .map_err(failed(path))
    }

    fn hardlink(&mut self, entry: &Entry, path: &Inside) -> Result<(), UnpackError> {
        let target = Inside::parse(&entry.link)
            .map_err(|why| refused(entry, format!("its target is bad: {why}")))?;
        let absent = || {
            let target = String::from_utf8_lossy(&entry.link);
            refused(
                entry,
                format!("it is a hard link to \"{target}\", which is no file of this layer"),
            )
        };
        let (target_folder, target_name) = target.split();
        let source = self.tree.directory_of(&target_folder).map_err(|_| absent())?;
        let found = tree::stat(&source, target_name).map_err(failed(path))?.ok_or_else(absent)?;
        if tree::is_directory(&found) || tree::is_whiteout(&found) {
            return Err(absent());
        }
        let (folder, name) = path.split();
        let parent = self.tree.parent(&folder).map_err(failed(path))?;
        let there = tree::stat(parent, name).map_err(failed(path))?;
        if there.is_some_and(|there| (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)) {
            return Ok(());
        }
        self.clear(path).map_err(failed(path))?;
        let parent = self.tree.parent(&folder).map_err(failed(path))?;
        rustix::fs::linkat(&source, target_name, parent, name, AtFlags::empty()).map_err(|error| {
            match error {
                // The target lay in what was just removed to make room.
                Errno::NOENT => absent(),
                error => failed(path)(error),
            }
        })
    }

    /// Devices and pipes are made as Docker makes them: what a container may do with a device is
    /// decided by its cgroup, not by the file.
    fn special(&mut self, entry: &Entry, path: &Inside) -> Result<(), UnpackError> {
        self.clear(path).map_err(failed(path))?;
        let (folder, name) = path.split();
        let parent = self.tree.parent(&folder).map_err(failed(path))?;
        let file_type = match entry.kind {
            Kind::Character => FileType::CharacterDevice,
            Kind::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let device = rustix::fs::makedev(entry.device.0, entry.device.1);
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(parent, name, file_type, mode, device).map_err(failed(path))?;
        // Not a link, so following it is not following anything.
        settle(parent, name, entry)
            .and_then(|()| {
                rustix::fs::chmodat(parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
            })
            .map_err(failed(path))
    }

    fn finish(self) -> Result<Unpacked, UnpackError> {
        // Backwards: of several entries for one folder the last one's time is right.
        let mut seen: Option<&Inside> = None;
        for (path, mtime) in self.folders.iter().rev() {
            if seen == Some(path) {
                continue;
            }
            seen = Some(path);
            match self.tree.directory(path) {
                Ok(folder) => {
                    rustix::fs::futimens(&folder, &times(*mtime)).map_err(failed(path))?
                }
                // It was replaced by a later entry.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(failed(path)(error)),
            }
        }
        Ok(self.done)
    }
}

fn meaning(path: &Inside) -> Result<Meaning<'_>, &'static str> {
    let mut parts = path.parts().peekable();
    while let Some(part) = parts.next() {
        let Some(hidden) = part.strip_prefix(b".wh.") else { continue };
        let last = parts.peek().is_none();
        return match hidden {
            b".wh..opq" if last => Ok(Meaning::Opaque),
            _ if hidden.starts_with(b".wh.") => Ok(Meaning::Nothing),
            b"" | b"." | b".." => Err("it is a whiteout of no name"),
            _ if last => Ok(Meaning::Whiteout(hidden)),
            _ => Err("it lies in a folder that is a whiteout"),
        };
    }
    Ok(Meaning::Itself)
}

/// Owner, mode and extended attributes of an open file or folder.
fn metadata(file: impl AsFd, entry: &Entry) -> Result<(), Errno> {
    let file = file.as_fd();
    let (uid, gid) = owner(entry)?;
    rustix::fs::fchown(file, uid, gid)?;
    // After the owner, whose change takes away the set-user-id bit and the capabilities.
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
    for (name, value) in entry.xattrs.iter().filter(|(name, _)| is_kept(name)) {
        match rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOTSUP) => tracing::warn!(
                attribute = %String::from_utf8_lossy(name),
                path = %String::from_utf8_lossy(&entry.path),
                "the image store's file system keeps no such extended attribute"
            ),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Owner and time of what cannot be opened: links, devices.
fn settle(parent: impl AsFd, name: &[u8], entry: &Entry) -> Result<(), Errno> {
    let parent = parent.as_fd();
    let (uid, gid) = owner(entry)?;
    rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::fs::utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
}

fn owner(entry: &Entry) -> Result<(Option<Uid>, Option<Gid>), Errno> {
    // The highest number means "leave it" to the kernel.
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or(Errno::OVERFLOW);
    Ok((Some(Uid::from_raw(id(entry.uid)?)), Some(Gid::from_raw(id(entry.gid)?))))
}

/// Attributes that speak to the host's kernel stay out, but for the capabilities of programs.
fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability"
        || !(name.starts_with(b"security.")
            || name.starts_with(b"trusted.")
            || name.starts_with(b"user.overlay."))
}

fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn refused(entry: &Entry, why: impl Into<String>) -> UnpackError {
    UnpackError::Refused {
        path: String::from_utf8_lossy(&entry.path).into_owned(),
        why: why.into(),
    }
}

/// An errno as an error: what an entry can bring about by itself is its fault, the rest the disk's.
fn failed(path: &Inside) -> impl Fn(Errno) -> UnpackError {
    let path = String::from_utf8_lossy(path.as_bytes()).into_owned();
    move |errno| {
        let path = path.clone();
        let why = match errno {
            Errno::EXIST => "a part of its path is a link to nowhere, or comes twice",
            Errno::NOTDIR => "a part of its path is not a folder",
            Errno::LOOP => "a part of its path is a link that leads in circles",
            Errno::NAMETOOLONG => "its name is too long",
            Errno::OVERFLOW => "its owner is not a valid number",
            Errno::INVAL => "the file system does not accept it",
            _ => return UnpackError::Disk { path, source: errno.into() },
        };
        UnpackError::Refused { path, why: why.to_owned() }
    }
}
