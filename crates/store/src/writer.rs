//! The writer: one thread that decides, commits and publishes, round by round.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use scheduler::{Command, Reply};
use stdx::{Entropy, chain};
use tokio::sync::oneshot;

use crate::{Committed, Rounds, Shared, SubmitError};

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

/// Turns the wheel of rounds in a thread of its own.
pub(crate) struct Writer {
    pub(crate) rounds: Rounds,
    pub(crate) clock: Arc<dyn shell::Clock>,
    pub(crate) entropy: Box<dyn Entropy>,
    pub(crate) shared: Arc<Shared>,
}

type Decided = (oneshot::Sender<Result<Committed, SubmitError>>, Result<Reply, SubmitError>);

impl Writer {
    /// Works until the last handle is gone.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        while let Some(first) = self.next(requests) {
            let mut decided = vec![self.decide(first)];
            while decided.len() < MOST_COMMANDS && self.rounds.pending() < MOST_CHANGES {
                let Ok(request) = requests.try_recv() else { break };
                decided.push(self.decide(request));
            }
            self.finish(decided);
        }
        self.rounds.tidy();
    }

    fn next(&mut self, requests: &Receiver<Request>) -> Option<Request> {
        loop {
            if !self.rounds.is_untidy() {
                return requests.recv().ok();
            }
            match requests.recv_timeout(QUIET) {
                Ok(request) => return Some(request),
                Err(RecvTimeoutError::Timeout) => self.rounds.tidy(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn decide(&mut self, request: Request) -> Decided {
        let Request { command, answer } = request;
        self.shared.stats.commands.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        (answer, self.rounds.decide(&command, now, self.entropy.as_mut()))
    }

    fn finish(&mut self, decided: Vec<Decided>) {
        let durable = self.commit();
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

    fn commit(&mut self) -> Result<(), String> {
        let stats = &self.shared.stats;
        let batch = match self.rounds.commit() {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(()),
            Err(error) => {
                stats.failed_commits.fetch_add(1, Ordering::Relaxed);
                return Err(chain(&error));
            }
        };
        stats.commits.fetch_add(1, Ordering::Relaxed);
        let count = u64::try_from(batch.changes.len()).unwrap_or(u64::MAX);
        stats.changes.fetch_add(count, Ordering::Relaxed);
        self.shared.state.store(self.rounds.snapshot().clone());
        let revision = batch.revision;
        // The feed first: whoever wakes by the number finds the batch there. Nobody listening is fine.
        drop(self.shared.changes.send(Arc::new(batch)));
        self.shared.revision.send_replace(revision);
        Ok(())
    }
}
