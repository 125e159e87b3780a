//! Histories by seed. `WHARF_SIM_SEEDS=10000` runs more of them, `WHARF_SIM_FROM=n` others,
//! `WHARF_SIM_SEED=n` one, with its trace.

use std::collections::BTreeMap;

use sim::{Script, Step, history};

/// So many seeds in the usual run, without and with the compiler's optimisations.
const SEEDS: u64 = if cfg!(debug_assertions) { 100 } else { 1_000 };
/// A set of so many histories meets whatever there is to meet.
const WHOLE: u64 = 600;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What a set of histories came to.
#[derive(Default)]
struct Tally {
    seeds: u64,
    steps: usize,
    commands: u64,
    starts: u64,
    met: BTreeMap<&'static str, u64>,
    faults: Vec<(Script, String)>,
}

impl Tally {
    fn play(&mut self, script: Script, watched: bool) {
        let ending = history::run(&script, watched);
        self.seeds += 1;
        self.steps += script.steps.len();
        self.commands += ending.commands;
        self.starts += ending.starts;
        for (what, count) in ending.met {
            *self.met.entry(what).or_default() += count;
        }
        if watched {
            println!("{}", ending.trace.join("\n"));
        }
        if let Some(fault) = ending.fault {
            println!("seed {}: {}", script.seed, fault.chars().take(200).collect::<String>());
            self.faults.push((script, fault));
        }
    }

    fn tell(&self) {
        let Self { seeds, steps, commands, starts, met, faults } = self;
        println!(
            "{seeds} seeds, {} of them clean: {steps} steps, {commands} commands, {starts} starts of \
             the server",
            *seeds - faults.len() as u64
        );
        for (what, count) in met {
            println!("{count:>9}  {what}");
        }
    }
}

#[test]
fn every_history_is_safe_and_comes_to_rest() {
    let only = number("WHARF_SIM_SEED");
    let count = number("WHARF_SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("WHARF_SIM_FROM").unwrap_or(0);
    let mut tally = Tally::default();
    for seed in only.map_or(first..first + count, |seed| seed..seed + 1) {
        tally.play(Script::of(seed), only.is_some());
        if tally.faults.len() > 20 {
            break;
        }
        if tally.seeds.is_multiple_of(500) {
            println!("{} seeds, {} failed", tally.seeds, tally.faults.len());
        }
    }
    tally.tell();
    for (script, fault) in &tally.faults {
        println!("{}", history::summary(script, fault));
    }
    if let Some((script, fault)) = tally.faults.first() {
        panic!("{}", history::tell(script, fault));
    }
    if tally.seeds >= WHOLE {
        let unmet: Vec<_> =
            Step::MET.iter().filter(|what| !tally.met.contains_key(**what)).collect();
        assert!(unmet.is_empty(), "no history met {unmet:?}");
    }
}
