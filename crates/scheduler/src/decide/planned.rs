//! What the loops propose, checked again at its commit: no longer true, or no longer within the
//! percentages, and it is refused as stale or done in part.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{
    Change, DefinitionKey, DefinitionStatus, DeploymentId, InstanceId, PropagateTags, ProviderName,
    Service, ServiceKey, ServiceStatus, State, StopCode, Tags, Task, TaskFacts, TaskId, TaskKey,
    TaskStatus, TokenKey,
};

use super::run_task::{containers, counted, stamp, told_to_stop};
use super::{instances, interfaces, progress, targets, waiting};
use crate::complaints::complain;
use crate::desk::Desk;
use crate::placement::{Board, Boards, Wish};
use crate::replicas::{self, BATCH, Tally, Terms};
use crate::{
    Failure, Forget, Rejection, Reply, StopCause, daemon, failures, rollout, task_sets, timing,
    words,
};

/// Starts tasks of a deployment, as many as are still wanted and fit.
pub(super) fn launch(
    desk: &mut Desk<'_>,
    key: &ServiceKey,
    deployment: &DeploymentId,
    count: u32,
) -> Result<Reply, Rejection> {
    let service = desk.state.service(key).ok_or(Rejection::Stale)?.clone();
    if daemon::is(&service) {
        return daemons(desk, &service, deployment, count);
    }
    let wants = replicas::wants(desk.state, &service);
    let want = wants.iter().find(|want| want.deployment == deployment).ok_or(Rejection::Stale)?;
    let tally = Tally::new(desk.state, &service, want, desk.now);
    let count = replicas::launch(&service, want, &tally, desk.now).count.min(count).min(BATCH);
    let terms = Terms::of(desk.state, &service, want).filter(|_| count > 0);
    let terms = terms.ok_or(Rejection::Stale)?;
    let mut template = template(desk, &service, deployment, &terms);
    let has = |provider: &ProviderName| {
        let theirs = |m: &&replicas::Member<'_>| m.task.facts.provider.as_ref() == Some(provider);
        replicas::small(tally.members.iter().filter(|m| m.flaw.is_none()).filter(theirs).count())
    };
    let shared = waiting::providers(desk.state, &key.cluster, want.providers, has, count);
    let shared = shared.map_err(|_| Rejection::Stale)?;
    let mut waiting = waiting::count(desk.state, &key.cluster);
    let (mut placed, mut failed) = (Vec::new(), None);
    for (provider, count) in counted(shared) {
        template.provider.clone_from(&provider);
        let wish = Wish { provider: provider.as_ref(), ..terms.wish(&service) };
        let mut board = Boards::new(desk.state, wish);
        for _ in 0..count {
            let failure = match board.place(desk.ids) {
                Ok(spot) => match stamp(desk, &template, spot) {
                    Ok(key) => {
                        placed.push(key);
                        continue;
                    }
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            let terms = terms.for_later(&service);
            match waiting::wait(desk, &template, provider.as_ref(), &terms, &mut waiting) {
                Some(task) => placed.push(task),
                None => {
                    failed = Some(failure);
                    break;
                }
            }
        }
    }
    if let Some(zones) = tally.uneven.as_ref().filter(|_| !placed.is_empty()) {
        desk.say(key, &words::not_balanced(zones));
    }
    told(desk, &service, deployment, placed, failed)
}

/// Starts tasks of a daemon service, each on the instance where one is missing.
fn daemons(
    desk: &mut Desk<'_>,
    service: &Service,
    deployment: &DeploymentId,
    count: u32,
) -> Result<Reply, Rejection> {
    let state = desk.state;
    let look = daemon::Look::new(state, service, desk.now).ok_or(Rejection::Stale)?;
    let may = daemon::launch(service, &look, desk.now).count.min(count).min(BATCH);
    let terms = Terms::of(state, service, &look.want);
    let terms = terms.filter(|_| may > 0 && look.want.deployment == deployment);
    let terms = terms.ok_or(Rejection::Stale)?;
    let template = template(desk, service, deployment, &terms);
    let mut board = Board::new(state, terms.wish(service));
    let (mut placed, mut failures) = (Vec::new(), Vec::new());
    for instance in &look.missing {
        if placed.len() >= may as usize {
            break;
        }
        let found = board.place_on(&instance.key.instance);
        match found.and_then(|place| stamp(desk, &template, place.into())) {
            Ok(task) => placed.push(task),
            Err(failure) => failures.push(failure),
        }
    }
    told(desk, service, deployment, placed, daemon::merged(failures))
}

/// Says something of a deployment: of its task set, where it is one.
fn say_of(desk: &mut Desk<'_>, service: &Service, deployment: &DeploymentId, what: &str) {
    let key = &service.key;
    match service.deployment(deployment).filter(|d| d.set.is_some()) {
        Some(set) => desk.tell(key, words::about_set(&key.service, &set.id, what)),
        None => desk.say(key, what),
    }
}

/// Says what was started, and why not the rest.
fn told(
    desk: &mut Desk<'_>,
    service: &Service,
    deployment: &DeploymentId,
    placed: Vec<TaskKey>,
    failed: Option<Failure>,
) -> Result<Reply, Rejection> {
    let key = &service.key;
    if !placed.is_empty() {
        if let Some(draft) = desk.draft(key) {
            draft.steady_since = None;
            draft.placement_failed_at = None;
        }
        let what = words::started(placed.iter().map(|key| &key.task));
        say_of(desk, service, deployment, &what);
    }
    let failures = failed.clone().into_iter().collect();
    if let Some(failure) = failed
        && !complain(desk, service, &words::unplaced(&failure))
        && placed.is_empty()
    {
        return Err(Rejection::Stale);
    }
    Ok(Reply::Tasks { placed, failures })
}

/// A task of this deployment, all but its id, its place and its containers' ids.
fn template(
    desk: &Desk<'_>,
    service: &Service,
    deployment: &DeploymentId,
    terms: &Terms,
) -> TaskFacts {
    let key = &service.key;
    let mut tags = match service.propagate_tags {
        PropagateTags::None => Tags::default(),
        PropagateTags::Service => service.tags.clone(),
        PropagateTags::TaskDefinition => terms.definition.tags.clone(),
    };
    if service.enable_ecs_managed_tags {
        tags.0.insert("aws:ecs:clusterName".to_owned(), key.cluster.to_string());
        tags.0.insert("aws:ecs:serviceName".to_owned(), key.service.to_string());
    }
    TaskFacts {
        key: TaskKey { cluster: key.cluster.clone(), task: "".into() },
        definition: terms.definition.key.clone(),
        instance: None,
        host: None,
        provider: None,
        terms: None,
        launch_type: terms.launch_type,
        group: format!("service:{}", key.service),
        started_by: Some(deployment.to_string()),
        service: Some(key.service.clone()),
        deployment: Some(deployment.clone()),
        overrides: None,
        reserved: terms.needs.clone(),
        containers: containers(&terms.definition.spec),
        tags,
        enable_ecs_managed_tags: service.enable_ecs_managed_tags,
        enable_execute_command: service.enable_execute_command,
        network: interfaces::wanted(
            service.deployment(deployment).and_then(|d| d.network.as_ref()),
        ),
        created_at: desk.now,
    }
}

/// Stops tasks of a service, those that may still be stopped.
pub(super) fn stop(
    desk: &mut Desk<'_>,
    key: &ServiceKey,
    tasks: &[(TaskId, StopCause)],
) -> Result<Reply, Rejection> {
    let service = desk.state.service(key).ok_or(Rejection::Stale)?.clone();
    let stops = still_to_stop(desk, &service, tasks);
    if stops.is_empty() {
        return Err(Rejection::Stale);
    }
    let primary = service.primary().map(|d| d.id.clone());
    let (mut at_once, mut drained) = (Vec::new(), Vec::new());
    for (id, cause) in &stops {
        let task_key = TaskKey { cluster: key.cluster.clone(), task: id.clone() };
        let Some(task) = desk.state.task(&task_key).cloned() else { continue };
        let (reason, unhealthy) = why(desk.state, &task, *cause, primary.as_ref());
        let code = StopCode::ServiceSchedulerInitiated;
        let mut next = told_to_stop(&task.progress, desk.now, code, reason);
        let left = targets::leave(desk, &task, &mut next);
        if next.status == TaskStatus::Deactivating {
            drained.push(left);
        } else {
            at_once.push((task.facts.deployment.clone(), id));
        }
        desk.put(progress(&task_key, next));
        let Some(deployment) = &task.facts.deployment else { continue };
        if let Some(words) = unhealthy {
            desk.say(key, &words);
            failures::count(desk, key, deployment, task.facts.created_at, &words);
        } else if *cause != StopCause::ScaleIn
            && let Some(draft) = desk.draft(key)
            && let Some(old) = draft.deployments.iter_mut().find(|d| d.id == *deployment)
            && primary.as_ref() != Some(deployment)
        {
            old.desired_count = old.desired_count.saturating_sub(1);
        }
    }
    desk.disturb(key);
    say_draining(desk, key, &stops);
    targets::say_left(desk, key, &drained);
    say_stopped(desk, &service, at_once);
    Ok(Reply::Service(key.clone()))
}

/// Says which tasks were told to stop: together, but those of each task set by themselves.
fn say_stopped(
    desk: &mut Desk<'_>,
    service: &Service,
    stopped: Vec<(Option<DeploymentId>, &TaskId)>,
) {
    let mut groups: BTreeMap<Option<DeploymentId>, Vec<&TaskId>> = BTreeMap::new();
    for (deployment, task) in stopped {
        let set = deployment.filter(|_| task_sets::are_of(service));
        groups.entry(set).or_default().push(task);
    }
    for (set, tasks) in groups {
        let what = words::stopped(tasks.into_iter());
        match set {
            Some(set) => say_of(desk, service, &set, &what),
            None => desk.say(&service.key, &what),
        }
    }
}

/// Those of the proposed stops that are still to be done.
fn still_to_stop(
    desk: &Desk<'_>,
    service: &Service,
    tasks: &[(TaskId, StopCause)],
) -> Vec<(TaskId, StopCause)> {
    if daemon::is(service) {
        let look = daemon::Look::new(desk.state, service, desk.now);
        let still = look.map(|look| daemon::still_to_stop(service, &look, tasks, desk.now));
        return still.unwrap_or_default();
    }
    let mut stops = Vec::new();
    for want in &replicas::wants(desk.state, service) {
        let tally = Tally::new(desk.state, service, want, desk.now);
        stops.extend(replicas::still_to_stop(service, want, &tally, tasks));
    }
    stops
}

/// Says which instances the tasks leave because these drain.
fn say_draining(desk: &mut Desk<'_>, key: &ServiceKey, stops: &[(TaskId, StopCause)]) {
    let state = desk.state;
    let draining = stops.iter().filter(|(_, cause)| *cause == StopCause::Draining);
    let instances: BTreeSet<&InstanceId> = draining
        .filter_map(|(id, _)| {
            let key = TaskKey { cluster: key.cluster.clone(), task: id.clone() };
            state.task(&key)?.facts.instance.as_ref()
        })
        .collect();
    if !instances.is_empty() {
        desk.say(key, &words::drained(instances));
    }
}

/// Why a task is stopped, and what is said of it if it is unhealthy.
fn why(
    state: &State,
    task: &Task,
    cause: StopCause,
    primary: Option<&DeploymentId>,
) -> (String, Option<String>) {
    let (realm, id) = (state.realm(), &task.facts.key.task);
    let sick = targets::unhealthy(state, &task.facts.key);
    match (cause, sick) {
        (StopCause::TargetUnhealthy, Some((target, verdict))) => {
            let group = realm.group(&target.key.group);
            let event = words::target_unhealthy(id, target, &group, verdict);
            (words::failed_target_checks(&group), Some(event))
        }
        (StopCause::TargetUnhealthy | StopCause::Unhealthy, _) => {
            (words::FAILED_CHECKS.to_owned(), Some(words::unhealthy(id)))
        }
        (StopCause::ScaleIn | StopCause::Replaced | StopCause::Draining, _) => {
            (words::stopped_by_service(primary), None)
        }
    }
}

/// Moves a service's deployments on.
pub(super) fn step(desk: &mut Desk<'_>, key: &ServiceKey) -> Result<Reply, Rejection> {
    rollout::step(desk, key);
    if desk.is_idle() { Err(Rejection::Stale) } else { Ok(Reply::Service(key.clone())) }
}

/// A task's instance is gone for good.
pub(super) fn lose(desk: &mut Desk<'_>, key: &TaskKey, reason: &str) -> Result<Reply, Rejection> {
    let task = desk.state.task(key).ok_or(Rejection::Stale)?;
    let gone = task.facts.instance.is_some() && desk.state.instance_of(&task.facts).is_none();
    if !gone || task.progress.status == TaskStatus::Stopped {
        return Err(Rejection::Stale);
    }
    instances::lose(desk, task, reason.to_owned());
    Ok(Reply::Task(key.clone()))
}

/// Forgets what has been kept long enough, of that which is proposed.
pub(super) fn forget(desk: &mut Desk<'_>, what: &[Forget]) -> Result<Reply, Rejection> {
    for item in what {
        let due = forgettable_at(desk.state, item).is_some_and(|at| at <= desk.now);
        if due {
            if let Forget::Service(key) = item {
                super::scaling::forget(desk, key);
            }
            if let Forget::Deployment(key) = item {
                rollout::forget_revisions(desk, key);
            }
            desk.put(match item {
                Forget::Deployment(key) => {
                    Change::Deployment(model::DeploymentChange::DeleteDeployment(key.clone()))
                }
                Forget::Task(key, _) => Change::DeleteTask(key.clone()),
                Forget::Token(key) => Change::DeleteToken(key.clone()),
                Forget::Service(key) => Change::DeleteService(key.clone()),
                Forget::Definition(key) => Change::DeleteDefinition(key.clone()),
            });
        }
    }
    if desk.is_idle() { Err(Rejection::Stale) } else { Ok(Reply::Done) }
}

/// When something may be forgotten; none while it may not be.
pub(crate) fn forgettable_at(state: &State, what: &Forget) -> Option<stdx::Timestamp> {
    match what {
        Forget::Task(key, kept) => task_forgettable_at(state, key, *kept),
        Forget::Token(key) => token_forgettable_at(state, key),
        Forget::Service(key) => {
            let service = state.service(key)?;
            (service.status == ServiceStatus::Inactive)
                .then(|| service.inactive_since.unwrap_or(service.created_at))
                .map(|at| at + timing::INACTIVE_SERVICES_KEPT)
        }
        Forget::Deployment(key) => {
            let record = state.deployments().deployment(key)?;
            let over = record.finished_at.filter(|_| record.status.is_over())?;
            Some(over + timing::DEPLOYMENTS_KEPT)
        }
        Forget::Definition(key) => {
            definition_forgettable(state, key).then_some(stdx::Timestamp::EPOCH)
        }
    }
}

fn task_forgettable_at(state: &State, key: &TaskKey, kept: Duration) -> Option<stdx::Timestamp> {
    let task = state.task(key)?;
    (task.progress.status == TaskStatus::Stopped)
        .then(|| task.progress.stopped_at.unwrap_or(task.facts.created_at))
        .map(|at| at + kept.max(timing::STOPPED_TASKS_KEPT))
}

fn token_forgettable_at(state: &State, key: &TokenKey) -> Option<stdx::Timestamp> {
    state.token(key).map(|record| record.at + timing::TOKENS_KEPT)
}

/// A deleted definition goes when nothing refers to it. The highest of its family stays, so that its
/// number is not given again.
fn definition_forgettable(state: &State, key: &DefinitionKey) -> bool {
    let deleted =
        state.definition(key).is_some_and(|d| d.status == DefinitionStatus::DeleteInProgress);
    let highest = state.family(&key.family).next_back().is_none_or(|d| d.key == *key);
    if !deleted || highest || state.uses_of(key) > 0 {
        return false;
    }
    !state.all_services().any(|service| {
        service.stable.as_ref() == Some(key)
            || service.deployments.iter().any(|d| d.definition == *key)
    })
}
