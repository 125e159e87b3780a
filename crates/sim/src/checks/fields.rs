//! What holds of load balancers, deployments, groups of nodes, daemons, addresses and the calendar
//! after each decision.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{
    BalancingChange, BusChange, CapacityChange, Change, DeploymentChange, DesiredStatus, Node,
    NodeHealth, NodeState, PlacementConstraint, SchedulingStrategy, Service, ServiceDeployment,
    ServiceKey, State, Target, TargetKey, TargetState, Task, TaskFacts, TaskStatus,
};
use scheduler::{Command, StopCause};
use stdx::Timestamp;

use super::Verdict;
use crate::ground;

/// Looks at one decision.
pub(super) fn decision(
    before: &State,
    after: &State,
    command: &Command,
    changes: &[Change],
    now: Timestamp,
) -> Verdict {
    let mut targets = false;
    for change in changes {
        match change {
            Change::Balancing(change) => {
                targets = true;
                left_in_time(before, command, change, now)?;
            }
            Change::Deployment(DeploymentChange::PutDeployment(record)) => {
                deploys_on(before, after, record)?;
            }
            Change::Capacity(CapacityChange::PutNode(node)) => {
                ended_well(before, command, node, now)?;
            }
            Change::Bus(BusChange::PutRule(rule)) => {
                let fired = |rule: &Arc<model::EventRule>| {
                    rule.schedule.as_ref().and_then(|schedule| schedule.fired)
                };
                let was = before.bus().rule(&rule.name).and_then(fired);
                if matches!(command, Command::Bus(scheduler::BusCommand::Fire(_)))
                    && fired(rule) <= was
                {
                    return Err(format!("{} fires twice for {was:?}", rule.name));
                }
            }
            Change::PutProgress(..) | Change::DeleteTask(_) => targets = true,
            Change::PutTask(facts) => {
                one_address(after, facts)?;
                somewhere(after, facts)?;
            }
            _ => {}
        }
    }
    if targets {
        targets_of_the_living(after)?;
    }
    match command {
        Command::LaunchServiceTasks { service, .. } => one_each(after, service),
        Command::StopServiceTasks { tasks, service } => {
            let causes = tasks
                .iter()
                .filter(|(_, cause)| matches!(cause, StopCause::ScaleIn | StopCause::Replaced));
            protected(before, after, service, causes.map(|(task, _)| task), now)
        }
        Command::Capacity(scheduler::CapacityCommand::StepGroup(_)) => few_enough(before, after),
        _ => Ok(()),
    }
}

/// A target belongs to a task that lives, and no task is stopped before its targets are gone.
fn targets_of_the_living(state: &State) -> Verdict {
    for target in state.balancing().all_targets() {
        let Some(key) = &target.task else { continue };
        let Some(task) = state.task(key) else {
            return Err(format!("{key} is forgotten and still a target"));
        };
        let progress = &task.progress;
        if progress.status == TaskStatus::Stopped {
            return Err(format!("{key} is over and still a target"));
        }
        let waits = progress.status == TaskStatus::Deactivating;
        if (progress.desired == DesiredStatus::Stopped) != waits {
            return Err(format!("{key} does not drain before it stops: {:?}", progress.status));
        }
        if waits && target.draining_since.is_none() {
            return Err(format!("{key} is to stop and gets new requests"));
        }
    }
    Ok(())
}

/// A draining target has its time, unless it has finished or its task is over.
fn left_in_time(
    before: &State,
    command: &Command,
    change: &BalancingChange,
    now: Timestamp,
) -> Verdict {
    let (BalancingChange::DeleteTarget(key), Command::EndDraining { .. }) = (change, command)
    else {
        return Ok(());
    };
    let since = before.balancing().target(key).and_then(|target| target.draining_since);
    match since {
        Some(since) if since + ground::DELAY <= now => Ok(()),
        _ => Err(format!("{} drains since {since:?} and is taken out at {now}", place(key))),
    }
}

fn place(key: &TargetKey) -> String {
    format!("{:?}:{} of {}", key.place, key.port, key.group)
}

/// A service deployment that is over stays as it is; traffic goes one way unless it goes back, and
/// only where somebody answers.
fn deploys_on(before: &State, after: &State, next: &ServiceDeployment) -> Verdict {
    let Some(was) = before.deployments().deployment(&next.key) else { return Ok(()) };
    if was.status.is_over() && (was.status, was.finished_at) != (next.status, next.finished_at) {
        return Err(format!("{} is over and becomes {:?}", next.key, next.status));
    }
    let (from, to) = (was.production, next.production);
    if next.rollback.is_some() || next.status.is_over() || to == from {
        return Ok(());
    }
    if to < from {
        return Err(format!("{}: traffic falls from {from:?} to {to:?}", next.key));
    }
    let wanted = after.service(&next.key.service).map_or(0, |service| service.desired_count);
    if wanted == 0 { Ok(()) } else { somebody_answers(before, after) }
}

/// Whichever group gets more production traffic than it had has somebody who answers.
fn somebody_answers(before: &State, after: &State) -> Verdict {
    let (was, is) = (ground::production(before), ground::production(after));
    let book = after.balancing();
    for to in is.iter().filter(|to| to.weight > 0) {
        let before = was.iter().find(|from| from.group == to.group).map_or(0, |from| from.weight);
        let answers = |t: &Arc<Target>| book.state_of(t) == TargetState::Healthy;
        if to.weight > before && !book.targets(&to.group).any(answers) {
            return Err(format!("{} gets traffic and has nobody to answer: {is:?}", to.group));
        }
    }
    Ok(())
}

/// Scale-in ends no node that has tasks and is kept from it.
fn ended_well(before: &State, command: &Command, next: &Node, now: Timestamp) -> Verdict {
    let Some(was) = before.capacity().node(&next.id) else { return Ok(()) };
    if next.state < was.state {
        return Err(format!("{} goes back from {:?} to {:?}", next.id, was.state, next.state));
    }
    let leaves = was.state == NodeState::InService && next.state > NodeState::InService;
    let by_itself = matches!(command, Command::Capacity(scheduler::CapacityCommand::StepGroup(_)));
    if !leaves || !by_itself || !was.protected || was.health == NodeHealth::Unhealthy {
        return Ok(());
    }
    let instance =
        before.all_instances().find(|i| i.ec2_instance_id.as_deref() == Some(next.id.as_str()));
    let Some(instance) = instance.filter(|instance| instance.agent.connected) else {
        return Ok(());
    };
    let daemon = |task: &&Task| {
        let service = task.facts.service_key().and_then(|key| before.service(&key));
        service.is_some_and(|service| service.scheduling == SchedulingStrategy::Daemon)
    };
    let tasks =
        before.tasks_on(&instance.key).filter(|t| t.holds_resources() && !daemon(t)).count();
    if tasks > 0 {
        return Err(format!("{} is kept, has {tasks} tasks, and is ended at {now}", next.id));
    }
    Ok(())
}

/// A group grows to its bound and no further.
fn few_enough(before: &State, after: &State) -> Verdict {
    for group in after.capacity().groups() {
        let count =
            |state: &State| state.capacity().nodes(&group.name).filter(|n| n.counts()).count();
        let (was, is) = (count(before), count(after));
        if is > was && is > group.max as usize {
            return Err(format!(
                "{} has {is} nodes, at most {} are allowed",
                group.name, group.max
            ));
        }
    }
    Ok(())
}

/// A daemon service has one task on an instance.
fn one_each(state: &State, key: &ServiceKey) -> Verdict {
    let daemon = |service: &&Service| service.scheduling == SchedulingStrategy::Daemon;
    let Some(service) = state.service(key).map(AsRef::as_ref).filter(daemon) else { return Ok(()) };
    let mut taken = BTreeSet::new();
    for task in state.tasks_of(&service.key).filter(|t| t.holds_resources()) {
        if !taken.insert(task.facts.instance_key()) {
            return Err(format!("{key} is twice on {:?}", task.facts.instance));
        }
    }
    Ok(())
}

/// No two tasks have one address, and it is one of those that were named.
fn one_address(state: &State, facts: &TaskFacts) -> Verdict {
    let Some(interface) = facts.interface() else {
        let placed = facts.network.is_some() && facts.instance.is_some();
        return if placed { Err(format!("{} has no address", facts.key)) } else { Ok(()) };
    };
    let named = facts.network.as_ref().map(|network| &network.configuration.subnets);
    if !named.is_some_and(|subnets| subnets.contains(&interface.subnet)) {
        return Err(format!("{} is in {}, which was not named", facts.key, interface.subnet));
    }
    let same = |task: &&Task| {
        task.facts.key != facts.key
            && task.holds_resources()
            && task.facts.interface().is_some_and(|other| other.address == interface.address)
    };
    match state.all_tasks().find(same) {
        Some(other) => Err(format!("{} and {} have the same address", facts.key, other.facts.key)),
        None => Ok(()),
    }
}

/// Histories have only constraints that nobody satisfies.
fn somewhere(state: &State, facts: &TaskFacts) -> Verdict {
    let service = facts.service_key().and_then(|key| state.service(&key));
    let nowhere =
        |constraint: &PlacementConstraint| matches!(constraint, PlacementConstraint::MemberOf(_));
    let bound = service.is_some_and(|service| service.constraints.iter().any(nowhere));
    if bound && facts.instance.is_some() && state.task(&facts.key).is_some_and(|t| t.is_pending()) {
        return Err(format!("{} is placed against its service's constraint", facts.key));
    }
    Ok(())
}

/// A protected task is stopped neither to scale in nor to deploy.
fn protected<'a>(
    before: &State,
    after: &State,
    service: &ServiceKey,
    tasks: impl Iterator<Item = &'a model::TaskId>,
    now: Timestamp,
) -> Verdict {
    let active = before.service(service).is_some_and(|s| s.status == model::ServiceStatus::Active);
    for id in tasks.filter(|_| active) {
        let key = model::TaskKey { cluster: service.cluster.clone(), task: id.clone() };
        let (Some(was), Some(is)) = (before.task(&key), after.task(&key)) else { continue };
        let until = was.progress.protected_until.filter(|until| *until > now);
        let stopped = was.progress.desired != is.progress.desired;
        if let Some(until) = until.filter(|_| stopped) {
            return Err(format!("{key} is protected until {until} and is stopped at {now}"));
        }
    }
    Ok(())
}
