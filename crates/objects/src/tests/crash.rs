//! `kill -9` in the middle of writing: whatever was acknowledged is there afterwards, and nothing
//! without a name is.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{files, get, open_at, put};
use crate::ListQuery;

/// Tells the test below that it is the child, and where to write.
const DIR: &str = "OBJECTS_CRASH_DIR";

/// The child's part: puts and deletes without end, and says on standard output what is acknowledged.
/// Without its parent it has nothing to do.
#[tokio::test]
async fn child_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = open_at(Path::new(&dir));
    store.create_bucket("bkt").await.map_or_else(|_| (), |()| ());
    let round = std::process::id();
    for n in 0.. {
        let key = format!("{round}-{n}");
        put(&store, &key, key.as_bytes()).await;
        println!("acked put {key}");
        if n % 3 == 2 {
            let old = format!("{round}-{}", n - 1);
            store.delete_objects("bkt", vec![old.clone()]).await.unwrap();
            println!("acked delete {old}");
        }
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acked: BTreeMap<String, bool> = BTreeMap::new();
    let mut said = 0;
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
        while seen < 9 * round {
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
        said += seen;
        verify(dir.path(), &acked);
    }
    assert!(said >= 9 * 10);
}

fn note(acked: &mut BTreeMap<String, bool>, line: &str) -> bool {
    // The test harness may write its own words before the first line.
    let Some((_, said)) = line.split_once("acked ") else { return false };
    let Some((what, key)) = said.split_once(' ') else { return false };
    acked.insert(key.to_owned(), what == "put");
    true
}

fn verify(dir: &Path, acked: &BTreeMap<String, bool>) {
    let store = open_at(dir);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut listed = 0;
        let mut query = ListQuery { most: 1000, ..ListQuery::default() };
        loop {
            let page = store.list_objects("bkt", query.clone()).await.unwrap();
            for object in page.objects {
                listed += 1;
                let content = get(&store, &object.key).await.unwrap();
                assert_eq!(content, object.key.as_bytes(), "content is whole");
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        for (key, there) in acked {
            // The last put or delete may have been done and not said.
            if *there && get(&store, key).await.is_err() {
                let n: u32 = key.rsplit('-').next().unwrap().parse().unwrap();
                assert_eq!(n % 3, 1, "{key} was acknowledged and is lost");
            }
            if !there {
                assert!(get(&store, key).await.is_err(), "{key} was deleted and is back");
            }
        }
        assert_eq!(files(dir), listed, "nothing lies about that no object names");
    });
}
