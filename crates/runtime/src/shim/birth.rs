//! How a shim comes to be: its own surroundings, the pause process, and a container's first process
//! made in advance.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::Shim;
use super::connections::Connections;
use super::proto::{Assign, Reply, encode};
use super::users::Namespace;
use crate::engine::cgroup::Cgroups;
use crate::engine::user_map::{self, UserRange};
use crate::engine::{Attempt, Fault, init, process, sys};
use crate::{IpcMode, NetworkMode, PidMode, spec};

/// What a shim is born with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Birth {
    /// The sandbox's cgroup.
    pub(crate) group: String,
    /// The sandbox's network.
    pub(crate) network: NetworkMode,
    /// Whose processes its containers see.
    #[serde(default)]
    pub(crate) pid: PidMode,
    /// Whose IPC objects they see.
    #[serde(default)]
    pub(crate) ipc: IpcMode,
    /// The ids of a user namespace of its own; none for the node's.
    #[serde(default)]
    pub(crate) users: Option<UserRange>,
}

impl Birth {
    /// What the pause process makes anew.
    fn namespaces(&self) -> i32 {
        let flag = |wanted, flag| if wanted { flag } else { 0 };
        flag(self.network == NetworkMode::Private, libc::CLONE_NEWNET)
            | flag(self.pid == PidMode::Sandbox, libc::CLONE_NEWPID)
            | flag(self.ipc == IpcMode::Sandbox, libc::CLONE_NEWIPC)
            | flag(self.users.is_some(), libc::CLONE_NEWUSER)
            // Containers see it then, and it must not lead them to the node's files.
            | flag(self.pid == PidMode::Sandbox, libc::CLONE_NEWNS)
    }
}

/// A container's first process that waits for an order.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) pid: i32,
    pub(crate) group: String,
    /// In the sandbox's user namespace.
    pub(crate) in_users: bool,
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
    let pause = pause(&birth)?;
    let mut namespaces = Vec::new();
    for (kind, name) in
        [(libc::CLONE_NEWNET, "net"), (libc::CLONE_NEWIPC, "ipc"), (libc::CLONE_NEWPID, "pid")]
    {
        if birth.namespaces() & kind != 0 {
            namespaces.push((open_namespace(&format!("/proc/{pause}/ns/{name}"))?, kind));
        }
    }
    let users = match birth.users {
        Some(range) => {
            Some(Namespace { range, fd: open_namespace(&format!("/proc/{pause}/ns/user"))? })
        }
        None => None,
    };
    let mut shim = Shim {
        cgroups,
        group: birth.group.clone(),
        birth,
        folder: None,
        namespaces,
        users,
        helpers: Vec::new(),
        networks: BTreeMap::new(),
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
    shim.spare = Some(shim.new_spare(shim.users.is_some())?);
    Ok(shim)
}

/// Opens a namespace by its path in `/proc`.
pub(crate) fn open_namespace(path: &str) -> Result<OwnedFd, Fault> {
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    opened.attempt(|| format!("open {path}"))
}

/// The process that holds the namespaces: it does nothing, until it is killed. As process 1 of a
/// shared process namespace it lets the kernel reap what is orphaned.
fn pause(birth: &Birth) -> Result<i32, Fault> {
    let flags = birth.namespaces();
    let (wait, go) = process::pipe()?;
    match sys::clone3(flags, None).attempt(|| "make the sandbox's namespaces".into())? {
        sys::Fork::Parent(pid) => {
            if let Some(range) = birth.users {
                range.write_for(pid)?;
                rustix::io::write(&go, b"m").attempt(|| "wake the pause process".into())?;
            }
            Ok(pid)
        }
        sys::Fork::Child => {
            process::set_name(c"pause");
            drop(go);
            if birth.users.is_some() {
                let read = rustix::io::retry_on_intr(|| rustix::io::read(&wait, &mut [0; 1]));
                if read != Ok(1) || user_map::become_root().is_err() {
                    sys::exit_now(1);
                }
            }
            if process::die_with_parent().is_err() {
                sys::exit_now(1);
            }
            if birth.network == NetworkMode::Private && sys::loopback_up().is_err() {
                sys::exit_now(1);
            }
            sys::close_all_but(&[]);
            sys::ignore_signal(libc::SIGCHLD);
            if birth.pid == PidMode::Sandbox
                && (process::withdraw().is_err() || sys::capset(0, 0, 0).is_err())
            {
                sys::exit_now(1);
            }
            // Its memory is the shim's copy: containers that see this process must not look into it.
            if sys::prctl(libc::PR_SET_DUMPABLE, 0, 0).is_err() {
                sys::exit_now(1);
            }
            loop {
                // Every signal but SIGKILL is blocked, so this waits for that.
                sys::wait_signal(&[libc::SIGCONT]).unwrap_or_default();
            }
        }
    }
}

impl Shim {
    /// Makes a container's first process, which goes into its cgroup and network at once and then
    /// waits for [`init::Order`]; in the sandbox's user namespace, if it has one, or in the node's.
    pub(crate) fn new_spare(&mut self, in_users: bool) -> Result<Spare, Fault> {
        let group = format!("{}/c{}", self.group, self.next_group);
        self.next_group += 1;
        self.cgroups.create(&group)?;
        let made = self.limit_devices(&group).and_then(|()| self.fork_spare(&group, in_users));
        if made.is_err() {
            self.cgroups.destroy(&group)?;
        }
        made
    }

    /// The devices that nearly every container may use, so that its order need not name them.
    fn limit_devices(&self, group: &str) -> Result<(), Fault> {
        let mut resources = spec::resources(&crate::Limits::default());
        resources.set_devices(Some(spec::default_device_rules()));
        self.cgroups.apply(group, &resources)
    }

    /// Makes a network namespace whose loopback is up, by a short visit.
    pub(crate) fn new_network(&mut self) -> Result<OwnedFd, Fault> {
        if let Some(users) = self.users.take() {
            let made = self.network_for_users(&users.fd);
            self.users = Some(users);
            return made;
        }
        let what = || "make a network namespace".to_owned();
        let own = open_namespace("/proc/self/ns/net")?;
        sys::unshare(libc::CLONE_NEWNET).attempt(what)?;
        let made = sys::loopback_up().attempt(|| "bring the loopback up".into());
        let made = made.and_then(|()| open_namespace("/proc/self/ns/net"));
        sys::join_namespaces(&own, libc::CLONE_NEWNET).attempt(what)?;
        made
    }

    /// Makes a process inside the sandbox's process namespace, if it has one. The shim's other
    /// children (log writers, helpers) must not be seen there, so the shim itself steps back out.
    fn clone_inside(&self, flags: i32, into: Option<RawFd>) -> Result<sys::Fork, Fault> {
        let what = || "make a container's process".to_owned();
        let shared = self.namespaces.iter().find(|(_, kind)| *kind == libc::CLONE_NEWPID);
        let Some((inside, kind)) = shared else { return sys::clone3(flags, into).attempt(what) };
        let own = open_namespace("/proc/self/ns/pid")?;
        sys::join_namespaces(inside, *kind).attempt(what)?;
        match sys::clone3(flags, into) {
            Ok(sys::Fork::Child) => Ok(sys::Fork::Child),
            made => {
                sys::join_namespaces(&own, *kind).attempt(what)?;
                made.attempt(what)
            }
        }
    }

    fn fork_spare(&mut self, group: &str, in_users: bool) -> Result<Spare, Fault> {
        let entry = self.cgroups.entry(group)?;
        let (socket, theirs) = process::socket_pair()?;
        let (stdin_read, stdin) = process::pipe()?;
        let (stdout, stdout_write) = process::pipe()?;
        let (stderr, stderr_write) = process::pipe()?;
        if let Some(users) = self.users.as_ref().filter(|_| in_users) {
            for pipe in [&stdin, &stdout, &stderr] {
                users.range.own(pipe)?;
            }
        }
        let mut joins = Vec::new();
        for (fd, kind) in &self.namespaces {
            // Nobody can join a process namespace: it is born there.
            if *kind != libc::CLONE_NEWPID {
                joins.push((fd.try_clone().attempt(|| "copy a descriptor".into())?, *kind));
            }
        }
        let into = entry.for_clone();
        let setup = init::Setup {
            entry,
            joins,
            socket: theirs,
            stdio: [stdin_read, stdout_write, stderr_write],
            node_network: open_namespace("/proc/self/ns/net")?,
            group: group.to_owned(),
            views: self.cgroups.views(group),
            in_users,
        };
        let flags = init::namespaces(self.birth.pid, self.birth.ipc);
        let made = match self.users.take_if(|_| in_users) {
            Some(users) => {
                let made = self.clone_in_users(&users, flags, &setup.entry);
                self.users = Some(users);
                made?
            }
            None => match self.clone_inside(flags, into)? {
                sys::Fork::Child => None,
                sys::Fork::Parent(pid) => Some(pid),
            },
        };
        let Some(pid) = made else { init::run(&setup) };
        Ok(Spare { pid, group: group.to_owned(), in_users, socket, stdin, stdout, stderr })
    }

    /// Lets a waiting first process go.
    pub(crate) fn drop_spare(&mut self) -> Result<(), Fault> {
        let Some(spare) = self.spare.take() else { return Ok(()) };
        self.helpers.push(spare.pid);
        sys::kill(spare.pid, libc::SIGKILL).unwrap_or_default();
        self.cgroups.destroy(&spare.group)
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
