//! What the balancer counts becomes metrics, each second.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html>

use std::sync::Arc;
use std::time::Duration;

use balancer::{Balancer, BalancerUsage, GroupUsage, Histogram, Usage};
use model::Book;
use shell::{Clock, Shutdown};
use stdx::Timestamp;
use store::Store;
use telemetry::{BalancerKind, BalancerSample, Metrics, TargetGroupSample};
use tokio::time::MissedTickBehavior;

/// How often counters are read.
const EVERY: Duration = Duration::from_secs(1);

/// Samples until shutdown.
pub(crate) async fn sample(
    balancer: Arc<Balancer>,
    store: Store,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    mut shutdown: Shutdown,
) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut since) = (Usage::default(), clock.now());
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = tick.tick() => {}
        }
        let (after, at) = (balancer.usage(), clock.now());
        for sample in samples(&before, &after, store.snapshot().balancing(), since, at) {
            metrics.record_balancer(&sample);
        }
        (before, since) = (after, at);
    }
}

/// What was counted between two readings, by load balancer. A target group belongs to one of them: a second
/// one is refused it (`TargetGroupAssociationLimit`).
fn samples(
    before: &Usage,
    after: &Usage,
    book: &Book,
    since: Timestamp,
    at: Timestamp,
) -> Vec<BalancerSample> {
    let nothing = BalancerUsage::default();
    let sample = |(id, now): (&balancer::BalancerId, &BalancerUsage)| {
        let found = book.balancer(&id.as_str().into())?;
        let then = before.balancers.get(id).unwrap_or(&nothing);
        let own = |class: usize| now.elb_codes[class].saturating_sub(then.elb_codes[class]);
        let mine = |group: &balancer::GroupId| {
            let its = book.balancers_of(&group.as_str().into()).next();
            its.is_some_and(|balancer| balancer.id == found.id)
        };
        let groups = after.groups.iter().filter(|(group, _)| mine(group));
        Some(BalancerSample {
            kind: match found.kind {
                model::BalancerKind::Application => BalancerKind::Application,
                model::BalancerKind::Network => BalancerKind::Network,
            },
            load_balancer: id.to_string(),
            zone: None,
            at,
            over: at.since(since),
            requests: now.requests.saturating_sub(then.requests),
            active_connections: now.active_connections,
            new_connections: now.new_connections.saturating_sub(then.new_connections),
            // It has no limit of its own.
            rejected_connections: 0,
            tls_errors: now.client_tls_errors.saturating_sub(then.client_tls_errors),
            bytes: now.processed_bytes.saturating_sub(then.processed_bytes),
            own_answers: [own(1), own(2), own(3)],
            groups: groups.map(|(id, now)| group(id, before.groups.get(id), now)).collect(),
        })
    };
    after.balancers.iter().filter_map(sample).collect()
}

fn group(
    id: &balancer::GroupId,
    before: Option<&GroupUsage>,
    now: &GroupUsage,
) -> TargetGroupSample {
    let nothing = GroupUsage::default();
    let then = before.unwrap_or(&nothing);
    let answers = |class: usize| now.target_codes[class].saturating_sub(then.target_codes[class]);
    TargetGroupSample {
        target_group: format!("targetgroup/{id}"),
        requests: now.requests.saturating_sub(then.requests),
        response_seconds: seconds(&now.response_time.since(&then.response_time)),
        answers: std::array::from_fn(answers),
        connection_errors: now.connection_errors.saturating_sub(then.connection_errors),
        healthy: now.healthy_hosts,
        unhealthy: now.unhealthy_hosts,
    }
}

/// The durations of a histogram, by the bounds of its classes.
fn seconds(times: &Histogram) -> Vec<(f64, u64)> {
    let bound = |class: usize| Duration::from_micros(Histogram::upper_micros(class)).as_secs_f64();
    let counted = times.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
    counted.map(|(class, count)| (bound(class), *count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_group_is_what_came_since_the_last_reading() {
        let mut then =
            GroupUsage { requests: 7, target_codes: [5, 0, 2, 0], ..GroupUsage::default() };
        then.response_time.buckets[Histogram::bucket(1_000)] = 7;
        let mut now = GroupUsage {
            requests: 10,
            target_codes: [8, 0, 2, 0],
            healthy_hosts: 2,
            ..then.clone()
        };
        now.response_time.buckets[Histogram::bucket(2_000_000)] = 3;
        let told = group(&"web/1".into(), Some(&then), &now);
        assert_eq!((told.requests, told.answers, told.healthy), (3, [3, 0, 0, 0], 2));
        assert_eq!(told.target_group, "targetgroup/web/1");
        let [(seconds, 3)] = told.response_seconds[..] else { panic!("{told:?}") };
        assert!((2.0..2.3).contains(&seconds), "{seconds}");
        // A group that is new counts from nothing.
        assert_eq!(group(&"web/1".into(), None, &now).requests, 10);
    }
}
