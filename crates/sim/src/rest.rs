//! The end of a history: faults cease, the operator repairs what is broken, and the cluster comes to
//! rest as it was asked to be.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{
    DesiredStatus, InstanceKey, InstanceStatus, RolloutState, Service, ServiceStatus, TaskKey,
    TaskStatus,
};
use scheduler::{Command, UpdateService};

use crate::checks::{folds, healthy};
use crate::fleet::Machine;
use crate::node::Stage;
use crate::server::Storage;
use crate::step::{WELL, families};
use crate::world::{Caller, Happening, Weather, World};

/// Fresh machines at the end: a task of the largest service may need one for itself, twice.
const FRESH: u32 = 14;
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
        self.pass(Duration::from_secs(120));
        if self.steps.iter().any(|step| matches!(step, crate::Step::Lie { .. })) {
            // What was lied about is found out when sessions begin anew.
            self.end_server(Duration::from_secs(1));
            self.pass(Duration::from_secs(60));
        }
        for n in 0..FRESH {
            self.add(Machine { cpu: 4096, memory: 4096, gpus: 8, zone: n % 3 });
        }
        for _ in 0..2 {
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

    /// What an operator does about machines that are gone, and deployments that were given up.
    fn repair(&mut self) {
        let mut commands = Vec::new();
        let living: BTreeSet<InstanceKey> =
            self.nodes.iter().filter(|n| !n.gone).filter_map(|n| n.key.clone()).collect();
        for instance in self.state().all_instances() {
            let key = instance.key.clone();
            if !living.contains(&key) {
                commands.push(Command::DeregisterInstance { key, force: true });
            } else if instance.status == InstanceStatus::Draining {
                let status = InstanceStatus::Active;
                commands.push(Command::SetInstanceStatus { key, status });
            }
        }
        for service in self.state().all_services() {
            let failed = service.primary().is_some_and(|d| d.rollout == RolloutState::Failed);
            if service.status == ServiceStatus::Active && failed {
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
        let state = self.published.clone();
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
            if there != here && !node.liar {
                return Err(format!("node {number} ({key}) runs {there:?}, and should {here:?}"));
            }
        }
        self.once()
    }

    /// No insisting user got more than was asked for.
    fn once(&self) -> Result<(), String> {
        for (number, step) in self.steps.iter().enumerate() {
            let crate::Step::Run { count, .. } = step else { continue };
            let by = format!("step-{number}");
            let theirs = |t: &&model::Task| t.facts.started_by.as_deref() == Some(by.as_str());
            let made = self.state().all_tasks().filter(theirs).count();
            if made > *count as usize {
                return Err(format!("step {number} asked for {count} tasks and got {made}"));
            }
        }
        Ok(())
    }

    /// A service with a good image has what it wants.
    fn served(&self, service: &Service) -> Result<(), String> {
        let key = &service.key;
        match service.status {
            ServiceStatus::Draining => return Err(format!("{key} drains for ever")),
            ServiceStatus::Inactive => return Ok(()),
            ServiceStatus::Active => {}
        }
        let Some(primary) = service.primary() else {
            return Err(format!("{key} is active and has no deployment"));
        };
        let well = families().into_iter().take(usize::from(WELL));
        if !well.into_iter().any(|f| f.name == primary.definition.family.as_str()) {
            return Ok(());
        }
        let (count, desired) = (healthy(self.state(), service), service.desired_count);
        if count != desired as usize {
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
