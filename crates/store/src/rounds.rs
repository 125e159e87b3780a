//! The writer without its thread: decide, decide, commit. The thread turns this wheel with the real
//! clock; a simulation turns it by hand.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use model::{Change, Loading, Realm, State};
use scheduler::{Command, Reply};
use stdx::{Entropy, Timestamp, chain};

use crate::{Batch, Engine, EngineError, SubmitError, record};

/// The state as it is durable, the state as the round under way will make it, and the engine.
#[derive(Debug)]
pub struct Rounds {
    engine: Box<dyn Engine>,
    durable: Arc<State>,
    draft: State,
    changes: Vec<Change>,
    revision: u64,
    unrepaired: bool,
}

impl Rounds {
    /// Loads what the engine holds.
    ///
    /// # Errors
    ///
    /// The engine could not give its records.
    pub fn open(mut engine: Box<dyn Engine>, realm: Realm) -> Result<Self, EngineError> {
        let mut loading = Loading::new(realm);
        let revision = engine.load(&mut |change| loading.take(change))?;
        let draft = loading.finish();
        let (durable, changes) = (Arc::new(draft.clone()), Vec::new());
        Ok(Self { engine, durable, draft, changes, revision, unrepaired: false })
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

    /// Decides a command against the state as the round has it so far. The answer must not be given
    /// before the commit.
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

    /// Makes the round durable and begins the next; none if it has changed nothing.
    ///
    /// # Errors
    ///
    /// It could not be written: the round is undone, and none of its answers stands, refusals
    /// included, since they may rest on what was undone.
    pub fn commit(&mut self) -> Result<Option<Batch>, EngineError> {
        if self.changes.is_empty() {
            return Ok(None);
        }
        let (changes, revision) = (std::mem::take(&mut self.changes), self.revision + 1);
        let written =
            record::writes(&changes).and_then(|writes| self.engine.commit(revision, &writes));
        if let Err(error) = written {
            let why = chain(&error);
            tracing::error!(error = %why, "The store could not write; the round is undone.");
            self.draft = State::clone(&self.durable);
            return Err(error);
        }
        self.revision = revision;
        self.unrepaired = true;
        self.durable = Arc::new(self.draft.clone());
        Ok(Some(Batch { revision, changes }))
    }

    /// Whether a quiet moment is worth being used.
    pub fn is_untidy(&self) -> bool {
        self.unrepaired
    }

    /// Uses a quiet moment to make the next start quick.
    pub fn tidy(&mut self) {
        if std::mem::take(&mut self.unrepaired)
            && let Err(error) = self.engine.idle()
        {
            tracing::warn!(error = %chain(&error), "The store could not be tidied; the next start may take longer.");
        }
    }
}

/// The name of a command, which is the first word of its debug form.
fn name(command: &Command) -> String {
    let text = format!("{command:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
