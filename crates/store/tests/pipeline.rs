//! While one round is being written the next is decided upon it: what is seen and answered when, and
//! what is left of both when the first cannot be written. The test opens the gate of each commit.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use model::{Change, ClusterName, Realm, Tags};
use scheduler::{Command, Rejection};
use shell::ManualClock;
use stdx::{SeededEntropy, Timestamp};
use store::{Committed, Engine, EngineError, MemoryEngine, Store, SubmitError, Write};
use tokio::task::JoinHandle;

/// An engine that says which commit begins, and waits for a word on how it ends.
#[derive(Debug)]
struct Gate {
    inner: MemoryEngine,
    begun: Sender<u64>,
    verdict: Receiver<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Write,
    Fail,
}

impl Engine for Gate {
    fn load(&mut self, each: &mut dyn FnMut(Change)) -> Result<u64, EngineError> {
        self.inner.load(each)
    }

    fn commit(&mut self, revision: u64, writes: &[Write]) -> Result<(), EngineError> {
        self.begun.send(revision).unwrap();
        if self.verdict.recv().unwrap() == Verdict::Fail {
            self.inner.fail_next_commits(1);
        }
        self.inner.commit(revision, writes)
    }
}

struct Rig {
    engine: MemoryEngine,
    store: Store,
    begun: Receiver<u64>,
    verdict: Sender<Verdict>,
}

fn over(engine: Box<dyn Engine>) -> Store {
    let clock = ManualClock::new(Timestamp::from_millis(1_000));
    let realm = Realm::new("us-east-1", "123456789012");
    Store::open(engine, realm, Arc::new(clock), Box::new(SeededEntropy::new(1))).unwrap()
}

impl Rig {
    fn new() -> Self {
        let engine = MemoryEngine::default();
        let ((begins, begun), (verdict, verdicts)) = (channel(), channel());
        let gate = Gate { inner: engine.clone(), begun: begins, verdict: verdicts };
        Self { engine, store: over(Box::new(gate)), begun, verdict }
    }

    /// Submits, and returns once the writer has decided it.
    async fn decided(&self, command: Command) -> JoinHandle<Result<Committed, SubmitError>> {
        let before = self.store.stats().commands;
        let store = self.store.clone();
        let answer = tokio::spawn(async move { store.submit(command).await });
        while self.store.stats().commands == before {
            tokio::task::yield_now().await;
        }
        answer
    }

    fn has(&self, name: &str) -> bool {
        has(&self.store, name)
    }
}

fn has(store: &Store, name: &str) -> bool {
    store.snapshot().cluster(&ClusterName::from(name)).is_some()
}

fn create(name: &str) -> Command {
    Command::CreateCluster { name: name.into(), tags: Tags::default() }
}

/// Gives whatever could be answered every chance to be.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_round_is_decided_meanwhile_and_seen_in_its_turn() {
    let rig = Rig::new();
    let mut changes = rig.store.changes();
    let one = rig.decided(create("one")).await;
    assert_eq!(rig.begun.recv().unwrap(), 1);
    let mut others = Vec::new();
    for n in 0..50 {
        others.push(rig.decided(create(&format!("other{n}"))).await);
    }
    settle().await;
    assert!(!one.is_finished() && !others.iter().any(JoinHandle::is_finished));
    assert!(!rig.has("one") && !rig.has("other0"), "a reader sees only what is durable");
    assert_eq!((rig.store.revision(), rig.engine.commits()), (0, 0));
    assert!(changes.try_recv().is_err());

    rig.verdict.send(Verdict::Write).unwrap();
    assert!(one.await.unwrap().unwrap().state.cluster(&"one".into()).is_some());
    assert_eq!(rig.begun.recv().unwrap(), 2);
    settle().await;
    assert!(rig.has("one") && !rig.has("other0"));
    assert!(!others.iter().any(JoinHandle::is_finished), "their round is not durable");
    assert_eq!((changes.recv().await.unwrap().revision, rig.store.revision()), (1, 1));

    rig.verdict.send(Verdict::Write).unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    let batch = changes.recv().await.unwrap();
    assert_eq!((batch.revision, batch.changes.len()), (2, 50), "they share a commit");
    assert_eq!((rig.store.revision(), rig.engine.commits()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_cannot_be_written_takes_the_one_upon_it_along() {
    let rig = Rig::new();
    let one = rig.decided(create("one")).await;
    assert_eq!(rig.begun.recv().unwrap(), 1);
    let upon = [
        rig.decided(create("two")).await,
        // It rests on what is not durable: "one" is there, so that it can be deleted,
        rig.decided(Command::DeleteCluster("one".into())).await,
        // and this refusal might.
        rig.decided(Command::DeleteCluster("nowhere".into())).await,
    ];
    rig.verdict.send(Verdict::Fail).unwrap();
    for answer in std::iter::once(one).chain(upon) {
        let error = answer.await.unwrap().unwrap_err();
        assert!(matches!(error, SubmitError::Storage(_)), "{error}");
        assert!(error.to_string().contains("no space left on device"), "{error}");
    }
    assert!(!rig.has("one") && !rig.has("two"));
    let stats = rig.store.stats();
    assert_eq!((stats.commits, stats.failed_commits, rig.store.revision()), (0, 1, 0));

    // What comes next stands on what is durable: "one" is not there.
    let refused = rig.decided(Command::DeleteCluster("one".into())).await.await.unwrap();
    let nowhere = Rejection::ClusterNotFound("one".into());
    assert!(matches!(refused, Err(SubmitError::Rejected(why)) if why == nowhere));
    let three = rig.decided(create("three")).await;
    assert_eq!(rig.begun.recv().unwrap(), 1, "the number was not used");
    rig.verdict.send(Verdict::Write).unwrap();
    three.await.unwrap().unwrap();
    for store in [over(Box::new(rig.engine.clone())), rig.store] {
        assert!(has(&store, "three") && !has(&store, "one") && !has(&store, "two"));
        assert_eq!(store.revision(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_changes_nothing_waits_for_what_it_may_rest_on() {
    let rig = Rig::new();
    let one = rig.decided(create("one")).await;
    assert_eq!(rig.begun.recv().unwrap(), 1);
    let refused = rig.decided(Command::DeleteCluster("nowhere".into())).await;
    settle().await;
    assert!(!refused.is_finished());
    rig.verdict.send(Verdict::Write).unwrap();
    one.await.unwrap().unwrap();
    let refused = refused.await.unwrap();
    assert!(matches!(refused, Err(SubmitError::Rejected(Rejection::ClusterNotFound(_)))));
    assert_eq!(rig.engine.commits(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_let_in_is_answered_though_the_store_closes() {
    let rig = Rig::new();
    let one = rig.decided(create("one")).await;
    assert_eq!(rig.begun.recv().unwrap(), 1);
    let two = rig.decided(create("two")).await;
    let Rig { engine, store, begun, verdict } = rig;
    drop(store);
    verdict.send(Verdict::Write).unwrap();
    one.await.unwrap().unwrap();
    assert_eq!(begun.recv().unwrap(), 2);
    verdict.send(Verdict::Write).unwrap();
    two.await.unwrap().unwrap();
    assert!(begun.recv().is_err(), "the engine is let go of");
    assert!(has(&over(Box::new(engine)), "two"));
}
