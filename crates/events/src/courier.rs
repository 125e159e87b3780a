//! The courier: takes what lies in the outbox to its targets, each target's in order, and tries again
//! what failed, ever more seldom.
//!
//! A target that does not answer holds up nothing but its own events.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use shell::{Clock, Shutdown};
use stdx::Entropy;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::outbox::{Delivery, Outbox};

/// So many deliveries to a target are made together.
const TOGETHER: usize = 64;
/// The pause after the first attempt that failed; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target has it.
    Done,
    /// The target is no more, so nobody waits for it.
    Gone,
    /// The target will not have it, and why.
    Refused(String),
    /// It did not come to the target, and why.
    Failed(String),
}

/// What [`Calls::call`] gives back.
pub type Answers<'a> = Pin<Box<dyn Future<Output = Vec<Outcome>> + Send + 'a>>;

/// Calls targets.
pub trait Calls: Send + Sync + Debug {
    /// Delivers to one target, in order: an outcome for each, and none after the first that failed.
    fn call<'a>(&'a self, deliveries: &'a [Delivery]) -> Answers<'a>;
}

/// What is counted of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    /// Events that it took.
    Matched,
    /// Targets that were called, retries left out.
    Invoked,
    /// Deliveries that were given up.
    Failed,
    /// Attempts beside the first.
    Retried,
    /// Deliveries that never began, since too many waited for the target.
    Throttled,
}

/// Counts what happens to rules.
pub trait Counts: Send + Sync + Debug {
    /// So many more.
    fn count(&self, rule: &str, what: Count, more: u32);
}

type Place = (String, String);

/// What waits for one target.
#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<(u64, Delivery)>,
    busy: bool,
    not_before: Option<Instant>,
}

/// How many wait for each target, for those who bring more.
pub(crate) type Load = Arc<std::sync::Mutex<BTreeMap<Place, usize>>>;

/// What a courier needs.
pub(crate) struct Courier {
    pub(crate) outbox: Outbox,
    pub(crate) calls: Arc<dyn Calls>,
    pub(crate) counts: Arc<dyn Counts>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) load: Load,
    pub(crate) chance: Box<dyn Entropy>,
}

type Job = (Place, Vec<(u64, Delivery)>, Vec<Outcome>);

/// What is under way.
#[derive(Debug, Default)]
struct Round {
    lines: BTreeMap<Place, Line>,
    jobs: JoinSet<Job>,
}

impl Courier {
    /// Runs until shutdown; what is not done then is done after the next start.
    pub(crate) async fn run(
        mut self,
        first: BTreeMap<u64, Delivery>,
        mut more: UnboundedReceiver<Vec<(u64, Delivery)>>,
        mut shutdown: Shutdown,
    ) {
        let mut round = Round::default();
        round.queue(first);
        loop {
            let next = self.begin(&mut round);
            tokio::select! {
                () = shutdown.wait() => return,
                new = more.recv() => match new {
                    Some(new) => round.queue(new),
                    None => return,
                },
                Some(job) = round.jobs.join_next(), if !round.jobs.is_empty() => {
                    if let Ok(job) = job { self.end(&mut round, job).await }
                }
                () = wait_until(next) => {}
            }
        }
    }

    /// Begins what may begin, and tells when the next may.
    fn begin(&self, round: &mut Round) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        for (place, line) in &mut round.lines {
            if line.busy || line.waiting.is_empty() {
                continue;
            }
            if let Some(at) = line.not_before.filter(|at| *at > now) {
                next = Some(next.map_or(at, |before| before.min(at)));
                continue;
            }
            line.busy = true;
            let some: Vec<_> = line.waiting.drain(..line.waiting.len().min(TOGETHER)).collect();
            let (calls, place) = (Arc::clone(&self.calls), place.clone());
            round.jobs.spawn(async move {
                let deliveries: Vec<Delivery> = some.iter().map(|(_, d)| d.clone()).collect();
                let outcomes = calls.call(&deliveries).await;
                (place, some, outcomes)
            });
        }
        next
    }

    /// Takes in what became of deliveries to a target.
    async fn end(&mut self, round: &mut Round, (place, some, outcomes): Job) {
        let rule = place.0.clone();
        let (mut done, mut again, mut back) = (Vec::new(), Vec::new(), Vec::new());
        let mut pause = None;
        let mut outcomes = outcomes.into_iter();
        for (number, mut delivery) in some {
            // What comes after a failure has not been tried.
            let Some(outcome) = outcomes.next() else {
                back.push((number, delivery));
                continue;
            };
            let what = if delivery.attempts == 0 { Count::Invoked } else { Count::Retried };
            if outcome != Outcome::Gone {
                self.counts.count(&rule, what, 1);
            }
            match outcome {
                Outcome::Done | Outcome::Gone => done.push(number),
                Outcome::Refused(why) => {
                    self.give_up(&delivery, &why);
                    done.push(number);
                }
                Outcome::Failed(why) if self.is_over(&delivery) => {
                    self.give_up(&delivery, &why);
                    done.push(number);
                }
                Outcome::Failed(why) => {
                    let (rule, target) = (&delivery.rule, &delivery.target);
                    tracing::debug!(rule, target, why, "An event is delivered again later.");
                    delivery.attempts += 1;
                    pause = Some(self.pause(delivery.attempts));
                    again.push((number, delivery.clone()));
                    back.push((number, delivery));
                }
            }
        }
        if let Ok(mut load) = self.load.lock()
            && let Some(waiting) = load.get_mut(&place)
        {
            *waiting = waiting.saturating_sub(done.len());
            if *waiting == 0 {
                load.remove(&place);
            }
        }
        if let Some(line) = round.lines.get_mut(&place) {
            line.busy = false;
            line.not_before = pause.map(|pause| Instant::now() + pause);
            back.into_iter().rev().for_each(|entry| line.waiting.push_front(entry));
            if line.waiting.is_empty() {
                round.lines.remove(&place);
            }
        }
        let outbox = self.outbox.clone();
        let settled = tokio::task::spawn_blocking(move || outbox.settle(&done, &again)).await;
        if let Ok(Err(error)) = settled {
            tracing::warn!(error = %stdx::chain(&error), "Deliveries may be made again.");
        }
    }

    fn is_over(&self, delivery: &Delivery) -> bool {
        let age = self.clock.now().since(delivery.came).as_secs();
        delivery.attempts >= delivery.most_retries || age >= u64::from(delivery.most_seconds)
    }

    fn give_up(&self, delivery: &Delivery, why: &str) {
        self.counts.count(&delivery.rule, Count::Failed, 1);
        tracing::warn!(
            rule = delivery.rule,
            target = delivery.target,
            event = delivery.event_id,
            attempts = delivery.attempts + 1,
            why,
            "An event could not be delivered and is given up."
        );
    }

    fn pause(&mut self, attempts: u32) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(20));
        let longest = doubled.min(LONGEST_PAUSE);
        // Up to a fifth less, so that targets that fail together are not tried together.
        let fifth = u64::try_from(longest.as_millis() / 5).unwrap_or(u64::MAX);
        longest.saturating_sub(Duration::from_millis(self.chance.below(fifth.saturating_add(1))))
    }
}

impl Round {
    fn queue(&mut self, new: impl IntoIterator<Item = (u64, Delivery)>) {
        for (number, delivery) in new {
            let place = (delivery.rule.clone(), delivery.target.clone());
            self.lines.entry(place).or_default().waiting.push_back((number, delivery));
        }
    }
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
