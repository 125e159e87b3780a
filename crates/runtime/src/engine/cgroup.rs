//! Control groups, v1, v2 and both at once, found by looking at what is mounted.
//!
//! A group is named by its path below the hierarchy's root, such as `/wharf/sandbox/c0`; on v1 that
//! path exists in every hierarchy that is used.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode, OFlags};

use super::{Attempt, Fault, cgroup_files, device_filter, oci, sys};
use crate::Usage;

/// The v1 controllers that are used.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuacct", "memory", "devices", "blkio", "pids"];

/// The hierarchies of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cgroups {
    /// One hierarchy per controller, or some together.
    V1(BTreeMap<&'static str, PathBuf>),
    /// One hierarchy.
    V2(PathBuf),
}

/// How a new process gets into a group.
#[derive(Debug)]
pub(crate) enum Entry {
    /// By writing `0` into each of these.
    Attach(Vec<OwnedFd>),
    /// At birth, by this folder (`CLONE_INTO_CGROUP`).
    Birth(OwnedFd),
}

impl Entry {
    /// What `clone3` is given.
    pub(crate) fn for_clone(&self) -> Option<RawFd> {
        match self {
            Self::Attach(_) => None,
            Self::Birth(folder) => Some(folder.as_raw_fd()),
        }
    }

    /// What the new process, which has one thread, does first. On v1 it is its one thread that moves
    /// (`tasks`): for a whole process (`cgroup.procs`) the kernel stops every fork and exit of the
    /// node, and waits 6 to 20 ms for that after a pause.
    pub(crate) fn attach_self(&self) -> Result<(), Fault> {
        let Self::Attach(files) = self else { return Ok(()) };
        for file in files {
            rustix::io::write(file, b"0").attempt(|| "enter the cgroup".into())?;
        }
        Ok(())
    }

    /// The descriptors, to be kept open in a new process.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        match self {
            Self::Attach(files) => files.iter().map(AsRawFd::as_raw_fd).collect(),
            Self::Birth(folder) => vec![folder.as_raw_fd()],
        }
    }
}

impl Cgroups {
    /// Looks at what is mounted: v2 if it has the memory controller, else v1.
    pub(crate) fn detect() -> Result<Self, Fault> {
        let mounts =
            fs::read_to_string("/proc/self/mounts").attempt(|| "read the mounts".into())?;
        let has = |root: &Path| {
            fs::read_to_string(root.join("cgroup.controllers"))
                .is_ok_and(|text| text.split_whitespace().any(|name| name == "memory"))
        };
        Self::from_mounts(&mounts, has).ok_or_else(|| {
            Fault::refused(
                "find the control groups",
                "neither cgroup v2 nor v1's memory controller is mounted under /sys/fs/cgroup",
            )
        })
    }

    fn from_mounts(mounts: &str, has_memory: impl Fn(&Path) -> bool) -> Option<Self> {
        let mut v1 = BTreeMap::new();
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            let (Some(at), Some(kind), Some(options)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            match kind {
                "cgroup2" if has_memory(Path::new(at)) => return Some(Self::V2(at.into())),
                "cgroup" => {
                    for name in CONTROLLERS {
                        if options.split(',').any(|option| option == name) {
                            v1.entry(name).or_insert_with(|| PathBuf::from(at));
                        }
                    }
                }
                _ => {}
            }
        }
        v1.contains_key("memory").then_some(Self::V1(v1))
    }

    /// Every folder of a group, each once.
    pub(crate) fn folders(&self, group: &str) -> Vec<PathBuf> {
        let below = group.trim_start_matches('/');
        match self {
            Self::V2(root) => vec![root.join(below)],
            Self::V1(roots) => {
                let mut roots: Vec<_> = roots.values().collect();
                roots.sort();
                roots.dedup();
                roots.into_iter().map(|root| root.join(below)).collect()
            }
        }
    }

    /// A group's folder in one controller's hierarchy.
    fn folder(&self, controller: &str, group: &str) -> Option<PathBuf> {
        let below = group.trim_start_matches('/');
        match self {
            Self::V2(root) => Some(root.join(below)),
            Self::V1(roots) => roots.get(controller).map(|root| root.join(below)),
        }
    }

    /// What a container may see of its own group: `(name under /sys/fs/cgroup, folder)`; on v2 the
    /// name is empty.
    pub(crate) fn views(&self, group: &str) -> Vec<(String, PathBuf)> {
        match self {
            Self::V2(_) => {
                self.folders(group).into_iter().map(|folder| (String::new(), folder)).collect()
            }
            Self::V1(roots) => roots
                .keys()
                .filter_map(|name| Some(((*name).to_owned(), self.folder(name, group)?)))
                .collect(),
        }
    }

    /// Makes a group and its parents; on v2, lets the parents hand the controllers down.
    pub(crate) fn create(&self, group: &str) -> Result<(), Fault> {
        for folder in self.folders(group) {
            let what = || format!("make the cgroup {}", folder.display());
            // Nearly always only the last folder is absent.
            match fs::create_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(&folder),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                other => other,
            }
            .attempt(what)?;
        }
        if let Self::V2(root) = self {
            let mut at = root.clone();
            for part in Path::new(group.trim_start_matches('/')).components() {
                for controller in ["+cpu", "+memory", "+pids", "+io"] {
                    // A controller that the node does not have is missed only when a limit needs it.
                    fs::write(at.join("cgroup.subtree_control"), controller).unwrap_or_default();
                }
                at.push(part);
            }
        }
        Ok(())
    }

    /// Writes limits into a group that exists.
    pub(crate) fn apply(&self, group: &str, resources: &LinuxResources) -> Result<(), Fault> {
        let writes = match self {
            Self::V1(_) => cgroup_files::v1(resources),
            Self::V2(_) => cgroup_files::v2(resources),
        };
        for (controller, file, value) in writes {
            let what = || format!("write {value} to {file} of cgroup {group}");
            let folder = self.folder(controller, group).ok_or_else(|| {
                Fault::refused(what(), format!("this node has no {controller} controller"))
            })?;
            let path = folder.join(file);
            match fs::write(&path, value.as_bytes()) {
                // cgroupfs answers a write to an absent file with "permission denied".
                Err(_) if !path.exists() => {
                    // A kernel that does not account swap: memory alone is limited then.
                    if !file.contains("memsw") && !file.contains("memory.swap.") {
                        let why = "this node's kernel, or whoever delegates cgroups, lacks it";
                        return Err(Fault::refused(what(), why));
                    }
                }
                other => other.attempt(what)?,
            }
        }
        if let (Self::V2(_), Some(rules)) = (self, resources.devices()) {
            let what = || format!("limit the devices of cgroup {group}");
            let folder = open_folder(&self.folders(group)[0]).attempt(what)?;
            sys::attach_device_program(&folder, &device_filter::program(rules)).attempt(what)?;
        }
        Ok(())
    }

    /// How a process gets into a group.
    pub(crate) fn entry(&self, group: &str) -> Result<Entry, Fault> {
        let what = || format!("open the cgroup {group}");
        match self {
            Self::V2(_) => Ok(Entry::Birth(open_folder(&self.folders(group)[0]).attempt(what)?)),
            Self::V1(_) => {
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                let open =
                    |folder: PathBuf| rustix::fs::open(folder.join("tasks"), flags, Mode::empty());
                let files = self.folders(group).into_iter().map(open).collect::<Result<_, _>>();
                Ok(Entry::Attach(files.attempt(what)?))
            }
        }
    }

    /// The groups directly below one.
    pub(crate) fn children(&self, group: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for folder in self.folders(group) {
            names.extend(subfolders(&folder));
        }
        names.sort();
        names.dedup();
        names
    }

    /// Kills what is in a group and below it at present.
    pub(crate) fn kill(&self, group: &str) {
        if let Some(folder) = self.folders(group).first() {
            kill_below(folder);
        }
    }

    /// Kills what is in a group and below it, again and again until nothing is left, then removes it.
    /// Absent already is success. Waits up to five seconds for the kernel.
    pub(crate) fn destroy(&self, group: &str) -> Result<(), Fault> {
        check_group(group)?;
        let mut folders = self.folders(group);
        folders.extend(other_folders(group));
        folders.sort();
        folders.dedup();
        for round in 0..500_u64 {
            let mut left = None;
            for folder in &folders {
                kill_below(folder);
                match remove_below(folder) {
                    Ok(()) => {}
                    Err(error) => left = Some((folder, error)),
                }
            }
            let Some((folder, source)) = left else { return Ok(()) };
            if round == 499 {
                return Err(Fault {
                    attempt: format!("remove the cgroup {}", folder.display()),
                    source,
                });
            }
            std::thread::sleep(Duration::from_millis(round.min(10)));
        }
        Ok(())
    }

    /// How often the kernel killed in this group for want of memory.
    pub(crate) fn oom_kills(&self, group: &str) -> u64 {
        let file = match self {
            Self::V1(_) => "memory.oom_control",
            Self::V2(_) => "memory.events",
        };
        let count = |group: &str| {
            self.read("memory", group, file).map_or(0, |text| field(&text, "oom_kill"))
        };
        // Another engine has its own group below, and v1 counts in each alone.
        count(group).max(count(&oci::group_in(group)))
    }

    fn read(&self, controller: &str, group: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.folder(controller, group)?.join(file)).ok()
    }

    /// What a group uses at present; what cannot be read is zero.
    pub(crate) fn usage(&self, group: &str) -> Usage {
        // Beside another engine's group is the process that waits for it, which is not the container's.
        let oci = oci::group_in(group);
        let group =
            if self.folders(&oci).first().is_some_and(|at| at.is_dir()) { &oci } else { group };
        let number = |controller, file| {
            self.read(controller, group, file)
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0)
        };
        let stat = self.read("memory", group, "memory.stat").unwrap_or_default();
        let pids = number("pids", "pids.current");
        match self {
            Self::V1(_) => {
                let io = self.read("blkio", group, "blkio.throttle.io_service_bytes_recursive");
                Usage {
                    cpu_nanos: number("cpuacct", "cpuacct.usage"),
                    memory_bytes: number("memory", "memory.usage_in_bytes")
                        .saturating_sub(field(&stat, "total_inactive_file")),
                    pids,
                    io_bytes: io_v1(&io.unwrap_or_default()),
                }
            }
            Self::V2(_) => {
                let cpu = self.read("cpu", group, "cpu.stat").unwrap_or_default();
                let io = self.read("io", group, "io.stat").unwrap_or_default();
                Usage {
                    cpu_nanos: field(&cpu, "usage_usec").saturating_mul(1000),
                    memory_bytes: number("memory", "memory.current")
                        .saturating_sub(field(&stat, "inactive_file")),
                    pids,
                    io_bytes: io_v2(&io),
                }
            }
        }
    }
}

/// A group's folders in every hierarchy that is mounted: another engine uses more than this one.
fn other_folders(group: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let hierarchies = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(at))
    });
    let below = group.trim_start_matches('/');
    hierarchies.map(|root| root.join(below)).filter(|folder| folder.is_dir()).collect()
}

/// A group that is ours to make and to destroy: never the root of all, never beside it.
pub(crate) fn check_group(group: &str) -> Result<(), Fault> {
    let parts: Vec<&str> = group.split('/').collect();
    let fits = parts.len() > 1
        && parts[0].is_empty()
        && parts[1..].iter().all(|part| !matches!(*part, "" | "." | ".."));
    if fits {
        return Ok(());
    }
    let why = "the name of a cgroup is like /wharf: absolute, and not the root";
    Err(Fault::refused(format!("use the cgroup \"{group}\""), why))
}

/// The number after a name, in files of `name number` lines.
fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

fn io_v1(text: &str) -> (u64, u64) {
    let sum = |kind: &str| {
        let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        lines
            .filter(|f| f.len() == 3 && f[1] == kind)
            .filter_map(|f| f[2].parse::<u64>().ok())
            .sum()
    };
    (sum("Read"), sum("Write"))
}

fn io_v2(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        text.split_whitespace()
            .filter_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse::<u64>().ok())
            .sum()
    };
    (sum("rbytes"), sum("wbytes"))
}

fn open_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    // bpf(2) and clone3(2) want a real descriptor, not an O_PATH one.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

fn subfolders(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn kill_below(folder: &Path) {
    for name in subfolders(folder) {
        kill_below(&folder.join(name));
    }
    for line in fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines() {
        // 0 stands for a process of another pid namespace, -1 and 0 would mean all of ours.
        if let Some(pid) = line.parse::<i32>().ok().filter(|pid| *pid > 1) {
            // Gone in between is as good.
            sys::kill(pid, libc::SIGKILL).unwrap_or_default();
        }
    }
}

fn remove_below(folder: &Path) -> io::Result<()> {
    for name in subfolders(folder) {
        remove_below(&folder.join(name))?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_read_off_the_mounts() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
            cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
            cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let Some(v1) = Cgroups::from_mounts(hybrid, |_| false) else { panic!("v1") };
        let folders: Vec<_> = v1.folders("/wharf/a");
        let expected = ["/sys/fs/cgroup/cpu,cpuacct/wharf/a", "/sys/fs/cgroup/memory/wharf/a"];
        assert_eq!(folders, expected.map(PathBuf::from), "shared hierarchies count once");
        let v2 = Cgroups::from_mounts("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", |_| true);
        assert_eq!(v2, Some(Cgroups::V2("/sys/fs/cgroup".into())));
        assert_eq!(Cgroups::from_mounts("tmpfs /tmp tmpfs rw 0 0\n", |_| true), None);
    }

    #[test]
    fn the_root_of_all_is_never_ours() {
        for group in ["", "/", "//", "/.", "/..", "wharf", "/wharf/", "/wharf/../x"] {
            assert!(check_group(group).is_err(), "{group}");
            assert!(Cgroups::V2("/nowhere".into()).destroy(group).is_err(), "{group}");
        }
        assert!(check_group("/wharf").is_ok() && check_group("/a.slice/wharf-1").is_ok());
    }

    #[test]
    fn counters_are_read() {
        assert_eq!(field("under_oom 0\noom_kill 3\n", "oom_kill"), 3);
        assert_eq!(io_v1("8:0 Read 10\n8:0 Write 5\n9:0 Read 1\nTotal 16\n"), (11, 5));
        assert_eq!(io_v2("8:0 rbytes=4 wbytes=2 rios=9\n9:0 rbytes=1 wbytes=1\n"), (5, 3));
    }
}
