//! What load balancers counted, as the metrics that CloudWatch has of them.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html>
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-cloudwatch-metrics.html>
//!
//! Plain numbers come in, so that nobody here knows a balancer. A metric of what was not seen is not
//! written, but for those that AWS always has: requests, requests a target, bytes, hosts.

use std::time::Duration;

use stdx::Timestamp;

use super::{MetricId, Metrics, Resolution, Sample, StatisticSet, Unit, Values};

/// Which kind of load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalancerKind {
    /// `AWS/ApplicationELB`.
    Application,
    /// `AWS/NetworkELB`.
    Network,
}

/// What a load balancer counted since the sample before.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancerSample {
    /// Which kind it is.
    pub kind: BalancerKind,
    /// The end of its ARN: `app/name/id` or `net/name/id`.
    pub load_balancer: String,
    /// Its zone, such as `us-east-1a`; none to write no metrics by zone.
    pub zone: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Since when.
    pub over: Duration,
    /// Requests that were answered, by targets or by itself.
    pub requests: u64,
    /// Connections (flows of a network load balancer) that are open now.
    pub active_connections: u64,
    /// Connections that were opened, to clients and to targets.
    pub new_connections: u64,
    /// Connections that were refused because there were too many.
    pub rejected_connections: u64,
    /// Handshakes with clients that failed.
    pub tls_errors: u64,
    /// Bytes in both directions.
    pub bytes: u64,
    /// Answers of its own by hundreds: 3xx, 4xx, 5xx.
    pub own_answers: [u64; 3],
    /// By target group.
    pub groups: Vec<TargetGroupSample>,
}

/// What it counted of one target group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetGroupSample {
    /// The end of its ARN: `targetgroup/name/id`.
    pub target_group: String,
    /// Requests that its targets were sent.
    pub requests: u64,
    /// Seconds from a request to the first of its answer, each with how often.
    pub response_seconds: Vec<(f64, u64)>,
    /// Answers of targets by hundreds: 2xx, 3xx, 4xx, 5xx.
    pub answers: [u64; 4],
    /// Connections to targets that were not made.
    pub connection_errors: u64,
    /// Targets that are healthy now.
    pub healthy: u64,
    /// Targets that are not.
    pub unhealthy: u64,
}

#[expect(clippy::cast_precision_loss, reason = "counts; exact below 2^53")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// So many times one: AWS counts each by itself, so that least, greatest and average are 1.
fn ones(count: u64) -> Values {
    if count == 0 { Values::One(0.0) } else { Values::Many(vec![(1.0, float(count))]) }
}

struct Sheet<'s> {
    sample: &'s BalancerSample,
    namespace: &'static str,
    samples: Vec<Sample>,
}

impl Sheet<'_> {
    /// Writes a value with these dimensions, and once more by zone.
    fn put(&mut self, name: &str, unit: Unit, dimensions: &[(&str, &str)], values: Values) {
        let zone = self.sample.zone.as_deref().map(|zone| ("AvailabilityZone", zone));
        for zone in [None, zone].into_iter().take(1 + usize::from(zone.is_some())) {
            let all = dimensions.iter().copied().chain(zone);
            self.samples.push(Sample {
                id: MetricId::new(self.namespace, name, all),
                unit,
                at: self.sample.at,
                values: values.clone(),
                resolution: Resolution::High,
            });
        }
    }

    /// Writes a count unless it is zero.
    fn count(&mut self, name: &str, dimensions: &[(&str, &str)], count: u64) {
        if count > 0 {
            self.put(name, Unit::Count, dimensions, ones(count));
        }
    }

    /// Writes what is so now: the sum over a minute is its mean.
    fn now(&mut self, name: &str, dimensions: &[(&str, &str)], value: u64) {
        let (value, minutes) = (float(value), self.sample.over.as_secs_f64() / 60.0);
        if minutes > 0.0 {
            let set = StatisticSet { sum: value * minutes, count: minutes, min: value, max: value };
            self.put(name, Unit::Count, dimensions, Values::Set(set));
        }
    }
}

/// A sample as metrics.
pub fn samples(sample: &BalancerSample) -> Vec<Sample> {
    let application = sample.kind == BalancerKind::Application;
    let namespace = if application { "AWS/ApplicationELB" } else { "AWS/NetworkELB" };
    let mut sheet = Sheet { sample, namespace, samples: Vec::new() };
    let own = [("LoadBalancer", sample.load_balancer.as_str())];
    sheet.put("ProcessedBytes", Unit::Bytes, &own, Values::One(float(sample.bytes)));
    if application {
        sheet.put("RequestCount", Unit::Count, &own, ones(sample.requests));
        sheet.now("ActiveConnectionCount", &own, sample.active_connections);
        sheet.count("NewConnectionCount", &own, sample.new_connections);
        sheet.count("RejectedConnectionCount", &own, sample.rejected_connections);
        sheet.count("ClientTLSNegotiationErrorCount", &own, sample.tls_errors);
        for (name, count) in ["3XX", "4XX", "5XX"].into_iter().zip(sample.own_answers) {
            sheet.count(&format!("HTTPCode_ELB_{name}_Count"), &own, count);
        }
    } else {
        sheet.now("ActiveFlowCount", &own, sample.active_connections);
        sheet.count("NewFlowCount", &own, sample.new_connections);
        sheet.count("RejectedFlowCount", &own, sample.rejected_connections);
        sheet.count("ClientTLSNegotiationErrorCount", &own, sample.tls_errors);
    }
    for group in &sample.groups {
        of_group(&mut sheet, group, application);
    }
    sheet.samples
}

fn of_group(sheet: &mut Sheet<'_>, group: &TargetGroupSample, application: bool) {
    let balancer = ("LoadBalancer", sheet.sample.load_balancer.as_str());
    let both = [balancer, ("TargetGroup", group.target_group.as_str())];
    for (name, hosts) in
        [("HealthyHostCount", group.healthy), ("UnHealthyHostCount", group.unhealthy)]
    {
        sheet.put(name, Unit::Count, &both, Values::One(float(hosts)));
    }
    if !application {
        return;
    }
    sheet.put("RequestCount", Unit::Count, &both, ones(group.requests));
    let targets = group.healthy.max(1);
    let per_target = Values::One(float(group.requests) / float(targets));
    sheet.put("RequestCountPerTarget", Unit::Count, &both, per_target.clone());
    sheet.put("RequestCountPerTarget", Unit::Count, &both[1..], per_target);
    let times: Vec<(f64, f64)> =
        group.response_seconds.iter().map(|(time, count)| (*time, float(*count))).collect();
    if !times.is_empty() {
        for dimensions in [&both[..], &both[..1]] {
            let values = Values::Many(times.clone());
            sheet.put("TargetResponseTime", Unit::Seconds, dimensions, values);
        }
    }
    for (name, count) in ["2XX", "3XX", "4XX", "5XX"].into_iter().zip(group.answers) {
        for dimensions in [&both[..], &both[..1]] {
            sheet.count(&format!("HTTPCode_Target_{name}_Count"), dimensions, count);
        }
    }
    for dimensions in [&both[..], &both[..1]] {
        sheet.count("TargetConnectionErrorCount", dimensions, group.connection_errors);
    }
}

impl Metrics {
    /// Takes what a load balancer counted, as [`Metrics::record`] does.
    pub fn record_balancer(&self, sample: &BalancerSample) {
        self.record(&samples(sample));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_the_metrics_that_aws_documents() {
        let sample = BalancerSample {
            kind: BalancerKind::Application,
            load_balancer: "app/web/1".to_owned(),
            zone: None,
            at: Timestamp::EPOCH,
            over: Duration::from_secs(1),
            requests: 12,
            active_connections: 30,
            new_connections: 0,
            rejected_connections: 0,
            tls_errors: 0,
            bytes: 4096,
            own_answers: [0, 0, 2],
            groups: vec![TargetGroupSample {
                target_group: "targetgroup/web/2".to_owned(),
                requests: 10,
                response_seconds: vec![(0.1, 9), (0.5, 1)],
                answers: [9, 0, 0, 1],
                connection_errors: 0,
                healthy: 2,
                unhealthy: 1,
            }],
        };
        let all = samples(&sample);
        let find = |name: &str, dimensions: &[(&str, &str)]| {
            let id = MetricId::new("AWS/ApplicationELB", name, dimensions.iter().copied());
            all.iter()
                .find(|sample| sample.id == id)
                .map(|sample| sample.values.point().unwrap().set)
        };
        let (own, group) = (("LoadBalancer", "app/web/1"), ("TargetGroup", "targetgroup/web/2"));
        let sum = |name: &str, dimensions: &[(&str, &str)]| find(name, dimensions).unwrap().sum;
        assert_eq!(sum("RequestCount", &[own]), 12.0);
        assert_eq!(sum("RequestCountPerTarget", &[group]), 5.0);
        assert_eq!(sum("RequestCountPerTarget", &[own, group]), 5.0);
        assert_eq!(sum("HTTPCode_Target_2XX_Count", &[own, group]), 9.0);
        assert_eq!(sum("HTTPCode_ELB_5XX_Count", &[own]), 2.0);
        assert_eq!(sum("HealthyHostCount", &[own, group]), 2.0);
        assert_eq!(find("NewConnectionCount", &[own]), None, "nothing was seen");
        let time = find("TargetResponseTime", &[own]).unwrap();
        assert_eq!((time.count, time.max), (10.0, 0.5));
        assert_eq!(find("ActiveConnectionCount", &[own]).unwrap().max, 30.0);
        let zoned = samples(&BalancerSample { zone: Some("z".to_owned()), ..sample });
        assert_eq!(zoned.len(), all.len() * 2);
    }
}
