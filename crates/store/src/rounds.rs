//! The writer without its threads: decide, decide, seal; and while a sealed round is being written,
//! decide the next one upon it. The threads turn this wheel with the real clock and a real engine; a
//! simulation turns it by hand.
//!
//! One sealed round at most is on its way to the engine. When that has been written it is
//! [`Rounds::durable`]; when it could not be, [`Rounds::undo`] takes it back together with whatever was
//! decided upon it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use model::{Change, Loading, Realm, State};
use scheduler::{Command, Reply};
use stdx::{Entropy, Timestamp};

use crate::{Batch, Engine, EngineError, SubmitError, record};

/// After so much deciding a round goes out as soon as it may, though more commands wait, since nobody
/// should wait long for a commit. Each round has its price however small it is: a commit, and the parts
/// of the state that are copied since readers hold them. A round out of an empty queue goes out at once.
const RIPE_AFTER: Duration = Duration::from_millis(15);
/// A round that has to wait for the one before takes no more after so much deciding.
const FULL_AFTER: Duration = Duration::from_millis(30);
/// Nor after so many commands,
const MOST_COMMANDS: usize = 2048;
/// or so many changes.
const MOST_CHANGES: usize = 8192;

/// The state as it is durable, the round that is being written, and the state as the round under way
/// will make it.
#[derive(Debug)]
pub struct Rounds {
    durable: Arc<State>,
    revision: u64,
    writing: Option<Sealed>,
    draft: State,
    changes: Vec<Change>,
    commands: usize,
    begun: Option<Timestamp>,
}

/// A round that is decided and nothing is added to any more. Nobody may see it, nor be answered from
/// it, before it is durable.
#[derive(Clone, Debug)]
pub struct Sealed {
    batch: Arc<Batch>,
    state: Arc<State>,
}

impl Sealed {
    /// What it changes.
    pub fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }

    /// The state that it makes.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Makes it durable.
    ///
    /// # Errors
    ///
    /// It could not be encoded or written: [`Rounds::undo`] is due.
    pub fn write(&self, engine: &mut dyn Engine) -> Result<(), EngineError> {
        engine.commit(self.batch.revision, &record::writes(&self.batch.changes)?)
    }
}

impl Rounds {
    /// Loads what the engine holds. The same engine is to write the rounds.
    ///
    /// # Errors
    ///
    /// The engine could not give its records.
    pub fn open(engine: &mut dyn Engine, realm: Realm) -> Result<Self, EngineError> {
        let mut loading = Loading::new(realm);
        let revision = engine.load(&mut |change| loading.take(change))?;
        let draft = loading.finish();
        Ok(Self {
            durable: Arc::new(draft.clone()),
            revision,
            writing: None,
            draft,
            changes: Vec::new(),
            commands: 0,
            begun: None,
        })
    }

    /// The state as it is durable.
    pub fn snapshot(&self) -> &Arc<State> {
        &self.durable
    }

    /// The state as it will be when the round under way is durable. Nobody else may see it.
    pub fn draft(&self) -> &State {
        &self.draft
    }

    /// The number of the newest durable round.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The changes of the round under way so far.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// How many changes the round under way has so far.
    pub fn pending(&self) -> usize {
        self.changes.len()
    }

    /// Whether a sealed round is being written.
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Whether the round under way should go out as soon as the one before is durable, though more
    /// commands wait.
    pub fn is_ripe(&self, now: Timestamp) -> bool {
        self.took(now) >= RIPE_AFTER || self.is_full(now)
    }

    /// Whether the round under way should take no more commands.
    pub fn is_full(&self, now: Timestamp) -> bool {
        self.commands >= MOST_COMMANDS
            || self.changes.len() >= MOST_CHANGES
            || self.took(now) >= FULL_AFTER
    }

    fn took(&self, now: Timestamp) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| now.since(begun))
    }

    /// Decides a command against the state as the round has it so far. The answer must not be given
    /// before this round is durable; if nothing is changed by it, before the round that is being
    /// written is.
    ///
    /// # Errors
    ///
    /// The decision refused it, or panicked. Neither changes anything.
    pub fn decide(
        &mut self,
        command: &Command,
        now: Timestamp,
        chance: &mut dyn Entropy,
    ) -> Result<Reply, SubmitError> {
        self.commands += 1;
        self.begun.get_or_insert(now);
        // A decision only reads the state, so one that panics has changed nothing: that command is
        // answered with an error and everybody else goes on.
        let decision =
            catch_unwind(AssertUnwindSafe(|| scheduler::decide(&self.draft, command, now, chance)));
        match decision {
            Ok(Ok(outcome)) => {
                for change in &outcome.changes {
                    self.draft.apply(change);
                }
                self.changes.extend(outcome.changes);
                Ok(outcome.reply)
            }
            Ok(Err(rejection)) => Err(SubmitError::Rejected(rejection)),
            Err(_) => {
                let command = name(command);
                tracing::error!(command, "A decision panicked; nothing was changed.");
                Err(SubmitError::Bug(command))
            }
        }
    }

    /// Ends the round under way and begins the next upon it. None if it has changed nothing, so that
    /// nothing is to be written; and none while another round is being written.
    pub fn seal(&mut self) -> Option<Sealed> {
        if self.is_writing() {
            return None;
        }
        (self.commands, self.begun) = (0, None);
        if self.changes.is_empty() {
            return None;
        }
        let changes = std::mem::take(&mut self.changes);
        let sealed = Sealed {
            batch: Arc::new(Batch { revision: self.revision + 1, changes }),
            state: Arc::new(self.draft.clone()),
        };
        self.writing = Some(sealed.clone());
        Some(sealed)
    }

    /// The sealed round has been written: it may be seen, and its answers given.
    pub fn durable(&mut self) -> Option<Arc<Batch>> {
        let sealed = self.writing.take()?;
        self.revision = sealed.batch.revision;
        self.durable = sealed.state;
        Some(sealed.batch)
    }

    /// The sealed round could not be written: it never was, nor what was decided upon it since. None
    /// of the answers of either stands, refusals included: they may rest on what was undone.
    pub fn undo(&mut self) {
        self.writing = None;
        self.changes.clear();
        (self.commands, self.begun) = (0, None);
        self.draft = State::clone(&self.durable);
    }
}

/// The name of a command, which is the first word of its debug form.
fn name(command: &Command) -> String {
    let text = format!("{command:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
