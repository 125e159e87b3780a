//! The script of a history: what users do and what breaks, drawn from a seed. Numbers choose among
//! what there is at that moment, so that a script that is cut shorter is one still.

use std::time::Duration;

use stdx::{Entropy, SeededEntropy};

use crate::fleet::{Family, Machine};
use crate::world::{Mutation, Weather};

/// One step.
#[expect(missing_docs, reason = "the members of a step are named for what they are")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// CreateService.
    Create {
        service: u8,
        family: u8,
        desired: u32,
        percents: (u32, u32),
        breaker: bool,
        strategy: u8,
    },
    /// UpdateService with another definition.
    Update { service: u8, family: u8 },
    /// UpdateService with another count.
    Scale { service: u8, desired: u32 },
    /// UpdateService with other percentages.
    Percents { service: u8, percents: (u32, u32) },
    /// UpdateService with a new deployment of the same.
    Force { service: u8 },
    /// DeleteService.
    Delete { service: u8, force: bool },
    /// RunTask, by a user who insists with a client token.
    Run { family: u8, count: u32 },
    /// StopTask.
    Stop { task: u16 },
    /// UpdateTaskProtection.
    Protect { task: u16, minutes: u64 },
    /// UpdateContainerInstancesState.
    Drain { node: u8, drain: bool },
    /// DeregisterContainerInstance.
    Deregister { node: u8, force: bool },
    /// A container ends by itself.
    Kill { task: u16, code: u8 },
    /// A health check changes its verdict.
    Verdict { task: u16, healthy: bool },
    /// A machine is never seen again.
    Lose { node: u8 },
    /// A machine loses its power for a while.
    Reboot { node: u8, millis: u64 },
    /// An agent ends and comes back; containers run on.
    Restart { node: u8, millis: u64 },
    /// Nothing comes through to a node for a while.
    Cut { node: u8, millis: u64 },
    /// A session breaks again and again.
    Flap { node: u8, times: u8 },
    /// Starts take long on a node for a while.
    Slow { node: u8, millis: u64 },
    /// A new machine.
    Grow { cpu: u32 },
    /// The server is killed, and comes back after a while.
    Crash { millis: u64 },
    /// The power of the server goes after so many operations of its disk.
    Power { operations: u64 },
    /// The server's disk is full for some commits.
    Full { commits: u32 },
    /// The server's clock jumps.
    Clock { millis: i64 },
    /// An agent lies.
    Lie { node: u8, lie: Lie, task: u16 },
}

/// What an agent lies about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It reports a task that nobody has.
    Unknown,
    /// It reports that another's task is over.
    Theirs,
    /// It says that what is over runs.
    Undead,
    /// It registers again with half of what it had.
    Half,
    /// It says that a task holds a port that another holds.
    Port,
}

/// A whole history to come.
#[derive(Clone, Debug)]
pub struct Script {
    /// From which seed.
    pub seed: u64,
    /// Whether the server's records are on the simulated disk.
    pub on_disk: bool,
    /// How messages fare.
    pub weather: Weather,
    /// What there is at first.
    pub machines: Vec<Machine>,
    /// What happens, and so long after the step before.
    pub steps: Vec<(Duration, Step)>,
    /// What is broken on purpose.
    pub mutation: Option<Mutation>,
}

/// The families of every history.
pub(crate) fn families() -> Vec<Family> {
    let plain = |name: &str, image: &str| Family::new(name, image, 128, 128);
    vec![
        plain("good", "good"),
        Family { checked: true, ..plain("checked", "good") },
        Family { port: Some((80, Some(8080))), ..plain("port", "good") },
        Family { port: Some((80, None)), ..plain("published", "good") },
        Family { distinct: true, ..plain("distinct", "good") },
        Family::new("big", "good", 600, 700),
        Family { gpus: 1, ..plain("gpu", "good") },
        plain("slow", "slow-4000"),
        plain("job", "exit-3000-0"),
        plain("crash", "exit-700-1"),
        plain("missing", "missing"),
        Family { checked: true, ..plain("sick", "sick-4000") },
    ]
}

/// So many of [`families`] run for ever and well.
pub(crate) const WELL: u8 = 8;

impl Script {
    /// The history of a seed. Which kinds of faults it has is drawn first, so that histories differ in
    /// kind and not only in detail.
    pub fn of(seed: u64) -> Self {
        let mut chance = SeededEntropy::new(seed);
        let sometimes = |chance: &mut SeededEntropy, most: u64| {
            if chance.below(3) == 0 { chance.below(most) } else { 0 }
        };
        let weather = Weather {
            lost: sometimes(&mut chance, 30),
            unanswered: sometimes(&mut chance, 30),
            twice: sometimes(&mut chance, 30),
            late: sometimes(&mut chance, 30),
        };
        let on_disk = chance.below(4) == 0;
        let count = 2 + chance.below(5);
        let machines = (0..count).map(|n| machine(&mut chance, n)).collect();
        let kinds: Vec<u64> = (0..12).filter(|_| chance.below(2) == 0).collect();
        let length = 4 + chance.below(36);
        let steps = (0..length).map(|_| {
            let wait = match chance.below(4) {
                0 => chance.below(30),
                1 | 2 => chance.below(3_000),
                _ => chance.below(60_000),
            };
            (Duration::from_millis(wait), step(&mut chance, &kinds, on_disk))
        });
        Self { seed, on_disk, weather, machines, steps: steps.collect(), mutation: None }
    }
}

fn machine(chance: &mut SeededEntropy, n: u64) -> Machine {
    let size = [1024, 1024, 2048, 4096][usize::try_from(n % 4).unwrap_or(0)];
    let gpus = if chance.below(3) == 0 { 2 } else { 0 };
    Machine { cpu: size, memory: size, gpus, zone: u32::try_from(n % 3).unwrap_or(0) }
}

const PERCENTS: [(u32, u32); 6] =
    [(200, 100), (150, 50), (100, 50), (100, 0), (125, 100), (200, 0)];

fn step(chance: &mut SeededEntropy, kinds: &[u64], on_disk: bool) -> Step {
    let faulty = !kinds.is_empty() && chance.below(5) < 2;
    if !faulty {
        return wish(chance);
    }
    let kind = kinds[small::<usize>(chance, kinds.len() as u64)];
    let (node, task) = (small::<u8>(chance, 8), small::<u16>(chance, 0x1_0000));
    let millis = [50, 3_000, 30_000, 200_000][small::<usize>(chance, 4)];
    let millis = chance.below(millis) + 1;
    match kind {
        0 => Step::Kill { task, code: small::<u8>(chance, 3) },
        1 => Step::Verdict { task, healthy: chance.below(2) == 0 },
        2 => Step::Lose { node },
        3 => Step::Reboot { node, millis },
        4 => Step::Restart { node, millis },
        5 => Step::Cut { node, millis },
        6 => Step::Flap { node, times: 1 + small::<u8>(chance, 5) },
        7 => Step::Slow { node, millis },
        8 if on_disk => Step::Power { operations: chance.below(60) },
        8 => Step::Full { commits: 1 + small::<u32>(chance, 6) },
        9 => Step::Crash { millis },
        10 => {
            let most = [1_000, 100_000, 3_000_000][small::<usize>(chance, 3)];
            let by = i64::try_from(chance.below(most)).unwrap_or(0);
            Step::Clock { millis: if chance.below(2) == 0 { by } else { -by } }
        }
        _ => {
            let lies = [Lie::Unknown, Lie::Theirs, Lie::Undead, Lie::Half, Lie::Port];
            Step::Lie { node, lie: lies[small::<usize>(chance, 5)], task }
        }
    }
}

/// What a user wants.
fn wish(chance: &mut SeededEntropy) -> Step {
    let (service, family) = (small::<u8>(chance, 3), small::<u8>(chance, 12));
    let (node, task) = (small::<u8>(chance, 8), small::<u16>(chance, 0x1_0000));
    let percents = PERCENTS[small::<usize>(chance, 6)];
    match chance.below(16) {
        0..=3 => Step::Create {
            service,
            family,
            desired: small(chance, 7),
            percents,
            breaker: chance.below(2) == 0,
            strategy: small::<u8>(chance, 6),
        },
        4..=5 => Step::Update { service, family },
        6..=7 => Step::Scale { service, desired: small(chance, 7) },
        8 => Step::Percents { service, percents },
        9 => Step::Force { service },
        10 => Step::Delete { service, force: chance.below(3) > 0 },
        11..=12 => Step::Run { family, count: 1 + small::<u32>(chance, 10) },
        13 if chance.below(2) == 0 => Step::Protect { task, minutes: chance.below(30) },
        13 => Step::Stop { task },
        14 => Step::Drain { node, drain: chance.below(2) == 0 },
        _ if chance.below(3) == 0 => Step::Deregister { node, force: chance.below(2) == 0 },
        _ => Step::Grow { cpu: 1024 },
    }
}

/// A number below `most`, of a size that holds it.
pub(crate) fn small<T: TryFrom<u64> + Default>(chance: &mut SeededEntropy, most: u64) -> T {
    T::try_from(chance.below(most)).unwrap_or_default()
}
