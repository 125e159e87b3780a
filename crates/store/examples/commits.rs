//! Durable commits a second with 1, 64 and 512 waiting writers, on a real file.
//!
//! `cargo run --release -p store --example commits -- [DIR]`; the folder should be on the disk that
//! matters. Each command changes one record.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{Realm, Tags};
use scheduler::Command;
use shell::{Clock, OsEntropy, SystemClock};
use stdx::Timestamp;
use store::{RedbEngine, Store};

const MEASURE: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    println!(
        "{:>8}  {:>12}  {:>10}  {:>9}  {:>9}",
        "writers", "commands/s", "commits/s", "p50 ms", "p99 ms"
    );
    for writers in [1, 64, 512] {
        let path = dir.join(format!("commits-{}-{writers}.redb", std::process::id()));
        let engine = RedbEngine::open(&path).expect("the folder is writable");
        let realm = Realm::new("us-east-1", "000000000000");
        let store =
            Store::open(Box::new(engine), realm, SystemClock::shared(), Box::new(OsEntropy));
        measure(store.expect("a new store opens"), writers).await;
        std::fs::remove_file(&path).expect("the file is ours");
    }
}

async fn measure(store: Store, writers: u64) {
    let counter = Arc::new(AtomicU64::new(0));
    let begun = SystemClock.now();
    let end = begun + MEASURE;
    let tasks: Vec<_> = (0..writers)
        .map(|writer| tokio::spawn(write(store.clone(), writer, counter.clone(), end)))
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.expect("no writer panics"));
    }
    waits.sort_unstable();
    let seconds = SystemClock.now().since(begun).as_secs_f64();
    let at = |percent: usize| {
        let micros = waits.get(waits.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
        Duration::from_micros(micros).as_secs_f64() * 1000.0
    };
    let rate = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds;
    let stats = store.stats();
    println!(
        "{writers:>8}  {:>12.0}  {:>10.0}  {:>9.2}  {:>9.2}",
        rate(stats.commands),
        rate(stats.commits),
        at(50),
        at(99)
    );
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
async fn write(store: Store, writer: u64, counter: Arc<AtomicU64>, end: Timestamp) -> Vec<u64> {
    let mut waits = Vec::new();
    while SystemClock.now() < end {
        let n = counter.fetch_add(1, Ordering::Relaxed);
        // A bounded set of names, so that the state does not grow with the speed.
        let name = format!("c{writer}-{}", n % 64);
        let tags = Tags::from_iter([("n".to_owned(), n.to_string())]);
        let create = Command::CreateCluster { name: name.as_str().into(), tags: Tags::default() };
        let tag = Command::Tag { resource: model::Resource::Cluster(name.as_str().into()), tags };
        let begun = std::time::Instant::now();
        let known = store.snapshot().cluster(&name.as_str().into()).is_some();
        store.submit(if known { tag } else { create }).await.expect("the command is right");
        waits.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    waits
}
