//! Small things that every process of the engine does to itself and to others.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::pipe::PipeFlags;

use super::{Attempt, Fault, mount_options, mounts, sys};

/// A pair of connected stream sockets, closed by `execve`.
pub(crate) fn socket_pair() -> Result<(OwnedFd, OwnedFd), Fault> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .attempt(|| "make a pair of sockets".into())
}

/// A pipe (read end, write end), closed by `execve`.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), Fault> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).attempt(|| "make a pipe".into())
}

/// Sets how readily the kernel kills this process for want of memory. Where this node's root may not
/// lower it (it lacks CAP_SYS_RESOURCE), it stays as inherited.
pub(crate) fn set_oom_score(score: i32) -> Result<(), Fault> {
    match std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other.attempt(|| format!("set the OOM score to {score}")),
    }
}

/// Asks the kernel to kill this process when its parent dies.
pub(crate) fn die_with_parent() -> Result<(), Fault> {
    let signal = libc::SIGKILL.cast_unsigned();
    sys::prctl(libc::PR_SET_PDEATHSIG, u64::from(signal), 0)
        .attempt(|| "ask to be killed when the parent dies".into())
}

/// Gives up the files of the node: what remains is an empty folder that nobody can write. The process
/// must have a mount namespace of its own.
pub(crate) fn withdraw() -> Result<(), Fault> {
    let what = || "leave the node's files".to_owned();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).attempt(what)?;
    let options = ["ro".to_owned(), "size=0".into(), "nr_inodes=1".into()];
    let empty = mounts::fresh("tmpfs", "tmpfs", &mount_options::parse(&options))?;
    mounts::put_on_root(&empty)?;
    enter_root(&empty)
}

/// Makes a mount that is put on the root the root, and lets the old one go.
pub(crate) fn enter_root(root: impl AsFd) -> Result<(), Fault> {
    let what = || "enter the root".to_owned();
    rustix::process::fchdir(root).attempt(what)?;
    // The old root is put over the new one and then let go, so that no folder is needed for it.
    rustix::process::pivot_root(".", ".").attempt(what)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).attempt(what)?;
    rustix::process::chdir("/").attempt(what)
}

/// Names this process for `ps`.
pub(crate) fn set_name(name: &std::ffi::CStr) {
    // A process without its name works as well.
    rustix::thread::set_name(name).unwrap_or_default();
}

/// The kernel passes at most 253 descriptors at once.
pub(crate) const MAX_FDS: usize = 250;

/// Sends bytes and, with the first of them, descriptors: all of the bytes, unless the socket is
/// not to block.
pub(crate) fn send_with_fds(
    socket: impl AsFd,
    bytes: &[u8],
    fds: &[std::os::fd::BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other(format!("more than {MAX_FDS} descriptors")));
    }
    let bytes = [io::IoSlice::new(bytes)];
    Ok(rustix::net::sendmsg(socket, &bytes, &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives bytes and descriptors; no bytes is the end.
pub(crate) fn receive_with_fds(
    socket: impl AsFd,
    bytes: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let mut into = [io::IoSliceMut::new(bytes)];
        rustix::net::recvmsg(&socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((received.bytes, fds))
}
