//! What the door counts, and the text of `/metrics`.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::{InstanceStatus, ServiceStatus, State};

/// Upper bounds of the latency histogram, in milliseconds.
const BOUNDS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000];

/// Requests by service, operation and HTTP status; how long they took by service and operation.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    inner: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<(&'static str, &'static str, u16), u64>,
    latency: BTreeMap<(&'static str, &'static str), Histogram>,
}

#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum_millis: u64,
}

impl Metrics {
    /// Counts an answered request. Names are the models' own, so there are only so many of them.
    pub(crate) fn answered(
        &self,
        service: &'static str,
        operation: &'static str,
        status: u16,
        took: Duration,
    ) {
        let mut counts = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.requests.entry((service, operation, status)).or_default() += 1;
        let histogram = counts.latency.entry((service, operation)).or_default();
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        histogram.count += 1;
        histogram.sum_millis = histogram.sum_millis.saturating_add(millis);
        for (bucket, bound) in histogram.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(millis <= bound);
        }
    }

    /// Everything as text: what was counted, and what the state says now.
    pub(crate) fn render(
        &self,
        state: &State,
        revision: u64,
        store: store::Stats,
        exec: (usize, u64),
        version: &str,
    ) -> String {
        let mut text = String::new();
        gauge(
            &mut text,
            "wharf_build_info",
            "The version of this build.",
            &[(format!("version=\"{version}\""), 1)],
        );
        self.render_requests(&mut text);
        render_state(&mut text, state);
        let open = u64::try_from(exec.0).unwrap_or(u64::MAX);
        let name = "wharf_exec_sessions";
        gauge(&mut text, name, "ExecuteCommand sessions now.", &[(String::new(), open)]);
        let name = "wharf_exec_sessions_total";
        let help = "ExecuteCommand sessions so far.";
        family(&mut text, name, help, "counter", &[(String::new(), exec.1)]);
        gauge(
            &mut text,
            "wharf_store_revision",
            "The newest durable round of the store.",
            &[(String::new(), revision)],
        );
        for (name, help, value) in [
            ("wharf_store_commands_total", "Commands decided.", store.commands),
            ("wharf_store_commits_total", "Durable commits.", store.commits),
            ("wharf_store_changes_total", "Records in durable commits.", store.changes),
            ("wharf_store_failed_commits_total", "Commits that failed.", store.failed_commits),
        ] {
            family(&mut text, name, help, "counter", &[(String::new(), value)]);
        }
        text
    }

    fn render_requests(&self, text: &mut String) {
        let counts = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let samples: Vec<(String, u64)> = counts
            .requests
            .iter()
            .map(|((service, operation, status), n)| {
                (format!("{},status=\"{status}\"", labels(service, operation)), *n)
            })
            .collect();
        family(text, "wharf_requests_total", "Requests answered.", "counter", &samples);
        let name = "wharf_request_duration_seconds";
        head(text, name, "How long requests took.", "histogram");
        for ((service, operation), histogram) in &counts.latency {
            let labels = labels(service, operation);
            for (bucket, bound) in histogram.buckets.iter().zip(BOUNDS) {
                let le = seconds(bound);
                line(text, &format!("{name}_bucket"), &format!("{labels},le=\"{le}\""), bucket);
            }
            line(
                text,
                &format!("{name}_bucket"),
                &format!("{labels},le=\"+Inf\""),
                &histogram.count,
            );
            line(text, &format!("{name}_sum"), &labels, &seconds(histogram.sum_millis));
            line(text, &format!("{name}_count"), &labels, &histogram.count);
        }
    }
}

fn render_state(text: &mut String, state: &State) {
    let (mut running, mut pending, mut instances, mut services) = (vec![], vec![], vec![], vec![]);
    for cluster in state.clusters() {
        let of = format!("cluster=\"{}\"", cluster.name);
        let (run, wait) = state.cluster_counts(&cluster.name);
        running.push((of.clone(), u64::from(run)));
        pending.push((of.clone(), u64::from(wait)));
        for (name, status) in
            [("ACTIVE", InstanceStatus::Active), ("DRAINING", InstanceStatus::Draining)]
        {
            let n = state.instances(&cluster.name).filter(|i| i.status == status).count();
            instances
                .push((format!("{of},status=\"{name}\""), u64::try_from(n).unwrap_or(u64::MAX)));
        }
        for (name, status) in
            [("ACTIVE", ServiceStatus::Active), ("DRAINING", ServiceStatus::Draining)]
        {
            let n = state.services(&cluster.name).filter(|s| s.status == status).count();
            services
                .push((format!("{of},status=\"{name}\""), u64::try_from(n).unwrap_or(u64::MAX)));
        }
    }
    gauge(text, "wharf_tasks_running", "Tasks that run.", &running);
    gauge(text, "wharf_tasks_pending", "Tasks on their way to running.", &pending);
    gauge(text, "wharf_container_instances", "Container instances.", &instances);
    gauge(text, "wharf_services", "Services.", &services);
}

fn labels(service: &str, operation: &str) -> String {
    format!("service=\"{service}\",operation=\"{operation}\"")
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

fn gauge(text: &mut String, name: &str, help: &str, samples: &[(String, u64)]) {
    family(text, name, help, "gauge", samples);
}

fn family(text: &mut String, name: &str, help: &str, kind: &str, samples: &[(String, u64)]) {
    head(text, name, help, kind);
    for (labels, value) in samples {
        line(text, name, labels, value);
    }
}

pub(crate) fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

pub(crate) fn line(text: &mut String, name: &str, labels: &str, value: &dyn std::fmt::Display) {
    let _infallible = if labels.is_empty() {
        writeln!(text, "{name} {value}")
    } else {
        writeln!(text, "{name}{{{labels}}} {value}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Realm;

    #[test]
    fn buckets_add_up() {
        let metrics = Metrics::default();
        for millis in [0, 3, 40, 99_999] {
            metrics.answered("ecs", "RunTask", 200, Duration::from_millis(millis));
        }
        metrics.answered("ecs", "RunTask", 400, Duration::ZERO);
        let state = State::new(Realm::new("eu-west-1", "123456789012"));
        let text = metrics.render(&state, 7, store::Stats::default(), (2, 5), "1.2.3");
        for line in [
            "wharf_requests_total{service=\"ecs\",operation=\"RunTask\",status=\"200\"} 4",
            "wharf_request_duration_seconds_bucket{service=\"ecs\",operation=\"RunTask\",le=\"0.001\"} 2",
            "wharf_request_duration_seconds_bucket{service=\"ecs\",operation=\"RunTask\",le=\"0.005\"} 3",
            "wharf_request_duration_seconds_bucket{service=\"ecs\",operation=\"RunTask\",le=\"+Inf\"} 5",
            "wharf_request_duration_seconds_sum{service=\"ecs\",operation=\"RunTask\"} 100.042",
            "wharf_exec_sessions 2",
            "wharf_exec_sessions_total 5",
            "wharf_store_revision 7",
            "wharf_build_info{version=\"1.2.3\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
