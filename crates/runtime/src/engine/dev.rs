//! `/dev` of a container: nodes, links, and the terminal.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Mount};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::pty::OpenptFlags;

use super::root::{self, Kind};
use super::user_map::UserRange;
use super::{Attempt, Fault, mount_options, mounts, sys};

/// The links that programs expect.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Fills `/dev`, which is a fresh tmpfs; `devices` are those that it does not have yet.
pub(crate) fn fill(root: impl AsFd, devices: &[LinuxDevice]) -> Result<(), Fault> {
    let what = || "fill /dev".to_owned();
    let dev = root::locate_unlinked(&root, Path::new("/dev")).attempt(what)?;
    for device in devices {
        make(&root, device)?;
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, &dev, name).attempt(what)?;
    }
    if root::locate(&root, Path::new("/proc/kcore")).is_ok() {
        rustix::fs::symlinkat("/proc/kcore", &dev, "core").attempt(what)?;
    }
    rustix::fs::symlinkat("pts/ptmx", &dev, "ptmx").attempt(what)
}

/// The file system of a sandbox with a user namespace, with the nodes in it: only the node's own root
/// makes nodes, and only a file system of the node's own lets them be opened.
pub(crate) fn made_for(
    mount: &Mount,
    devices: &[LinuxDevice],
    range: UserRange,
) -> Result<OwnedFd, Fault> {
    let options = mount_options::parse(mount.options().as_deref().unwrap_or_default());
    let dev = mounts::fresh("tmpfs", "tmpfs", &options)?;
    range.own_at(&dev, Path::new(""), 0, 0)?;
    for device in devices {
        let what = || format!("make the device {}", device.path().display());
        let below = device.path().strip_prefix("/dev").map_err(|_| {
            Fault::refused(what(), "in a user namespace a device can only be below /dev")
        })?;
        let mut walked = PathBuf::new();
        for part in below.parent().into_iter().flatten() {
            walked.push(part);
            match rustix::fs::mkdirat(&dev, &walked, Mode::from(0o755)) {
                Ok(()) => range.own_at(&dev, &walked, 0, 0)?,
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error).attempt(what),
            }
        }
        node(&dev, below, device)?;
        range.own_at(&dev, below, device.uid().unwrap_or(0), device.gid().unwrap_or(0))?;
    }
    Ok(dev)
}

fn make(root: impl AsFd, device: &LinuxDevice) -> Result<(), Fault> {
    let what = || format!("make the device {}", device.path().display());
    let (Some(folder), Some(name)) = (device.path().parent(), device.path().file_name()) else {
        return Err(Fault::refused(what(), "it is not a path of a file"));
    };
    let folder = root::ensure(root, folder, Kind::Folder)?;
    node(&folder, Path::new(name), device)?;
    let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(&folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .attempt(what)
}

/// Makes a node that nobody else owns yet.
fn node(folder: impl AsFd, name: &Path, device: &LinuxDevice) -> Result<(), Fault> {
    let what = || format!("make the device {}", device.path().display());
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::A => return Err(Fault::refused(what(), "it has no type")),
    };
    let number = |n: i64| u32::try_from(n).unwrap_or(0);
    let node = rustix::fs::makedev(number(device.major()), number(device.minor()));
    let mode = Mode::from(device.file_mode().unwrap_or(0o666) & 0o7777);
    rustix::fs::mknodat(&folder, name, kind, mode, node).attempt(what)?;
    // The umask does not count for devices.
    rustix::fs::chmodat(&folder, name, mode, AtFlags::empty()).attempt(what)
}

/// What `statfs` says of a devpts (`linux/magic.h`).
const DEVPTS: i64 = 0x1cd1;

/// Opens a terminal of the container's own devpts, and returns master and slave. A container that has
/// put something else there is refused.
pub(crate) fn open_terminal(root: impl AsFd) -> Result<(OwnedFd, OwnedFd), Fault> {
    let what = || "open a terminal".to_owned();
    let pts = root::locate_unlinked(&root, Path::new("/dev/pts")).attempt(what)?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    // Nothing that blocks when it is opened, such as a pipe, may stand there either.
    let system = rustix::fs::fstatfs(&pts).attempt(what)?.f_type;
    let stat = rustix::fs::statat(&pts, "ptmx", AtFlags::SYMLINK_NOFOLLOW).attempt(what)?;
    if system != DEVPTS || stat.st_rdev != rustix::fs::makedev(5, 2) {
        return Err(Fault::refused(what(), "/dev/pts of the container is not a devpts"));
    }
    let master = rustix::fs::openat(&pts, "ptmx", flags, Mode::empty()).attempt(what)?;
    rustix::pty::unlockpt(&master).attempt(what)?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, peer).attempt(what)?;
    Ok((master, slave))
}

/// Makes a terminal this session's, and standard input and output.
pub(crate) fn use_terminal(slave: &OwnedFd) -> Result<(), Fault> {
    let what = || "use the terminal".to_owned();
    sys::set_controlling_terminal(slave).attempt(what)?;
    for number in 0..3 {
        sys::become_stdio(slave, number).attempt(what)?;
    }
    Ok(())
}

/// Opens a terminal as [`open_terminal`] does, and shows it as `/dev/console`.
pub(crate) fn console(root: impl AsFd) -> Result<(OwnedFd, OwnedFd), Fault> {
    let (master, slave) = open_terminal(&root)?;
    let console = root::ensure(&root, Path::new("/dev/console"), Kind::File)?;
    mounts::put(mounts::copy_at(&slave, Path::new(""), false)?, console)?;
    Ok((master, slave))
}
