//! How many tasks a service has, how many it may start, and which it may stop: the arithmetic of
//! desired counts and of minimum and maximum percent, used by the plan and again at its commit.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Book, DeploymentId, DesiredStatus, HealthStatus, InstanceId, InstanceStatus, PlacementTerms,
    Resources, RolloutState, Service, ServiceStatus, State, TargetState, Task, TaskDefinition,
    TaskId, TaskKey,
};
use stdx::Timestamp;

use crate::placement::{self, Group, Wish};
use crate::{StopCause, Waiting, timing};

/// The most tasks that one command starts or stops, so that its batch stays within every engine's
/// limits.
pub(crate) const BATCH: u32 = 64;

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
    fn may_stop(&self) -> bool {
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
    /// When the next time of grace ends in which a failing task is left alone.
    pub(crate) next_judged_at: Option<Timestamp>,
}

impl<'a> Tally<'a> {
    /// Looks at each task of the service.
    pub(crate) fn new(state: &'a State, service: &Service, now: Timestamp) -> Self {
        let mut tally = Self::default();
        let proof = proof(service);
        let primary = service.primary().map(|d| &d.id);
        for task in state.tasks_of(&service.key).filter(|t| t.holds_resources()) {
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
            let flaw = if task.facts.deployment.as_ref() != primary {
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
                    (None, Some(at)) if flaw.is_none() && at + proof > now => {
                        earliest(&mut tally.next_healthy_at, at + proof);
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
        tally
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

    /// By deployment: tasks that are not over, and those of them that are wanted to run.
    pub(crate) fn by_deployment(&self) -> BTreeMap<&'a DeploymentId, (u32, u32)> {
        let mut counts: BTreeMap<&DeploymentId, (u32, u32)> = BTreeMap::new();
        let wanted = self.members.iter().map(|m| (m.task, 1));
        for (task, wanted) in wanted.chain(self.stopping.iter().map(|task| (*task, 0))) {
            if let Some(deployment) = &task.facts.deployment {
                let count = counts.entry(deployment).or_default();
                count.0 += 1;
                count.1 += wanted;
            }
        }
        counts
    }
}

/// How long a task without health checks has to be up before it counts as healthy, so that what
/// falls over at once replaces nothing. Longer when the circuit breaker watches, or when others have
/// failed again and again. ECS waits 40 seconds in any case.
fn proof(service: &Service) -> Duration {
    let watched = service.config.circuit_breaker.enable;
    let doubtful = service.primary().is_some_and(|p| {
        let on_trial = p.rollout == RolloutState::InProgress && p.rolls_back.is_none();
        (watched && on_trial) || p.failures_in_a_row > 1
    });
    if doubtful { timing::TRIAL } else { timing::SETTLES }
}

pub(crate) fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
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

/// How many tasks a service is to have.
pub(crate) fn desired(service: &Service) -> u32 {
    match service.status {
        ServiceStatus::Active => service.desired_count,
        ServiceStatus::Draining | ServiceStatus::Inactive => 0,
    }
}

/// What a service still wants, and how much of it may be started now.
#[derive(Debug, PartialEq)]
pub(crate) struct Launch {
    /// Tasks that it may start now.
    pub(crate) count: u32,
    /// Tasks that it wants and for which its maximum percent leaves no room.
    pub(crate) no_room: u32,
    /// Why nothing is started, if something is wanted.
    pub(crate) waiting: Option<Waiting>,
}

/// How many tasks the service may start now: never beyond its maximum percent, none of a failed
/// deployment, none before a back-off is over.
pub(crate) fn launch(service: &Service, tally: &Tally<'_>, now: Timestamp) -> Launch {
    let nothing = |waiting| Launch { count: 0, no_room: 0, waiting };
    let desired = desired(service);
    let wanted = desired.saturating_sub(tally.good);
    let Some(primary) = service.primary().filter(|_| wanted > 0) else { return nothing(None) };
    if primary.rollout == RolloutState::Failed {
        return nothing(Some(Waiting::Failed { deployment: primary.id.clone() }));
    }
    if let Some(until) = primary.not_before.filter(|until| *until > now) {
        let failures = primary.failures_in_a_row;
        return nothing(Some(Waiting::BackOff { until, failures }));
    }
    let room = service.config.most(desired).saturating_sub(tally.live());
    let count = wanted.min(room);
    let waiting = (count == 0).then(|| {
        tally.unfinished().unwrap_or(Waiting::Room {
            maximum_percent: service.config.maximum_percent,
            minimum_healthy_percent: service.config.minimum_healthy_percent,
        })
    });
    Launch { count, no_room: wanted - count, waiting }
}

/// Which tasks the service stops now. `blocked` are tasks that it wants and cannot start as things
/// are, for want of room or of a place: for them it stops others as far as its minimum healthy
/// percent allows; else it stops what has been replaced.
pub(crate) fn stops(
    service: &Service,
    tally: &Tally<'_>,
    blocked: u32,
) -> Vec<(TaskId, StopCause)> {
    let desired = desired(service);
    let mut stops = surplus(tally, desired);
    let on_their_way = small(tally.stopping.len());
    let need = blocked.saturating_sub(on_their_way);
    let mut for_need = need;
    // What is not healthy protects nobody. An unhealthy task of the right deployment stays until it
    // is replaced, as ECS does, unless it is in the way.
    let mut tired: Vec<&Member<'_>> =
        tally.members.iter().filter(|m| m.flaw.is_some() && m.may_stop()).collect();
    tired.sort_by_key(|m| (m.flaw, m.task.facts.created_at));
    for member in tired.iter().filter(|m| !m.healthy) {
        let Some(cause) = member.flaw else { continue };
        if cause.is_unhealthy() && tally.good_healthy < desired {
            if for_need == 0 {
                continue;
            }
            for_need -= 1;
        }
        stops.push((member.task.facts.key.task.clone(), cause));
    }
    let fewest = service.config.fewest(desired);
    let over = tally.healthy.saturating_sub(desired);
    let spare = tally.healthy.saturating_sub(fewest);
    let surplus_healthy = tally.good_healthy.saturating_sub(desired);
    let budget = over.max(need.min(spare)).saturating_sub(surplus_healthy);
    let healthy = tired.iter().filter(|m| m.healthy).take(budget as usize);
    stops.extend(healthy.filter_map(|m| Some((m.task.facts.key.task.clone(), m.flaw?))));
    stops.truncate(BATCH as usize);
    stops
}

/// Those beyond the desired count: first what is not healthy yet, then from the instance with most
/// of the service's tasks, the youngest first.
fn surplus(tally: &Tally<'_>, desired: u32) -> Vec<(TaskId, StopCause)> {
    let count = tally.good.saturating_sub(desired).min(BATCH) as usize;
    if count == 0 {
        return Vec::new();
    }
    let mut good: Vec<&Member<'_>> =
        tally.members.iter().filter(|m| m.flaw.is_none() && m.may_stop()).collect();
    let mut crowd: BTreeMap<Option<&InstanceId>, u32> = BTreeMap::new();
    for member in &good {
        *crowd.entry(member.task.facts.instance.as_ref()).or_default() += 1;
    }
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count && !good.is_empty() {
        let rank = |m: &Member<'_>| {
            let here = crowd.get(&m.task.facts.instance.as_ref()).copied().unwrap_or(0);
            (m.healthy, m.task.is_running(), Reverse(here), Reverse(m.task.facts.created_at))
        };
        let first = (0..good.len()).min_by_key(|at| rank(good[*at])).unwrap_or(0);
        let member = good.remove(first);
        if let Some(here) = crowd.get_mut(&member.task.facts.instance.as_ref()) {
            *here -= 1;
        }
        chosen.push((member.task.facts.key.task.clone(), StopCause::ScaleIn));
    }
    chosen
}

/// Those of the proposed stops that may still be done: their cause still stands, and the healthy
/// ones leave the minimum healthy percent standing.
pub(crate) fn still_to_stop(
    service: &Service,
    tally: &Tally<'_>,
    proposed: &[(TaskId, StopCause)],
) -> Vec<(TaskId, StopCause)> {
    let desired = desired(service);
    let mut surplus = tally.good.saturating_sub(desired);
    let mut spare = tally.healthy.saturating_sub(service.config.fewest(desired));
    let mut stops = Vec::new();
    for (id, _) in proposed {
        let member = tally.members.iter().find(|m| m.task.facts.key.task == *id);
        let Some(member) = member else { continue };
        if (member.healthy && spare == 0) || !member.may_stop() {
            continue;
        }
        let cause = match member.flaw {
            Some(cause) => cause,
            None if surplus > 0 => {
                surplus -= 1;
                StopCause::ScaleIn
            }
            None => continue,
        };
        spare -= u32::from(member.healthy);
        stops.push((id.clone(), cause));
    }
    stops
}

/// What a service's tasks ask of placement.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) definition: Arc<TaskDefinition>,
    pub(crate) needs: Resources,
    distinct: bool,
}

impl Terms {
    /// The terms of the deployment to reach; none if it has no definition any more.
    pub(crate) fn of(state: &State, service: &Service) -> Option<Self> {
        let definition = state.definition(&service.primary()?.definition)?.clone();
        let distinct = placement::distinct(&definition.spec, &service.constraints).ok()?;
        let needs = definition.spec.reservation();
        Some(Self { definition, needs, distinct })
    }

    /// What a task asks of an instance, should it have to wait for one.
    pub(crate) fn for_later(&self, service: &Service) -> PlacementTerms {
        PlacementTerms {
            constraints: service.constraints.clone(),
            strategy: placement::service_strategy(&service.strategy),
            attributes: Vec::new(),
            gpus: self.definition.spec.gpus(),
        }
    }

    /// The same as a wish.
    pub(crate) fn wish<'a>(&'a self, service: &'a Service) -> Wish<'a> {
        Wish {
            cluster: &service.key.cluster,
            launch_type: service.launch_type,
            provider: None,
            needs: &self.needs,
            gpus: self.definition.spec.gpus(),
            attributes: &self.definition.spec.required_attributes,
            more_attributes: &[],
            distinct: self.distinct,
            group: Group::Service(&service.key),
            strategy: placement::service_strategy(&service.strategy),
        }
    }
}
