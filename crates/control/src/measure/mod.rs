//! What agents tell of their tasks becomes the metrics of ECS: of clusters, services, families, tasks.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html>
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-ECS.html>
//!
//! A report is reckoned up in `report`, what each task uses now is kept in `book`, and `gauges` says
//! once a second (utilisation) and every ten seconds (the rest) what that and the state make of a
//! cluster. Nobody here knows where measurements go: that is the [`MetricSink`].

mod book;
mod gauges;
mod report;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

use model::{ClusterName, Family, ServiceKey, TaskKey};
use stdx::Timestamp;

pub(crate) use book::Book;
pub(crate) use gauges::{Shared, run};
pub(crate) use report::{Reports, take};

/// Where measurements go.
pub trait MetricSink: Send + Sync + Debug {
    /// Takes measurements; it does not wait for anything.
    fn record(&self, measured: Vec<Measured>);
}

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Of what.
    pub metric: Metric,
    /// Of whom.
    pub scope: Scope,
    /// When.
    pub at: Timestamp,
    /// The value.
    pub value: f64,
    /// How much it counts beside others of the same period: the share of a minute that it stands
    /// for, so that a task counts as one in a minute's number of samples, as with ECS.
    pub weight: f64,
}

/// Of whom something is measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// A cluster.
    Cluster(ClusterName),
    /// A service.
    Service(ServiceKey),
    /// A family's tasks in a cluster.
    Family(ClusterName, Family),
    /// A task, and the family of its definition.
    Task(TaskKey, Family),
}

/// What is measured: first what the namespace `AWS/ECS` has, then what `ECS/ContainerInsights` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Percent of the CPU units that the tasks of a service reserve, or the instances of a cluster
    /// have. `AWS/ECS`.
    CpuUtilization,
    /// The same of memory. `AWS/ECS`.
    MemoryUtilization,
    /// Percent of a cluster's CPU units that tasks reserve. `AWS/ECS`.
    CpuReservation,
    /// Percent of a cluster's memory that tasks reserve. `AWS/ECS`.
    MemoryReservation,
    /// Percent of a cluster's GPUs that tasks reserve. `AWS/ECS`.
    GpuReservation,
    /// CPU units in use.
    CpuUtilized,
    /// CPU units that are reserved.
    CpuReserved,
    /// Mebibytes in use.
    MemoryUtilized,
    /// Mebibytes that are reserved.
    MemoryReserved,
    /// Bytes a second received.
    NetworkRxBytes,
    /// Bytes a second sent.
    NetworkTxBytes,
    /// Bytes a second read from disks.
    StorageReadBytes,
    /// Bytes a second written to disks.
    StorageWriteBytes,
    /// Percent of the CPU units that a task reserves.
    TaskCpuUtilization,
    /// The same of memory.
    TaskMemoryUtilization,
    /// Tasks that run in a cluster.
    TaskCount,
    /// Services of a cluster.
    ServiceCount,
    /// Container instances with a connected agent.
    ContainerInstanceCount,
    /// Tasks that a service should have.
    DesiredTaskCount,
    /// Tasks of a service that run.
    RunningTaskCount,
    /// Tasks of a service that do not run yet.
    PendingTaskCount,
    /// Deployments of a service.
    DeploymentCount,
    /// Task sets of a service: none.
    TaskSetCount,
}
