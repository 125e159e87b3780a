//! The load of services: their targets' health, and the newest of their metrics.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use aws::cloudwatch::{
    Client as CloudWatch, Dimension, GetMetricDataInput, Metric, MetricDataQuery, MetricStat,
    ScanBy,
};
use aws::ecs::Service;
use aws::elbv2::{
    Client as Balancing, DescribeTargetGroupsInput, DescribeTargetHealthInput,
    TargetHealthStateEnum,
};
use stdx::Timestamp;

use crate::HttpTransport;

/// Metrics are put together over so many seconds.
const PERIOD: i32 = 10;
/// A metric that has been silent for so long has nothing to say.
const BACK: std::time::Duration = std::time::Duration::from_secs(60);
/// CloudWatch takes so many queries at once.
const MOST_QUERIES: usize = 500;

/// What is known of a service's load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    /// Healthy targets, and all.
    pub(super) targets: Option<(usize, usize)>,
    /// Requests a second.
    pub(super) requests: Option<f64>,
    /// Seconds that half of the answers took at most.
    pub(super) p50: Option<f64>,
    /// Percent of what its tasks reserve.
    pub(super) cpu: Option<f64>,
    /// Percent of what its tasks reserve.
    pub(super) memory: Option<f64>,
}

/// Where loads are asked for.
pub(super) struct Loads {
    cloudwatch: CloudWatch<HttpTransport>,
    balancing: Balancing<HttpTransport>,
}

/// Which member of a load a query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Cpu,
    Memory,
    Requests,
    P50,
}

impl Loads {
    pub(super) fn new(transport: HttpTransport) -> Self {
        Self {
            cloudwatch: CloudWatch::new(transport.clone()),
            balancing: Balancing::new(transport),
        }
    }

    /// The load of each service, in their order.
    pub(super) async fn of(
        &self,
        cluster: &str,
        services: &[Service],
        now: Timestamp,
    ) -> Result<Vec<Load>> {
        let mut loads = vec![Load::default(); services.len()];
        let mut wanted = Vec::new();
        for (at, service) in services.iter().enumerate() {
            let name = service.service_name.as_deref().unwrap_or_default();
            let own = [("ClusterName", cluster), ("ServiceName", name)];
            wanted.push((at, Member::Cpu, metric("AWS/ECS", "CPUUtilization", &own)));
            wanted.push((at, Member::Memory, metric("AWS/ECS", "MemoryUtilization", &own)));
            let groups = service.load_balancers.iter().flatten();
            let Some(group) = groups.filter_map(|b| b.target_group_arn.as_deref()).next() else {
                continue;
            };
            if let Some(load) = loads.get_mut(at) {
                load.targets = Some(self.targets(group).await?);
            }
            if let Some(balancer) = self.balancer(group).await? {
                let group = tail(group, "targetgroup/");
                let both = [("LoadBalancer", balancer.as_str()), ("TargetGroup", group)];
                let of = |name| metric("AWS/ApplicationELB", name, &both);
                wanted.push((at, Member::Requests, of("RequestCount")));
                wanted.push((at, Member::P50, of("TargetResponseTime")));
            }
        }
        for chunk in wanted.chunks(MOST_QUERIES) {
            self.measure(chunk, now, &mut loads).await?;
        }
        Ok(loads)
    }

    async fn targets(&self, group: &str) -> Result<(usize, usize)> {
        let request = DescribeTargetHealthInput {
            target_group_arn: Some(group.to_owned()),
            ..DescribeTargetHealthInput::default()
        };
        let answer = self.balancing.describe_target_health(request).await;
        let targets = answer.context("describe the targets")?.target_health_descriptions;
        let targets = targets.unwrap_or_default();
        let healthy = targets.iter().filter(|target| {
            let state = target.target_health.as_ref().and_then(|health| health.state.as_ref());
            state == Some(&TargetHealthStateEnum::Healthy)
        });
        Ok((healthy.count(), targets.len()))
    }

    /// The application load balancer that sends to a group, as its metrics name it.
    async fn balancer(&self, group: &str) -> Result<Option<String>> {
        let request = DescribeTargetGroupsInput {
            target_group_arns: Some(vec![group.to_owned()]),
            ..DescribeTargetGroupsInput::default()
        };
        let answer = self.balancing.describe_target_groups(request).await;
        let groups = answer.context("describe the target groups")?.target_groups;
        let mut arns = groups
            .unwrap_or_default()
            .into_iter()
            .flat_map(|g| g.load_balancer_arns.unwrap_or_default());
        Ok(arns
            .find(|arn| arn.contains(":loadbalancer/app/"))
            .map(|arn| tail(&arn, "app/").to_owned()))
    }

    async fn measure(
        &self,
        wanted: &[(usize, Member, Metric)],
        now: Timestamp,
        loads: &mut [Load],
    ) -> Result<()> {
        let queries = wanted.iter().enumerate().map(|(id, (_, member, metric))| MetricDataQuery {
            id: Some(format!("m{id}")),
            metric_stat: Some(MetricStat {
                metric: Some(metric.clone()),
                period: Some(PERIOD),
                stat: Some(stat(*member).to_owned()),
                unit: None,
            }),
            ..MetricDataQuery::default()
        });
        let request = GetMetricDataInput {
            metric_data_queries: Some(queries.collect()),
            start_time: Some(now - BACK),
            end_time: Some(now),
            scan_by: Some(ScanBy::TimestampDescending),
            ..GetMetricDataInput::default()
        };
        let answer = self.cloudwatch.get_metric_data(request).await.context("read the metrics")?;
        let results = answer.metric_data_results.unwrap_or_default();
        let results: BTreeMap<String, Vec<f64>> = results
            .into_iter()
            .map(|r| (r.id.unwrap_or_default(), r.values.unwrap_or_default()))
            .collect();
        for (id, (at, member, _)) in wanted.iter().enumerate() {
            let values = results.get(&format!("m{id}")).map(Vec::as_slice).unwrap_or_default();
            if let Some(load) = loads.get_mut(*at) {
                set(load, *member, values);
            }
        }
        Ok(())
    }
}

const fn stat(member: Member) -> &'static str {
    match member {
        Member::Cpu | Member::Memory => "Average",
        Member::Requests => "Sum",
        Member::P50 => "p50",
    }
}

/// Takes the newest of the values in; of sums the newest that is whole.
fn set(load: &mut Load, member: Member, newest_first: &[f64]) {
    let newest = newest_first.first().copied();
    match member {
        Member::Cpu => load.cpu = newest,
        Member::Memory => load.memory = newest,
        Member::P50 => load.p50 = newest,
        Member::Requests => {
            load.requests = newest_first.get(1).map(|sum| sum / f64::from(PERIOD));
        }
    }
}

fn metric(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Metric {
    let dimension = |(name, value): &(&str, &str)| Dimension {
        name: Some((*name).to_owned()),
        value: Some((*value).to_owned()),
    };
    Metric {
        dimensions: Some(dimensions.iter().map(dimension).collect()),
        metric_name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
    }
}

/// An ARN from the part on that begins so.
fn tail<'a>(arn: &'a str, start: &str) -> &'a str {
    arn.find(start).and_then(|at| arn.get(at..)).unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_values_are_taken() {
        let mut load = Load::default();
        set(&mut load, Member::Cpu, &[3.0, 2.0]);
        set(&mut load, Member::Requests, &[5.0, 100.0, 90.0]);
        set(&mut load, Member::P50, &[]);
        assert_eq!((load.cpu, load.requests, load.p50), (Some(3.0), Some(10.0), None));
        let arn = "arn:aws:elasticloadbalancing:r:1:targetgroup/web/12";
        assert_eq!(tail(arn, "targetgroup/"), "targetgroup/web/12");
    }
}
