//! The script of a history: what users do and what breaks, drawn from a seed. Numbers choose among
//! what there is at that moment, so that a script that is cut shorter is one still.

use std::time::Duration;

use stdx::{Entropy, SeededEntropy};

use crate::around::Mood;
use crate::fleet::{Family, Machine};
use crate::wishes::{Field, Kind, wish};
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
    /// CreateService of another kind.
    Make { service: u8, kind: Kind, family: u8, desired: u32, breaker: bool },
    /// CreateTaskSet.
    Set { service: u8, family: u8, percent: u8, behind: bool },
    /// UpdateTaskSet.
    ScaleSet { service: u8, set: u8, percent: u8 },
    /// UpdateServicePrimaryTaskSet.
    Primary { service: u8, set: u8 },
    /// DeleteTaskSet.
    DropSet { service: u8, set: u8 },
    /// StopServiceDeployment.
    EndDeployment { service: u8, rollback: bool },
    /// ContinueServiceDeployment.
    GoOn { service: u8, rollback: bool },
    /// RunTask with the capacity provider, by a user who insists.
    RunGrown { family: u8, count: u32 },
    /// SetDesiredCapacity.
    Nodes { desired: u32 },
    /// SetInstanceHealth of a node.
    Unwell { node: u8 },
    /// TerminateInstanceInAutoScalingGroup.
    EndNode { node: u8, decrement: bool },
    /// PutRule with a schedule.
    Calendar { enabled: bool },
    /// Targets of a task fail, or are well again.
    Blind { task: u16, healthy: bool },
    /// Draining targets do not become idle by themselves, or do.
    Busy { busy: bool },
    /// The alarm of deployments is in alarm, or is not.
    Alarm { alarm: bool },
    /// Web servers of hooks answer otherwise.
    Answer { mood: Mood },
    /// No node can be started for a while; of those after it some never join.
    Barren { millis: u64, duds: bool },
    /// Another agent has the identity of one for a while.
    Twin { node: u8, millis: u64 },
}

impl Step {
    /// What it is called where it is told what was met: of users' steps the operation.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "CreateService",
            Self::Make { kind, .. } => kind.name(),
            Self::Update { .. } => "UpdateService: definition",
            Self::Scale { .. } => "UpdateService: count",
            Self::Percents { .. } => "UpdateService: percents",
            Self::Force { .. } => "UpdateService: forced",
            Self::Delete { .. } => "DeleteService",
            Self::Run { .. } => "RunTask",
            Self::RunGrown { .. } => "RunTask: capacity provider",
            Self::Stop { .. } => "StopTask",
            Self::Protect { .. } => "UpdateTaskProtection",
            Self::Drain { .. } => "UpdateContainerInstancesState",
            Self::Deregister { .. } => "DeregisterContainerInstance",
            Self::Set { .. } => "CreateTaskSet",
            Self::ScaleSet { .. } => "UpdateTaskSet",
            Self::Primary { .. } => "UpdateServicePrimaryTaskSet",
            Self::DropSet { .. } => "DeleteTaskSet",
            Self::EndDeployment { .. } => "StopServiceDeployment",
            Self::GoOn { .. } => "ContinueServiceDeployment",
            Self::Nodes { .. } => "SetDesiredCapacity",
            Self::Unwell { .. } => "SetInstanceHealth",
            Self::EndNode { .. } => "TerminateInstanceInAutoScalingGroup",
            Self::Calendar { .. } => "PutRule",
            _ => "fault",
        }
    }

    /// What a set of histories is to meet at least once: each operation that is taken, each fault.
    pub const MET: &[&str] = &[
        "CreateService",
        "CreateService: daemon",
        "CreateService: task sets",
        "CreateService: behind a group",
        "CreateService: two groups",
        "CreateService: capacity provider",
        "CreateService: own network",
        "CreateService: placed nowhere",
        "CreateService: larger than the fleet",
        "UpdateService: definition",
        "UpdateService: count",
        "UpdateService: percents",
        "UpdateService: forced",
        "DeleteService",
        "RunTask",
        "RunTask: capacity provider",
        "RunTask by the bus",
        "StopTask",
        "UpdateTaskProtection",
        "UpdateContainerInstancesState",
        "DeregisterContainerInstance",
        "CreateTaskSet",
        "UpdateTaskSet",
        "UpdateServicePrimaryTaskSet",
        "DeleteTaskSet",
        "StopServiceDeployment",
        "ContinueServiceDeployment",
        "SetDesiredCapacity",
        "SetInstanceHealth",
        "TerminateInstanceInAutoScalingGroup",
        "PutRule",
        "refusal",
        "call lost",
        "call late",
        "call doubled",
        "answer lost",
        "server killed",
        "power lost, disk torn",
        "commit failed",
        "clock set back",
        "clock set forward",
        "machine lost",
        "machine added",
        "machine reboots",
        "agent restarts",
        "network cut",
        "session flaps",
        "session turned away",
        "slow starts",
        "container ends",
        "health check turns",
        "target fails",
        "target well",
        "lie: a task nobody has",
        "lie: another's task is over",
        "lie: what is over runs",
        "lie: half of what there was",
        "lie: a port of another's",
        "two agents with one identity",
        "hook succeeds",
        "hook fails",
        "hook asks for time",
        "hook unreachable",
        "hook hangs",
        "alarm during a deployment",
        "node started",
        "node fails to start",
        "node never joins",
        "node ended",
        "node found gone",
        "scheduled task",
    ];
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
    /// What there is beside replica services and RunTask.
    pub fields: Vec<Field>,
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
        Family { own: true, port: Some((80, None)), ..plain("own", "good") },
        plain("job", "exit-3000-0"),
        plain("crash", "exit-700-1"),
        plain("missing", "missing"),
        Family { checked: true, ..plain("sick", "sick-4000") },
        Family { port: Some((80, None)), ..plain("mute", "mute-5000") },
        Family { port: Some((80, None)), ..plain("brittle", "exit-900-1") },
    ]
}

/// So many of [`families`] run for ever and well.
pub(crate) const WELL: u8 = 9;

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
        let fields: Vec<Field> = Field::ALL.into_iter().filter(|_| chance.below(4) == 0).collect();
        let length = 4 + chance.below(36);
        let steps = (0..length).map(|_| {
            let wait = match chance.below(4) {
                0 => chance.below(30),
                1 | 2 => chance.below(3_000),
                _ => chance.below(60_000),
            };
            (Duration::from_millis(wait), step(&mut chance, &kinds, &fields, on_disk))
        });
        let steps = steps.collect();
        Self { seed, on_disk, weather, machines, fields, steps, mutation: None }
    }
}

fn machine(chance: &mut SeededEntropy, n: u64) -> Machine {
    let size = [1024, 1024, 2048, 4096][usize::try_from(n % 4).unwrap_or(0)];
    let gpus = if chance.below(3) == 0 { 2 } else { 0 };
    Machine { cpu: size, memory: size, gpus, zone: u32::try_from(n % 3).unwrap_or(0) }
}

fn step(chance: &mut SeededEntropy, kinds: &[u64], fields: &[Field], on_disk: bool) -> Step {
    let faulty = !kinds.is_empty() && chance.below(5) < 2;
    if !faulty {
        return wish(chance, fields);
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
            let most = [1_000, 100_000, 3_000_000, 30_000_000][small::<usize>(chance, 4)];
            let by = i64::try_from(chance.below(most)).unwrap_or(0);
            Step::Clock { millis: if chance.below(2) == 0 { by } else { -by } }
        }
        _ => {
            let lies = [Lie::Unknown, Lie::Theirs, Lie::Undead, Lie::Half, Lie::Port];
            Step::Lie { node, lie: lies[small::<usize>(chance, 5)], task }
        }
    }
}

/// A number below `most`, of a size that holds it.
pub(crate) fn small<T: TryFrom<u64> + Default>(chance: &mut SeededEntropy, most: u64) -> T {
    T::try_from(chance.below(most)).unwrap_or_default()
}
