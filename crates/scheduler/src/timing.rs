//! How long things wait, in one place.

use std::time::Duration;

/// A service's task that ends by itself before this counts as failed; one that stays so long ends
/// the back-off of its deployment.
pub const STAYS: Duration = Duration::from_secs(60);

/// A deployment that the circuit breaker watches, or that has failed again and again, proves itself
/// so long: its tasks count as healthy, and it as complete, when they have stayed.
pub const TRIAL: Duration = Duration::from_secs(20);

/// A task without health checks counts as healthy once it has been up so long: what falls over at
/// once replaces nothing.
pub const SETTLES: Duration = Duration::from_secs(5);

/// The longest back-off between attempts of a deployment whose tasks fail, as ECS has it.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(15 * 60);

/// How long a stopped task is described at least, as ECS does.
pub const STOPPED_TASKS_KEPT: Duration = Duration::from_secs(60 * 60);

/// What is remembered of what is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// How long a stopped task is described.
    pub stopped_for: Duration,
    /// So many stopped tasks are described for longer than [`STOPPED_TASKS_KEPT`] at most; the oldest
    /// go first.
    pub stopped_most: usize,
}

impl Keep {
    /// So many stopped tasks are kept for days at most, which bounds the memory that they take.
    pub const MOST: usize = 20_000;

    /// For days; not at all beyond what ECS does if there are none.
    pub const fn days(days: u32) -> Self {
        let seconds = days as u64 * 24 * 60 * 60;
        let least = STOPPED_TASKS_KEPT.as_secs();
        let stopped_for = Duration::from_secs(if seconds > least { seconds } else { least });
        Self { stopped_for, stopped_most: Self::MOST }
    }
}

impl Default for Keep {
    /// As ECS.
    fn default() -> Self {
        Self::days(0)
    }
}

/// How long an inactive service is described.
pub const INACTIVE_SERVICES_KEPT: Duration = Duration::from_secs(60 * 60);

/// How long a service deployment is described once it is over, and its revisions, as ECS does.
pub const DEPLOYMENTS_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How long both revisions stand after all traffic has moved, unless it is said.
pub const BAKE: Duration = Duration::from_secs(15 * 60);

/// A hook may take so long unless it says otherwise.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// A hook that says that it has not finished is asked again after this, unless it says when.
pub const HOOK_ASKED_AGAIN: Duration = Duration::from_secs(30);

/// A hook that could not be asked is tried again after this, and after twice and thrice as long.
pub const HOOK_TRIED_AGAIN: Duration = Duration::from_secs(2);

/// A hook that could not be asked so often, one time after the other, has failed.
pub const HOOK_TRIES: u32 = 4;

/// How long a client token makes a repeated request harmless.
pub const TOKENS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// ECS says the same about a placement again after six hours …
pub const SAME_AGAIN: Duration = Duration::from_secs(6 * 60 * 60);

/// … and something new about it not more often than this.
pub const OTHER_AGAIN: Duration = Duration::from_secs(60);

/// A node that a group has started and whose agent has not joined within this is given up.
pub const NODES_JOIN_WITHIN: Duration = Duration::from_secs(10 * 60);

/// A node whose agent has been away for so long is lost. AWS asks EC2; here the agent is asked.
pub const NODES_LOST_AFTER: Duration = Duration::from_secs(60);

/// A node that is to end waits so long for its tasks to have been drained, as AWS's hook does.
pub const NODES_DRAIN_WITHIN: Duration = Duration::from_secs(48 * 60 * 60);

/// A node without tasks is not called idle before this: what is started next finds it.
pub const NODES_IDLE_FOR: Duration = Duration::from_secs(15);

/// A task that waits for capacity is given up after this.
pub const CAPACITY_AWAITED: Duration = Duration::from_secs(30 * 60);

/// After a node could not be started the next is tried after this, doubling.
pub const NODES_RETRIED_AFTER: Duration = Duration::from_secs(5);

/// How long a deployment waits before its next task after so many failures in a row: the first
/// replacement is immediate, then one second, doubling.
pub fn backoff(failures_in_a_row: u32) -> Duration {
    match failures_in_a_row {
        0 | 1 => Duration::ZERO,
        n => Duration::from_secs(1_u64 << (n - 2).min(32)).min(LONGEST_BACKOFF),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_replacement_is_immediate_and_the_last_waits_a_quarter_of_an_hour() {
        let seconds: Vec<u64> = (0..14).map(|n| backoff(n).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(backoff(u32::MAX), LONGEST_BACKOFF);
    }
}
