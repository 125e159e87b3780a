//! The engine's side of the zygote: starts it, asks it for shims, starts it again if it is gone.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::engine::process;
use crate::shim::Birth;
use crate::zygote::ZYGOTE_ARGUMENT;

/// A running zygote.
#[derive(Debug)]
pub(crate) struct ZygoteClient {
    program: OwnedFd,
    socket: OwnedFd,
    child: Child,
}

/// The program, copied into memory that nobody can change.
fn sealed(path: &Path) -> io::Result<OwnedFd> {
    let memory =
        rustix::fs::memfd_create("wharf", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut copy = File::from(memory);
    io::copy(&mut File::open(path)?, &mut copy)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals)?;
    // A descriptor that can write would make the kernel refuse to execute it.
    let read_only = format!("/proc/self/fd/{}", copy.as_raw_fd());
    Ok(File::open(read_only)?.into())
}

fn spawn(program: &OwnedFd) -> io::Result<(OwnedFd, Child)> {
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let child = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .arg(ZYGOTE_ARGUMENT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()?;
    Ok((ours, child))
}

impl ZygoteClient {
    /// Starts a zygote from this program.
    pub(crate) fn start(program: &Path) -> io::Result<Self> {
        let program = sealed(program)?;
        let (socket, child) = spawn(&program)?;
        Ok(Self { program, socket, child })
    }

    /// Asks for a shim; what is returned is its first connection.
    pub(crate) fn bear(&mut self, birth: &Birth) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        let message = serde_json::to_vec(birth)?;
        if process::send_with_fds(&self.socket, &message, &[theirs.as_fd()]).is_err() {
            // Whatever became of it, it is of no use any more.
            self.child.kill()?;
            self.child.wait()?;
            (self.socket, self.child) = spawn(&self.program)?;
            process::send_with_fds(&self.socket, &message, &[theirs.as_fd()])?;
        }
        Ok(ours)
    }
}

impl Drop for ZygoteClient {
    fn drop(&mut self) {
        // It ends at the end of its socket; waiting for that leaves no zombie.
        if rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both).is_ok() {
            self.child.wait().map(drop).unwrap_or_default();
        }
    }
}

/// This program's own file.
pub(crate) fn own_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}
