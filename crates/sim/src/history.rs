//! A history from its beginning to its end; and the shortest one that still fails.

use std::collections::BTreeMap;
use std::time::Duration;

use scheduler::Command;

use crate::checks::folds;
use crate::fleet::CLUSTER;
use crate::server::Storage;
use crate::step::{Script, families};
use crate::wishes::Field;
use crate::world::{Caller, Happening, Mutation, World};

/// How a history went.
#[derive(Debug)]
pub struct Ending {
    /// What was wrong, if something was.
    pub fault: Option<String>,
    /// The last lines of what happened, if they were asked for.
    pub trace: Vec<String>,
    /// How many commands were decided.
    pub commands: u64,
    /// How often the server started.
    pub starts: u64,
    /// What was met, and how often.
    pub met: BTreeMap<&'static str, u64>,
}

/// Runs a script to its end.
pub fn run(script: &Script, watched: bool) -> Ending {
    let mut world = World::new(script.seed, script.on_disk);
    if watched {
        world.watch();
    }
    play(&mut world, script);
    let (commands, starts) = world.tally();
    let trace = world.seen().map(str::to_owned).collect();
    Ending { fault: world.fault().map(str::to_owned), trace, commands, starts, met: world.met }
}

fn play(world: &mut World, script: &Script) {
    world.mutation = script.mutation;
    match (script.mutation, &world.storage) {
        (Some(Mutation::ForgetfulAgents), _) => world.remembers = Duration::ZERO,
        (Some(Mutation::LyingDisk), Storage::Disk(disk)) => disk.lie(),
        _ => {}
    }
    world.pass(Duration::from_millis(10));
    let tags = model::Tags::default();
    world.call(Caller::Nobody, Command::CreateCluster { name: CLUSTER.into(), tags });
    for family in families() {
        world.pass(Duration::from_millis(20));
        world.call(Caller::Nobody, family.register());
    }
    world.pass(Duration::from_millis(20));
    lay(world, &script.fields);
    for machine in &script.machines {
        world.add(machine.clone());
    }
    world.pass(Duration::from_secs(1));
    world.weather = script.weather;
    world.steps = script.steps.iter().map(|(_, step)| *step).collect();
    let mut at = world.now();
    for (number, (wait, _)) in script.steps.iter().enumerate() {
        at = at + *wait;
        world.agenda.at(at, Happening::Step(number));
    }
    world.pass(at.since(world.now()) + Duration::from_secs(5));
    if let Err(what) = folds(world.state()) {
        world.fail(what);
    }
    if world.fault().is_none() {
        world.come_to_rest();
    }
}

/// What the history's fields stand upon.
fn lay(world: &mut World, fields: &[Field]) {
    let has = |some: &[Field]| fields.iter().any(|field| some.contains(field));
    world.surrounded = !fields.is_empty();
    if has(&[Field::Balanced, Field::Progressive, Field::Sets, Field::Own]) {
        world.lay_balancing();
    }
    if has(&[Field::Capacity]) {
        world.lay_capacity();
    }
}

/// The script with as few steps as can be found quickly of which the same run still fails.
pub fn shrink(script: &Script) -> Script {
    let mut best = script.clone();
    let mut size = best.steps.len().div_ceil(2).max(1);
    let mut budget = 300_u32;
    loop {
        let mut from = 0;
        while from < best.steps.len() && budget > 0 {
            let mut next = best.clone();
            let end = (from + size).min(next.steps.len());
            let waited: Duration = next.steps.drain(from..end).map(|(wait, _)| wait).sum();
            if let Some((wait, _)) = next.steps.get_mut(from) {
                *wait += waited;
            }
            budget -= 1;
            if run(&next, false).fault.is_some() {
                best = next;
            } else {
                from += size;
            }
        }
        if size == 1 || budget == 0 {
            return best;
        }
        size = size.div_ceil(2).min(size - 1).max(1);
    }
}

/// A fault in few words: the seed, the shortest script, and what it ends in.
pub fn summary(script: &Script, fault: &str) -> String {
    let short = shrink(script);
    let steps: Vec<String> =
        short.steps.iter().map(|(wait, step)| format!("{wait:?} {step:?}")).collect();
    let cut = |text: &str| text.chars().take(400).collect::<String>();
    let ending = run(&short, false).fault.unwrap_or_default();
    format!(
        "seed {}: {}\n  {:?} disk {}: {}\n  -> {}",
        script.seed,
        cut(fault),
        short.weather,
        short.on_disk,
        steps.join("; "),
        cut(&ending)
    )
}

/// What there is to say of a seed that fails: how to replay it, the shortest script, and the trace.
pub fn tell(script: &Script, fault: &str) -> String {
    let short = shrink(script);
    let ending = run(&short, true);
    let mut lines = vec![
        format!("seed {} fails: {fault}", script.seed),
        format!(
            "replay: WHARF_SIM_SEED={} cargo test -p sim --test seeds -- --nocapture",
            script.seed
        ),
        format!("{} of its {} steps are enough:", short.steps.len(), script.steps.len()),
        format!("  {:?}, on disk: {}", short.weather, short.on_disk),
        format!("  {:?}", short.machines),
    ];
    lines.extend(short.steps.iter().map(|(wait, step)| format!("  after {wait:?}: {step:?}")));
    lines.push(format!("which end in: {}", ending.fault.as_deref().unwrap_or("nothing wrong")));
    lines.extend(ending.trace.into_iter().map(|line| format!("  {line}")));
    lines.join("\n")
}
