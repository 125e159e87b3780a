//! Pure: the mounts of a container's specification.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount as OciMount, MountBuilder};

use crate::spec::{Facts, clean};
use crate::{ContainerSpec, IpcMode, Mount};

/// `/dev/shm` of a container that does not say.
const DEFAULT_SHM: u64 = 64 << 20;

/// What ECS allows as a tmpfs's mount options and this engine keeps.
const TMPFS_OPTIONS: [&str; 18] = [
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "diratime",
    "nodiratime",
    "atime",
    "noatime",
    "relatime",
    "strictatime",
    "private",
    "rprivate",
    "norelatime",
];

/// Files of the node's kernel that say or change too much, hidden as Docker hides them.
pub(crate) fn masked_paths() -> Vec<String> {
    let paths = [
        "/proc/asound",
        "/proc/acpi",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ];
    paths.map(String::from).to_vec()
}

/// Those that may be read.
pub(crate) fn readonly_paths() -> Vec<String> {
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        .map(String::from)
        .to_vec()
}

fn mount(target: &Path, typ: &str, source: &Path, options: &[&str]) -> Result<OciMount, String> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let mount = MountBuilder::default().destination(target).typ(typ).source(source);
    mount.options(options).build().map_err(|error| error.to_string())
}

/// Every mount, in order.
pub(crate) fn mounts(container: &ContainerSpec, facts: &Facts) -> Result<Vec<OciMount>, String> {
    let open = container.privileged;
    let access = if open { "rw" } else { "ro" };
    let shm = format!("size={}", container.shm_bytes.unwrap_or(DEFAULT_SHM));
    let kernel = |target: &str, typ: &str, options: &[&str]| {
        mount(Path::new(target), typ, Path::new(typ), options)
    };
    let dev = &["nosuid", "strictatime", "mode=755", "size=65536k"];
    let pts = &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    let sealed = ["nosuid", "noexec", "nodev"];
    let mut list = vec![
        kernel("/proc", "proc", &sealed)?,
        kernel("/dev", "tmpfs", dev)?,
        kernel("/dev/pts", "devpts", pts)?,
        kernel("/sys", "sysfs", &["nosuid", "noexec", "nodev", access])?,
        kernel("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", access])?,
        kernel("/dev/mqueue", "mqueue", &sealed)?,
    ];
    let at = Path::new("/dev/shm");
    match (facts.ipc, &facts.shm) {
        (IpcMode::Container, _) => {
            let options = &["nosuid", "noexec", "nodev", "mode=1777", &shm];
            list.push(mount(at, "tmpfs", Path::new("shm"), options)?);
        }
        (IpcMode::Sandbox | IpcMode::Host, Some(folder)) => {
            let options = &["rbind", "rprivate", "nosuid", "noexec", "nodev"];
            list.push(mount(at, "bind", folder, options)?);
        }
        (IpcMode::Sandbox | IpcMode::Host, None) => {
            return Err("the shared memory that it shares is missing".into());
        }
        (IpcMode::None, _) => {}
    }
    for name in ["hosts", "hostname", "resolv.conf"] {
        let target = Path::new("/etc").join(name);
        let wanted = |mount: &Mount| match mount {
            Mount::Bind { target, .. }
            | Mount::Tmpfs { target, .. }
            | Mount::Volume { target, .. } => clean(target),
        };
        if !container.mounts.iter().any(|mount| wanted(mount) == target) {
            list.push(mount(&target, "bind", &facts.etc.join(name), &["rbind", "rprivate"])?);
        }
    }
    for asked in &container.mounts {
        list.push(user_mount(asked, facts)?);
    }
    Ok(list)
}

fn checked(target: &Path) -> Result<PathBuf, String> {
    let shown = target.display();
    if !target.is_absolute() {
        return Err(format!("the mount target \"{shown}\" is not absolute"));
    }
    if target.components().any(|part| part == std::path::Component::ParentDir) {
        return Err(format!("the mount target \"{shown}\" contains \"..\""));
    }
    let cleaned = clean(target);
    if cleaned == Path::new("/") {
        return Err("a mount cannot cover the container's root".into());
    }
    if cleaned.starts_with("/proc") {
        return Err(format!("the mount target \"{shown}\" lies in /proc, which is the kernel's"));
    }
    if cleaned.as_os_str().as_encoded_bytes().contains(&0) {
        return Err("a mount target contains a zero byte".into());
    }
    Ok(cleaned)
}

/// The targets of the mounts that are filled from the image when they are empty.
pub(crate) fn volume_targets(container: &ContainerSpec) -> Result<Vec<PathBuf>, String> {
    let targets = container.mounts.iter().filter_map(|mount| match mount {
        Mount::Volume { target, .. } => Some(checked(target)),
        Mount::Bind { .. } | Mount::Tmpfs { .. } => None,
    });
    targets.collect()
}

/// The targets of the mounts of what others own too: the node's folders and volumes.
pub(crate) fn shown(container: &ContainerSpec) -> Result<Vec<PathBuf>, String> {
    let targets = container.mounts.iter().filter_map(|mount| match mount {
        Mount::Bind { target, .. } | Mount::Volume { target, .. } => Some(checked(target)),
        Mount::Tmpfs { .. } => None,
    });
    targets.collect()
}

fn user_mount(asked: &Mount, facts: &Facts) -> Result<OciMount, String> {
    match asked {
        Mount::Bind { source, target, readonly } => {
            if !source.is_absolute() {
                return Err(format!("the mount source \"{}\" is not absolute", source.display()));
            }
            let access = if *readonly { "ro" } else { "rw" };
            mount(&checked(target)?, "bind", source, &["rbind", "rprivate", access])
        }
        Mount::Volume { name, target, readonly } => {
            let folder = facts.volumes.get(name);
            let folder =
                folder.ok_or_else(|| format!("volume {name} is not a volume of this node"))?;
            let access = if *readonly { "ro" } else { "rw" };
            mount(&checked(target)?, "bind", folder, &["rbind", "rprivate", access])
        }
        Mount::Tmpfs { target, size_bytes, options } => {
            // Not every engine lets a later word win over an earlier one.
            let default = ["suid", "dev", "exec"].into_iter();
            let default = default.filter(|word| !options.iter().any(|option| option == word));
            let mut all: Vec<String> = default.map(|word| format!("no{word}")).collect();
            for option in options {
                let key = option.split('=').next().unwrap_or_default();
                let known = TMPFS_OPTIONS.contains(&option.as_str())
                    || ["mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"].contains(&key);
                if !known {
                    return Err(format!(
                        "\"{option}\" is not a mount option that a tmpfs can have"
                    ));
                }
                if option != "norelatime" {
                    all.push(option.clone());
                }
            }
            all.extend(size_bytes.map(|size| format!("size={size}")));
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            mount(&checked(target)?, "tmpfs", Path::new("tmpfs"), &all)
        }
    }
}
