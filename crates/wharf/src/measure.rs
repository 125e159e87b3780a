//! The measurements of the control plane become metrics: names, units and dimensions as AWS has them.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html>

use control::{Measured, Metric, MetricSink, Scope};
use telemetry::{MetricId, Metrics, Resolution, Sample, StatisticSet, Unit, Values};

/// Writes measurements into the metric store.
#[derive(Debug)]
pub(crate) struct Sink(pub(crate) Metrics);

impl MetricSink for Sink {
    fn record(&self, measured: Vec<Measured>) {
        let samples: Vec<Sample> = measured.iter().map(sample).collect();
        self.0.record(&samples);
    }
}

fn sample(measured: &Measured) -> Sample {
    let (namespace, name, unit, resolution) = facts(measured.metric);
    let (value, count) = (measured.value, measured.weight);
    let set = StatisticSet { sum: value * count, count, min: value, max: value };
    Sample {
        id: MetricId::new(namespace, name, dimensions(&measured.scope)),
        unit,
        at: measured.at,
        values: Values::Set(set),
        resolution,
    }
}

/// What scaling follows is told by the second; Container Insights by the minute, as AWS has it.
const fn facts(metric: Metric) -> (&'static str, &'static str, Unit, Resolution) {
    const ECS: &str = "AWS/ECS";
    const INSIGHTS: &str = "ECS/ContainerInsights";
    use Resolution::{High, Standard};
    use Unit::{BytesPerSecond, Count, Megabytes, None, Percent};
    match metric {
        Metric::CpuUtilization => (ECS, "CPUUtilization", Percent, High),
        Metric::MemoryUtilization => (ECS, "MemoryUtilization", Percent, High),
        Metric::CpuReservation => (ECS, "CPUReservation", Percent, High),
        Metric::MemoryReservation => (ECS, "MemoryReservation", Percent, High),
        Metric::GpuReservation => (ECS, "GPUReservation", Percent, High),
        Metric::CpuUtilized => (INSIGHTS, "CpuUtilized", None, Standard),
        Metric::CpuReserved => (INSIGHTS, "CpuReserved", None, Standard),
        Metric::MemoryUtilized => (INSIGHTS, "MemoryUtilized", Megabytes, Standard),
        Metric::MemoryReserved => (INSIGHTS, "MemoryReserved", Megabytes, Standard),
        Metric::NetworkRxBytes => (INSIGHTS, "NetworkRxBytes", BytesPerSecond, Standard),
        Metric::NetworkTxBytes => (INSIGHTS, "NetworkTxBytes", BytesPerSecond, Standard),
        Metric::StorageReadBytes => (INSIGHTS, "StorageReadBytes", BytesPerSecond, Standard),
        Metric::StorageWriteBytes => (INSIGHTS, "StorageWriteBytes", BytesPerSecond, Standard),
        Metric::TaskCpuUtilization => (INSIGHTS, "TaskCpuUtilization", Percent, Standard),
        Metric::TaskMemoryUtilization => (INSIGHTS, "TaskMemoryUtilization", Percent, Standard),
        Metric::TaskCount => (INSIGHTS, "TaskCount", Count, Standard),
        Metric::ServiceCount => (INSIGHTS, "ServiceCount", Count, Standard),
        Metric::ContainerInstanceCount => (INSIGHTS, "ContainerInstanceCount", Count, Standard),
        Metric::DesiredTaskCount => (INSIGHTS, "DesiredTaskCount", Count, Standard),
        Metric::RunningTaskCount => (INSIGHTS, "RunningTaskCount", Count, Standard),
        Metric::PendingTaskCount => (INSIGHTS, "PendingTaskCount", Count, Standard),
        Metric::DeploymentCount => (INSIGHTS, "DeploymentCount", Count, Standard),
        Metric::TaskSetCount => (INSIGHTS, "TaskSetCount", Count, Standard),
    }
}

fn dimensions(scope: &Scope) -> Vec<(&'static str, String)> {
    match scope {
        Scope::Cluster(cluster) => vec![("ClusterName", cluster.to_string())],
        Scope::Service(service) => vec![
            ("ClusterName", service.cluster.to_string()),
            ("ServiceName", service.service.to_string()),
        ],
        Scope::Family(cluster, family) => {
            vec![("ClusterName", cluster.to_string()), ("TaskDefinitionFamily", family.to_string())]
        }
        Scope::Task(task, family) => vec![
            ("ClusterName", task.cluster.to_string()),
            ("TaskDefinitionFamily", family.to_string()),
            ("TaskId", task.task.to_string()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stdx::Timestamp;

    #[test]
    fn a_measurement_has_aws_names() {
        let scope = Scope::Service(model::ServiceKey { cluster: "c".into(), service: "s".into() });
        let metric = Metric::CpuUtilization;
        let measured = Measured { metric, scope, at: Timestamp::EPOCH, value: 50.0, weight: 0.5 };
        let sample = sample(&measured);
        let id = MetricId::new(
            "AWS/ECS",
            "CPUUtilization",
            [("ServiceName", "s"), ("ClusterName", "c")],
        );
        assert_eq!((sample.id, sample.unit), (id, Unit::Percent));
        let Values::Set(set) = sample.values else { panic!() };
        assert_eq!((set.sum, set.count, set.max), (25.0, 0.5, 50.0));
    }
}
