//! What the engine makes ready for a container before its shim starts it: folders, files, devices, and
//! the specification.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::places::{Places, SandboxRecord, remove_tree};
use super::{etc, system};
use crate::engine::init::{Order, Users};
use crate::engine::oci::{self, Oci};
use crate::engine::overlay::Overlay;
use crate::engine::user_map::UserRange;
use crate::shim::proto::StartOrder;
use crate::spec::{self, Facts, HostDevice};
use crate::{ContainerNetwork, ContainerSpec, Mount, NetworkMode, RuntimeError, spec_mounts};

/// A container's folders.
#[derive(Debug)]
pub(crate) struct Folders {
    run: PathBuf,
    state: PathBuf,
    log: PathBuf,
}

impl Folders {
    pub(crate) fn of(places: &Places, container: &ContainerSpec) -> Self {
        Self {
            run: places.container_run(&container.sandbox, &container.id),
            state: places.container_state(&container.sandbox, &container.id),
            log: places.log(&container.sandbox, &container.id),
        }
    }

    /// Removes what was made, but not the log.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_tree(&self.state)?;
        remove_tree(&self.run)
    }
}

/// What was opened for a container before its specification is written.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// The folders of its volumes.
    pub(crate) volumes: BTreeMap<String, PathBuf>,
    /// The shared memory, if it is not its own.
    pub(crate) shm: Option<PathBuf>,
    /// The program of another engine that is to run it.
    pub(crate) oci: Option<PathBuf>,
}

/// Makes everything and returns the order. What was made stays behind if it fails: call
/// [`Folders::remove`].
pub(crate) fn prepare(
    container: &ContainerSpec,
    sandbox: &SandboxRecord,
    lower: Vec<PathBuf>,
    folders: &Folders,
    opened: Opened,
) -> Result<StartOrder, RuntimeError> {
    let invalid = |why| RuntimeError::Invalid { id: container.id.to_string(), why };
    refuse(container, &opened)?;
    let oci_folder = opened.oci.as_ref().map(|_| folders.run.join("oci"));
    let network = match container.network {
        ContainerNetwork::Sandbox => sandbox.spec.network,
        ContainerNetwork::Own | ContainerNetwork::None => NetworkMode::Private,
    };
    let facts = Facts {
        rootfs: folders.run.join("rootfs"),
        etc: folders.run.clone(),
        cgroup: format!("{}/{}", sandbox.group, container.id),
        network,
        network_namespace: None,
        pid: sandbox.spec.pid,
        ipc: sandbox.spec.ipc,
        shm: opened.shm,
        volumes: opened.volumes,
        kernel: kernel(),
        apparmor: Path::new("/sys/kernel/security/apparmor").exists(),
        sandbox_limits: sandbox.spec.limits,
        devices: container.devices.iter().map(device).collect::<Result<_, _>>().map_err(invalid)?,
    };
    let built = spec::build(container, &facts).map_err(invalid)?;
    let stop_signal = signal_number(&container.stop_signal).map_err(invalid)?;
    let overlay = Overlay {
        lower,
        upper: folders.state.join("upper"),
        work: folders.state.join("work"),
        at: facts.rootfs.clone(),
    };
    for folder in oci_folder.into_iter().chain([folders.run.clone()]) {
        fs::create_dir_all(&folder).map_err(system(format!("make {}", folder.display())))?;
    }
    make_files(container, network, folders, &overlay)
        .map_err(system(format!("make the folders of {}", container.id)))?;
    make_sources(container)?;
    // A privileged container is in the node's own user namespace.
    let range = sandbox.users.filter(|_| !container.privileged);
    if let Some(range) = range {
        give_away(range, &built, folders, &overlay)?;
    }
    Ok(StartOrder {
        id: container.id.clone(),
        order: Order {
            spec: built,
            root: overlay,
            user: container.user.clone(),
            groups: container.groups.clone(),
            init: container.init,
            output: container.log != crate::LogMode::None,
            open_stdin: container.open_stdin,
            own_network: container.network != ContainerNetwork::Sandbox,
            oci: opened.oci.map(|program| Oci {
                program,
                folder: folders.run.join("oci"),
                id: container.id.to_string(),
            }),
            filled: spec_mounts::volume_targets(container).map_err(invalid)?,
            users: match range {
                Some(range) => {
                    Some(Users { range, shown: spec_mounts::shown(container).map_err(invalid)? })
                }
                None => None,
            },
        },
        log: container.log.clone(),
        log_folder: folders.log.clone(),
        folder: folders.run.clone(),
        health: container.health.clone(),
        stop_signal,
    })
}

/// Gives what was made for a container to its user namespace's root. It can make no devices, which the
/// node's root does for it, in `/dev` alone.
fn give_away(
    range: UserRange,
    spec: &oci_spec::runtime::Spec,
    folders: &Folders,
    overlay: &Overlay,
) -> Result<(), RuntimeError> {
    let devices = spec.linux().iter().flat_map(|linux| linux.devices().iter().flatten());
    if let Some(device) = devices.into_iter().find(|device| !device.path().starts_with("/dev")) {
        return Err(RuntimeError::Unsupported {
            what: format!("show a device as {}", device.path().display()),
            why: "in a user namespace (--userns) a device can only be below /dev".into(),
        });
    }
    let files = ["hosts", "hostname", "resolv.conf"].map(|name| folders.run.join(name));
    for path in files.iter().chain([&overlay.upper]) {
        std::os::unix::fs::chown(path, Some(range.base), Some(range.base))
            .map_err(system(format!("give {} to the container", path.display())))?;
    }
    Ok(())
}

/// What this engine does not have.
fn refuse(container: &ContainerSpec, opened: &Opened) -> Result<(), RuntimeError> {
    let own_kernel = opened.oci.as_deref().is_some_and(oci::is_gvisor);
    let checked = [
        (container.health.is_some(), "probe the health of"),
        (container.init, "give an init process to"),
        (container.privileged, "give all privileges to"),
        (!container.devices.is_empty(), "pass devices to"),
    ];
    if let Some((_, what)) = checked.iter().find(|(asked, _)| own_kernel && *asked) {
        return Err(RuntimeError::Unsupported {
            what: format!("{what} {}", container.id),
            why: "runsc runs it on a kernel of its own, where that does not exist for this node's \
                  agent; use another --oci-runtime, or none"
                .to_owned(),
        });
    }
    if let crate::LogMode::Driver { name, .. } = &container.log {
        return Err(RuntimeError::Unsupported {
            what: format!("hand the output of {} to the log driver {name}", container.id),
            why: "the embedded runtime keeps output in files; use awslogs or json-file, or --runtime docker"
                .to_owned(),
        });
    }
    Ok(())
}

/// Makes the folders that are to be bound and are absent.
fn make_sources(container: &ContainerSpec) -> Result<(), RuntimeError> {
    for mount in &container.mounts {
        if let Mount::Bind { source, .. } = mount {
            let what = || system(format!("make the mount source {}", source.display()));
            if !source.try_exists().map_err(what())? {
                fs::create_dir_all(source).map_err(what())?;
            }
        }
    }
    Ok(())
}

fn make_files(
    container: &ContainerSpec,
    network: NetworkMode,
    folders: &Folders,
    overlay: &Overlay,
) -> io::Result<()> {
    for folder in [&overlay.upper, &overlay.work, &overlay.at] {
        fs::create_dir_all(folder)?;
    }
    let hostname = match network {
        NetworkMode::Private => spec::hostname(container).map_err(io::Error::other)?,
        NetworkMode::Host => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    fs::write(folders.run.join("hosts"), etc::hosts(container, &hostname))?;
    fs::write(folders.run.join("hostname"), format!("{hostname}\n"))?;
    let resolv = etc::resolv_conf(container, network, &node_resolv_conf(network));
    fs::write(folders.run.join("resolv.conf"), resolv)
}

/// Major and minor version of the running kernel.
pub(super) fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let text = name.release().to_string_lossy();
    let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The node's name servers; where its file only names a local stub, the file behind the stub.
fn node_resolv_conf(network: NetworkMode) -> String {
    let own = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if network == NetworkMode::Private && etc::is_stub(&own) {
        return fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or(own);
    }
    own
}

fn device((host, container, access): &(String, String, String)) -> Result<HostDevice, String> {
    let metadata = fs::metadata(host).map_err(|error| format!("the device {host}: {error}"))?;
    let kind = metadata.file_type();
    if !kind.is_block_device() && !kind.is_char_device() {
        return Err(format!("{host} is not a device"));
    }
    if access.is_empty() || !access.chars().all(|c| "rwm".contains(c)) {
        return Err(format!("the access \"{access}\" to {host} is not made of r, w and m"));
    }
    let path = if container.is_empty() { host } else { container };
    if !Path::new(path).is_absolute() {
        return Err(format!("the device's path {path} is not absolute"));
    }
    Ok(HostDevice {
        path: path.into(),
        block: kind.is_block_device(),
        major: rustix::fs::major(metadata.rdev()),
        minor: rustix::fs::minor(metadata.rdev()),
        mode: metadata.mode(),
        access: access.clone(),
    })
}

/// The signals that programs are asked to end with.
const SIGNALS: [(&str, i32); 22] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
];

/// A signal by name (with or without `SIG`), `RTMIN+n`, or number.
pub(crate) fn signal_number(name: &str) -> Result<i32, String> {
    if name.is_empty() {
        return Ok(libc::SIGTERM);
    }
    let unknown = || format!("\"{name}\" is not a signal");
    if let Ok(number) = name.parse::<i32>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    // The numbers that Docker gives them, whatever the C library keeps for itself.
    for (word, base, sign) in [("RTMIN+", 34, 1), ("RTMAX-", 64, -1)] {
        if let Some(offset) = short.strip_prefix(word).and_then(|n| n.parse::<i32>().ok()) {
            return Some(base + sign * offset)
                .filter(|n| (34..=64).contains(n))
                .ok_or_else(unknown);
        }
    }
    match short {
        "RTMIN" => Ok(34),
        "RTMAX" => Ok(64),
        _ => {
            let found = SIGNALS.iter().find(|(known, _)| *known == short);
            found.map(|(_, number)| *number).ok_or_else(unknown)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_as_images_name_them() {
        for (name, number) in
            [("", 15), ("SIGTERM", 15), ("quit", 3), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)]
        {
            assert_eq!(signal_number(name), Ok(number), "{name}");
        }
        for name in ["SIGNOPE", "0", "65", "RTMIN+31", "RTMAX--5", "-1"] {
            assert!(signal_number(name).is_err(), "{name}");
        }
    }
}
