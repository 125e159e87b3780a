//! What a machine must have before anything starts, told with the remedy.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Result, bail};

/// Checks for a node: root, cgroups, overlay file systems.
pub(crate) fn node() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "running containers takes root: namespaces, cgroups and mounts are made.\nTry again with `sudo wharf …`; `wharf server` alone needs no root."
        );
    }
    let missing: Vec<&str> =
        ["memory", "cpu", "pids"].into_iter().filter(|c| !has_controller(c)).collect();
    if !missing.is_empty() {
        bail!(
            "this machine's cgroups lack {}: limits could not be kept.\nMount cgroup v2 at /sys/fs/cgroup (`mount -t cgroup2 none /sys/fs/cgroup`), or in a container run it with --privileged --cgroupns=host.",
            missing.join(", ")
        );
    }
    let systems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !systems.split_whitespace().any(|word| word == "overlay") {
        bail!(
            "this kernel has no overlay file system, which images are stacked with.\nTry `modprobe overlay`."
        );
    }
    Ok(())
}

/// Whether a controller can be used, in version 1 or 2.
fn has_controller(name: &str) -> bool {
    let unified = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let legacy = mounts.lines().any(|line| {
        let mut words = line.split(' ').skip(2);
        words.next() == Some("cgroup")
            && words.next().is_some_and(|options| options.split(',').any(|o| o == name))
    });
    legacy || unified.split_whitespace().any(|word| word == name)
}

/// Takes the port, or says who might have it.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener> {
    match TcpListener::bind(address) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "{address} is taken by another program (`ss -ltnp sport = :{}` shows which).\nStop it, or choose another with --listen HOST:PORT.",
            address.port()
        ),
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
            bail!("{} is not an address of this machine (`ip address` shows those).", address.ip())
        }
        Err(error) => bail!("{address} cannot be listened on: {error}"),
    }
}

/// The address under which this machine reaches a listener.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), address.port())
    } else {
        address
    }
}

/// Cores, and MiB of memory.
pub(crate) fn machine() -> (u32, u32) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = std::fs::read_to_string(Path::new("/proc/meminfo"))
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemTotal:"))?.to_owned();
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(0, |kib| kib / 1024);
    (u32::try_from(cores).unwrap_or(u32::MAX), u32::try_from(memory).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_told_with_the_remedy() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = holder.local_addr().unwrap();
        let error = listen(taken).unwrap_err().to_string();
        assert!(error.contains("is taken by another program") && error.contains("--listen"));
    }

    #[test]
    fn the_machine_is_measured() {
        let (cores, memory) = machine();
        assert!(cores >= 1 && memory >= 64);
    }
}
