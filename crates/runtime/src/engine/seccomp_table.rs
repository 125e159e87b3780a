//! The default system-call profile as tables: what any container may call, what a capability adds, and
//! the kernel's number of each name.
//!
//! In spirit Docker's default: everything that programs use, nothing that reaches the kernel's
//! administration or that has been a way out of containers, unless a capability says so.

use oci_spec::runtime::Capability;

/// What any container may call.
#[rustfmt::skip]
pub(crate) const ALWAYS: &[&str] = &[
    "accept", "accept4", "access", "adjtimex", "alarm", "arch_prctl", "bind", "brk", "cachestat",
    "capget", "capset", "chdir", "chmod", "chown", "clock_adjtime", "clock_getres",
    "clock_gettime", "clock_nanosleep", "close", "close_range", "connect", "copy_file_range",
    "creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait",
    "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "execve", "execveat", "exit",
    "exit_group", "faccessat", "faccessat2", "fadvise64", "fallocate", "fanotify_mark", "fchdir",
    "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr",
    "flistxattr", "flock", "fork", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync",
    "ftruncate", "futex", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake",
    "futimesat", "get_robust_list", "get_thread_area", "getcpu", "getcwd", "getdents",
    "getdents64", "getegid", "geteuid", "getgid", "getgroups", "getitimer", "getpeername",
    "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid",
    "getresuid", "getrlimit", "getrusage", "getsid", "getsockname", "getsockopt", "gettid",
    "gettimeofday", "getuid", "getxattr", "inotify_add_watch", "inotify_init", "inotify_init1",
    "inotify_rm_watch", "io_cancel", "io_destroy", "io_getevents", "io_setup", "io_submit",
    "ioctl", "ioprio_get", "ioprio_set", "kill", "landlock_add_rule", "landlock_create_ruleset",
    "landlock_restrict_self", "lchown", "lgetxattr", "link", "linkat", "listen", "listxattr",
    "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "madvise", "map_shadow_stack",
    "membarrier", "memfd_create", "memfd_secret", "mincore", "mkdir", "mkdirat", "mknod",
    "mknodat", "mlock", "mlock2", "mlockall", "mmap", "modify_ldt", "mprotect", "mq_getsetattr",
    "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "mremap", "mseal",
    "msgctl", "msgget", "msgrcv", "msgsnd", "msync", "munlock", "munlockall", "munmap",
    "name_to_handle_at", "nanosleep", "newfstatat", "open", "openat", "openat2", "pause",
    "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc", "pkey_free",
    "pkey_mprotect", "poll", "ppoll", "prctl", "pread64", "preadv", "preadv2", "prlimit64",
    "process_mrelease", "process_vm_readv", "process_vm_writev", "pselect6", "ptrace",
    "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv",
    "recvfrom", "recvmmsg", "recvmsg", "remap_file_pages", "removexattr", "rename", "renameat",
    "renameat2", "restart_syscall", "rmdir", "rseq", "rt_sigaction", "rt_sigpending",
    "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
    "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
    "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield",
    "seccomp", "select", "semctl", "semget", "semop", "semtimedop", "sendfile", "sendmmsg",
    "sendmsg", "sendto", "set_robust_list", "set_thread_area", "set_tid_address", "setfsgid",
    "setfsuid", "setgid", "setgroups", "setitimer", "setpgid", "setpriority", "setregid",
    "setresgid", "setresuid", "setreuid", "setrlimit", "setsid", "setsockopt", "setuid",
    "setxattr", "shmat", "shmctl", "shmdt", "shmget", "shutdown", "sigaltstack", "signalfd",
    "signalfd4", "socketpair", "splice", "stat", "statfs", "statx", "symlink", "symlinkat",
    "sync", "sync_file_range", "syncfs", "sysinfo", "tee", "tgkill", "time", "timer_create",
    "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create",
    "timerfd_gettime", "timerfd_settime", "times", "tkill", "truncate", "umask", "uname",
    "unlink", "unlinkat", "utime", "utimensat", "utimes", "vfork", "vmsplice", "wait4", "waitid",
    "write", "writev",
];

/// What a capability adds.
pub(crate) const WITH_CAPABILITY: &[(Capability, &[&str])] = &[
    (Capability::DacReadSearch, &["open_by_handle_at"]),
    (
        Capability::SysAdmin,
        &[
            "bpf",
            "clone",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "listmount",
            "statmount",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "syslog",
            "umount2",
            "unshare",
        ],
    ),
    (Capability::SysBoot, &["reboot"]),
    (Capability::SysChroot, &["chroot"]),
    (Capability::SysModule, &["delete_module", "init_module", "finit_module"]),
    (Capability::SysPacct, &["acct"]),
    (
        Capability::SysPtrace,
        &[
            "kcmp",
            "pidfd_getfd",
            "process_madvise",
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
        ],
    ),
    (Capability::SysRawio, &["iopl", "ioperm"]),
    (Capability::SysTime, &["settimeofday", "clock_settime"]),
    (Capability::SysTtyConfig, &["vhangup"]),
    (Capability::SysNice, &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    (Capability::Syslog, &["syslog"]),
    (Capability::Bpf, &["bpf"]),
    (Capability::Perfmon, &["perf_event_open"]),
];

/// The kernel's number of a name; none on an architecture that never had the call.
pub(crate) fn number(name: &str) -> Option<i64> {
    let at = NUMBERS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    NUMBERS.get(at).map(|(_, number)| *number)
}

/// Sorted by name.
#[rustfmt::skip]
const NUMBERS: &[(&str, i64)] = &[
    ("accept", libc::SYS_accept), ("accept4", libc::SYS_accept4),
    #[cfg(target_arch = "x86_64")]
    ("access", libc::SYS_access),
    ("acct", libc::SYS_acct), ("adjtimex", libc::SYS_adjtimex),
    #[cfg(target_arch = "x86_64")]
    ("alarm", libc::SYS_alarm),
    #[cfg(target_arch = "x86_64")]
    ("arch_prctl", libc::SYS_arch_prctl),
    ("bind", libc::SYS_bind), ("bpf", libc::SYS_bpf), ("brk", libc::SYS_brk), ("cachestat", 451),
    ("capget", libc::SYS_capget), ("capset", libc::SYS_capset), ("chdir", libc::SYS_chdir),
    #[cfg(target_arch = "x86_64")]
    ("chmod", libc::SYS_chmod),
    #[cfg(target_arch = "x86_64")]
    ("chown", libc::SYS_chown),
    ("chroot", libc::SYS_chroot), ("clock_adjtime", libc::SYS_clock_adjtime),
    ("clock_getres", libc::SYS_clock_getres), ("clock_gettime", libc::SYS_clock_gettime),
    ("clock_nanosleep", libc::SYS_clock_nanosleep), ("clock_settime", libc::SYS_clock_settime),
    ("clone", libc::SYS_clone), ("clone3", libc::SYS_clone3), ("close", libc::SYS_close),
    ("close_range", libc::SYS_close_range), ("connect", libc::SYS_connect),
    ("copy_file_range", libc::SYS_copy_file_range),
    #[cfg(target_arch = "x86_64")]
    ("creat", libc::SYS_creat),
    ("delete_module", libc::SYS_delete_module), ("dup", libc::SYS_dup),
    #[cfg(target_arch = "x86_64")]
    ("dup2", libc::SYS_dup2),
    ("dup3", libc::SYS_dup3),
    #[cfg(target_arch = "x86_64")]
    ("epoll_create", libc::SYS_epoll_create),
    ("epoll_create1", libc::SYS_epoll_create1), ("epoll_ctl", libc::SYS_epoll_ctl),
    ("epoll_pwait", libc::SYS_epoll_pwait), ("epoll_pwait2", libc::SYS_epoll_pwait2),
    #[cfg(target_arch = "x86_64")]
    ("epoll_wait", libc::SYS_epoll_wait),
    #[cfg(target_arch = "x86_64")]
    ("eventfd", libc::SYS_eventfd),
    ("eventfd2", libc::SYS_eventfd2), ("execve", libc::SYS_execve),
    ("execveat", libc::SYS_execveat), ("exit", libc::SYS_exit),
    ("exit_group", libc::SYS_exit_group), ("faccessat", libc::SYS_faccessat),
    ("faccessat2", libc::SYS_faccessat2), ("fadvise64", libc::SYS_fadvise64),
    ("fallocate", libc::SYS_fallocate), ("fanotify_init", libc::SYS_fanotify_init),
    ("fanotify_mark", libc::SYS_fanotify_mark), ("fchdir", libc::SYS_fchdir),
    ("fchmod", libc::SYS_fchmod), ("fchmodat", libc::SYS_fchmodat),
    #[cfg(target_arch = "x86_64")]
    ("fchmodat2", libc::SYS_fchmodat2),
    ("fchown", libc::SYS_fchown), ("fchownat", libc::SYS_fchownat), ("fcntl", libc::SYS_fcntl),
    ("fdatasync", libc::SYS_fdatasync), ("fgetxattr", libc::SYS_fgetxattr),
    ("finit_module", libc::SYS_finit_module), ("flistxattr", libc::SYS_flistxattr),
    ("flock", libc::SYS_flock),
    #[cfg(target_arch = "x86_64")]
    ("fork", libc::SYS_fork),
    ("fremovexattr", libc::SYS_fremovexattr), ("fsconfig", libc::SYS_fsconfig),
    ("fsetxattr", libc::SYS_fsetxattr), ("fsmount", libc::SYS_fsmount),
    ("fsopen", libc::SYS_fsopen), ("fspick", libc::SYS_fspick), ("fstat", libc::SYS_fstat),
    ("fstatfs", libc::SYS_fstatfs), ("fsync", libc::SYS_fsync), ("ftruncate", libc::SYS_ftruncate),
    ("futex", libc::SYS_futex), ("futex_requeue", 456), ("futex_wait", 455),
    ("futex_waitv", libc::SYS_futex_waitv), ("futex_wake", 454),
    #[cfg(target_arch = "x86_64")]
    ("futimesat", libc::SYS_futimesat),
    ("get_mempolicy", libc::SYS_get_mempolicy), ("get_robust_list", libc::SYS_get_robust_list),
    #[cfg(target_arch = "x86_64")]
    ("get_thread_area", libc::SYS_get_thread_area),
    ("getcpu", libc::SYS_getcpu), ("getcwd", libc::SYS_getcwd),
    #[cfg(target_arch = "x86_64")]
    ("getdents", libc::SYS_getdents),
    ("getdents64", libc::SYS_getdents64), ("getegid", libc::SYS_getegid),
    ("geteuid", libc::SYS_geteuid), ("getgid", libc::SYS_getgid),
    ("getgroups", libc::SYS_getgroups), ("getitimer", libc::SYS_getitimer),
    ("getpeername", libc::SYS_getpeername), ("getpgid", libc::SYS_getpgid),
    #[cfg(target_arch = "x86_64")]
    ("getpgrp", libc::SYS_getpgrp),
    ("getpid", libc::SYS_getpid), ("getppid", libc::SYS_getppid),
    ("getpriority", libc::SYS_getpriority), ("getrandom", libc::SYS_getrandom),
    ("getresgid", libc::SYS_getresgid), ("getresuid", libc::SYS_getresuid),
    #[cfg(target_arch = "x86_64")]
    ("getrlimit", libc::SYS_getrlimit),
    ("getrusage", libc::SYS_getrusage), ("getsid", libc::SYS_getsid),
    ("getsockname", libc::SYS_getsockname), ("getsockopt", libc::SYS_getsockopt),
    ("gettid", libc::SYS_gettid), ("gettimeofday", libc::SYS_gettimeofday),
    ("getuid", libc::SYS_getuid), ("getxattr", libc::SYS_getxattr),
    ("init_module", libc::SYS_init_module), ("inotify_add_watch", libc::SYS_inotify_add_watch),
    #[cfg(target_arch = "x86_64")]
    ("inotify_init", libc::SYS_inotify_init),
    ("inotify_init1", libc::SYS_inotify_init1), ("inotify_rm_watch", libc::SYS_inotify_rm_watch),
    ("io_cancel", libc::SYS_io_cancel), ("io_destroy", libc::SYS_io_destroy),
    ("io_getevents", libc::SYS_io_getevents), ("io_setup", libc::SYS_io_setup),
    ("io_submit", libc::SYS_io_submit), ("ioctl", libc::SYS_ioctl),
    #[cfg(target_arch = "x86_64")]
    ("ioperm", libc::SYS_ioperm),
    #[cfg(target_arch = "x86_64")]
    ("iopl", libc::SYS_iopl),
    ("ioprio_get", libc::SYS_ioprio_get), ("ioprio_set", libc::SYS_ioprio_set),
    ("kcmp", libc::SYS_kcmp), ("kill", libc::SYS_kill),
    ("landlock_add_rule", libc::SYS_landlock_add_rule),
    ("landlock_create_ruleset", libc::SYS_landlock_create_ruleset),
    ("landlock_restrict_self", libc::SYS_landlock_restrict_self),
    #[cfg(target_arch = "x86_64")]
    ("lchown", libc::SYS_lchown),
    ("lgetxattr", libc::SYS_lgetxattr),
    #[cfg(target_arch = "x86_64")]
    ("link", libc::SYS_link),
    ("linkat", libc::SYS_linkat), ("listen", libc::SYS_listen), ("listmount", 458),
    ("listxattr", libc::SYS_listxattr), ("llistxattr", libc::SYS_llistxattr),
    ("lookup_dcookie", libc::SYS_lookup_dcookie), ("lremovexattr", libc::SYS_lremovexattr),
    ("lseek", libc::SYS_lseek), ("lsetxattr", libc::SYS_lsetxattr),
    #[cfg(target_arch = "x86_64")]
    ("lstat", libc::SYS_lstat),
    ("madvise", libc::SYS_madvise), ("map_shadow_stack", 453), ("mbind", libc::SYS_mbind),
    ("membarrier", libc::SYS_membarrier), ("memfd_create", libc::SYS_memfd_create),
    ("memfd_secret", libc::SYS_memfd_secret), ("mincore", libc::SYS_mincore),
    #[cfg(target_arch = "x86_64")]
    ("mkdir", libc::SYS_mkdir),
    ("mkdirat", libc::SYS_mkdirat),
    #[cfg(target_arch = "x86_64")]
    ("mknod", libc::SYS_mknod),
    ("mknodat", libc::SYS_mknodat), ("mlock", libc::SYS_mlock), ("mlock2", libc::SYS_mlock2),
    ("mlockall", libc::SYS_mlockall), ("mmap", libc::SYS_mmap),
    #[cfg(target_arch = "x86_64")]
    ("modify_ldt", libc::SYS_modify_ldt),
    ("mount", libc::SYS_mount), ("mount_setattr", libc::SYS_mount_setattr),
    ("move_mount", libc::SYS_move_mount), ("mprotect", libc::SYS_mprotect),
    ("mq_getsetattr", libc::SYS_mq_getsetattr), ("mq_notify", libc::SYS_mq_notify),
    ("mq_open", libc::SYS_mq_open), ("mq_timedreceive", libc::SYS_mq_timedreceive),
    ("mq_timedsend", libc::SYS_mq_timedsend), ("mq_unlink", libc::SYS_mq_unlink),
    ("mremap", libc::SYS_mremap), ("mseal", libc::SYS_mseal), ("msgctl", libc::SYS_msgctl),
    ("msgget", libc::SYS_msgget), ("msgrcv", libc::SYS_msgrcv), ("msgsnd", libc::SYS_msgsnd),
    ("msync", libc::SYS_msync), ("munlock", libc::SYS_munlock),
    ("munlockall", libc::SYS_munlockall), ("munmap", libc::SYS_munmap),
    ("name_to_handle_at", libc::SYS_name_to_handle_at), ("nanosleep", libc::SYS_nanosleep),
    ("newfstatat", libc::SYS_newfstatat),
    #[cfg(target_arch = "x86_64")]
    ("open", libc::SYS_open),
    ("open_by_handle_at", libc::SYS_open_by_handle_at), ("open_tree", libc::SYS_open_tree),
    ("openat", libc::SYS_openat), ("openat2", libc::SYS_openat2),
    #[cfg(target_arch = "x86_64")]
    ("pause", libc::SYS_pause),
    ("perf_event_open", libc::SYS_perf_event_open), ("personality", libc::SYS_personality),
    ("pidfd_getfd", libc::SYS_pidfd_getfd), ("pidfd_open", libc::SYS_pidfd_open),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
    #[cfg(target_arch = "x86_64")]
    ("pipe", libc::SYS_pipe),
    ("pipe2", libc::SYS_pipe2), ("pkey_alloc", libc::SYS_pkey_alloc),
    ("pkey_free", libc::SYS_pkey_free), ("pkey_mprotect", libc::SYS_pkey_mprotect),
    #[cfg(target_arch = "x86_64")]
    ("poll", libc::SYS_poll),
    ("ppoll", libc::SYS_ppoll), ("prctl", libc::SYS_prctl), ("pread64", libc::SYS_pread64),
    ("preadv", libc::SYS_preadv), ("preadv2", libc::SYS_preadv2),
    ("prlimit64", libc::SYS_prlimit64), ("process_madvise", libc::SYS_process_madvise),
    ("process_mrelease", libc::SYS_process_mrelease),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev), ("pselect6", libc::SYS_pselect6),
    ("ptrace", libc::SYS_ptrace), ("pwrite64", libc::SYS_pwrite64), ("pwritev", libc::SYS_pwritev),
    ("pwritev2", libc::SYS_pwritev2), ("quotactl", libc::SYS_quotactl),
    ("quotactl_fd", libc::SYS_quotactl_fd), ("read", libc::SYS_read),
    ("readahead", libc::SYS_readahead),
    #[cfg(target_arch = "x86_64")]
    ("readlink", libc::SYS_readlink),
    ("readlinkat", libc::SYS_readlinkat), ("readv", libc::SYS_readv), ("reboot", libc::SYS_reboot),
    ("recvfrom", libc::SYS_recvfrom), ("recvmmsg", libc::SYS_recvmmsg),
    ("recvmsg", libc::SYS_recvmsg), ("remap_file_pages", libc::SYS_remap_file_pages),
    ("removexattr", libc::SYS_removexattr),
    #[cfg(target_arch = "x86_64")]
    ("rename", libc::SYS_rename),
    #[cfg(target_arch = "x86_64")]
    ("renameat", libc::SYS_renameat),
    ("renameat2", libc::SYS_renameat2), ("restart_syscall", libc::SYS_restart_syscall),
    #[cfg(target_arch = "x86_64")]
    ("rmdir", libc::SYS_rmdir),
    ("rseq", libc::SYS_rseq), ("rt_sigaction", libc::SYS_rt_sigaction),
    ("rt_sigpending", libc::SYS_rt_sigpending), ("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    ("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo), ("rt_sigreturn", libc::SYS_rt_sigreturn),
    ("rt_sigsuspend", libc::SYS_rt_sigsuspend), ("rt_sigtimedwait", libc::SYS_rt_sigtimedwait),
    ("rt_tgsigqueueinfo", libc::SYS_rt_tgsigqueueinfo),
    ("sched_get_priority_max", libc::SYS_sched_get_priority_max),
    ("sched_get_priority_min", libc::SYS_sched_get_priority_min),
    ("sched_getaffinity", libc::SYS_sched_getaffinity), ("sched_getattr", libc::SYS_sched_getattr),
    ("sched_getparam", libc::SYS_sched_getparam),
    ("sched_getscheduler", libc::SYS_sched_getscheduler),
    ("sched_rr_get_interval", libc::SYS_sched_rr_get_interval),
    ("sched_setaffinity", libc::SYS_sched_setaffinity), ("sched_setattr", libc::SYS_sched_setattr),
    ("sched_setparam", libc::SYS_sched_setparam),
    ("sched_setscheduler", libc::SYS_sched_setscheduler), ("sched_yield", libc::SYS_sched_yield),
    ("seccomp", libc::SYS_seccomp),
    #[cfg(target_arch = "x86_64")]
    ("select", libc::SYS_select),
    ("semctl", libc::SYS_semctl), ("semget", libc::SYS_semget), ("semop", libc::SYS_semop),
    ("semtimedop", libc::SYS_semtimedop), ("sendfile", libc::SYS_sendfile),
    ("sendmmsg", libc::SYS_sendmmsg), ("sendmsg", libc::SYS_sendmsg), ("sendto", libc::SYS_sendto),
    ("set_mempolicy", libc::SYS_set_mempolicy),
    ("set_mempolicy_home_node", libc::SYS_set_mempolicy_home_node),
    ("set_robust_list", libc::SYS_set_robust_list),
    #[cfg(target_arch = "x86_64")]
    ("set_thread_area", libc::SYS_set_thread_area),
    ("set_tid_address", libc::SYS_set_tid_address), ("setdomainname", libc::SYS_setdomainname),
    ("setfsgid", libc::SYS_setfsgid), ("setfsuid", libc::SYS_setfsuid),
    ("setgid", libc::SYS_setgid), ("setgroups", libc::SYS_setgroups),
    ("sethostname", libc::SYS_sethostname), ("setitimer", libc::SYS_setitimer),
    ("setns", libc::SYS_setns), ("setpgid", libc::SYS_setpgid),
    ("setpriority", libc::SYS_setpriority), ("setregid", libc::SYS_setregid),
    ("setresgid", libc::SYS_setresgid), ("setresuid", libc::SYS_setresuid),
    ("setreuid", libc::SYS_setreuid),
    #[cfg(target_arch = "x86_64")]
    ("setrlimit", libc::SYS_setrlimit),
    ("setsid", libc::SYS_setsid), ("setsockopt", libc::SYS_setsockopt),
    ("settimeofday", libc::SYS_settimeofday), ("setuid", libc::SYS_setuid),
    ("setxattr", libc::SYS_setxattr), ("shmat", libc::SYS_shmat), ("shmctl", libc::SYS_shmctl),
    ("shmdt", libc::SYS_shmdt), ("shmget", libc::SYS_shmget), ("shutdown", libc::SYS_shutdown),
    ("sigaltstack", libc::SYS_sigaltstack),
    #[cfg(target_arch = "x86_64")]
    ("signalfd", libc::SYS_signalfd),
    ("signalfd4", libc::SYS_signalfd4), ("socket", libc::SYS_socket),
    ("socketpair", libc::SYS_socketpair), ("splice", libc::SYS_splice),
    #[cfg(target_arch = "x86_64")]
    ("stat", libc::SYS_stat),
    ("statfs", libc::SYS_statfs), ("statmount", 457), ("statx", libc::SYS_statx),
    #[cfg(target_arch = "x86_64")]
    ("symlink", libc::SYS_symlink),
    ("symlinkat", libc::SYS_symlinkat), ("sync", libc::SYS_sync),
    #[cfg(target_arch = "x86_64")]
    ("sync_file_range", libc::SYS_sync_file_range),
    ("syncfs", libc::SYS_syncfs), ("sysinfo", libc::SYS_sysinfo), ("syslog", libc::SYS_syslog),
    ("tee", libc::SYS_tee), ("tgkill", libc::SYS_tgkill),
    #[cfg(target_arch = "x86_64")]
    ("time", libc::SYS_time),
    ("timer_create", libc::SYS_timer_create), ("timer_delete", libc::SYS_timer_delete),
    ("timer_getoverrun", libc::SYS_timer_getoverrun), ("timer_gettime", libc::SYS_timer_gettime),
    ("timer_settime", libc::SYS_timer_settime), ("timerfd_create", libc::SYS_timerfd_create),
    ("timerfd_gettime", libc::SYS_timerfd_gettime), ("timerfd_settime", libc::SYS_timerfd_settime),
    ("times", libc::SYS_times), ("tkill", libc::SYS_tkill), ("truncate", libc::SYS_truncate),
    ("umask", libc::SYS_umask), ("umount2", libc::SYS_umount2), ("uname", libc::SYS_uname),
    #[cfg(target_arch = "x86_64")]
    ("unlink", libc::SYS_unlink),
    ("unlinkat", libc::SYS_unlinkat), ("unshare", libc::SYS_unshare),
    #[cfg(target_arch = "x86_64")]
    ("utime", libc::SYS_utime),
    ("utimensat", libc::SYS_utimensat),
    #[cfg(target_arch = "x86_64")]
    ("utimes", libc::SYS_utimes),
    #[cfg(target_arch = "x86_64")]
    ("vfork", libc::SYS_vfork),
    ("vhangup", libc::SYS_vhangup), ("vmsplice", libc::SYS_vmsplice), ("wait4", libc::SYS_wait4),
    ("waitid", libc::SYS_waitid), ("write", libc::SYS_write), ("writev", libc::SYS_writev),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_number() {
        assert!(NUMBERS.is_sorted_by_key(|(name, _)| *name));
        let more = WITH_CAPABILITY.iter().flat_map(|(_, names)| names.iter());
        for name in ALWAYS.iter().chain(more) {
            let known = number(name).is_some();
            assert!(known || cfg!(not(target_arch = "x86_64")), "{name}");
        }
        assert_eq!(number("no_such_call"), None);
    }
}
