//! The scaling loop: while anything scales, each second read what the policies have to know, look at
//! everything, and submit what ought to happen.
//!
//! It keeps nothing between rounds, and what it submits is checked again when it commits. What was due
//! while the server was away is due when it is back, once.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use model::{GroupPolicy, ScalingPolicy, State};
use scheduler::capacity::GroupAnswer;
use scheduler::scaling::{Answer, Points, Question};
use scheduler::{CapacityCommand, Command, Rejection};
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
    /// told; that scales nothing. They lie at least `period` apart.
    fn read(&self, question: &Question, period: Duration, from: Timestamp, to: Timestamp)
    -> Points;

    /// Sees to it that the alarms of target tracking policies are these and no others.
    fn keep_alarms<'a>(&'a self, shown: &'a Shown) -> Kept<'a>;
}

/// The target tracking policies whose alarms are shown, with their ARNs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Those of services.
    pub services: Vec<(Arc<ScalingPolicy>, String)>,
    /// Those of Auto Scaling groups.
    pub groups: Vec<(Arc<GroupPolicy>, String)>,
}

/// Runs until shutdown.
pub async fn run(
    store: Store,
    clock: Arc<dyn Clock>,
    source: Arc<dyn MetricSource>,
    mut shutdown: Shutdown,
) {
    let mut changed = store.subscribe();
    let mut shown: Option<Shown> = None;
    loop {
        changed.mark_unchanged();
        let state = store.snapshot();
        let tracking = tracking(&state);
        if shown.as_ref() != Some(&tracking) {
            source.keep_alarms(&tracking).await;
            shown = Some(tracking);
        }
        let idle = scheduler::scaling::is_idle(&state) && scheduler::capacity::is_untracked(&state);
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
fn tracking(state: &State) -> Shown {
    let book = state.scaling();
    let tracking = book.all_policies().filter(|policy| policy.tracking().is_some());
    let services = tracking.filter_map(|policy| {
        let target = book.target(&policy.key.service)?;
        Some((policy.clone(), state.realm().scaling_policy(target, &policy.key)))
    });
    let of_groups = state.capacity().policies().filter(|policy| policy.tracking().is_some());
    let groups = of_groups.map(|policy| (policy.clone(), state.realm().group_policy(policy)));
    Shown { services: services.collect(), groups: groups.collect() }
}

async fn round(store: &Store, state: &State, now: Timestamp, source: &dyn MetricSource) {
    let answers: Vec<Answer> = scheduler::scaling::asks(state)
        .into_iter()
        .map(|ask| {
            let points = look(source, &ask.question, ask.period, now);
            Answer { policy: ask.policy, points }
        })
        .collect();
    let commands = scheduler::scaling::watch(state, now, &answers);
    let commands = commands.into_iter().map(Command::Scaling);
    let answers: Vec<GroupAnswer> = scheduler::capacity::questions(state)
        .into_iter()
        .map(|ask| {
            let points = look(source, &ask.question, ask.period, now);
            GroupAnswer { policy: ask.policy, points }
        })
        .collect();
    let scales = scheduler::capacity::track(state, now, &answers).into_iter();
    let scales = scales.map(|scale| Command::Capacity(CapacityCommand::TrackGroup(scale)));
    let submitted = commands.chain(scales).map(|command| submit(store, command));
    futures_util::future::join_all(submitted).await;
}

/// A short look, and a longer one if that showed little.
fn look(
    source: &dyn MetricSource,
    question: &Question,
    period: Duration,
    now: Timestamp,
) -> Points {
    let mut points = Points::new();
    for back in scheduler::scaling::looks() {
        points = source.read(question, period, now - back, now + period);
        if scheduler::scaling::enough(&points) {
            break;
        }
    }
    points
}

async fn submit(store: &Store, command: Command) {
    match store.submit(command.clone()).await {
        Ok(_) | Err(SubmitError::Rejected(Rejection::Stale)) => {}
        Err(SubmitError::Rejected(rejection)) => {
            tracing::debug!(?command, ?rejection, "A scaling command was refused.");
        }
        Err(error) => tracing::error!(?command, %error, "A scaling command failed."),
    }
}
