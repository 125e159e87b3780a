//! What runs: groups with their targets as requests see them, and listeners with their plans.
//!
//! A request reads snapshots that are replaced whole; only counters and the health of a target change in
//! place.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::task::AtomicWaker;
use stdx::Timestamp;

use crate::choose::{self, Candidates, Standing};
use crate::health::Course;
use crate::route::Router;
use crate::sticky::Digest;
use crate::tls::ServerTls;
use crate::usage::{BalancerCells, GroupCells, Sharded, TargetCells};
use crate::{Action, Group, GroupId, Health, HealthCheck, Listener, Phase, Redirect, Target};

/// A lock whose holder never panics half-way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A target as requests know it: one registration.
#[derive(Debug)]
pub(crate) struct TargetRuntime {
    /// Unique in this process; pools go by it.
    pub(crate) uid: u64,
    pub(crate) target: Target,
    pub(crate) digest: Digest,
    pub(crate) cells: Arc<Sharded<TargetCells>>,
    pub(crate) course: Arc<Mutex<Course>>,
    healthy_since: Arc<AtomicI64>,
    links: Arc<Links>,
}

/// The connections to a target.
#[derive(Debug, Default)]
struct Links {
    open: Mutex<BTreeMap<u64, Arc<Cut>>>,
    next: AtomicU64,
    /// They were cut: one that is only coming about ends at once. Changed under the lock of `open`.
    over: AtomicBool,
}

impl TargetRuntime {
    pub(crate) fn new(target: Target, check: &HealthCheck, workers: usize) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            uid: NEXT.fetch_add(1, Ordering::Relaxed),
            digest: Digest::of(&[target.key.as_str()]),
            cells: Arc::new(Sharded::new(workers)),
            course: Arc::new(Mutex::new(Course::new(check))),
            // Without a check before, it starts at its full share.
            healthy_since: Arc::default(),
            links: Arc::default(),
            target,
        })
    }

    /// The same registration in another phase: health, counters and connections are shared.
    pub(crate) fn with_target(&self, target: Target) -> Arc<Self> {
        if target.phase == Phase::Registered {
            let _open = lock(&self.links.open);
            self.links.over.store(false, Ordering::Relaxed);
        }
        Arc::new(Self {
            uid: self.uid,
            digest: self.digest,
            cells: Arc::clone(&self.cells),
            course: Arc::clone(&self.course),
            healthy_since: Arc::clone(&self.healthy_since),
            links: Arc::clone(&self.links),
            target,
        })
    }

    /// Nobody uses its group any more. Says whether that is news.
    pub(crate) fn become_unused(&self) -> bool {
        lock(&self.course).become_unused()
    }

    pub(crate) fn became_healthy(&self, now: Timestamp) {
        self.healthy_since.store(now.as_millis(), Ordering::Relaxed);
    }

    pub(crate) fn health(&self) -> Health {
        lock(&self.course).health().clone()
    }

    fn share(&self, now: Timestamp, slow_start: Duration) -> u32 {
        let since = Timestamp::from_millis(self.healthy_since.load(Ordering::Relaxed));
        choose::share(now.since(since), slow_start)
    }

    /// A connection to it begins: it ends when [`TargetRuntime::cut`] says so.
    pub(crate) fn link(&self) -> Link {
        let cut = Arc::<Cut>::default();
        let number = self.links.next.fetch_add(1, Ordering::Relaxed);
        let mut open = lock(&self.links.open);
        if self.links.over.load(Ordering::Relaxed) {
            cut.cut();
        } else {
            open.insert(number, Arc::clone(&cut));
        }
        drop(open);
        Link { links: Arc::clone(&self.links), number, cut }
    }

    /// Ends all connections to it, those that are coming about included.
    pub(crate) fn cut(&self) {
        let mut open = lock(&self.links.open);
        self.links.over.store(true, Ordering::Relaxed);
        for cut in std::mem::take(&mut *open).into_values() {
            cut.cut();
        }
    }

    pub(crate) fn outstanding(&self) -> u64 {
        self.cells.outstanding()
    }
}

/// Whether a connection was cut, for whoever has it.
#[derive(Debug, Default)]
struct Cut {
    over: AtomicBool,
    waker: AtomicWaker,
}

impl Cut {
    fn cut(&self) {
        self.over.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// A connection to a target, while it lives.
#[derive(Debug)]
pub(crate) struct Link {
    links: Arc<Links>,
    number: u64,
    cut: Arc<Cut>,
}

impl Link {
    /// Whether the connection is to end.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.over.load(Ordering::Acquire)
    }

    /// The same; the task is woken when it becomes so.
    pub(crate) fn poll_cut(&self, context: &std::task::Context<'_>) -> bool {
        self.cut.waker.register(context.waker());
        self.is_cut()
    }

    /// Does what is done by the connection, until that is over or the connection is to end.
    pub(crate) async fn while_whole<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        let cut = std::future::poll_fn(|context| {
            if self.poll_cut(context) {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        });
        tokio::select! {
            biased;
            () = cut => None,
            done = what => Some(done),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        lock(&self.links.open).remove(&self.number);
    }
}

/// A request or flow that a target has, while it lasts.
#[derive(Debug)]
pub(crate) struct Outstanding(pub(crate) Arc<TargetRuntime>);

impl Outstanding {
    pub(crate) fn begin(target: &Arc<TargetRuntime>) -> Self {
        target.cells.outstanding.fetch_add(1, Ordering::AcqRel);
        target.cells.requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(target))
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.cells.outstanding.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A group's targets at one moment.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// None if the table has no such group.
    pub(crate) group: Option<Arc<Group>>,
    /// All of them.
    pub(crate) all: Vec<Arc<TargetRuntime>>,
    /// Those that may be given something new.
    pub(crate) eligible: Vec<Arc<TargetRuntime>>,
}

impl View {
    /// The targets as they stand now.
    pub(crate) fn new(group: Option<Arc<Group>>, all: Vec<Arc<TargetRuntime>>) -> Self {
        let Some(config) = &group else { return Self::default() };
        let standings: Vec<Standing> = all
            .iter()
            .map(|target| match (target.target.phase, target.health()) {
                (Phase::Draining { .. }, _) => Standing::Leaving,
                (Phase::Registered, Health::Healthy) => Standing::Healthy,
                (Phase::Registered, Health::Unused | Health::Initial(_) | Health::Unhealthy(_)) => {
                    Standing::NotHealthy
                }
            })
            .collect();
        let eligible = choose::eligible(
            &standings,
            config.minimum_healthy_count,
            config.minimum_healthy_percent,
        );
        let eligible = eligible.into_iter().map(|place| Arc::clone(&all[place])).collect();
        Self { group, all, eligible }
    }
}

/// The targets of a view that may be chosen.
pub(crate) struct Choice<'a> {
    pub(crate) targets: &'a [Arc<TargetRuntime>],
    pub(crate) slow_start: Duration,
    pub(crate) now: Timestamp,
}

impl Candidates for Choice<'_> {
    fn len(&self) -> usize {
        self.targets.len()
    }

    fn share(&self, place: usize) -> u32 {
        if self.slow_start.is_zero() {
            choose::FULL_SHARE
        } else {
            self.targets[place].share(self.now, self.slow_start)
        }
    }

    fn outstanding(&self, place: usize) -> u64 {
        self.targets[place].outstanding()
    }
}

/// A group as requests know it. It stays while an action names it, even when it leaves the table.
#[derive(Debug)]
pub(crate) struct GroupRuntime {
    pub(crate) id: GroupId,
    pub(crate) digest: Digest,
    pub(crate) view: ArcSwap<View>,
    pub(crate) cells: Sharded<GroupCells>,
    uses: AtomicUsize,
}

impl GroupRuntime {
    pub(crate) fn new(id: GroupId, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            digest: Digest::of(&[id.as_str()]),
            id,
            view: ArcSwap::default(),
            cells: Sharded::new(workers),
            uses: AtomicUsize::new(0),
        })
    }

    /// Whether an action of a listener names it.
    pub(crate) fn is_used(&self) -> bool {
        self.uses.load(Ordering::Acquire) > 0
    }

    /// Looks anew at who is healthy.
    pub(crate) fn refresh(&self) {
        self.view.rcu(|view| Arc::new(View::new(view.group.clone(), view.all.clone())));
    }
}

/// A group that an action names, for as long as the action is in force.
#[derive(Debug)]
pub(crate) struct GroupUse(Arc<GroupRuntime>);

impl GroupUse {
    pub(crate) fn new(group: Arc<GroupRuntime>) -> Self {
        group.uses.fetch_add(1, Ordering::AcqRel);
        Self(group)
    }

    pub(crate) const fn group(&self) -> &Arc<GroupRuntime> {
        &self.0
    }
}

impl Drop for GroupUse {
    fn drop(&mut self) {
        self.0.uses.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An action made ready.
#[derive(Debug)]
pub(crate) enum Deed {
    Forward { groups: Vec<(GroupUse, u32)>, stickiness: Option<Duration> },
    Redirect(Redirect),
    Fixed { status: u16, content_type: Option<String>, body: String },
}

impl Deed {
    pub(crate) fn new(
        action: &Action,
        mut group: impl FnMut(&GroupId) -> Arc<GroupRuntime>,
    ) -> Self {
        match action {
            Action::Forward { groups, stickiness } => Self::Forward {
                groups: groups
                    .iter()
                    .map(|wanted| (GroupUse::new(group(&wanted.group)), wanted.weight))
                    .collect(),
                stickiness: *stickiness,
            },
            Action::Redirect(redirect) => Self::Redirect(redirect.clone()),
            Action::Fixed { status, content_type, body } => Self::Fixed {
                status: *status,
                content_type: content_type.clone(),
                body: body.clone(),
            },
        }
    }

    /// How access logs call it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Forward { .. } => "forward",
            Self::Redirect(_) => "redirect",
            Self::Fixed { .. } => "fixed-response",
        }
    }
}

/// What a listener does at present.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) listener: Arc<Listener>,
    pub(crate) router: Router<Deed>,
    pub(crate) default: Arc<Deed>,
    pub(crate) tls: Option<Arc<ServerTls>>,
}

/// A listener that runs.
#[derive(Debug)]
pub(crate) struct ListenerRuntime {
    pub(crate) plan: ArcSwap<Plan>,
    pub(crate) cells: Arc<Sharded<BalancerCells>>,
    /// The port that it has, which a plan's need not tell.
    pub(crate) port: u16,
}
