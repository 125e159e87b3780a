//! One step of a group: nodes move on, and there come to be as many as there should be. It is asked by
//! the plan on a desk of its own and again at its commit; at rest it changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{
    AutoScalingGroup, AutoScalingGroupName, CapacityProvider, HookOutcome, Instance,
    InstanceStatus, LaunchedBy, Node, NodeHealth, NodeId, NodeState, Process, State, Transition,
};
use stdx::Timestamp;

use super::{Log, actions, ended, groups, hooks, nodes, put_group, put_node};
use crate::capacity::{Candidate, Demand, Offer, Sizing, victims, wanted, words};
use crate::desk::Desk;
use crate::{daemon, decide, timing};

/// The instance of a cluster that a node has become, if its agent has joined.
pub(crate) fn instance<'a>(state: &'a State, node: &NodeId) -> Option<&'a Arc<Instance>> {
    let cluster = cluster(state, node)?;
    let mut instances = state.instances(&cluster);
    instances.find(|i| i.ec2_instance_id.as_deref() == Some(node.as_str()))
}

/// The cluster that a node joins.
fn cluster(state: &State, node: &NodeId) -> Option<model::ClusterName> {
    let book = state.capacity();
    book.cluster_of(book.node(node)?)
}

/// A node of the group, what it has become, and how many tasks it has.
struct Seen<'a> {
    node: &'a Arc<Node>,
    instance: Option<&'a Arc<Instance>>,
    tasks: usize,
    /// Tasks of daemon services on it: they keep no node.
    daemons: usize,
    /// When its last task ended, or it came.
    idle_since: Timestamp,
}

/// How many nodes a group should have, and in words who says so if it is not a user.
struct Aim {
    desired: u32,
    why: String,
}

/// Moves a group on as far as the facts allow, and tells when time alone will move it further.
pub(crate) fn step(desk: &mut Desk<'_>, name: &AutoScalingGroupName) -> Option<Timestamp> {
    let state = desk.state;
    let group = state.capacity().group(name)?.clone();
    let provider = state.capacity().provider_of(name).cloned();
    let joined = joined(state, name);
    let nodes = state.capacity().nodes(name);
    let seen: Vec<Seen<'_>> =
        nodes.map(|node| see(state, node, joined.get(node.id.as_str()).copied())).collect();
    if seen.is_empty() && group.deleting {
        groups::forget(desk, name);
        return None;
    }
    let mut log = Log::of(desk, name);
    let (group, next) = actions::run_due(desk, &mut log, &group);
    let mut wake: Vec<Timestamp> = next.into_iter().collect();
    for node in &seen {
        wake.extend(advance(desk, &group, provider.as_deref(), node));
    }
    wake.extend(replace(desk, &mut log, &group, &seen));
    let mut aim = Aim { desired: group.desired, why: group.why.clone() };
    if let Some(provider) = provider.as_deref().filter(|_| !group.deleting) {
        wake.extend(size(desk, &group, provider, &seen, &mut aim));
    }
    wake.extend(fill(desk, &mut log, &group, &aim, &seen));
    shrink(desk, &mut log, &group, provider.as_deref(), &aim, &seen);
    let count = seen.iter().filter(|seen| seen.node.counts()).count();
    if !group.why.is_empty() && small(count) == group.desired && aim.desired == group.desired {
        // Who asked for it has what was asked for; what follows has other causes.
        put_group(desk, AutoScalingGroup { why: String::new(), ..group });
    }
    wake.into_iter().filter(|at| *at > desk.now).min()
}

/// What the nodes of a group have become, by their ids: one pass over the clusters that they join.
fn joined<'a>(
    state: &'a State,
    group: &AutoScalingGroupName,
) -> BTreeMap<&'a str, &'a Arc<Instance>> {
    let book = state.capacity();
    let clusters: BTreeSet<_> =
        book.nodes(group).filter_map(|node| book.cluster_of(node)).collect();
    let mut joined = BTreeMap::new();
    for cluster in &clusters {
        let of = |i: &'a Arc<Instance>| Some((i.ec2_instance_id.as_deref()?, i));
        joined.extend(state.instances(cluster).filter_map(of));
    }
    joined
}

fn see<'a>(state: &'a State, node: &'a Arc<Node>, instance: Option<&'a Arc<Instance>>) -> Seen<'a> {
    let (mut tasks, mut daemons, mut idle_since) = (0, 0, node.created_at);
    if let Some(instance) = instance {
        idle_since = idle_since.max(instance.registered_at);
        for task in state.tasks_on(&instance.key) {
            // A daemon is there for the others: it makes no node busy, and goes with it.
            if daemon::of(state, task) {
                daemons += usize::from(task.holds_resources());
            } else if task.holds_resources() {
                tasks += 1;
            } else if let Some(at) = task.progress.stopped_at {
                idle_since = idle_since.max(at);
            }
        }
    }
    Seen { node, instance, tasks, daemons, idle_since }
}

/// One node's next state.
fn advance(
    desk: &mut Desk<'_>,
    group: &AutoScalingGroup,
    provider: Option<&CapacityProvider>,
    seen: &Seen<'_>,
) -> Option<Timestamp> {
    let (node, now) = (seen.node, desk.now);
    let enter = |desk: &mut Desk<'_>, state: NodeState, waits_until: Option<Timestamp>| {
        put_node(desk, Node { state, changed_at: now, waits_until, ..Node::clone(node) });
    };
    match node.state {
        NodeState::Pending => {
            if !seen.instance.is_some_and(|i| i.agent.connected) {
                let late = node.created_at + timing::NODES_JOIN_WITHIN;
                if late <= now && seen.instance.is_none() {
                    let why = "Its agent did not join in time.".to_owned();
                    ended(desk, node, Some(why.clone()));
                    let state = NodeState::Terminating;
                    let trouble = Some(why);
                    put_node(desk, Node { state, trouble, changed_at: now, ..Node::clone(node) });
                }
                return Some(late);
            }
            ended(desk, node, None);
            match group.hook(Transition::Launching) {
                Some(hook) => enter(desk, NodeState::PendingWait, Some(now + hook.timeout)),
                None => enter(desk, NodeState::InService, None),
            }
            None
        }
        NodeState::PendingWait | NodeState::TerminatingWait => waited(desk, group, node),
        NodeState::InService | NodeState::Terminating => None,
        NodeState::Draining => {
            let drains = provider.is_some_and(|p| p.draining);
            let late = node.changed_at + timing::NODES_DRAIN_WITHIN;
            if drains && seen.tasks + seen.daemons > 0 && late > now {
                drain(desk, seen);
                return Some(late);
            }
            match group.hook(Transition::Terminating) {
                Some(hook) => enter(desk, NodeState::TerminatingWait, Some(now + hook.timeout)),
                None => enter(desk, NodeState::Terminating, None),
            }
            None
        }
    }
}

/// A node waits until its hook is completed, its time is over, or there is no such hook any more.
fn waited(desk: &mut Desk<'_>, group: &AutoScalingGroup, node: &Node) -> Option<Timestamp> {
    let hook = hooks::way(node.state).and_then(|way| group.hook(way));
    let until = node.waits_until.unwrap_or(desk.now);
    match hook {
        Some(_) if until > desk.now => Some(until),
        hook => {
            let outcome = hook.map_or(HookOutcome::Continue, |hook| hook.default);
            put_node(desk, hooks::over(node, outcome, desk.now));
            None
        }
    }
}

/// Its instance takes nothing new, and what it has goes elsewhere.
fn drain(desk: &mut Desk<'_>, seen: &Seen<'_>) {
    let Some(instance) = seen.instance else { return };
    if instance.status == InstanceStatus::Active {
        // The cluster is there, since the instance is.
        drop(decide::instances::set_status(desk, &instance.key, InstanceStatus::Draining));
    }
}

/// What is not well leaves, unless it is still spared. Others come in its place by themselves.
fn replace(
    desk: &mut Desk<'_>,
    log: &mut Log,
    group: &AutoScalingGroup,
    seen: &[Seen<'_>],
) -> Option<Timestamp> {
    let mut wake = None;
    for seen in seen.iter().filter(|seen| seen.node.state == NodeState::InService) {
        let lost_since = seen.instance.map(|i| &i.agent).filter(|agent| !agent.connected);
        let lost_since = lost_since.and_then(|agent| agent.connected_changed_at);
        let lost_at = lost_since.map(|at| {
            (at + timing::NODES_LOST_AFTER).max(seen.node.created_at + group.health_grace)
        });
        let lost = group.does(Process::HealthCheck) && lost_at.is_some_and(|at| at <= desk.now);
        let unwell = seen.node.health == NodeHealth::Unhealthy;
        if (unwell || lost) && group.does(Process::ReplaceUnhealthy) {
            let why = if lost {
                "its agent being away for too long"
            } else {
                "a health check that failed"
            };
            let cause = words::not_well(desk.now, why);
            nodes::leave(desk, log, seen.node, cause);
        } else if let Some(at) = lost_at {
            wake = Some(wake.map_or(at, |before: Timestamp| before.min(at)));
        }
    }
    wake
}

/// Managed scaling: how many nodes the group should have for what is asked of its provider.
fn size(
    desk: &mut Desk<'_>,
    group: &AutoScalingGroup,
    provider: &CapacityProvider,
    seen: &[Seen<'_>],
    aim: &mut Aim,
) -> Option<Timestamp> {
    let scaling = provider.scaling?;
    let waiting: Vec<Demand> = desk
        .state
        .waiting_tasks()
        .filter(|task| task.facts.provider.as_ref() == Some(&provider.name))
        .map(|task| demand(desk.state, task))
        .collect();
    let staying: Vec<&Seen<'_>> = seen.iter().filter(|seen| seen.node.counts()).collect();
    let rest = |seen: &&&Seen<'_>| seen.idle_since + scaling.warmup.max(timing::NODES_IDLE_FOR);
    let in_use = |seen: &&&Seen<'_>| seen.tasks > 0 || rest(seen) > desk.now;
    let coming = |seen: &&&Seen<'_>| seen.node.state == NodeState::Pending;
    let sizing = Sizing {
        scaling,
        bounds: (group.min, group.max),
        nodes: small(staying.len()),
        used: small(staying.iter().filter(in_use).count()),
        coming: small(staying.iter().filter(coming).count()),
        offer: offer(desk.state, group, seen),
        waiting: &waiting,
    };
    aim.desired = wanted(&sizing);
    // When the next of them has been idle for long enough.
    let at = staying.iter().filter(|seen| seen.tasks == 0).map(|seen| rest(&seen));
    let at = at.filter(|at| *at > desk.now).min();
    if aim.desired != group.desired {
        let (from, to) = (group.desired, aim.desired);
        aim.why = words::managed(&provider.name, waiting.len(), sizing.used, from, to);
        put_group(desk, AutoScalingGroup { desired: to, why: String::new(), ..group.clone() });
    }
    at
}

fn demand(state: &State, task: &model::Task) -> Demand {
    let reserved = &task.facts.reserved;
    let terms = task.facts.terms.as_ref();
    let of_definition = state.definition(&task.facts.definition);
    let constraints = of_definition.into_iter().flat_map(|d| &d.spec.constraints);
    let mut constraints = constraints.chain(terms.into_iter().flat_map(|t| &t.constraints));
    let distinct = constraints.any(|c| *c == model::PlacementConstraint::DistinctInstance);
    Demand {
        cpu: reserved.cpu,
        memory: reserved.memory,
        gpus: terms.map_or(0, |terms| terms.gpus.iter().sum()),
        alone: distinct || !reserved.ports.is_empty(),
    }
}

/// What a node of the group offers: what the newest of those that have joined registered.
fn offer(state: &State, group: &AutoScalingGroup, seen: &[Seen<'_>]) -> Option<Offer> {
    let by = state.capacity().terms(&group.launch)?.by;
    let known = seen.iter().filter(|seen| seen.node.launch == by);
    let newest = known.filter_map(|seen| seen.instance).max_by_key(|i| i.registered_at);
    // Another group may have nodes that are started likewise.
    let elsewhere = || {
        let like = |node: &&Arc<Node>| node.launch == by;
        state.capacity().all_nodes().filter(like).find_map(|node| instance(state, &node.id))
    };
    newest.or_else(elsewhere).map(|instance| Offer {
        cpu: instance.registered.cpu,
        memory: instance.registered.memory,
        gpus: small(instance.registered.gpus.len()),
    })
}

/// Starts what is lacking, evenly over the zones. After starts that failed it waits a while.
fn fill(
    desk: &mut Desk<'_>,
    log: &mut Log,
    group: &AutoScalingGroup,
    aim: &Aim,
    seen: &[Seen<'_>],
) -> Option<Timestamp> {
    let desired = aim.desired;
    let staying: Vec<&Arc<Node>> =
        seen.iter().map(|seen| seen.node).filter(|node| node.counts()).collect();
    let mut count = small(staying.len());
    if count >= desired || !group.does(Process::Launch) {
        return None;
    }
    if let Some(at) = not_before(desk.state, &group.name).filter(|at| *at > desk.now) {
        return Some(at);
    }
    let Some(terms) = desk.state.capacity().terms(&group.launch) else {
        let id = NodeId::from("");
        let what = "Launching a new EC2 instance".to_owned();
        let cause = format!("{}{}", aim.why, words::too_few(desk.now, count, desired));
        log.failed(desk, id, what, cause, words::no_terms(&group.launch));
        return Some(desk.now + timing::NODES_RETRIED_AFTER);
    };
    let mut zones: BTreeMap<&str, u32> = group.zones.iter().map(|z| (z.as_str(), 0)).collect();
    for node in &staying {
        *zones.entry(node.zone.as_str()).or_default() += 1;
    }
    while count < desired {
        let zone = zones.iter_mut().min_by_key(|(_, n)| **n).map(|(zone, n)| {
            *n += 1;
            (*zone).to_owned()
        });
        let id = NodeId::from(format!("i-{}", &desk.ids.hex32()[..17]));
        let cause = format!("{}{}", aim.why, words::too_few(desk.now, count, desired));
        log.begin(desk, &id, words::launching(&id), cause);
        let node = Node {
            id,
            group: group.name.clone(),
            launch: terms.by.clone(),
            joins: Some(terms.cluster.clone()),
            instance_type: terms.instance_type.clone(),
            zone: zone.unwrap_or_default(),
            state: NodeState::Pending,
            health: NodeHealth::Healthy,
            protected: group.protect_new,
            created_at: desk.now,
            changed_at: desk.now,
            waits_until: None,
            trouble: None,
        };
        put_node(desk, node);
        count += 1;
    }
    None
}

/// After so many starts that failed one after the other, the next is not tried before this.
fn not_before(state: &State, group: &AutoScalingGroupName) -> Option<Timestamp> {
    let mut activities = state.capacity().activities(group).filter(|a| a.ended_at.is_some());
    let newest = activities.next().filter(|a| a.failure.is_some())?;
    let more = activities.take_while(|a| a.failure.is_some()).count();
    let wait = timing::NODES_RETRIED_AFTER * 2u32.pow(small(more).min(6));
    Some(newest.ended_at? + wait.min(Duration::from_secs(300)))
}

/// Ends what there is too much of.
fn shrink(
    desk: &mut Desk<'_>,
    log: &mut Log,
    group: &AutoScalingGroup,
    provider: Option<&CapacityProvider>,
    aim: &Aim,
    seen: &[Seen<'_>],
) {
    let desired = aim.desired;
    let staying: Vec<&Seen<'_>> = seen.iter().filter(|seen| seen.node.counts()).collect();
    let count = small(staying.len());
    if count <= desired || !group.does(Process::Terminate) {
        return;
    }
    let by = desk.state.capacity().terms(&group.launch).map(|terms| terms.by);
    let candidates: Vec<Candidate<'_>> =
        staying.iter().map(|seen| candidate(group, provider, by.as_ref(), seen)).collect();
    let mut left = count;
    for id in victims(&candidates, (count - desired) as usize) {
        let Some(seen) = staying.iter().find(|seen| seen.node.id == id) else { continue };
        let cause = format!("{}{}", aim.why, words::too_many(desk.now, left, left - 1, &id));
        nodes::leave(desk, log, seen.node, cause);
        left -= 1;
    }
}

fn candidate<'a>(
    group: &AutoScalingGroup,
    provider: Option<&CapacityProvider>,
    by: Option<&LaunchedBy>,
    seen: &'a Seen<'_>,
) -> Candidate<'a> {
    let managed = provider.is_some_and(|p| p.scaling.is_some());
    // Protection is managed where a provider manages it; a group that ends keeps nothing.
    let protected = match provider {
        Some(provider) if provider.termination_protection => seen.tasks > 0,
        Some(_) | None => seen.node.protected || (managed && seen.tasks > 0),
    };
    Candidate {
        id: &seen.node.id,
        zone: seen.node.zone.as_str(),
        protected: protected && !group.deleting,
        unhealthy: seen.node.health == NodeHealth::Unhealthy,
        current: by == Some(&seen.node.launch),
        tasks: seen.tasks,
        created_at: seen.node.created_at,
    }
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
