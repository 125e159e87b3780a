//! Decisions made worse on purpose, for the checks alone: each kind has to be found out.

use std::sync::Arc;

use model::{
    BalancingChange, BusChange, CapacityChange, Change, DeploymentChange, DesiredStatus, Node,
    NodeState, ServiceDeployment, ServiceDeploymentStatus, State, Target, TaskFacts, TaskProgress,
    TaskStatus,
};
use scheduler::Command;
use stdx::Timestamp;

/// What is made worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// A task that stops leaves a target behind.
    Ghost,
    /// A draining target is taken out early.
    Hasty,
    /// All production traffic goes where nobody is.
    Nobody,
    /// A service deployment that is over goes on.
    Undone,
    /// A node with tasks that is kept from scale-in is ended.
    Unkept,
    /// A group has more nodes than it may.
    Crowd,
    /// A daemon service's task goes where one is.
    Twice,
    /// A task gets another's address.
    Address,
    /// A task goes where its service's constraint forbids it.
    Anywhere,
    /// A protected task is stopped.
    Unprotected,
    /// A rule fires again for the same instant.
    Again,
}

/// A decision as the checks are shown it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) after: State,
    pub(crate) command: Command,
    pub(crate) changes: Vec<Change>,
    pub(crate) before: State,
}

impl Forgery {
    /// The decision made worse, if it is one that can be.
    pub(crate) fn of(
        self,
        before: &State,
        after: &State,
        command: &Command,
        changes: &[Change],
        now: Timestamp,
    ) -> Option<Shown> {
        let mut shown = Shown {
            before: before.clone(),
            after: after.clone(),
            command: command.clone(),
            changes: changes.to_vec(),
        };
        let worse = match self {
            Self::Ghost => {
                let (task, _) = changes.iter().find_map(|change| match change {
                    Change::PutProgress(key, next) if next.status == TaskStatus::Stopped => {
                        Some((key, next))
                    }
                    _ => None,
                })?;
                let target = before.balancing().targets_of(task).next()?;
                Change::Balancing(BalancingChange::PutTarget(target.clone()))
            }
            Self::Hasty => {
                let target = after.balancing().draining().next()?;
                let now = Target { draining_since: Some(now), ..Target::clone(target) };
                let key = now.key.clone();
                shown.before.apply(&Change::Balancing(BalancingChange::PutTarget(Arc::new(now))));
                shown.command =
                    Command::EndDraining { targets: vec![key.clone()], tasks: Vec::new() };
                Change::Balancing(BalancingChange::DeleteTarget(key))
            }
            Self::Nobody => {
                let (moved, record) = nobody(after)?;
                shown.before = after.clone();
                shown.after.apply(&Change::Balancing(moved));
                Change::Deployment(DeploymentChange::PutDeployment(Arc::new(record)))
            }
            Self::Undone => {
                let over = before.deployments().over().next()?.1.clone();
                let record = before.deployments().deployment(&over)?;
                let status = ServiceDeploymentStatus::InProgress;
                let next = ServiceDeployment { status, ..ServiceDeployment::clone(record) };
                Change::Deployment(DeploymentChange::PutDeployment(Arc::new(next)))
            }
            Self::Unkept | Self::Crowd => self.node(&mut shown)?,
            Self::Twice => {
                let Command::LaunchServiceTasks { service, .. } = command else { return None };
                let mut tasks = after.tasks_of(service).filter(|t| t.holds_resources());
                let (one, other) = (tasks.next()?, tasks.next()?);
                let instance = one.facts.instance.clone();
                Change::PutTask(Arc::new(TaskFacts { instance, ..other.facts.as_ref().clone() }))
            }
            Self::Address => {
                let holds = |t: &&model::Task| t.holds_resources() && t.facts.interface().is_some();
                let mut tasks = after.all_tasks().filter(holds);
                let (one, other) = (tasks.next()?, tasks.next()?);
                let network = one.facts.network.clone();
                Change::PutTask(Arc::new(TaskFacts { network, ..other.facts.as_ref().clone() }))
            }
            Self::Anywhere => anywhere(after)?,
            Self::Unprotected => unprotected(&mut shown, now)?,
            Self::Again => {
                let Command::Bus(scheduler::BusCommand::Fire(name)) = command else { return None };
                shown.before = after.clone();
                Change::Bus(BusChange::PutRule(after.bus().rule(name)?.clone()))
            }
        };
        shown.after.apply(&worse);
        shown.changes.push(worse);
        Some(shown)
    }

    fn node(self, shown: &mut Shown) -> Option<Change> {
        let group = shown.before.capacity().groups().next()?.clone();
        shown.command =
            Command::Capacity(scheduler::CapacityCommand::StepGroup(group.name.clone()));
        let nodes: Vec<_> = shown.before.capacity().nodes(&group.name).cloned().collect();
        if self == Self::Unkept {
            let node = nodes.iter().find(|node| {
                let of = |i: &&Arc<model::Instance>| {
                    i.ec2_instance_id.as_deref() == Some(node.id.as_str()) && i.agent.connected
                };
                let on = shown.before.all_instances().find(of);
                node.state == NodeState::InService
                    && node.health == model::NodeHealth::Healthy
                    && on.is_some_and(|i| {
                        let mut tasks = shown.before.tasks_on(&i.key);
                        tasks.any(|t| t.holds_resources())
                    })
            })?;
            let kept = Node { protected: true, ..Node::clone(node) };
            shown.before.apply(&Change::Capacity(CapacityChange::PutNode(Arc::new(kept))));
            let ended = Node { state: NodeState::Draining, ..Node::clone(node) };
            return Some(Change::Capacity(CapacityChange::PutNode(Arc::new(ended))));
        }
        let node = nodes.iter().find(|node| node.counts())?;
        let few = model::AutoScalingGroup { max: 1, ..model::AutoScalingGroup::clone(&group) };
        for state in [&mut shown.before, &mut shown.after] {
            let few = CapacityChange::PutGroup(Arc::new(few.clone()));
            state.apply(&Change::Capacity(few));
        }
        let id: model::NodeId = "i-another".into();
        let more = Node { id, ..Node::clone(node) };
        Some(Change::Capacity(CapacityChange::PutNode(Arc::new(more))))
    }
}

/// A task of a service whose constraint nobody satisfies, placed all the same.
fn anywhere(state: &State) -> Option<Change> {
    let bound = |service: &&Arc<model::Service>| {
        let nowhere = |constraint: &model::PlacementConstraint| {
            matches!(constraint, model::PlacementConstraint::MemberOf(_))
        };
        service.constraints.iter().any(nowhere)
    };
    let service = state.all_services().find(bound)?;
    let task = state.all_tasks().find(|t| t.is_pending() && t.facts.instance.is_some())?;
    let group = format!("service:{}", service.key.service);
    Some(Change::PutTask(Arc::new(TaskFacts {
        service: Some(service.key.service.clone()),
        group: group.as_str().into(),
        ..task.facts.as_ref().clone()
    })))
}

/// A deployment on its way moves production traffic to the one of the two groups where nobody answers.
fn nobody(state: &State) -> Option<(BalancingChange, ServiceDeployment)> {
    use model::{Action, Forward, Listener, TargetState, TrafficShare, Weighted};
    let book = state.balancing();
    let mut to = crate::ground::production(state);
    let answers = |to: &Weighted| {
        book.targets(&to.group).any(|target| book.state_of(target) == TargetState::Healthy)
    };
    let wanted = |record: &&Arc<ServiceDeployment>| {
        let service = state.service(&record.key.service);
        record.rollback.is_none()
            && record.production < TrafficShare::ALL
            && service.is_some_and(|service| service.desired_count > 0)
    };
    let record = state.deployments().open().find(wanted)?;
    let group = ["blue", "green"].into_iter().find_map(|name| {
        let group = crate::ground::group_id(state, name)?;
        (!answers(&Weighted { group: group.clone(), weight: 0 })).then_some(group)
    })?;
    to.retain(|to| to.group != group);
    to.push(Weighted { group, weight: 999 });
    let listener = crate::ground::production_listener(state)?;
    let default_action = Action::Forward(Forward { groups: to, sticky: None });
    let next = Listener { default_action, ..listener.clone() };
    let production = TrafficShare::ALL;
    let record = ServiceDeployment { production, ..ServiceDeployment::clone(record) };
    Some((BalancingChange::PutListener(Arc::new(next)), record))
}

/// A protected task is stopped to scale in.
fn unprotected(shown: &mut Shown, now: Timestamp) -> Option<Change> {
    let task = shown.before.all_tasks().find(|t| {
        t.progress.protected_until.is_some_and(|until| until > now)
            && t.progress.desired == DesiredStatus::Running
    })?;
    let service = task.facts.service_key()?;
    let tasks = vec![(task.facts.key.task.clone(), scheduler::StopCause::ScaleIn)];
    let next = TaskProgress {
        desired: DesiredStatus::Stopped,
        version: task.progress.version + 1,
        ..task.progress.as_ref().clone()
    };
    let key = task.facts.key.clone();
    shown.command = Command::StopServiceTasks { service, tasks };
    Some(Change::PutProgress(key, Arc::new(next)))
}
