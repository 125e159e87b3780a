//! The plan: what is to be done now about everything, as commands that are checked again when they
//! commit, with a report of what waits for what.
//!
//! It takes no input but the state, so it may be asked at any moment and after any loss; when there
//! is nothing to do it is empty. A service that is as it should be costs a few comparisons.

use model::{RolloutState, Service, ServiceStatus, State, StrategyItem, TaskId, TaskKey};
use stdx::{SeededEntropy, Timestamp};

use crate::capacity::CapacityCommand;
use crate::decide::planned::forgettable_at;
use crate::decide::targets::drained_at;
use crate::decide::{capacity, waiting};
use crate::desk::Desk;
use crate::placement::Wish;
use crate::replicas::{self, BATCH, Launch, Tally, Terms, Want};
use crate::{
    Command, Failure, FailureReason, Forget, StopCause, complaints, daemon, placement, rebalance,
    rollout, task_sets, timing, words,
};

/// What is to be done, why things wait, and when to look again though nothing changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In order. Each is checked again when it commits; [`crate::Rejection::Stale`] is no error.
    pub commands: Vec<Command>,
    /// Services that are not as they should be, and what each waits for.
    pub report: Vec<Report>,
    /// The earliest instant at which time alone changes the plan.
    pub wake_at: Option<Timestamp>,
}

/// Why a service is not as it should be. [`words::waiting`] tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Which.
    pub service: model::ServiceKey,
    /// What it waits for.
    pub why: Waiting,
}

/// What a service waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Waiting {
    /// A place: no instance takes its next task.
    Place(Failure),
    /// The end of a back-off.
    BackOff {
        /// Until then.
        until: Timestamp,
        /// After so many failures in a row.
        failures: u32,
    },
    /// Other percentages: these allow no step.
    Room {
        /// Its maximum percent.
        maximum_percent: u32,
        /// Its minimum healthy percent.
        minimum_healthy_percent: u32,
    },
    /// A new deployment, since this one was given up.
    Failed {
        /// Which.
        deployment: model::DeploymentId,
    },
    /// Its tasks: so many that are to become healthy, and to stop.
    Tasks {
        /// Not healthy yet.
        starting: u32,
        /// Not over yet.
        stopping: u32,
    },
}

/// What ought to be done about `state` at the instant `now`. Chance, where a strategy asks for it,
/// follows from `seed`.
pub fn plan(state: &State, now: Timestamp, seed: u64) -> Plan {
    plan_keeping(state, now, seed, timing::Keep::default())
}

/// The same where what is over is remembered for longer than ECS does.
pub fn plan_keeping(state: &State, now: Timestamp, seed: u64, keep: timing::Keep) -> Plan {
    let mut planner = Planner { state, now, seed, keep, plan: Plan::default() };
    for task in state.tasks_without_instance() {
        let Some(instance) = &task.facts.instance else { continue };
        planner.plan.commands.push(Command::LoseTask {
            key: task.facts.key.clone(),
            reason: words::instance_gone(instance),
        });
    }
    // Daemons are the first on an instance.
    let (daemons, others): (Vec<_>, Vec<_>) = state
        .all_services()
        .filter(|service| !settled(state, service))
        .partition(|service| daemon::is(service));
    for service in daemons.into_iter().chain(others) {
        planner.service(service);
    }
    planner.waiting();
    planner.capacity();
    planner.drain();
    planner.forget();
    planner.plan
}

/// What one service waits for at the instant `now`.
pub(crate) fn waits(state: &State, service: &Service, now: Timestamp) -> Vec<Waiting> {
    let mut planner =
        Planner { state, now, seed: 0, keep: timing::Keep::default(), plan: Plan::default() };
    if !settled(state, service) {
        planner.service(service);
    }
    planner.plan.report.into_iter().map(|report| report.why).collect()
}

/// Whether a service is as it should be, from what is counted anyway. Whatever changes that without
/// changing the counts clears `steady_since`.
fn settled(state: &State, service: &Service) -> bool {
    if task_sets::are_of(service) {
        return task_sets::settled(state, service);
    }
    service.status == ServiceStatus::Active
        && service.steady_since.is_some()
        && service.deployments.len() == 1
        && !daemon::follows_tasks(service)
        && !rebalance::is_due(state, service)
        && service
            .deployments
            .first()
            .is_some_and(|d| d.rollout == RolloutState::Completed && d.failures_in_a_row == 0)
        && state.service_counts(&service.key) == (service.desired_count, 0)
}

/// Whether a task that found no place may find one when another task of its service stops.
const fn helped_by_a_stop(reason: FailureReason) -> bool {
    match reason {
        FailureReason::Cpu
        | FailureReason::Memory
        | FailureReason::Capacity
        | FailureReason::Ports
        | FailureReason::Gpu
        | FailureReason::Interface
        | FailureReason::Constraint
        | FailureReason::MemberOf => true,
        FailureReason::Agent
        | FailureReason::Attribute
        | FailureReason::Missing
        | FailureReason::Inactive
        | FailureReason::NoInstances => false,
    }
}

struct Planner<'a> {
    state: &'a State,
    now: Timestamp,
    seed: u64,
    keep: timing::Keep,
    plan: Plan,
}

impl Planner<'_> {
    fn wake(&mut self, at: Timestamp) {
        if at > self.now {
            self.plan.wake_at = Some(self.plan.wake_at.map_or(at, |before| before.min(at)));
        }
    }

    /// Groups of nodes that are not as they should be.
    fn capacity(&mut self) {
        for group in self.state.capacity().groups() {
            let mut chance = SeededEntropy::new(self.seed);
            let mut desk = Desk::new(self.state, self.now, &mut chance);
            let wake = capacity::step(&mut desk, &group.name);
            if !desk.is_idle() {
                let step = CapacityCommand::StepGroup(group.name.clone());
                self.plan.commands.push(Command::Capacity(step));
            }
            if let Some(at) = wake {
                self.wake(at);
            }
        }
    }

    fn report(&mut self, service: &Service, why: Waiting) {
        self.plan.report.push(Report { service: service.key.clone(), why });
    }

    fn service(&mut self, service: &Service) {
        if service.status == ServiceStatus::Inactive {
            return;
        }
        if daemon::is(service) {
            self.daemon(service);
        } else {
            for want in &replicas::wants(self.state, service) {
                self.want(service, want);
            }
        }
        self.step(service);
    }

    /// Brings what a service has and what it wants of one deployment together.
    fn want(&mut self, service: &Service, want: &Want<'_>) {
        let tally = Tally::new(self.state, service, want, self.now);
        for at in [tally.next_healthy_at, tally.next_unprotected_at, tally.next_judged_at] {
            at.into_iter().for_each(|at| self.wake(at));
        }
        let launch = replicas::launch(service, want, &tally, self.now);
        let mut blocked = launch.no_room;
        if launch.count > 0
            && let Some(reason) = self.launch(service, want, launch.count)
            && helped_by_a_stop(reason)
        {
            blocked += launch.count;
        }
        let stops = replicas::stops(service, want, &tally, blocked);
        self.finish(service, &tally, launch, stops);
    }

    /// Stops tasks, or tells what is waited for.
    fn finish(
        &mut self,
        service: &Service,
        tally: &Tally<'_>,
        launch: Launch,
        stops: Vec<(TaskId, StopCause)>,
    ) {
        if !stops.is_empty() {
            let service = service.key.clone();
            self.plan.commands.push(Command::StopServiceTasks { service, tasks: stops });
        } else if let Some(waiting) = launch.waiting {
            if let Waiting::BackOff { until, .. } = waiting {
                self.wake(until);
            }
            self.report(service, waiting);
        } else if launch.count == 0
            && let Some(waiting) = tally.unfinished()
        {
            self.report(service, waiting);
        }
    }

    /// Brings what a daemon service has and where it belongs together.
    fn daemon(&mut self, service: &Service) {
        let Some(look) = daemon::Look::new(self.state, service, self.now) else { return };
        let tally = &look.tally;
        for at in [tally.next_healthy_at, tally.next_unprotected_at, tally.next_judged_at] {
            at.into_iter().for_each(|at| self.wake(at));
        }
        let launch = daemon::launch(service, &look, self.now);
        if launch.count > 0 {
            let found = daemon::somewhere(self.state, service, &look);
            self.start(service, &look.want, launch.count, found);
        }
        let stops = daemon::stops(service, &look, launch.no_room > 0);
        self.finish(service, tally, launch, stops);
    }

    /// Starts tasks if at least one finds a place; else says why not, when that is due, and tells
    /// the kind of reason.
    fn launch(&mut self, service: &Service, want: &Want<'_>, count: u32) -> Option<FailureReason> {
        let terms = Terms::of(self.state, service, want)?;
        let found = match self.may_wait(service, want) {
            true => Ok(()),
            false => self.somewhere(service, &terms),
        };
        self.start(service, want, count, found)
    }

    /// The same, once it is known whether one finds a place.
    fn start(
        &mut self,
        service: &Service,
        want: &Want<'_>,
        count: u32,
        found: Result<(), Failure>,
    ) -> Option<FailureReason> {
        let command = |count| Command::LaunchServiceTasks {
            service: service.key.clone(),
            deployment: want.deployment.clone(),
            count,
        };
        let failure = match found {
            Ok(()) => {
                let mut left = count;
                while left > 0 {
                    self.plan.commands.push(command(left.min(BATCH)));
                    left -= left.min(BATCH);
                }
                return None;
            }
            Err(failure) => failure,
        };
        let due = complaints::due(self.state, service, &words::unplaced(&failure));
        if due <= self.now {
            // Its decision finds no place either, and says so.
            self.plan.commands.push(command(1));
        } else {
            self.wake(due);
        }
        let reason = failure.reason;
        self.report(service, Waiting::Place(failure));
        Some(reason)
    }

    /// Whether a task of the service that finds no place may wait for one.
    fn may_wait(&self, service: &Service, want: &Want<'_>) -> bool {
        let grows =
            |item: &StrategyItem| waiting::grows(self.state, Some(&item.provider)).is_some();
        want.providers.iter().any(grows)
            && waiting::count(self.state, &service.key.cluster) < waiting::MOST_WAITING
    }

    /// Whether one task of the service finds a place, with any of its capacity providers.
    fn somewhere(&self, service: &Service, terms: &Terms) -> Result<(), Failure> {
        let mut found = placement::somewhere(self.state, &terms.wish(service));
        for item in &terms.providers {
            let wish = Wish { provider: Some(&item.provider), ..terms.wish(service) };
            found = placement::somewhere(self.state, &wish);
            if found.is_ok() {
                break;
            }
        }
        found
    }

    /// Tasks that wait for capacity and find some, or have waited for too long.
    fn waiting(&mut self) {
        for task in self.state.waiting_tasks() {
            let over = waiting::given_up_at(task);
            let wish = waiting::wish(self.state, &task.facts);
            let fits = wish.is_some_and(|wish| placement::somewhere(self.state, &wish).is_ok());
            if fits || over <= self.now {
                self.plan.commands.push(Command::PlaceWaiting(task.facts.key.clone()));
            } else {
                self.wake(over);
            }
        }
    }

    /// Moves the deployments on if that would change anything.
    fn step(&mut self, service: &Service) {
        let mut ids = SeededEntropy::new(self.seed);
        let mut desk = Desk::new(self.state, self.now, &mut ids);
        let wake = rollout::step(&mut desk, &service.key);
        if !desk.is_idle() {
            self.plan.commands.push(Command::StepService { service: service.key.clone() });
        }
        if let Some(at) = wake {
            self.wake(at);
        }
    }

    /// Targets that have had their time to finish, and tasks that wait for none any more.
    fn drain(&mut self) {
        let book = self.state.balancing();
        let (mut targets, mut tasks) = (Vec::new(), Vec::new());
        for target in book.draining() {
            match drained_at(book, target) {
                at if at <= self.now => targets.push(target.key.clone()),
                at => self.wake(at),
            }
        }
        for key in self.state.deactivating_tasks() {
            if book.targets_of(key).next().is_none() {
                tasks.push(key.clone());
            }
        }
        // Each may be two records and an event.
        for some in targets.chunks(BATCH as usize / 2) {
            self.plan
                .commands
                .push(Command::EndDraining { targets: some.to_vec(), tasks: Vec::new() });
        }
        for some in tasks.chunks(BATCH as usize / 2) {
            self.plan
                .commands
                .push(Command::EndDraining { targets: Vec::new(), tasks: some.to_vec() });
        }
    }

    /// Stopped tasks that have been kept long enough, or that are too many.
    fn forget_tasks(&mut self, due: &mut Vec<Forget>) {
        let state = self.state;
        let mut too_many = state.stopped_count().saturating_sub(self.keep.stopped_most);
        for (at, key) in state.stopped_tasks() {
            let kept = match too_many {
                0 => self.keep.stopped_for,
                _ => timing::STOPPED_TASKS_KEPT,
            };
            too_many = too_many.saturating_sub(1);
            if *at + kept > self.now {
                self.wake(*at + kept);
                break;
            }
            due.push(Forget::Task(TaskKey::clone(key), kept));
        }
    }

    /// What has been kept long enough.
    fn forget(&mut self) {
        let state = self.state;
        let mut due = Vec::new();
        self.forget_tasks(&mut due);
        for (at, key) in state.tokens_by_age() {
            if *at + timing::TOKENS_KEPT > self.now {
                self.wake(*at + timing::TOKENS_KEPT);
                break;
            }
            due.push(Forget::Token(key.clone()));
        }
        for (at, key) in state.deployments().over() {
            if at + timing::DEPLOYMENTS_KEPT > self.now {
                self.wake(at + timing::DEPLOYMENTS_KEPT);
                break;
            }
            due.push(Forget::Deployment(key.clone()));
        }
        for key in state.deleting_definitions() {
            let item = Forget::Definition(key.clone());
            if forgettable_at(state, &item).is_some() {
                due.push(item);
            }
        }
        for service in state.all_services().filter(|s| s.status == ServiceStatus::Inactive) {
            let item = Forget::Service(service.key.clone());
            match forgettable_at(state, &item) {
                Some(at) if at <= self.now => {
                    // Its events are records of their own: a batch for itself.
                    self.plan.commands.push(Command::Forget(vec![item]));
                }
                Some(at) => self.wake(at),
                None => {}
            }
        }
        // A task has two records; so many stay within every engine's limits.
        for some in due.chunks(BATCH as usize / 2) {
            self.plan.commands.push(Command::Forget(some.to_vec()));
        }
    }
}
