//! Removing everything that any engine left on a node.

use std::io;
use std::path::Path;

use super::places::{Places, SandboxRecord, names, read_json, remove_tree};
use super::{system, volumes};
use crate::RuntimeError;
use crate::engine::cgroup::{Cgroups, check_group};
use crate::engine::sys;

/// Removes every sandbox under a run folder, whatever state it is in: shims, containers, cgroups,
/// files. Nothing there is success. The engine that used it must not be running.
///
/// # Errors
///
/// An engine is running; something cannot be removed. What else there is has been removed then.
pub fn teardown(run_dir: &Path, cgroup_parent: &str) -> Result<(), RuntimeError> {
    check_group(cgroup_parent)?;
    let cgroups = Cgroups::detect()?;
    let mut first = Ok(());
    let mut note = |result: Result<(), RuntimeError>| {
        if first.is_ok() {
            first = result;
        }
    };
    let what = |text: &str| format!("{text} {}", run_dir.display());
    if run_dir.join("lock").exists() {
        let places = Places::make(run_dir, run_dir).map_err(system(what("open")))?;
        let _lock = places.lock().map_err(system(format!(
            "lock {} (an engine is running on it; stop that first)",
            run_dir.display()
        )))?;
    }
    let sandboxes = run_dir.join("s");
    note(volumes::unmount_all(run_dir).map_err(system(what("unmount what is mounted by"))));
    for name in names(&sandboxes).map_err(system(what("read")))? {
        let folder = sandboxes.join(&name);
        note(kill_shim(&folder).map_err(system(format!("kill the shim of {name}"))));
        let record: Option<SandboxRecord> =
            read_json(&folder.join("sandbox.json")).map_err(system(what("read")))?;
        if let Some(record) = record {
            note(cgroups.destroy(&record.group).map_err(RuntimeError::from));
            note(remove_tree(&record.state).map_err(system(format!("remove the state of {name}"))));
        }
        note(remove_tree(&folder).map_err(system(what("remove a sandbox below"))));
    }
    note(cgroups.destroy(cgroup_parent).map_err(RuntimeError::from));
    first
}

/// Kills the shim that a sandbox's folder names, if it still is one. Its containers die with it.
pub(crate) fn kill_shim(folder: &Path) -> io::Result<()> {
    let text = match std::fs::read_to_string(folder.join("shim.pid")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let Some(pid) = text.trim().parse::<i32>().ok().filter(|pid| *pid > 1) else { return Ok(()) };
    // The number may have been given to another process since: only a shim has this name, and the
    // sandbox's log as standard error.
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let log = std::fs::read_link(format!("/proc/{pid}/fd/2")).unwrap_or_default();
    if name.trim() != "shim" || log != folder.join("shim.log") {
        return Ok(());
    }
    match sys::kill(pid, libc::SIGKILL) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other,
    }
}
