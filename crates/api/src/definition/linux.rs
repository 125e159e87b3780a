//! Linux parameters, ulimits and kernel settings.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LinuxParameters.html>

use aws::Error;
use aws::ecs::{
    ContainerDefinition, IpcMode, KernelCapabilities, LinuxParameters, NetworkMode, UlimitName,
};

use super::container::wrong;
use super::validate::Surroundings;

/// The capabilities that ECS takes; `ALL` is every one.
const CAPABILITIES: &[&str] = &[
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYSLOG",
    "WAKE_ALARM",
];

/// The options of a tmpfs that the nodes honour; the last five stand before `=` and a value.
const TMPFS_OPTIONS: &[&str] = &[
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "strictatime",
    "private",
    "rprivate",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
];

/// Kernel settings that belong to a container's own IPC namespace.
const IPC_CONTROLS: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Checks what a container asks of the kernel.
pub(super) fn check(
    name: &str,
    container: &ContainerDefinition,
    task: &Surroundings<'_>,
) -> Result<(), Error> {
    if let Some(parameters) = &container.linux_parameters {
        check_parameters(name, parameters)?;
        if parameters.max_swap.is_some() && container.memory.is_none() {
            return Err(wrong(
                name,
                "linuxParameters.maxSwap",
                "it needs the container's 'memory'.",
            ));
        }
    }
    let mut limits = Vec::new();
    for limit in container.ulimits.iter().flatten() {
        let (soft, hard) = (limit.soft_limit.unwrap_or(0), limit.hard_limit.unwrap_or(0));
        if matches!(&limit.name, None | Some(UlimitName::Unrecognized(_))) {
            return Err(wrong(
                name,
                "ulimits",
                "there is a limit without a name that Linux knows.",
            ));
        }
        if limits.contains(&&limit.name) {
            let twice = limit.name.as_ref().map(UlimitName::as_str).unwrap_or_default();
            return Err(wrong(name, "ulimits", format!("the limit {twice} is given twice.")));
        }
        limits.push(&limit.name);
        if soft < -1 || hard < -1 || (hard != -1 && (soft > hard || soft == -1)) {
            return Err(wrong(
                name,
                "ulimits",
                format!(
                    "a soft limit of {soft} does not go with a hard limit of {hard}; -1 is no limit."
                ),
            ));
        }
    }
    for control in container.system_controls.iter().flatten() {
        check_control(name, control.namespace.as_deref().unwrap_or_default(), task)?;
    }
    Ok(())
}

fn check_parameters(name: &str, p: &LinuxParameters) -> Result<(), Error> {
    if p.max_swap.is_some_and(|mib| mib < 0) {
        return Err(wrong(name, "linuxParameters.maxSwap", "it can not be negative."));
    }
    if p.swappiness.is_some_and(|s| !(0..=100).contains(&s)) {
        return Err(wrong(name, "linuxParameters.swappiness", "it is between 0 and 100."));
    }
    if let Some(capabilities) = &p.capabilities {
        check_capabilities(name, capabilities)?;
    }
    if p.shared_memory_size.is_some_and(|mib| mib < 1) {
        return Err(wrong(name, "linuxParameters.sharedMemorySize", "it is at least 1 MiB."));
    }
    for tmpfs in p.tmpfs.iter().flatten() {
        let path = tmpfs.container_path.as_deref().unwrap_or_default();
        if !path.starts_with('/') {
            return Err(wrong(
                name,
                "linuxParameters.tmpfs",
                format!("containerPath \"{path}\" is not an absolute path."),
            ));
        }
        if tmpfs.size.unwrap_or(0) < 1 {
            return Err(wrong(
                name,
                "linuxParameters.tmpfs",
                format!("{path} needs a size in MiB."),
            ));
        }
        for option in tmpfs.mount_options.iter().flatten() {
            if !TMPFS_OPTIONS.contains(&option.split('=').next().unwrap_or_default()) {
                return Err(wrong(
                    name,
                    "linuxParameters.tmpfs.mountOptions",
                    format!("\"{option}\" is not an option that Wharf's nodes honour."),
                ));
            }
        }
    }
    for device in p.devices.iter().flatten() {
        let host = device.host_path.as_deref().unwrap_or_default();
        let inside = device.container_path.as_deref().unwrap_or(host);
        if !host.starts_with('/') || !(inside.is_empty() || inside.starts_with('/')) {
            return Err(wrong(
                name,
                "linuxParameters.devices",
                format!("\"{host}\" to \"{inside}\" is not a pair of absolute paths."),
            ));
        }
    }
    Ok(())
}

fn check_capabilities(name: &str, capabilities: &KernelCapabilities) -> Result<(), Error> {
    for (member, list) in [("add", &capabilities.add), ("drop", &capabilities.drop)] {
        for capability in list.iter().flatten() {
            if !CAPABILITIES.contains(&capability.as_str()) {
                return Err(wrong(
                    name,
                    &format!("linuxParameters.capabilities.{member}"),
                    format!("\"{capability}\" is not a capability, written such as NET_ADMIN."),
                ));
            }
        }
    }
    Ok(())
}

fn check_control(name: &str, control: &str, task: &Surroundings<'_>) -> Result<(), Error> {
    if control.starts_with("net.") {
        if *task.mode == NetworkMode::Host {
            return Err(wrong(
                name,
                "systemControls",
                format!(
                    "{control} would change the host's own network, since networkMode is host."
                ),
            ));
        }
        return Ok(());
    }
    if control.starts_with("fs.mqueue.") || IPC_CONTROLS.contains(&control) {
        if task.ipc == Some(&IpcMode::Host) {
            return Err(wrong(
                name,
                "systemControls",
                format!("{control} would change the host's own IPC, since ipcMode is host."),
            ));
        }
        return Ok(());
    }
    Err(wrong(
        name,
        "systemControls",
        format!("\"{control}\" does not belong to a namespace of the container."),
    ))
}
