//! What holds after each decision of every history.

mod fields;
mod forge;

use std::collections::BTreeSet;

use model::{
    Change, DeploymentController, DeploymentId, DesiredStatus, HealthStatus, HostPort, InstanceKey,
    InstanceStatus, PlacementConstraint, SchedulingStrategy, Service, ServiceDeploymentKey,
    ServiceKey, Stage, State, TargetState, Task, TaskFacts, TaskKey, TaskProgress, TaskStatus,
};
use scheduler::Command;
use stdx::Timestamp;

use crate::world::Mutation;

pub use forge::Forgery;

type Verdict = Result<(), String>;

/// Looks at one decision: what was, what is, and what made the difference.
pub(crate) fn decision(
    before: &State,
    after: &State,
    command: &Command,
    changes: &[Change],
    now: Timestamp,
) -> Verdict {
    for change in changes {
        match change {
            Change::PutProgress(key, next) => moves_on(before, key, next)?,
            Change::PutTask(facts) => placed_well(before, after, facts)?,
            Change::DeleteTask(key) => forgotten_well(before, key)?,
            _ => {}
        }
    }
    fields::decision(before, after, command, changes, now)?;
    match command {
        Command::LaunchServiceTasks { service, deployment, .. } => {
            never_too_many(before, after, service, deployment)
        }
        Command::StopServiceTasks { service, .. } => never_too_few(before, after, service),
        _ => Ok(()),
    }
}

/// Looks at a decision that was made worse, if it is one that can be.
pub(crate) fn shown(
    mutation: Mutation,
    before: &State,
    after: &State,
    command: &Command,
    changes: &[Change],
    now: Timestamp,
) -> Option<Verdict> {
    let Mutation::Forged(forgery) = mutation else { return None };
    let forge::Shown { before, after, command, changes } =
        forgery.of(before, after, command, changes, now)?;
    Some(decision(&before, &after, &command, &changes, now))
}

/// A task moves one way, and what is known of it stays known.
fn moves_on(before: &State, key: &TaskKey, next: &TaskProgress) -> Verdict {
    let Some(task) = before.task(key) else { return Ok(()) };
    let was = &*task.progress;
    if next.status < was.status {
        return Err(format!("{key} goes back from {:?} to {:?}", was.status, next.status));
    }
    if next.desired < was.desired {
        return Err(format!("{key} is wanted again"));
    }
    if next.version <= was.version {
        return Err(format!("{key} has version {} after {}", next.version, was.version));
    }
    let instants = |p: &TaskProgress| [p.connected_at, p.started_at, p.stopped_at];
    for (was, is) in instants(was).into_iter().zip(instants(next)) {
        if was.is_some() && was != is {
            return Err(format!("{key}: an instant changes from {was:?} to {is:?}"));
        }
    }
    Ok(())
}

/// A task that is placed now has what it asked for, and takes it from nobody.
fn placed_well(before: &State, after: &State, facts: &TaskFacts) -> Verdict {
    let known = before.task(&facts.key);
    if let Some(known) = known {
        let (was, is) = (&known.facts, facts);
        if was.instance.is_some() && was.instance != is.instance {
            return Err(format!("{} moves to another instance", facts.key));
        }
        if (&was.definition, &was.service, was.created_at)
            != (&is.definition, &is.service, is.created_at)
        {
            return Err(format!("{} becomes another task", facts.key));
        }
        if was.instance.is_some() {
            return Ok(());
        }
    }
    let Some(key) = facts.instance_key() else { return Ok(()) };
    let Some(instance) = after.instance(&key) else {
        return Err(format!("{} goes to {key}, which is not there", facts.key));
    };
    if instance.status != InstanceStatus::Active || !instance.agent.connected {
        return Err(format!("{} goes to {key}, which takes none", facts.key));
    }
    within(after, &key)?;
    apart(after, facts, &key)
}

/// What tasks hold of an instance is there, and each part is held once.
fn within(state: &State, key: &InstanceKey) -> Verdict {
    let Some(instance) = state.instance(key) else { return Ok(()) };
    let has = &instance.registered;
    let (mut cpu, mut memory) = (0_u64, 0_u64);
    let (mut ports, mut gpus) = (BTreeSet::<HostPort>::new(), BTreeSet::new());
    for task in state.tasks_on(key).filter(|t| t.holds_resources()) {
        let holds = &task.facts.reserved;
        cpu += u64::from(holds.cpu);
        memory += u64::from(holds.memory);
        for port in &holds.ports {
            if has.ports.contains(port) || !ports.insert(*port) {
                return Err(format!("{port:?} of {key} is given twice"));
            }
        }
        for gpu in &holds.gpus {
            if !has.gpus.contains(gpu) || !gpus.insert(gpu) {
                return Err(format!("{gpu} of {key} is not there, or given twice"));
            }
        }
    }
    if cpu > u64::from(has.cpu) || memory > u64::from(has.memory) {
        return Err(format!(
            "{key} is over capacity: {cpu} of {} CPU units, {memory} of {} MiB",
            has.cpu, has.memory
        ));
    }
    Ok(())
}

/// Tasks that keep apart are apart.
fn apart(state: &State, facts: &TaskFacts, key: &InstanceKey) -> Verdict {
    let definition = state.definition(&facts.definition);
    let of_definition = definition.map(|d| d.spec.constraints.as_slice()).unwrap_or_default();
    let service = facts.service_key().and_then(|key| state.service(&key));
    let of_service = service.map(|s| s.constraints.as_slice()).unwrap_or_default();
    let mut all = of_definition.iter().chain(of_service);
    if !all.any(|c| *c == PlacementConstraint::DistinctInstance) {
        return Ok(());
    }
    let same = |task: &&Task| {
        task.facts.group == facts.group
            && task.facts.key != facts.key
            && task.progress.desired == DesiredStatus::Running
            && task.holds_resources()
    };
    match state.tasks_on(key).find(same) {
        Some(other) => Err(format!("{} is beside {} on {key}", facts.key, other.facts.key)),
        None => Ok(()),
    }
}

/// Only what is over is forgotten.
fn forgotten_well(before: &State, key: &TaskKey) -> Verdict {
    match before.task(key) {
        Some(task) if task.progress.status != TaskStatus::Stopped => {
            Err(format!("{key} is forgotten while it is {:?}", task.progress.status))
        }
        Some(_) | None => Ok(()),
    }
}

/// A start leaves the service within its maximum percent; each of two sets side by side, and each of
/// a program's task sets, within its own.
fn never_too_many(
    before: &State,
    after: &State,
    key: &ServiceKey,
    deployment: &DeploymentId,
) -> Verdict {
    let Some(service) = after.service(key) else { return Ok(()) };
    let of = |task: &&Task| task.facts.deployment.as_ref() == Some(deployment);
    let set = service.deployment(deployment).filter(|d| d.set.is_some());
    let apart = set.is_some() || side_by_side(after, service);
    let live = |state: &State| {
        let tasks = state.tasks_of(key).filter(|t| t.holds_resources());
        if apart { tasks.filter(of).count() } else { tasks.count() }
    };
    let wanted = match set {
        Some(set) => scheduler::computed_count(service, set),
        None => service.desired_count,
    };
    let (was, is) = (live(before), live(after));
    let most = service.config.most(wanted) as usize;
    // A daemon is on each instance, and no more than once: that is looked at elsewhere.
    if service.scheduling == SchedulingStrategy::Replica && is > was && is > most {
        return Err(format!("{key} has {is} tasks, at most {most} are allowed"));
    }
    Ok(())
}

/// Whether a service has two whole sets of tasks, each within its own bounds.
fn side_by_side(state: &State, service: &Service) -> bool {
    let id = service.current.clone();
    let key = id.map(|id| ServiceDeploymentKey { service: service.key.clone(), id });
    key.and_then(|key| state.deployments().deployment(&key)).is_some_and(|record| {
        let reconciled = record.stage == Some(Stage::ReconcileService);
        record.method.strategy.is_progressive() && (!reconciled || record.status.is_over())
    })
}

/// A stop leaves the service its minimum healthy percent. What a program takes from a task set is for
/// it to say; of two sets side by side it holds for the one that is to be reached; and a daemon goes
/// with its instance.
fn never_too_few(before: &State, after: &State, key: &ServiceKey) -> Verdict {
    let Some(service) = after.service(key) else { return Ok(()) };
    if service.controller == DeploymentController::External {
        return Ok(());
    }
    let primary = service.primary().filter(|_| service.method.strategy.is_progressive());
    let counts = |task: &Task| match primary {
        Some(primary) => task.facts.deployment.as_ref() == Some(&primary.id),
        None => true,
    };
    let (was, is) = (healthy_where(before, service, counts), healthy_where(after, service, counts));
    let gone = match service.scheduling {
        SchedulingStrategy::Replica => 0,
        SchedulingStrategy::Daemon => off_place(before, service),
    };
    let was = was.saturating_sub(gone);
    let fewest = service.config.fewest(service.desired_count) as usize;
    if is < was.min(fewest) {
        return Err(format!("{key}: {is} of {was} healthy tasks left, not {fewest}"));
    }
    Ok(())
}

/// Healthy tasks of a daemon service on instances where it does not belong any more.
fn off_place(state: &State, service: &Service) -> usize {
    let active =
        |t: &&Task| state.instance_of(&t.facts).is_some_and(|i| i.status == InstanceStatus::Active);
    state
        .tasks_of(&service.key)
        .filter(|t| t.is_running() && t.progress.desired == DesiredStatus::Running)
        .filter(|t| !active(t))
        .count()
}

/// Tasks of a service that run, are wanted, and pass their health checks: counted the naive way.
pub(crate) fn healthy(state: &State, service: &Service) -> usize {
    healthy_where(state, service, |_| true)
}

/// The same of some of its tasks.
pub(crate) fn healthy_where(
    state: &State,
    service: &Service,
    those: impl Fn(&Task) -> bool,
) -> usize {
    let passes = |task: &&Task| {
        let Some(definition) = state.definition(&task.facts.definition) else { return false };
        let checked = |name| {
            definition.spec.container(name).is_some_and(|c| c.essential && c.has_health_check)
        };
        let book = state.balancing();
        book.targets_of(&task.facts.key).all(|t| book.state_of(t) == TargetState::Healthy)
            && !task
                .progress
                .containers
                .iter()
                .any(|c| checked(&c.name) && c.health != HealthStatus::Healthy)
    };
    state
        .tasks_of(&service.key)
        .filter(|t| t.is_running() && t.progress.desired == DesiredStatus::Running)
        .filter(|t| state.instance_of(&t.facts).is_some())
        .filter(passes)
        .filter(|task| those(task))
        .count()
}

/// Every count and index is the fold over the facts: the records, loaded anew, give the same.
pub(crate) fn folds(state: &State) -> Verdict {
    let mut loaded = State::new(state.realm().clone());
    state.records().for_each(|record| loaded.apply(&record));
    if loaded != *state {
        return Err("the state is not the fold over its records".to_owned());
    }
    for service in state.all_services() {
        let of = |running| {
            let tasks =
                state.all_tasks().filter(|t| t.facts.service_key().as_ref() == Some(&service.key));
            tasks.filter(|t| if running { t.is_running() } else { t.is_pending() }).count()
        };
        let (running, pending) = state.service_counts(&service.key);
        if (running as usize, pending as usize) != (of(true), of(false)) {
            return Err(format!("{}: its counts are not those of its tasks", service.key));
        }
    }
    for instance in state.all_instances() {
        let holds = state.all_tasks().filter(|t| {
            t.facts.instance_key().as_ref() == Some(&instance.key) && t.holds_resources()
        });
        let cpu: u32 = holds.map(|t| t.facts.reserved.cpu).sum();
        if state.left(instance).0 != instance.registered.cpu.saturating_sub(cpu) {
            return Err(format!("{}: what it has left is not what its tasks leave", instance.key));
        }
    }
    Ok(())
}
