//! What a command would come to: the same decisions and the same plan as ever, on a copy of the state,
//! in virtual time, with nodes that do at once and without fail what they are told.
//!
//! Nothing is changed. What it cannot foresee are failures: images that are missing, health checks
//! that fail, nodes that are lost or that capacity providers would start.

mod nodes;

use std::collections::BTreeMap;
use std::time::Duration;

use model::{
    Change, DefinitionKey, DesiredStatus, InstanceId, Service, ServiceKey, State, StopCode, TaskId,
    TaskStatus,
};
use stdx::{SeededEntropy, Timestamp};

use crate::{Command, Outcome, Rejection, Report, decide, plan};
use nodes::Nodes;

/// How quickly the nodes of a foresight do what they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// From being placed to running.
    pub start: Duration,
    /// From running to healthy, of what has health checks.
    pub healthy: Duration,
    /// From being told to stop to being over.
    pub stop: Duration,
    /// So far is looked ahead.
    pub horizon: Duration,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(1),
            healthy: Duration::from_secs(5),
            stop: Duration::from_secs(1),
            horizon: Duration::from_secs(6 * 60 * 60),
        }
    }
}

/// What would happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Foresight {
    /// In order of time.
    pub steps: Vec<Step>,
    /// How it would end.
    pub end: End,
    /// When nothing more would happen, counted from now.
    pub span: Duration,
    /// The fewest tasks of each concerned service that would run at any moment, and the most that
    /// would exist.
    pub bounds: BTreeMap<ServiceKey, Bounds>,
}

/// How a foresight ends.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// Everything is as it was asked to be.
    Settled,
    /// Some services would wait, and for what.
    Waits(Vec<Report>),
    /// It would still go on at the horizon, or after [`MOST_ROUNDS`].
    GoesOn,
}

/// How few tasks run and how many there are at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Wanted at the end.
    pub desired: u32,
    /// Running at the worst moment.
    pub fewest_running: u32,
    /// Not over at the fullest moment.
    pub most_existing: u32,
}

/// Something that would happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Counted from now.
    pub after: Duration,
    /// In which service, if in one.
    pub service: Option<ServiceKey>,
    /// What.
    pub what: Happening,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// A task is started.
    Start {
        /// Which; its real id will be another.
        task: TaskId,
        /// What it runs.
        definition: DefinitionKey,
        /// Where; none if it waits for capacity.
        instance: Option<InstanceId>,
    },
    /// A task is told to stop.
    Stop {
        /// Which.
        task: TaskId,
        /// What it runs.
        definition: DefinitionKey,
        /// Where.
        instance: Option<InstanceId>,
        /// Why, as its stopped reason would say.
        reason: String,
    },
    /// A service says something.
    Say(String),
}

/// So many rounds are played at most.
pub const MOST_ROUNDS: usize = 20_000;

/// What `commands`, one after the other, would come to from `now` on; chance follows from `seed`.
///
/// # Errors
/// What the first of them that is refused would be refused with.
pub fn foresee(
    state: &State,
    commands: &[Command],
    now: Timestamp,
    seed: u64,
    habits: Habits,
) -> Result<Foresight, Rejection> {
    let mut play = Play::new(state, now, seed, habits);
    for command in commands {
        let outcome = decide(&play.state, command, now, &mut play.chance)?;
        play.take(outcome);
    }
    let end = play.run();
    let span = play.steps.last().map_or(Duration::ZERO, |step| step.after);
    Ok(Foresight { steps: play.steps, end, span, bounds: play.bounds })
}

/// One foresight under way.
struct Play {
    state: State,
    began: Timestamp,
    now: Timestamp,
    seed: u64,
    chance: SeededEntropy,
    habits: Habits,
    nodes: Nodes,
    steps: Vec<Step>,
    bounds: BTreeMap<ServiceKey, Bounds>,
}

impl Play {
    fn new(state: &State, now: Timestamp, seed: u64, habits: Habits) -> Self {
        let mut nodes = Nodes::new(habits);
        for task in state.all_tasks() {
            nodes.look(task, now);
        }
        Self {
            state: state.clone(),
            began: now,
            now,
            seed,
            chance: SeededEntropy::new(seed),
            habits,
            nodes,
            steps: Vec::new(),
            bounds: BTreeMap::new(),
        }
    }

    /// Plays rounds until nothing more happens.
    fn run(&mut self) -> End {
        for round in 0..MOST_ROUNDS {
            let seed = self.seed.wrapping_add(round as u64);
            let planned = plan(&self.state, self.now, seed);
            if self.submit(planned.commands) {
                continue;
            }
            let next = [self.nodes.next(), planned.wake_at].into_iter().flatten().min();
            match next {
                Some(at) if at.since(self.began) > self.habits.horizon => {
                    return self.rest(planned.report);
                }
                Some(at) => {
                    self.now = self.now.max(at);
                    let due = self.nodes.due(&self.state, self.now);
                    self.submit(due);
                }
                None => return self.rest(planned.report),
            }
        }
        End::GoesOn
    }

    /// How it stands when nothing more happens.
    fn rest(&self, report: Vec<Report>) -> End {
        let concerned = |report: &Report| self.bounds.contains_key(&report.service);
        let waits: Vec<Report> = report.into_iter().filter(concerned).collect();
        match waits.is_empty() {
            true if self.nodes.next().is_none() => End::Settled,
            true => End::GoesOn,
            false => End::Waits(waits),
        }
    }

    /// Decides each command; whether any of them changed anything.
    fn submit(&mut self, commands: Vec<Command>) -> bool {
        let mut changed = false;
        for command in commands {
            // What is only kept or forgotten concerns nobody who asks.
            if matches!(command, Command::Forget(_)) {
                continue;
            }
            if let Ok(outcome) = decide(&self.state, &command, self.now, &mut self.chance) {
                changed |= !outcome.changes.is_empty();
                self.take(outcome);
            }
        }
        changed
    }

    /// Takes changes in, and notes what of them matters.
    fn take(&mut self, outcome: Outcome) {
        for change in &outcome.changes {
            self.note(change);
            self.state.apply(change);
            match change {
                Change::PutTask(facts) => self.watch(&facts.key),
                Change::PutProgress(key, _) => self.watch(key),
                Change::Balancing(change) => self.nodes.target(change, self.now),
                _ => {}
            }
        }
        for change in &outcome.changes {
            self.measure(change);
        }
    }

    fn watch(&mut self, key: &model::TaskKey) {
        if let Some(task) = self.state.task(key) {
            self.nodes.look(task, self.now);
        }
    }

    /// What a change means, before it is applied.
    fn note(&mut self, change: &Change) {
        match change {
            Change::PutTask(facts) => {
                let placed = self.state.task(&facts.key).map(|task| task.facts.instance.is_some());
                if placed.is_none_or(|placed| !placed && facts.instance.is_some()) {
                    self.step(
                        facts.service_key(),
                        Happening::Start {
                            task: facts.key.task.clone(),
                            definition: facts.definition.clone(),
                            instance: facts.instance.clone(),
                        },
                    );
                }
            }
            Change::PutProgress(key, progress) => {
                let Some(task) = self.state.task(key) else { return };
                let told = progress.desired == DesiredStatus::Stopped;
                if !told || task.progress.desired == DesiredStatus::Stopped {
                    return;
                }
                // One that ends by itself was not told to.
                if progress.stop_code == Some(StopCode::EssentialContainerExited) {
                    return;
                }
                let what = Happening::Stop {
                    task: key.task.clone(),
                    definition: task.facts.definition.clone(),
                    instance: task.facts.instance.clone(),
                    reason: progress.stopped_reason.clone().unwrap_or_default(),
                };
                self.step(task.facts.service_key(), what);
            }
            Change::PutEvent(key, event) => {
                self.step(Some(key.clone()), Happening::Say(event.message.clone()));
            }
            _ => {}
        }
    }

    fn step(&mut self, service: Option<ServiceKey>, what: Happening) {
        let after = self.now.since(self.began);
        self.steps.push(Step { after, service, what });
    }

    /// How many tasks the service of a change has now.
    fn measure(&mut self, change: &Change) {
        let service = match change {
            Change::PutService(service) => Some(service.key.clone()),
            Change::PutTask(facts) => facts.service_key(),
            Change::PutProgress(key, _) => self.state.task(key).and_then(|t| t.facts.service_key()),
            _ => None,
        };
        let Some(service) = service.and_then(|key| self.state.service(&key)).cloned() else {
            return;
        };
        let (running, existing) = self.count(&service);
        let bounds = self.bounds.entry(service.key.clone()).or_insert(Bounds {
            desired: 0,
            fewest_running: running,
            most_existing: existing,
        });
        bounds.desired = service.desired_count;
        bounds.fewest_running = bounds.fewest_running.min(running);
        bounds.most_existing = bounds.most_existing.max(existing);
    }

    /// Tasks of a service that run and are not told to stop, and all that are not over.
    fn count(&self, service: &Service) -> (u32, u32) {
        let (mut running, mut existing) = (0, 0);
        for task in self.state.tasks_of(&service.key) {
            let progress = &task.progress;
            let wanted = progress.desired == DesiredStatus::Running;
            running += u32::from(wanted && progress.status == TaskStatus::Running);
            existing += u32::from(progress.status != TaskStatus::Stopped);
        }
        (running, existing)
    }
}
