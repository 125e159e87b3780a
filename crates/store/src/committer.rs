//! The committer: the thread that makes sealed rounds durable, one after the other, and only then lets
//! anybody see them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use stdx::chain;

use crate::rounds::Sealed;
use crate::writer::{Decided, Mail, Written, answer};
use crate::{Engine, Shared};

/// So long without a round is a quiet moment.
const QUIET: Duration = Duration::from_millis(100);

/// A round and who waits for it.
pub(crate) struct Work {
    pub(crate) round: Sealed,
    pub(crate) answers: Vec<Decided>,
}

/// Writes, publishes and answers in a thread of its own.
pub(crate) struct Committer {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) work: Receiver<Work>,
    /// What became of each round.
    pub(crate) written: Sender<Written>,
    /// Wakes the writer, should it wait for commands.
    pub(crate) mail: Sender<Mail>,
    /// Something was written since the engine was last tidied.
    pub(crate) untidy: bool,
}

impl Committer {
    /// Works until the writer is gone.
    pub(crate) fn run(mut self) {
        while let Some(work) = self.next() {
            if !self.commit(work) {
                break;
            }
        }
        self.tidy();
    }

    fn next(&mut self) -> Option<Work> {
        loop {
            if !self.untidy {
                return self.work.recv().ok();
            }
            match self.work.recv_timeout(QUIET) {
                Ok(work) => return Some(work),
                Err(RecvTimeoutError::Timeout) => self.tidy(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// False if the writer is gone.
    fn commit(&mut self, Work { round, answers }: Work) -> bool {
        let written = round.write(self.engine.as_mut()).map_err(|error| {
            let why = chain(&error);
            tracing::error!(error = %why, "The store could not write; the round is undone.");
            why
        });
        match &written {
            Ok(()) => self.publish(&round),
            Err(_) => {
                self.shared.stats.failed_commits.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(round);
        // The writer first: it has the next round to seal, or to undo, while these are answered.
        let heard =
            self.written.send(written.clone()).is_ok() && self.mail.send(Mail::Look).is_ok();
        answer(answers, &written, &self.shared);
        heard
    }

    fn publish(&mut self, round: &Sealed) {
        self.untidy = true;
        let (batch, stats) = (round.batch(), &self.shared.stats);
        stats.commits.fetch_add(1, Ordering::Relaxed);
        let count = u64::try_from(batch.changes.len()).unwrap_or(u64::MAX);
        stats.changes.fetch_add(count, Ordering::Relaxed);
        self.shared.state.store(Arc::clone(round.state()));
        // The feed first: whoever wakes by the number finds the batch there. Nobody listening is fine.
        drop(self.shared.changes.send(Arc::clone(batch)));
        self.shared.revision.send_replace(batch.revision);
    }

    /// Uses a quiet moment to make the next start quick.
    fn tidy(&mut self) {
        if std::mem::take(&mut self.untidy)
            && let Err(error) = self.engine.idle()
        {
            tracing::warn!(error = %chain(&error), "The store could not be tidied; the next start may take longer.");
        }
    }
}
