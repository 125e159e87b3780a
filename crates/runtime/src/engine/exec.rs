//! The last steps of every program's start: the drop of privileges in the order that runc has, the
//! search for the program, and `execve`.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{PosixRlimitType, Process};
use rustix::fs::{Access, AtFlags, CWD};
use rustix::process::{Gid, Uid};

use super::caps::Sets;
use super::seccomp::Filter;
use super::users::User;
use super::{Attempt, Fault, plain, process, sys};

/// What a process becomes.
#[derive(Clone, Debug)]
pub(crate) struct Become {
    pub(crate) user: User,
    pub(crate) sets: Option<Sets>,
    pub(crate) filter: Option<Filter>,
    /// An AppArmor profile by name.
    pub(crate) apparmor: Option<String>,
    pub(crate) no_new_privileges: bool,
    pub(crate) cwd: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
}

impl Become {
    /// Everything up to the program itself. Loading a filter needs CAP_SYS_ADMIN unless privileges
    /// can no longer be gained; so it comes first or last.
    pub(crate) fn drop_privileges(&self) -> Result<(), Fault> {
        if self.no_new_privileges {
            sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)
                .attempt(|| "forbid gaining privileges".into())?;
        } else if let Some(filter) = &self.filter {
            filter.load()?;
        }
        if let Some(sets) = self.sets {
            sets.drop_bounding()?;
        }
        self.become_user()?;
        if let Some(sets) = self.sets {
            sets.apply()?;
        }
        if self.no_new_privileges
            && let Some(filter) = &self.filter
        {
            filter.load()?;
        }
        Ok(())
    }

    /// Asks the kernel to confine the program that comes next.
    fn confine(&self) -> Result<(), Fault> {
        let Some(profile) = &self.apparmor else { return Ok(()) };
        let what = || format!("use the AppArmor profile \"{profile}\"");
        // The older path is of whichever security module has it.
        let paths = ["/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"];
        let path = paths.into_iter().find(|path| Path::new(path).exists());
        let path = path.ok_or_else(|| Fault::refused(what(), "this kernel has no AppArmor"))?;
        match std::fs::write(path, format!("exec {profile}")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Fault::refused(what(), "no profile of this name is loaded on the node"))
            }
            other => other.attempt(what),
        }
    }

    fn become_user(&self) -> Result<(), Fault> {
        let user = &self.user;
        let what = || format!("become user {} of group {}", user.uid, user.gid);
        // The output's pipes belong to root; a program may open /dev/stdout anew.
        let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        for fd in [input.as_fd(), output.as_fd(), error.as_fd()] {
            if user.uid != 0 && !is_null(fd) {
                rustix::fs::fchown(fd, Some(Uid::from_raw(user.uid)), None).attempt(what)?;
            }
        }
        sys::prctl(libc::PR_SET_KEEPCAPS, 1, 0).attempt(what)?;
        let groups: Vec<Gid> = user.groups.iter().map(|id| Gid::from_raw(*id)).collect();
        rustix::thread::set_thread_groups(&groups).attempt(what)?;
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        rustix::thread::set_thread_res_gid(gid, gid, gid).attempt(what)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).attempt(what)?;
        sys::prctl(libc::PR_SET_KEEPCAPS, 0, 0).attempt(what)
    }

    /// Becomes the program; returns only with the reason why not.
    pub(crate) fn go(&self) -> Fault {
        match self.try_go() {
            Ok(never) => match never {},
            Err(fault) => fault,
        }
    }

    fn try_go(&self) -> Result<std::convert::Infallible, Fault> {
        // Everything is found before the filter and the user change anything, but run after.
        self.confine()?;
        self.drop_privileges()?;
        let what = || format!("change to the working directory \"{}\"", self.cwd.display());
        rustix::process::chdir(&self.cwd).attempt(what)?;
        let mut env = self.env.clone();
        if !env.iter().any(|line| line.starts_with("HOME=")) {
            env.push(format!("HOME={}", self.user.home));
        }
        let path = env.iter().rev().find_map(|line| line.strip_prefix("PATH=")).unwrap_or_default();
        let name = self.args.first().map(String::as_str).unwrap_or_default();
        let program = find(name, path)?;
        let strings = |list: &[String]| {
            list.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>()
        };
        let args = strings(&self.args).attempt(|| "read the arguments".into())?;
        let env = strings(&env).attempt(|| "read the variables".into())?;
        let raw =
            CString::new(program.as_os_str().as_bytes()).attempt(|| "read the path".into())?;
        // Changing the user has cleared it.
        process::die_with_parent()?;
        sys::cloexec_from(3).attempt(|| "mark descriptors to be closed".into())?;
        let error = sys::execve(&raw, &args, &env);
        if error.raw_os_error() == Some(libc::ENOENT) {
            let why = "no such file or directory (the file is there: its interpreter is not)";
            return Err(Fault::refused(format!("exec: \"{name}\""), why));
        }
        Err(Fault { attempt: format!("exec: \"{name}\""), source: error })
    }
}

fn is_null(fd: impl AsFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_rdev == rustix::fs::makedev(1, 3))
}

/// The program by a shell's rules: a name with a slash is a path, any other is searched.
fn find(name: &str, path: &str) -> Result<PathBuf, Fault> {
    let refused = |why: &str| Fault::refused(format!("exec: \"{name}\""), why);
    if name.contains('/') {
        return match check(Path::new(name)) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(why) => Err(refused(&why)),
        };
    }
    let mut denied = false;
    for folder in path.split(':') {
        let folder = if folder.is_empty() { "." } else { folder };
        let candidate = Path::new(folder).join(name);
        match check(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(why) => denied |= why == "permission denied" && !name.is_empty(),
        }
    }
    Err(refused(if denied { "permission denied" } else { "executable file not found in $PATH" }))
}

fn check(path: &Path) -> Result<(), String> {
    let stat = rustix::fs::stat(path).map_err(|error| plain(&error.into()))?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
        return Err("is a directory".into());
    }
    let executable = rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS);
    // Root may "execute" what has no execute bit, by this call; the kernel then refuses.
    if executable.is_err() || stat.st_mode & 0o111 == 0 {
        return Err("permission denied".into());
    }
    Ok(())
}

/// The kernel's number of a resource.
fn resource(kind: PosixRlimitType) -> u32 {
    match kind {
        PosixRlimitType::RlimitCpu => libc::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => libc::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => libc::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => libc::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => libc::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => libc::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => libc::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => libc::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => libc::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => libc::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}

/// Sets the resource limits of a specification.
pub(crate) fn set_rlimits(process: &Process) -> Result<(), Fault> {
    for limit in process.rlimits().iter().flatten() {
        let shown = || format!("set {:?} to {} and {}", limit.typ(), limit.soft(), limit.hard());
        sys::set_rlimit(resource(limit.typ()), limit.soft(), limit.hard()).attempt(shown)?;
    }
    Ok(())
}

/// Raises the hard limits of a process (0 for this one) as far as a specification needs. Only the
/// node's root may; a process in a user namespace then sets its limits itself, never above.
pub(crate) fn raise_rlimits(pid: i32, process: &Process) -> Result<(), Fault> {
    for limit in process.rlimits().iter().flatten() {
        let what = || format!("raise {:?} to {}", limit.typ(), limit.hard());
        let (soft, hard) = sys::prlimit(pid, resource(limit.typ()), None).attempt(what)?;
        if limit.hard() > hard {
            let raised = Some((soft, limit.hard()));
            sys::prlimit(pid, resource(limit.typ()), raised).attempt(what)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plain"), "text").unwrap();
        let path = dir.path().to_str().unwrap();
        assert_eq!(find("sh", "/nowhere:/bin").unwrap(), Path::new("/bin/sh"));
        for (name, why) in [
            ("nope", "exec: \"nope\": executable file not found in $PATH"),
            ("", "exec: \"\": executable file not found in $PATH"),
            ("/nope", "exec: \"/nope\": no such file or directory"),
            ("/etc", "exec: \"/etc\": is a directory"),
            ("/etc/passwd", "exec: \"/etc/passwd\": permission denied"),
            ("plain", "exec: \"plain\": permission denied"),
        ] {
            assert_eq!(find(name, path).unwrap_err().line(), why);
        }
    }
}
