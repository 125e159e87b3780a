//! Histories by seed. `WHARF_SIM_SEEDS=10000` runs more of them, `WHARF_SIM_SEED=n` one, with its
//! trace.

use sim::{Script, history};

/// So many seeds in the usual run, without and with the compiler's optimisations.
const SEEDS: u64 = if cfg!(debug_assertions) { 100 } else { 1_000 };

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_history_is_safe_and_comes_to_rest() {
    let only = number("WHARF_SIM_SEED");
    let count = number("WHARF_SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("WHARF_SIM_FROM").unwrap_or(0);
    let seeds = only.map_or(first..first + count, |seed| seed..seed + 1);
    let (mut commands, mut starts) = (0, 0);
    let mut faults = Vec::new();
    for seed in seeds.clone() {
        let script = Script::of(seed);
        let ending = history::run(&script, only.is_some());
        commands += ending.commands;
        starts += ending.starts;
        if only.is_some() {
            println!("{}", ending.trace.join("\n"));
        }
        if let Some(fault) = ending.fault {
            faults.push((script, fault));
        }
        if faults.len() > 20 {
            break;
        }
    }
    println!("{} seeds: {commands} commands, {starts} starts of the server", seeds.count());
    for (script, fault) in &faults {
        println!("{}", history::summary(script, fault));
    }
    if let Some((script, fault)) = faults.first() {
        panic!("{}", history::tell(script, fault));
    }
}
