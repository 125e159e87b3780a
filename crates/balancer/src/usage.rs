//! What was counted since the start: atomics that requests bump, and the plain values that are sampled.
//!
//! Counters only grow; whoever samples them takes differences. Gauges say how it is now.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{BalancerId, GroupId, TargetKey};

/// All counters at one moment. What left the table is forgotten.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Per balancer.
    pub balancers: BTreeMap<BalancerId, BalancerUsage>,
    /// Per target group.
    pub groups: BTreeMap<GroupId, GroupUsage>,
}

/// A balancer's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BalancerUsage {
    /// Requests that a target served (`RequestCount`).
    pub requests: u64,
    /// What the balancer answered itself (`HTTPCode_ELB_3XX_Count`, …), by class: 2xx to 5xx.
    pub elb_codes: [u64; 4],
    /// 500, 502, 503 and 504 of the balancer's own (`HTTPCode_ELB_500_Count`, …).
    pub elb_500_502_503_504: [u64; 4],
    /// What targets answered (`HTTPCode_Target_2XX_Count`, …), by class: 2xx to 5xx.
    pub target_codes: [u64; 4],
    /// Redirects (`HTTP_Redirect_Count`).
    pub redirects: u64,
    /// Fixed responses (`HTTP_Fixed_Response_Count`).
    pub fixed_responses: u64,
    /// Rules that were evaluated, the default one not counted (`RuleEvaluations`).
    pub rule_evaluations: u64,
    /// Requests by gRPC (`GrpcRequestCount`).
    pub grpc_requests: u64,
    /// Connections or UDP flows taken from clients (`NewConnectionCount`, `NewFlowCount`).
    pub new_connections: u64,
    /// Connections or UDP flows of clients that are open (`ActiveConnectionCount`, `ActiveFlowCount`).
    pub active_connections: u64,
    /// Bytes to and from clients, with headers (`ProcessedBytes`).
    pub processed_bytes: u64,
    /// Connections to targets that failed (`TargetConnectionErrorCount`).
    pub target_connection_errors: u64,
    /// TLS handshakes of clients that failed (`ClientTLSNegotiationErrorCount`).
    pub client_tls_errors: u64,
    /// TLS handshakes with targets that failed (`TargetTLSNegotiationErrorCount`).
    pub target_tls_errors: u64,
    /// Requests refused at the edge as malformed or doubtful (`DesyncMitigationMode_NonCompliant_Request_Count`).
    pub refused_requests: u64,
    /// How long targets took to answer, to the head of the answer (`TargetResponseTime`).
    pub response_time: Histogram,
}

/// A target group's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupUsage {
    /// Requests (`RequestCount`; by the healthy hosts, `RequestCountPerTarget`).
    pub requests: u64,
    /// What its targets answered, by class: 2xx to 5xx.
    pub target_codes: [u64; 4],
    /// How long they took, to the head of the answer.
    pub response_time: Histogram,
    /// Connections to its targets that failed.
    pub connection_errors: u64,
    /// Targets that are healthy now (`HealthyHostCount`); zero while no listener uses the group.
    pub healthy_hosts: u64,
    /// Targets that are unhealthy now (`UnHealthyHostCount`).
    pub unhealthy_hosts: u64,
    /// Per target.
    pub targets: BTreeMap<TargetKey, TargetUsage>,
}

/// A target's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetUsage {
    /// Requests or flows that it was given.
    pub requests: u64,
    /// Requests or flows that it has now.
    pub outstanding: u64,
    /// Connections that failed.
    pub connection_errors: u64,
}

/// How many classes a histogram has.
pub const BUCKETS: usize = 128;

/// Durations in classes that are a quarter of their power of two wide (an error of 12 % at most), from
/// one microsecond to more than an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The sum, in microseconds.
    pub sum_micros: u64,
    /// How many are in each class; [`Histogram::upper_micros`] tells a class's bound.
    pub buckets: [u64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { sum_micros: 0, buckets: [0; BUCKETS] }
    }
}

impl Histogram {
    /// The class of a duration.
    pub fn bucket(micros: u64) -> usize {
        if micros < 4 {
            return usize::try_from(micros).unwrap_or(0);
        }
        let power = micros.ilog2();
        let quarter = (micros >> (power - 2)) & 3;
        usize::try_from(u64::from(power - 1) * 4 + quarter).unwrap_or(BUCKETS).min(BUCKETS - 1)
    }

    /// The largest duration of a class, in microseconds.
    pub fn upper_micros(bucket: usize) -> u64 {
        let bucket = bucket as u64;
        if bucket < 4 {
            return bucket;
        }
        let (power, quarter) = (bucket / 4 + 1, bucket % 4);
        (1_u64 << power) + ((quarter + 1) << (power - 2)) - 1
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What came since `earlier`, which must be of the same counter.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = self.clone();
        difference.sum_micros = difference.sum_micros.saturating_sub(earlier.sum_micros);
        for (now, then) in difference.buckets.iter_mut().zip(earlier.buckets) {
            *now = now.saturating_sub(then);
        }
        difference
    }

    /// The duration that the share `part` (0 to 1) of them does not exceed, in microseconds; none of none.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among fewer than 2^52 durations"
    )]
    pub fn percentile_micros(&self, part: f64) -> Option<u64> {
        let rank = (self.count() as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.buckets.iter().enumerate().find_map(|(bucket, count)| {
            seen += count;
            (seen >= rank).then(|| Self::upper_micros(bucket))
        })
    }
}

/// Adds one; no order is promised between counters.
pub(crate) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(0) };
}

/// Counters that each worker has for itself, so that no two threads write to the same memory. Who counts
/// sees those of its own thread; who reads adds them all up.
#[derive(Debug)]
pub(crate) struct Sharded<T>(Box<[Shard<T>]>);

/// What the processor moves between cores, two lines at a time, is one thread's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard<T>(T);

impl<T: Default> Sharded<T> {
    /// Counters for so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| Shard::default()).collect())
    }

    /// This thread counts in the shard of this number from now on.
    pub(crate) fn count_as(number: usize) {
        SHARD.set(number);
    }
}

impl<T> Sharded<T> {
    /// The sum of one counter. A gauge may go down on another thread than up: the sum is right.
    fn sum(&self, counter: impl Fn(&T) -> &AtomicU64) -> u64 {
        self.0.iter().map(|shard| read(counter(&shard.0))).fold(0, u64::wrapping_add)
    }

    fn histogram(&self, cells: impl Fn(&T) -> &HistogramCells) -> Histogram {
        Histogram {
            sum_micros: self.sum(|shard| &cells(shard).sum_micros),
            buckets: std::array::from_fn(|i| self.sum(|shard| &cells(shard).buckets[i])),
        }
    }
}

impl<T> Deref for Sharded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0[SHARD.get() % self.0.len()].0
    }
}

/// A histogram that is counted into.
#[derive(Debug)]
pub(crate) struct HistogramCells {
    sum_micros: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

impl Default for HistogramCells {
    fn default() -> Self {
        Self { sum_micros: AtomicU64::new(0), buckets: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl HistogramCells {
    pub(crate) fn record(&self, micros: u64) {
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
        bump(&self.buckets[Histogram::bucket(micros)]);
    }
}

/// The place of a status in the arrays of classes; none for 1xx and what is no status.
pub(crate) fn class(status: u16) -> Option<usize> {
    match status {
        200..=299 => Some(0),
        300..=399 => Some(1),
        400..=499 => Some(2),
        500..=599 => Some(3),
        _ => None,
    }
}

/// A balancer's counters as they are counted into.
#[derive(Debug, Default)]
pub(crate) struct BalancerCells {
    pub(crate) requests: AtomicU64,
    pub(crate) elb_codes: [AtomicU64; 4],
    pub(crate) elb_5xx: [AtomicU64; 4],
    pub(crate) target_codes: [AtomicU64; 4],
    pub(crate) redirects: AtomicU64,
    pub(crate) fixed_responses: AtomicU64,
    pub(crate) rule_evaluations: AtomicU64,
    pub(crate) grpc_requests: AtomicU64,
    pub(crate) new_connections: AtomicU64,
    pub(crate) active_connections: AtomicU64,
    pub(crate) processed_bytes: AtomicU64,
    pub(crate) target_connection_errors: AtomicU64,
    pub(crate) client_tls_errors: AtomicU64,
    pub(crate) target_tls_errors: AtomicU64,
    pub(crate) refused_requests: AtomicU64,
    pub(crate) response_time: HistogramCells,
}

impl BalancerCells {
    /// Counts an answer of the balancer's own.
    pub(crate) fn own_answer(&self, status: u16) {
        if let Some(class) = class(status) {
            bump(&self.elb_codes[class]);
        }
        if let Some(place) = [500, 502, 503, 504].iter().position(|known| *known == status) {
            bump(&self.elb_5xx[place]);
        }
    }
}

impl Sharded<BalancerCells> {
    /// What was counted.
    pub(crate) fn read(&self) -> BalancerUsage {
        BalancerUsage {
            requests: self.sum(|cells| &cells.requests),
            elb_codes: std::array::from_fn(|i| self.sum(|cells| &cells.elb_codes[i])),
            elb_500_502_503_504: std::array::from_fn(|i| self.sum(|cells| &cells.elb_5xx[i])),
            target_codes: std::array::from_fn(|i| self.sum(|cells| &cells.target_codes[i])),
            redirects: self.sum(|cells| &cells.redirects),
            fixed_responses: self.sum(|cells| &cells.fixed_responses),
            rule_evaluations: self.sum(|cells| &cells.rule_evaluations),
            grpc_requests: self.sum(|cells| &cells.grpc_requests),
            new_connections: self.sum(|cells| &cells.new_connections),
            active_connections: self.sum(|cells| &cells.active_connections),
            processed_bytes: self.sum(|cells| &cells.processed_bytes),
            target_connection_errors: self.sum(|cells| &cells.target_connection_errors),
            client_tls_errors: self.sum(|cells| &cells.client_tls_errors),
            target_tls_errors: self.sum(|cells| &cells.target_tls_errors),
            refused_requests: self.sum(|cells| &cells.refused_requests),
            response_time: self.histogram(|cells| &cells.response_time),
        }
    }
}

/// A group's counters as they are counted into.
#[derive(Debug, Default)]
pub(crate) struct GroupCells {
    pub(crate) requests: AtomicU64,
    pub(crate) target_codes: [AtomicU64; 4],
    pub(crate) connection_errors: AtomicU64,
    pub(crate) response_time: HistogramCells,
    /// How many choices were made, for turns; each worker takes its own.
    pub(crate) turn: AtomicU64,
}

impl Sharded<GroupCells> {
    /// What was counted; hosts and targets are for the caller to add.
    pub(crate) fn read(&self) -> GroupUsage {
        GroupUsage {
            requests: self.sum(|cells| &cells.requests),
            target_codes: std::array::from_fn(|i| self.sum(|cells| &cells.target_codes[i])),
            response_time: self.histogram(|cells| &cells.response_time),
            connection_errors: self.sum(|cells| &cells.connection_errors),
            ..GroupUsage::default()
        }
    }
}

/// A target's counters as they are counted into.
#[derive(Debug, Default)]
pub(crate) struct TargetCells {
    pub(crate) requests: AtomicU64,
    pub(crate) outstanding: AtomicU64,
    pub(crate) connection_errors: AtomicU64,
}

impl Sharded<TargetCells> {
    /// Requests or flows that the target has now.
    pub(crate) fn outstanding(&self) -> u64 {
        self.sum(|cells| &cells.outstanding)
    }

    /// What was counted.
    pub(crate) fn read(&self) -> TargetUsage {
        TargetUsage {
            requests: self.sum(|cells| &cells.requests),
            outstanding: self.outstanding(),
            connection_errors: self.sum(|cells| &cells.connection_errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_duration_lies_between_the_bounds_of_its_class(micros in 0_u64..1 << 32) {
            let bucket = Histogram::bucket(micros);
            prop_assert!(micros <= Histogram::upper_micros(bucket));
            prop_assert!(bucket == 0 || micros > Histogram::upper_micros(bucket - 1));
        }
    }

    #[test]
    fn percentiles_and_differences_follow_from_the_classes() {
        let cells = Sharded::<GroupCells>::new(3);
        let read = || cells.read().response_time;
        assert_eq!(read().percentile_micros(0.5), None);
        for micros in 1..=1000 {
            Sharded::<GroupCells>::count_as(usize::try_from(micros % 7).unwrap());
            cells.response_time.record(micros);
        }
        let first = read();
        let p50 = first.percentile_micros(0.5).unwrap();
        assert!((500..=560).contains(&p50), "{p50}");
        cells.response_time.record(u64::MAX / 2);
        let difference = read().since(&first);
        assert_eq!(difference.count(), 1);
        assert_eq!(difference.percentile_micros(1.0), Some(Histogram::upper_micros(BUCKETS - 1)));
    }

    #[test]
    fn own_answers_are_counted_by_class_and_code() {
        let cells = Sharded::<BalancerCells>::new(2);
        for status in [302, 400, 503, 504, 502, 99] {
            cells.own_answer(status);
        }
        let usage = cells.read();
        assert_eq!(usage.elb_codes, [0, 1, 1, 3]);
        assert_eq!(usage.elb_500_502_503_504, [0, 1, 1, 1]);
    }
}
