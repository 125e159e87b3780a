//! The writer: one thread decides round after round, another makes them durable, publishes them and
//! answers. While a round is being written the next one is decided upon it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use scheduler::{Command, Reply};
use stdx::Entropy;
use tokio::sync::oneshot;

use crate::committer::Work;
use crate::{Committed, Rounds, Shared, SubmitError};

/// A command and where its answer goes.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) answer: oneshot::Sender<Result<Committed, SubmitError>>,
}

/// What comes to the writer.
#[derive(Debug)]
pub(crate) enum Mail {
    /// Somebody wants something.
    Request(Box<Request>),
    /// The committer has something to say, on its own line: it does not stand in this queue.
    Look,
    /// The last handle is gone.
    Close,
}

/// A decided command: where its answer goes, and the answer.
pub(crate) type Decided =
    (oneshot::Sender<Result<Committed, SubmitError>>, Result<Reply, SubmitError>);

/// What became of a commit: why it failed, if it did.
pub(crate) type Written = Result<(), String>;

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
    pub(crate) commands: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) changes: AtomicU64,
    pub(crate) failed_commits: AtomicU64,
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
    pub(crate) mail: Receiver<Mail>,
    /// To the committer; it ends when this is gone.
    pub(crate) work: Sender<Work>,
    /// From the committer, one for each round that it was given.
    pub(crate) written: Receiver<Written>,
    /// The answers of the round under way.
    pub(crate) decided: Vec<Decided>,
    pub(crate) closing: bool,
}

/// What the writer does next.
enum Next {
    Decide(Box<Request>),
    Land(Written),
    Send,
}

impl Writer {
    /// Works until the last handle is gone.
    pub(crate) fn run(mut self) {
        while let Some(next) = self.next() {
            match next {
                Next::Decide(request) => self.decide(*request),
                Next::Land(written) => self.land(written),
                Next::Send => {
                    if !self.send() {
                        return;
                    }
                }
            }
        }
    }

    /// What is to be done; none when nothing is any more, or the committer is gone.
    fn next(&mut self) -> Option<Next> {
        loop {
            // The end of a commit comes before all that waits: the committer has nothing to do.
            if self.rounds.is_writing() {
                match self.written.try_recv() {
                    Ok(written) => return Some(Next::Land(written)),
                    Err(TryRecvError::Disconnected) => return None,
                    Err(TryRecvError::Empty) => {}
                }
            }
            let (now, writing) = (self.clock.now(), self.rounds.is_writing());
            if self.closing || writing && self.rounds.is_full(now) {
                return match (writing, self.decided.is_empty()) {
                    (true, _) => self.written.recv().ok().map(Next::Land),
                    (false, false) => Some(Next::Send),
                    (false, true) => None,
                };
            }
            let idle = !writing && !self.decided.is_empty();
            if idle && self.rounds.is_ripe(now) {
                return Some(Next::Send);
            }
            let mail = match self.mail.try_recv() {
                Ok(mail) => mail,
                Err(TryRecvError::Empty) if idle => return Some(Next::Send),
                Err(TryRecvError::Empty) => self.mail.recv().unwrap_or(Mail::Close),
                Err(TryRecvError::Disconnected) => Mail::Close,
            };
            match mail {
                Mail::Request(request) => return Some(Next::Decide(request)),
                Mail::Look => {}
                Mail::Close => self.closing = true,
            }
        }
    }

    fn decide(&mut self, request: Request) {
        let Request { command, answer } = request;
        let now = self.clock.now();
        let reply = self.rounds.decide(&command, now, self.entropy.as_mut());
        self.shared.stats.commands.fetch_add(1, Ordering::Relaxed);
        self.decided.push((answer, reply));
    }

    /// The round goes to the committer; one that has changed nothing is answered at once, since all
    /// that it rests on is durable. False if the committer is gone.
    fn send(&mut self) -> bool {
        let answers = std::mem::take(&mut self.decided);
        match self.rounds.seal() {
            Some(round) => self.work.send(Work { round, answers }).is_ok(),
            None => {
                answer(answers, &Ok(()), &self.shared);
                true
            }
        }
    }

    /// The round on its way is durable, or it never was, nor what was decided upon it.
    fn land(&mut self, written: Written) {
        if written.is_ok() {
            drop(self.rounds.durable());
        } else {
            self.rounds.undo();
            answer(std::mem::take(&mut self.decided), &written, &self.shared);
        }
    }
}

/// Gives answers, now that it is known what they are worth.
pub(crate) fn answer(answers: Vec<Decided>, written: &Written, shared: &Shared) {
    let state = shared.state.load_full();
    for (answer, reply) in answers {
        let result = match (written, reply) {
            (Ok(()), Ok(reply)) => Ok(Committed { reply, state: state.clone() }),
            (Ok(()), Err(error)) => Err(error),
            // A refusal may rest on what was undone, so it does not stand either.
            (Err(why), _) => Err(SubmitError::Storage(why.clone())),
        };
        // Whoever does not wait any more does not want the answer.
        drop(answer.send(result));
    }
}
