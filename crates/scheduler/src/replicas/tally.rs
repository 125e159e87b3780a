//! The tasks of a service as it sees them: which are wanted, which are healthy, which are to be
//! replaced and why.

use model::{
    Book, DesiredStatus, HealthStatus, InstanceStatus, Service, ServiceStatus, State, TargetState,
    Task, TaskKey,
};
use stdx::Timestamp;

use super::{Want, small};
use crate::{StopCause, Waiting, daemon, rebalance};

/// A task that is wanted to run, as its service sees it.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    /// Which.
    pub(crate) task: &'a Task,
    /// Whether it counts as healthy: it runs, and its health checks succeed; if it has none, it has
    /// been up for a while, unless it is to be replaced anyway.
    pub(crate) healthy: bool,
    /// Why another is to take its place, if one is.
    pub(crate) flaw: Option<StopCause>,
    /// Whether it is protected from what its service would do with it: see [`Member::may_stop`].
    pub(crate) protected: bool,
}

impl Member<'_> {
    /// Whether its service may stop it now for what is wrong with it, or for being one too many. A
    /// protected task is stopped neither to scale in nor to deploy; what drains or fails is.
    pub(crate) fn may_stop(&self) -> bool {
        match self.flaw {
            None | Some(StopCause::ScaleIn | StopCause::Replaced) => !self.protected,
            Some(StopCause::Unhealthy | StopCause::TargetUnhealthy | StopCause::Draining) => true,
        }
    }
}

/// The tasks of a service that are not over.
#[derive(Debug, Default)]
pub(crate) struct Tally<'a> {
    /// Those that are wanted to run.
    pub(crate) members: Vec<Member<'a>>,
    /// Those that were told to stop and still hold what they have.
    pub(crate) stopping: Vec<&'a Task>,
    /// Members without a flaw: what the service wants.
    pub(crate) good: u32,
    /// Of these, those that are healthy.
    pub(crate) good_healthy: u32,
    /// All healthy members.
    pub(crate) healthy: u32,
    /// When time alone makes the next of them healthy.
    pub(crate) next_healthy_at: Option<Timestamp>,
    /// When the next protection ends.
    pub(crate) next_unprotected_at: Option<Timestamp>,
    /// The tasks of each zone, if one is to move from a thick zone to a thin one.
    pub(crate) uneven: Option<rebalance::Zones>,
    /// When the next time of grace ends in which a failing task is left alone.
    pub(crate) next_judged_at: Option<Timestamp>,
}

impl<'a> Tally<'a> {
    /// Looks at each task of the service that this want counts.
    pub(crate) fn new(
        state: &'a State,
        service: &Service,
        want: &Want<'_>,
        now: Timestamp,
    ) -> Self {
        let mut tally = Self::default();
        let counted = |task: &&Task| task.holds_resources() && want.counts(service, task);
        for task in state.tasks_of(&service.key).filter(counted) {
            if task.progress.desired == DesiredStatus::Stopped {
                tally.stopping.push(task);
                continue;
            }
            let checks = Checks::of(state, task);
            let health = checks.verdict();
            let grace = grace(service, task, now);
            let instance = state.instance_of(&task.facts);
            let waits = task.facts.instance.is_none();
            let staying = waits || instance.is_some_and(|i| i.status == InstanceStatus::Active);
            let flaw = if task.facts.deployment.as_ref() != Some(want.deployment) {
                Some(StopCause::Replaced)
            } else if !staying {
                Some(StopCause::Draining)
            } else if grace != Grace::Over {
                if let (Grace::Until(end), Some(HealthStatus::Unhealthy)) = (grace, health) {
                    earliest(&mut tally.next_judged_at, end);
                }
                None
            } else {
                checks.flaw()
            };
            let up = task.is_running() && instance.is_some();
            let healthy = up
                && match (health, task.progress.started_at) {
                    (Some(verdict), _) => verdict == HealthStatus::Healthy,
                    (None, Some(at)) if flaw.is_none() && at + want.proof > now => {
                        earliest(&mut tally.next_healthy_at, at + want.proof);
                        false
                    }
                    (None, _) => true,
                };
            tally.healthy += u32::from(healthy);
            tally.good += u32::from(flaw.is_none());
            tally.good_healthy += u32::from(flaw.is_none() && healthy);
            // A service that is deleted protects nothing.
            let active = service.status == ServiceStatus::Active;
            let until = task.protected_until(now).filter(|_| active);
            if let Some(until) = until {
                earliest(&mut tally.next_unprotected_at, until);
            }
            tally.members.push(Member { task, healthy, flaw, protected: until.is_some() });
        }
        if daemon::is(service) {
            daemon::sort_out(state, service, want, &mut tally);
        } else {
            rebalance::mark(state, service, want, &mut tally);
        }
        tally
    }

    /// Counts the members anew after they were looked at in another way.
    pub(crate) fn recount(&mut self) {
        let count =
            |which: fn(&&Member<'_>) -> bool| small(self.members.iter().filter(which).count());
        (self.good, self.good_healthy, self.healthy) = (
            count(|m| m.flaw.is_none()),
            count(|m| m.flaw.is_none() && m.healthy),
            count(|m| m.healthy),
        );
    }

    /// How many hold resources.
    pub(crate) fn live(&self) -> u32 {
        small(self.members.len()).saturating_add(small(self.stopping.len()))
    }

    /// Whether the service has exactly what it wants and nothing else.
    pub(crate) fn settled(&self, desired: u32) -> bool {
        self.good == desired && self.good_healthy == desired && self.live() == desired
    }

    /// The tasks that are to become healthy, and those that are to stop, if there are any.
    pub(crate) fn unfinished(&self) -> Option<Waiting> {
        let (starting, stopping) = (self.good - self.good_healthy, small(self.stopping.len()));
        (starting + stopping > 0).then_some(Waiting::Tasks { starting, stopping })
    }
}

fn earliest(known: &mut Option<Timestamp>, at: Timestamp) {
    *known = Some(known.map_or(at, |before| before.min(at)));
}

/// Whether health checks that fail are held against a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grace {
    /// They are.
    Over,
    /// Not before this.
    Until(Timestamp),
    /// Not before it has started.
    NotBegun,
}

/// The time of grace counts from a task's start.
fn grace(service: &Service, task: &Task, now: Timestamp) -> Grace {
    match (service.health_check_grace, task.progress.started_at) {
        (None, _) => Grace::Over,
        (Some(_), None) => Grace::NotBegun,
        (Some(grace), Some(at)) if at + grace > now => Grace::Until(at + grace),
        (Some(_), Some(_)) => Grace::Over,
    }
}

/// What the health checks say of a task: each is none where nobody checks.
#[derive(Debug)]
struct Checks {
    containers: Option<HealthStatus>,
    targets: Option<HealthStatus>,
}

impl Checks {
    fn of(state: &State, task: &Task) -> Self {
        let targets = target_health(state.balancing(), &task.facts.key);
        Self { containers: checked_health(state, task), targets }
    }

    /// Both together: healthy if all that is checked is.
    fn verdict(&self) -> Option<HealthStatus> {
        match (self.containers, self.targets) {
            (None, verdict) | (verdict, None) => verdict,
            (Some(HealthStatus::Unhealthy), _) | (_, Some(HealthStatus::Unhealthy)) => {
                Some(HealthStatus::Unhealthy)
            }
            (Some(HealthStatus::Unknown), _) | (_, Some(HealthStatus::Unknown)) => {
                Some(HealthStatus::Unknown)
            }
            (Some(HealthStatus::Healthy), Some(HealthStatus::Healthy)) => {
                Some(HealthStatus::Healthy)
            }
        }
    }

    /// What of it makes another take the task's place.
    fn flaw(&self) -> Option<StopCause> {
        if self.containers == Some(HealthStatus::Unhealthy) {
            Some(StopCause::Unhealthy)
        } else if self.targets == Some(HealthStatus::Unhealthy) {
            Some(StopCause::TargetUnhealthy)
        } else {
            None
        }
    }
}

/// The verdict on the targets that a task is; none if it is none that anybody checks. One that a user
/// has deregistered does not count, nor one to whose group nothing is sent.
fn target_health(book: &Book, task: &TaskKey) -> Option<HealthStatus> {
    let mut all = None;
    for target in book.targets_of(task) {
        match book.state_of(target) {
            TargetState::Unhealthy => return Some(HealthStatus::Unhealthy),
            TargetState::Initial => all = Some(HealthStatus::Unknown),
            TargetState::Healthy => all = all.or(Some(HealthStatus::Healthy)),
            TargetState::Unused | TargetState::Draining => {}
        }
    }
    all
}

/// The verdict of a task's health checks; none if no essential container has one.
fn checked_health(state: &State, task: &Task) -> Option<HealthStatus> {
    let spec = &state.definition(&task.facts.definition)?.spec;
    if !spec.containers.iter().any(|c| c.essential && c.has_health_check) {
        return None;
    }
    Some(
        task.health(|name| spec.container(name).is_some_and(|c| c.essential && c.has_health_check)),
    )
}
