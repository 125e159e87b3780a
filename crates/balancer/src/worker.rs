//! The threads that do the work: one tokio runtime each, with connections that stay where they began.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use shell::Clock;
use stdx::{Entropy, Timestamp};
use tokio::runtime::Handle;

use crate::LogSink;
use crate::conn::ConnState;
use crate::pool::Pool;
use crate::state::lock;
use crate::sticky::Sealer;
use crate::tls::ClientTls;
use crate::usage::Sharded;

/// How exact the clock is that time-outs go by.
const TICK: Duration = Duration::from_millis(100);

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sealer: Sealer,
    pub(crate) log: Option<LogSink>,
    pub(crate) client_tls: ClientTls,
}

/// A thread with its connections.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) handle: Handle,
    pub(crate) common: Arc<Common>,
    pub(crate) pool: Pool,
    open: AtomicUsize,
    conns: Mutex<BTreeMap<u64, Arc<ConnState>>>,
    next: AtomicU64,
    ticks: AtomicU64,
    recent: AtomicI64,
    dice: AtomicU64,
}

impl Worker {
    /// Random bits that no secret depends on: SplitMix64 over a counter.
    pub(crate) fn random(&self) -> u64 {
        let z = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.common.clock.now()
    }

    /// What time it is, a tenth of a second exact: for what each request does.
    pub(crate) fn recent(&self) -> Timestamp {
        Timestamp::from_millis(self.recent.load(Ordering::Relaxed))
    }

    /// Milliseconds since the worker began, a tenth of a second exact; begins with one.
    pub(crate) fn tick(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Takes a connection into account; it is forgotten when the guard goes.
    pub(crate) fn enter(self: &Arc<Self>, state: &Arc<ConnState>) -> Entered {
        self.open.fetch_add(1, Ordering::Relaxed);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.conns).insert(number, Arc::clone(state));
        Entered { worker: Arc::clone(self), number }
    }

    /// Asks the connections that `which` chooses to end: after their request, or at once.
    pub(crate) fn end(&self, at_once: bool, which: impl Fn(&ConnState) -> bool) {
        let chosen: Vec<Arc<ConnState>> =
            lock(&self.conns).values().filter(|c| which(c)).cloned().collect();
        for state in chosen {
            state.end(at_once);
        }
    }

    async fn keep_time(self: Arc<Self>) {
        let begun = tokio::time::Instant::now();
        let mut ticker = tokio::time::interval(TICK);
        ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = ticker.tick().await;
            let millis =
                u64::try_from(now.saturating_duration_since(begun).as_millis()).unwrap_or(u64::MAX);
            self.ticks.store(millis + 1, Ordering::Relaxed);
            self.recent.store(self.now().as_millis(), Ordering::Relaxed);
            if millis / 1000 % 5 == 0 {
                self.pool.sweep(self.tick());
            }
        }
    }
}

/// A connection of a worker, while it lasts.
#[derive(Debug)]
pub(crate) struct Entered {
    worker: Arc<Worker>,
    number: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.worker.open.fetch_sub(1, Ordering::Relaxed);
        lock(&self.worker.conns).remove(&self.number);
    }
}

/// A worker's thread, which ends when its sender is dropped.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) stop: Option<tokio::sync::oneshot::Sender<()>>,
    pub(crate) join: Option<JoinHandle<()>>,
}

/// Starts a worker.
pub(crate) fn start(
    number: usize,
    common: Arc<Common>,
    chance: &mut dyn Entropy,
) -> io::Result<(Arc<Worker>, Thread)> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let now = common.clock.now().as_millis();
    let worker = Arc::new(Worker {
        handle: runtime.handle().clone(),
        common,
        pool: Pool::default(),
        open: AtomicUsize::new(0),
        conns: Mutex::default(),
        next: AtomicU64::new(0),
        ticks: AtomicU64::new(1),
        recent: AtomicI64::new(now),
        dice: AtomicU64::new(chance.next_u64()),
    });
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let of_thread = Arc::clone(&worker);
    let join = std::thread::Builder::new().name(format!("balancer-{number}")).spawn(move || {
        Sharded::<()>::count_as(number);
        runtime.block_on(async {
            tokio::spawn(of_thread.keep_time());
            // Dropped or sent: it is over.
            drop(stopped.await);
        });
    })?;
    Ok((worker, Thread { stop: Some(stop), join: Some(join) }))
}
