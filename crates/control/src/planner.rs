//! The planning loop: wake on a change or when time alone may matter, look at everything, submit
//! what ought to happen.
//!
//! It takes no input beside the state, keeps nothing between rounds, and retries nothing inside: the
//! next round is the retry.

use std::sync::Arc;
use std::time::Duration;

use scheduler::timing::Keep;
use scheduler::{Command, Rejection};
use shell::{Clock, Shutdown};
use stdx::{Entropy, Timestamp};
use store::{Store, SubmitError};

/// Without a change the loop looks again after so long at the latest.
const TICK: Duration = Duration::from_secs(5);
/// After a round in which nothing could be done.
const PAUSE: Duration = Duration::from_millis(100);
/// After a failure of the store.
const LONG_PAUSE: Duration = Duration::from_secs(1);

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
    loop {
        changed.mark_unchanged();
        let wait = match round(&store, clock.as_ref(), chance.next_u64(), keep).await {
            Round::Progress => continue,
            Round::Settled(at) => at.map_or(TICK, |at| at.since(clock.now()).min(TICK)),
            Round::Overtaken => PAUSE,
            Round::Failed => LONG_PAUSE,
        };
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(wait) => {}
            gone = changed.changed() => if gone.is_err() { return },
        }
        if shutdown.is_stopping() {
            return;
        }
    }
}

async fn round(store: &Store, clock: &dyn Clock, seed: u64, keep: Keep) -> Round {
    let plan = scheduler::plan_keeping(&store.snapshot(), clock.now(), seed, keep);
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
