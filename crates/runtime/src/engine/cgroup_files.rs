//! What is written into which cgroup file for a specification's resources: pure tables for v1 and v2.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};

/// A file to write: the v1 controller (unused on v2), the file, what goes into it.
pub(crate) type Write = (&'static str, &'static str, String);

/// The writes for cgroup v1, in order.
pub(crate) fn v1(resources: &LinuxResources) -> Vec<Write> {
    let mut writes: Vec<Write> = Vec::new();
    if let Some(memory) = resources.memory() {
        let mut put = |file, value: Option<i64>| {
            writes.extend(value.map(|value| ("memory", file, value.to_string())));
        };
        // The limit of memory and swap together may never be below that of memory alone.
        put("memory.limit_in_bytes", memory.limit());
        put("memory.memsw.limit_in_bytes", memory.swap());
        put("memory.soft_limit_in_bytes", memory.reservation());
        put("memory.swappiness", memory.swappiness().and_then(|value| i64::try_from(value).ok()));
    }
    if let Some(cpu) = resources.cpu() {
        writes.extend(cpu.shares().map(|shares| ("cpu", "cpu.shares", shares.to_string())));
        writes.extend(cpu.period().map(|period| ("cpu", "cpu.cfs_period_us", period.to_string())));
        writes.extend(cpu.quota().map(|quota| ("cpu", "cpu.cfs_quota_us", quota.to_string())));
    }
    if let Some(pids) = resources.pids() {
        writes.push(("pids", "pids.max", limit(pids.limit())));
    }
    for rule in resources.devices().iter().flatten() {
        let file = if rule.allow() { "devices.allow" } else { "devices.deny" };
        writes.push(("devices", file, device_rule(rule)));
    }
    writes
}

/// The writes for cgroup v2, in order. Devices are a program there: see `device_filter`.
pub(crate) fn v2(resources: &LinuxResources) -> Vec<Write> {
    let mut writes: Vec<Write> = Vec::new();
    if let Some(memory) = resources.memory() {
        writes.extend(memory.limit().map(|value| ("", "memory.max", limit(value))));
        let swap = memory.swap().map(|both| match (both, memory.limit()) {
            (both, Some(alone)) if both >= 0 => limit((both - alone).max(0)),
            _ => limit(both),
        });
        writes.extend(swap.map(|value| ("", "memory.swap.max", value)));
        // cgroup v2 has no such file: the write is refused, and says so.
        let swappiness = memory.swappiness().map(|value| value.to_string());
        writes.extend(swappiness.map(|value| ("", "memory.swappiness", value)));
        writes.extend(
            memory.reservation().map(|value| ("", "memory.low", limit(value).replace("max", "0"))),
        );
    }
    if let Some(cpu) = resources.cpu() {
        writes.extend(cpu.shares().map(|shares| ("", "cpu.weight", weight(shares).to_string())));
        if let Some(quota) = cpu.quota() {
            let period = cpu.period().unwrap_or(100_000);
            writes.push(("", "cpu.max", format!("{} {period}", limit(quota))));
        }
    }
    if let Some(pids) = resources.pids() {
        writes.push(("", "pids.max", limit(pids.limit())));
    }
    writes
}

/// A limit as v2 (and v1's pids) writes it.
fn limit(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

/// Docker's CPU shares (2 to 262144) as v2's weight (1 to 10000), by the formula that OCI runtimes
/// share.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

fn device_rule(rule: &LinuxDeviceCgroup) -> String {
    let number = |n: Option<i64>| n.filter(|n| *n >= 0).map_or("*".to_owned(), |n| n.to_string());
    let kind = rule.typ().unwrap_or_default();
    let access = rule.access().as_deref().unwrap_or("rwm");
    format!("{} {}:{} {access}", kind.as_str(), number(rule.major()), number(rule.minor()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;

    fn resources() -> LinuxResources {
        let limits = crate::Limits {
            memory_bytes: Some(1 << 20),
            memory_swap_bytes: None,
            memory_reservation_bytes: Some(1 << 19),
            cpu_shares: Some(1024),
            cpu_millis: Some(500),
            pids: Some(7),
        };
        spec::resources(&limits)
    }

    #[test]
    fn version_one() {
        let text: Vec<_> = v1(&resources()).iter().map(|(_, f, v)| format!("{f}={v}")).collect();
        assert_eq!(
            text,
            [
                "memory.limit_in_bytes=1048576",
                "memory.memsw.limit_in_bytes=2097152",
                "memory.soft_limit_in_bytes=524288",
                "cpu.shares=1024",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=50000",
                "pids.max=7",
            ]
        );
    }

    #[test]
    fn version_two() {
        let text: Vec<_> = v2(&resources()).iter().map(|(_, f, v)| format!("{f}={v}")).collect();
        assert_eq!(
            text,
            [
                "memory.max=1048576",
                "memory.swap.max=1048576",
                "memory.low=524288",
                "cpu.weight=39",
                "cpu.max=50000 100000",
                "pids.max=7",
            ]
        );
        assert_eq!((weight(2), weight(262_144), weight(0)), (1, 10_000, 1));
    }
}
