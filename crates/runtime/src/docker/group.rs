//! The cgroup of a sandbox with limits of its own: the parent of its containers' on the Engine.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::embedded::system;
use crate::engine::cgroup::{Cgroups, check_group};
use crate::{Limits, RuntimeError, SandboxSpec};

/// The group of a sandbox; none if it has no limits.
pub(crate) fn of(parent: &str, sandbox: &SandboxSpec) -> Option<String> {
    let Limits {
        memory_bytes,
        memory_swap_bytes,
        memory_reservation_bytes,
        cpu_shares,
        cpu_millis,
        pids,
    } = sandbox.limits;
    let limits =
        [memory_bytes, memory_swap_bytes, memory_reservation_bytes, cpu_shares, cpu_millis, pids];
    limits.iter().any(Option::is_some).then(|| format!("{parent}/{}", sandbox.id))
}

/// Makes it, with its limits.
pub(crate) fn create(
    group: &str,
    sandbox: &SandboxSpec,
    systemd: bool,
) -> Result<(), RuntimeError> {
    if systemd {
        return Err(RuntimeError::Unsupported {
            what: format!("limit the containers of {} together", sandbox.id),
            why:
                "Docker Engine leaves cgroups to systemd here. Give the limits to each container, \
                  or start the Engine with --exec-opt native.cgroupdriver=cgroupfs"
                    .to_owned(),
        });
    }
    check_group(group)?;
    let cgroups = Cgroups::detect()?;
    cgroups.create(group)?;
    Ok(cgroups.apply(group, &crate::spec::resources(&sandbox.limits))?)
}

/// Removes a group in every hierarchy, those included in which only the Engine made it.
pub(crate) fn destroy(group: &str) -> Result<(), RuntimeError> {
    if !folders(group).iter().any(|folder| folder.exists()) {
        return Ok(());
    }
    Cgroups::detect()?.destroy(group)?;
    for folder in folders(group) {
        remove_below(&folder).map_err(system(format!("remove the cgroup {}", folder.display())))?;
    }
    Ok(())
}

/// Removes every sandbox's.
pub(crate) fn clear(parent: &str) -> Result<(), RuntimeError> {
    check_group(parent)?;
    destroy(parent)
}

/// A group's folder in each hierarchy, and in the only one.
fn folders(group: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let below = group.trim_start_matches('/');
    let mut folders = vec![root.join(below)];
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        // `cpu` and `cpuacct` are links to one hierarchy.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(entry.path().join(below));
        }
    }
    folders
}

fn remove_below(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path())?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn only_limits_make_a_group() {
        let mut sandbox = testing::sandbox("sand");
        assert_eq!(of("/wharf", &sandbox), None);
        sandbox.limits.pids = Some(5);
        assert_eq!(of("/wharf", &sandbox).as_deref(), Some("/wharf/sand"));
        let refusal = create("/wharf/sand", &sandbox, true).unwrap_err().to_string();
        assert!(refusal.contains("cgroupdriver=cgroupfs"), "{refusal}");
    }
}
