//! A further program in a running container.
//!
//! A helper process joins the container's namespaces and then makes the program's process with the
//! supervisor as its parent (`CLONE_PARENT`), because joining a pid namespace counts only for children.

use std::os::fd::{AsFd, OwnedFd};

use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags};
use rustix::termios::Winsize;

use super::cgroup::Entry;
use super::exec::{raise_rlimits, set_rlimits};
use super::init::becoming;
use super::{Attempt, Fault, dev, pid1, process, sys, user_map, users};

/// What is to run, and where.
#[derive(Debug)]
pub(crate) struct Enter<'a> {
    /// The container's first process.
    pub(crate) target: OwnedFd,
    /// How to get into its cgroup.
    pub(crate) entry: Entry,
    /// Told as by [`super::init::run`]; `P`, the pid in decimal and the end of a line come first.
    pub(crate) status: OwnedFd,
    /// What it reads and writes.
    pub(crate) stdio: Stdio,
    /// The container's specification: capabilities, filter, limits and variables are taken from it.
    pub(crate) spec: &'a Spec,
    /// `user[:group]`, looked up in the container.
    pub(crate) user: &'a str,
    /// Further groups.
    pub(crate) groups: &'a [String],
    /// Program and arguments.
    pub(crate) args: &'a [String],
    /// Added to the container's own variables; these win.
    pub(crate) env: &'a [String],
    /// The container is in a user namespace.
    pub(crate) in_users: bool,
}

/// What a program reads and writes.
#[derive(Debug)]
pub(crate) enum Stdio {
    /// Standard input, none for nothing; standard output and error as one.
    Pipes { input: Option<OwnedFd>, output: OwnedFd },
    /// A terminal of the container's own, of so many rows and columns.
    Terminal { rows: u16, columns: u16 },
}

/// Lives the helper's life.
pub(crate) fn run(enter: &Enter<'_>) -> ! {
    match go(enter) {
        Ok(never) => match never {},
        Err(fault) => pid1::report(&enter.status, &fault),
    }
    sys::exit_now(127)
}

fn go(enter: &Enter<'_>) -> Result<std::convert::Infallible, Fault> {
    sys::reset_signals();
    process::die_with_parent()?;
    process::set_name(c"exec");
    process::set_oom_score(0)?;
    enter.entry.attach_self()?;
    // From here on the container's processes can see this one.
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0).attempt(|| "hide the memory".into())?;
    if let Stdio::Pipes { input, output } = &enter.stdio {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .attempt(|| "open /dev/null".into())?;
        sys::become_stdio(input.as_ref().unwrap_or(&null), 0)
            .attempt(|| "set standard input".into())?;
        for number in [1, 2] {
            sys::become_stdio(output, number).attempt(|| "set standard output".into())?;
        }
    }
    let mut kinds = libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS;
    if matches!(enter.entry, Entry::Birth(_)) {
        kinds |= libc::CLONE_NEWCGROUP;
    }
    if enter.in_users {
        kinds |= libc::CLONE_NEWUSER;
        if let Some(process) = enter.spec.process() {
            raise_rlimits(0, process)?;
        }
    }
    sys::join_namespaces(&enter.target, kinds).attempt(|| "join the container".into())?;
    if enter.in_users {
        user_map::become_root()?;
        process::die_with_parent()?;
    }
    // What the program says must come after its pid: it waits for the end of this process.
    let (wait, until) = process::pipe()?;
    match sys::clone3(libc::CLONE_PARENT, None).attempt(|| "make a process".into())? {
        sys::Fork::Parent(pid) => {
            rustix::io::write(&enter.status, format!("P{pid}\n").as_bytes())
                .attempt(|| "tell the pid".into())?;
            sys::exit_now(0)
        }
        sys::Fork::Child => {
            drop(until);
            // An error would only mean that it need not be waited for.
            rustix::io::retry_on_intr(|| rustix::io::read(&wait, &mut [0; 1])).unwrap_or_default();
            Err(program(enter))
        }
    }
}

/// Gives a terminal another size, which its programs hear of.
pub(crate) fn set_size(terminal: impl AsFd, rows: u16, columns: u16) -> rustix::io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size)
}

fn program(enter: &Enter<'_>) -> Fault {
    let run = || {
        sys::new_session_keyring();
        rustix::process::setsid().attempt(|| "begin a session".into())?;
        let what = || "open the root".to_owned();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let slash = rustix::fs::open("/", flags, Mode::empty()).attempt(what)?;
        if let Stdio::Terminal { rows, columns } = enter.stdio {
            let (master, slave) = dev::open_terminal(&slash)?;
            set_size(&master, rows, columns).attempt(|| "set the terminal's size".into())?;
            process::send_with_fds(&enter.status, b"T", &[master.as_fd()])
                .attempt(|| "hand over the terminal".into())?;
            dev::use_terminal(&slave)?;
        }
        let process = enter.spec.process().as_ref();
        let process =
            process.ok_or_else(|| Fault::refused("read the specification", "no process"))?;
        set_rlimits(process)?;
        let user = users::resolve(&slash, enter.user, enter.groups)?;
        if enter.in_users {
            user.check_range()?;
        }
        let mut becoming = becoming(enter.spec, process, user, process.cwd().clone())?;
        becoming.args = enter.args.to_vec();
        let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
        becoming.env.retain(|old| !enter.env.iter().any(|new| name(new) == name(old)));
        becoming.env.extend(enter.env.iter().cloned());
        let terminal = matches!(enter.stdio, Stdio::Terminal { .. });
        if terminal && !becoming.env.iter().any(|line| name(line) == "TERM") {
            becoming.env.push("TERM=xterm".to_owned());
        }
        Err::<std::convert::Infallible, _>(becoming.go())
    };
    match run() {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}
