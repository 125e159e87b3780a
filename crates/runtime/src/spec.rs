//! Pure: a container as asked for, turned into an OCI runtime specification, which the engine carries
//! out (and which `runc` carries out alike: the tests compare them).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Capabilities, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder, LinuxDevice,
    LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
    LinuxMemoryBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType,
    LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, PosixRlimit, PosixRlimitBuilder,
    PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use crate::engine::{caps, docker_profile, seccomp};
use crate::spec_mounts::{masked_paths, mounts, readonly_paths};
use crate::{ContainerSpec, IpcMode, Limits, NetworkMode, PidMode, Seccomp};

/// `PATH` of a container that does not set it: Docker's.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The quota's period in microseconds.
const PERIOD_MICROS: u64 = 100_000;
/// The kernel takes no single argument or variable beyond 32 pages.
const MAX_STRING: usize = 131_072;
/// Nor more than 6 MiB of them together (three quarters of `_STK_LIM`).
const MAX_STRINGS: usize = 6 << 20;

/// What the node knows of a container to be made, beside what is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Where its root will be mounted.
    pub rootfs: PathBuf,
    /// The folder that holds its `hosts`, `hostname` and `resolv.conf`.
    pub etc: PathBuf,
    /// The cgroup.
    pub cgroup: String,
    /// The network that it has: its sandbox's, or private if it has one of its own.
    pub network: NetworkMode,
    /// The network namespace to join, with a private network.
    pub network_namespace: Option<PathBuf>,
    /// Whose processes it sees.
    pub pid: PidMode,
    /// Whose IPC objects it sees.
    pub ipc: IpcMode,
    /// The folder of the shared memory that it shares with its sandbox or the node.
    pub shm: Option<PathBuf>,
    /// Major and minor version of the node's kernel.
    pub kernel: (u32, u32),
    /// Whether it has AppArmor.
    pub apparmor: bool,
    /// The folders of the volumes that it mounts.
    pub volumes: BTreeMap<String, PathBuf>,
    /// The sandbox's limits: a container cannot be promised more.
    pub sandbox_limits: Limits,
    /// The host devices that are passed, resolved.
    pub devices: Vec<HostDevice>,
}

/// A device node of the host, looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDevice {
    /// Where the container sees it.
    pub path: PathBuf,
    /// Whether it is a block device; else a character device.
    pub block: bool,
    /// Its numbers.
    pub major: u32,
    /// Its numbers.
    pub minor: u32,
    /// The mode bits of the host's node.
    pub mode: u32,
    /// Some of `rwm`.
    pub access: String,
}

/// The specification, or what is wrong with what was asked for.
pub fn build(container: &ContainerSpec, facts: &Facts) -> Result<Spec, String> {
    let capabilities = capabilities(container)?;
    let process = process(container, facts, &capabilities)?;
    if let Some(swappiness) = container.swappiness.filter(|value| *value > 100) {
        return Err(format!("the swappiness {swappiness} is not between 0 and 100"));
    }
    let limits = within(container.limits, facts.sandbox_limits);
    check_limits(&limits)?;
    let mut linux = LinuxBuilder::default()
        .cgroups_path(&facts.cgroup)
        .namespaces(namespaces(facts))
        .devices(devices(facts))
        .rootfs_propagation("private")
        .resources(container_resources(container, &limits, facts));
    for name in container.sysctls.keys() {
        check_sysctl(name, facts)?;
    }
    // The builder's own defaults are not wanted: what is open must be said to be.
    linux = if container.privileged {
        linux.masked_paths(Vec::new()).readonly_paths(Vec::new())
    } else {
        let linux = linux.masked_paths(masked_paths()).readonly_paths(readonly_paths());
        match &container.seccomp {
            Seccomp::Default => linux.seccomp(seccomp::default_profile(&capabilities)),
            Seccomp::Unconfined => linux,
            Seccomp::Profile(json) => {
                linux.seccomp(docker_profile::read(json, &capabilities, facts.kernel)?)
            }
        }
    };
    let mut linux = linux.build().map_err(|error| error.to_string())?;
    if !container.sysctls.is_empty() {
        let sysctls = container.sysctls.iter();
        linux
            .set_sysctl(Some(sysctls.map(|(name, value)| (name.clone(), value.clone())).collect()));
    }
    let root = RootBuilder::default().path(&facts.rootfs).readonly(container.readonly_root);
    let spec = SpecBuilder::default()
        .version("1.0.2")
        .root(root.build().map_err(|error| error.to_string())?)
        .mounts(mounts(container, facts)?)
        .process(process)
        .linux(linux);
    let mut spec = spec.build().map_err(|error| error.to_string())?;
    spec.set_hostname(match facts.network {
        NetworkMode::Private => Some(hostname(container)?),
        NetworkMode::Host => None,
    });
    Ok(spec)
}

/// The host name a container sees with a network of its own.
pub fn hostname(container: &ContainerSpec) -> Result<String, String> {
    let name = if container.hostname.is_empty() {
        container.sandbox.as_str().chars().take(12).collect()
    } else {
        container.hostname.clone()
    };
    let fits =
        name.len() <= 63 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if fits {
        Ok(name)
    } else {
        Err(format!("\"{name}\" is not a host name of at most 63 letters"))
    }
}

fn process(
    container: &ContainerSpec,
    facts: &Facts,
    capabilities: &Capabilities,
) -> Result<Process, String> {
    let strings = container.args.iter().chain(&container.env);
    if container.args.first().is_none_or(String::is_empty) {
        return Err("it has no program to run: neither the command nor the image names one".into());
    }
    if strings.clone().any(|text| text.contains('\0')) {
        return Err("an argument or a variable contains a zero byte".into());
    }
    if strings.clone().any(|text| text.len() >= MAX_STRING) {
        return Err("an argument or a variable is longer than the kernel's 128 KiB".into());
    }
    if strings.map(|text| text.len() + 9).sum::<usize>() > MAX_STRINGS {
        return Err("arguments and variables are more than the kernel's 6 MiB together".into());
    }
    let cwd = if container.cwd.is_empty() { "/" } else { &container.cwd };
    if !cwd.starts_with('/') {
        return Err(format!("the working directory \"{cwd}\" is not absolute"));
    }
    let sets = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        .effective(capabilities.clone())
        .permitted(capabilities.clone())
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new());
    let user = UserBuilder::default().uid(0_u32).gid(0_u32);
    let process = ProcessBuilder::default();
    let process = match container.apparmor.as_deref() {
        // As Docker has it, a privileged container is not confined by default.
        None | Some("" | "unconfined") => process,
        Some(_) if !facts.apparmor => {
            return Err(format!(
                "the AppArmor profile \"{}\" is asked for, and this node's kernel has no AppArmor",
                container.apparmor.as_deref().unwrap_or_default()
            ));
        }
        Some(profile) => process.apparmor_profile(profile),
    };
    process
        .terminal(container.tty)
        .user(user.build().map_err(|error| error.to_string())?)
        .args(container.args.clone())
        .env(environment(container, facts))
        .cwd(clean(Path::new(cwd)))
        .capabilities(sets.build().map_err(|error| error.to_string())?)
        .rlimits(rlimits(&container.ulimits)?)
        .no_new_privileges(container.no_new_privileges)
        .oom_score_adj(0)
        .build()
        .map_err(|error| error.to_string())
}

/// The variables asked for, and those that every container has.
fn environment(container: &ContainerSpec, facts: &Facts) -> Vec<String> {
    let mut env = container.env.clone();
    let mut default = |name: &str, value: String| {
        if !container.env.iter().any(|line| line.split('=').next() == Some(name)) {
            env.push(format!("{name}={value}"));
        }
    };
    default("PATH", DEFAULT_PATH.to_owned());
    if facts.network == NetworkMode::Private {
        default("HOSTNAME", hostname(container).unwrap_or_default());
    }
    if container.tty {
        default("TERM", "xterm".to_owned());
    }
    env
}

/// A path without `.`, `..` and doubled slashes, as text (links are not looked at).
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => cleaned.push(name),
            std::path::Component::ParentDir => {
                cleaned.pop();
            }
            _ => {}
        }
    }
    cleaned
}

fn capabilities(container: &ContainerSpec) -> Result<Capabilities, String> {
    if container.privileged {
        return Ok(caps::ALL.into());
    }
    let all = |list: &[String]| list.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    let read = |list: &[String]| {
        let names = list.iter().filter(|name| !name.eq_ignore_ascii_case("ALL"));
        let unknown = |name: &str| format!("\"{name}\" is not a Linux capability");
        names
            .map(|name| caps::by_name(name).ok_or_else(|| unknown(name)))
            .collect::<Result<Capabilities, _>>()
    };
    let (add, drop) = (read(&container.cap_add)?, read(&container.cap_drop)?);
    let base: Capabilities = match (all(&container.cap_add), all(&container.cap_drop)) {
        (true, _) => caps::ALL.into(),
        (false, true) => Capabilities::new(),
        (false, false) => caps::DEFAULT.into(),
    };
    Ok(base.difference(&drop).chain(&add).copied().collect())
}

fn rlimits(ulimits: &[(String, u64, u64)]) -> Result<Vec<PosixRlimit>, String> {
    let one = |(name, soft, hard): &(String, u64, u64)| {
        let typ = match name.as_str() {
            "core" => PosixRlimitType::RlimitCore,
            "cpu" => PosixRlimitType::RlimitCpu,
            "data" => PosixRlimitType::RlimitData,
            "fsize" => PosixRlimitType::RlimitFsize,
            "locks" => PosixRlimitType::RlimitLocks,
            "memlock" => PosixRlimitType::RlimitMemlock,
            "msgqueue" => PosixRlimitType::RlimitMsgqueue,
            "nice" => PosixRlimitType::RlimitNice,
            "nofile" => PosixRlimitType::RlimitNofile,
            "nproc" => PosixRlimitType::RlimitNproc,
            "rss" => PosixRlimitType::RlimitRss,
            "rtprio" => PosixRlimitType::RlimitRtprio,
            "rttime" => PosixRlimitType::RlimitRttime,
            "sigpending" => PosixRlimitType::RlimitSigpending,
            "stack" => PosixRlimitType::RlimitStack,
            other => return Err(format!("\"{other}\" is not a ulimit")),
        };
        if soft > hard {
            return Err(format!("the soft limit {soft} of {name} is above its hard limit {hard}"));
        }
        let limit = PosixRlimitBuilder::default().typ(typ).soft(*soft).hard(*hard);
        limit.build().map_err(|error| error.to_string())
    };
    ulimits.iter().map(one).collect()
}

/// Kernel settings that belong to a namespace; the others are the node's.
fn check_sysctl(name: &str, facts: &Facts) -> Result<(), String> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    if !plain || name.contains("..") {
        return Err(format!("\"{name}\" is not a kernel setting"));
    }
    if IPC.contains(&name) || name.starts_with("fs.mqueue.") {
        return match facts.ipc {
            IpcMode::Host => Err(format!(
                "{name} would change the node's own IPC settings, which the container shares"
            )),
            IpcMode::Container | IpcMode::Sandbox | IpcMode::None => Ok(()),
        };
    }
    match (name.starts_with("net."), facts.network) {
        (true, NetworkMode::Private) => Ok(()),
        (true, NetworkMode::Host) => {
            Err(format!("{name} would change the node's own network, which the container shares"))
        }
        (false, _) => Err(format!("{name} is a setting of the whole node, not of a container")),
    }
}

fn namespaces(facts: &Facts) -> Vec<LinuxNamespace> {
    let new = |typ| LinuxNamespaceBuilder::default().typ(typ);
    let mut list = vec![new(LinuxNamespaceType::Mount), new(LinuxNamespaceType::Uts)];
    if facts.pid == PidMode::Container {
        list.push(new(LinuxNamespaceType::Pid));
    }
    if matches!(facts.ipc, IpcMode::Container | IpcMode::None) {
        list.push(new(LinuxNamespaceType::Ipc));
    }
    if facts.network == NetworkMode::Private {
        let network = new(LinuxNamespaceType::Network);
        list.push(match &facts.network_namespace {
            Some(path) => network.path(path),
            None => network,
        });
    }
    list.into_iter().filter_map(|namespace| namespace.build().ok()).collect()
}

/// What every container's `/dev` has: `(name, major, minor)`.
const DEVICES: [(&str, i64, i64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

fn devices(facts: &Facts) -> Vec<LinuxDevice> {
    let node = |path: &Path, typ, major: i64, minor: i64, mode: u32| {
        let device = LinuxDeviceBuilder::default().path(path).typ(typ).major(major).minor(minor);
        device.file_mode(mode).uid(0_u32).gid(0_u32).build().ok()
    };
    let own = DEVICES.iter().filter_map(|(name, major, minor)| {
        node(&Path::new("/dev").join(name), LinuxDeviceType::C, *major, *minor, 0o666)
    });
    let passed = facts.devices.iter().filter_map(|device| {
        let typ = if device.block { LinuxDeviceType::B } else { LinuxDeviceType::C };
        let (major, minor) = (i64::from(device.major), i64::from(device.minor));
        node(&clean(&device.path), typ, major, minor, device.mode & 0o777)
    });
    let mut list: Vec<LinuxDevice> = own.collect();
    for device in passed {
        list.retain(|other| other.path() != device.path());
        list.push(device);
    }
    list
}

/// What a container may do with devices that asks for none.
pub(crate) fn default_device_rules() -> Vec<LinuxDeviceCgroup> {
    device_rules(false, &[])
}

/// All that there are.
pub(crate) fn all_devices() -> Vec<LinuxDeviceCgroup> {
    device_rules(true, &[])
}

fn device_rules(privileged: bool, passed: &[HostDevice]) -> Vec<LinuxDeviceCgroup> {
    let rule = |allow, typ, major: Option<i64>, minor: Option<i64>, access: &str| {
        let rule = LinuxDeviceCgroupBuilder::default().allow(allow).typ(typ).access(access);
        // Absent numbers mean any.
        let rule = rule.major(major.unwrap_or(-1)).minor(minor.unwrap_or(-1));
        rule.build().ok()
    };
    if privileged {
        return rule(true, LinuxDeviceType::A, None, None, "rwm").into_iter().collect();
    }
    let mut rules = vec![
        rule(false, LinuxDeviceType::A, None, None, "rwm"),
        rule(true, LinuxDeviceType::C, None, None, "m"),
        rule(true, LinuxDeviceType::B, None, None, "m"),
        // /dev/console, /dev/ptmx and the pseudo terminals.
        rule(true, LinuxDeviceType::C, Some(5), Some(1), "rwm"),
        rule(true, LinuxDeviceType::C, Some(5), Some(2), "rwm"),
        rule(true, LinuxDeviceType::C, Some(136), None, "rwm"),
    ];
    let own = DEVICES
        .iter()
        .map(|(_, major, minor)| rule(true, LinuxDeviceType::C, Some(*major), Some(*minor), "rwm"));
    rules.extend(own);
    rules.extend(passed.iter().map(|device| {
        let typ = if device.block { LinuxDeviceType::B } else { LinuxDeviceType::C };
        let (major, minor) = (i64::from(device.major), i64::from(device.minor));
        rule(true, typ, Some(major), Some(minor), &device.access)
    }));
    rules.into_iter().flatten().collect()
}

fn container_resources(
    container: &ContainerSpec,
    limits: &Limits,
    facts: &Facts,
) -> LinuxResources {
    let mut resources = resources(limits);
    if let Some(swappiness) = container.swappiness {
        let mut memory = resources.memory().unwrap_or_default();
        memory.set_swappiness(Some(u64::from(swappiness)));
        resources.set_memory(Some(memory));
    }
    resources.set_devices(Some(device_rules(container.privileged, &facts.devices)));
    resources
}

/// Limits as a specification has them. Memory without a word on swap gets as much swap again.
pub(crate) fn resources(limits: &Limits) -> LinuxResources {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut built = LinuxResourcesBuilder::default().build().expect("every field has a default");
    built.set_devices(None);
    let both = limits.memory_swap_bytes.or(limits.memory_bytes.map(|n| n.saturating_mul(2)));
    if limits.memory_bytes.is_some() || limits.memory_reservation_bytes.is_some() {
        let mut memory = LinuxMemoryBuilder::default();
        if let (Some(alone), Some(both)) = (limits.memory_bytes, both) {
            memory = memory.limit(signed(alone)).swap(signed(both));
        }
        if let Some(soft) = limits.memory_reservation_bytes {
            memory = memory.reservation(signed(soft));
        }
        built.set_memory(memory.build().ok());
    }
    if limits.cpu_shares.is_some() || limits.cpu_millis.is_some() {
        let mut cpu = LinuxCpuBuilder::default();
        if let Some(shares) = limits.cpu_shares {
            cpu = cpu.shares(shares.max(2));
        }
        if let Some(millis) = limits.cpu_millis {
            // The kernel takes no quota below a millisecond.
            let quota = signed(millis.saturating_mul(PERIOD_MICROS / 1000).max(1000));
            cpu = cpu.period(PERIOD_MICROS).quota(quota);
        }
        built.set_cpu(cpu.build().ok());
    }
    if let Some(pids) = limits.pids {
        built.set_pids(LinuxPidsBuilder::default().limit(signed(pids)).build().ok());
    }
    built
}

/// What cannot be kept, said before anything is made.
pub(crate) fn check_limits(limits: &Limits) -> Result<(), String> {
    match (limits.memory_bytes, limits.memory_swap_bytes) {
        (None, Some(_)) => Err("a limit of swap needs a limit of memory".into()),
        (Some(memory), Some(both)) if both < memory => Err(format!(
            "memory and swap together ({both} bytes) cannot be less than memory alone ({memory})"
        )),
        (Some(memory), _) if memory < 4 << 20 => {
            Err(format!("{memory} bytes of memory are too few to start anything: give 4 MiB"))
        }
        _ => Ok(()),
    }
}

/// A container's limits, not above its sandbox's where the kernel minds (v1 refuses such a quota).
fn within(mut limits: Limits, sandbox: Limits) -> Limits {
    if let (Some(own), Some(all)) = (limits.cpu_millis, sandbox.cpu_millis) {
        limits.cpu_millis = Some(own.min(all));
    }
    limits
}
