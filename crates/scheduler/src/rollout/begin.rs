//! A deployment begins: what is to be reached becomes a revision, and the way to it a record.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>

use std::sync::Arc;

use model::{
    Change, Deployment, DeploymentChange, DeploymentId, DeploymentStatus, Monitor, RevisionCounts,
    RevisionKey, RolloutState, Service, ServiceDeployment, ServiceDeploymentId,
    ServiceDeploymentKey, ServiceDeploymentStatus, ServiceRevision, ServiceTarget, Stage, State,
    TrafficShare,
};
use stdx::{Entropy, SeededEntropy, Timestamp};

use crate::desk::Desk;
use crate::words;

/// Where the deployment of a service that is on its way, or was last, is found.
pub(crate) fn current_key(service: &Service) -> Option<ServiceDeploymentKey> {
    let id = service.current.clone()?;
    Some(ServiceDeploymentKey { service: service.key.clone(), id })
}

/// That deployment.
pub(crate) fn current<'a>(state: &'a State, service: &Service) -> Option<&'a ServiceDeployment> {
    state.deployments().deployment(&current_key(service)?).map(|record| &**record)
}

/// Makes a deployment the one to reach; the others are being replaced from now on. One that was still
/// on its way ends.
pub(crate) fn begin(desk: &mut Desk<'_>, service: &mut Service, mut primary: Deployment) {
    let sources = sources(desk.state, service);
    supersede(desk, service);
    let first = sources.first().and_then(|id| service.deployment(id));
    let asked = primary.load_balancers.clone();
    let moves = service.method.strategy.is_progressive();
    primary.load_balancers = resolve(&asked, first.map(|d| d.load_balancers.as_slice()), moves);
    let revision = ServiceRevision {
        key: RevisionKey { service: service.key.clone(), deployment: primary.id.clone() },
        definition: primary.definition.clone(),
        launch_type: primary.launch_type,
        providers: service.providers.clone(),
        load_balancers: asked.clone(),
        resolved: primary.load_balancers.clone(),
        network: primary.network.clone(),
        created_at: desk.now,
    };
    desk.put(Change::Deployment(DeploymentChange::PutRevision(Arc::new(revision))));
    let record = record(desk, service, primary.id.clone(), sources);
    service.current = Some(record.key.id.clone());
    desk.found_record(record);
    for old in &mut service.deployments {
        old.status = DeploymentStatus::Active;
    }
    service.load_balancers = asked;
    service.network.clone_from(&primary.network);
    service.deployments.insert(0, primary);
}

fn record(
    desk: &Desk<'_>,
    service: &Service,
    target: DeploymentId,
    sources: Vec<DeploymentId>,
) -> ServiceDeployment {
    let (now, breaker) = (desk.now, service.config.circuit_breaker);
    let watching = |on: bool| if on { Monitor::Monitoring } else { Monitor::Disabled };
    let stage = match (service.method.strategy.is_progressive(), sources.len()) {
        (false, _) => None,
        (true, 0 | 1) => Some(Stage::PreScaleUp),
        (true, _) => Some(Stage::ReconcileService),
    };
    ServiceDeployment {
        key: ServiceDeploymentKey { service: service.key.clone(), id: id_for(&target) },
        target,
        sources,
        status: ServiceDeploymentStatus::Pending,
        reason: None,
        config: service.config,
        method: service.method.clone(),
        stage,
        stage_since: now,
        production: TrafficShare::NONE,
        test: false,
        hooks: Vec::new(),
        breaker: watching(breaker.enable),
        failures: 0,
        threshold: breaker.threshold.of(service.desired_count),
        alarms: watching(service.method.watched().is_some()),
        ignored: None,
        triggered: Vec::new(),
        alarm_bake: std::time::Duration::ZERO,
        rollback: None,
        ended_with: Vec::new(),
        created_at: now,
        started_at: None,
        finished_at: None,
        stopped_at: None,
        updated_at: now,
    }
}

/// Twenty-one characters, as ECS has them; they follow from the deployment to reach, whose id is drawn
/// by chance.
fn id_for(target: &DeploymentId) -> ServiceDeploymentId {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = target.as_str().bytes().filter(u8::is_ascii_digit);
    let seed =
        digits.fold(0_u64, |n, digit| n.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    let mut chance = SeededEntropy::new(seed);
    let mut letter = |_| {
        let at = usize::try_from(chance.below(64)).unwrap_or(0);
        char::from(LETTERS[at % LETTERS.len()])
    };
    (0..21).map(&mut letter).collect::<String>().as_str().into()
}

/// What stands when a deployment begins, the one that serves production traffic first.
fn sources(state: &State, service: &Service) -> Vec<DeploymentId> {
    let mut sources: Vec<&Deployment> = service.deployments.iter().collect();
    let serving = match current(state, service).filter(|r| r.method.strategy.is_progressive()) {
        Some(record) if record.status == ServiceDeploymentStatus::Successful => {
            Some(&record.target)
        }
        Some(record) if record.goes_back() || record.production < TrafficShare::ALL => {
            record.sources.first().or(Some(&record.target))
        }
        Some(record) => Some(&record.target),
        None => {
            let done = sources.iter().find(|d| d.rollout == RolloutState::Completed);
            done.map(|d| &d.id)
        }
    };
    sources.sort_by_key(|d| Some(&d.id) != serving);
    sources.into_iter().map(|d| d.id.clone()).collect()
}

/// A newer deployment takes the place of one that was on its way.
fn supersede(desk: &mut Desk<'_>, service: &Service) {
    let Some(key) = current_key(service) else { return };
    let (now, counts) = (desk.now, counts(desk.state, service));
    if let Some(record) = desk.record(&key).filter(|record| !record.status.is_over()) {
        end(record, ServiceDeploymentStatus::Stopped, now, counts);
        record.reason = Some(words::SUPERSEDED.to_owned());
    }
}

/// What each of a service's deployments has at this moment.
pub(super) fn counts(state: &State, service: &Service) -> Vec<RevisionCounts> {
    let of = |deployment: &Deployment| {
        let mut counts = RevisionCounts {
            revision: deployment.id.clone(),
            requested: deployment.desired_count,
            running: 0,
            pending: 0,
        };
        let mine = |task: &&model::Task| task.facts.deployment.as_ref() == Some(&deployment.id);
        for task in state.tasks_of(&service.key).filter(mine) {
            counts.running += u32::from(task.is_running());
            counts.pending += u32::from(task.is_pending());
        }
        counts
    };
    service.deployments.iter().map(of).collect()
}

/// A deployment is over; `counts` is what its service had then.
pub(super) fn end(
    record: &mut ServiceDeployment,
    how: ServiceDeploymentStatus,
    now: Timestamp,
    counts: Vec<RevisionCounts>,
) {
    record.ended_with = counts;
    record.status = how;
    record.finished_at = Some(now);
    if how == ServiceDeploymentStatus::Stopped {
        record.stopped_at = Some(now);
    }
    for monitor in [&mut record.breaker, &mut record.alarms] {
        if *monitor == Monitor::Monitoring {
            *monitor = Monitor::Complete;
        }
    }
    for run in record.hooks.iter_mut().filter(|run| run.status.is_open()) {
        run.status = model::HookStatus::Failed;
        run.next_at = None;
        run.reason = Some(words::HOOK_OVER.to_owned());
    }
}

/// Forgets the revisions of a deployment that nobody else knows.
pub(crate) fn forget_revisions(desk: &mut Desk<'_>, key: &ServiceDeploymentKey) {
    let (state, service) = (desk.state, &key.service);
    let book = state.deployments();
    let Some(record) = book.deployment(key) else { return };
    let knows = |record: &ServiceDeployment, id: &DeploymentId| {
        record.target == *id
            || record.sources.contains(id)
            || record.rollback.as_ref().is_some_and(|r| r.revision.as_ref() == Some(id))
    };
    for revision in book.revisions(service).filter(|r| knows(record, &r.key.deployment)) {
        let id = &revision.key.deployment;
        let in_use = state.service(service).is_some_and(|s| s.deployment(id).is_some())
            || book.deployments(service).any(|other| other.key != *key && knows(other, id));
        if !in_use {
            let change = DeploymentChange::DeleteRevision(revision.key.clone());
            desk.put(Change::Deployment(change));
        }
    }
}

/// The deployments on their way whose alarms are watched, with the alarms' names.
pub fn watched_alarms(state: &State) -> Vec<(Arc<ServiceDeployment>, Vec<String>)> {
    let watched = |record: &Arc<ServiceDeployment>| {
        let alarms = record.method.watched()?;
        Some((record.clone(), alarms.names.clone()))
    };
    state.deployments().open().filter(|record| !record.goes_back()).filter_map(watched).collect()
}

/// Which of two groups each target of a new deployment joins: where traffic is to move, the one that
/// what stands has not joined; else the same.
pub(super) fn resolve(
    asked: &[ServiceTarget],
    stands: Option<&[ServiceTarget]>,
    moves: bool,
) -> Vec<ServiceTarget> {
    let one = |wanted: &ServiceTarget| {
        let there = stands.into_iter().flatten().any(|old| old.group == wanted.group);
        let other = wanted.swapped();
        let there_too = stands.into_iter().flatten().any(|old| old.group == other.group);
        match (moves, there, there_too) {
            (true, true, false) | (false, false, true) => other,
            (true | false, _, _) => wanted.clone(),
        }
    };
    asked.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AdvancedTarget, TrafficRule};

    fn target(group: &str, alternate: &str) -> ServiceTarget {
        ServiceTarget {
            group: group.into(),
            container: "app".into(),
            container_port: 80,
            advanced: Some(AdvancedTarget {
                alternate: alternate.into(),
                production: TrafficRule::Rule("r".into()),
                test: None,
                role: None,
            }),
        }
    }

    #[test]
    fn what_is_new_joins_the_group_that_is_free() {
        let (a, b) = (target("a", "b"), target("b", "a"));
        for (asked, stands, moves, chosen) in [
            (&a, None, true, "a"),
            (&a, Some(&a), true, "b"),
            (&a, Some(&b), true, "a"),
            (&b, Some(&b), true, "a"),
            (&a, Some(&b), false, "b"),
            (&a, Some(&a), false, "a"),
            (&a, None, false, "a"),
        ] {
            let stands = stands.map(std::slice::from_ref);
            let found = resolve(std::slice::from_ref(asked), stands, moves);
            assert_eq!(found[0].group.as_str(), chosen);
        }
    }
}
