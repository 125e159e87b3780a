//! The first process of a container, from its birth in new namespaces to its program.
//!
//! It is born before it is needed: it enters its cgroup and its network, then waits for an order. Only
//! then are limits, root and program known. Nothing here runs in a process with threads.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Process, Spec};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountPropagationFlags;
use serde::{Deserialize, Serialize};

use super::caps::Sets;
use super::cgroup::Entry;
use super::exec::{Become, set_rlimits};
use super::oci::{self, Oci};
use super::overlay::Overlay;
use super::root::{self, Kind};
use super::user_map::UserRange;
use super::{
    Attempt, Fault, copy_up, dev, mount_options, mounts, pid1, process, seccomp, sys, users,
};
use crate::{IpcMode, PidMode};

/// The namespaces that a first process is born with.
pub(crate) fn namespaces(pid: PidMode, ipc: IpcMode) -> i32 {
    let pid = match pid {
        PidMode::Container => libc::CLONE_NEWPID,
        PidMode::Sandbox | PidMode::Host => 0,
    };
    let ipc = match ipc {
        IpcMode::Container | IpcMode::None => libc::CLONE_NEWIPC,
        IpcMode::Sandbox | IpcMode::Host => 0,
    };
    libc::CLONE_NEWNS | libc::CLONE_NEWUTS | pid | ipc
}

/// What the first process is born with.
#[derive(Debug)]
pub(crate) struct Setup {
    /// How it gets into its cgroup.
    pub(crate) entry: Entry,
    /// The namespaces to join, each with its kind: the sandbox's network, unless that is the
    /// node's, and perhaps its IPC.
    pub(crate) joins: Vec<(OwnedFd, i32)>,
    /// Where its order comes from and where it tells how the start went.
    pub(crate) socket: OwnedFd,
    /// Standard input, output and error.
    pub(crate) stdio: [OwnedFd; 3],
    /// The node's network.
    pub(crate) node_network: OwnedFd,
    /// Its cgroup.
    pub(crate) group: String,
    /// What it shows of its cgroup under `/sys/fs/cgroup`.
    pub(crate) views: Vec<(String, PathBuf)>,
    /// It was born as the root of the sandbox's user namespace, in its cgroup.
    pub(crate) in_users: bool,
}

/// A container in its sandbox's user namespace. With the order come, before the sources of bind
/// mounts, its root and its `/dev`, which only the node's own root can make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Users {
    /// The sandbox's ids.
    pub(crate) range: UserRange,
    /// The targets of bind mounts whose owners are shown as the namespace has them. Others belong to
    /// the range already.
    pub(crate) shown: Vec<PathBuf>,
}

/// What it is to become.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The specification. Its user is a placeholder: see `user`.
    pub(crate) spec: Spec,
    /// The root.
    pub(crate) root: Overlay,
    /// `user[:group]`, looked up in the image.
    pub(crate) user: String,
    /// Further groups, looked up in the image.
    pub(crate) groups: Vec<String>,
    /// A small init as process 1.
    pub(crate) init: bool,
    /// Whether anybody reads the output; else it goes to `/dev/null`.
    pub(crate) output: bool,
    /// Standard input stays open; else it is `/dev/null`.
    pub(crate) open_stdin: bool,
    /// A network of its own comes with the order, as the first descriptor. After it comes the source
    /// of every bind mount: what the node has mounted since this process was born does not show here.
    #[serde(default)]
    pub(crate) own_network: bool,
    /// Another engine to carry the order out.
    #[serde(default)]
    pub(crate) oci: Option<Oci>,
    /// The targets of volumes: each is filled from the image if it is empty.
    #[serde(default)]
    pub(crate) filled: Vec<PathBuf>,
    /// It is in its sandbox's user namespace.
    #[serde(default)]
    pub(crate) users: Option<Users>,
}

/// Lives the first process's life. Told to the other end of the socket: `T` with a terminal's master,
/// `E` and the reason if the start failed; its end without either means that the program runs.
pub(crate) fn run(setup: &Setup) -> ! {
    match begin(setup) {
        Ok(()) => sys::exit_now(0),
        Err(fault) => pid1::report(&setup.socket, &fault),
    }
    sys::exit_now(127)
}

fn begin(setup: &Setup) -> Result<(), Fault> {
    sys::reset_signals();
    process::die_with_parent()?;
    // What the supervisor holds, such as other containers' pipes, would stay open while this waits.
    let mut keep = setup.entry.descriptors();
    keep.extend(setup.joins.iter().map(|(fd, _)| fd.as_raw_fd()));
    keep.extend([setup.socket.as_raw_fd(), setup.node_network.as_raw_fd()]);
    keep.extend(setup.stdio.iter().map(AsRawFd::as_raw_fd));
    sys::close_all_but(&keep);
    process::set_name(c"container");
    if !setup.in_users {
        process::set_oom_score(0)?;
        setup.entry.attach_self()?;
    }
    for (namespace, kind) in &setup.joins {
        sys::join_namespaces(namespace, *kind).attempt(|| "join the sandbox".into())?;
    }
    // What the node mounts later still shows until the order comes; nothing goes the other way.
    let flow = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flow).attempt(|| "detach the mounts from the node".into())?;
    rustix::process::umask(Mode::from(0o022));
    let Some((order, handed)) = receive(&setup.socket)? else { return Ok(()) };
    container(&order, handed, setup)
}

/// Reads one message: its length in four bytes, with which descriptors come, then JSON. None if the
/// supervisor has let go.
fn receive(socket: &OwnedFd) -> Result<Option<(Order, Vec<OwnedFd>)>, Fault> {
    let what = || "receive the order".to_owned();
    let mut length = [0; 4];
    let (read, handed) = process::receive_with_fds(socket, &mut length).attempt(what)?;
    if read == 0 || !read_all(socket, &mut length[read..]).attempt(what)? {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap_or(0)];
    if !read_all(socket, &mut bytes).attempt(what)? {
        return Ok(None);
    }
    let order = serde_json::from_slice(&bytes).map_err(std::io::Error::other).attempt(what)?;
    Ok(Some((order, handed)))
}

fn read_all(socket: &OwnedFd, mut into: &mut [u8]) -> std::io::Result<bool> {
    while !into.is_empty() {
        let read = rustix::io::retry_on_intr(|| rustix::io::read(socket, &mut *into))?;
        if read == 0 {
            return Ok(false);
        }
        into = &mut into[read..];
    }
    Ok(true)
}

fn container(order: &Order, handed: Vec<OwnedFd>, setup: &Setup) -> Result<(), Fault> {
    let spec = &order.spec;
    let mut handed = handed.into_iter();
    if order.own_network {
        let network = handed.next();
        let network = network.ok_or_else(|| Fault::refused("join the network", "it is missing"))?;
        sys::join_namespaces(network, libc::CLONE_NEWNET).attempt(|| "join the network".into())?;
    }
    if let Some(oci) = &order.oci {
        return oci::run(oci, order, handed, setup);
    }
    let program = spec
        .process()
        .as_ref()
        .ok_or_else(|| Fault::refused("read the specification", "it has no process"))?;
    if let Some(score) = program.oom_score_adj().filter(|score| *score != 0) {
        process::set_oom_score(score)?;
    }
    sys::new_session_keyring();
    // It fails only for a process that leads a group already, which a new one does not.
    rustix::process::setsid().attempt(|| "begin a session".into())?;
    let root = build_root(order, handed, &setup.views)?;
    set_stdio(order, setup, &root)?;
    process::enter_root(&root)?;
    drop(root);
    let slash = open_root()?;
    let mut cwd = program.cwd().clone();
    if cwd.as_os_str().is_empty() {
        cwd = PathBuf::from("/");
    }
    // While the root can still be written.
    root::ensure(&slash, &cwd, Kind::Folder).map_err(|fault| Fault {
        attempt: format!("make the working directory \"{}\"", cwd.display()),
        source: fault.source,
    })?;
    settle(spec, &slash)?;
    set_rlimits(program)?;
    let user = users::resolve(&slash, &order.user, &order.groups)?;
    if order.users.is_some() {
        user.check_range()?;
    }
    let become_it = becoming(spec, program, user, cwd)?;
    if order.init { Err(pid1::run(&become_it, &setup.socket)) } else { Err(become_it.go()) }
}

/// What a specification's process becomes, as a given user.
pub(crate) fn becoming(
    spec: &Spec,
    process: &Process,
    user: users::User,
    cwd: PathBuf,
) -> Result<Become, Fault> {
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    Ok(Become {
        user,
        sets: process.capabilities().as_ref().map(Sets::of),
        filter: profile.map(seccomp::filter).transpose()?,
        apparmor: process.apparmor_profile().clone(),
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        cwd,
        args: process.args().clone().unwrap_or_default(),
        env: process.env().clone().unwrap_or_default(),
    })
}

fn open_root() -> Result<OwnedFd, Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open("/", flags, Mode::empty()).attempt(|| "open the root".into())
}

fn build_root(
    order: &Order,
    mut handed: impl Iterator<Item = OwnedFd>,
    views: &[(String, PathBuf)],
) -> Result<OwnedFd, Fault> {
    let (root, mut dev) = match &order.users {
        Some(_) => (take_root(handed.next())?, handed.next()),
        None => (order.root.mount()?, None),
    };
    let linux = order.spec.linux().as_ref();
    for mount in order.spec.mounts().iter().flatten() {
        if mount.typ().as_deref() == Some("cgroup") {
            show_cgroup(&root, mount, views)?;
            continue;
        }
        let source = if mounts::is_bind(mount) { handed.next() } else { None };
        if let Some(volume) = source.as_ref().filter(|_| order.filled.contains(mount.destination()))
        {
            copy_up::fill(&root, mount.destination(), volume)?;
        }
        if mount.destination() != Path::new("/dev") {
            mounts::carry_out(&root, mount, source)?;
        } else if let Some(made) = dev.take() {
            mounts::put_unlinked(&root, mount.destination(), made)?;
            dev::fill(&root, &[])?;
        } else {
            mounts::carry_out(&root, mount, source)?;
            let devices = linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
            dev::fill(&root, devices)?;
        }
    }
    Ok(root)
}

/// Puts a root that somebody else has made into this mount namespace. What is below the node's own
/// root is not this user's to walk, so it goes on top of that; nobody looks for it by a path.
fn take_root(made: Option<OwnedFd>) -> Result<OwnedFd, Fault> {
    let root = made.ok_or_else(|| Fault::refused("take the root", "it is missing"))?;
    mounts::put_on_root(&root)?;
    Ok(root)
}

/// The container's own cgroup, so that programs find their limits: on v2 the file system itself in a
/// cgroup namespace, on v1 its folder of each hierarchy.
fn show_cgroup(root: &OwnedFd, mount: &Mount, views: &[(String, PathBuf)]) -> Result<(), Fault> {
    let options = mount_options::parse(mount.options().as_deref().unwrap_or_default());
    let target = root::ensure(root, mount.destination(), Kind::Folder)?;
    if views.iter().any(|(name, _)| name.is_empty()) {
        sys::unshare(libc::CLONE_NEWCGROUP).attempt(|| "make a cgroup namespace".into())?;
        return mounts::put(mounts::fresh("cgroup2", "cgroup", &options)?, target);
    }
    let folder = mount_options::parse(&["mode=755".into()]);
    let cover = mounts::fresh("tmpfs", "tmpfs", &folder)?;
    mounts::put(&cover, target)?;
    for (name, folder) in views {
        let copy = mounts::copy_of(folder, false)?;
        mounts::set_attributes(&copy, false, options.attributes)?;
        mounts::put(copy, root::ensure(root, &mount.destination().join(name), Kind::Folder)?)?;
    }
    mounts::set_attributes(&cover, false, options.attributes)
}

fn set_stdio(order: &Order, setup: &Setup, root: &OwnedFd) -> Result<(), Fault> {
    let what = || "set standard input and output".to_owned();
    let terminal = order.spec.process().as_ref().is_some_and(|p| p.terminal().unwrap_or(false));
    if terminal {
        let (master, slave) = dev::console(root)?;
        process::send_with_fds(&setup.socket, b"T", &[std::os::fd::AsFd::as_fd(&master)])
            .attempt(what)?;
        return dev::use_terminal(&slave);
    }
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .attempt(what)?;
    let [input, output, error] = &setup.stdio;
    sys::become_stdio(if order.open_stdin { input } else { &null }, 0).attempt(what)?;
    sys::become_stdio(if order.output { output } else { &null }, 1).attempt(what)?;
    sys::become_stdio(if order.output { error } else { &null }, 2).attempt(what)
}

/// What remains once the container's root is the root.
fn settle(spec: &Spec, slash: &OwnedFd) -> Result<(), Fault> {
    if let Some(name) = spec.hostname() {
        rustix::system::sethostname(name.as_bytes())
            .attempt(|| format!("set the host name \"{name}\""))?;
    }
    let Some(linux) = spec.linux() else { return Ok(()) };
    let mut settings: Vec<_> = linux.sysctl().iter().flatten().collect();
    settings.sort();
    for (name, value) in settings {
        let path = if name.contains('/') { name.clone() } else { name.replace('.', "/") };
        std::fs::write(Path::new("/proc/sys").join(path), value)
            .attempt(|| format!("set {name} to \"{value}\""))?;
    }
    if spec.root().as_ref().is_some_and(|root| root.readonly().unwrap_or(false)) {
        mounts::seal_root()?;
    }
    mounts::make_readonly(slash, linux.readonly_paths().as_deref().unwrap_or_default())?;
    mounts::mask(slash, linux.masked_paths().as_deref().unwrap_or_default())
}
