//! A trial, played.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{
    CircuitBreaker, DeploymentStatus, InstanceStatus, RolloutState, ServiceStatus, State,
    TaskStatus,
};
use scheduler::{Command, CreateService, UpdateService};
use stdx::Timestamp;

use super::{Change, Trial, Wanted};
use crate::fleet::{self, CLUSTER, zone_name};
use crate::world::{Caller, World};

/// The cluster is looked at so often to see whether it has settled.
const LOOK: Duration = Duration::from_millis(250);
/// A machine that was lost is deregistered after so long.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// After this a server that was killed is back.
const BACK_AFTER: Duration = Duration::from_secs(2);

/// What became of a trial.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether the cluster settled each time.
    pub settled: bool,
    /// How much virtual time it took.
    pub took: Duration,
    /// By service.
    pub services: Vec<ServiceOutcome>,
    /// By availability zone.
    pub zones: Vec<ZoneOutcome>,
    /// What must never happen and did: a bug.
    pub fault: Option<String>,
}

/// What became of a service.
#[derive(Clone, Debug)]
pub struct ServiceOutcome {
    /// Its name.
    pub name: String,
    /// How many tasks it should have.
    pub desired: u32,
    /// How many run.
    pub running: u32,
    /// The fewest healthy ones at any moment since it first had all its tasks.
    pub lowest: Option<usize>,
    /// How many tasks were started.
    pub started: u64,
    /// How many instances its tasks are on.
    pub instances: usize,
    /// What it waits for or what it came to, in words.
    pub state: String,
}

/// What an availability zone has in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneOutcome {
    /// Its name.
    pub name: String,
    /// Its instances, and how many of them take tasks.
    pub instances: (usize, usize),
    /// How many tasks are there.
    pub tasks: usize,
    /// CPU units: reserved, and all.
    pub cpu: (u64, u64),
    /// MiB: reserved, and all.
    pub memory: (u64, u64),
}

/// Plays a trial and tells each line of what happens.
pub fn play(trial: &Trial, tell: &mut dyn FnMut(&str)) -> Outcome {
    let mut player = Player::new(trial, tell);
    let mut settled = player.begin(trial);
    for change in &trial.changes {
        settled &= player.change(change, trial);
    }
    player.outcome(trial, settled)
}

struct Player<'a> {
    world: World,
    tell: &'a mut dyn FnMut(&str),
    began: Timestamp,
    /// The next revision of each family.
    revisions: BTreeMap<String, u32>,
}

impl<'a> Player<'a> {
    fn new(trial: &Trial, tell: &'a mut dyn FnMut(&str)) -> Self {
        let mut world = World::new(trial.seed, false);
        world.listen();
        world.pass(Duration::from_millis(10));
        let began = world.now();
        Self { world, tell, began, revisions: BTreeMap::new() }
    }

    fn ask(&mut self, command: Command) {
        self.world.call(Caller::User(0), command);
        self.world.pass(Duration::from_millis(20));
        for refused in std::mem::take(&mut self.world.refused) {
            (self.tell)(&format!("           refused: {refused}"));
        }
    }

    fn begin(&mut self, trial: &Trial) -> bool {
        let tags = model::Tags::default();
        self.ask(Command::CreateCluster { name: CLUSTER.into(), tags });
        for machine in &trial.machines {
            self.world.add(machine.clone());
        }
        self.world.pass(Duration::from_secs(1));
        self.began = self.world.now();
        (self.tell)(&format!("{} instances have joined", trial.machines.len()));
        for wanted in &trial.services {
            self.ask(wanted.family.register());
            self.revisions.insert(wanted.name.clone(), 1);
            self.ask(create(wanted));
        }
        self.settle(trial)
    }

    fn change(&mut self, change: &Change, trial: &Trial) -> bool {
        (self.tell)("");
        let line = format!("{} {}", self.stamp(self.world.now()), words(change));
        (self.tell)(&line);
        match change {
            Change::Update { service, image } => self.update(service, image, trial),
            Change::Scale { service, count } => {
                let desired_count = Some(*count);
                let update = UpdateService { desired_count, ..fleet::update(service) };
                self.ask(Command::UpdateService(update));
            }
            Change::Delete { service } => {
                self.ask(Command::DeleteService { key: fleet::service(service), force: true });
            }
            Change::Lose { count } => self.lose(*count, None),
            Change::LoseZone { zone } => self.lose(usize::MAX, Some(*zone)),
            Change::Drain { count } => self.drain(*count, None),
            Change::DrainZone { zone } => self.drain(usize::MAX, Some(*zone)),
            Change::Add { count } => {
                for machine in trial.machines.iter().take(1).cycle().take(*count) {
                    self.world.add(machine.clone());
                }
                self.world.pass(Duration::from_millis(100));
            }
            Change::Crash => self.world.end_server(BACK_AFTER),
            Change::Wait { time } => self.run_for(*time),
        }
        self.settle(trial)
    }

    fn update(&mut self, service: &str, image: &str, trial: &Trial) {
        let Some(wanted) = trial.services.iter().find(|w| w.name == service) else {
            return (self.tell)(&format!("           there is no service {service}"));
        };
        let mut family = wanted.family.clone();
        family.image = image.to_owned();
        self.ask(family.register());
        let revision = self.revisions.entry(service.to_owned()).or_insert(0);
        *revision += 1;
        let definition = Some(fleet::definition(&format!("{service}:{revision}")));
        self.ask(Command::UpdateService(UpdateService { definition, ..fleet::update(service) }));
    }

    /// So many of the machines that are there, of a zone or of all.
    fn some(&self, count: usize, zone: Option<u32>) -> Vec<usize> {
        let nodes = self.world.nodes.iter().enumerate().filter(|(_, node)| !node.gone);
        let of = nodes.filter(|(_, node)| zone.is_none_or(|zone| node.machine.zone == zone));
        of.map(|(number, _)| number).take(count).collect()
    }

    fn drain(&mut self, count: usize, zone: Option<u32>) {
        let nodes = self.some(count, zone);
        let keys: Vec<_> = nodes.iter().filter_map(|n| self.world.nodes[*n].key.clone()).collect();
        for key in keys {
            let status = InstanceStatus::Draining;
            self.ask(Command::SetInstanceStatus { key, status });
        }
    }

    fn lose(&mut self, count: usize, zone: Option<u32>) {
        let mut keys = Vec::new();
        for node in self.some(count, zone) {
            keys.extend(self.world.nodes[node].key.clone());
            self.world.lose(node);
        }
        self.run_for(LOST_AFTER);
        for key in keys {
            self.ask(Command::DeregisterInstance { key, force: true });
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.world.now() + time;
        while self.world.fault().is_none() && self.world.now() < end {
            self.world.pass(LOOK.min(end.since(self.world.now())));
            self.report();
        }
    }

    /// Lets time pass until nothing is to be done.
    fn settle(&mut self, trial: &Trial) -> bool {
        let end = self.world.now() + trial.patience;
        loop {
            self.world.pass(LOOK);
            self.report();
            if self.world.fault().is_some() {
                return false;
            }
            if settled(self.world.state()) && self.world.server.is_some() {
                let line = format!("{} settled", self.stamp(self.world.now()));
                (self.tell)(&line);
                return true;
            }
            if self.world.now() >= end {
                let minutes = trial.patience.as_secs() / 60;
                let line = format!("{} has not settled after {minutes} minutes", self.stamp(end));
                (self.tell)(&line);
                return false;
            }
        }
    }

    /// Tells what services have said since; what is said of task after task is told once.
    fn report(&mut self) {
        let mut lines: Vec<(Timestamp, String, u32)> = Vec::new();
        for (at, message) in std::mem::take(&mut self.world.heard) {
            let (words, tasks) = counted(&message);
            match lines.last_mut() {
                Some((_, before, count)) if tasks > 0 && *before == words => *count += tasks,
                _ => lines.push((at, words, tasks)),
            }
        }
        for (at, words, tasks) in lines {
            let line = format!("{} {}", self.stamp(at), words.replace('#', &tasks.to_string()));
            (self.tell)(&line);
        }
    }

    fn stamp(&self, at: Timestamp) -> String {
        format!("{:>8.1} s", at.since(self.began).as_secs_f64())
    }

    fn outcome(self, trial: &Trial, settled: bool) -> Outcome {
        let state = self.world.state();
        let plan = scheduler::plan(state, self.world.server_now(), trial.seed);
        let of = |wanted: &Wanted| {
            let key = fleet::service(&wanted.name);
            let service = state.service(&key);
            let waits = plan.report.iter().find(|r| r.service == key).map(|r| &r.why);
            let live = state.tasks_of(&key).filter(|t| t.holds_resources());
            let on: std::collections::BTreeSet<_> =
                live.filter_map(|t| t.facts.instance.clone()).collect();
            ServiceOutcome {
                name: wanted.name.clone(),
                desired: service.map_or(0, |s| s.desired_count),
                running: state.service_counts(&key).0,
                lowest: self.world.lowest.get(&key).copied(),
                started: self.world.started.get(&key).copied().unwrap_or(0),
                instances: on.len(),
                state: match (service, waits) {
                    (None, _) => "gone".to_owned(),
                    (Some(_), Some(why)) => scheduler::words::waiting(why),
                    (Some(service), None) => standing(service).to_owned(),
                },
            }
        };
        Outcome {
            settled,
            took: self.world.now().since(self.began),
            services: trial.services.iter().map(of).collect(),
            zones: zones(state),
            fault: self.world.fault().map(str::to_owned),
        }
    }
}

/// What each zone has.
fn zones(state: &State) -> Vec<ZoneOutcome> {
    let mut zones: BTreeMap<String, ZoneOutcome> = BTreeMap::new();
    for instance in state.all_instances() {
        let name = instance.attribute("ecs.availability-zone").flatten().unwrap_or("–").to_owned();
        let zone = zones.entry(name.clone()).or_insert_with(|| ZoneOutcome {
            name,
            instances: (0, 0),
            tasks: 0,
            cpu: (0, 0),
            memory: (0, 0),
        });
        let takes = instance.status == InstanceStatus::Active && instance.agent.connected;
        zone.instances.0 += 1;
        zone.instances.1 += usize::from(takes);
        zone.cpu.1 += u64::from(instance.registered.cpu);
        zone.memory.1 += u64::from(instance.registered.memory);
        for task in state.tasks_on(&instance.key).filter(|t| t.holds_resources()) {
            zone.tasks += 1;
            zone.cpu.0 += u64::from(task.facts.reserved.cpu);
            zone.memory.0 += u64::from(task.facts.reserved.memory);
        }
    }
    zones.into_values().collect()
}

fn standing(service: &model::Service) -> &'static str {
    match service.status {
        ServiceStatus::Draining => "being deleted",
        ServiceStatus::Inactive => "deleted",
        ServiceStatus::Active => match service.primary().map(|d| d.rollout) {
            Some(RolloutState::Completed) => "steady",
            Some(RolloutState::Failed) => "its deployment was given up",
            Some(_) => "in progress",
            None => "without a deployment",
        },
    }
}

/// Whether every service is as it should be, or given up, and no task is on its way.
fn settled(state: &State) -> bool {
    let services = state.all_services().all(|service| match service.status {
        ServiceStatus::Active => {
            service.steady_since.is_some()
                || service.deployments.iter().any(|d| {
                    d.status == DeploymentStatus::Primary && d.rollout == RolloutState::Failed
                })
        }
        ServiceStatus::Draining => false,
        ServiceStatus::Inactive => true,
    });
    services
        && state.all_tasks().all(|task| {
            matches!(task.progress.status, TaskStatus::Running | TaskStatus::Stopped)
                && (task.progress.status == TaskStatus::Stopped
                    || task.progress.desired == model::DesiredStatus::Running)
        })
}

fn create(wanted: &Wanted) -> Command {
    let definition = format!("{}:1", wanted.name);
    let breaker = CircuitBreaker { enable: true, rollback: true, ..CircuitBreaker::default() };
    Command::CreateService(CreateService {
        percents: wanted.percents,
        circuit_breaker: wanted.breaker.then_some(breaker),
        strategy: wanted.strategy.clone(),
        ..fleet::create(&wanted.name, &definition, wanted.count)
    })
}

fn words(change: &Change) -> String {
    match change {
        Change::Update { service, image } => format!("service {service} is updated to {image}"),
        Change::Scale { service, count } => format!("service {service} is scaled to {count}"),
        Change::Delete { service } => format!("service {service} is deleted"),
        Change::Lose { count } => format!(
            "{count} machines are lost, and deregistered {} seconds later",
            LOST_AFTER.as_secs()
        ),
        Change::LoseZone { zone } => format!(
            "all machines of {} are lost, and deregistered {} seconds later",
            zone_name(*zone),
            LOST_AFTER.as_secs()
        ),
        Change::DrainZone { zone } => format!("all instances of {} drain", zone_name(*zone)),
        Change::Drain { count } => format!("{count} instances drain"),
        Change::Add { count } => format!("{count} machines are added"),
        Change::Crash => format!("the server is killed, back in {} s", BACK_AFTER.as_secs()),
        Change::Wait { time } => format!("{} seconds pass", time.as_secs()),
    }
}

/// An event about tasks without their list and with `#` for their number, and that number; any other
/// event as it is.
fn counted(message: &str) -> (String, u32) {
    let whole = (message.to_owned(), 0);
    let Some((head, _)) = message.split_once(": (task ") else { return whole };
    let digits = |c: char| c.is_ascii_digit();
    let words: Vec<&str> = head.split(' ').collect();
    let Some(at) = words.iter().rposition(|word| word.chars().all(digits)) else { return whole };
    let count = words.get(at).and_then(|word| word.parse().ok()).unwrap_or(0);
    let word = |(n, word): (usize, &&str)| if n == at { "#" } else { word }.to_owned();
    let words: Vec<String> = words.iter().enumerate().map(word).collect();
    (format!("{}.", words.join(" ")), count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Machine;

    fn trial(service: &str, changes: &[&str]) -> (Outcome, Vec<String>) {
        let machine = |n: u32| Machine { cpu: 2048, memory: 2048, gpus: 0, zone: n % 3 };
        let trial = Trial {
            machines: (0_u32..4).map(machine).collect(),
            services: vec![service.parse().expect("a service")],
            changes: changes.iter().map(|text| text.parse().expect("a change")).collect(),
            patience: Duration::from_secs(600),
            seed: 7,
        };
        let mut lines = Vec::new();
        (play(&trial, &mut |line| lines.push(line.to_owned())), lines)
    }

    #[test]
    fn a_bad_update_is_rolled_back_and_takes_nothing_down() {
        let bad = "update web image=exit-700-1";
        let (outcome, lines) = trial("web:8:128:128:breaker", &[bad, "lose 1", "crash"]);
        assert!(outcome.settled && outcome.fault.is_none(), "{lines:?}");
        assert!(lines.iter().any(|line| line.ends_with("has started 8 tasks.")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("rolling back to")), "{lines:?}");
        let web = &outcome.services[0];
        assert_eq!((web.desired, web.running, web.instances), (8, 8, 3));
        // Those on the lost machine were away for a moment: one of three zones has two machines.
        assert!(web.lowest.is_some_and(|n| n == 6 || n == 7), "{:?}", web.lowest);
        assert_eq!(trial("web:8:128:128:breaker", &[bad, "lose 1", "crash"]).1, lines);
    }

    #[test]
    fn a_lost_zone_leaves_the_others_with_all_tasks() {
        let (outcome, lines) = trial("web:6:256:256", &["lose zone a", "add 2"]);
        assert!(outcome.settled && outcome.fault.is_none(), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("all machines of zone-a are lost")));
        assert_eq!(outcome.services[0].running, 6);
        let told: Vec<_> = outcome.zones.iter().map(|z| (z.name.as_str(), z.instances.1)).collect();
        assert_eq!(told, [("zone-a", 2), ("zone-b", 1), ("zone-c", 1)]);
        let reserved: u64 = outcome.zones.iter().map(|zone| zone.cpu.0).sum();
        assert_eq!((reserved, outcome.zones[1].cpu.1), (6 * 256, 2048));
    }

    #[test]
    fn what_cannot_go_on_says_why() {
        let (outcome, lines) = trial("edge:4:128:128:host-port=80", &["update edge"]);
        assert!(!outcome.settled);
        assert!(outcome.services[0].state.contains("RESOURCE:PORTS"), "{:?}", outcome.services);
        assert!(lines.iter().any(|line| line.contains("was unable to place a task")));
    }
}
