//! Scaling policies.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_ScalingPolicy.html>

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{BalancerId, Finite, GroupId, ScalingPolicyKey};

/// A policy of a scalable target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingPolicy {
    /// Where it is found.
    pub key: ScalingPolicyKey,
    /// What it does.
    pub kind: PolicyKind,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last put; what was measured for an earlier form of it does not count.
    pub updated_at: Timestamp,
}

/// What a policy does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyKind {
    /// Keeps a metric near a value.
    TargetTracking(TargetTracking),
    /// Moves by a step when an alarm tells it to.
    Steps(StepScaling),
}

/// A policy that keeps a metric near a value.
/// <https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-target-tracking.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetTracking {
    /// The value; above zero.
    pub target: Finite,
    /// The metric.
    pub metric: TrackedMetric,
    /// After a scale-out so long only a larger one follows.
    pub out_cooldown: Duration,
    /// After a scale-in so long no other follows.
    pub in_cooldown: Duration,
    /// Whether it never scales in.
    pub disable_scale_in: bool,
    /// What was left out when it was put: `(scale-out, scale-in)` cooldown. AWS does not tell a
    /// cooldown that nobody gave.
    pub cooldowns_given: (bool, bool),
    /// The two ids at the end of the names of its alarms: `…-AlarmHigh-ID` and `…-AlarmLow-ID`.
    pub alarm_ids: (String, String),
}

/// What a target tracking policy looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrackedMetric {
    /// `ECSServiceAverageCPUUtilization`, in percent of what its tasks reserve.
    Cpu {
        /// Named with `HighResolution` behind it. What is measured is the same.
        high_resolution: bool,
    },
    /// `ECSServiceAverageMemoryUtilization`, in percent of what its tasks reserve.
    Memory {
        /// Named with `HighResolution` behind it. What is measured is the same.
        high_resolution: bool,
    },
    /// `ALBRequestCountPerTarget`: requests a minute and target.
    Requests {
        /// The load balancer of the resource label.
        balancer: BalancerId,
        /// The target group of the resource label.
        group: GroupId,
    },
    /// One metric of CloudWatch.
    Custom(CustomMetric),
    /// An expression over metrics of CloudWatch.
    Math(Vec<MetricQuery>),
}

/// A metric of CloudWatch and how its data points are put together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomMetric {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its dimensions as given: name and value.
    pub dimensions: Vec<(String, String)>,
    /// How its data points are put together.
    pub statistic: MetricStat,
    /// Its unit where given.
    pub unit: Option<String>,
}

/// How data points of a metric are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetricStat {
    /// The mean of the samples.
    Average,
    /// The smallest sample.
    Minimum,
    /// The largest sample.
    Maximum,
    /// How many samples there are.
    SampleCount,
    /// The sum of the samples.
    Sum,
}

/// One of the queries of metric math.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricQuery {
    /// How expressions name it.
    pub id: String,
    /// What it asks for.
    pub kind: QueryKind,
    /// For people.
    pub label: Option<String>,
    /// Whether it is the one that is tracked, where given.
    pub return_data: Option<bool>,
}

/// What one query of metric math asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueryKind {
    /// The value of an expression.
    Expression(String),
    /// A metric. Its statistic is a text, since percentiles and the like may be asked for.
    Metric {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its dimensions: name and value.
        dimensions: Vec<(String, String)>,
        /// `Average`, `p99` and so on.
        stat: String,
        /// Its unit where given.
        unit: Option<String>,
    },
}

/// A policy that moves by a step when an alarm tells it to.
/// <https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-step-scaling-policies.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepScaling {
    /// What the numbers of its steps mean.
    pub adjustment: Adjustment,
    /// By how far the metric is beyond the alarm's threshold, in order, without gaps.
    pub steps: Vec<Step>,
    /// Of percentages: at least so many tasks.
    pub min_magnitude: Option<u32>,
    /// See [`TargetTracking::out_cooldown`] and [`TargetTracking::in_cooldown`].
    pub cooldown: Duration,
    /// Whether the cooldown was given.
    pub cooldown_given: bool,
    /// How the data points that raised the alarm are put together; none is their mean.
    pub aggregation: Option<Aggregation>,
}

/// What the numbers of steps mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Adjustment {
    /// So many tasks more or fewer.
    Change,
    /// So many percent of the tasks more or fewer.
    Percent,
    /// So many tasks.
    Exact,
}

/// How the data points that raised an alarm are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aggregation {
    /// Their mean.
    Average,
    /// The smallest.
    Minimum,
    /// The largest.
    Maximum,
}

/// One step: what to do when the metric is so far from the alarm's threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The lower end of the difference; none is as far down as it goes.
    pub lower: Option<Finite>,
    /// The upper end of the difference; none is as far up as it goes.
    pub upper: Option<Finite>,
    /// By what, as [`StepScaling::adjustment`] has it.
    pub by: i32,
}

impl ScalingPolicy {
    /// How it tracks a target, if it does.
    pub const fn tracking(&self) -> Option<&TargetTracking> {
        match &self.kind {
            PolicyKind::TargetTracking(tracking) => Some(tracking),
            PolicyKind::Steps(_) => None,
        }
    }

    /// The names of its two alarms, the one that scales out first; none for a step policy, whose
    /// alarms are its users' own.
    pub fn alarms(&self) -> Option<(String, String)> {
        let (high, low) = &self.tracking()?.alarm_ids;
        let name = |which: &str, id: &str| {
            format!("TargetTracking-service/{}-Alarm{which}-{id}", self.key.service)
        };
        Some((name("High", high), name("Low", low)))
    }
}
