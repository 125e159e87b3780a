//! The planning loop: wake on a change or when time alone may matter, look at everything, submit
//! what ought to happen.
//!
//! It takes no input beside the state, keeps nothing between rounds, and retries nothing inside: the
//! next round is the retry. After a look it rests for as long as that took, so that a large cluster
//! under load leaves the machine to what it has planned; a loop that was idle looks at once.

use std::sync::Arc;
use std::time::Duration;

use scheduler::timing::Keep;
use scheduler::{Command, Rejection};
use shell::{Clock, Shutdown};
use stdx::{Entropy, Timestamp};
use store::{Store, SubmitError};
use tokio::time::Instant;

/// Without a change the loop looks again after so long at the latest.
const TICK: Duration = Duration::from_secs(5);
/// After a round in which nothing could be done.
const PAUSE: Duration = Duration::from_millis(100);
/// After a failure of the store.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// A rest is no longer than this, however long the look took,
const LONGEST_REST: Duration = Duration::from_millis(250);
/// and one that would be shorter than the runtime's timer can tell is none.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// What became of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Something changed: look again at once.
    Progress,
    /// Nothing was proposed: wait for a change, or until then.
    Settled(Option<Timestamp>),
    /// Everything proposed was overtaken: look again soon.
    Overtaken,
    /// The store failed.
    Failed,
}

/// Runs until shutdown.
pub(crate) async fn run(
    store: Store,
    clock: Arc<dyn Clock>,
    mut chance: Box<dyn Entropy>,
    keep: Keep,
    mut shutdown: Shutdown,
) {
    let mut changed = store.subscribe();
    while !shutdown.is_stopping() {
        changed.mark_unchanged();
        let begun = Instant::now();
        let plan = scheduler::plan_keeping(&store.snapshot(), clock.now(), chance.next_u64(), keep);
        let looked = Instant::now();
        let wait = match carry_out(&store, plan).await {
            Round::Progress => Duration::ZERO,
            Round::Settled(at) => at.map_or(TICK, |at| at.since(clock.now()).min(TICK)),
            Round::Overtaken => PAUSE,
            Round::Failed => LONG_PAUSE,
        };
        if !wait.is_zero() {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(wait) => {}
                gone = changed.changed() => if gone.is_err() { return },
            }
        }
        let rested = looked + rest(looked - begun);
        if rested > Instant::now() {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep_until(rested) => {}
            }
        }
    }
}

/// For how long the loop rests after a look that took so long.
fn rest(took: Duration) -> Duration {
    if took < SHORTEST_REST { Duration::ZERO } else { took.min(LONGEST_REST) }
}

/// Submits what was planned.
async fn carry_out(store: &Store, plan: scheduler::Plan) -> Round {
    for reason in &plan.report {
        tracing::debug!(?reason, "Planned.");
    }
    if plan.commands.is_empty() {
        return Round::Settled(plan.wake_at);
    }
    // Together, so that they share a commit.
    let submitted = plan.commands.into_iter().map(|command| submit(store, command));
    let outcomes = futures_util::future::join_all(submitted).await;
    if outcomes.contains(&Round::Progress) {
        Round::Progress
    } else if outcomes.contains(&Round::Failed) {
        Round::Failed
    } else {
        Round::Overtaken
    }
}

async fn submit(store: &Store, command: Command) -> Round {
    match store.submit(command.clone()).await {
        Ok(_) => Round::Progress,
        Err(SubmitError::Rejected(Rejection::Stale)) => Round::Overtaken,
        Err(SubmitError::Rejected(rejection)) => {
            tracing::debug!(?command, ?rejection, "A planned command was refused.");
            Round::Overtaken
        }
        Err(error) => {
            tracing::error!(?command, %error, "A planned command failed.");
            Round::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_look_is_followed_by_the_next_at_once_and_a_long_one_by_a_rest() {
        for (took, rested) in [(0, 0), (400, 0), (999, 0), (1_000, 1_000), (90_000, 90_000)] {
            assert_eq!(rest(Duration::from_micros(took)), Duration::from_micros(rested));
        }
        assert_eq!(rest(Duration::from_secs(3)), LONGEST_REST);
    }
}
