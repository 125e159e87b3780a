//! The process is killed at random moments while it writes to a real file: what it acknowledged is
//! there afterwards.
//!
//! The test starts itself as the victim, told by a variable.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use model::{ClusterName, Realm, Tags};
use shell::SystemClock;
use stdx::{Entropy, SeededEntropy};
use store::{RedbEngine, Store};

const VARIABLE: &str = "WHARF_TEST_VICTIM";
const ROUNDS: u64 = 12;

fn open(dir: &Path) -> Store {
    let engine = RedbEngine::open(&dir.join("state.redb")).expect("the store opens after a kill");
    let realm = Realm::new("us-east-1", "123456789012");
    let chance = Box::new(SeededEntropy::new(1));
    Store::open(Box::new(engine), realm, SystemClock::shared(), chance).expect("the state loads")
}

/// Writes for ever, several at once, and prints each name once it is acknowledged.
fn victim(dir: &Path, prefix: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = open(dir);
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (store, prefix) = (store.clone(), prefix.to_owned());
                tokio::spawn(async move {
                    for n in 0.. {
                        let name = format!("{prefix}-{writer}-{n}");
                        let tags = Tags::default();
                        let command =
                            scheduler::Command::CreateCluster { name: name.as_str().into(), tags };
                        store.submit(command).await.unwrap();
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "acknowledged {name}").and_then(|()| out.flush()).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if let Ok(task) = std::env::var(VARIABLE) {
        let (prefix, dir) = task.split_once(':').unwrap();
        victim(Path::new(dir), prefix);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut chance = SeededEntropy::new(9);
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_was_acknowledged_survives_kill_9", "--nocapture"])
            .env(VARIABLE, format!("round{round}:{}", dir.path().display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Let it get going, then some more at random, then kill it in the middle of something.
        let enough = 1 + usize::try_from(chance.below(120)).unwrap();
        let mut heard = 0;
        for line in lines.map_while(Result::ok) {
            // The first line shares its line with the test runner's own words.
            if let Some((_, name)) = line.split_once("acknowledged ") {
                acknowledged.push(name.to_owned());
                heard += 1;
            }
            if heard == enough {
                std::thread::sleep(Duration::from_micros(chance.below(3000)));
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let store = open(dir.path());
        let state = store.snapshot();
        let lost: Vec<&String> = acknowledged
            .iter()
            .filter(|name| state.cluster(&ClusterName::from(name.as_str())).is_none())
            .collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        drop((store, state));
        // The writer lets go of the file once the last handle is gone.
        wait_until_free(dir.path());
    }
    assert!(acknowledged.len() > 100, "too little was written to tell: {}", acknowledged.len());
}

fn wait_until_free(dir: &Path) {
    for _ in 0..500 {
        if RedbEngine::open(&dir.join("state.redb")).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the writer does not let go of the file");
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let first = RedbEngine::open(&path).unwrap();
    let refused = RedbEngine::open(&path).unwrap_err().to_string();
    assert!(refused.contains("in use by another process"), "{refused}");
    drop(Arc::new(first));
}
