//! `kill -9` in the middle of writing: whatever was acknowledged is there afterwards.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use shell::ManualClock;

use super::disk::parameter;
use super::{NOW, open_at, text};
use crate::{CreateSecret, PutParameter, Type, VersionChoice};

/// Tells the test below that it is the child, and where to write.
const DIR: &str = "VAULT_CRASH_DIR";

/// The child's part: writes without end, and says on standard output what is acknowledged. Without
/// its parent it has nothing to do.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let vault = open_at(Path::new(&dir), &ManualClock::new(NOW));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let round = std::process::id();
        let secrets = tokio::spawn({
            let vault = vault.clone();
            async move {
                for n in 0.. {
                    let name = format!("s{round}-{n}");
                    let value = Some(text(&name));
                    let secret = CreateSecret { name: name.clone(), value, ..Default::default() };
                    vault.create_secret(secret).await.unwrap();
                    println!("acked secret {name}");
                }
            }
        });
        for n in 0.. {
            let value = format!("p{round}-{n}");
            let wanted = PutParameter { overwrite: true, ..parameter("p", Type::String, &value) };
            let version = vault.put_parameter(wanted).await.unwrap().version;
            println!("acked {version} {value}");
        }
        secrets.await.unwrap();
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acked: Vec<(String, String)> = Vec::new();
    for round in 1..=4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "tests::crash::child_that_writes_until_it_is_killed"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        // Killed at another moment each round.
        while seen < 11 * round {
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
    assert!(acked.len() >= 11 * 10);
}

fn note(acked: &mut Vec<(String, String)>, line: &str) -> bool {
    // The test harness may write its own words before the first line.
    let Some((_, said)) = line.split_once("acked ") else { return false };
    let Some((what, value)) = said.split_once(' ') else { return false };
    acked.push((what.to_owned(), value.to_owned()));
    true
}

fn verify(dir: &Path, acked: &[(String, String)]) {
    let vault = open_at(dir, &ManualClock::new(NOW));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let newest = vault.parameter("p", false).await.map_or(0, |found| found.version);
        for (what, value) in acked {
            if what == "secret" {
                let found = vault.secret_value(value, VersionChoice::default()).await.unwrap();
                assert_eq!(found.value.reveal_text(), Some(value.as_str()));
            } else {
                let version: u64 = what.parse().unwrap();
                assert!(version <= newest, "version {version} was acknowledged, {newest} is there");
                // A hundred are kept.
                if version + 100 > newest {
                    let found = vault.parameter(&format!("p:{version}"), false).await.unwrap();
                    assert_eq!(found.value.reveal_text(), Some(value.as_str()));
                }
            }
        }
    });
}
