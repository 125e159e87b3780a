//! From a message of an agent to what each of its tasks uses: a function.
//!
//! A report's samples stand for the time since the report before. They are spread over its seconds,
//! so that a service whose tasks are told of each second here and every twenty seconds there has the
//! mean of all of them at any second; a late report changes what was.

use std::collections::BTreeMap;
use std::time::Duration;

use aws::agent::tcs::{ContainerMetric, CountSet, PublishMetricsRequest, StatsSet, TaskMetric};
use model::{Family, Resource, Resources, ServiceKey, State, Task, TaskKey, TaskStatus};
use stdx::Timestamp;

use super::{Book, Measured, Metric, Scope};

/// A report stands for at most so much time: what was before is not known.
const LONGEST: Duration = Duration::from_secs(60);
/// CPU units of a core.
const UNITS: f64 = 1024.0;

/// When a session's tasks were last told of.
pub(crate) type Reports = BTreeMap<TaskKey, Timestamp>;

/// What a task uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// CPU units.
    pub(crate) cpu: f64,
    /// MiB.
    pub(crate) memory: f64,
    /// Bytes a second received and sent.
    pub(crate) network: (f64, f64),
    /// Bytes a second read and written.
    pub(crate) storage: (f64, f64),
}

/// Reckons up a message: measurements of services and tasks, and what the book is to know.
pub(crate) fn take(
    state: &State,
    book: &mut Book,
    reports: &mut Reports,
    request: &PublishMetricsRequest,
    now: Timestamp,
) -> Vec<Measured> {
    let mut measured = Vec::new();
    for metric in &request.task_metrics {
        let Some(task) = known(state, metric) else { continue };
        let key = &task.facts.key;
        let before = reports.insert(key.clone(), now);
        let since = now.since(before.unwrap_or(now)).min(LONGEST);
        let Some(usage) = usage(metric, since) else { continue };
        let reserved = reserved(state, task);
        if let Some(service) = &task.facts.service {
            let service = ServiceKey { cluster: key.cluster.clone(), service: service.clone() };
            of_service(&mut measured, &Scope::Service(service), &usage, &reserved, (now, since));
        }
        book.put(key.clone(), usage, now);
    }
    reports.retain(|key, _| state.task(key).is_some_and(holds));
    measured
}

fn holds(task: &Task) -> bool {
    task.progress.status < TaskStatus::Stopped
}

fn known<'s>(state: &'s State, metric: &TaskMetric) -> Option<&'s Task> {
    let Ok(Resource::Task(key)) = state.realm().parse(&metric.task_arn) else { return None };
    state.task(&key).filter(|task| task.progress.status == TaskStatus::Running)
}

/// What a task's containers use together, on average since the report before; none while nothing is
/// measured, as in the first report after a start.
pub(crate) fn usage(metric: &TaskMetric, since: Duration) -> Option<Usage> {
    let containers = &metric.container_metrics;
    let mean = |set: Option<&StatsSet>| set.and_then(mean).unwrap_or_default();
    let measured = |c: &ContainerMetric| c.cpu_stats_set.as_ref().and_then(self::mean).is_some();
    if !containers.iter().any(measured) {
        return None;
    }
    let seconds = since.as_secs_f64();
    let a_second = |bytes: f64| if seconds > 0.0 { bytes / seconds } else { 0.0 };
    let mut all = Usage::default();
    for container in containers {
        all.cpu += mean(container.cpu_stats_set.as_ref()) / 100.0 * UNITS;
        all.memory += mean(container.memory_stats_set.as_ref());
        if let Some(network) = &container.network_stats_set {
            all.network.0 += mean(network.rx_bytes_per_second.as_ref());
            all.network.1 += mean(network.tx_bytes_per_second.as_ref());
        }
        if let Some(storage) = &container.storage_stats_set {
            all.storage.0 += a_second(sum(storage.read_size_bytes.as_ref()));
            all.storage.1 += a_second(sum(storage.write_size_bytes.as_ref()));
        }
    }
    Some(all)
}

#[expect(clippy::cast_precision_loss, reason = "counts; exact below 2^53")]
fn mean(set: &StatsSet) -> Option<f64> {
    let usable = set.sample_count > 0 && set.sum.is_finite() && set.sum >= 0.0;
    usable.then(|| set.sum / set.sample_count as f64)
}

#[expect(clippy::cast_precision_loss, reason = "counts; exact below 2^53")]
fn sum(set: Option<&CountSet>) -> f64 {
    set.map_or(0.0, |set| set.sum.saturating_add(set.overflow_sum.unwrap_or(0)).max(0) as f64)
}

/// What a task reserves: as placement has it, and of memory, where only hard limits are set, those.
pub(crate) fn reserved(state: &State, task: &Task) -> Resources {
    let mut reserved = task.facts.reserved.clone();
    if reserved.memory == 0
        && let Some(definition) = state.definition(&task.facts.definition)
    {
        let limits = definition.spec.containers.iter().filter_map(|c| c.memory);
        reserved.memory = limits.fold(0, u32::saturating_add);
    }
    reserved
}

/// Percent of what is reserved; none where nothing is.
pub(crate) fn percent(used: f64, reserved: f64) -> Option<f64> {
    (reserved > 0.0).then(|| used / reserved * 100.0)
}

/// A value for each second that a report stands for.
fn of_service(
    measured: &mut Vec<Measured>,
    scope: &Scope,
    usage: &Usage,
    reserved: &Resources,
    (now, since): (Timestamp, Duration),
) {
    let seconds = now.as_secs() - (now - since).as_secs();
    for (metric, value) in [
        (Metric::CpuUtilization, percent(usage.cpu, cpu_share(reserved))),
        (Metric::MemoryUtilization, percent(usage.memory, f64::from(reserved.memory))),
    ] {
        let Some(value) = value else { continue };
        for back in (0..seconds.max(1)).rev() {
            let at = now - Duration::from_secs(u64::try_from(back).unwrap_or(0));
            measured.push(Measured { metric, scope: scope.clone(), at, value, weight: 1.0 / 60.0 });
        }
    }
}

/// The CPU units that utilisation is reckoned by. A container without a share gets the least that
/// Linux gives, which ECS counts as two units.
pub(crate) fn cpu_share(reserved: &Resources) -> f64 {
    f64::from(reserved.cpu.max(2))
}

/// The family of a task's definition.
pub(crate) fn family(task: &Task) -> Family {
    task.facts.definition.family.clone()
}
