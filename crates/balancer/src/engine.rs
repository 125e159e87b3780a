//! The balancer as its owner sees it: a table goes in, sockets and checks follow.

mod apply;
mod known;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shell::Clock;
use stdx::Entropy;
use tokio::sync::mpsc;

use crate::bind::{self, BindError};
use crate::probe::Teller;
use crate::state::lock;
use crate::sticky::Sealer;
use crate::tls::ClientTls;
use crate::worker::{self, Common, Thread, Worker};
use crate::{Event, Health, ListenerId, LogSink, Phase, Table, Transport, Usage};

use apply::State;

/// How often it is looked whether a target that drains is idle, or its time over.
const LOOK: Duration = Duration::from_millis(200);

/// How long connections that were cut may take to notice.
const CUT_TIME: Duration = Duration::from_millis(500);

/// How the balancer runs.
#[derive(Debug, Default)]
pub struct Config {
    /// How many threads do the work; 0 is one a core.
    pub workers: usize,
    /// The key that cookies are sealed with, so that they outlive a restart; none draws one.
    pub cookie_key: Option<[u8; 32]>,
    /// Where entries of logs go, of balancers that want them; none writes no logs.
    pub log: Option<LogSink>,
}

/// A running balancer. Dropping it ends everything at once; [`Balancer::shutdown`] does so in order.
#[derive(Debug)]
pub struct Balancer {
    workers: Arc<[Arc<Worker>]>,
    threads: Vec<Thread>,
    state: Arc<Mutex<State>>,
}

impl Balancer {
    /// Starts the threads; nothing listens until a table is applied. `chance` seeds what is drawn later;
    /// `events` hears of targets' health.
    ///
    /// # Errors
    /// The system gives no threads or descriptors.
    pub fn start(
        config: Config,
        clock: Arc<dyn Clock>,
        mut chance: Box<dyn Entropy>,
        events: mpsc::UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = if config.workers == 0 { cores } else { config.workers };
        let key = config.cookie_key.unwrap_or_else(|| {
            let words: Vec<u8> = (0..4).flat_map(|_| chance.next_u64().to_be_bytes()).collect();
            std::array::from_fn(|place| words[place])
        });
        let common = Arc::new(Common {
            clock,
            sealer: Sealer::new(&key),
            log: config.log,
            client_tls: ClientTls::new(),
        });
        let mut workers = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let (worker, thread) = worker::start(number, Arc::clone(&common), &mut *chance)?;
            workers.push(worker);
            threads.push(thread);
        }
        let workers: Arc<[Arc<Worker>]> = workers.into();
        let state = Arc::new(Mutex::new(State::new(Arc::clone(&workers), Teller(events))));
        let watched = Arc::clone(&state);
        workers[0].handle.spawn(async move {
            let mut ticker = tokio::time::interval(LOOK);
            loop {
                ticker.tick().await;
                lock(&watched).look_after();
            }
        });
        Ok(Self { workers, threads, state })
    }

    /// Makes everything agree with the table, and says of each listener where it listens or why it does
    /// not. No connection is dropped but those of listeners and targets that are gone. A listener that
    /// failed is tried again with each table.
    pub async fn apply(
        &self,
        table: Arc<Table>,
    ) -> Vec<(ListenerId, Result<SocketAddr, BindError>)> {
        lock(&self.state).apply(&table)
    }

    /// Whether a port could be taken now; one that this balancer has is taken.
    ///
    /// # Errors
    /// It cannot, and why.
    pub fn check_bind(&self, address: SocketAddr, transport: Transport) -> Result<(), BindError> {
        bind::take(address, transport).map(drop)
    }

    /// What was counted since the start.
    pub fn usage(&self) -> Usage {
        let state = lock(&self.state);
        let balancers =
            state.balancer_cells().map(|(id, cells)| (id.clone(), cells.read())).collect();
        let groups = state.groups().map(|group| {
            let view = group.view.load();
            let mut usage = group.cells.read();
            for target in &view.all {
                if target.target.phase == Phase::Registered && group.is_used() {
                    match target.health() {
                        Health::Healthy => usage.healthy_hosts += 1,
                        Health::Unhealthy(_) => usage.unhealthy_hosts += 1,
                        Health::Initial(_) | Health::Unused => {}
                    }
                }
                usage.targets.insert(target.target.key.clone(), target.cells.read());
            }
            (group.id.clone(), usage)
        });
        Usage { groups: groups.collect::<BTreeMap<_, _>>(), balancers }
    }

    /// Stops listening, lets requests finish for as long as `patience`, and ends.
    pub async fn shutdown(mut self, patience: Duration) {
        self.finish(patience).await;
        let threads = std::mem::take(&mut self.threads);
        drop(tokio::task::spawn_blocking(move || threads.into_iter().for_each(Thread::end)).await);
    }

    /// Stops listening and lets requests finish for as long as `patience`, then cuts what is left: what
    /// [`Balancer::shutdown`] does first, for an owner that has it shared. All that there is to log has
    /// been told to the log afterwards.
    pub async fn finish(&self, patience: Duration) {
        lock(&self.state).apply(&Table::default());
        for worker in &*self.workers {
            worker.end(false, |_| true);
        }
        if !self.empty_within(patience).await {
            self.workers.iter().for_each(|worker| worker.end(true, |_| true));
            self.empty_within(CUT_TIME).await;
        }
    }

    /// Waits until no connection is left, but no longer than this; says whether none is.
    async fn empty_within(&self, patience: Duration) -> bool {
        let until = tokio::time::Instant::now() + patience;
        while self.workers.iter().any(|worker| worker.open() > 0) {
            if tokio::time::Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }
}

impl Thread {
    /// Ends the thread and waits for it.
    fn end(mut self) {
        drop(self.stop.take());
        if let Some(join) = self.join.take() {
            // A thread that panicked has ended too.
            drop(join.join());
        }
    }
}
