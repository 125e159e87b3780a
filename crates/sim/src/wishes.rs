//! What users want in a history, drawn from its seed: the usual things, and those of the fields that
//! the history has beside them.

use stdx::{Entropy, SeededEntropy};

use crate::around::Mood;
use crate::step::{Step, small};

/// A part of ECS that a history may have beside replica services and RunTask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Services behind target groups.
    Balanced,
    /// Deployments of two whole sets of tasks, with hooks, alarms and traffic that moves.
    Progressive,
    /// A capacity provider over an Auto Scaling group.
    Capacity,
    /// Daemon services.
    Daemons,
    /// Services of task sets.
    Sets,
    /// Tasks with a network of their own.
    Own,
    /// Scheduled tasks.
    Calendar,
    /// What nobody can satisfy: constraints, and services larger than the fleet.
    Hopeless,
    /// Two agents with one identity.
    Twins,
}

/// A kind of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One task on each instance.
    Daemon,
    /// A program's task sets.
    Sets,
    /// Behind a target group.
    Behind,
    /// Behind two, between which traffic moves: by which method, with which hook, watched by alarms.
    Pair(u8, u8, bool),
    /// On the capacity provider's nodes.
    Grown,
    /// Its tasks have a network of their own, behind a group or not.
    Own(bool),
    /// Its constraint is met by no instance.
    Nowhere,
    /// Larger than the fleet.
    Huge,
}

impl Kind {
    /// What it is called where it is told what was met.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Daemon => "CreateService: daemon",
            Self::Sets => "CreateService: task sets",
            Self::Behind => "CreateService: behind a group",
            Self::Pair(..) => "CreateService: two groups",
            Self::Grown => "CreateService: capacity provider",
            Self::Own(_) => "CreateService: own network",
            Self::Nowhere => "CreateService: placed nowhere",
            Self::Huge => "CreateService: larger than the fleet",
        }
    }
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Balanced,
        Self::Progressive,
        Self::Capacity,
        Self::Daemons,
        Self::Sets,
        Self::Own,
        Self::Calendar,
        Self::Hopeless,
        Self::Twins,
    ];
}

pub(crate) const PERCENTS: [(u32, u32); 6] =
    [(200, 100), (150, 50), (100, 50), (100, 0), (125, 100), (200, 0)];

/// What a user wants, of one of the history's fields every other time.
pub(crate) fn wish(chance: &mut SeededEntropy, fields: &[Field]) -> Step {
    match fields.len() {
        0 => usual(chance),
        n if chance.below(2) == 0 => {
            let field = fields[small::<usize>(chance, n as u64)];
            special(chance, field)
        }
        _ => usual(chance),
    }
}

fn usual(chance: &mut SeededEntropy) -> Step {
    let (service, family) = (small::<u8>(chance, 3), small::<u8>(chance, 15));
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

fn special(chance: &mut SeededEntropy, field: Field) -> Step {
    let (service, family) = (small::<u8>(chance, 3), small::<u8>(chance, 15));
    let (node, task) = (small::<u8>(chance, 8), small::<u16>(chance, 0x1_0000));
    let desired = small::<u32>(chance, 7);
    let breaker = chance.below(2) == 0;
    let make = |kind| Step::Make { service, kind, family, desired, breaker };
    let choice = chance.below(8);
    match (field, choice) {
        (Field::Balanced, 0..=2) => make(Kind::Behind),
        (Field::Balanced | Field::Progressive, 3) => Step::Update { service, family },
        (Field::Balanced, 4) => Step::Busy { busy: breaker },
        (Field::Balanced, _) => Step::Blind { task, healthy: chance.below(3) == 0 },
        (Field::Progressive, 0..=1) => {
            make(Kind::Pair(small(chance, 4), small(chance, 4), chance.below(3) == 0))
        }
        (Field::Progressive, 2) => Step::Force { service },
        (Field::Progressive, 4) => Step::EndDeployment { service, rollback: chance.below(2) == 0 },
        (Field::Progressive, 5) => Step::GoOn { service, rollback: chance.below(3) == 0 },
        (Field::Progressive, 6) => Step::Alarm { alarm: chance.below(2) == 0 },
        (Field::Progressive, _) => {
            let moods = [Mood::Willing, Mood::Unwilling, Mood::Undecided, Mood::Away, Mood::Silent];
            Step::Answer { mood: moods[small::<usize>(chance, 5)] }
        }
        (Field::Capacity, 0..=1) => make(Kind::Grown),
        (Field::Capacity, 2..=3) => Step::RunGrown { family, count: 1 + small::<u32>(chance, 10) },
        (Field::Capacity, 4) => Step::Nodes { desired: small(chance, 5) },
        (Field::Capacity, 5) => Step::Unwell { node },
        (Field::Capacity, 6) => Step::EndNode { node, decrement: breaker },
        (Field::Capacity, _) => Step::Barren { millis: chance.below(120_000), duds: breaker },
        (Field::Daemons, 0..=3) => make(Kind::Daemon),
        (Field::Daemons, _) => Step::Update { service, family },
        (Field::Sets, 0..=1) => make(Kind::Sets),
        (Field::Sets, 2..=4) => {
            Step::Set { service, family, percent: small(chance, 101), behind: breaker }
        }
        (Field::Sets, 5) => {
            Step::ScaleSet { service, set: small(chance, 5), percent: small(chance, 101) }
        }
        (Field::Sets, 6) => Step::Primary { service, set: small(chance, 5) },
        (Field::Sets, _) => Step::DropSet { service, set: small(chance, 5) },
        (Field::Own, _) => make(Kind::Own(breaker)),
        (Field::Calendar, _) => Step::Calendar { enabled: chance.below(4) > 0 },
        (Field::Hopeless, 0..=3) => make(Kind::Nowhere),
        (Field::Hopeless, _) => make(Kind::Huge),
        (Field::Twins, _) => Step::Twin { node, millis: 1 + chance.below(30_000) },
    }
}
