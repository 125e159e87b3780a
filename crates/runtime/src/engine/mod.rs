//! The engine: carries out an OCI runtime specification with the kernel's own calls.
//!
//! Everything here runs in a process with one thread (the zygote's descendants), because much of it
//! happens between `clone3` and `execve`. Nothing here knows of sockets, shims or agents.

pub(crate) mod bpf;
pub(crate) mod caps;
pub(crate) mod cgroup;
pub(crate) mod cgroup_files;
pub(crate) mod copy_up;
pub(crate) mod dev;
pub(crate) mod device_filter;
pub(crate) mod docker_profile;
pub(crate) mod enter;
pub(crate) mod exec;
pub(crate) mod init;
pub(crate) mod mount_options;
pub(crate) mod mounts;
pub(crate) mod oci;
pub(crate) mod overlay;
pub(crate) mod pid1;
pub(crate) mod process;
pub(crate) mod root;
pub(crate) mod seccomp;
pub(crate) mod seccomp_numbers;
pub(crate) mod seccomp_table;
pub(crate) mod sys;
pub(crate) mod user_map;
pub(crate) mod users;

use std::io;

/// Something that the kernel refused: what was attempted, on what, and its answer.
#[derive(Debug, thiserror::Error)]
#[error("{attempt}")]
pub(crate) struct Fault {
    /// What was attempted, on what.
    pub(crate) attempt: String,
    /// The kernel's answer.
    #[source]
    pub(crate) source: io::Error,
}

impl Fault {
    /// A refusal of our own, in the shape of the kernel's.
    pub(crate) fn refused(attempt: impl Into<String>, why: impl Into<String>) -> Self {
        Self { attempt: attempt.into(), source: io::Error::other(why.into()) }
    }

    /// Attempt and answer in one line.
    pub(crate) fn line(&self) -> String {
        format!("{}: {}", self.attempt, plain(&self.source))
    }
}

/// The kernel's answer without Rust's "(os error 2)", its first letter small, as shells print it.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Adds what was attempted to a kernel's answer.
pub(crate) trait Attempt<T> {
    /// Adds what was attempted, on what.
    fn attempt(self, what: impl FnOnce() -> String) -> Result<T, Fault>;
}

impl<T, E: Into<io::Error>> Attempt<T> for Result<T, E> {
    fn attempt(self, what: impl FnOnce() -> String) -> Result<T, Fault> {
        self.map_err(|error| Fault { attempt: what(), source: error.into() })
    }
}
