//! What a shim does for a sandbox that has a user namespace. Inside, nobody may do what only the node's
//! root can: so short-lived helpers, copies of the shim, make it and hand it over.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, Mount};
use rustix::mount::MountPropagationFlags;

use super::Shim;
use super::birth::open_namespace;
use crate::engine::overlay::Overlay;
use crate::engine::user_map::{self, UserRange};
use crate::engine::{Attempt, Fault, cgroup::Entry, dev, pid1, process, sys};

/// A sandbox's user namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// Its ids.
    pub(crate) range: UserRange,
    /// The namespace itself.
    pub(crate) fd: OwnedFd,
}

impl Namespace {
    /// Joins it, as its root.
    fn enter(&self) -> Result<(), Fault> {
        sys::join_namespaces(&self.fd, libc::CLONE_NEWUSER)
            .attempt(|| "join the user namespace".into())?;
        user_map::become_root()
    }
}

/// The `/dev` of a container, if its specification has one.
pub(crate) fn dev_of(
    mounts: &[Mount],
    devices: &[LinuxDevice],
    range: UserRange,
) -> Result<Option<OwnedFd>, Fault> {
    let dev = mounts.iter().find(|mount| mount.destination() == Path::new("/dev"));
    dev.map(|mount| dev::made_for(mount, devices, range)).transpose()
}

impl Shim {
    /// Has a helper, born with these new namespaces, do something and hand over what it made. Its end
    /// is heard later.
    fn by_helper(
        &mut self,
        kinds: i32,
        work: impl FnOnce() -> Result<OwnedFd, Fault>,
    ) -> Result<OwnedFd, Fault> {
        let (ours, theirs) = process::socket_pair()?;
        match sys::clone3(kinds, None).attempt(|| "make a helper".into())? {
            sys::Fork::Child => {
                drop(ours);
                match process::die_with_parent().and_then(|()| work()) {
                    // A supervisor that is gone wants nothing any more.
                    Ok(made) => drop(process::send_with_fds(&theirs, b"M", &[made.as_fd()])),
                    Err(fault) => pid1::report(&theirs, &fault),
                }
                sys::exit_now(0)
            }
            sys::Fork::Parent(pid) => {
                drop(theirs);
                self.helpers.push(pid);
                let what = || "hear a helper".to_owned();
                let mut said = [0; 4096];
                let (read, mut made) = process::receive_with_fds(&ours, &mut said).attempt(what)?;
                made.pop().ok_or_else(|| {
                    let text = String::from_utf8_lossy(&said[..read]);
                    Fault::refused(
                        "serve the user namespace",
                        text.strip_prefix('E').unwrap_or("it ended").to_owned(),
                    )
                })
            }
        }
    }

    /// Mounts a container's root with the image's owners as the user namespace has them.
    pub(crate) fn root_for_users(
        &mut self,
        overlay: &Overlay,
        users: &OwnedFd,
    ) -> Result<OwnedFd, Fault> {
        self.by_helper(libc::CLONE_NEWNS, || {
            let flow = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            rustix::mount::mount_change("/", flow)
                .attempt(|| "detach the mounts from the node".into())?;
            overlay.shown_as(users)
        })
    }

    /// Makes a network that the user namespace's root may manage; its loopback is up.
    pub(crate) fn network_for_users(&mut self, users: &OwnedFd) -> Result<OwnedFd, Fault> {
        self.by_helper(0, || {
            sys::join_namespaces(users, libc::CLONE_NEWUSER)
                .attempt(|| "join the user namespace".into())?;
            sys::unshare(libc::CLONE_NEWNET).attempt(|| "make a network namespace".into())?;
            sys::loopback_up().attempt(|| "bring the loopback up".into())?;
            open_namespace("/proc/self/ns/net")
        })
    }

    /// Makes a process that is a child of this one, in the user namespace and as its root, with these
    /// new namespaces, which that root owns: none in the new process, else its number.
    pub(crate) fn clone_in_users(
        &mut self,
        users: &Namespace,
        flags: i32,
        entry: &Entry,
    ) -> Result<Option<i32>, Fault> {
        let (ours, theirs) = process::pipe()?;
        let inside = self.namespaces.iter().find(|(_, kind)| *kind == libc::CLONE_NEWPID);
        let made = sys::clone3(0, entry.for_clone()).attempt(|| "make a helper".into())?;
        let sys::Fork::Parent(helper) = made else {
            drop(ours);
            let go = || {
                process::die_with_parent()?;
                // While this is still the node's root, to whom all of these belong.
                process::set_oom_score(0)?;
                entry.attach_self()?;
                users.enter()?;
                if let Some((pids, kind)) = inside {
                    sys::join_namespaces(pids, *kind).attempt(|| "join the processes".into())?;
                }
                sys::clone3(flags | libc::CLONE_PARENT, None)
                    .attempt(|| "make a container's process".into())
            };
            match go() {
                Ok(sys::Fork::Child) => return Ok(None),
                Ok(sys::Fork::Parent(pid)) => {
                    rustix::io::write(&theirs, format!("P{pid}").as_bytes()).unwrap_or_default();
                    sys::exit_now(0)
                }
                Err(fault) => {
                    pid1::report(&theirs, &fault);
                    sys::exit_now(127)
                }
            }
        };
        drop(theirs);
        self.helpers.push(helper);
        let what = || "make a container's process in the user namespace".to_owned();
        let mut said = [0; 4096];
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&ours, &mut said));
        let said = String::from_utf8_lossy(&said[..read.attempt(what)?]).into_owned();
        match said.strip_prefix('P').and_then(|pid| pid.parse().ok()) {
            Some(pid) => Ok(Some(pid)),
            None => Err(Fault {
                attempt: what(),
                source: io::Error::other(said.trim_start_matches('E').to_owned()),
            }),
        }
    }
}
