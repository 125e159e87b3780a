//! The end of a history: faults cease, the operator repairs what is broken, and the cluster comes to
//! rest as it was asked to be.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{
    DefinitionKey, Deployment, DeploymentController, DesiredStatus, Instance, InstanceKey,
    InstanceStatus, NodeState, Resources, RolloutState, SchedulingStrategy, Service, ServiceStatus,
    State, Task, TaskKey, TaskStatus,
};
use scheduler::capacity::GroupUpdate;
use scheduler::{CapacityCommand, Command, UpdateService};

use crate::around::scheduled_by;
use crate::asks::calendar;
use crate::checks::{folds, healthy, healthy_where};
use crate::fleet::{Family, Machine};
use crate::node::Stage;
use crate::server::Storage;
use crate::step::{Step, WELL, families};
use crate::world::{Caller, Happening, Weather, World};

/// Fresh machines at the end: a task of the largest service may need one for itself, twice.
const FRESH: u32 = 14;
/// The Auto Scaling group may then have so many nodes.
const MOST_NODES: u32 = 24;
/// Back-off may be a quarter of an hour, and old agents' sessions half an hour.
const LONG: Duration = Duration::from_secs(3 * 60 * 60);
/// What is wrong in the end has been wrong at so many looks.
const LOOKS: u32 = 4;
/// The operator looks again after this.
const WHILE: Duration = Duration::from_secs(30 * 60);

impl World {
    /// Lets the cluster come to rest, and tells what is not as it should be.
    pub(crate) fn come_to_rest(&mut self) {
        self.weather = Weather::default();
        match &self.storage {
            Storage::Memory(engine) => engine.fail_next_commits(0),
            Storage::Disk(disk) => disk.power_for(u64::MAX),
        }
        let now = self.now();
        for node in 0..self.nodes.len() {
            let Some(there) = self.nodes.get_mut(node) else { continue };
            (there.cut_until, there.slow_until) = (now, now);
            self.wake(node);
            self.agenda.after(Duration::ZERO, Happening::Join(node));
        }
        self.agenda.after(Duration::ZERO, Happening::Starts);
        self.calm_around();
        self.pass(Duration::from_secs(120));
        let lied = |step: &Step| matches!(step, Step::Lie { .. } | Step::Twin { .. });
        if self.steps.iter().any(lied) {
            // What was lied about is found out when sessions begin anew.
            self.end_server(Duration::from_secs(1));
            self.pass(Duration::from_secs(60));
        }
        for n in 0..FRESH {
            self.add(Machine { cpu: 4096, memory: 4096, gpus: 8, zone: n % 3 });
        }
        self.loosen();
        for _ in 0..3 {
            self.repair();
            self.pass(WHILE);
        }
        self.pass(LONG);
        // A service that can not be healthy has its tasks replaced for ever: a moment of that is not
        // what is looked for, so what is wrong has to be wrong for a while.
        let mut wrong = None;
        for _ in 0..LOOKS {
            wrong = self.at_rest().err();
            if self.fault.is_some() || wrong.is_none() {
                return;
            }
            self.pass(Duration::from_secs(50));
        }
        if let Some(what) = wrong.filter(|_| self.fault.is_none()) {
            self.fail(format!("at rest: {what}"));
        }
    }

    /// The operator lets everything have what it waits for: more nodes, no calendar, no constraint
    /// that nobody satisfies.
    fn loosen(&mut self) {
        let mut commands = Vec::new();
        let state = self.published.clone();
        for group in state.capacity().groups() {
            let (name, max) = (Some(group.name.clone()), Some(MOST_NODES));
            let update = GroupUpdate { name, max, ..GroupUpdate::default() };
            commands.push(Command::Capacity(CapacityCommand::UpdateGroup(Box::new(update))));
        }
        if state.bus().rules().next().is_some() {
            commands.push(calendar(false));
        }
        for service in state.all_services().filter(|s| s.status == ServiceStatus::Active) {
            let key = Some(service.key.clone());
            if !service.constraints.is_empty() {
                let constraints = Some(Vec::new());
                let update = UpdateService { key, constraints, ..UpdateService::default() };
                commands.push(Command::UpdateService(update));
            }
        }
        for command in commands {
            self.call(Caller::User(usize::MAX), command);
        }
    }

    /// What an operator does about machines that are gone, and deployments that were given up or wait
    /// for somebody.
    fn repair(&mut self) {
        let mut commands = Vec::new();
        let living: BTreeSet<InstanceKey> =
            self.nodes.iter().filter(|n| !n.gone).filter_map(|n| n.key.clone()).collect();
        let state = self.published.clone();
        let ends = |instance: &model::Instance| {
            let id = instance.ec2_instance_id.as_deref().map(model::NodeId::from);
            let node = id.and_then(|id| state.capacity().node(&id));
            node.is_some_and(|node| !node.counts())
        };
        for instance in state.all_instances() {
            let key = instance.key.clone();
            if !living.contains(&key) {
                commands.push(Command::DeregisterInstance { key, force: true });
            } else if instance.status == InstanceStatus::Draining && !ends(instance) {
                let status = InstanceStatus::Active;
                commands.push(Command::SetInstanceStatus { key, status });
            }
        }
        for service in state.all_services() {
            let failed = service.primary().is_some_and(|d| d.rollout == RolloutState::Failed);
            let own = service.controller == DeploymentController::Ecs;
            if service.status == ServiceStatus::Active && failed && own {
                commands.push(Command::UpdateService(UpdateService {
                    key: Some(service.key.clone()),
                    force_new_deployment: true,
                    ..UpdateService::default()
                }));
            }
        }
        for command in commands {
            self.call(Caller::User(usize::MAX), command);
        }
        // An agent whose instance was deregistered joins again when it is started anew.
        for node in 0..self.nodes.len() {
            let Some(there) = self.nodes.get(node).filter(|n| !n.gone) else { continue };
            if there.key.as_ref().is_some_and(|key| state.instance(key).is_none()) {
                self.register_again(node);
            }
        }
    }

    fn at_rest(&self) -> Result<(), String> {
        let state = self.state();
        folds(state)?;
        let Some(server) = &self.server else { return Err("no server runs".to_owned()) };
        let plan = scheduler::plan(state, self.server_now(), 5);
        if !plan.commands.is_empty() {
            return Err(format!("something is planned: {:?}", plan.commands));
        }
        for service in state.all_services() {
            self.served(service)?;
        }
        for task in state.all_tasks() {
            let (status, desired) = (task.progress.status, task.progress.desired);
            let settled = status == TaskStatus::Stopped
                || (status == TaskStatus::Running && desired == DesiredStatus::Running);
            if !settled {
                return Err(format!("{} is stuck: {status:?}, wanted {desired:?}", task.facts.key));
            }
        }
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, n)| !n.gone) {
            let Some(key) = &node.key else { return Err(format!("node {number} has not joined")) };
            let connected = state.instance(key).is_some_and(|i| i.agent.connected);
            if !connected || !server.sessions.contains_key(key) || node.session.is_none() {
                return Err(format!("node {number} ({key}) is not connected"));
            }
            let run = node.tasks.values().filter(|t| t.stage != Stage::Over);
            let there: BTreeSet<TaskKey> = run.map(|t| t.key.clone()).collect();
            let on = state.tasks_on(key).filter(|t| t.holds_resources());
            let here: BTreeSet<TaskKey> = on.map(|t| t.facts.key.clone()).collect();
            if there != here {
                return Err(format!("node {number} ({key}) runs {there:?}, and should {here:?}"));
            }
        }
        self.around_at_rest()?;
        self.once()
    }

    /// Nothing drains, every target is one of a task that runs, and every node is there.
    fn around_at_rest(&self) -> Result<(), String> {
        let state = self.state();
        for target in state.balancing().all_targets() {
            let task = target.task.as_ref().and_then(|key| state.task(key));
            let runs = task.is_some_and(|t| t.is_running());
            if target.draining_since.is_some() || !runs {
                return Err(format!("a target is left: {target:?}"));
            }
        }
        for node in state.capacity().all_nodes() {
            // What nobody replaces elsewhere is waited for, for two days.
            let of =
                |i: &&Arc<model::Instance>| i.ec2_instance_id.as_deref() == Some(node.id.as_str());
            let instance = state.all_instances().find(of);
            let mut tasks = instance.into_iter().flat_map(|i| state.tasks_on(&i.key));
            let waits = tasks.any(|t| t.holds_resources() && t.facts.service.is_none());
            match node.state {
                NodeState::InService => {}
                NodeState::Draining if waits => {}
                other => return Err(format!("{} is {other:?}", node.id)),
            }
        }
        for group in state.capacity().groups() {
            let count = state.capacity().nodes(&group.name).filter(|node| node.counts()).count();
            if count != group.desired as usize {
                return Err(format!("{} has {count} nodes of {}", group.name, group.desired));
            }
        }
        Ok(())
    }

    /// Each of a program's task sets with a good image has its share, and none is left that was
    /// deleted.
    fn shared_out(&self, service: &Service) -> Result<(), String> {
        for set in &service.deployments {
            if set.set.as_ref().is_some_and(|set| set.draining) {
                return Err(format!("{} of {} drains for ever", set.id, service.key));
            }
            if !is_well(&set.definition) {
                continue;
            }
            let of =
                |t: &&model::Task| t.is_running() && t.facts.deployment.as_ref() == Some(&set.id);
            let count = self.state().tasks_of(&service.key).filter(of).count();
            let wanted = scheduler::computed_count(service, set) as usize;
            if count != wanted {
                let key = &service.key;
                return Err(format!("{} of {key} has {count} of {wanted} tasks", set.id));
            }
        }
        Ok(())
    }

    /// How many tasks somebody has started: those that are there, and those that were.
    fn made_by(&self, by: &str) -> usize {
        let theirs = |t: &&model::Task| t.facts.started_by.as_deref() == Some(by);
        let there = self.state().all_tasks().filter(theirs).map(|t| &t.facts.key.task);
        let were = self.made.get(by).into_iter().flatten();
        there.chain(were).collect::<BTreeSet<_>>().len()
    }

    /// No insisting user got more than was asked for.
    fn once(&self) -> Result<(), String> {
        for (number, step) in self.steps.iter().enumerate() {
            let (Step::Run { count, .. } | Step::RunGrown { count, .. }) = step else { continue };
            let made = self.made_by(&format!("step-{number}"));
            if made > *count as usize {
                return Err(format!("step {number} asked for {count} tasks and got {made}"));
            }
        }
        for at in &self.outside.fired {
            let by = scheduled_by(*at);
            let made = self.made_by(&by);
            if made > 1 {
                return Err(format!("{by} started {made} tasks"));
            }
        }
        Ok(())
    }

    /// A daemon service has one healthy task on each instance that takes tasks, but where what others
    /// hold, or what the instance is, leaves no room for one: it belongs there too, as in ECS, and waits.
    /// So many instances have no room.
    fn without_room(&self, service: &Service, primary: &Deployment) -> Result<u32, String> {
        let (state, key) = (self.state(), &service.key);
        let Some(family) =
            families().into_iter().find(|f| f.name == primary.definition.family.as_str())
        else {
            return Err(format!("{key} runs a family of nobody's"));
        };
        let (mut places, mut without) = (0, 0);
        for instance in state.instances(&key.cluster).filter(|i| takes_tasks(state, i)) {
            places += 1;
            let here = |task: &Task| task.facts.instance.as_ref() == Some(&instance.key.instance);
            if healthy_where(state, service, here) == 1 {
                continue;
            }
            let held = state.tasks_on(&instance.key).filter(|task| task.holds_resources());
            let (own, others): (Vec<&Task>, Vec<&Task>) =
                held.partition(|task| task.facts.service_key().as_ref() == Some(key));
            if !own.is_empty() || has_room(instance, &others, &family) {
                let on = &instance.key;
                return Err(format!("{key} has no healthy task on {on}, and room: {service:?}"));
            }
            without += 1;
        }
        if places != service.desired_count {
            let desired = service.desired_count;
            return Err(format!("{key} wants {desired} tasks for {places} instances"));
        }
        Ok(without)
    }

    /// Whether the host port of a family is taken on each instance that takes tasks, as it is where a
    /// daemon service has it: no further instance helps.
    fn taken_everywhere(&self, family: &Family) -> bool {
        let Some((_, Some(port))) = family.port else { return false };
        let state = self.state();
        let mut takes = state.all_instances().filter(|instance| takes_tasks(state, instance));
        takes.all(|instance| {
            let mut held = state.tasks_on(&instance.key).filter(|task| task.holds_resources());
            held.any(|task| task.facts.reserved.ports.iter().any(|held| held.port == port))
        })
    }

    /// What a daemon service ran before is gone, as far as its minimum healthy percent, which counts the
    /// instances without room too, lets it go.
    fn replaced(&self, service: &Service, primary: &Deployment) -> Result<(), String> {
        let spare =
            healthy(self.state(), service) > service.config.fewest(service.desired_count) as usize;
        let old = |task: &&Task| {
            task.holds_resources() && task.facts.deployment.as_ref() != Some(&primary.id)
        };
        match self.state().tasks_of(&service.key).find(old) {
            Some(task) if spare => Err(format!("{} is never replaced", task.facts.key)),
            Some(_) | None => Ok(()),
        }
    }

    /// A service with a good image has what it wants.
    fn served(&self, service: &Service) -> Result<(), String> {
        let key = &service.key;
        match service.status {
            ServiceStatus::Draining => return Err(format!("{key} drains for ever")),
            ServiceStatus::Inactive => return Ok(()),
            ServiceStatus::Active => {}
        }
        if service.controller == DeploymentController::External {
            return self.shared_out(service);
        }
        let Some(primary) = service.primary() else {
            return Err(format!("{key} is active and has no deployment"));
        };
        if !is_well(&primary.definition) {
            return Ok(());
        }
        // A daemon's task may stay on an instance that drains beside those that are wanted.
        let daemon = service.scheduling == SchedulingStrategy::Daemon;
        if daemon && self.without_room(service, primary)? > 0 {
            return self.replaced(service, primary);
        }
        let (count, desired) = (healthy(self.state(), service), service.desired_count);
        let family = families().into_iter().find(|f| f.name == primary.definition.family.as_str());
        let alone = |f: &Family| f.distinct || f.port.is_some_and(|(_, host)| host.is_some());
        if desired > FRESH && family.as_ref().is_some_and(alone) {
            // So many instances there are not.
            return Ok(());
        }
        let lacking = count < desired as usize || service.deployments.len() > 1;
        if lacking && family.is_some_and(|family| self.taken_everywhere(&family)) {
            return Ok(());
        }
        if !daemon && count != desired as usize {
            let events: Vec<&str> =
                self.state().events(key).take(6).map(|e| e.message.as_str()).collect();
            return Err(format!("{key} has {count} of {desired} tasks: {service:?}; {events:?}"));
        }
        let (most, fewest) = (service.config.most(desired), service.config.fewest(desired));
        if most <= desired && fewest >= desired && desired > 0 {
            // Its percentages allow no step.
            return Ok(());
        }
        if service.deployments.len() != 1 || service.steady_since.is_none() {
            return Err(format!("{key} has not settled: {service:?}"));
        }
        Ok(())
    }
}

/// Whether an instance takes tasks.
fn takes_tasks(state: &State, instance: &Instance) -> bool {
    let node = state.node_of(instance);
    instance.status == InstanceStatus::Active
        && node.is_none_or(|node| node.state == NodeState::InService)
}

/// Whether a task of a family has room beside these on an instance.
fn has_room(instance: &Instance, others: &[&Task], family: &Family) -> bool {
    let all = &instance.registered;
    let held =
        |of: fn(&Resources) -> u32| others.iter().map(|t| of(&t.facts.reserved)).sum::<u32>();
    let gpus: usize = others.iter().map(|t| t.facts.reserved.gpus.len()).sum();
    let port = family.port.and_then(|(_, host)| host);
    let taken = |held: &Resources| held.ports.iter().any(|held| Some(held.port) == port);
    held(|r| r.cpu) + family.cpu <= all.cpu
        && held(|r| r.memory) + family.memory <= all.memory
        && gpus + family.gpus as usize <= all.gpus.len()
        && !taken(all)
        && !others.iter().any(|task| taken(&task.facts.reserved))
}

/// Whether tasks of a definition run for ever and well.
fn is_well(definition: &DefinitionKey) -> bool {
    let mut well = families().into_iter().take(usize::from(WELL));
    well.any(|family| family.name == definition.family.as_str())
}
