//! The wheel of rounds turned by hand at random: rounds are decided upon ones that are being written,
//! writes fail, the process ends between any two steps and the power at any write. What was answered
//! is there afterwards, and nothing else but, at most, the one round that was under way.
//!
//! A failing seed is printed; `WHARF_SEED=n cargo test -p store --test rounds` replays it alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{Realm, State, Tags};
use scheduler::Command;
use stdx::{Entropy, SeededEntropy, Timestamp};
use store::disk::Disk;
use store::{Engine, MemoryEngine, RedbEngine, Rounds, Sealed};

const SEEDS: u64 = 300;
const STEPS: u64 = 150;
const NOW: Timestamp = Timestamp::from_millis(1_000);

fn realm() -> Realm {
    Realm::new("us-east-1", "123456789012")
}

fn create(n: u64) -> Command {
    Command::CreateCluster { name: format!("c{n}").as_str().into(), tags: Tags::default() }
}

/// Where the records are.
enum Kept {
    Memory(MemoryEngine),
    Disk(Disk),
}

impl Kept {
    fn open(&self) -> Option<(Box<dyn Engine>, Rounds)> {
        let mut engine: Box<dyn Engine> = match self {
            Self::Memory(engine) => Box::new(engine.clone()),
            Self::Disk(disk) => Box::new(RedbEngine::over(disk.clone()).ok()?),
        };
        let rounds = Rounds::open(engine.as_mut(), realm()).ok()?;
        Some((engine, rounds))
    }

    /// Whether a write that failed may be followed by one that does not: on a full disk, but not
    /// without power.
    fn goes_on(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Disk(disk) => disk.has_power(),
        }
    }
}

/// One process after the other over the same records.
struct Lives {
    kept: Kept,
    chance: SeededEntropy,
    /// What was answered, and the state that it was answered from.
    published: Arc<State>,
    answered: BTreeSet<u64>,
    next: u64,
    /// Undone with a round decided upon it, so that the test can tell that this was tried.
    undone_upon: u64,
}

impl Lives {
    /// A process from its start to its end; false if it could not start.
    fn live(&mut self, under_way: &mut Option<Arc<State>>) -> Result<bool, String> {
        let Some((mut engine, mut rounds)) = self.kept.open() else {
            return if self.kept.goes_on() { Err("it does not open".into()) } else { Ok(false) };
        };
        let found = Arc::clone(rounds.snapshot());
        if *found != *self.published && under_way.as_deref() != Some(&*found) {
            return Err("what was found is neither what was answered nor that and a round".into());
        }
        if let Some(lost) = self.answered.iter().find(|n| !holds(&found, **n)) {
            return Err(format!("c{lost} was answered and is lost"));
        }
        (self.published, *under_way) = (found, None);
        let (mut sealed, mut upon): (Option<(Sealed, Vec<u64>)>, Vec<u64>) = (None, Vec::new());
        for _ in 0..1 + self.chance.below(STEPS) {
            match self.chance.below(10) {
                0..=4 => {
                    self.next += 1;
                    rounds.decide(&create(self.next), NOW, &mut self.chance).unwrap();
                    upon.push(self.next);
                }
                5..=7 => match rounds.seal() {
                    Some(round) => {
                        *under_way = Some(Arc::clone(round.state()));
                        sealed = Some((round, std::mem::take(&mut upon)));
                    }
                    None => assert!(rounds.is_writing() || upon.is_empty()),
                },
                _ => {
                    if let Kept::Memory(engine) = &self.kept
                        && self.chance.below(4) == 0
                    {
                        engine.fail_next_commits(1);
                    }
                    let Some((round, waiting)) = sealed.take() else { continue };
                    let written = round.write(engine.as_mut()).is_ok();
                    if !written && !self.kept.goes_on() || self.chance.below(12) == 0 {
                        // The process ends before it hears of it.
                        return Ok(true);
                    }
                    *under_way = None;
                    if written {
                        rounds.durable().unwrap();
                        self.answered.extend(waiting);
                        self.published = Arc::clone(rounds.snapshot());
                    } else {
                        self.undone_upon += u64::from(!upon.is_empty());
                        rounds.undo();
                        upon.clear();
                        assert!(
                            *rounds.draft() == *self.published,
                            "the draft is the durable state"
                        );
                    }
                }
            }
            if **rounds.snapshot() != *self.published {
                return Err("what is not durable is seen".into());
            }
        }
        Ok(true)
    }
}

fn holds(state: &State, n: u64) -> bool {
    state.cluster(&format!("c{n}").as_str().into()).is_some()
}

fn try_seed(seed: u64) -> Result<(usize, u64), String> {
    let mut chance = SeededEntropy::new(seed);
    let kept = if chance.below(2) == 0 {
        Kept::Memory(MemoryEngine::default())
    } else {
        Kept::Disk(Disk::with_power_for(40 + chance.below(400)))
    };
    let (published, answered) = (Arc::new(State::new(realm())), BTreeSet::new());
    let mut lives = Lives { kept, chance, published, answered, next: 0, undone_upon: 0 };
    let mut under_way = None;
    for life in 0..5 {
        lives.live(&mut under_way).map_err(|why| format!("seed {seed}, life {life}: {why}"))?;
        if let Kept::Disk(disk) = &lives.kept {
            let percent = [0, 20, 50, 80, 100][usize::try_from(lives.chance.below(5)).unwrap()];
            let steps = if life == 3 { u64::MAX } else { 40 + lives.chance.below(400) };
            disk.reboot(percent, steps, &mut lives.chance);
        }
    }
    Ok((lives.answered.len(), lives.undone_upon))
}

#[test]
fn what_was_answered_survives_and_what_was_undone_does_not() {
    let only = std::env::var("WHARF_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = only.map_or(0..SEEDS, |seed| seed..seed + 1);
    let (mut answered, mut undone) = (0, 0);
    for seed in seeds {
        let (some, upon) = try_seed(seed).unwrap_or_else(|why| panic!("{why}"));
        answered += some;
        undone += upon;
    }
    assert!(only.is_some() || answered > 1000 && undone > 100, "{answered} {undone}");
}

#[test]
fn a_round_goes_out_before_anybody_waits_long() {
    let mut chance = SeededEntropy::new(1);
    let mut rounds = Rounds::open(&mut MemoryEngine::default(), realm()).unwrap();
    let later = |millis| NOW + Duration::from_millis(millis);
    assert!(!rounds.is_ripe(later(1_000)), "nothing was decided, so nobody waits");
    rounds.decide(&create(1), NOW, &mut chance).unwrap();
    for (millis, ripe, full) in [(14, false, false), (15, true, false), (30, true, true)] {
        assert_eq!((rounds.is_ripe(later(millis)), rounds.is_full(later(millis))), (ripe, full));
    }
    assert!(!rounds.is_ripe(Timestamp::EPOCH), "a clock that was set back does no harm");
    // The next round is measured from its own beginning.
    assert!(rounds.seal().is_some() && !rounds.is_ripe(later(1_000)));
    rounds.decide(&create(2), later(30), &mut chance).unwrap();
    assert!(!rounds.is_ripe(later(31)));
    assert!(rounds.seal().is_none(), "one round at a time is written");
    rounds.undo();
    assert!(!rounds.is_full(later(1_000)) && rounds.pending() == 0);
    // However little time they take.
    for n in 0..5_000 {
        if rounds.is_full(NOW) {
            return;
        }
        rounds.decide(&create(n), NOW, &mut chance).unwrap();
    }
    panic!("a round takes any number of commands");
}
