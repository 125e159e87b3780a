//! System calls that rustix does not have, or has not in the form that a single-threaded process
//! between `clone3` and `execve` needs.
#![expect(unsafe_code, reason = "raw system calls: each block says why it is sound")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::sock_filter;

/// A new process, seen from each side.
#[derive(Debug)]
pub(crate) enum Fork {
    /// The caller goes on; the child has this number in the caller's pid namespace.
    Parent(i32),
    /// The new process, with one thread: this one.
    Child,
}

/// `struct clone_args` of `linux/sched.h`, up to the field that Linux 5.7 added.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Linux 5.7's `CLONE_INTO_CGROUP`, which libc has as a 32-bit constant.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `clone3(2)` without shared memory, that is a fork into new namespaces, and on cgroup v2 straight
/// into a cgroup. The caller must have one thread only.
pub(crate) fn clone3(flags: i32, cgroup: Option<RawFd>) -> io::Result<Fork> {
    let mut args = CloneArgs { flags: u64::from(flags.cast_unsigned()), ..CloneArgs::default() };
    if flags & libc::CLONE_PARENT == 0 {
        args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    }
    if let Some(fd) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    }
    // SAFETY: `args` is a valid clone_args of the size given. No stack is given and memory is not
    // shared, so the child goes on with a copy of this one thread, as after fork(2); this process has
    // no other thread that could hold a lock.
    let pid = unsafe {
        libc::syscall(libc::SYS_clone3, std::ptr::from_ref(&args), size_of::<CloneArgs>())
    };
    match i32::try_from(pid).unwrap_or(-1) {
        0 => Ok(Fork::Child),
        pid if pid > 0 => Ok(Fork::Parent(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

fn zero_or_errno(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// `mount_setattr(2)` on the mount that `mount` is the root of.
pub(crate) fn mount_setattr(
    mount: impl AsFd,
    recursive: bool,
    set: u64,
    propagation: u64,
) -> io::Result<()> {
    set_attr(mount, recursive, &MountAttr { attr_set: set, attr_clr: 0, propagation, userns_fd: 0 })
}

/// Idmaps a detached mount: owners are shown, and written, as a user namespace has them.
pub(crate) fn idmap(mount: impl AsFd, recursive: bool, users: impl AsFd) -> io::Result<()> {
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    let userns_fd = u64::try_from(users.as_fd().as_raw_fd()).unwrap_or(u64::MAX);
    let attr = MountAttr { attr_set: MOUNT_ATTR_IDMAP, attr_clr: 0, propagation: 0, userns_fd };
    set_attr(mount, recursive, &attr)
}

fn set_attr(mount: impl AsFd, recursive: bool, attr: &MountAttr) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the descriptor is open, the path is an empty C string, `attr` has the size given.
    zero_or_errno(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    })
}

/// Puts every signal's action back to the default (an ignored one would survive `execve`) and
/// unblocks all.
pub(crate) fn reset_signals() {
    // struct sigaction of the kernel: action, flags, restorer, mask; all zero is the default. The C
    // library's call would refuse its own two signals, which may have been inherited ignored as well.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: `default` is a valid action of the size that goes with a mask of eight bytes; for
        // SIGKILL and SIGSTOP the call fails and changes nothing.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null::<u64>(),
                8,
            )
        };
    }
    set_mask(&[]);
}

/// Has a program start with the default action of every signal. The C library's own way to start one
/// leaves its two internal signals ignored, which the program would pass on to a container.
pub(crate) fn with_default_signals(command: &mut std::process::Command) {
    // SAFETY: what runs between fork and exec only makes system calls and touches no memory but its
    // own stack.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(command, || {
            reset_signals();
            Ok(())
        })
    };
}

/// Blocks exactly these signals.
pub(crate) fn set_mask(signals: &[i32]) {
    // SAFETY: `set` is initialised by sigemptyset before it is used; null for the old mask is allowed.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Ignores a signal, or (for SIGCHLD) lets the kernel reap.
pub(crate) fn ignore_signal(signal: i32) {
    // SAFETY: SIG_IGN is a valid action.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// A descriptor that becomes readable when one of these (blocked) signals is pending.
pub(crate) fn signalfd(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: `set` is initialised by sigemptyset; the descriptor returned is ours alone.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Waits for one of these (blocked) signals and tells which.
pub(crate) fn wait_signal(signals: &[i32]) -> io::Result<i32> {
    // SAFETY: `set` is initialised by sigemptyset; null for the details is allowed.
    let signal = unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigwaitinfo(&raw const set, std::ptr::null_mut())
    };
    if signal < 0 { Err(io::Error::last_os_error()) } else { Ok(signal) }
}

/// `kill(2)`.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    zero_or_errno(unsafe { libc::syscall(libc::SYS_kill, pid, signal) })
}

/// Reaps one child that has ended: its pid, and its status with 128 + n for signal n.
pub(crate) fn reap() -> Option<(i32, i32)> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is valid for writing.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
        if pid < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
            continue;
        }
        if pid <= 0 {
            return None;
        }
        let code = if libc::WIFSIGNALED(status) {
            128 + libc::WTERMSIG(status)
        } else {
            libc::WEXITSTATUS(status)
        };
        return Some((pid, code));
    }
}

/// Ends this process at once: no destructors, no exit handlers (they belong to the process that was
/// copied).
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// `prctl(2)` with integers only.
pub(crate) fn prctl(option: i32, a: u64, b: u64) -> io::Result<()> {
    // SAFETY: every option used in this crate takes integers, not pointers.
    zero_or_errno(unsafe { libc::syscall(libc::SYS_prctl, option, a, b, 0, 0) })
}

/// Whether this process may still get or give a capability.
pub(crate) fn is_in_bounding_set(number: u64) -> bool {
    // SAFETY: PR_CAPBSET_READ takes integers.
    unsafe { libc::syscall(libc::SYS_prctl, libc::PR_CAPBSET_READ, number, 0, 0, 0) == 1 }
}

/// Leaves the caller's session keyring behind, so that a container cannot read the node's keys.
pub(crate) fn new_session_keyring() {
    // SAFETY: a null name asks for an anonymous keyring. A kernel without keyrings refuses, which is
    // as good.
    unsafe { libc::syscall(libc::SYS_keyctl, 1, std::ptr::null::<libc::c_char>()) };
}

/// `capset(2)`: effective, permitted and inheritable sets as bit masks.
pub(crate) fn capset(effective: u64, permitted: u64, inheritable: u64) -> io::Result<()> {
    #[repr(C)]
    struct Header(u32, i32);
    #[repr(C)]
    struct Data(u32, u32, u32);
    let half = |set: u64, shift: u32| u32::try_from((set >> shift) & 0xffff_ffff).unwrap_or(0);
    let header = Header(0x2008_0522, 0);
    let data = [0, 32].map(|shift| {
        Data(half(effective, shift), half(permitted, shift), half(inheritable, shift))
    });
    // SAFETY: version 3 of the header goes with two data structures.
    zero_or_errno(unsafe {
        libc::syscall(libc::SYS_capset, std::ptr::from_ref(&header), data.as_ptr())
    })
}

/// Loads one seccomp filter. Needs CAP_SYS_ADMIN or no_new_privs.
pub(crate) fn load_filter(program: &[sock_filter]) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        len: libc::c_ushort,
        filter: *const sock_filter,
    }
    let len = libc::c_ushort::try_from(program.len())
        .map_err(|_| io::Error::other("the filter has more than 65535 instructions"))?;
    let program = Program { len, filter: program.as_ptr() };
    // SAFETY: the kernel copies the program, which lives until the call returns.
    zero_or_errno(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            std::ptr::from_ref(&program),
        )
    })
}

/// Marks every descriptor from `first` on to be closed by `execve`.
pub(crate) fn cloexec_from(first: u32) -> io::Result<()> {
    // SAFETY: no memory is passed; descriptors stay open until execve.
    zero_or_errno(unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
    })
}

/// Closes every descriptor from 3 on but these. Only for a new process that never touches what it
/// inherited again.
pub(crate) fn close_all_but(keep: &[RawFd]) {
    let mut keep: Vec<u32> =
        keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd > 2).collect();
    keep.sort_unstable();
    let mut from = 3;
    for fd in keep.into_iter().map(Some).chain([None]) {
        let to = fd.map_or(u32::MAX, |fd| fd.saturating_sub(1));
        if from <= to {
            // SAFETY: the caller promises not to use what is closed here.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
        from = fd.map_or(u32::MAX, |fd| fd + 1);
    }
}

/// Makes `fd` this process's descriptor `number` (0, 1 or 2).
pub(crate) fn become_stdio(fd: impl AsFd, number: RawFd) -> io::Result<()> {
    // SAFETY: both numbers are descriptors; 0 to 2 are owned by nobody in this process.
    zero_or_errno(unsafe { libc::c_long::from(libc::dup2(fd.as_fd().as_raw_fd(), number)) })
}

/// Makes the terminal `fd` the controlling one of this session.
pub(crate) fn set_controlling_terminal(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer.
    zero_or_errno(unsafe {
        libc::c_long::from(libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0))
    })
}

/// `execve(2)`; returns only if it failed.
pub(crate) fn execve(path: &CString, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| {
        list.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with null and their strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// `bpf(2)`: loads a cgroup device program and attaches it to a cgroup v2 directory.
pub(crate) fn attach_device_program(cgroup: impl AsFd, program: &[u64]) -> io::Result<()> {
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log: [u64; 2],
        version: u32,
        flags: u32,
        name: [u8; 16],
    }
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
    }
    const PROG_LOAD: i32 = 5;
    const PROG_ATTACH: i32 = 8;
    const TYPE_CGROUP_DEVICE: u32 = 15;
    const ATTACH_CGROUP_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    let address = |pointer: *const u8| pointer.addr() as u64;
    let load = Load {
        kind: TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).unwrap_or(u32::MAX),
        instructions: address(program.as_ptr().cast()),
        license: address(c"Apache-2.0".as_ptr().cast()),
        log: [0; 2],
        version: 0,
        flags: 0,
        name: *b"wharf_devices\0\0\0",
    };
    // SAFETY: `load` is the head of union bpf_attr for BPF_PROG_LOAD with the size given; its
    // pointers live until the call returns; the descriptor returned is ours alone.
    let fd = unsafe {
        let fd =
            libc::syscall(libc::SYS_bpf, PROG_LOAD, std::ptr::from_ref(&load), size_of::<Load>());
        let fd = RawFd::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let number = |fd: RawFd| u32::try_from(fd).unwrap_or(u32::MAX);
    let attach = Attach {
        target: number(cgroup.as_fd().as_raw_fd()),
        program: number(fd.as_raw_fd()),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: `attach` is the head of union bpf_attr for BPF_PROG_ATTACH with the size given.
    zero_or_errno(unsafe {
        libc::syscall(libc::SYS_bpf, PROG_ATTACH, std::ptr::from_ref(&attach), size_of::<Attach>())
    })
}

/// `setrlimit(2)` by the kernel's number.
pub(crate) fn set_rlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    prlimit(0, resource, Some((soft, hard))).map(drop)
}

/// `prlimit(2)`: sets the soft and hard limit of a process, 0 for this one; what they were before.
pub(crate) fn prlimit(pid: i32, resource: u32, set: Option<(u64, u64)>) -> io::Result<(u64, u64)> {
    let new = set.map(|(rlim_cur, rlim_max)| libc::rlimit64 { rlim_cur, rlim_max });
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `new` is null or valid for reading, `old` is valid for writing.
    zero_or_errno(unsafe {
        let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        libc::syscall(libc::SYS_prlimit64, pid, resource, new, std::ptr::from_mut(&mut old))
    })?;
    Ok((old.rlim_cur, old.rlim_max))
}

/// Joins namespaces of the process that `pidfd` stands for.
pub(crate) fn join_namespaces(pidfd: impl AsFd, kinds: i32) -> io::Result<()> {
    // SAFETY: no memory is passed; this process has one thread.
    zero_or_errno(unsafe { libc::syscall(libc::SYS_setns, pidfd.as_fd().as_raw_fd(), kinds) })
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: ifreq is plain data, for which zeroes are valid; the name fits and ends with zero;
    // SIOCSIFFLAGS reads name and flags.
    zero_or_errno(unsafe {
        let mut request = std::mem::zeroed::<libc::ifreq>();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        request.ifr_ifru.ifru_flags =
            libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
        libc::c_long::from(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request))
    })
}

/// Moves this process into new namespaces: `CLONE_NEWCGROUP` makes it see its cgroup as the root of
/// all.
pub(crate) fn unshare(kinds: i32) -> io::Result<()> {
    // SAFETY: no memory is passed; this process has one thread.
    zero_or_errno(unsafe { libc::syscall(libc::SYS_unshare, kinds) })
}
