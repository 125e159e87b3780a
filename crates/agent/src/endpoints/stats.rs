//! What containers use, in the shape of Docker's own statistics. What this node does not measure is
//! absent rather than zero.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use net::Counters;
use runtime::{ContainerId, RuntimeError, Usage};
use serde::Serialize;
use stdx::Timestamp;

use super::documents::Version;
use super::meta::{ContainerMeta, TaskMeta, TaskNetwork};
use super::serve::Surroundings;

/// What Docker writes for an instant that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// What is younger is answered again rather than measured again.
const FRESH: Duration = Duration::from_millis(900);
/// What is older says nothing of the present rate.
const STALE: Duration = Duration::from_secs(90);
/// The kernel's clock ticks in a second, as programs see them.
const TICKS: u64 = 100;

/// One look at a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) usage: Usage,
    pub(super) network: Option<Counters>,
    /// Nanoseconds that all processors have had since the machine started.
    pub(super) system_nanos: u64,
    pub(super) at: Timestamp,
}

/// The last two looks at a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) before: Option<Sample>,
    pub(super) last: Sample,
}

/// The last looks at every container that somebody asked about.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<BTreeMap<ContainerId, Pair>>);

impl Book {
    fn note(&self, container: &ContainerId, sample: Sample) {
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = pairs
            .get(container)
            .map(|pair| pair.last)
            .filter(|last| last.at < sample.at && sample.at.since(last.at) < STALE);
        pairs.insert(container.clone(), Pair { before, last: sample });
        // Nobody asks about what is gone, and what nobody asks about is stale.
        pairs.retain(|_, pair| sample.at.since(pair.last.at) < STALE);
    }

    /// The last looks at a task's containers, if all are fresh.
    fn fresh(&self, containers: &[ContainerId], now: Timestamp) -> Option<Vec<Pair>> {
        let pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        containers
            .iter()
            .map(|id| pairs.get(id).filter(|pair| now.since(pair.last.at) < FRESH).copied())
            .collect()
    }

    fn get(&self, container: &ContainerId) -> Option<Pair> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(container).copied()
    }

    /// What a task's running containers use, measured unless it has just been.
    pub(super) async fn look(
        &self,
        task: &TaskMeta,
        around: &Surroundings,
    ) -> Result<BTreeMap<ContainerId, Pair>, RuntimeError> {
        let now = around.clock.now();
        let ids: Vec<ContainerId> = task
            .containers
            .iter()
            .filter(|container| container.known == super::Phase::Running)
            .map(|container| container.id.clone())
            .collect();
        if let Some(pairs) = self.fresh(&ids, now) {
            return Ok(ids.into_iter().zip(pairs).collect());
        }
        let usage = around.runtime.usage(&task.sandbox).await?;
        let pids = if around.runtime.owns_network() && task.network == TaskNetwork::Bridge {
            pids(around, task).await?
        } else {
            BTreeMap::new()
        };
        let system_nanos = system_nanos(&fs::read_to_string("/proc/stat").unwrap_or_default());
        for container in &task.containers {
            let Some(usage) = usage.get(&container.id).copied() else { continue };
            let attached = container.attachment.as_deref();
            let network = attached
                .and_then(|id| around.networking.counters(id))
                .or_else(|| pids.get(&container.id).and_then(|pid| counters_of(*pid)));
            self.note(&container.id, Sample { usage, network, system_nanos, at: now });
        }
        Ok(ids.into_iter().filter_map(|id| Some((id.clone(), self.get(&id)?))).collect())
    }
}

/// The first processes of a task's containers, where only the runtime knows their networks.
async fn pids(
    around: &Surroundings,
    task: &TaskMeta,
) -> Result<BTreeMap<ContainerId, u32>, RuntimeError> {
    let all = around.runtime.list().await?;
    let own = all.into_iter().filter(|sandbox| sandbox.spec.id == task.sandbox);
    Ok(own
        .flat_map(|sandbox| sandbox.containers)
        .filter_map(|container| Some((container.id, container.pid?)))
        .collect())
}

fn counters_of(pid: u32) -> Option<Counters> {
    interfaces(&fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?)
}

/// The sum over a namespace's interfaces but the loopback; none if it has no other. The text is that
/// of `/proc/net/dev` (proc_pid_net(5)).
fn interfaces(text: &str) -> Option<Counters> {
    let mut all: Option<Counters> = None;
    for line in text.lines().skip(2) {
        let Some((name, figures)) = line.split_once(':') else { continue };
        if name.trim() == "lo" {
            continue;
        }
        let figures: Vec<u64> =
            figures.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
        let at = |place: usize| figures.get(place).copied().unwrap_or(0);
        let sum = all.get_or_insert_default();
        sum.rx_bytes += at(0);
        sum.rx_packets += at(1);
        sum.rx_errors += at(2);
        sum.rx_dropped += at(3);
        sum.tx_bytes += at(8);
        sum.tx_packets += at(9);
        sum.tx_errors += at(10);
        sum.tx_dropped += at(11);
    }
    all
}

/// The first line of `/proc/stat` (proc_stat(5)) as Docker counts it: user to softirq.
fn system_nanos(text: &str) -> u64 {
    let line = text.lines().next().unwrap_or_default();
    let ticks: u64 = line
        .split_whitespace()
        .skip(1)
        .take(7)
        .filter_map(|figure| figure.parse::<u64>().ok())
        .sum();
    ticks.saturating_mul(1_000_000_000 / TICKS)
}

/// Docker's statistics of one container, with the rates that version 4 adds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StatsDocument {
    read: String,
    preread: String,
    pids_stats: PidsStats,
    blkio_stats: BlkioStats,
    /// Docker's members for another system, which it writes on Linux as well.
    num_procs: u32,
    storage_stats: BTreeMap<String, u64>,
    cpu_stats: CpuStats,
    precpu_stats: CpuStats,
    memory_stats: MemoryStats,
    name: String,
    id: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    networks: BTreeMap<&'static str, NetworkStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_rate_stats: Option<RateStats>,
}

#[derive(Clone, Debug, Serialize)]
struct PidsStats {
    current: u64,
}

#[derive(Clone, Debug, Serialize)]
struct BlkioStats {
    io_service_bytes_recursive: Vec<BlkioEntry>,
}

#[derive(Clone, Debug, Serialize)]
struct BlkioEntry {
    op: &'static str,
    value: u64,
}

#[derive(Clone, Debug, Serialize)]
struct CpuStats {
    cpu_usage: CpuUsage,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_cpu_usage: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    online_cpus: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
struct CpuUsage {
    total_usage: u64,
}

#[derive(Clone, Debug, Serialize)]
struct MemoryStats {
    usage: u64,
    limit: u64,
}

#[derive(Clone, Debug, Serialize)]
struct NetworkStats {
    rx_bytes: u64,
    rx_packets: u64,
    rx_errors: u64,
    rx_dropped: u64,
    tx_bytes: u64,
    tx_packets: u64,
    tx_errors: u64,
    tx_dropped: u64,
}

#[derive(Clone, Debug, Serialize)]
struct RateStats {
    rx_bytes_per_sec: f64,
    tx_bytes_per_sec: f64,
}

/// What the statistics say of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) processors: u64,
    pub(super) memory_bytes: u64,
}

impl Machine {
    /// This one.
    pub(super) fn this() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(0);
        Self { processors, memory_bytes: total.saturating_mul(1024) }
    }
}

impl StatsDocument {
    /// A container's statistics from the last looks at it.
    pub(super) fn new(
        task: &TaskMeta,
        container: &ContainerMeta,
        name: &str,
        pair: &Pair,
        (version, machine): (Version, Machine),
    ) -> Self {
        let Pair { before, last } = pair;
        let cpu = |sample: &Sample| CpuStats {
            cpu_usage: CpuUsage { total_usage: sample.usage.cpu_nanos },
            system_cpu_usage: Some(sample.system_nanos),
            online_cpus: Some(machine.processors),
        };
        let nothing = CpuStats {
            cpu_usage: CpuUsage { total_usage: 0 },
            system_cpu_usage: None,
            online_cpus: None,
        };
        let (read, written) = last.usage.io_bytes;
        Self {
            read: last.at.rfc3339(),
            preread: before.map_or_else(|| NEVER.to_owned(), |before| before.at.rfc3339()),
            pids_stats: PidsStats { current: last.usage.pids },
            blkio_stats: BlkioStats {
                io_service_bytes_recursive: vec![
                    BlkioEntry { op: "Read", value: read },
                    BlkioEntry { op: "Write", value: written },
                    BlkioEntry { op: "Total", value: read.saturating_add(written) },
                ],
            },
            num_procs: 0,
            storage_stats: BTreeMap::new(),
            cpu_stats: cpu(last),
            precpu_stats: before.as_ref().map_or(nothing, cpu),
            memory_stats: MemoryStats {
                usage: last.usage.memory_bytes,
                limit: memory_limit(task, container, machine),
            },
            name: format!("/{name}"),
            id: container.id.as_str().to_owned(),
            networks: last
                .network
                .map(|counters| ("eth0", network(&counters)))
                .into_iter()
                .collect(),
            network_rate_stats: rates(pair).filter(|_| version == Version::V4),
        }
    }
}

/// The lowest limit that holds for a container.
fn memory_limit(task: &TaskMeta, container: &ContainerMeta, machine: Machine) -> u64 {
    let mib = |limit: i64| u64::try_from(limit).ok().filter(|l| *l > 0).map(|l| l << 20);
    let limits = [mib(container.memory), task.memory.and_then(mib), Some(machine.memory_bytes)];
    limits.into_iter().flatten().min().unwrap_or(0)
}

fn network(counters: &Counters) -> NetworkStats {
    NetworkStats {
        rx_bytes: counters.rx_bytes,
        rx_packets: counters.rx_packets,
        rx_errors: counters.rx_errors,
        rx_dropped: counters.rx_dropped,
        tx_bytes: counters.tx_bytes,
        tx_packets: counters.tx_packets,
        tx_errors: counters.tx_errors,
        tx_dropped: counters.tx_dropped,
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people; exact below 2^53")]
fn rates(pair: &Pair) -> Option<RateStats> {
    let before = pair.before?;
    let (then, now) = (before.network?, pair.last.network?);
    let seconds = pair.last.at.since(before.at).as_secs_f64();
    let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
    (seconds > 0.0).then(|| RateStats {
        rx_bytes_per_sec: rate(now.rx_bytes, then.rx_bytes),
        tx_bytes_per_sec: rate(now.tx_bytes, then.tx_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read_as_docker_reads_them() {
        let stat = "cpu  100 20 30 4000 5 6 7 8 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(system_nanos(stat), (100 + 20 + 30 + 4000 + 5 + 6 + 7) * 10_000_000);
        let dev = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
            lo:     900       9    0    0    0     0          0         0      900       9    0    0    0     0       0          0\n  \
            eth0:    1218      15    1    2    0     0          0         0      656      8    3    4    0     0       0          0\n";
        let counters = interfaces(dev).unwrap();
        assert_eq!((counters.rx_bytes, counters.rx_packets), (1218, 15));
        assert_eq!((counters.rx_errors, counters.rx_dropped), (1, 2));
        assert_eq!((counters.tx_bytes, counters.tx_packets), (656, 8));
        assert_eq!((counters.tx_errors, counters.tx_dropped), (3, 4));
        assert_eq!(interfaces("a\nb\n lo: 1 2\n"), None);
    }

    #[test]
    fn a_look_is_compared_with_the_one_before_unless_that_is_stale() {
        let book = Book::default();
        let id = ContainerId::new("c");
        let at = |seconds: i64| Sample {
            usage: Usage::default(),
            network: None,
            system_nanos: 0,
            at: Timestamp::from_millis(seconds * 1000),
        };
        book.note(&id, at(100));
        assert_eq!(book.get(&id).unwrap().before, None);
        book.note(&id, at(110));
        assert_eq!(book.get(&id).unwrap().before, Some(at(100)));
        assert!(book.fresh(std::slice::from_ref(&id), at(110).at).is_some());
        assert!(book.fresh(std::slice::from_ref(&id), at(111).at).is_none());
        book.note(&id, at(1000));
        assert_eq!(book.get(&id).unwrap().before, None);
        book.note(&ContainerId::new("d"), at(2000));
        assert_eq!(book.get(&id), None, "what is stale is forgotten");
    }
}
