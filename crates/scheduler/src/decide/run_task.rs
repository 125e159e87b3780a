//! RunTask, StartTask and StopTask.

use std::sync::Arc;

use model::{
    Change, ContainerFacts, DesiredStatus, InstanceId, LaunchType, PlacementStrategy,
    PlacementTerms, ProviderName, StopCode, Tags, TaskDefinition, TaskFacts, TaskKey, TaskSpec,
    TaskStatus,
};

use super::tokens::Use;
use super::{interfaces, targets, waiting};
use crate::desk::Desk;
use crate::placement::{self, Board, Boards, Group, Rules, Spot, Wish};
use crate::{Failure, Rejection, Reply, Resize, RunTask, words};

/// The most tasks, or instances, of one call: an ECS limit.
const MOST_A_CALL: usize = 10;

/// RunTask: places what fits, and tells of the rest why not.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>
pub(super) fn run(desk: &mut Desk<'_>, run: &RunTask) -> Result<Reply, Rejection> {
    let token =
        Use { cluster: &run.cluster, operation: "RunTask", token: run.client_token.as_ref() };
    super::active_cluster(desk.state, &run.cluster)?;
    if let Some(record) = token.before(desk)? {
        return Ok(again(run, &record.made));
    }
    let most = u32::try_from(MOST_A_CALL).unwrap_or(u32::MAX);
    if run.count == 0 || run.count > most {
        return Err(invalid("count", format!("{} is not from 1 to {most}", run.count)));
    }
    let definition = runnable(desk, run)?;
    let rules = placement::rules(&definition.spec, &run.constraints);
    let mut template = template(desk, run, &definition);
    let terms = terms(run, &definition);
    let shared = waiting::providers(desk.state, &run.cluster, &run.providers, |_| 0, run.count)?;
    let mut waiting = waiting::count(desk.state, &run.cluster);
    let (mut placed, mut failures) = (Vec::new(), Vec::new());
    for (provider, count) in counted(shared) {
        template.provider.clone_from(&provider);
        let wish = Wish {
            provider: provider.as_ref(),
            ..wish(run, &definition, &template, rules.clone())
        };
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
            match waiting::wait(desk, &template, provider.as_ref(), &terms, &mut waiting) {
                Some(key) => placed.push(key),
                None => failures.push(failure),
            }
        }
    }
    Ok(settle(desk, &token, placed, failures))
}

/// StartTask: each instance gets one task, if it fits.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StartTask.html>
pub(super) fn start(
    desk: &mut Desk<'_>,
    instances: &[InstanceId],
    run: &RunTask,
) -> Result<Reply, Rejection> {
    let token =
        Use { cluster: &run.cluster, operation: "StartTask", token: run.client_token.as_ref() };
    super::active_cluster(desk.state, &run.cluster)?;
    if let Some(record) = token.before(desk)? {
        return Ok(again(run, &record.made));
    }
    if instances.is_empty() || instances.len() > MOST_A_CALL {
        let why = format!("{} instances; give from 1 to {MOST_A_CALL}", instances.len());
        return Err(invalid("containerInstances", why));
    }
    // Whoever chooses the instances has chosen: constraints and strategy are RunTask's.
    let definition = runnable(desk, run)?;
    let template = template(desk, run, &definition);
    let mut board = Board::new(desk.state, wish(run, &definition, &template, Rules::default()));
    let (mut placed, mut failures) = (Vec::new(), Vec::new());
    for instance in instances {
        let place = board.place_on(instance);
        match place.and_then(|place| stamp(desk, &template, place.into())) {
            Ok(key) => placed.push(key),
            Err(failure) => failures.push(failure),
        }
    }
    Ok(settle(desk, &token, placed, failures))
}

fn settle(
    desk: &mut Desk<'_>,
    token: &Use<'_>,
    placed: Vec<TaskKey>,
    failures: Vec<Failure>,
) -> Reply {
    // A call that did nothing may be tried again with its token.
    if !placed.is_empty() {
        token.remember(desk, placed.iter().map(|key| key.task.to_string()).collect());
    }
    Reply::Tasks { placed, failures }
}

fn again(run: &RunTask, made: &[String]) -> Reply {
    let key = |id: &String| TaskKey { cluster: run.cluster.clone(), task: id.as_str().into() };
    Reply::Tasks { placed: made.iter().map(key).collect(), failures: Vec::new() }
}

fn invalid(member: &str, why: String) -> Rejection {
    Rejection::Invalid { member: member.to_owned(), why }
}

/// The definition, if it may be run this way.
fn runnable(desk: &Desk<'_>, run: &RunTask) -> Result<Arc<TaskDefinition>, Rejection> {
    let definition = super::active_definition(desk.state, &run.definition)?.clone();
    compatible(&definition, run.launch_type)?;
    interfaces::check(&definition.spec, run.network.as_ref())?;
    Ok(definition)
}

/// Whether a definition may run on this kind of capacity.
pub(super) fn compatible(
    definition: &TaskDefinition,
    launch_type: LaunchType,
) -> Result<(), Rejection> {
    let for_types = &definition.spec.compatibilities;
    let fargate = launch_type == LaunchType::Fargate;
    if for_types.contains(&launch_type) || for_types.is_empty() && !fargate {
        return Ok(());
    }
    if fargate {
        return Err(Rejection::Refused(words::not_for_fargate(&definition.key)));
    }
    let named: Vec<&str> = for_types.iter().map(|t| words::launch_type(*t)).collect();
    Err(Rejection::Incompatible {
        definition: definition.key.clone(),
        why: format!(
            "it was registered for {}, not for {}; register a revision whose requiresCompatibilities names {}",
            named.join(" and "),
            words::launch_type(launch_type),
            words::launch_type(launch_type)
        ),
    })
}

fn wish<'a>(
    run: &'a RunTask,
    definition: &'a TaskDefinition,
    template: &'a TaskFacts,
    rules: Rules,
) -> Wish<'a> {
    Wish {
        cluster: &run.cluster,
        launch_type: run.launch_type,
        provider: None,
        needs: &template.reserved,
        gpus: resized(&definition.spec, &run.resize).gpus(),
        attributes: &definition.spec.required_attributes,
        more_attributes: &run.resize.attributes,
        rules,
        group: Group::Named(&template.group, &definition.key.family),
        strategy: strategy(run),
    }
}

/// How to choose. Fargate's tasks are spread, as a service's are.
fn strategy(run: &RunTask) -> Vec<PlacementStrategy> {
    match run.launch_type {
        LaunchType::Fargate => placement::service_strategy(&[]),
        LaunchType::Ec2 | LaunchType::External => placement::run_strategy(&run.strategy),
    }
}

/// A task of this call, all but its id, its place and its containers' ids.
fn template(desk: &Desk<'_>, run: &RunTask, definition: &TaskDefinition) -> TaskFacts {
    let mut tags = Tags::default();
    if run.propagate_from_definition {
        tags = tags.with(&definition.tags);
    }
    tags = tags.with(&run.tags);
    if run.enable_ecs_managed_tags {
        tags.0.insert("aws:ecs:clusterName".to_owned(), run.cluster.to_string());
    }
    TaskFacts {
        key: TaskKey { cluster: run.cluster.clone(), task: "".into() },
        definition: definition.key.clone(),
        instance: None,
        host: None,
        provider: None,
        terms: None,
        launch_type: run.launch_type,
        group: run.group.clone().unwrap_or_else(|| format!("family:{}", definition.key.family)),
        started_by: run.started_by.clone(),
        service: None,
        deployment: None,
        overrides: run.overrides.clone(),
        reserved: resized(&definition.spec, &run.resize).reservation(),
        containers: containers(&definition.spec),
        tags,
        enable_ecs_managed_tags: run.enable_ecs_managed_tags,
        enable_execute_command: run.enable_execute_command,
        network: interfaces::wanted(run.network.as_ref()),
        created_at: desk.now,
    }
}

/// The containers of a definition, whose ids are still to be drawn.
pub(super) fn containers(spec: &TaskSpec) -> Vec<ContainerFacts> {
    let named = |name: &model::ContainerName| ContainerFacts {
        name: name.clone(),
        id: String::new(),
        gpus: Vec::new(),
    };
    spec.containers.iter().map(|c| named(&c.name)).collect()
}

/// What a task of this call asks of an instance, should it have to wait for one.
fn terms(run: &RunTask, definition: &TaskDefinition) -> PlacementTerms {
    PlacementTerms {
        constraints: run.constraints.clone(),
        strategy: strategy(run),
        attributes: run.resize.attributes.clone(),
        gpus: resized(&definition.spec, &run.resize).gpus(),
    }
}

/// How many times each comes, in the order of their first.
pub(super) fn counted<T: PartialEq>(all: Vec<T>) -> Vec<(T, u32)> {
    let mut counts: Vec<(T, u32)> = Vec::new();
    for one in all {
        match counts.iter_mut().find(|(known, _)| *known == one) {
            Some((_, n)) => *n += 1,
            None => counts.push((one, 1)),
        }
    }
    counts
}

/// Makes a task that waits for an instance from a template.
pub(super) fn stamp_waiting(
    desk: &mut Desk<'_>,
    template: &TaskFacts,
    provider: ProviderName,
    terms: PlacementTerms,
) -> TaskKey {
    let mut facts = template.clone();
    (facts.provider, facts.terms) = (Some(provider), Some(terms));
    make(desk, facts)
}

/// Gives a task the place that was found for it.
///
/// # Errors
/// It wants an address and none is free.
pub(super) fn give(
    desk: &mut Desk<'_>,
    facts: &mut TaskFacts,
    Spot { host, place }: Spot,
) -> Result<(), Failure> {
    facts.host = host;
    interfaces::allot(desk, facts, &place.instance)?;
    facts.instance = Some(place.instance);
    facts.reserved.gpus = place.gpus.iter().flatten().cloned().collect();
    for (container, gpus) in facts.containers.iter_mut().zip(place.gpus) {
        container.gpus = gpus;
    }
    Ok(())
}

/// Makes a task from a template: draws its ids and commits it to its instance, with the GPUs that it
/// has there.
///
/// # Errors
/// It wants an address and none is free.
pub(super) fn stamp(
    desk: &mut Desk<'_>,
    template: &TaskFacts,
    spot: Spot,
) -> Result<TaskKey, Failure> {
    let mut facts = template.clone();
    give(desk, &mut facts, spot)?;
    Ok(make(desk, facts))
}

/// Draws a task's ids, and makes it.
fn make(desk: &mut Desk<'_>, mut facts: TaskFacts) -> TaskKey {
    facts.key.task = desk.ids.hex32().into();
    for container in &mut facts.containers {
        container.id = desk.ids.uuid();
    }
    let key = facts.key.clone();
    desk.put(Change::PutTask(Arc::new(facts)));
    key
}

/// What a task asks for with overrides.
fn resized(spec: &TaskSpec, resize: &Resize) -> TaskSpec {
    let mut spec = spec.clone();
    spec.cpu = resize.cpu.or(spec.cpu);
    spec.memory = resize.memory.or(spec.memory);
    for change in &resize.containers {
        if let Some(container) = spec.containers.iter_mut().find(|c| c.name == change.name) {
            container.cpu = change.cpu.unwrap_or(container.cpu);
            container.memory = change.memory.or(container.memory);
            container.memory_reservation =
                change.memory_reservation.or(container.memory_reservation);
            container.gpus = change.gpus.unwrap_or(container.gpus);
        }
    }
    spec
}

/// StopTask: the task is told to stop. Again, or once it is over: nothing happens.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html>
pub(super) fn stop(
    desk: &mut Desk<'_>,
    key: &TaskKey,
    reason: Option<&str>,
) -> Result<Reply, Rejection> {
    super::active_cluster(desk.state, &key.cluster)?;
    let task = desk.state.task(key).ok_or_else(|| Rejection::TaskNotFound(key.clone()))?;
    let reply = Reply::Task(key.clone());
    if task.progress.desired == DesiredStatus::Stopped
        || task.progress.status == TaskStatus::Stopped
    {
        return Ok(reply);
    }
    let reason = reason.filter(|r| !r.is_empty()).unwrap_or(words::STOPPED_BY_USER).to_owned();
    let mut next = told_to_stop(&task.progress, desk.now, StopCode::UserInitiated, reason);
    let drained = targets::leave(desk, task, &mut next);
    desk.put(super::progress(key, next));
    if let Some(service) = task.facts.service_key() {
        desk.disturb(&service);
        targets::say_left(desk, &service, &[drained]);
    }
    Ok(reply)
}

/// A task's progress once it is told to stop, and why.
pub(super) fn told_to_stop(
    before: &model::TaskProgress,
    now: stdx::Timestamp,
    code: StopCode,
    reason: String,
) -> model::TaskProgress {
    let mut next = before.clone();
    next.desired = DesiredStatus::Stopped;
    next.stopping_at = Some(now);
    next.stop_code = Some(code);
    next.stopped_reason = Some(reason);
    next
}
