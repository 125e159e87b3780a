//! What the usage of tasks and the state make of clusters, services and families: functions of both,
//! and the loop that tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::{
    ClusterName, ClusterStatus, Insights, ServiceKey, ServiceStatus, State, Task, TaskKey,
};
use stdx::Timestamp;
use tokio::time::MissedTickBehavior;

use super::report::{Usage, cpu_share, family, percent, reserved};
use super::{Book, Measured, Metric, Scope};
use crate::Control;

/// How often the utilisation of clusters is told, if there is news.
const USAGE: Duration = Duration::from_secs(1);
/// How often all else is told.
const COUNTS: u64 = 10;

/// Tells until shutdown.
pub(crate) async fn run(control: Control) {
    let mut shutdown = control.shutdown.clone();
    let mut tick = tokio::time::interval(USAGE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0_u64.. {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = tick.tick() => {}
        }
        let (state, now) = (control.store.snapshot(), control.clock.now());
        let measured = {
            let mut book = control.usage.lock().unwrap_or_else(PoisonError::into_inner);
            let mut measured = Vec::new();
            if book.take_news() {
                book.retain(&state, now);
                measured.extend(utilization(&state, &book, now));
            }
            if round % COUNTS == 0 {
                book.retain(&state, now);
                measured.extend(reservation(&state, now));
                measured.extend(insights(&state, &book, now));
            }
            measured
        };
        if !measured.is_empty() {
            control.sink.record(measured);
        }
    }
}

/// The book that sessions write to.
pub(crate) type Shared = Mutex<Book>;

/// What is so now stands for the time until it is told again.
fn gauge(metric: Metric, scope: Scope, at: Timestamp, value: f64, every: Duration) -> Measured {
    Measured { metric, scope, at, value, weight: every.as_secs_f64() / 60.0 }
}

/// Percent of what the instances of each cluster have that its tasks use.
pub(super) fn utilization(state: &State, book: &Book, now: Timestamp) -> Vec<Measured> {
    let mut used: BTreeMap<&ClusterName, (f64, f64)> = BTreeMap::new();
    for (key, usage) in book.all() {
        let (cpu, memory) = used.entry(&key.cluster).or_default();
        *cpu += usage.cpu;
        *memory += usage.memory;
    }
    let of = |(name, (cpu, memory)): (&ClusterName, (f64, f64))| {
        let have = registered(state, name);
        let scope = Scope::Cluster(name.clone());
        let values = [
            (Metric::CpuUtilization, percent(cpu, have.0)),
            (Metric::MemoryUtilization, percent(memory, have.1)),
        ];
        values.into_iter().filter_map(move |(metric, value)| {
            Some(gauge(metric, scope.clone(), now, value?, USAGE))
        })
    };
    used.into_iter().flat_map(of).collect()
}

/// CPU units and MiB of a cluster's instances.
fn registered(state: &State, name: &ClusterName) -> (f64, f64) {
    state.instances(name).fold((0.0, 0.0), |(cpu, memory), instance| {
        let have = &instance.registered;
        (cpu + f64::from(have.cpu), memory + f64::from(have.memory))
    })
}

fn many(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Percent of what the instances of each cluster have that its tasks reserve.
pub(super) fn reservation(state: &State, now: Timestamp) -> Vec<Measured> {
    let every = USAGE * u32::try_from(COUNTS).unwrap_or(1);
    let mut measured = Vec::new();
    for cluster in active(state) {
        let have = registered(state, &cluster.name);
        let left = state.offers(&cluster.name).fold((0.0, 0.0), |(cpu, memory), (_, left)| {
            (cpu + f64::from(left.0), memory + f64::from(left.1))
        });
        let gpus = |of: fn(&Task) -> usize| -> usize {
            state.tasks(&cluster.name).filter(|task| task.holds_resources()).map(of).sum()
        };
        let all_gpus: usize =
            state.instances(&cluster.name).map(|instance| instance.registered.gpus.len()).sum();
        let taken_gpus =
            if all_gpus == 0 { 0 } else { gpus(|task| task.facts.reserved.gpus.len()) };
        for (metric, value) in [
            (Metric::CpuReservation, percent(have.0 - left.0, have.0)),
            (Metric::MemoryReservation, percent(have.1 - left.1, have.1)),
            (Metric::GpuReservation, percent(many(taken_gpus), many(all_gpus))),
        ] {
            let scope = Scope::Cluster(cluster.name.clone());
            measured.extend(value.map(|value| gauge(metric, scope, now, value, every)));
        }
    }
    measured
}

fn active(state: &State) -> impl Iterator<Item = &std::sync::Arc<model::Cluster>> {
    state.clusters().filter(|cluster| cluster.status == ClusterStatus::Active)
}

/// The metrics of Container Insights of the clusters that have them.
pub(super) fn insights(state: &State, book: &Book, now: Timestamp) -> Vec<Measured> {
    let every = USAGE * u32::try_from(COUNTS).unwrap_or(1);
    let mut values: Vec<(Metric, Scope, f64)> = Vec::new();
    let mut wanted: BTreeMap<&ClusterName, Insights> = BTreeMap::new();
    for cluster in active(state).filter(|cluster| cluster.insights > Insights::Disabled) {
        wanted.insert(&cluster.name, cluster.insights);
        counts(&mut values, state, &cluster.name);
    }
    usage(&mut values, state, book, &wanted);
    let gauge = |(metric, scope, value)| gauge(metric, scope, now, value, every);
    values.into_iter().map(gauge).collect()
}

fn counts(values: &mut Vec<(Metric, Scope, f64)>, state: &State, name: &ClusterName) {
    let services: Vec<_> =
        state.services(name).filter(|service| service.status == ServiceStatus::Active).collect();
    let instances = state.instances(name).filter(|instance| instance.agent.connected).count();
    for (metric, value) in [
        (Metric::TaskCount, f64::from(state.cluster_counts(name).0)),
        (Metric::ServiceCount, many(services.len())),
        (Metric::ContainerInstanceCount, many(instances)),
    ] {
        values.push((metric, Scope::Cluster(name.clone()), value));
    }
    for service in services {
        let (running, pending) = state.service_counts(&service.key);
        for (metric, value) in [
            (Metric::DesiredTaskCount, f64::from(service.desired_count)),
            (Metric::RunningTaskCount, f64::from(running)),
            (Metric::PendingTaskCount, f64::from(pending)),
            (Metric::DeploymentCount, many(service.deployments.len())),
            (Metric::TaskSetCount, 0.0),
        ] {
            values.push((metric, Scope::Service(service.key.clone()), value));
        }
    }
}

/// The usage of a cluster's, a service's, a family's tasks, each added up.
fn usage(
    values: &mut Vec<(Metric, Scope, f64)>,
    state: &State,
    book: &Book,
    wanted: &BTreeMap<&ClusterName, Insights>,
) {
    let mut sums: BTreeMap<(Scope, Metric), f64> = BTreeMap::new();
    let told = book.all().filter_map(|(key, usage)| {
        Some((key, usage, *wanted.get(&key.cluster)?, state.task(key)?))
    });
    for (key, usage, insights, task) in told {
        let own = of_task(state, task, usage);
        for scope in scopes(key, task) {
            for (metric, value) in own {
                *sums.entry((scope.clone(), metric)).or_default() += value;
            }
        }
        if insights == Insights::Enhanced {
            let scope = Scope::Task(key.clone(), family(task));
            let have = reserved(state, task);
            let shares = [
                (Metric::TaskCpuUtilization, percent(usage.cpu, cpu_share(&have))),
                (Metric::TaskMemoryUtilization, percent(usage.memory, f64::from(have.memory))),
            ];
            let shares = shares.into_iter().filter_map(|(metric, value)| Some((metric, value?)));
            values.extend(own.into_iter().chain(shares).map(|(m, v)| (m, scope.clone(), v)));
        }
    }
    values.extend(sums.into_iter().map(|((scope, metric), value)| (metric, scope, value)));
}

fn of_task(state: &State, task: &Task, usage: &Usage) -> [(Metric, f64); 8] {
    let have = reserved(state, task);
    [
        (Metric::CpuUtilized, usage.cpu),
        (Metric::CpuReserved, f64::from(have.cpu)),
        (Metric::MemoryUtilized, usage.memory),
        (Metric::MemoryReserved, f64::from(have.memory)),
        (Metric::NetworkRxBytes, usage.network.0),
        (Metric::NetworkTxBytes, usage.network.1),
        (Metric::StorageReadBytes, usage.storage.0),
        (Metric::StorageWriteBytes, usage.storage.1),
    ]
}

fn scopes(key: &TaskKey, task: &Task) -> BTreeSet<Scope> {
    let cluster = &key.cluster;
    let service = task.facts.service.as_ref().map(|service| {
        Scope::Service(ServiceKey { cluster: cluster.clone(), service: service.clone() })
    });
    [Scope::Cluster(cluster.clone()), Scope::Family(cluster.clone(), family(task))]
        .into_iter()
        .chain(service)
        .collect()
}
