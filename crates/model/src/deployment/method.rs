//! How a service is asked to be updated, beside the percentages and the circuit breaker.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::Stage;

/// How a service is updated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutMethod {
    /// By which steps.
    pub strategy: RolloutStrategy,
    /// How long both revisions stand after all traffic has moved; of a rolling update, how long
    /// alarms are watched after it is done.
    pub bake: Option<Duration>,
    /// What is asked, and of whom, before it goes on.
    pub hooks: Vec<RolloutHook>,
    /// What ends it when it goes wrong, beside the circuit breaker.
    pub alarms: Option<RolloutAlarms>,
}

/// By which steps a service is updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutStrategy {
    /// Tasks are replaced as far as the percentages allow.
    #[default]
    Rolling,
    /// The same, done before all tasks are there.
    Early(EarlySuccess),
    /// A whole second set of tasks; all traffic moves at once.
    BlueGreen,
    /// A whole second set of tasks; traffic moves in equal steps.
    Linear {
        /// How much moves with each step.
        step: TrafficShare,
        /// How long each step but the last stands.
        bake: Duration,
    },
    /// A whole second set of tasks; some traffic moves first, the rest after a while.
    Canary {
        /// How much moves first.
        share: TrafficShare,
        /// How long that stands.
        bake: Duration,
    },
}

/// A share of traffic in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrafficShare(pub u32);

/// When a rolling update counts as done before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlySuccess {
    /// So many percent of the desired count are healthy, rounded up.
    pub healthy_percent: u32,
    /// When the tasks of before go.
    pub cleanup: Cleanup,
}

/// When the tasks of before go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cleanup {
    /// Before the deployment counts as done.
    Blocking,
    /// Afterwards.
    Deferred,
}

/// RolloutAlarms that end a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutAlarms {
    /// Their names.
    pub names: Vec<String>,
    /// Whether they are watched.
    pub enable: bool,
    /// Whether the last completed deployment is then brought back.
    pub rollback: bool,
}

/// Something that is asked before a deployment goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutHook {
    /// Who is asked.
    pub target: HookTarget,
    /// At which stages.
    pub stages: HookStages,
    /// For how long it may take.
    pub timeout: Duration,
    /// What happens when it takes longer.
    pub on_timeout: HookAction,
}

/// The stages of a hook.
pub type HookStages = Vec<Stage>;

/// Who is asked by a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookTarget {
    /// A web server.
    Web {
        /// Where, `http://` or `https://`.
        url: String,
        /// What is told beside the deployment: a JSON object as it was given, which nothing here
        /// reads.
        details: Option<String>,
        /// A role's ARN as it was given; nothing assumes it.
        role: Option<String>,
    },
    /// Whoever calls ContinueServiceDeployment.
    Pause,
}

/// What becomes of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookAction {
    /// It goes back.
    Rollback,
    /// It goes on.
    Continue,
}

impl TrafficShare {
    /// All of it.
    pub const ALL: Self = Self(1000);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// In percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

impl RolloutStrategy {
    /// Whether a whole second set of tasks stands beside the first, and traffic moves between them.
    pub const fn is_progressive(&self) -> bool {
        match self {
            Self::Rolling | Self::Early(_) => false,
            Self::BlueGreen | Self::Linear { .. } | Self::Canary { .. } => true,
        }
    }

    /// How much traffic the new tasks have after the step that follows `now`.
    pub fn next(&self, now: TrafficShare) -> TrafficShare {
        let next = match self {
            Self::Rolling | Self::Early(_) | Self::BlueGreen => TrafficShare::ALL,
            Self::Linear { step, .. } => TrafficShare(now.0.saturating_add(step.0.max(1))),
            Self::Canary { share, .. } if now < *share => *share,
            Self::Canary { .. } => TrafficShare::ALL,
        };
        next.min(TrafficShare::ALL)
    }

    /// How long a step stands before the next.
    pub const fn step_bake(&self) -> Duration {
        match self {
            Self::Rolling | Self::Early(_) | Self::BlueGreen => Duration::ZERO,
            Self::Linear { bake, .. } | Self::Canary { bake, .. } => *bake,
        }
    }
}

impl RolloutMethod {
    /// The alarms that are watched; none if they are not.
    pub fn watched(&self) -> Option<&RolloutAlarms> {
        self.alarms.as_ref().filter(|alarms| alarms.enable && !alarms.names.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_moves_in_steps_and_ends_with_all_of_it() {
        let bake = Duration::from_secs(60);
        let linear = RolloutStrategy::Linear { step: TrafficShare(300), bake };
        let canary = RolloutStrategy::Canary { share: TrafficShare(55), bake };
        for (strategy, steps) in [
            (RolloutStrategy::BlueGreen, vec![1000]),
            (linear, vec![300, 600, 900, 1000]),
            (canary, vec![55, 1000]),
            (RolloutStrategy::Canary { share: TrafficShare::ALL, bake }, vec![1000]),
            (RolloutStrategy::Rolling, vec![1000]),
        ] {
            let (mut now, mut seen) = (TrafficShare::NONE, Vec::new());
            while now < TrafficShare::ALL {
                now = strategy.next(now);
                seen.push(now.0);
            }
            assert_eq!(seen, steps, "{strategy:?}");
        }
    }
}
