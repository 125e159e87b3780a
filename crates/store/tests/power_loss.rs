//! The power fails at every kind of moment: what was acknowledged is there afterwards, and nothing
//! else but, at most, the whole of the one commit that was under way.
//!
//! A failing seed is printed; `WHARF_SEED=n cargo test -p store --test power_loss` replays it alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Change, Cluster, ClusterStatus, Tags};
use stdx::{Entropy, SeededEntropy, Timestamp};
use store::disk::Disk;
use store::{Engine, RedbEngine, writes};

const SEEDS: u64 = 400;
const LIVES: u64 = 3;

type Contents = BTreeMap<String, i64>;

fn put(name: u64, value: i64) -> Change {
    Change::PutCluster(Arc::new(Cluster {
        name: format!("c{name}").into(),
        status: ClusterStatus::Active,
        tags: Tags::default(),
        exec_logging: None,
        capacity_providers: Vec::new(),
        default_strategy: Vec::new(),
        insights: model::Insights::Disabled,
        created_at: Timestamp::from_millis(value),
    }))
}

fn round(chance: &mut SeededEntropy, counter: &mut i64) -> Vec<Change> {
    (0..1 + chance.below(12))
        .map(|_| {
            *counter += 1;
            let name = chance.below(40);
            if chance.below(5) == 0 {
                Change::DeleteCluster(format!("c{name}").into())
            } else {
                put(name, *counter)
            }
        })
        .collect()
}

fn contents_after(mut contents: Contents, changes: &[Change]) -> Contents {
    for change in changes {
        match change {
            Change::PutCluster(c) => contents.insert(c.name.to_string(), c.created_at.as_millis()),
            Change::DeleteCluster(name) => contents.remove(name.as_str()),
            _ => unreachable!("only clusters are written here"),
        };
    }
    contents
}

fn read(engine: &mut RedbEngine) -> (u64, Contents) {
    let mut contents = Contents::new();
    let revision = engine
        .load(&mut |change| contents = contents_after(std::mem::take(&mut contents), &[change]))
        .expect("a store that opened is read");
    (revision, contents)
}

/// Lives through power losses; `Err` tells what was lost.
fn live(seed: u64, lie: bool) -> Result<u64, String> {
    let mut chance = SeededEntropy::new(seed);
    let disk = Disk::with_power_for(40 + chance.below(400));
    if lie {
        disk.lie();
    }
    let (mut acknowledged, mut under_way) = ((0, Contents::new()), None::<(u64, Contents)>);
    let (mut counter, mut acks) = (0, 0);
    for life in 0..=LIVES {
        match RedbEngine::over(disk.clone()) {
            Err(error) if disk.has_power() => {
                return Err(format!(
                    "seed {seed}, life {life}: does not open: {}",
                    stdx::chain(&error)
                ));
            }
            Err(_) => {}
            Ok(mut engine) if disk.has_power() => {
                let found = read(&mut engine);
                if Some(&found) == under_way.as_ref() {
                    acknowledged = found;
                } else if found != acknowledged {
                    return Err(format!(
                        "seed {seed}, life {life}: {acknowledged:?} became {found:?}"
                    ));
                }
                under_way = None;
                loop {
                    let changes = round(&mut chance, &mut counter);
                    let next =
                        (acknowledged.0 + 1, contents_after(acknowledged.1.clone(), &changes));
                    let quiet = chance.below(6) == 0 && engine.idle().is_err();
                    if quiet || engine.commit(next.0, &writes(&changes).unwrap()).is_err() {
                        if !quiet {
                            under_way = Some(next);
                        }
                        break;
                    }
                    acknowledged = next;
                    acks += 1;
                }
            }
            Ok(_) => {}
        }
        let percent = [0, 20, 50, 80, 100][usize::try_from(chance.below(5)).unwrap()];
        let last = life + 1 == LIVES;
        let steps = if last { u64::MAX } else { 40 + chance.below(400) };
        disk.reboot(percent, steps, &mut chance);
        if last {
            let mut engine = RedbEngine::over(disk.clone())
                .map_err(|e| format!("seed {seed}: does not open at last: {}", stdx::chain(&e)))?;
            let found = read(&mut engine);
            if found != acknowledged && Some(&found) != under_way.as_ref() {
                return Err(format!("seed {seed}: {acknowledged:?} became {found:?} at last"));
            }
            return Ok(acks);
        }
    }
    Ok(acks)
}

#[test]
fn what_was_acknowledged_survives_power_loss() {
    let only = std::env::var("WHARF_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = only.map_or(0..SEEDS, |seed| seed..seed + 1);
    let acks: u64 = seeds.map(|seed| live(seed, false).unwrap_or_else(|why| panic!("{why}"))).sum();
    assert!(only.is_some() || acks > 1000, "the lives were too short to tell: {acks} commits");
}

#[test]
fn a_disk_that_lies_is_caught() {
    let caught = (0..60)
        .filter(|seed| std::panic::catch_unwind(|| live(*seed, true)).map_or(true, |r| r.is_err()))
        .count();
    assert!(caught > 5, "only {caught} of 60 lies were noticed: the check does not bite");
}
