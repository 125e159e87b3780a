//! A whole cluster in one value: the state, the planning loop and agents that pretend. Time moves
//! only from one happening to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use model::{
    AgentInfo, Change, ContainerStatus, DesiredStatus, HealthStatus, InstanceId, InstanceKey,
    NetworkBinding, Realm, ServiceKey, State, Tags, TargetKey, TaskKey, TaskSpec, TaskStatus,
    VerdictState,
};
use scheduler::{
    Command, ContainerReport, Plan, RegisterInstance, Rejection, Reply, TargetNews, TargetReport,
    TaskReport, decide, plan,
};
use stdx::{Entropy, SeededEntropy, Timestamp};

use crate::build::{self, CLUSTER};
use crate::invariants::Invariants;

/// What a container of an image does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Image {
    /// Runs until it is stopped; its health checks succeed.
    Good,
    /// Ends by itself after so many milliseconds.
    Crashes(u64),
    /// Cannot be pulled.
    Missing,
    /// Runs, and after so many milliseconds its health checks fail.
    Sick(u64),
    /// Runs, and its targets are unhealthy after so many milliseconds.
    Mute(u64),
}

#[derive(Clone, Debug)]
enum Happening {
    Starts(TaskKey),
    Exits(TaskKey, i32),
    Verdict(TaskKey, HealthStatus),
    Target(TargetReport),
}

/// The cluster. Everything follows from its seed and from what is done to it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) changes: Vec<Change>,
    pub(crate) invariants: Invariants,
    /// Whether the loop's commands get lost and agents repeat themselves now and then.
    pub(crate) faulty: bool,
    /// Whether what drains never becomes idle by itself.
    pub(crate) busy: bool,
    ids: SeededEntropy,
    chance: SeededEntropy,
    images: BTreeMap<String, Image>,
    agenda: BTreeMap<(Timestamp, u64), Happening>,
    number: u64,
    // What agents have been told of, so that they act once.
    started: BTreeSet<TaskKey>,
    stopping: BTreeSet<TaskKey>,
    // What the balancer has seen of registrations, and of drainings.
    probed: BTreeSet<(TargetKey, Timestamp)>,
    drained: BTreeSet<(TargetKey, Timestamp)>,
    next_port: u16,
}

/// How long starting and stopping a container takes at most, in milliseconds.
const STARTS: u64 = 40;
const STOPS: u64 = 20;
/// How long it is until a balancer has looked at a new target, and until one that drains is idle.
const LOOKS: u64 = 50;
const FINISHES: u64 = 30;

impl World {
    /// A cluster `default` without instances.
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            state: State::new(Realm::new("us-east-1", "000000000000")),
            now: Timestamp::from_millis(1_000_000_000_000),
            changes: Vec::new(),
            invariants: Invariants::default(),
            faulty: false,
            busy: false,
            ids: SeededEntropy::new(seed),
            chance: SeededEntropy::new(seed ^ 0x00c4_a57e),
            images: BTreeMap::new(),
            agenda: BTreeMap::new(),
            number: 0,
            started: BTreeSet::new(),
            stopping: BTreeSet::new(),
            probed: BTreeSet::new(),
            drained: BTreeSet::new(),
            next_port: 32_768,
        };
        let tags = Tags::default();
        world.must(Command::CreateCluster { name: CLUSTER.into(), tags });
        world
    }

    /// Submits a command as the one writer does.
    pub(crate) fn submit(&mut self, command: &Command) -> Result<Reply, Rejection> {
        let before = self.state.clone();
        let outcome = decide(&self.state, command, self.now, &mut self.ids)?;
        for change in &outcome.changes {
            self.state.apply(change);
        }
        self.invariants.check(&before, &self.state, command, &outcome.changes);
        self.changes.extend(outcome.changes);
        Ok(outcome.reply)
    }

    /// Submits a command that is not to be refused.
    pub(crate) fn must(&mut self, command: Command) -> Reply {
        match self.submit(&command) {
            Ok(reply) => reply,
            Err(rejection) => panic!("{command:?} is refused: {rejection:?}"),
        }
    }

    /// A family whose containers behave like this.
    pub(crate) fn define(&mut self, family: &str, spec: TaskSpec, image: Image) -> String {
        self.images.insert(spec.containers[0].image.clone(), image);
        let reply = self.must(Command::RegisterDefinition {
            family: family.into(),
            document: build::document(),
            spec,
            tags: Tags::default(),
            by: "test".to_owned(),
        });
        match reply {
            Reply::Definition(key) => key.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// An instance joins, connected.
    pub(crate) fn join(&mut self, id: &str, cpu: u32, memory: u32) -> InstanceKey {
        let zone = format!("zone-{}", id.bytes().map(u32::from).sum::<u32>() % 2);
        self.must(Command::RegisterInstance(RegisterInstance {
            cluster: CLUSTER.into(),
            known_as: Some(InstanceId::from(id)),
            ec2_instance_id: None,
            address: None,
            resources: build::resources(cpu, memory),
            attributes: vec![model::Attribute {
                name: "ecs.availability-zone".to_owned(),
                value: Some(zone),
            }],
            tags: Tags::default(),
        }));
        let key = InstanceKey { cluster: CLUSTER.into(), instance: id.into() };
        self.connect(&key, true);
        key
    }

    pub(crate) fn connect(&mut self, key: &InstanceKey, connected: bool) {
        let agent = AgentInfo { connected, ..AgentInfo::default() };
        self.must(Command::AgentSession { key: key.clone(), agent });
    }

    /// A task's container is killed behind its agent's back.
    pub(crate) fn kill(&mut self, key: &TaskKey) {
        self.happen(0, Happening::Exits(key.clone(), 137));
    }

    fn happen(&mut self, after: u64, what: Happening) {
        self.number += 1;
        self.agenda.insert((self.now + Duration::from_millis(after), self.number), what);
    }

    /// Plans and submits until the plan is empty; what is left is when to look again.
    pub(crate) fn settle(&mut self) -> Plan {
        for round in 0..2_000_u64 {
            self.tell_agents();
            self.tell_balancer();
            let seed = self.ids.next_u64();
            let todo = plan(&self.state, self.now, seed);
            assert_eq!(todo, plan(&self.state, self.now, seed), "a plan is a pure function");
            if todo.commands.is_empty() {
                return todo;
            }
            let mut done = 0;
            for command in &todo.commands {
                if self.faulty && self.chance.below(8) == 0 {
                    done += 1;
                    continue;
                }
                match self.submit(command) {
                    Ok(_) => done += 1,
                    Err(Rejection::Stale) => {}
                    Err(other) => panic!("planned {command:?} is refused: {other:?}"),
                }
            }
            assert!(done > 0, "round {round}: nothing of the plan was done: {:?}", todo.commands);
        }
        panic!("the plan never ends");
    }

    /// Lets time pass: everything that happens in it, with the loop awake all along.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let wake_at = self.settle().wake_at;
            let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let next = next.into_iter().chain(wake_at).min().filter(|at| *at <= end);
            let Some(next) = next else { break };
            assert!(next >= self.now, "time goes on");
            self.now = next;
            while let Some(entry) = self.agenda.first_entry()
                && entry.key().0 <= self.now
            {
                let what = entry.remove();
                self.take_place(what);
            }
        }
        self.now = end;
        self.settle();
    }

    /// Agents see what they are to do.
    fn tell_agents(&mut self) {
        let mut todo = Vec::new();
        for task in self.state.all_tasks().filter(|t| t.holds_resources()) {
            let connected = self.state.instance_of(&task.facts);
            if connected.is_none_or(|i| !i.agent.connected) {
                continue;
            }
            let key = task.facts.key.clone();
            if task.progress.desired == DesiredStatus::Stopped {
                if task.progress.status != TaskStatus::Deactivating
                    && self.stopping.insert(key.clone())
                {
                    todo.push((STOPS, Happening::Exits(key, 0)));
                }
            } else if self.started.insert(key.clone()) {
                todo.push((STARTS, Happening::Starts(key)));
            }
        }
        for (most, what) in todo {
            let after = 1 + self.chance.below(most);
            self.happen(after, what);
        }
    }

    /// The balancer looks at new targets, and tells of those that drain when they are idle.
    fn tell_balancer(&mut self) {
        let mut todo = Vec::new();
        for target in self.state.balancing().all_targets() {
            let tell = |news| {
                Happening::Target(TargetReport {
                    key: target.key.clone(),
                    registered_at: target.registered_at,
                    news,
                })
            };
            let seen = (target.key.clone(), target.registered_at);
            if self.probed.insert(seen) {
                todo.push((LOOKS, tell(health(VerdictState::Healthy))));
                let image = target.task.as_ref().and_then(|task| self.image_of(task));
                if let Some(Image::Mute(after)) = image {
                    todo.push((LOOKS + after, tell(health(VerdictState::Unhealthy))));
                }
            }
            if let Some(since) = target.draining_since.filter(|_| !self.busy)
                && self.drained.insert((target.key.clone(), since))
            {
                todo.push((FINISHES, tell(TargetNews::Idle { since })));
            }
        }
        for (after, what) in todo {
            self.happen(after, what);
        }
    }

    /// The balancer begins anew and knows nothing.
    pub(crate) fn begin_balancer(&mut self) {
        self.probed.clear();
        self.drained.clear();
    }

    /// Ports as a node publishes them.
    fn publish(&mut self, key: &TaskKey) -> Vec<NetworkBinding> {
        let Some(task) = self.state.task(key) else { return Vec::new() };
        let Some(definition) = self.state.definition(&task.facts.definition) else {
            return Vec::new();
        };
        let bind = |mapping: &model::PortMapping| {
            self.next_port = self.next_port.checked_add(1).unwrap_or(32_768);
            NetworkBinding {
                bind_ip: Ipv4Addr::UNSPECIFIED.into(),
                container_port: mapping.container_port,
                host_port: mapping.host_port.unwrap_or(self.next_port),
                more: 0,
                protocol: mapping.protocol,
            }
        };
        definition.spec.containers[0].ports.iter().map(bind).collect()
    }

    /// A change that no command makes here.
    pub(crate) fn apply(&mut self, change: Change) {
        self.state.apply(&change);
        self.changes.push(change);
    }

    /// The balancer finds this of each target of a task.
    pub(crate) fn judge(&mut self, task: &TaskKey, state: VerdictState) {
        let targets: Vec<_> = self.state.balancing().targets_of(task).cloned().collect();
        for target in targets {
            let (key, registered_at) = (target.key.clone(), target.registered_at);
            let report = TargetReport { key, registered_at, news: health(state) };
            self.must(Command::ReportTargets(vec![report]));
        }
    }

    fn image_of(&self, key: &TaskKey) -> Option<Image> {
        let task = self.state.task(key)?;
        let spec = &self.state.definition(&task.facts.definition)?.spec;
        self.images.get(&spec.containers[0].image).copied()
    }

    fn take_place(&mut self, what: Happening) {
        match what {
            Happening::Starts(key) => self.starts(&key),
            Happening::Exits(key, code) => {
                let report = ContainerReport {
                    status: Some(ContainerStatus::Stopped),
                    exit_code: Some(code),
                    ..empty_container()
                };
                self.report(&key, TaskStatus::Stopped, None, report);
            }
            Happening::Verdict(key, verdict) => {
                let health = vec![("app".into(), verdict)];
                self.must(Command::ReportHealth { key, health });
            }
            Happening::Target(report) => {
                self.must(Command::ReportTargets(vec![report]));
            }
        }
    }

    fn starts(&mut self, key: &TaskKey) {
        let Some(image) = self.image_of(key) else { return };
        if let Image::Missing = image {
            let reason = "CannotPullContainerError: pull image manifest: not found".to_owned();
            let stopped = ContainerReport {
                status: Some(ContainerStatus::Stopped),
                reason: Some(reason.clone()),
                ..empty_container()
            };
            self.report(key, TaskStatus::Stopped, Some(reason), stopped);
            return;
        }
        let running = ContainerReport {
            status: Some(ContainerStatus::Running),
            runtime_id: Some(format!("runtime-{}", key.task)),
            bindings: Some(self.publish(key)),
            ..empty_container()
        };
        self.report(key, TaskStatus::Running, None, running);
        match image {
            Image::Good | Image::Missing | Image::Mute(_) => {
                self.happen(5, Happening::Verdict(key.clone(), HealthStatus::Healthy));
            }
            Image::Crashes(after) => self.happen(after, Happening::Exits(key.clone(), 1)),
            Image::Sick(after) => {
                self.happen(after, Happening::Verdict(key.clone(), HealthStatus::Unhealthy));
            }
        }
    }

    fn report(
        &mut self,
        key: &TaskKey,
        status: TaskStatus,
        reason: Option<String>,
        container: ContainerReport,
    ) {
        let report = Command::ReportTask(TaskReport {
            key: key.clone(),
            status: Some(status),
            reason,
            containers: vec![container],
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
        });
        self.must(report.clone());
        if self.faulty && self.chance.below(4) == 0 {
            let before = self.state.clone();
            self.must(report);
            assert!(self.state == before, "a repeated report changes nothing");
        }
    }

    /// The keys of a service's tasks that are not over.
    pub(crate) fn live(&self, service: &ServiceKey) -> Vec<TaskKey> {
        let live = self.state.tasks_of(service).filter(|t| t.holds_resources());
        live.map(|t| t.facts.key.clone()).collect()
    }

    /// Its events as a script: oldest first, with ids told by the order of their coming.
    pub(crate) fn events(&self, service: &ServiceKey) -> Vec<String> {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let mut events: Vec<_> = self.state.events(service).collect();
        events.reverse();
        events.iter().map(|event| rename(&event.message, &mut names)).collect()
    }
}

/// `(task 3f…)` becomes `(task a)`, `ecs-svc/48…` becomes `ecs-svc/1`.
fn rename(message: &str, names: &mut BTreeMap<String, String>) -> String {
    let words = message.split(' ').map(|word| {
        let core: &str = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let (digits, prefix) = match core.strip_prefix("ecs-svc/") {
            Some(digits) => (digits, "ecs-svc/"),
            None => (core, ""),
        };
        let id = (prefix.is_empty() && digits.len() == 32) || digits.len() == 19;
        if !id || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return word.to_owned();
        }
        let same = names.keys().filter(|k| k.starts_with("ecs-svc/") != prefix.is_empty()).count();
        let fresh = if prefix.is_empty() {
            char::from(b'a' + u8::try_from(same % 26).unwrap_or(0)).to_string()
        } else {
            format!("ecs-svc/{}", same + 1)
        };
        let name = names.entry(core.to_owned()).or_insert(fresh);
        word.replace(core, name)
    });
    words.collect::<Vec<_>>().join(" ")
}

pub(crate) fn health(state: VerdictState) -> TargetNews {
    let bad = state == VerdictState::Unhealthy;
    TargetNews::Health {
        state,
        reason: bad.then_some(model::VerdictReason::ResponseCodeMismatch),
        description: bad.then(|| "Health checks failed with these codes: [502]".to_owned()),
    }
}

fn empty_container() -> ContainerReport {
    ContainerReport {
        name: "app".into(),
        status: None,
        runtime_id: None,
        image_digest: None,
        exit_code: None,
        reason: None,
        bindings: None,
    }
}
