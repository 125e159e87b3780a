//! The writer: one thread that decides, commits and publishes, round by round.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use model::{Change, State};
use scheduler::{Command, Reply};
use stdx::{Entropy, chain};
use tokio::sync::oneshot;

use crate::{Batch, Committed, Engine, Shared, SubmitError, record};

/// A round takes no more commands than this, so that nobody waits long for a commit.
const MOST_COMMANDS: usize = 1024;
/// Nor more changes than this.
const MOST_CHANGES: usize = 8192;
/// So long without a command is a quiet moment.
const QUIET: Duration = Duration::from_millis(100);

/// A command and where its answer goes.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) answer: oneshot::Sender<Result<Committed, SubmitError>>,
}

/// How the writer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Commands decided, refused ones too.
    pub commands: u64,
    /// Durable commits.
    pub commits: u64,
    /// Records in them.
    pub changes: u64,
    /// Commits that failed.
    pub failed_commits: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    commands: AtomicU64,
    commits: AtomicU64,
    changes: AtomicU64,
    failed_commits: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        Stats {
            commands: self.commands.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            changes: self.changes.load(Ordering::Relaxed),
            failed_commits: self.failed_commits.load(Ordering::Relaxed),
        }
    }
}

/// Owns the engine and the state as it will be once the round is durable.
pub(crate) struct Writer {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) state: State,
    pub(crate) revision: u64,
    pub(crate) clock: Arc<dyn shell::Clock>,
    pub(crate) entropy: Box<dyn Entropy>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) unrepaired: bool,
}

type Decided = (oneshot::Sender<Result<Committed, SubmitError>>, Result<Reply, SubmitError>);

impl Writer {
    /// Works until the last handle is gone.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        while let Some(first) = self.next(requests) {
            let mut changes = Vec::new();
            let mut decided = vec![self.decide(first, &mut changes)];
            while decided.len() < MOST_COMMANDS && changes.len() < MOST_CHANGES {
                let Ok(request) = requests.try_recv() else { break };
                decided.push(self.decide(request, &mut changes));
            }
            self.finish(changes, decided);
        }
        self.tidy();
    }

    fn next(&mut self, requests: &Receiver<Request>) -> Option<Request> {
        loop {
            if !self.unrepaired {
                return requests.recv().ok();
            }
            match requests.recv_timeout(QUIET) {
                Ok(request) => return Some(request),
                Err(RecvTimeoutError::Timeout) => self.tidy(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn tidy(&mut self) {
        if std::mem::take(&mut self.unrepaired)
            && let Err(error) = self.engine.idle()
        {
            tracing::warn!(error = %chain(&error), "The store could not be tidied; the next start may take longer.");
        }
    }

    fn decide(&mut self, request: Request, changes: &mut Vec<Change>) -> Decided {
        let Request { command, answer } = request;
        self.shared.stats.commands.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        // A decision only reads the state, so one that panics has changed nothing: that command is
        // answered with an error and everybody else goes on.
        let decision = catch_unwind(AssertUnwindSafe(|| {
            scheduler::decide(&self.state, &command, now, self.entropy.as_mut())
        }));
        let reply = match decision {
            Ok(Ok(outcome)) => {
                for change in &outcome.changes {
                    self.state.apply(change);
                }
                changes.extend(outcome.changes);
                Ok(outcome.reply)
            }
            Ok(Err(rejection)) => Err(SubmitError::Rejected(rejection)),
            Err(_) => {
                let command = name(&command);
                tracing::error!(command, "A decision panicked; nothing was changed.");
                Err(SubmitError::Bug(command))
            }
        };
        (answer, reply)
    }

    fn finish(&mut self, changes: Vec<Change>, decided: Vec<Decided>) {
        let durable = if changes.is_empty() { Ok(()) } else { self.commit(changes) };
        let state = self.shared.state.load_full();
        for (answer, reply) in decided {
            let result = match (&durable, reply) {
                (Ok(()), Ok(reply)) => Ok(Committed { reply, state: state.clone() }),
                (Ok(()), Err(error)) => Err(error),
                // A refusal may rest on what was undone, so it does not stand either.
                (Err(why), _) => Err(SubmitError::Storage(why.clone())),
            };
            // Whoever does not wait any more does not want the answer.
            drop(answer.send(result));
        }
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), String> {
        let revision = self.revision + 1;
        let written =
            record::writes(&changes).and_then(|writes| self.engine.commit(revision, &writes));
        if let Err(error) = written {
            let why = chain(&error);
            tracing::error!(error = %why, "The store could not write; the round is undone.");
            self.shared.stats.failed_commits.fetch_add(1, Ordering::Relaxed);
            self.state = State::clone(&self.shared.state.load());
            return Err(why);
        }
        self.revision = revision;
        self.unrepaired = true;
        self.shared.stats.commits.fetch_add(1, Ordering::Relaxed);
        let count = u64::try_from(changes.len()).unwrap_or(u64::MAX);
        self.shared.stats.changes.fetch_add(count, Ordering::Relaxed);
        self.shared.state.store(Arc::new(self.state.clone()));
        // The feed first: whoever wakes by the number finds the batch there. Nobody listening is fine.
        drop(self.shared.changes.send(Arc::new(Batch { revision, changes })));
        self.shared.revision.send_replace(revision);
        Ok(())
    }
}

/// The name of a command, which is the first word of its debug form.
fn name(command: &Command) -> String {
    let text = format!("{command:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
