//! What tasks use and how their containers are, in the telemetry service's shapes.

use std::collections::BTreeMap;

use aws::agent::tcs::{
    ContainerHealth, ContainerMetric, CountSet, HealthMetadata, InstanceStatus,
    InstanceStatusMetadata, MetricsMetadata, NetworkStatsSet, PublishHealthRequest,
    PublishInstanceStatusRequest, PublishMetricsRequest, RestartStatsSet, StatsSet,
    StorageStatsSet, TaskHealth, TaskMetric,
};
use aws::ecs;
use net::Counters;
use runtime::{Health, Usage};
use stdx::Timestamp;

use crate::task::{Status, TaskView};

/// So many tasks go into one message.
const TASKS_AT_ONCE: usize = 10;

/// Whose telemetry it is.
#[derive(Clone, Debug)]
pub(crate) struct Whose {
    pub(crate) cluster: String,
    pub(crate) instance: String,
}

/// Samples of what containers use, gathered between two messages.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    containers: BTreeMap<String, Sampled>,
    networks: BTreeMap<String, Counted>,
}

#[derive(Debug, Default)]
struct Sampled {
    last: Option<(Usage, Timestamp)>,
    cpu: StatsSet,
    memory: StatsSet,
    io: Option<(Delta, Delta)>,
}

#[derive(Debug, Default)]
struct Counted {
    last: Option<(Counters, Timestamp)>,
    rates: (StatsSet, StatsSet),
    sets: NetworkStatsSet,
}

type Delta = CountSet;

#[expect(clippy::cast_precision_loss, reason = "figures for people; exact below 2^53")]
fn float(value: u64) -> f64 {
    value as f64
}

fn add(set: &mut StatsSet, value: f64) {
    (set.min, set.max) = if set.sample_count == 0 {
        (value, value)
    } else {
        (set.min.min(value), set.max.max(value))
    };
    set.sum += value;
    set.sample_count += 1;
}

fn count(set: &mut CountSet, now: u64, before: u64) {
    let value = i64::try_from(now.saturating_sub(before)).unwrap_or(i64::MAX);
    (set.min, set.max) = if set.sample_count == 0 {
        (value, value)
    } else {
        (set.min.min(value), set.max.max(value))
    };
    set.sum = set.sum.saturating_add(value);
    set.sample_count += 1;
}

impl Samples {
    /// Notes what a container uses now. The first sample of a container has no rate yet.
    pub(crate) fn usage(&mut self, container: &str, usage: Usage, now: Timestamp) {
        let sampled = self.containers.entry(container.to_owned()).or_default();
        if let Some((before, then)) = sampled.last {
            let elapsed = now.since(then).as_secs_f64();
            if elapsed > 0.0 {
                let nanos = float(usage.cpu_nanos.saturating_sub(before.cpu_nanos));
                add(&mut sampled.cpu, nanos / 1e9 / elapsed * 100.0);
                let (read, written) = sampled.io.get_or_insert_default();
                count(read, usage.io_bytes.0, before.io_bytes.0);
                count(written, usage.io_bytes.1, before.io_bytes.1);
            }
        }
        add(&mut sampled.memory, float(usage.memory_bytes) / f64::from(1 << 20));
        sampled.last = Some((usage, now));
    }

    /// Notes what has passed a container's interface.
    pub(crate) fn counters(&mut self, container: &str, now_at: Counters, now: Timestamp) {
        let counted = self.networks.entry(container.to_owned()).or_default();
        if let Some((before, then)) = counted.last {
            let elapsed = now.since(then).as_secs_f64();
            let sets = &mut counted.sets;
            for (set, now_at, before) in [
                (&mut sets.rx_bytes, now_at.rx_bytes, before.rx_bytes),
                (&mut sets.rx_packets, now_at.rx_packets, before.rx_packets),
                (&mut sets.rx_errors, now_at.rx_errors, before.rx_errors),
                (&mut sets.rx_dropped, now_at.rx_dropped, before.rx_dropped),
                (&mut sets.tx_bytes, now_at.tx_bytes, before.tx_bytes),
                (&mut sets.tx_packets, now_at.tx_packets, before.tx_packets),
                (&mut sets.tx_errors, now_at.tx_errors, before.tx_errors),
                (&mut sets.tx_dropped, now_at.tx_dropped, before.tx_dropped),
            ] {
                count(set.get_or_insert_default(), now_at, before);
            }
            if elapsed > 0.0 {
                let (rx, tx) = &mut counted.rates;
                add(rx, float(now_at.rx_bytes.saturating_sub(before.rx_bytes)) / elapsed);
                add(tx, float(now_at.tx_bytes.saturating_sub(before.tx_bytes)) / elapsed);
            }
        }
        counted.last = Some((now_at, now));
    }

    /// Forgets containers and tasks that are not among these.
    pub(crate) fn retain(&mut self, tasks: &[TaskView]) {
        let task = |id: &str| tasks.iter().any(|view| view.plan.id == id);
        let known = |id: &String| id.rsplit_once('-').is_some_and(|(of_task, _)| task(of_task));
        self.networks.retain(|id, _| known(id));
        self.containers.retain(|id, _| known(id));
    }

    /// Takes what was gathered of a container; the next samples begin where these end.
    fn take(&mut self, container: &str, metric: &mut ContainerMetric) {
        let Some(sampled) = self.containers.get_mut(container) else { return };
        let taken = std::mem::take(sampled);
        sampled.last = taken.last;
        metric.cpu_stats_set = Some(taken.cpu).filter(|set| set.sample_count > 0);
        metric.memory_stats_set = Some(taken.memory).filter(|set| set.sample_count > 0);
        metric.storage_stats_set = taken.io.map(|(read, written)| StorageStatsSet {
            read_size_bytes: Some(read),
            write_size_bytes: Some(written),
        });
    }

    fn take_network(&mut self, container: &str) -> Option<NetworkStatsSet> {
        let counted = self.networks.get_mut(container)?;
        let taken = std::mem::take(counted);
        counted.last = taken.last;
        taken.sets.rx_bytes.is_some().then_some(NetworkStatsSet {
            rx_bytes_per_second: Some(taken.rates.0),
            tx_bytes_per_second: Some(taken.rates.1),
            ..taken.sets
        })
    }
}

/// The round of metrics: as many messages as it takes, and one that says "idle" if nothing runs.
pub(crate) fn metrics(
    whose: &Whose,
    tasks: &[TaskView],
    samples: &mut Samples,
    message_id: &str,
    now: Timestamp,
) -> Vec<PublishMetricsRequest> {
    let running: Vec<&TaskView> =
        tasks.iter().filter(|view| view.state.status == Status::Running).collect();
    let of_task = |view: &&TaskView| {
        let order = &view.plan.order;
        TaskMetric {
            task_arn: order.arn.clone(),
            cluster_arn: Some(order.cluster.clone()),
            task_definition_family: Some(order.family.clone()),
            task_definition_version: Some(order.version.clone()),
            container_metrics: container_metrics(view, samples),
            ..TaskMetric::default()
        }
    };
    let mut metrics: Vec<TaskMetric> = running.iter().map(of_task).collect();
    let idle = metrics.is_empty();
    let mut messages = Vec::new();
    loop {
        let rest = metrics.split_off(metrics.len().min(TASKS_AT_ONCE));
        let fin = rest.is_empty();
        messages.push(PublishMetricsRequest {
            metadata: MetricsMetadata {
                cluster: whose.cluster.clone(),
                container_instance: whose.instance.clone(),
                message_id: message_id.to_owned(),
                idle,
                fin,
            },
            task_metrics: std::mem::replace(&mut metrics, rest),
            instance_metrics: None,
            timestamp: Some(now),
        });
        if fin {
            return messages;
        }
    }
}

/// Each container with what passed its own interface; those of the node's network have none.
fn container_metrics(view: &TaskView, samples: &mut Samples) -> Vec<ContainerMetric> {
    view.containers()
        .filter(|(_, _, state)| state.status() == Status::Running)
        .map(|(_, plan, state)| {
            let mut metric = ContainerMetric {
                container_name: plan.name.clone(),
                network_stats_set: samples.take_network(plan.id.as_str()),
                restart_stats_set: plan
                    .restart
                    .as_ref()
                    .map(|_| RestartStatsSet { restart_count: i64::from(state.restarts) }),
                ..ContainerMetric::default()
            };
            samples.take(plan.id.as_str(), &mut metric);
            metric
        })
        .collect()
}

/// The round of health verdicts, of tasks that have a checked container; none if there is no such.
pub(crate) fn health(
    whose: &Whose,
    tasks: &[TaskView],
    message_id: &str,
    now: Timestamp,
) -> Vec<PublishHealthRequest> {
    let checked: Vec<TaskHealth> = tasks
        .iter()
        .filter(|view| view.state.status == Status::Running)
        .filter_map(|view| {
            let containers: Vec<ContainerHealth> = view
                .containers()
                .filter(|(_, plan, state)| {
                    plan.template.health.is_some() && state.status() == Status::Running
                })
                .map(|(_, plan, state)| {
                    let (verdict, since) =
                        state.health.unwrap_or((Health::Unknown, state.started_at.unwrap_or(now)));
                    ContainerHealth {
                        container_name: plan.name.clone(),
                        health_status: Some(match verdict {
                            Health::Healthy => ecs::HealthStatus::Healthy,
                            Health::Unhealthy => ecs::HealthStatus::Unhealthy,
                            Health::Unknown => ecs::HealthStatus::Unknown,
                        }),
                        status_since: Some(since),
                        status_message: None,
                    }
                })
                .collect();
            let order = &view.plan.order;
            (!containers.is_empty()).then(|| TaskHealth {
                task_arn: order.arn.clone(),
                cluster_arn: Some(order.cluster.clone()),
                task_definition_family: Some(order.family.clone()),
                task_definition_version: Some(order.version.clone()),
                containers,
            })
        })
        .collect();
    let last = checked.len().div_ceil(TASKS_AT_ONCE);
    checked
        .chunks(TASKS_AT_ONCE)
        .zip(1..)
        .map(|(tasks, number)| PublishHealthRequest {
            metadata: HealthMetadata {
                cluster: whose.cluster.clone(),
                container_instance: whose.instance.clone(),
                message_id: message_id.to_owned(),
                fin: number == last,
            },
            tasks: tasks.to_vec(),
            timestamp: Some(now),
        })
        .collect()
}

/// How the instance is: its container runtime answers, or does not, since when.
pub(crate) fn instance_status(
    whose: &Whose,
    (well, since): (bool, Timestamp),
    request_id: &str,
    now: Timestamp,
) -> PublishInstanceStatusRequest {
    let status = if well {
        ecs::InstanceHealthCheckState::Ok
    } else {
        ecs::InstanceHealthCheckState::Impaired
    };
    PublishInstanceStatusRequest {
        metadata: InstanceStatusMetadata {
            cluster: whose.cluster.clone(),
            container_instance: whose.instance.clone(),
            request_id: request_id.to_owned(),
        },
        statuses: vec![InstanceStatus {
            r#type: Some("ContainerRuntime".to_owned()),
            status: Some(status),
            last_updated: Some(now),
            last_status_change: Some(since),
        }],
        timestamp: Some(now),
    }
}
