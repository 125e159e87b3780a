//! A container by another engine: an OCI runtime program, such as `runc`, is given the same
//! specification as a bundle.
//!
//! The container's first process, in its cgroup and network already, has mounts and processes of its
//! own. It mounts the root there, has the program create and start the container, and then waits for
//! it, passing signals on. So to the shim it is a first process like any other: its output, its end
//! and its being killed mean the same, and nothing is left on the node that has to be cleared away.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilitiesBuilder, LinuxDeviceCgroup, LinuxNamespace,
    LinuxNamespaceType, Spec,
};
use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use serde::{Deserialize, Serialize};

use super::caps::{self, Sets};
use super::init::{Order, Setup};
use super::root::Kind;
use super::{Attempt, Fault, copy_up, mounts, pid1, plain, process, root, sys, users};

/// Which program, and where it keeps what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Oci {
    /// The program.
    pub(crate) program: PathBuf,
    /// A folder of the container's own; exists.
    pub(crate) folder: PathBuf,
    /// The container's name to the program.
    pub(crate) id: String,
}

impl Oci {
    /// Whether it is gVisor's `runsc`, which runs containers on a kernel of its own: the process that
    /// the node sees is that kernel.
    pub(crate) fn has_own_kernel(&self) -> bool {
        is_gvisor(&self.program)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.folder.join("state"));
        if self.has_own_kernel() {
            // Without a virtual machine's help, which a node need not have; and with the sockets of the
            // network namespace that it is given, which stays as the node has set it up.
            command.args(["--platform", "ptrace", "--network", "host"]);
        }
        command.arg("--log").arg(self.folder.join("log.json")).args(["--log-format", "json"]);
        command.args(words);
        command
    }

    /// Runs the program to its end.
    fn run(&self, mut command: Command, what: &str) -> Result<(), Fault> {
        let shown = || format!("{} {what}", self.program.display());
        sys::with_default_signals(&mut command);
        if command.status().attempt(shown)?.success() {
            return Ok(());
        }
        Err(Fault::refused(shown(), self.last_words()))
    }

    /// What the program logged last, without its own preamble.
    fn last_words(&self) -> String {
        #[derive(Deserialize)]
        struct Line {
            msg: String,
        }
        let text = std::fs::read_to_string(self.folder.join("log.json")).unwrap_or_default();
        let lines = text.lines().rev();
        let mut said = lines.filter_map(|line| serde_json::from_str::<Line>(line).ok());
        said.next().map_or_else(|| "it says nothing of why".to_owned(), |line| line.msg)
    }
}

/// Lives the rest of a first process's life; returns only with the reason why nothing was started.
pub(crate) fn run(
    oci: &Oci,
    order: &Order,
    handed: impl Iterator<Item = OwnedFd>,
    setup: &Setup,
) -> Result<(), Fault> {
    let all: Vec<i32> = (1..=31).filter(|s| ![libc::SIGKILL, libc::SIGSTOP].contains(s)).collect();
    sys::set_mask(&all);
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0).attempt(|| "adopt orphans".into())?;
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0).attempt(|| "hide the memory".into())?;
    // The program takes a network that it is in itself for the node's: it gets the container's by
    // name, and is run in the node's.
    let what = || "leave the container's network".to_owned();
    let network = File::open("/proc/self/ns/net").attempt(what)?;
    sys::join_namespaces(&setup.node_network, libc::CLONE_NEWNET).attempt(what)?;
    leave_second_hierarchy(setup)?;
    let what = || "show the processes of this namespace".to_owned();
    rustix::mount::mount("proc", "/proc", "proc", MountFlags::empty(), None::<&std::ffi::CStr>)
        .attempt(what)?;
    let root = order.root.mount()?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), network.as_raw_fd());
    let spec = bundle(oci, order, handed, &root, (&setup.group, &path))?;
    spec.save(oci.folder.join("config.json"))
        .map_err(io::Error::other)
        .attempt(|| "write the bundle's configuration".into())?;
    create(oci, order, setup)?;
    oci.run(oci.command(&["start", &oci.id]), "start")?;
    let pid = std::fs::read_to_string(oci.folder.join("pid")).unwrap_or_default();
    let pid = pid.trim().parse::<i32>().map_err(io::Error::other);
    let pid = pid.attempt(|| "read the container's process".into())?;
    process::set_name(c"init");
    // gVisor's kernel passes signals on to its program, ends as that does, and shows it no process of
    // the node.
    if !oci.has_own_kernel() {
        withdraw()?;
    }
    // The supervisor takes the end of its socket for the start.
    sys::close_all_but(&[]);
    // What the program keeps is in the container's folder and cgroups, and goes with them: its own
    // "delete" would take away what the kernel has counted, such as killings for want of memory.
    sys::exit_now(pid1::serve(pid, &all))
}

/// Whether a program is gVisor's.
pub(crate) fn is_gvisor(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "runsc")
}

/// Where control groups are v1's, a v2 hierarchy beside them is not used, and crun refuses a node that
/// has one with controllers in it: the program does not see it.
fn leave_second_hierarchy(setup: &Setup) -> Result<(), Fault> {
    if setup.views.iter().any(|(name, _)| name.is_empty()) {
        return Ok(());
    }
    let what = || "leave the second hierarchy of control groups".to_owned();
    let mounts = std::fs::read_to_string("/proc/self/mounts").attempt(what)?;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        if let (Some(at), Some("cgroup2")) = (fields.next(), fields.next()) {
            rustix::mount::unmount(at, UnmountFlags::DETACH).attempt(what)?;
        }
    }
    Ok(())
}

/// Gives up the node's files and every right but that to pass signals on. The container may see this
/// process, where it has no process namespace of its own.
fn withdraw() -> Result<(), Fault> {
    process::withdraw()?;
    let kill = [Capability::Kill].into();
    let none = Capabilities::new;
    let sets = LinuxCapabilitiesBuilder::default()
        .bounding(none())
        .effective(Capabilities::clone(&kill))
        .permitted(kill)
        .inheritable(none())
        .ambient(none());
    let sets = sets.build().map_err(io::Error::other).attempt(|| "give up rights".into())?;
    let sets = Sets::of(&sets);
    sets.drop_bounding()?;
    sets.apply()
}

/// The specification as the program is to carry it out.
fn bundle(
    oci: &Oci,
    order: &Order,
    mut handed: impl Iterator<Item = OwnedFd>,
    root: &OwnedFd,
    (group, network): (&str, &str),
) -> Result<Spec, Fault> {
    let mut spec = order.spec.clone();
    let mut all = spec.mounts().clone().unwrap_or_default();
    for (number, mount) in all.iter_mut().enumerate().filter(|(_, mount)| mounts::is_bind(mount)) {
        let source = handed.next();
        let source =
            source.ok_or_else(|| Fault::refused("bind a mount", "its source is missing"))?;
        if order.filled.contains(mount.destination()) {
            copy_up::fill(root, mount.destination(), &source)?;
        }
        let at = oci.folder.join(format!("mount-{number}"));
        let kept = kept_options(&source)?;
        put(source, &at)?;
        mount.set_source(Some(at));
        let options = mount.options().iter().flatten().cloned().chain(kept).collect();
        mount.set_options(Some(options));
    }
    spec.set_mounts(Some(all));
    if let Some(mut linux) = spec.linux().clone() {
        let mut namespaces = linux.namespaces().clone().unwrap_or_default();
        let own =
            |namespace: &&mut _| LinuxNamespace::typ(namespace) == LinuxNamespaceType::Network;
        if let Some(namespace) = namespaces.iter_mut().find(own) {
            namespace.set_path(Some(PathBuf::from(network)));
        }
        if order.init {
            // The process that waits for the container is the first of its process namespace already:
            // it passes signals on and reaps what is orphaned.
            namespaces.retain(|namespace| namespace.typ() != LinuxNamespaceType::Pid);
        }
        linux.set_namespaces(Some(namespaces));
        linux.set_cgroups_path(Some(PathBuf::from(group_in(group))));
        if let Some(mut resources) = linux.resources().clone() {
            let rules = resources.devices().clone();
            resources.set_devices(rules.map(|rules| rules.into_iter().map(any_number).collect()));
            linux.set_resources(Some(resources));
        }
        spec.set_linux(Some(linux));
    }
    if let Some(mut process) = spec.process().clone() {
        let found = users::resolve(root, &order.user, &order.groups)?;
        let mut user = process.user().clone();
        user.set_uid(found.uid).set_gid(found.gid).set_additional_gids(Some(found.groups));
        process.set_user(user);
        let mut env = process.env().clone().unwrap_or_default();
        if !env.iter().any(|line| line.starts_with("HOME=")) {
            env.push(format!("HOME={}", found.home));
        }
        process.set_env(Some(env));
        let sets = process.capabilities().as_ref().map(caps::within_reach);
        process.set_capabilities(sets);
        spec.set_process(Some(process));
    }
    Ok(spec)
}

/// What the node forbids on a mount, to be forbidden on every copy too: not every program keeps it.
fn kept_options(source: &OwnedFd) -> Result<Vec<String>, Fault> {
    let flags = rustix::fs::fstatvfs(source).attempt(|| "look at a mount".into())?.f_flag;
    let options = [
        (StatVfsMountFlags::RDONLY, "ro"),
        (StatVfsMountFlags::NOSUID, "nosuid"),
        (StatVfsMountFlags::NODEV, "nodev"),
        (StatVfsMountFlags::NOEXEC, "noexec"),
    ];
    let kept = options.into_iter().filter(|(flag, _)| flags.contains(*flag));
    Ok(kept.map(|(_, option)| option.to_owned()).collect())
}

/// A rule for any device in the one way in which every program reads it.
fn any_number(mut rule: LinuxDeviceCgroup) -> LinuxDeviceCgroup {
    rule.set_major(rule.major().filter(|number| *number >= 0));
    rule.set_minor(rule.minor().filter(|number| *number >= 0));
    rule
}

/// Shows a detached mount at a path that is made for it.
fn put(source: OwnedFd, at: &Path) -> Result<(), Fault> {
    let what = || format!("mount on {}", at.display());
    match root::kind(&source).attempt(what)? {
        Kind::Folder => std::fs::create_dir_all(at).attempt(what)?,
        Kind::File => File::create(at).map(drop).attempt(what)?,
    }
    let target = rustix::fs::open(at, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    mounts::put(source, target.attempt(what)?)
}

fn create(oci: &Oci, order: &Order, setup: &Setup) -> Result<(), Fault> {
    let mut command = oci.command(&["create", "--bundle"]);
    command.arg(&oci.folder).arg("--pid-file").arg(oci.folder.join("pid"));
    let terminal = order.spec.process().as_ref().is_some_and(|p| p.terminal().unwrap_or(false));
    if terminal {
        return create_with_terminal(oci, command, setup);
    }
    let copy = |fd: &OwnedFd, wanted: bool| {
        if !wanted {
            return Ok(Stdio::null());
        }
        fd.try_clone().map(Stdio::from).attempt(|| "copy a descriptor".into())
    };
    let [input, output, error] = &setup.stdio;
    command.stdin(copy(input, order.open_stdin)?);
    command.stdout(copy(output, order.output)?).stderr(copy(error, order.output)?);
    oci.run(named(command, oci), "create")
}

fn named(mut command: Command, oci: &Oci) -> Command {
    command.arg(&oci.id);
    command
}

/// The program sends the terminal's master to a socket.
fn create_with_terminal(oci: &Oci, mut command: Command, setup: &Setup) -> Result<(), Fault> {
    let what = || "receive the terminal".to_owned();
    // A socket's name is short, and a folder's need not be.
    std::env::set_current_dir(&oci.folder).attempt(what)?;
    let listener = UnixListener::bind("console").attempt(what)?;
    listener.set_nonblocking(true).attempt(what)?;
    command.args(["--console-socket", "console"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    oci.run(named(command, oci), "create")?;
    let (stream, _) = listener.accept().attempt(what)?;
    let (_, mut fds) = process::receive_with_fds(&stream, &mut [0; 4096]).attempt(what)?;
    let master = fds.pop().ok_or_else(|| Fault::refused(what(), "it did not come"))?;
    process::send_with_fds(&setup.socket, b"T", &[master.as_fd()]).attempt(what)?;
    std::env::set_current_dir("/").attempt(what)
}

/// The cgroup that the program makes for a container, inside the one that it was given.
pub(crate) fn group_in(group: &str) -> String {
    format!("{group}/oci")
}

/// The container's own first process, as the node numbers it: the one child of the process that waits
/// for it.
pub(crate) fn first_process(waiting: i32) -> Result<i32, Fault> {
    let what = || format!("find the container's process below {waiting}");
    let path = format!("/proc/{waiting}/task/{waiting}/children");
    let text = std::fs::read_to_string(&path).attempt(what)?;
    let first = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
    first.ok_or_else(|| Fault::refused(what(), "it has none"))
}

/// The program by its name or path.
pub(crate) fn find_program(name: &Path) -> Result<PathBuf, String> {
    let missing = |why: &str| {
        format!("the OCI runtime {} {why}; install it, or leave --oci-runtime out", name.display())
    };
    if name.components().count() > 1 {
        let found = name.canonicalize();
        return found.map_err(|error| missing(&format!("cannot be used ({})", plain(&error))));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(name));
    let found = candidates.find(|candidate| candidate.is_file());
    found.ok_or_else(|| missing("is not among the programs of this node"))
}
