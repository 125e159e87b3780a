//! What holds at every moment of every history.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Change, DeploymentController, DeploymentId, DesiredStatus, HealthStatus, InstanceStatus,
    SchedulingStrategy, Service, ServiceKey, State, TargetState, Task, TaskKey, TaskStatus,
};
use scheduler::Command;

/// Watches a history.
#[derive(Debug, Default)]
pub(crate) struct Invariants {
    furthest: BTreeMap<TaskKey, (TaskStatus, DesiredStatus)>,
    pub(crate) checked: u64,
}

impl Invariants {
    /// Looks at one commit.
    pub(crate) fn check(
        &mut self,
        before: &State,
        after: &State,
        command: &Command,
        changes: &[Change],
    ) {
        self.checked += 1;
        for change in changes {
            match change {
                Change::PutProgress(key, progress) => {
                    let now = (progress.status, progress.desired);
                    let was = self.furthest.insert(key.clone(), now);
                    if let Some(was) = was {
                        assert!(now.0 >= was.0, "{key} went back from {:?} to {:?}", was.0, now.0);
                        assert!(now.1 >= was.1, "{key} is wanted again");
                    }
                }
                Change::PutTask(facts) => {
                    if let Some(instance) = facts.instance_key() {
                        never_over_capacity(after, &instance);
                    }
                }
                Change::DeleteTask(key) => {
                    let task = before.task(key).expect("it was there");
                    assert_eq!(task.progress.status, TaskStatus::Stopped, "only the stopped");
                }
                _ => {}
            }
        }
        targets_of_the_living(after);
        match command {
            Command::LaunchServiceTasks { service, deployment, .. } => {
                never_too_many(after, service, deployment);
            }
            Command::StopServiceTasks { service, .. } => never_too_few(before, after, service),
            _ => {}
        }
    }
}

/// A target belongs to a task that lives, and no task is stopped before its targets are gone.
fn targets_of_the_living(state: &State) {
    for target in state.balancing().all_targets() {
        let Some(key) = &target.task else { continue };
        let progress = &state.task(key).expect("a target's task is remembered").progress;
        let waits = progress.status == TaskStatus::Deactivating;
        assert_ne!(progress.status, TaskStatus::Stopped, "{key} is over and still a target");
        assert_eq!(
            progress.desired == DesiredStatus::Stopped,
            waits,
            "{key} drains before it stops"
        );
        assert!(!waits || target.draining_since.is_some(), "{key} gets nothing new");
    }
}

fn never_over_capacity(state: &State, key: &model::InstanceKey) {
    let instance = state.instance(key).expect("tasks go where an instance is");
    let (mut cpu, mut memory, mut ports) = (0, 0, BTreeSet::new());
    for task in state.tasks_on(key).filter(|t| t.holds_resources()) {
        cpu += task.facts.reserved.cpu;
        memory += task.facts.reserved.memory;
        for port in &task.facts.reserved.ports {
            assert!(ports.insert(*port), "{port:?} of {key} is given twice");
        }
    }
    assert!(cpu <= instance.registered.cpu, "{key} is over its CPU");
    assert!(memory <= instance.registered.memory, "{key} is over its memory");
}

fn never_too_many(state: &State, key: &ServiceKey, deployment: &DeploymentId) {
    let service = state.service(key).expect("it launches");
    if service.scheduling == SchedulingStrategy::Daemon {
        return one_each(state, service);
    }
    if let Some(set) = service.deployment(deployment).filter(|d| d.set.is_some()) {
        let most = service.config.most(scheduler::computed_count(service, set));
        let of = |t: &&Task| t.facts.deployment.as_ref() == Some(deployment);
        let live = state.tasks_of(key).filter(of).filter(|t| t.holds_resources()).count();
        assert!(live <= most as usize, "{deployment} has {live} tasks, at most {most} are allowed");
        return;
    }
    let most = service.config.most(service.desired_count);
    let mine = |t: &&Task| {
        !side_by_side(state, service) || t.facts.deployment.as_ref() == Some(deployment)
    };
    let live = state.tasks_of(key).filter(|t| t.holds_resources()).filter(mine).count();
    assert!(live <= most as usize, "{key} has {live} tasks, at most {most} are allowed");
}

/// Whether a service has two whole sets of tasks, each within its own bounds.
fn side_by_side(state: &State, service: &Service) -> bool {
    let id = service.current.clone();
    let key = id.map(|id| model::ServiceDeploymentKey { service: service.key.clone(), id });
    key.and_then(|key| state.deployments().deployment(&key)).is_some_and(|record| {
        let reconciled = record.stage == Some(model::Stage::ReconcileService);
        record.method.strategy.is_progressive() && (!reconciled || record.status.is_over())
    })
}

/// A daemon service has at most one task on an instance, whatever it is doing.
fn one_each(state: &State, service: &Service) {
    let mut taken = BTreeSet::new();
    for task in state.tasks_of(&service.key).filter(|t| t.holds_resources()) {
        let instance = task.facts.instance_key().expect("a daemon's task has its place");
        assert!(taken.insert(instance.clone()), "{} is twice on {instance}", service.key);
    }
}

fn never_too_few(before: &State, after: &State, key: &ServiceKey) {
    let service = after.service(key).expect("it stops tasks");
    // What a program takes from a task set is for it to say.
    if service.controller == DeploymentController::External {
        return;
    }
    // Of two sets side by side the percentages hold for the one that is to be reached; that traffic
    // always finds somebody is looked at where it moves.
    let count = |state: &State| match service.primary() {
        Some(primary) if service.method.strategy.is_progressive() => {
            healthy_where(state, service, |task| {
                task.facts.deployment.as_ref() == Some(&primary.id)
            })
        }
        _ => healthy(state, service),
    };
    let (was, is) = (count(before), count(after));
    // A daemon goes with its instance; what drains is not counted, before or after.
    let gone = match service.scheduling {
        SchedulingStrategy::Replica => 0,
        SchedulingStrategy::Daemon => off_place(before, service),
    };
    let was = was.saturating_sub(gone);
    let fewest = service.config.fewest(service.desired_count) as usize;
    assert!(is >= was.min(fewest), "{key}: {is} of {was} healthy tasks left, not {fewest}");
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
fn healthy_where(state: &State, service: &Service, those: impl Fn(&Task) -> bool) -> usize {
    let passes = |task: &&Task| {
        let definition = state.definition(&task.facts.definition).expect("it is remembered");
        let checked = definition.spec.containers[0].has_health_check;
        let book = state.balancing();
        let verdict = |t: &std::sync::Arc<model::Target>| book.state_of(t) == TargetState::Healthy;
        book.targets_of(&task.facts.key).all(verdict)
            && (!checked || task.progress.containers[0].health == HealthStatus::Healthy)
    };
    state
        .tasks_of(&service.key)
        .filter(|t| t.is_running() && t.progress.desired == DesiredStatus::Running)
        .filter(|t| state.instance_of(&t.facts).is_some())
        .filter(passes)
        .filter(|task| those(task))
        .count()
}

/// What was committed is all there is: the changes in their order, and the records in any order of
/// tables' loading, both give the same state.
pub(crate) fn replays(state: &State, changes: &[Change]) {
    let mut replayed = State::new(state.realm().clone());
    changes.iter().for_each(|change| replayed.apply(change));
    assert!(replayed == *state, "the log gives another state");
    let mut loaded = State::new(state.realm().clone());
    state.records().for_each(|record| loaded.apply(&record));
    assert!(loaded == *state, "the records give another state");
}
