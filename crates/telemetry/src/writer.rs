//! The one writer: a thread that takes what has queued up, does it in one transaction, commits
//! that durably, and only then answers.
//!
//! A job that is refused has changed nothing, so its neighbours in the batch are not concerned. A
//! job that fails takes the batch with it: nothing of it is committed, and everybody is told.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::Database;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::LogsError;
use crate::tables::Tables;

/// At most so many jobs in one transaction.
const MOST_JOBS: usize = 1024;
/// At most so many bytes in one transaction, roughly: a commit's memory is bounded by it.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// At most so many bytes may wait in the queue; who brings more waits with them.
const MOST_WAITING: usize = 16 * 1024 * 1024;
/// After so long without work, one commit is made in the form from which the file opens quickly
/// after a crash. Without it redb reads the whole file then.
const IDLE: Duration = Duration::from_millis(100);

type Run = Box<dyn FnOnce(&mut Tables<'_>) -> Outcome + Send>;
/// Tells the caller what has become of its job, once the transaction is committed or lost.
type Answer = Box<dyn FnOnce(Result<(), LogsError>) + Send>;

struct Job {
    bytes: usize,
    run: Run,
}

struct Outcome {
    /// Set when the transaction must not be committed.
    failure: Option<LogsError>,
    answer: Answer,
}

/// Queues jobs for the writer's thread. Dropping it ends the thread, after the queue is done.
pub(crate) struct Writer {
    jobs: Option<Sender<Job>>,
    waiting: Arc<Semaphore>,
    revision: watch::Receiver<u64>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(database: Arc<Database>) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let (revised, revision) = watch::channel(0);
        let thread = std::thread::Builder::new()
            .name("logs-writer".to_owned())
            .spawn(move || run(&database, &queue, &revised))?;
        let waiting = Arc::new(Semaphore::new(MOST_WAITING));
        Ok(Self { jobs: Some(jobs), waiting, revision, thread: Some(thread) })
    }

    /// Changes with every commit.
    pub(crate) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.clone()
    }

    /// Has `work` done in a transaction, and returns when that is durable. `bytes` is roughly what
    /// it brings. When the caller goes away the work is done all the same.
    pub(crate) async fn submit<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, LogsError> + Send + 'static,
    ) -> Result<T, LogsError> {
        let bytes = bytes.clamp(1, MOST_WAITING);
        let permits = u32::try_from(bytes).map_err(|_| LogsError::Closed)?;
        let permit = Arc::clone(&self.waiting).acquire_many_owned(permits).await;
        let permit = permit.map_err(|_| LogsError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let run: Run = Box::new(move |tables| {
            let result = work(tables);
            let failure = result.as_ref().err().filter(|error| error.is_failure()).cloned();
            let answer: Answer = Box::new(move |committed| {
                drop(permit);
                // A caller that went away does not need its answer.
                reply.send(committed.and(result)).ok();
            });
            Outcome { failure, answer }
        });
        let jobs = self.jobs.as_ref().ok_or(LogsError::Closed)?;
        jobs.send(Job { bytes, run }).map_err(|_| LogsError::Closed)?;
        answer.await.map_err(|_| LogsError::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes logs has panicked");
        }
    }
}

fn run(database: &Database, queue: &Receiver<Job>, revised: &watch::Sender<u64>) {
    let mut settled = true;
    loop {
        let first = if settled {
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            queue.recv_timeout(IDLE)
        };
        match first {
            Ok(first) => {
                batch(database, first, queue);
                settled = false;
                revised.send_modify(|revision| *revision += 1);
            }
            Err(RecvTimeoutError::Timeout) => {
                settle(database);
                settled = true;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Does `first` and what else has queued up, and answers it all.
fn batch(database: &Database, first: Job, queue: &Receiver<Job>) {
    let mut answers = Vec::new();
    let result = transact(database, first, queue, &mut answers);
    if let Err(error) = &result {
        tracing::error!(error = %stdx::chain(error), "log events were not stored");
    }
    for answer in answers {
        answer(result.clone());
    }
}

fn transact(
    database: &Database,
    first: Job,
    queue: &Receiver<Job>,
    answers: &mut Vec<Answer>,
) -> Result<(), LogsError> {
    let transaction = database.begin_write()?;
    let mut tables = Tables::open(&transaction)?;
    let mut bytes = first.bytes;
    let mut next = Some(first);
    while let Some(job) = next {
        let outcome = (job.run)(&mut tables);
        answers.push(outcome.answer);
        if let Some(failure) = outcome.failure {
            // Dropping the transaction takes back everything in it.
            return Err(failure);
        }
        next = None;
        if answers.len() < MOST_JOBS && bytes < MOST_BYTES {
            next = queue.try_recv().ok();
            bytes += next.as_ref().map_or(0, |job| job.bytes);
        }
    }
    drop(tables);
    Ok(transaction.commit()?)
}

/// Makes the commit from which the file opens quickly.
fn settle(database: &Database) {
    let commit = || -> Result<(), LogsError> {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        Ok(transaction.commit()?)
    };
    if let Err(error) = commit() {
        tracing::warn!(error = %stdx::chain(&error), "the log store could not be settled");
    }
}
