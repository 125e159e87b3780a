//! Named volumes. Those of the driver `local` are a folder each, or, with the options `type`, `device`
//! and `o`, a file system that is mounted on that folder when a container first needs it; those of
//! other drivers are their plugins' (`plugin_volumes`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::ToSocketAddrs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::mount::UnmountFlags;

use super::places::{Places, SandboxRecord, names, read_json, remove_tree, write_json};
use super::plugin_volumes::{self, LOCAL};
use super::{Inner, check_name, guard, system};
use crate::engine::user_map::UserRange;
use crate::engine::{Attempt, Fault, mount_options, mounts};
use crate::{ContainerSpec, IpcMode, Mount, RuntimeError, VolumeSpec};

/// Beside a container's other files of this boot: the volumes that it mounts, one a line.
pub(super) const VOLUMES: &str = "volumes";
/// The size of a sandbox's shared memory if no container asks for more.
const SHARED_MEMORY: u64 = 64 << 20;

fn invalid(id: &str, why: impl Into<String>) -> RuntimeError {
    RuntimeError::Invalid { id: id.to_owned(), why: why.into() }
}

/// Docker's letters for a volume's name.
fn check_volume_name(name: &str) -> Result<(), RuntimeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if first && name.len() <= 255 && name.chars().all(plain) {
        return Ok(());
    }
    Err(invalid(
        name,
        "a volume's name is 1 to 255 letters, digits, -, _ and ., a letter or digit first",
    ))
}

/// Whether the driver can keep what is asked for.
fn check_spec(spec: &VolumeSpec) -> Result<(), RuntimeError> {
    check_volume_name(&spec.name)?;
    if spec.driver != LOCAL {
        // What a plugin's options mean it says itself.
        return Ok(());
    }
    for key in spec.options.keys() {
        if !["type", "device", "o"].contains(&key.as_str()) {
            let why = format!("the driver local has the options type, device and o, not \"{key}\"");
            return Err(invalid(&spec.name, why));
        }
    }
    match (spec.options.get("type"), spec.options.get("device"), spec.options.get("o")) {
        (None, None, None) => Ok(()),
        (Some(_), Some(_), _) => Ok(()),
        (None, Some(_), Some(o)) if is_bind(o) => Ok(()),
        _ => Err(invalid(&spec.name, "the driver local mounts with both a type and a device")),
    }
}

fn is_bind(options: &str) -> bool {
    options.split(',').any(|option| matches!(option, "bind" | "rbind"))
}

/// Whether something is mounted on a folder.
fn is_mounted(folder: &Path) -> io::Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let stat = rustix::fs::statx(CWD, folder, flags, StatxFlags::empty())?;
    Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Unmounts everything that is mounted on a folder.
fn unmount(folder: &Path) -> io::Result<()> {
    while folder.exists() && is_mounted(folder)? {
        rustix::mount::unmount(folder, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    }
    Ok(())
}

fn put(mount: impl AsFd, folder: &Path) -> Result<(), Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = rustix::fs::open(folder, flags, Mode::empty());
    mounts::put(mount, target.attempt(|| format!("open {}", folder.display()))?)
}

/// `addr=` with a name, as an address: the kernel knows no names.
fn with_address(option: &str) -> Result<String, Fault> {
    let Some(host) =
        option.strip_prefix("addr=").filter(|h| h.parse::<std::net::IpAddr>().is_err())
    else {
        return Ok(option.to_owned());
    };
    let what = || format!("find the address of {host}");
    let found = (host, 0).to_socket_addrs().attempt(what)?.next();
    let found = found.ok_or_else(|| Fault::refused(what(), "it has none"))?;
    Ok(format!("addr={}", found.ip()))
}

/// The file system that a volume's options describe.
fn file_system(options: &BTreeMap<String, String>) -> Result<Option<OwnedFd>, Fault> {
    let Some(device) = options.get("device") else { return Ok(None) };
    let kind = options.get("type").map_or("none", String::as_str);
    let asked = options.get("o").map_or("", String::as_str);
    let asked = asked.split(',').filter(|option| !option.is_empty());
    let asked: Vec<String> = if kind.starts_with("nfs") {
        asked.map(with_address).collect::<Result<_, _>>()?
    } else {
        asked.map(str::to_owned).collect()
    };
    let options = mount_options::parse(&asked);
    if options.bind || kind == "none" {
        let copy = mounts::copy_of(Path::new(device), options.recursive)?;
        mounts::set_attributes(&copy, options.recursive, options.attributes)?;
        return Ok(Some(copy));
    }
    // NFS wants its server's name before the path; Docker's users write only the path.
    let server = asked.iter().find_map(|option| option.strip_prefix("addr="));
    let source = match (server, device.strip_prefix(':')) {
        (Some(server), Some(path)) => format!("{server}:{path}"),
        _ => device.clone(),
    };
    mounts::fresh(kind, &source, &options).map(Some).map_err(|fault| unknown(kind, fault))
}

/// Says what a kernel means that does not know a kind of file system.
fn unknown(kind: &str, fault: Fault) -> Fault {
    if fault.source.raw_os_error() != Some(libc::ENODEV) {
        return fault;
    }
    let why = format!(
        "this node's kernel has no file system \"{kind}\" (see /proc/filesystems); load its module, \
         such as nfsv4, or boot a kernel that has it"
    );
    Fault::refused(fault.attempt, why)
}

impl Places {
    fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    fn volume_data(&self, name: &str) -> PathBuf {
        self.volume(name).join("_data")
    }

    fn volume_record(&self, name: &str) -> io::Result<Option<VolumeSpec>> {
        read_json(&self.volume(name).join("volume.json"))
    }

    /// The shared memory of a sandbox's containers.
    fn shared_memory(&self, sandbox: &crate::SandboxId) -> PathBuf {
        self.run(sandbox).join("shm")
    }

    /// What is mounted for this node's containers, one file a mount: its text is the folder.
    fn mount_note(&self, name: &str) -> PathBuf {
        self.mount_notes().join(name)
    }

    /// The names of the volumes that containers mount, started or ended.
    fn volumes_in_use(&self) -> io::Result<Vec<(String, String)>> {
        let mut used = Vec::new();
        for sandbox in self.sandboxes()? {
            let folder = self.run(&sandbox).join("c");
            for container in names(&folder)? {
                match fs::read_to_string(folder.join(&container).join(VOLUMES)) {
                    Ok(text) => {
                        used.extend(text.lines().map(|name| (name.to_owned(), container.clone())));
                    }
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(used)
    }
}

impl Inner {
    /// Makes a volume; one with the same options is there already.
    pub(super) fn create_volume(&self, spec: &VolumeSpec) -> Result<(), RuntimeError> {
        check_spec(spec)?;
        let _one = guard(&self.volumes);
        let what = || system(format!("make volume {}", spec.name));
        if let Some(there) = self.places.volume_record(&spec.name).map_err(what())? {
            if (&there.driver, &there.options) == (&spec.driver, &spec.options) {
                // Somebody else may have removed a plugin's volume since.
                return if spec.driver == LOCAL { Ok(()) } else { plugin_volumes::make(spec) };
            }
            return Err(invalid(&spec.name, "a volume of this name exists with other options"));
        }
        let folder = if spec.driver == LOCAL {
            self.places.volume_data(&spec.name)
        } else {
            plugin_volumes::make(spec)?;
            self.places.volume(&spec.name)
        };
        fs::create_dir_all(folder).map_err(what())?;
        write_json(&self.places.volume(&spec.name).join("volume.json"), spec).map_err(what())
    }

    /// Makes a plugin's volume known that something else has made.
    pub(super) fn find_volume(&self, spec: &VolumeSpec) -> Result<(), RuntimeError> {
        check_volume_name(&spec.name)?;
        let what = || system(format!("look for volume {}", spec.name));
        if self.places.volume_record(&spec.name).map_err(what())?.is_some() || spec.driver == LOCAL
        {
            return Ok(());
        }
        if !plugin_volumes::exists(spec)? {
            return Err(RuntimeError::NotFound { what: "volume", id: spec.name.clone() });
        }
        let _one = guard(&self.volumes);
        fs::create_dir_all(self.places.volume(&spec.name)).map_err(what())?;
        write_json(&self.places.volume(&spec.name).join("volume.json"), spec).map_err(what())
    }

    /// Removes a volume that no container mounts, and what is in it, unless that is mounted.
    pub(super) fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        check_volume_name(name)?;
        let _one = guard(&self.volumes);
        let what = || system(format!("remove volume {name}"));
        let used = self.places.volumes_in_use().map_err(what())?;
        if let Some((_, container)) = used.into_iter().find(|(volume, _)| volume == name) {
            return Err(invalid(name, format!("{container} mounts it; remove that first")));
        }
        if let Some(spec) = self.places.volume_record(name).map_err(what())?
            && spec.driver != LOCAL
        {
            plugin_volumes::remove(&spec)?;
            return remove_tree(&self.places.volume(name)).map_err(what());
        }
        unmount(&self.places.volume_data(name)).map_err(what())?;
        match fs::remove_file(self.places.mount_note(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => other.map_err(what())?,
        }
        remove_tree(&self.places.volume(name)).map_err(what())
    }

    /// The folders of the volumes that a container mounts, whose file systems are mounted now if they
    /// were not; writes down that it uses them.
    pub(super) fn open_volumes(
        &self,
        container: &ContainerSpec,
    ) -> Result<BTreeMap<String, PathBuf>, RuntimeError> {
        let mut specs = Vec::new();
        let _one = guard(&self.volumes);
        for mount in &container.mounts {
            let Mount::Volume { name, .. } = mount else { continue };
            check_volume_name(name)?;
            let what = || system(format!("open volume {name} for {}", container.id));
            let Some(spec) = self.places.volume_record(name).map_err(what())? else {
                let why = format!("volume {name} is not a volume of this node; make it first");
                return Err(invalid(container.id.as_str(), why));
            };
            if !specs.contains(&spec) {
                specs.push(spec);
            }
        }
        // Before anything is mounted, so that it is known what to unmount.
        self.note_use(container, &specs)
            .map_err(system(format!("note the volumes of {}", container.id)))?;
        specs
            .into_iter()
            .map(|spec| Ok((spec.name.clone(), self.open_volume(container, &spec)?)))
            .collect()
    }

    /// The folder of one volume, mounted now if it was not.
    fn open_volume(
        &self,
        container: &ContainerSpec,
        spec: &VolumeSpec,
    ) -> Result<PathBuf, RuntimeError> {
        let name = spec.name.as_str();
        if spec.driver != LOCAL {
            return plugin_volumes::mount(spec, container.id.as_str());
        }
        let what = || system(format!("open volume {name} for {}", container.id));
        let folder = self.places.volume_data(name);
        if !spec.options.is_empty() && !is_mounted(&folder).map_err(what())? {
            self.note_mount(name, &folder).map_err(what())?;
            let system = file_system(&spec.options).map_err(|fault| mount_fault(name, fault))?;
            if let Some(system) = system {
                put(system, &folder).map_err(|fault| mount_fault(name, fault))?;
            }
        }
        Ok(folder)
    }

    fn note_use(&self, container: &ContainerSpec, specs: &[VolumeSpec]) -> io::Result<()> {
        if specs.is_empty() {
            return Ok(());
        }
        let run = self.places.container_run(&container.sandbox, &container.id);
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        fs::create_dir_all(&run)?;
        fs::write(run.join(VOLUMES), names.join("\n"))
    }

    fn note_mount(&self, name: &str, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(self.places.mount_notes())?;
        fs::write(self.places.mount_note(name), folder.as_os_str().as_encoded_bytes())
    }

    /// The shared memory of a container that has none of its own; grown if it asks for more.
    pub(super) fn open_shared_memory(
        &self,
        record: &SandboxRecord,
        container: &ContainerSpec,
    ) -> Result<Option<PathBuf>, RuntimeError> {
        let sandbox = &record.spec;
        match sandbox.ipc {
            IpcMode::Container | IpcMode::None => return Ok(None),
            IpcMode::Host => return Ok(Some("/dev/shm".into())),
            IpcMode::Sandbox => {}
        }
        let _one = guard(&self.volumes);
        let folder = self.places.shared_memory(&sandbox.id);
        let what = || system(format!("make the shared memory of {}", sandbox.id));
        fs::create_dir_all(&folder).map_err(what())?;
        let wanted = container.shm_bytes.unwrap_or(SHARED_MEMORY);
        if !is_mounted(&folder).map_err(what())? {
            let mut options = vec!["mode=1777".to_owned(), format!("size={wanted}")];
            if let Some(UserRange { base }) = record.users {
                options.extend([format!("uid={base}"), format!("gid={base}")]);
            }
            let memory = mounts::fresh("tmpfs", "shm", &mount_options::parse(&options))?;
            put(memory, &folder)?;
            return Ok(Some(folder));
        }
        let has = rustix::fs::statvfs(&folder).map_err(io::Error::from).map_err(what())?;
        if wanted > has.f_blocks.saturating_mul(has.f_frsize) {
            let size = std::ffi::CString::new(format!("size={wanted}")).map_err(io::Error::other);
            let flags = rustix::mount::MountFlags::empty();
            rustix::mount::mount_remount(&folder, flags, size.map_err(what())?.as_c_str())
                .map_err(io::Error::from)
                .map_err(what())?;
        }
        Ok(Some(folder))
    }

    /// Unmounts what was mounted for a sandbox.
    pub(super) fn close_shared_memory(&self, sandbox: &crate::SandboxId) -> io::Result<()> {
        check_name(sandbox.as_str()).map_err(io::Error::other)?;
        unmount(&self.places.shared_memory(sandbox))
    }
}

fn mount_fault(name: &str, fault: Fault) -> RuntimeError {
    RuntimeError::System {
        attempt: format!("mount volume {name}: {}", fault.attempt),
        source: fault.source,
    }
}

/// Unmounts everything that an engine mounted for its containers; its volumes' folders stay.
pub(super) fn unmount_all(run_dir: &Path) -> io::Result<()> {
    for sandbox in names(&run_dir.join("s"))? {
        let run = run_dir.join("s").join(sandbox);
        if let Some(record) = read_json::<SandboxRecord>(&run.join("sandbox.json"))?
            // The state folder of a sandbox is STATE/s/ID; beside `s` stand the volumes.
            && let Some(state) = record.state.parent().and_then(Path::parent)
        {
            plugin_volumes::unmount_all(&state.join("volumes"), &run)?;
        }
    }
    let notes = run_dir.join("mounts");
    for name in names(&notes)? {
        let note = notes.join(name);
        unmount(Path::new(&fs::read_to_string(&note)?))?;
        fs::remove_file(note)?;
    }
    for sandbox in names(&run_dir.join("s"))? {
        unmount(&run_dir.join("s").join(sandbox).join("shm"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(driver: &str, options: &[(&str, &str)]) -> VolumeSpec {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        VolumeSpec { name: "v".into(), driver: driver.into(), options, labels: BTreeMap::new() }
    }

    #[test]
    fn what_the_driver_cannot_keep_is_refused_by_name() {
        let why = |spec: VolumeSpec| check_spec(&spec).unwrap_err().to_string();
        check_spec(&spec("vendor", &[("anything", "goes")])).unwrap();
        assert!(why(spec("local", &[("size", "1")])).contains("not \"size\""));
        assert!(why(spec("local", &[("type", "tmpfs")])).contains("both a type and a device"));
        for name in ["", "../x", "a/b", ".", "..", "-a"] {
            assert!(why(VolumeSpec { name: name.into(), ..spec("local", &[]) }).contains("name"));
        }
        for options in [
            &[][..],
            &[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")],
            &[("device", "/tmp"), ("o", "bind")],
        ] {
            check_spec(&spec("local", options)).unwrap();
        }
    }

    #[test]
    fn addresses_are_the_kernels() {
        assert_eq!(with_address("vers=4.1").unwrap(), "vers=4.1");
        assert_eq!(with_address("addr=10.0.0.7").unwrap(), "addr=10.0.0.7");
        assert!(with_address("addr=localhost").unwrap().starts_with("addr="));
        assert!(!with_address("addr=localhost").unwrap().contains("localhost"));
    }
}
