//! `kill -9` in the middle of writing: whatever was acknowledged is there afterwards.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use shell::ManualClock;

use super::{NOW, event, open_at};
use crate::GetQuery;

/// Tells the test below that it is the child, and where to write.
const DIR: &str = "TELEMETRY_CRASH_DIR";
const WRITERS: usize = 4;

/// The child's part: writes without end, and says on standard output what is acknowledged. Without
/// its parent it has nothing to do.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let logs = open_at(std::path::Path::new(&dir), &ManualClock::new(NOW));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let round = std::process::id();
        let mut writers = tokio::task::JoinSet::new();
        logs.create_group("g", Default::default()).await.map_or_else(|_| (), |()| ());
        for writer in 0..WRITERS {
            let (logs, stream) = (logs.clone(), format!("s{writer}"));
            logs.create_stream("g", &stream).await.map_or_else(|_| (), |()| ());
            writers.spawn(async move {
                for n in 0.. {
                    let text = format!("{round}-{writer}-{n}");
                    logs.put_events("g", &stream, vec![event(0, &text)]).await.unwrap();
                    println!("acked {stream} {text}");
                }
            });
        }
        writers.join_all().await;
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acked: Vec<(String, String)> = Vec::new();
    for round in 1..=6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "tests::crash::child_that_writes_until_it_is_killed"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        // Killed at another moment each round.
        while seen < 37 * round {
            let line = lines.next().expect("the child goes on writing").unwrap();
            seen += usize::from(note(&mut acked, &line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died counts as well, but for a last line cut short.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        for line in rest.iter().take(rest.len().saturating_sub(1)) {
            note(&mut acked, line);
        }
        verify(dir.path(), &acked);
    }
    assert!(acked.len() >= 37 * 21);
}

fn note(acked: &mut Vec<(String, String)>, line: &str) -> bool {
    // The test harness may write its own words before the first line.
    let Some((_, said)) = line.split_once("acked ") else { return false };
    let Some((stream, text)) = said.split_once(' ') else { return false };
    acked.push((stream.to_owned(), text.to_owned()));
    true
}

fn verify(dir: &std::path::Path, acked: &[(String, String)]) {
    let logs = open_at(dir, &ManualClock::new(NOW));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut stored = std::collections::BTreeSet::new();
    runtime.block_on(async {
        for writer in 0..WRITERS {
            let stream = format!("s{writer}");
            let mut query = GetQuery { from_head: true, ..GetQuery::default() };
            loop {
                let page = logs.get_events("g", &stream, query.clone()).await.unwrap();
                if page.events.is_empty() {
                    break;
                }
                for event in page.events {
                    assert!(stored.insert((stream.clone(), event.message)), "stored twice");
                }
                query.next_token = Some(page.forward_token);
            }
        }
    });
    for event in acked {
        assert!(stored.contains(event), "{event:?} was acknowledged and is lost");
    }
}
