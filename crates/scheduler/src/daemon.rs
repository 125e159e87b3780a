//! Daemon services: one task on each instance that they belong on, first there and last to go.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service-options.html>
//!
//! A daemon service belongs on the active instances of its launch type that have the attributes and
//! meet the constraints that it asks for, whether their agent is there at the moment or not, and
//! whether they have room or not: what is wanting there is said. Nobody sets its desired count; its
//! steps take up how many instances these are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::fleet::Crowd;
use model::{
    Change, ClusterName, DesiredStatus, Instance, InstanceId, InstanceStatus, NodeState,
    PlacementConstraint, Resources, RolloutState, SchedulingStrategy, Service, ServiceKey,
    ServiceStatus, State, Task, TaskId,
};
use stdx::Timestamp;

use crate::desk::Desk;
use crate::placement::{self, Board, Group, Wish};
use crate::replicas::{BATCH, Claim, Launch, Member, Tally, Terms, Want, small, wants};
use crate::{Failure, FailureReason, StopCause, Waiting, words};

/// A daemon service as it stands.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    pub(crate) want: Want<'a>,
    pub(crate) tally: Tally<'a>,
    /// Where it belongs and has no task, not even one that is stopping.
    pub(crate) missing: Vec<&'a Arc<Instance>>,
}

/// Whether a service is a daemon service.
pub(crate) fn is(service: &Service) -> bool {
    service.scheduling == SchedulingStrategy::Daemon
}

/// Whether where a daemon service belongs depends on which tasks are there: then it is looked at
/// whenever anything changes.
pub(crate) fn follows_tasks(service: &Service) -> bool {
    let about_tasks = |constraint: &PlacementConstraint| match constraint {
        PlacementConstraint::DistinctInstance => false,
        PlacementConstraint::MemberOf(expression) => expression.text().contains("task:"),
    };
    is(service) && service.constraints.iter().any(about_tasks)
}

/// Where a daemon service belongs, by id; nowhere once it is deleted.
pub(crate) fn places<'a>(
    state: &'a State,
    service: &'a Service,
    want: &Want<'_>,
) -> Vec<&'a Arc<Instance>> {
    let terms = Terms::of(state, service, want);
    let Some(terms) = terms.filter(|_| service.status == ServiceStatus::Active) else {
        return Vec::new();
    };
    let wish = terms.wish(service);
    state
        .instances(&service.key.cluster)
        .filter(|instance| serves(state, instance))
        .filter(|instance| placement::unfit(state, instance, &wish).is_none())
        .collect()
}

/// Whether an instance takes tasks, if its agent is there.
fn serves(state: &State, instance: &Instance) -> bool {
    let node = state.node_of(instance);
    instance.status == InstanceStatus::Active
        && node.is_none_or(|node| node.state == NodeState::InService)
}

impl<'a> Look<'a> {
    /// Looks at each instance of its cluster and each of its tasks; none if it has no deployment.
    pub(crate) fn new(state: &'a State, service: &'a Service, now: Timestamp) -> Option<Self> {
        let want = wants(state, service).into_iter().next()?;
        let tally = Tally::new(state, service, &want, now);
        let places = places(state, service, &want);
        let here = occupied(state, service);
        let missing =
            places.into_iter().filter(|place| !here.contains(&place.key.instance)).collect();
        Some(Self { want, tally, missing })
    }
}

/// The instances on which a service has a task that is not over.
fn occupied<'a>(state: &'a State, service: &Service) -> BTreeSet<&'a InstanceId> {
    let live = state.tasks_of(&service.key).filter(|task| task.holds_resources());
    live.filter_map(|task| task.facts.instance.as_ref()).collect()
}

/// Sees the members of a tally as a daemon service does. One where the service does not belong is one
/// too many, as is a second one in a place. One on an instance that drains stays while others are
/// there which it may serve: it is no member until it is to go.
pub(crate) fn sort_out(state: &State, service: &Service, want: &Want<'_>, tally: &mut Tally<'_>) {
    let places: BTreeSet<&InstanceId> =
        places(state, service, want).into_iter().map(|place| &place.key.instance).collect();
    let deleted = service.status != ServiceStatus::Active;
    tally.members.retain(|member| deleted || !lingers(state, member.task));
    let mut taken = BTreeSet::new();
    // The oldest keeps its place.
    tally.members.sort_by_key(|m| (m.task.facts.created_at, m.task.facts.key.task.clone()));
    for member in &mut tally.members {
        let instance = member.task.facts.instance.as_ref();
        let belongs = instance.is_some_and(|id| places.contains(id));
        let drains = member.flaw == Some(StopCause::Draining);
        let second = belongs && member.flaw.is_none() && !taken.insert(instance);
        if second || (!belongs && !drains) {
            member.flaw = Some(StopCause::ScaleIn);
        }
    }
    tally.recount();
}

/// Whether a daemon's task stays on an instance that drains, for the sake of others there.
fn lingers(state: &State, task: &Task) -> bool {
    let Some(instance) = state.instance_of(&task.facts) else {
        return false;
    };
    let others =
        || state.tasks_on(&instance.key).any(|other| other.holds_resources() && !of(state, other));
    !serves(state, instance) && task.is_running() && others()
}

/// Whether a task is a daemon service's.
pub(crate) fn of(state: &State, task: &Task) -> bool {
    let service = task.facts.service_key().and_then(|key| state.service(&key));
    service.is_some_and(|service| is(service))
}

/// What may be started now: nothing of a deployment that was given up, nothing before a back-off is
/// over. An old task is in the way of the new one.
pub(crate) fn launch(service: &Service, look: &Look<'_>, now: Timestamp) -> Launch {
    let nothing = |waiting| Launch { count: 0, no_room: 0, waiting };
    let count = small(look.missing.len());
    let in_the_way = small(look.tally.members.iter().filter(|m| in_the_way(m)).count());
    if count + in_the_way == 0 {
        return nothing(None);
    }
    let want = &look.want;
    if want.given_up {
        return nothing(Some(Waiting::Failed { deployment: want.deployment.clone() }));
    }
    if let Some(until) = want.not_before.filter(|until| *until > now) {
        return nothing(Some(Waiting::BackOff { until, failures: want.failures_in_a_row }));
    }
    let waiting = (count == 0).then(|| {
        look.tally.unfinished().unwrap_or(Waiting::Room {
            maximum_percent: service.config.maximum_percent,
            minimum_healthy_percent: service.config.minimum_healthy_percent,
        })
    });
    Launch { count, no_room: in_the_way, waiting }
}

/// Whether another task is to take its place, on its instance.
fn in_the_way(member: &Member<'_>) -> bool {
    match member.flaw {
        Some(StopCause::Replaced | StopCause::Unhealthy | StopCause::TargetUnhealthy) => true,
        Some(StopCause::ScaleIn | StopCause::Draining) | None => false,
    }
}

/// Which tasks are stopped now: at once those that are one too many or whose instance drains, and
/// those in the way of another as far as that may start and the minimum healthy percent allows. What
/// is not healthy protects nobody.
pub(crate) fn stops(
    service: &Service,
    look: &Look<'_>,
    may_start: bool,
) -> Vec<(TaskId, StopCause)> {
    let tally = &look.tally;
    let healthy = small(tally.members.iter().filter(|m| m.healthy && stays(m)).count());
    let mut spare = healthy.saturating_sub(service.config.fewest(look.want.count));
    let mut stops = Vec::new();
    for member in &tally.members {
        let Some(cause) = member.flaw else { continue };
        if in_the_way(member) {
            if !may_start || !member.may_stop() || (member.healthy && spare == 0) {
                continue;
            }
            spare -= u32::from(member.healthy);
        }
        stops.push((member.task.facts.key.task.clone(), cause));
    }
    stops.truncate(BATCH as usize);
    stops
}

/// Whether a member counts for its service: it is where it belongs.
fn stays(member: &Member<'_>) -> bool {
    member.flaw.is_none() || in_the_way(member)
}

/// Those of the proposed stops that are still to be done.
pub(crate) fn still_to_stop(
    service: &Service,
    look: &Look<'_>,
    proposed: &[(TaskId, StopCause)],
    now: Timestamp,
) -> Vec<(TaskId, StopCause)> {
    let may_start = launch(service, look, now).no_room > 0;
    let mut now = stops(service, look, may_start);
    now.retain(|(id, _)| proposed.iter().any(|(other, _)| other == id));
    now
}

/// A new daemon service begins with as many instances as it belongs on.
pub(crate) fn begin(state: &State, service: &mut Service) {
    let count = match wants(state, service).first() {
        Some(want) if is(service) => small(places(state, service, want).len()),
        Some(_) | None => return,
    };
    service.desired_count = count;
    for deployment in &mut service.deployments {
        deployment.desired_count = count;
    }
}

/// Takes up how many instances a daemon service belongs on, and says so if that is new.
pub(crate) fn count(desk: &mut Desk<'_>, key: &ServiceKey) {
    let state = desk.state;
    let Some(service) = state.service(key).filter(|service| is(service)) else {
        return;
    };
    if service.status != ServiceStatus::Active {
        return;
    }
    let Some(want) = wants(state, service).into_iter().next() else {
        return;
    };
    let desired = small(places(state, service, &want).len());
    if desired == service.desired_count {
        return;
    }
    let now = desk.now;
    if let Some(draft) = desk.draft(key) {
        draft.desired_count = desired;
        draft.steady_since = None;
        draft.placement_failed_at = None;
        if let Some(primary) = draft.deployments.first_mut() {
            primary.desired_count = desired;
            primary.updated_at = now;
        }
    }
    desk.tell(key, words::daemon_count(&key.service, desired));
}

/// What is kept for daemon services on the instances of a cluster, by instance: their tasks are the
/// first on an instance, so nobody else takes what one needs that is still to come. What can never be
/// there, or is not to be started any more, is kept for nobody.
pub(crate) fn reserved(state: &State, cluster: &ClusterName) -> BTreeMap<InstanceId, Resources> {
    let mut kept: BTreeMap<InstanceId, Resources> = BTreeMap::new();
    for service in state.services(cluster).filter(|service| awaited(service)) {
        let Some(want) = wants(state, service).into_iter().next() else {
            continue;
        };
        let Some(terms) = Terms::of(state, service, &want) else {
            continue;
        };
        let gpus = terms.wish(service).all_gpus();
        let here: BTreeSet<&InstanceId> = wanted_on(state, service, &want);
        for place in places(state, service, &want) {
            let id = &place.key.instance;
            if here.contains(id) || !ever_on(&terms.needs, gpus, place) {
                continue;
            }
            let kept = kept.entry(id.clone()).or_default();
            kept.cpu = kept.cpu.saturating_add(terms.needs.cpu);
            kept.memory = kept.memory.saturating_add(terms.needs.memory);
            kept.ports.extend(terms.needs.ports.iter().copied());
        }
    }
    kept
}

/// Whether a task that needs this and so many GPUs has room on an instance that is empty.
fn ever_on(needs: &Resources, gpus: u32, instance: &Instance) -> bool {
    let all = &instance.registered;
    needs.cpu <= all.cpu
        && needs.memory <= all.memory
        && needs.ports.is_disjoint(&all.ports)
        && gpus <= small(all.gpus.len())
}

/// What is kept on instances for the tasks of one daemon service that are still to come: what
/// [`reserved`] tells of every instance, told of one when it comes into question.
#[derive(Debug)]
pub(crate) struct Keeper<'a> {
    service: &'a Service,
    terms: Terms,
    gpus: u32,
    held: Held<'a>,
}

/// Where a daemon service has a task that is wanted to run.
#[derive(Debug)]
enum Held<'a> {
    /// Where any task of the service is.
    All(Option<&'a Crowd>),
    /// On these: not all of its tasks count.
    On(BTreeSet<&'a InstanceId>),
}

/// Who keeps anything from a wish; nothing is kept from a daemon.
pub(crate) fn keepers<'a>(state: &'a State, wish: &Wish<'_>) -> Vec<Keeper<'a>> {
    let mut daemons = state.daemons(wish.cluster).filter(|service| awaited(service)).peekable();
    if daemons.peek().is_none() {
        return Vec::new();
    }
    if let Group::Service(key) = wish.group
        && state.service(key).is_some_and(|service| is(service))
    {
        return Vec::new();
    }
    daemons.filter_map(|service| Keeper::new(state, service)).collect()
}

impl<'a> Keeper<'a> {
    fn new(state: &'a State, service: &'a Service) -> Option<Self> {
        let want = wants(state, service).into_iter().next()?;
        let terms = Terms::of(state, service, &want)?;
        let held = if want.claim == Claim::All {
            let fleet = state.fleet(&service.key.cluster)?;
            let group = format!("service:{}", service.key.service);
            Held::All(fleet.crowd(&group).map(|crowd| &**crowd))
        } else {
            Held::On(wanted_on(state, service, &want))
        };
        let gpus = terms.wish(service).all_gpus();
        Some(Self { service, terms, gpus, held })
    }

    /// What is kept on an instance.
    pub(crate) fn on(&self, state: &State, instance: &Instance, slot: u32) -> Option<&Resources> {
        let needs = &self.terms.needs;
        let here = match &self.held {
            Held::All(crowd) => crowd.is_some_and(|crowd| crowd.on(slot) > 0),
            Held::On(ids) => ids.contains(&instance.key.instance),
        };
        let comes = !here
            && ever_on(needs, self.gpus, instance)
            && serves(state, instance)
            && placement::unfit(state, instance, &self.terms.wish(self.service)).is_none();
        comes.then_some(needs)
    }
}

/// Whether tasks of a service may be kept room for: of one that is steady none is to come.
fn awaited(service: &Service) -> bool {
    is(service)
        && service.status == ServiceStatus::Active
        && service.steady_since.is_none()
        && service.primary().is_some_and(|primary| primary.rollout != RolloutState::Failed)
}

/// The instances that hold a task which is wanted to run: what one that stops gives back is kept for
/// the next.
fn wanted_on<'a>(state: &'a State, service: &Service, want: &Want<'_>) -> BTreeSet<&'a InstanceId> {
    state
        .tasks_of(&service.key)
        .filter(|task| task.holds_resources() && want.counts(service, task))
        .filter(|task| task.progress.desired == DesiredStatus::Running)
        .filter_map(|task| task.facts.instance.as_ref())
        .collect()
}

/// The daemon services that were steady, and are to look again after this change: it is of an
/// instance of their cluster, or of a node.
pub(crate) fn disturbed<'a>(state: &'a State, change: &Change) -> Vec<&'a ServiceKey> {
    let cluster = if let Change::PutInstance(after) = change {
        let before = state.instance(&after.key);
        if before.is_some_and(|before| same(before, after)) {
            return Vec::new();
        }
        Some(&after.key.cluster)
    } else if let Change::DeleteInstance(key) = change {
        Some(&key.cluster)
    } else if let Change::Capacity(_) = change {
        None
    } else {
        return Vec::new();
    };
    let here = |key: &&ServiceKey| cluster.is_none_or(|cluster| key.cluster == *cluster);
    steady(state).filter(here).collect()
}

/// Whether what daemon services look at is the same of an instance.
fn same(before: &Instance, after: &Instance) -> bool {
    before.status == after.status
        && before.external == after.external
        && before.attributes == after.attributes
        && before.registered == after.registered
        && before.agent == after.agent
}

/// The daemon services that have said that they are steady.
fn steady(state: &State) -> impl Iterator<Item = &ServiceKey> {
    let steady = |service: &&Arc<Service>| service.steady_since.is_some();
    state.all_daemons().filter(steady).map(|service| &service.key)
}

/// Whether a place is found for the first of the missing tasks that has one; why not for any, else.
pub(crate) fn somewhere(state: &State, service: &Service, look: &Look<'_>) -> Result<(), Failure> {
    let nobody = || Failure {
        instance: None,
        reason: FailureReason::NoInstances,
        shortfalls: Vec::new(),
        detail: Vec::new(),
    };
    let terms = Terms::of(state, service, &look.want).ok_or_else(nobody)?;
    let mut board = Board::new(state, terms.wish(service));
    let mut failures = Vec::new();
    for place in &look.missing {
        match board.place_on(&place.key.instance) {
            Ok(_) => return Ok(()),
            Err(failure) => failures.push(failure),
        }
    }
    Err(merged(failures).unwrap_or_else(nobody))
}

/// Why no task finds its place, told of the first.
pub(crate) fn merged(failures: Vec<Failure>) -> Option<Failure> {
    let mut all = failures.into_iter();
    let mut first = all.next()?;
    all.for_each(|failure| placement::merge(&mut first, failure));
    Some(first)
}
