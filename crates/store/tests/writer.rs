//! The writer over the memory engine: group commit, undone rounds, snapshots, restarts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use model::{Change, ClusterName, Realm, Tags};
use scheduler::{Command, Rejection, Reply};
use shell::ManualClock;
use stdx::{SeededEntropy, Timestamp};
use store::{MemoryEngine, Store, SubmitError};

fn open(engine: &MemoryEngine) -> Store {
    let clock = ManualClock::new(Timestamp::from_millis(1_000));
    let realm = Realm::new("us-east-1", "123456789012");
    let chance = Box::new(SeededEntropy::new(1));
    Store::open(Box::new(engine.clone()), realm, Arc::new(clock), chance).unwrap()
}

fn create(name: &str) -> Command {
    Command::CreateCluster { name: name.into(), tags: Tags::default() }
}

fn has(store: &Store, name: &str) -> bool {
    store.snapshot().cluster(&ClusterName::from(name)).is_some()
}

#[tokio::test]
async fn a_commit_is_seen_by_its_caller_by_followers_and_after_a_restart() {
    let engine = MemoryEngine::default();
    let store = open(&engine);
    let mut changes = store.changes();
    let before = store.snapshot();
    let committed = store.submit(create("one")).await.unwrap();
    assert_eq!(committed.reply, Reply::Cluster("one".into()));
    assert!(committed.state.cluster(&"one".into()).is_some());
    assert!(before.cluster(&"one".into()).is_none(), "a snapshot does not change");
    let batch = changes.recv().await.unwrap();
    assert_eq!(batch.revision, store.revision());
    assert!(matches!(&batch.changes[..], [Change::PutCluster(c)] if c.name.as_str() == "one"));
    let revision = store.revision();
    drop(store);
    let again = open(&engine);
    assert!(has(&again, "one"));
    assert_eq!(again.revision(), revision);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_commits() {
    let engine = MemoryEngine::default();
    let store = open(&engine);
    let writers: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.submit(create(&format!("c{n}"))).await.map(|_| ()) })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert!((0..200).all(|n| has(&store, &format!("c{n}"))));
    let stats = store.stats();
    assert_eq!((stats.commands, stats.commits), (200, engine.commits()));
    assert!(stats.commits <= 200);
}

#[tokio::test]
async fn a_round_that_cannot_be_written_never_was() {
    let engine = MemoryEngine::default();
    let store = open(&engine);
    store.submit(create("kept")).await.unwrap();
    engine.fail_next_commits(1);
    let error = store.submit(create("lost")).await.unwrap_err();
    assert!(matches!(error, SubmitError::Storage(_)));
    assert!(error.to_string().contains("no space left on device"));
    assert!(!has(&store, "lost"));
    store.submit(create("later")).await.unwrap();
    assert!(has(&store, "kept") && has(&store, "later") && !has(&store, "lost"));
    drop(store);
    let again = open(&engine);
    assert!(has(&again, "kept") && has(&again, "later") && !has(&again, "lost"));
}

#[tokio::test]
async fn a_refusal_changes_nothing_and_costs_no_commit() {
    let engine = MemoryEngine::default();
    let store = open(&engine);
    let revision = store.revision();
    let error = store.submit(Command::DeleteCluster("nowhere".into())).await.unwrap_err();
    let refused = SubmitError::Rejected(Rejection::ClusterNotFound("nowhere".into()));
    assert_eq!(error.to_string(), refused.to_string());
    assert_eq!((store.revision(), engine.commits()), (revision, 0));
}
