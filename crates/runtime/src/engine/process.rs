//! Small things that every process of the engine does to itself and to others.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::pipe::PipeFlags;

use super::{Attempt, Fault, sys};

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
