//! How a shim comes to be: its own surroundings, the pause process, and a container's first process
//! made in advance.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::Shim;
use super::connections::Connections;
use super::proto::{Assign, Reply, encode};
use crate::engine::cgroup::Cgroups;
use crate::engine::{Attempt, Fault, init, process, sys};
use crate::{NetworkMode, spec};

/// What a shim is born with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Birth {
    /// The sandbox's cgroup.
    pub(crate) group: String,
    /// The sandbox's network.
    pub(crate) network: NetworkMode,
}

/// A container's first process that waits for an order.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) pid: i32,
    pub(crate) group: String,
    pub(crate) socket: OwnedFd,
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// Lives a shim's life in a process that was just copied from the zygote. `control` is the first
/// connection.
pub(crate) fn run(birth: Birth, cgroups: Cgroups, control: UnixStream) -> ! {
    sys::close_all_but(&[control.as_raw_fd()]);
    let last_words = control.try_clone();
    let fault = match begin(birth, cgroups, control).and_then(|mut shim| shim.serve()) {
        Ok(()) => sys::exit_now(0),
        Err(fault) => fault,
    };
    eprintln!("{}", fault.line());
    if let Ok(mut control) = last_words {
        // The maker may be gone.
        control.write_all(&encode(&Reply::Failed(fault.into()))).unwrap_or_default();
    }
    sys::exit_now(1)
}

fn begin(birth: Birth, cgroups: Cgroups, control: UnixStream) -> Result<Shim, Fault> {
    sys::reset_signals();
    sys::ignore_signal(libc::SIGPIPE);
    // Only SIGKILL ends a shim: its containers depend on it.
    let all: Vec<i32> = (1..=31).collect();
    sys::set_mask(&all);
    process::set_name(c"shim");
    rustix::process::setsid().attempt(|| "begin a session".into())?;
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0).attempt(|| "adopt orphans".into())?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .attempt(|| "open /dev/null".into())?;
    for number in 0..3 {
        sys::become_stdio(&null, number).attempt(|| "set standard output".into())?;
    }
    process::set_oom_score(-999)?;
    cgroups.create(&birth.group)?;
    let pause = pause(birth.network)?;
    let network = match birth.network {
        NetworkMode::Host => None,
        NetworkMode::Private => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let path = format!("/proc/{pause}/ns/net");
            let opened = rustix::fs::open(&path, flags, Mode::empty());
            Some(opened.attempt(|| format!("open {path}"))?)
        }
    };
    let mut shim = Shim {
        cgroups,
        group: birth.group,
        folder: None,
        network,
        pause,
        spare: None,
        next_group: 0,
        containers: BTreeMap::new(),
        jobs: BTreeMap::new(),
        next_job: 0,
        strays: BTreeMap::new(),
        listener: None,
        connections: Connections::default(),
        removing: None,
        signals: sys::signalfd(&[libc::SIGCHLD]).attempt(|| "make a signal descriptor".into())?,
    };
    shim.connections.add(control);
    shim.spare = Some(shim.new_spare()?);
    Ok(shim)
}

/// The process that holds the namespaces: it does nothing, until it is killed.
fn pause(network: NetworkMode) -> Result<i32, Fault> {
    let flags = match network {
        NetworkMode::Private => libc::CLONE_NEWNET,
        NetworkMode::Host => 0,
    };
    match sys::clone3(flags, None).attempt(|| "make the sandbox's namespaces".into())? {
        sys::Fork::Parent(pid) => Ok(pid),
        sys::Fork::Child => {
            process::set_name(c"pause");
            if process::die_with_parent().is_err() {
                sys::exit_now(1);
            }
            if network == NetworkMode::Private && sys::loopback_up().is_err() {
                sys::exit_now(1);
            }
            sys::close_all_but(&[]);
            loop {
                // Every signal but SIGKILL is blocked, so this waits for that.
                sys::wait_signal(&[libc::SIGCONT]).unwrap_or_default();
            }
        }
    }
}

impl Shim {
    /// Makes a container's first process, which goes into its cgroup and network at once and then
    /// waits for [`init::Order`].
    pub(crate) fn new_spare(&mut self) -> Result<Spare, Fault> {
        let group = format!("{}/c{}", self.group, self.next_group);
        self.next_group += 1;
        self.cgroups.create(&group)?;
        let made = self.fork_spare(&group);
        if made.is_err() {
            self.cgroups.destroy(&group)?;
        }
        made
    }

    fn fork_spare(&self, group: &str) -> Result<Spare, Fault> {
        let entry = self.cgroups.entry(group)?;
        let (socket, theirs) = process::socket_pair()?;
        let (stdin_read, stdin) = process::pipe()?;
        let (stdout, stdout_write) = process::pipe()?;
        let (stderr, stderr_write) = process::pipe()?;
        let network = match &self.network {
            Some(fd) => Some(fd.try_clone().attempt(|| "copy a descriptor".into())?),
            None => None,
        };
        let into = entry.for_clone();
        let setup = init::Setup {
            entry,
            network,
            socket: theirs,
            stdio: [stdin_read, stdout_write, stderr_write],
            views: self.cgroups.views(group),
        };
        match sys::clone3(init::NAMESPACES, into).attempt(|| "make a container's process".into())? {
            sys::Fork::Child => init::run(&setup),
            sys::Fork::Parent(pid) => {
                Ok(Spare { pid, group: group.to_owned(), socket, stdin, stdout, stderr })
            }
        }
    }

    /// Becomes the shim of a sandbox.
    pub(crate) fn assign(&mut self, assign: &Assign) -> Result<(), Fault> {
        let resources = spec::resources(&assign.limits);
        self.cgroups.apply(&self.group, &resources)?;
        let folder = assign.folder.clone();
        let log = std::fs::File::options().create(true).append(true).open(folder.join("shim.log"));
        let log = log.attempt(|| format!("open {}/shim.log", folder.display()))?;
        sys::become_stdio(log, 2).attempt(|| "set standard error".into())?;
        let record = format!("{}", rustix::process::getpid().as_raw_nonzero());
        std::fs::write(folder.join("shim.pid"), record)
            .attempt(|| format!("write {}/shim.pid", folder.display()))?;
        self.listener = Some(listen(&folder)?);
        self.folder = Some(folder);
        Ok(())
    }
}

/// Listens on `shim.sock` in a folder whose path may be longer than a socket's name can be.
fn listen(folder: &Path) -> Result<UnixListener, Fault> {
    let what = || format!("listen on {}/shim.sock", folder.display());
    rustix::process::chdir(folder).attempt(what)?;
    let listener = UnixListener::bind("shim.sock").attempt(what)?;
    listener.set_nonblocking(true).attempt(what)?;
    rustix::process::chdir("/").attempt(what)?;
    Ok(listener)
}
