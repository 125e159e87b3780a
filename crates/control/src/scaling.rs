//! The scaling loop: while anything scales, each second read what the policies have to know, look at
//! everything, and submit what ought to happen.
//!
//! It keeps nothing between rounds, and what it submits is checked again when it commits. What was due
//! while the server was away is due when it is back, once.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use model::{ScalingPolicy, State};
use scheduler::scaling::{Answer, Ask, Points};
use scheduler::{Command, Rejection, ScalingCommand};
use shell::{Clock, Shutdown};
use stdx::Timestamp;
use store::{Store, SubmitError};

/// How often it looks while anything scales.
const TICK: Duration = Duration::from_secs(1);
/// How often while nothing does.
const IDLE: Duration = Duration::from_secs(60);

/// What [`MetricSource::keep_alarms`] gives back.
pub type Kept<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Where metrics come from, and where policies' alarms are shown.
pub trait MetricSource: Send + Sync + Debug {
    /// The data points that are asked for in `[from, to)`, the oldest first. None where they cannot be
    /// told; that scales nothing.
    fn read(&self, ask: &Ask, from: Timestamp, to: Timestamp) -> Points;

    /// Sees to it that the alarms of target tracking policies are these and no others: the policy
    /// with its ARN.
    fn keep_alarms<'a>(&'a self, policies: &'a [(Arc<ScalingPolicy>, String)]) -> Kept<'a>;
}

/// Runs until shutdown.
pub async fn run(
    store: Store,
    clock: Arc<dyn Clock>,
    source: Arc<dyn MetricSource>,
    mut shutdown: Shutdown,
) {
    let mut changed = store.subscribe();
    let mut shown: Option<Vec<(Arc<ScalingPolicy>, String)>> = None;
    loop {
        changed.mark_unchanged();
        let state = store.snapshot();
        let tracking = tracking(&state);
        if shown.as_ref() != Some(&tracking) {
            source.keep_alarms(&tracking).await;
            shown = Some(tracking);
        }
        let idle = scheduler::scaling::is_idle(&state);
        if !idle {
            round(&store, &state, clock.now(), source.as_ref()).await;
        }
        let wait = tokio::time::sleep(if idle { IDLE } else { TICK });
        tokio::select! {
            () = shutdown.wait() => return,
            () = wait => {}
            // Changes matter only to who waits for something to scale.
            gone = changed.changed(), if idle => if gone.is_err() { return },
        }
        if shutdown.is_stopping() {
            return;
        }
    }
}

/// The policies whose alarms are shown.
fn tracking(state: &State) -> Vec<(Arc<ScalingPolicy>, String)> {
    let book = state.scaling();
    let tracking = book.all_policies().filter(|policy| policy.tracking().is_some());
    let with_arn = tracking.filter_map(|policy| {
        let target = book.target(&policy.key.service)?;
        Some((policy.clone(), state.realm().scaling_policy(target, &policy.key)))
    });
    with_arn.collect()
}

async fn round(store: &Store, state: &State, now: Timestamp, source: &dyn MetricSource) {
    let answers: Vec<Answer> = scheduler::scaling::asks(state)
        .iter()
        .map(|ask| Answer { policy: ask.policy.clone(), points: look(source, ask, now) })
        .collect();
    let commands = scheduler::scaling::watch(state, now, &answers);
    let submitted = commands.into_iter().map(|command| submit(store, command));
    futures_util::future::join_all(submitted).await;
}

/// A short look, and a longer one if that showed little.
fn look(source: &dyn MetricSource, ask: &Ask, now: Timestamp) -> Points {
    let mut points = Points::new();
    for back in scheduler::scaling::looks() {
        points = source.read(ask, now - back, now + ask.period);
        if scheduler::scaling::enough(&points) {
            break;
        }
    }
    points
}

async fn submit(store: &Store, command: ScalingCommand) {
    match store.submit(Command::Scaling(command.clone())).await {
        Ok(_) | Err(SubmitError::Rejected(Rejection::Stale)) => {}
        Err(SubmitError::Rejected(rejection)) => {
            tracing::debug!(?command, ?rejection, "A scaling command was refused.");
        }
        Err(error) => tracing::error!(?command, %error, "A scaling command failed."),
    }
}
