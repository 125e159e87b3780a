//! Steps of users that belong to one of a history's fields, as commands.

use std::time::Duration;

use model::{
    CircuitBreaker, DeploymentController, DeploymentId, HookAction, HookStatus, HookTarget, NodeId,
    PlacementConstraint, RolloutAlarms, RolloutHook, RolloutMethod, RolloutStrategy, Scale,
    Schedule, SchedulingStrategy, ServiceDeploymentKey, Stage, Tags, TrafficShare,
};
use scheduler::{
    BusCommand, CapacityCommand, Command, CreateService, CreateTaskSet, DeploymentCommand,
    NewEventRule, RunTask, UpdateService,
};

use crate::around::{ALARM, unwell};
use crate::fleet::{create, definition, run, service, update};
use crate::ground;
use crate::step::{Step, families};
use crate::take::family_of;
use crate::wishes::Kind;
use crate::world::World;

/// What the calendar starts: it ends by itself.
pub(crate) const JOB: &str = "job:1";
/// The calendar's rule.
const RULE: &str = "each-minute";
/// What no instance has.
const NOWHERE: &str = "attribute:nowhere == here";
/// More tasks than the first machines have room for.
const HUGE: u32 = 45;

impl World {
    /// The command of a step that belongs to a field.
    pub(crate) fn asked(&self, number: usize, step: Step) -> Option<Command> {
        Some(match step {
            Step::Make { service, kind, family, desired, breaker } => {
                let asked = self.made(&name(service), kind, family, desired)?;
                let circuit_breaker = breaker.then(breaker_on);
                let circuit_breaker = circuit_breaker.filter(|_| kind != Kind::Sets);
                Command::CreateService(CreateService { circuit_breaker, ..asked })
            }
            Step::Update { service: n, family } => {
                Command::UpdateService(self.updated(&name(n), family)?)
            }
            Step::Set { .. }
            | Step::ScaleSet { .. }
            | Step::Primary { .. }
            | Step::DropSet { .. } => self.about_sets(step)?,
            Step::EndDeployment { service, rollback } => {
                let key = self.current(&name(service))?;
                Command::Deployment(DeploymentCommand::Stop { key, rollback })
            }
            Step::GoOn { service, rollback } => {
                let key = self.current(&name(service))?;
                let action = if rollback { HookAction::Rollback } else { HookAction::Continue };
                self.go_on(key, action)?
            }
            Step::RunGrown { family, count } => Command::RunTask(RunTask {
                providers: ground::grown(),
                network: self.network_of(family),
                started_by: Some(format!("step-{number}")),
                client_token: Some((format!("token-{number}"), u64::from(family))),
                ..run(&family_of(family), count)
            }),
            Step::Nodes { desired } => Command::Capacity(CapacityCommand::SetDesired {
                group: ground::NODES.into(),
                desired,
                honor_cooldown: false,
            }),
            Step::Unwell { node } => unwell(self.some_member(node)?),
            Step::EndNode { node, decrement } => {
                let node = self.some_member(node)?;
                Command::Capacity(CapacityCommand::TerminateNode { node, decrement })
            }
            Step::Calendar { enabled } => calendar(enabled),
            _ => return None,
        })
    }

    /// A service of a kind, as it is asked for.
    fn made(&self, name: &str, kind: Kind, family: u8, desired: u32) -> Option<CreateService> {
        let state = self.state();
        let served = served(family);
        let plain = CreateService {
            network: self.network_of(family),
            ..create(name, &family_of(family), desired)
        };
        Some(match kind {
            Kind::Daemon => CreateService {
                scheduling: SchedulingStrategy::Daemon,
                desired_count: None,
                ..plain
            },
            Kind::Sets => CreateService {
                definition: None,
                network: None,
                controller: DeploymentController::External,
                ..plain
            },
            Kind::Behind => CreateService {
                load_balancers: vec![ground::behind(state, ground::WEB)?],
                ..create(name, &served, desired)
            },
            Kind::Pair(way, hook, watched) => CreateService {
                load_balancers: vec![ground::pair(state)?],
                method: method(way, hook, watched),
                ..create(name, &served, desired)
            },
            Kind::Grown => CreateService { providers: ground::grown(), ..plain },
            Kind::Own(behind) => CreateService {
                load_balancers: match behind.then(|| ground::behind(state, ground::OWN)) {
                    Some(target) => vec![target?],
                    None => Vec::new(),
                },
                network: Some(ground::network(&self.realm)),
                ..create(name, OWN, desired)
            },
            Kind::Nowhere => CreateService {
                constraints: vec![PlacementConstraint::MemberOf(
                    model::query::Expression::parse(NOWHERE).ok()?,
                )],
                ..plain
            },
            // Of those that may share an instance.
            Kind::Huge => create(name, &family_of(family % 2), HUGE),
        })
    }

    /// UpdateService with another definition, one that can stand where the service stands.
    fn updated(&self, name: &str, family: u8) -> Option<UpdateService> {
        let found = self.state().service(&service(name));
        let behind = found.is_some_and(|service| !service.load_balancers.is_empty());
        let own = found.is_some_and(|service| service.network.is_some());
        let to = match (behind, own) {
            (true, true) => OWN.to_owned(),
            (true, false) => served(family),
            (false, _) => family_of(family),
        };
        let network = (to == OWN).then(|| ground::network(&self.realm));
        Some(UpdateService { definition: Some(definition(&to)), network, ..update(name) })
    }

    /// The network that tasks of the family need.
    pub(crate) fn network_of(&self, family: u8) -> Option<model::NetworkConfiguration> {
        (family_of(family) == OWN).then(|| ground::network(&self.realm))
    }

    fn about_sets(&self, step: Step) -> Option<Command> {
        Some(match step {
            Step::Set { service: n, family, percent, behind } => {
                let to = if behind { served(family) } else { family_of(family) };
                let target = ground::behind(self.state(), ground::WEB).filter(|_| behind);
                Command::CreateTaskSet(CreateTaskSet {
                    service: service(&name(n)),
                    network: (to == OWN).then(|| ground::network(&self.realm)),
                    definition: definition(&to),
                    launch_type: model::LaunchType::Ec2,
                    providers: Vec::new(),
                    load_balancers: target.into_iter().collect(),
                    scale: Scale::percent(f64::from(percent))?,
                    external_id: None,
                    tags: Tags::default(),
                    client_token: None,
                })
            }
            Step::ScaleSet { service: n, set, percent } => Command::ScaleTaskSet {
                service: service(&name(n)),
                set: self.some_set(n, set)?,
                scale: Scale::percent(f64::from(percent))?,
            },
            Step::Primary { service: n, set } => {
                let set = self.some_set(n, set)?;
                Command::SetPrimaryTaskSet { service: service(&name(n)), set }
            }
            Step::DropSet { service: n, set } => {
                let set = self.some_set(n, set)?;
                Command::DeleteTaskSet { service: service(&name(n)), set, force: true }
            }
            _ => return None,
        })
    }

    fn some_set(&self, number: u8, choice: u8) -> Option<DeploymentId> {
        let sets = &self.state().service(&service(&name(number)))?.deployments;
        let at = usize::from(choice).checked_rem(sets.len())?;
        Some(sets.get(at)?.id.clone())
    }

    /// A node of the Auto Scaling group.
    fn some_member(&self, choice: u8) -> Option<NodeId> {
        let count = self.state().capacity().all_nodes().count();
        let at = usize::from(choice).checked_rem(count)?;
        Some(self.state().capacity().all_nodes().nth(at)?.id.clone())
    }

    /// The service deployment that is on its way, or was last.
    fn current(&self, name: &str) -> Option<ServiceDeploymentKey> {
        let key = service(name);
        let id = self.state().service(&key)?.current.clone()?;
        Some(ServiceDeploymentKey { service: key, id })
    }

    /// Whoever a deployment waits for says what becomes of it.
    pub(crate) fn go_on(&self, key: ServiceDeploymentKey, action: HookAction) -> Option<Command> {
        let record = self.state().deployments().deployment(&key)?;
        let waits = record.hooks.iter().find(|run| run.status == HookStatus::AwaitingAction)?;
        let hook = waits.id.clone();
        Some(Command::Deployment(DeploymentCommand::Continue { key, hook, action }))
    }
}

fn name(number: u8) -> String {
    format!("service-{number}")
}

pub(crate) fn breaker_on() -> CircuitBreaker {
    CircuitBreaker { enable: true, rollback: true, ..CircuitBreaker::default() }
}

/// What has a network of its own.
const OWN: &str = "own:1";

/// A definition that listens where load balancers look.
fn served(number: u8) -> String {
    let listen = families().into_iter().filter(|f| f.port.is_some() && !f.own);
    let listen: Vec<String> = listen.map(|f| f.name).collect();
    let found = listen.get(usize::from(number) % listen.len());
    format!("{}:1", found.map(String::as_str).unwrap_or_default())
}

/// By which steps, with which hook, and watched by the alarm or not.
fn method(way: u8, hook: u8, watched: bool) -> RolloutMethod {
    let bake = Duration::from_secs(20);
    let strategy = match way {
        0 | 1 => RolloutStrategy::BlueGreen,
        2 => RolloutStrategy::Linear { step: TrafficShare(400), bake },
        _ => RolloutStrategy::Canary { share: TrafficShare(100), bake },
    };
    let web = || HookTarget::Web { url: "http://h/".to_owned(), details: None, role: None };
    let hook_at = |target, stages: Vec<Stage>, on_timeout| RolloutHook {
        target,
        stages,
        timeout: Duration::from_secs(300),
        on_timeout,
    };
    let hooks = match hook {
        0 => Vec::new(),
        1 => vec![hook_at(web(), vec![Stage::PreScaleUp], HookAction::Rollback)],
        2 => {
            let stages = vec![Stage::PostTestTrafficShift, Stage::ProductionTrafficShift];
            vec![hook_at(web(), stages, HookAction::Continue)]
        }
        _ => {
            let stages = vec![Stage::PostScaleUp, Stage::PostProductionTrafficShift];
            vec![hook_at(HookTarget::Pause, stages, HookAction::Rollback)]
        }
    };
    let alarms = RolloutAlarms { names: vec![ALARM.to_owned()], enable: true, rollback: true };
    RolloutMethod { strategy, bake: Some(bake), hooks, alarms: watched.then_some(alarms) }
}

/// The calendar's rule, on or off.
pub(crate) fn calendar(enabled: bool) -> Command {
    let every = Schedule::Every(Duration::from_secs(60));
    Command::Bus(BusCommand::PutRule(NewEventRule {
        name: RULE.into(),
        pattern: None,
        schedule: Some(("rate(1 minute)".to_owned(), every)),
        enabled,
        description: None,
        role: None,
        tags: Tags::default(),
    }))
}
