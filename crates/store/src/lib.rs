//! The one writer and its engines.
//!
//! Commands queue up; the writer drains the queue and lets `scheduler::decide` answer each against the
//! state as it then stands. The committer makes all changes of such a round durable in one write, and
//! only then publishes the new state and answers: group commit. Meanwhile the writer decides the next
//! round upon this one; should this one fail, both are undone. Readers take snapshots and never wait.
//!
//! Invariants: nobody sees what is not durable; what was acknowledged is there after any crash; this
//! room does not know what a command means; no other room knows an engine.

mod clock;
mod committer;
pub mod disk;
mod engine;
mod memory;
mod record;
mod redb_engine;
mod rounds;
mod writer;

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::{Change, Realm, State};
use scheduler::{Command, Rejection, Reply};
use tokio::sync::{broadcast, oneshot, watch};

pub use clock::{Steady, latest};
pub use engine::{Engine, EngineError, Write};
pub use memory::MemoryEngine;
pub use record::writes;
pub use redb_engine::RedbEngine;
pub use rounds::{Rounds, Sealed};
pub use writer::Stats;

use clock::SteadyClock;
use committer::Committer;
use writer::{Mail, Request, Writer};

/// A handle on the writer. Cheap to clone; the writer ends when the last one is gone.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    line: Arc<Line>,
}

/// The way to the writer, which says when it is not used any more: the committer has one too, so that
/// the channel alone would not tell.
#[derive(Debug)]
struct Line(std::sync::mpsc::Sender<Mail>);

impl Drop for Line {
    fn drop(&mut self) {
        // A writer that has ended needs no telling.
        drop(self.0.send(Mail::Close));
    }
}

/// What readers look at.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: ArcSwap<State>,
    pub(crate) revision: watch::Sender<u64>,
    pub(crate) changes: broadcast::Sender<Arc<Batch>>,
    pub(crate) stats: writer::Counters,
    pub(crate) clock: Arc<dyn shell::Clock>,
}

/// What one round of the writer changed, in order.
#[derive(Debug)]
pub struct Batch {
    /// Grows by one with each round that changed something.
    pub revision: u64,
    /// What changed.
    pub changes: Vec<Change>,
}

/// The answer to a command whose changes are durable.
#[derive(Debug)]
pub struct Committed {
    /// What the decision answered.
    pub reply: Reply,
    /// A state at least as new as the commit.
    pub state: Arc<State>,
}

/// Why a command has no effect.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The decision refused it.
    #[error("refused: {0:?}")]
    Rejected(Rejection),
    /// The decision is right but could not be made durable; nothing changed.
    #[error("the change could not be written; nothing was changed: {0}")]
    Storage(String),
    /// The decision failed of its own: a bug, told with the command's name. Nothing changed.
    #[error("the decision on {0} failed of its own; nothing was changed")]
    Bug(String),
    /// The writer has ended.
    #[error("the store is closed")]
    Closed,
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine could not give its records.
    #[error("load the state")]
    Load(#[source] EngineError),
    /// A thread of the writer could not be started.
    #[error("start the writer")]
    Thread(#[source] std::io::Error),
}

impl Store {
    /// Loads what the engine holds and starts the writer and the committer.
    pub fn open(
        mut engine: Box<dyn Engine>,
        realm: Realm,
        clock: Arc<dyn shell::Clock>,
        entropy: Box<dyn stdx::Entropy>,
    ) -> Result<Self, StoreError> {
        let rounds = Rounds::open(engine.as_mut(), realm).map_err(StoreError::Load)?;
        let clock: Arc<dyn shell::Clock> = Arc::new(SteadyClock::after(rounds.snapshot(), clock));
        let shared = Arc::new(Shared {
            state: ArcSwap::new(rounds.snapshot().clone()),
            revision: watch::Sender::new(rounds.revision()),
            changes: broadcast::Sender::new(1024),
            stats: writer::Counters::default(),
            clock: clock.clone(),
        });
        let (queue, mail) = std::sync::mpsc::channel();
        let (work, works) = std::sync::mpsc::channel();
        let (written, heard) = std::sync::mpsc::channel();
        let committer = Committer {
            engine,
            shared: shared.clone(),
            work: works,
            written,
            mail: queue.clone(),
            untidy: false,
        };
        let writer = Writer {
            rounds,
            clock,
            entropy,
            shared: shared.clone(),
            mail,
            work,
            written: heard,
            decided: Vec::new(),
            closing: false,
        };
        spawn("store-committer", move || committer.run())?;
        spawn("store-writer", move || writer.run())?;
        Ok(Self { shared, line: Arc::new(Line(queue)) })
    }

    /// Decides a command, makes its changes durable and answers.
    pub async fn submit(&self, command: Command) -> Result<Committed, SubmitError> {
        let (answer, answered) = oneshot::channel();
        let request = Mail::Request(Box::new(Request { command, answer }));
        self.line.0.send(request).map_err(|_| SubmitError::Closed)?;
        answered.await.map_err(|_| SubmitError::Closed)?
    }

    /// The state as it is now. It does not change under the reader.
    pub fn snapshot(&self) -> Arc<State> {
        self.shared.state.load_full()
    }

    /// The time by which decisions are made, for who asks what is due: it never goes back, whatever the
    /// machine's clock does. See [`Steady`].
    pub fn clock(&self) -> Arc<dyn shell::Clock> {
        self.shared.clock.clone()
    }

    /// The number of the newest durable round.
    pub fn revision(&self) -> u64 {
        *self.shared.revision.borrow()
    }

    /// Wakes whoever looks at everything.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }

    /// What exactly moves from now on. A receiver that lags must look at everything once.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Batch>> {
        self.shared.changes.subscribe()
    }

    /// How the writer has done so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats.read()
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map(drop).map_err(StoreError::Thread)
}
