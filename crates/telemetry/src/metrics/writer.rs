//! The one writer of the metric store: a thread that makes what is to be acknowledged durable at
//! once, many at a time, and writes what was measured meanwhile every half minute.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, WriteTransaction};
use shell::Clock;
use tokio::sync::oneshot;

use super::MetricsError;
use super::disk;
use super::memory::{Memory, Sample};

/// What was measured by the platform itself is durable after so long at the latest.
const FLUSH: Duration = Duration::from_secs(30);
/// At most so many jobs in one transaction.
const MOST_JOBS: usize = 256;
/// So many flushes from one removal of old data to the next: an hour.
const FLUSHES_A_SWEEP: u32 = 120;

type Answer = Box<dyn FnOnce(Result<(), MetricsError>) + Send>;
/// Work in a transaction. It may refuse, and has then changed nothing.
type Run = Box<dyn FnOnce(&WriteTransaction) -> (Result<(), MetricsError>, Answer) + Send>;

enum Job {
    /// Samples that are acknowledged when they are durable.
    Put(Vec<Sample>, Answer),
    /// Anything else.
    Run(Run),
    /// Everything that memory has goes to the file.
    Flush(Answer),
}

/// What the thread works upon.
pub(crate) struct Books {
    pub(crate) database: Arc<Database>,
    pub(crate) memory: Arc<Mutex<Memory>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The number of the journal's next entry.
    pub(crate) next_entry: u64,
    /// The journal is empty below this number.
    pub(crate) flushed_to: u64,
    /// How many bytes of data the file may have.
    pub(crate) most_bytes: u64,
}

/// Queues jobs for the thread. Dropping it ends the thread, after all is written.
pub(crate) struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

pub(crate) fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(books: Books) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("metrics-writer".to_owned())
            .spawn(move || run(books, &queue))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Makes samples durable and known.
    pub(crate) async fn put(&self, samples: Vec<Sample>) -> Result<(), MetricsError> {
        let (answer, told) = answer();
        self.send(Job::Put(samples, answer))?;
        told.await.map_err(|_| MetricsError::Closed)?
    }

    /// Writes everything that memory has.
    pub(crate) async fn flush(&self) -> Result<(), MetricsError> {
        let (answer, told) = answer();
        self.send(Job::Flush(answer))?;
        told.await.map_err(|_| MetricsError::Closed)?
    }

    /// Has `work` done durably. When it refuses, nothing of it may have been done.
    pub(crate) async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, MetricsError> + Send + 'static,
    ) -> Result<T, MetricsError> {
        let (reply, told) = oneshot::channel();
        let run: Run = Box::new(move |transaction| {
            let result = work(transaction);
            let outcome = result.as_ref().map(drop).map_err(Clone::clone);
            let answer: Answer = Box::new(move |committed| {
                // A caller that went away does not need its answer.
                reply.send(committed.and(result)).ok();
            });
            (outcome, answer)
        });
        self.send(Job::Run(run))?;
        told.await.map_err(|_| MetricsError::Closed)?
    }

    fn send(&self, job: Job) -> Result<(), MetricsError> {
        let jobs = self.jobs.as_ref().ok_or(MetricsError::Closed)?;
        jobs.send(job).map_err(|_| MetricsError::Closed)
    }
}

fn answer() -> (Answer, oneshot::Receiver<Result<(), MetricsError>>) {
    let (reply, told) = oneshot::channel();
    // A caller that went away does not need its answer.
    (Box::new(move |result| drop(reply.send(result))), told)
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes metrics has panicked");
        }
    }
}

fn run(mut books: Books, queue: &Receiver<Job>) {
    let mut due = books.clock.now() + FLUSH;
    let mut flushes = 0;
    loop {
        let now = books.clock.now();
        match queue.recv_timeout(due.since(now).min(FLUSH)) {
            Ok(job) => batch(&mut books, job, queue),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                report(books.flush(false));
                return;
            }
        }
        if books.clock.now() >= due {
            report(books.flush(flushes % FLUSHES_A_SWEEP == 0));
            flushes += 1;
            due = books.clock.now() + FLUSH;
        }
    }
}

fn report(result: Result<(), MetricsError>) {
    if let Err(error) = result {
        tracing::error!(error = %stdx::chain(&error), "metrics could not be written and are tried again");
    }
}

/// Does `first` and what else has queued up in one transaction, and answers it all.
fn batch(books: &mut Books, first: Job, queue: &Receiver<Job>) {
    let (mut puts, mut answers, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
    let work = || -> Result<(), MetricsError> {
        let mut transaction = books.database.begin_write()?;
        transaction.set_quick_repair(true);
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Put(samples, answer) => {
                    answers.push(answer);
                    let bytes = disk::encode("the journal", &samples)?;
                    let mut journal = transaction.open_table(disk::JOURNAL)?;
                    journal.insert(books.next_entry, bytes.as_slice())?;
                    books.next_entry += 1;
                    puts.push(samples);
                }
                Job::Run(run) => {
                    let (outcome, answer) = run(&transaction);
                    answers.push(answer);
                    // A refusal has changed nothing; a failure takes all of it back.
                    if let Err(error) = outcome
                        && !matches!(error, MetricsError::Refused { .. })
                    {
                        return Err(error);
                    }
                }
                Job::Flush(answer) => flushes.push(answer),
            }
            next = if answers.len() < MOST_JOBS { queue.try_recv().ok() } else { None };
        }
        Ok(transaction.commit()?)
    };
    let result = work();
    if let Err(error) = &result {
        tracing::error!(error = %stdx::chain(error), "metrics were not stored");
    } else {
        books.learn(&puts);
    }
    for answer in answers {
        answer(result.clone());
    }
    if !flushes.is_empty() {
        let result = books.flush(false);
        flushes.into_iter().for_each(|answer| answer(result.clone()));
    }
}

impl Books {
    /// Tells memory what is durable.
    pub(crate) fn learn(&self, puts: &[Vec<Sample>]) {
        let now = self.clock.now().as_secs();
        let load = |key| disk::chunk(&self.database, key);
        let mut memory = lock(&self.memory);
        for sample in puts.iter().flatten() {
            if let Err(error) = memory.add(sample, now, &load) {
                tracing::error!(error = %stdx::chain(&error), id = %sample.id, "a sample was lost");
            }
        }
    }

    /// Writes what memory has, after which the journal is not needed.
    fn flush(&mut self, sweep: bool) -> Result<(), MetricsError> {
        let now = self.clock.now().as_secs();
        let dirty = lock(&self.memory).take_dirty();
        if dirty.is_empty() && self.next_entry == self.flushed_to && !sweep {
            return Ok(());
        }
        let result = self.write(&dirty, sweep, now);
        let mut memory = lock(&self.memory);
        match &result {
            Ok(()) => {
                self.flushed_to = self.next_entry;
                memory.trim(now);
            }
            Err(_) => memory.failed(dirty),
        }
        result
    }

    fn write(
        &self,
        dirty: &super::memory::Dirty,
        sweep: bool,
        now: i64,
    ) -> Result<(), MetricsError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(true);
        {
            let mut series = transaction.open_table(disk::SERIES)?;
            for (number, record) in &dirty.series {
                series.insert(number, disk::encode("a series", record)?.as_slice())?;
            }
            for number in &dirty.forgotten {
                series.remove(number)?;
            }
            let mut chunks = transaction.open_table(disk::CHUNKS)?;
            for (key, bytes) in &dirty.chunks {
                chunks.insert(*key, bytes.as_slice())?;
            }
            transaction.open_table(disk::JOURNAL)?.retain_in(..self.next_entry, |_, _| false)?;
        }
        if sweep {
            disk::sweep(&transaction, now, self.most_bytes)?;
            super::alarm::sweep_history(&transaction, now)?;
        }
        Ok(transaction.commit()?)
    }
}
