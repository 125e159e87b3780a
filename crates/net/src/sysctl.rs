//! Kernel settings under `/proc/sys`, of the calling thread's network namespace.

use std::fs;
use std::path::Path;

use crate::error::NetError;

/// Whether packets are forwarded between interfaces.
pub(crate) const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// Sets a value and answers what it was, or `None` if it already was so.
pub(crate) fn set(path: &str, value: &str) -> Result<Option<String>, NetError> {
    let was = fs::read_to_string(path).map_err(|error| NetError::file("read", path, error))?;
    let was = was.trim().to_owned();
    if was == value {
        return Ok(None);
    }
    fs::write(path, value).map_err(|error| NetError::file("write", path, error))?;
    Ok(Some(was))
}

/// Lets packets with a loopback source leave by `interface`: what makes published ports reachable
/// by 127.0.0.1. The setting goes with the interface.
pub(crate) fn route_localnet(interface: &str) -> Result<(), NetError> {
    set(&format!("/proc/sys/net/ipv4/conf/{interface}/route_localnet"), "1").map(drop)
}

/// Whether bridged frames pass the IP packet filter (`br_netfilter`, which Docker and Kubernetes
/// turn on).
pub(crate) fn bridged_frames_are_filtered() -> bool {
    let path = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
    fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
}
