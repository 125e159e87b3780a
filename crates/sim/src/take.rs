//! Steps of a script, done.

use std::sync::Arc;
use std::time::Duration;

use model::{
    ContainerStatus, HealthStatus, InstanceKey, InstanceStatus, NetworkBinding, PlacementStrategy,
    Protocol, SpreadField, TaskKey, TaskStatus,
};
use scheduler::{
    Command, ContainerReport, CreateService, RegisterInstance, Reply, RunTask, TaskReport,
    UpdateService,
};
use stdx::Entropy;
use store::MemoryEngine;

use crate::asks::breaker_on;
use crate::calls::stopped;
use crate::fleet::{CLUSTER, Machine, create, run, service, update};
use crate::node::{Node, NodeEvent, Stage};
use crate::serve::jump;
use crate::server::Storage;
use crate::step::{Lie, Step, families};
use crate::world::{Caller, Happening, Mutation, Refusal, World};

impl World {
    /// A step of the script is due.
    pub(crate) fn take(&mut self, number: usize) {
        let Some(step) = self.steps.get(number).copied() else { return };
        self.note(|| format!("step {number}: {step:?}"));
        if let Some(command) = self.wished(number, step).or_else(|| self.asked(number, step)) {
            match step {
                Step::Run { .. } | Step::RunGrown { .. } => {
                    self.insist(number, 0, Arc::new(command));
                }
                _ => drop(self.call(Caller::User(number), command)),
            }
        } else {
            self.suffer(step);
        }
    }

    /// The command of a step that is a user's.
    fn wished(&self, number: usize, step: Step) -> Option<Command> {
        let name = |n: u8| format!("service-{n}");
        let update_of = |n: u8| update(&name(n));
        Some(match step {
            Step::Create { service, family, desired, percents, breaker, strategy } => {
                Command::CreateService(CreateService {
                    percents: (Some(percents.0), Some(percents.1)),
                    circuit_breaker: breaker.then(breaker_on),
                    strategy: strategies(strategy),
                    network: self.network_of(family),
                    ..create(&name(service), &family_of(family), desired)
                })
            }
            Step::Scale { service, desired } => Command::UpdateService(UpdateService {
                desired_count: Some(desired),
                ..update_of(service)
            }),
            Step::Percents { service, percents } => Command::UpdateService(UpdateService {
                percents: (Some(percents.0), Some(percents.1)),
                ..update_of(service)
            }),
            Step::Force { service } => Command::UpdateService(UpdateService {
                force_new_deployment: true,
                ..update_of(service)
            }),
            Step::Delete { service: n, force } => {
                Command::DeleteService { key: service(&name(n)), force }
            }
            Step::Run { family, count } => Command::RunTask(RunTask {
                started_by: Some(format!("step-{number}")),
                client_token: (self.mutation != Some(Mutation::NoTokens))
                    .then(|| (format!("token-{number}"), u64::from(family))),
                network: self.network_of(family),
                ..run(&family_of(family), count)
            }),
            Step::Stop { task } => Command::StopTask { key: self.some_task(task)?, reason: None },
            Step::Protect { task, minutes } => Command::ProtectTask {
                key: self.some_task(task)?,
                period: (minutes > 0).then_some(Duration::from_secs(minutes * 60)),
            },
            Step::Drain { node, drain } => Command::SetInstanceStatus {
                key: self.some_instance(node)?,
                status: if drain { InstanceStatus::Draining } else { InstanceStatus::Active },
            },
            Step::Deregister { node, force } => {
                Command::DeregisterInstance { key: self.some_instance(node)?, force }
            }
            _ => return None,
        })
    }

    /// What happens to the cluster in a step that nobody wants.
    fn suffer(&mut self, step: Step) {
        let millis = Duration::from_millis;
        match step {
            Step::Kill { task, code } => self.kill(task, i32::from(code)),
            Step::Verdict { task, healthy } => self.judge(task, healthy),
            Step::Lose { node } => {
                if let Some(node) = self.some_node(node) {
                    self.meet("machine lost");
                    self.lose(node);
                }
            }
            Step::Reboot { node, millis: down } => self.stop_node(node, millis(down), true),
            Step::Restart { node, millis: down } => self.stop_node(node, millis(down), false),
            Step::Cut { node, millis: time } => self.cut(node, millis(time)),
            Step::Flap { node, times } => self.flap(node, times),
            Step::Slow { node, millis: time } => {
                let until = self.now() + millis(time);
                let Some(node) = self.some_node(node) else { return };
                if let Some(there) = self.nodes.get_mut(node) {
                    there.slow_until = until;
                    self.meet("slow starts");
                }
            }
            Step::Grow { cpu } => {
                let zone = u32::try_from(self.nodes.len()).unwrap_or(0) % 3;
                self.meet("machine added");
                self.add(Machine { cpu, memory: cpu, gpus: 1, zone });
            }
            Step::Crash { millis: down } => {
                if self.server.is_some() {
                    self.meet("server killed");
                }
                self.end_server(millis(down));
            }
            Step::Power { operations } => {
                if let (Storage::Disk(disk), Some(_)) = (&self.storage, &self.server) {
                    disk.power_for(operations.max(1));
                }
            }
            Step::Full { commits } => {
                if let Storage::Memory(engine) = &self.storage {
                    MemoryEngine::fail_next_commits(engine, commits);
                }
            }
            Step::Clock { millis: by } => self.set_clock(by),
            Step::Lie { node, lie, task } => self.lie(node, lie, task),
            Step::Twin { node, millis: time } => self.twin(node, millis(time)),
            Step::Blind { task, healthy } => {
                if let Some(key) = self.some_task(task)
                    && self.judge_targets(&key, healthy)
                {
                    self.meet(if healthy { "target well" } else { "target fails" });
                }
            }
            Step::Busy { busy } => self.outside.busy = busy,
            Step::Alarm { alarm } => self.outside.alarm = alarm,
            Step::Answer { mood } => self.outside.mood = mood,
            Step::Barren { millis: time, duds } => {
                self.outside.barren_until = Some(self.now() + millis(time));
                self.outside.duds = duds;
            }
            // A user's, of something that is not there.
            _ => {}
        }
    }

    fn flap(&mut self, choice: u8, times: u8) {
        let Some(node) = self.some_node(choice) else { return };
        self.meet("session flaps");
        for n in 0..u64::from(times) {
            let after = Duration::from_millis(n * self.chance.below(2_000));
            self.break_session(node, after);
        }
    }

    fn set_clock(&mut self, by: i64) {
        let now = self.server_now();
        self.note(|| jump(now, by));
        self.meet(if by < 0 { "clock set back" } else { "clock set forward" });
        self.skew += by;
    }

    /// Another agent has the identity of one, until it is found out.
    fn twin(&mut self, choice: u8, time: Duration) {
        let Some(node) = self.some_node(choice) else { return };
        let Some(there) = self.nodes.get_mut(node).filter(|there| there.key.is_some()) else {
            return;
        };
        there.liar = true;
        let mut twin = Node::new(there.machine.clone());
        twin.ec2.clone_from(&there.ec2);
        twin.arn.clone_from(&there.arn);
        twin.key.clone_from(&there.key);
        twin.liar = true;
        self.meet("two agents with one identity");
        self.nodes.push(twin);
        let number = self.nodes.len() - 1;
        self.register_again(number);
        self.agenda.after(Duration::from_millis(5), Happening::Join(number));
        self.agenda.after(time, Happening::Exposed(number));
    }

    /// The second of two agents with one identity is switched off.
    pub(crate) fn exposed(&mut self, node: usize) {
        let number = self.nodes.get(node).and_then(|there| there.session);
        self.lose(node);
        if let Some(number) = number {
            self.agenda.after(Duration::from_millis(5), Happening::ServerHears(node, number));
        }
    }

    // === Choices ===

    fn some_task(&self, choice: u16) -> Option<TaskKey> {
        let live = || self.state().all_tasks().filter(|t| t.holds_resources());
        let count = live().count();
        let task = live().nth(usize::from(choice).checked_rem(count)?)?;
        Some(task.facts.key.clone())
    }

    fn some_instance(&self, choice: u8) -> Option<InstanceKey> {
        self.nodes.get(self.some_node(choice)?)?.key.clone()
    }

    fn some_node(&self, choice: u8) -> Option<usize> {
        let there: Vec<usize> =
            (0..self.nodes.len()).filter(|n| self.nodes.get(*n).is_some_and(|n| !n.gone)).collect();
        there.get(usize::from(choice).checked_rem(there.len())?).copied()
    }

    /// Where a task is on its node: the node, its name there, and its life.
    fn local(&self, key: &TaskKey) -> Option<(usize, String, u64)> {
        self.nodes.iter().enumerate().find_map(|(node, there)| {
            let found = there.tasks.iter().find(|(_, t)| t.key == *key && t.stage != Stage::Over);
            found.map(|(arn, t)| (node, arn.clone(), t.run))
        })
    }

    // === Faults ===

    fn kill(&mut self, task: u16, code: i32) {
        let Some((node, arn, run)) = self.some_task(task).and_then(|key| self.local(&key)) else {
            return;
        };
        self.meet("container ends");
        self.on_node(node, NodeEvent::Exited { arn, run, code });
    }

    fn judge(&mut self, task: u16, healthy: bool) {
        let Some((node, arn, run)) = self.some_task(task).and_then(|key| self.local(&key)) else {
            return;
        };
        let health = if healthy { HealthStatus::Healthy } else { HealthStatus::Unhealthy };
        self.meet("health check turns");
        self.on_node(node, NodeEvent::Verdict { arn, run, health });
    }

    /// A machine is never seen again. The server learns of it by silence.
    pub(crate) fn lose(&mut self, node: usize) {
        let number = self.session_of(node);
        let Some(there) = self.nodes.get_mut(node) else { return };
        there.gone = true;
        there.lose_power();
        if let Some(number) = number {
            let silence = Duration::from_secs(65 + self.chance.below(20));
            self.agenda.after(silence, Happening::ServerHears(node, number));
        }
    }

    /// An agent ends for a while, and its machine too if the power goes.
    fn stop_node(&mut self, choice: u8, down: Duration, power: bool) {
        let Some(node) = self.some_node(choice) else { return };
        let number = self.session_of(node);
        let Some(there) = self.nodes.get_mut(node) else { return };
        if power {
            there.lose_power();
        } else {
            there.forget_session();
        }
        there.awake = false;
        self.meet(if power { "machine reboots" } else { "agent restarts" });
        self.agenda.after(down, Happening::Wakes(node));
        if let Some(number) = number {
            // A process that ends closes its sockets, a machine that is gone does not.
            let wait = if power { 65_000 + self.chance.below(20_000) } else { 5 };
            self.agenda.after(Duration::from_millis(wait), Happening::ServerHears(node, number));
        }
    }

    /// Nothing comes through for a while: both ends learn it by silence, or when they speak again.
    fn cut(&mut self, choice: u8, time: Duration) {
        let Some(node) = self.some_node(choice) else { return };
        let until = self.now() + time;
        let (theirs, silence) = (self.session_of(node), 65_000 + self.chance.below(20_000));
        let Some(there) = self.nodes.get_mut(node) else { return };
        there.cut_until = until;
        let ours = there.session;
        self.meet("network cut");
        let heals = time + Duration::from_millis(self.chance.below(500));
        if let Some(number) = ours {
            let silent = Duration::from_millis(60_000 + self.chance.below(60_000));
            self.agenda.after(silent.min(heals), Happening::AgentHears(node, number));
        }
        if let Some(number) = theirs {
            let silent = Duration::from_millis(silence);
            self.agenda.after(silent.min(heals), Happening::ServerHears(node, number));
        }
        self.agenda.after(heals, Happening::Join(node));
    }

    fn break_session(&mut self, node: usize, after: Duration) {
        let ours = self.nodes.get(node).and_then(|n| n.session);
        if let Some(number) = ours {
            let later = after + Duration::from_millis(self.chance.below(300));
            self.agenda.after(after, Happening::AgentHears(node, number));
            self.agenda.after(later, Happening::ServerHears(node, number));
        }
    }

    fn lie(&mut self, choice: u8, lie: Lie, task: u16) {
        let Some(node) = self.some_node(choice) else { return };
        let Some(there) = self.nodes.get_mut(node) else { return };
        let (machine, key) = (there.machine.clone(), there.key.clone());
        let theirs = self.some_task(task);
        let command = match lie {
            Lie::Unknown => {
                let key = TaskKey { cluster: CLUSTER.into(), task: "0badc0de".into() };
                Command::ReportTask(stopped(key, Some("it never was".to_owned())))
            }
            Lie::Theirs => match theirs {
                Some(key) => Command::ReportTask(stopped(key, Some("I say so".to_owned()))),
                None => return,
            },
            Lie::Undead | Lie::Port => match theirs {
                Some(key) => Command::ReportTask(alive(key)),
                None => return,
            },
            Lie::Half => {
                let half = Machine { cpu: machine.cpu / 2, memory: machine.memory / 2, ..machine };
                Command::RegisterInstance(RegisterInstance {
                    cluster: CLUSTER.into(),
                    known_as: key.map(|key| key.instance),
                    ec2_instance_id: None,
                    address: None,
                    resources: half.resources(),
                    attributes: half.attributes(),
                    tags: model::Tags::default(),
                })
            }
        };
        self.meet(match lie {
            Lie::Unknown => "lie: a task nobody has",
            Lie::Theirs => "lie: another's task is over",
            Lie::Undead => "lie: what is over runs",
            Lie::Half => "lie: half of what there was",
            Lie::Port => "lie: a port of another's",
        });
        self.call(Caller::Nobody, command);
    }

    // === Users who insist ===

    /// Asks until there is an answer.
    pub(crate) fn insist(&mut self, number: usize, before: u32, command: Arc<Command>) {
        self.insisting.insert(number, Arc::clone(&command));
        self.call(Caller::Insisting(number, before), Command::clone(&command));
    }

    pub(crate) fn insisted(&mut self, number: usize, before: u32, result: &Result<Reply, Refusal>) {
        let Some(command) = self.insisting.remove(&number) else { return };
        match result {
            Ok(_) => self.meet(self.steps.get(number).map_or("RunTask by the bus", Step::name)),
            Err(Refusal::Rejected(why)) => {
                self.note(|| format!("step {number} is refused: {why}"));
            }
            Err(Refusal::Away) => self.insist(number, before + 1, command),
        }
    }
}

/// A report that a task runs, with a port that others may hold.
fn alive(key: TaskKey) -> TaskReport {
    let binding = NetworkBinding {
        bind_ip: std::net::Ipv4Addr::UNSPECIFIED.into(),
        container_port: 80,
        host_port: 8080,
        more: 0,
        protocol: Protocol::Tcp,
    };
    let container = ContainerReport {
        name: "app".into(),
        status: Some(ContainerStatus::Running),
        runtime_id: Some("runtime-0".to_owned()),
        image_digest: None,
        exit_code: None,
        reason: None,
        bindings: Some(vec![binding]),
    };
    let status = Some(TaskStatus::Running);
    TaskReport { status, reason: None, containers: vec![container], ..stopped(key, None) }
}

/// The first revision of one of the families.
pub(crate) fn family_of(number: u8) -> String {
    let families = families();
    let family = families.get(usize::from(number) % families.len());
    format!("{}:1", family.map(|f| f.name.as_str()).unwrap_or_default())
}

fn strategies(number: u8) -> Vec<PlacementStrategy> {
    let zone =
        || PlacementStrategy::Spread(SpreadField::Attribute("ecs.availability-zone".to_owned()));
    match number {
        0 => vec![PlacementStrategy::BinpackCpu],
        1 => vec![PlacementStrategy::BinpackMemory],
        2 => vec![zone(), PlacementStrategy::BinpackMemory],
        3 => vec![PlacementStrategy::Random],
        4 => vec![PlacementStrategy::Spread(SpreadField::Instance)],
        _ => Vec::new(),
    }
}
