//! What stands around the scheduler: load balancers that look at their targets, web servers that hooks
//! ask, alarms, whoever starts nodes, and the calendar of the event bus. Each does what its loop does
//! for a real server: it begins from the published state, and what it remembers is gone with the
//! process.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{
    BusChange, Change, HookAction, HookId, NodeHealth, NodeId, NodeState, ServiceDeploymentKey,
    State, Target, TargetKey, TaskKey, VerdictReason, VerdictState,
};
use scheduler::capacity::NodeReport;
use scheduler::{
    CapacityCommand, Command, DeploymentCommand, HookAnswer, RunTask, TargetNews, TargetReport,
};
use stdx::{Entropy, Timestamp};

use crate::Image;
use crate::asks::JOB;
use crate::fleet::{Machine, run};
use crate::node::Node;
use crate::serve::works;
use crate::server::Origin;
use crate::world::{Happening, Mutation, World};

/// The one alarm that deployments watch.
pub(crate) const ALARM: &str = "errors";
/// How often alarms are looked at, how often nodes, and how often anything.
const ALARMS: Duration = Duration::from_secs(1);
const NODES: Duration = Duration::from_secs(5);
const LOOKS: Duration = Duration::from_secs(60);
/// A node that was not there so many times in a row is gone.
const MISSES: u32 = 2;
/// A web server that does not answer is given up after this.
const HANGS: Duration = Duration::from_secs(15 * 60);

/// How the web servers of hooks answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// Yes.
    #[default]
    Willing,
    /// No.
    Unwilling,
    /// Ask again.
    Undecided,
    /// They cannot be reached.
    Away,
    /// They take the question and say nothing.
    Silent,
}

/// What is outside of the server and outlives it.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) mood: Mood,
    /// The alarm is in alarm.
    pub(crate) alarm: bool,
    /// What drains never becomes idle by itself.
    pub(crate) busy: bool,
    /// No node can be started until then.
    pub(crate) barren_until: Option<Timestamp>,
    /// Some nodes that are started never join.
    pub(crate) duds: bool,
    /// The machines of nodes.
    pub(crate) machines: BTreeMap<NodeId, usize>,
    /// Tasks whose targets fail for a reason of their own.
    pub(crate) sick: BTreeSet<TaskKey>,
    /// Somebody lets deployments go on that wait for an answer.
    pub(crate) attentive: bool,
    /// What the calendar has brought, and been taken up.
    pub(crate) fired: BTreeSet<Timestamp>,
}

/// What the server's loops remember as long as it runs.
#[derive(Debug, Default)]
pub(crate) struct Loops {
    probed: BTreeSet<(TargetKey, Timestamp)>,
    drained: BTreeSet<(TargetKey, Timestamp)>,
    asked: BTreeSet<HookId>,
    busy: BTreeSet<NodeId>,
    started: BTreeSet<NodeId>,
    missed: BTreeMap<NodeId, u32>,
    /// Tells apart wake-ups that count from those that were overtaken.
    alarm: u64,
    /// It has looked at nodes then.
    looked: Option<Timestamp>,
}

/// Something that one of them does.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Everything is looked at.
    Look(u64),
    /// A target was seen.
    Sees(TargetReport),
    /// A hook's web server answered.
    Answers(ServiceDeploymentKey, HookId, HookAnswer),
    /// A node was started, or not.
    Started(NodeId),
    /// A node was ended.
    Ended(NodeId),
}

impl World {
    /// Looks at everything and does what is due, as each loop does when something was published.
    pub(crate) fn look_around(&mut self) {
        if !self.surrounded || !works(self.server.as_ref()) {
            return;
        }
        let state = self.published.clone();
        let next = [
            self.look_at_targets(&state),
            self.look_at_hooks(&state),
            self.look_at_alarms(&state),
            self.look_at_nodes(&state),
            self.look_at_calendar(&state),
        ];
        let wait = next.into_iter().flatten().min().unwrap_or(LOOKS).min(LOOKS);
        let Some(server) = &mut self.server else { return };
        server.loops.alarm += 1;
        let look = Deed::Look(server.loops.alarm);
        self.agenda.after(wait, Happening::Around(self.life, look));
    }

    /// Something that was under way is done.
    pub(crate) fn around(&mut self, life: u64, deed: Deed) {
        if self.life != life || !works(self.server.as_ref()) {
            return;
        }
        match deed {
            Deed::Look(alarm) => {
                if self.server.as_ref().is_some_and(|server| server.loops.alarm == alarm) {
                    self.look_around();
                }
            }
            Deed::Sees(report) => self.report(Command::ReportTargets(vec![report])),
            Deed::Answers(key, hook, answer) => {
                if let Some(server) = &mut self.server {
                    server.loops.asked.remove(&hook);
                }
                self.report(Command::Deployment(DeploymentCommand::Answer { key, hook, answer }));
            }
            Deed::Started(id) => self.node_started(id),
            Deed::Ended(id) => {
                if let Some(server) = &mut self.server {
                    server.loops.busy.remove(&id);
                }
                if let Some(machine) = self.outside.machines.get(&id) {
                    self.lose(*machine);
                }
                self.meet("node ended");
                self.report(Command::Capacity(CapacityCommand::ReportNode(id, NodeReport::Gone)));
            }
        }
    }

    fn report(&mut self, command: Command) {
        self.submit(Origin::Around, command);
    }

    /// What one of them told was not written: all of them begin anew, as each tries again.
    pub(crate) fn begin_around(&mut self) {
        if let Some(server) = &mut self.server {
            let alarm = server.loops.alarm + 1;
            server.loops = Loops { alarm, ..Loops::default() };
            let look = Happening::Around(self.life, Deed::Look(alarm));
            self.agenda.after(Duration::from_secs(1), look);
        }
    }

    fn soon(&mut self, least: u64, more: u64, deed: Deed) {
        let after = Duration::from_millis(least + self.chance.below(more));
        self.agenda.after(after, Happening::Around(self.life, deed));
    }

    // === Load balancers ===

    fn look_at_targets(&mut self, state: &State) -> Option<Duration> {
        if self.mutation == Some(Mutation::BlindBalancer) {
            return None;
        }
        let mut todo = Vec::new();
        let server = self.server.as_mut()?;
        for target in state.balancing().all_targets() {
            let seen = (target.key.clone(), target.registered_at);
            if server.loops.probed.insert(seen) {
                let sick = target.task.as_ref().is_some_and(|t| self.outside.sick.contains(t));
                let first = if sick { VerdictState::Unhealthy } else { VerdictState::Healthy };
                todo.push((20, 200, told(target, verdict(first))));
                if let Some(after) = target.task.as_ref().and_then(|task| mute_after(state, task)) {
                    let after = u64::try_from(after.as_millis()).unwrap_or(0) + 250;
                    todo.push((after, 1, told(target, verdict(VerdictState::Unhealthy))));
                }
            }
            if let Some(since) = target.draining_since.filter(|_| !self.outside.busy)
                && server.loops.drained.insert((target.key.clone(), since))
            {
                todo.push((5, 3_000, told(target, TargetNews::Idle { since })));
            }
        }
        for (least, more, report) in todo {
            self.soon(least, more, Deed::Sees(report));
        }
        None
    }

    /// The balancer finds this of each target of a task from now on.
    pub(crate) fn judge_targets(&mut self, task: &TaskKey, healthy: bool) -> bool {
        let state = self.published.clone();
        let targets: Vec<_> = state.balancing().targets_of(task).cloned().collect();
        if healthy {
            self.outside.sick.remove(task);
        } else {
            self.outside.sick.insert(task.clone());
        }
        let found = if healthy { VerdictState::Healthy } else { VerdictState::Unhealthy };
        for target in &targets {
            self.soon(1, 100, Deed::Sees(told(target, verdict(found))));
        }
        !targets.is_empty()
    }

    // === Hooks and alarms ===

    fn look_at_hooks(&mut self, state: &State) -> Option<Duration> {
        let now = self.server_now();
        let open = state.deployments().open().filter(|_| self.outside.attentive);
        let keys: Vec<_> = open.map(|record| record.key.clone()).collect();
        for key in keys {
            if let Some(command) = self.go_on(key, HookAction::Continue) {
                self.report(command);
            }
        }
        let (due, next) = scheduler::hook_calls(state, now);
        for call in due {
            let server = self.server.as_mut()?;
            if !server.loops.asked.insert(call.hook.clone()) {
                continue;
            }
            let (answer, after) = match self.outside.mood {
                Mood::Willing => (HookAnswer::Succeeded, 5),
                Mood::Unwilling => (HookAnswer::Failed("FAILED".to_owned()), 5),
                Mood::Undecided => {
                    let delay = Some(Duration::from_secs(1 + self.chance.below(40)));
                    (HookAnswer::InProgress { delay, details: None }, 5)
                }
                Mood::Away => (HookAnswer::Unreachable("connection refused".to_owned()), 5),
                Mood::Silent => {
                    let hangs = u64::try_from(HANGS.as_millis()).unwrap_or(0);
                    (HookAnswer::Unreachable("it did not answer in time".to_owned()), hangs)
                }
            };
            self.meet(match self.outside.mood {
                Mood::Willing => "hook succeeds",
                Mood::Unwilling => "hook fails",
                Mood::Undecided => "hook asks for time",
                Mood::Away => "hook unreachable",
                Mood::Silent => "hook hangs",
            });
            self.soon(after, 500, Deed::Answers(call.deployment, call.hook, answer));
        }
        next.map(|at| at.since(now))
    }

    fn look_at_alarms(&mut self, state: &State) -> Option<Duration> {
        let watched = scheduler::watched_alarms(state);
        let quiet = watched.is_empty();
        for (record, _) in watched {
            let in_alarm: Vec<String> =
                self.outside.alarm.then(|| ALARM.to_owned()).into_iter().collect();
            let news = match &record.ignored {
                None => true,
                Some(ignored) => in_alarm.iter().any(|name| !ignored.contains(name)),
            };
            if news {
                if !in_alarm.is_empty() {
                    self.meet("alarm during a deployment");
                }
                let (key, notice) = (record.key.clone(), Duration::from_secs(60));
                self.report(Command::Deployment(DeploymentCommand::Alarms {
                    key,
                    in_alarm,
                    notice,
                }));
            }
        }
        (!quiet).then_some(ALARMS)
    }

    // === Nodes ===

    fn look_at_nodes(&mut self, state: &State) -> Option<Duration> {
        state.capacity().groups().next()?;
        let mut todo = Vec::new();
        let server = self.server.as_mut()?;
        let loops = &mut server.loops;
        for node in state.capacity().all_nodes().filter(|node| !loops.busy.contains(&node.id)) {
            let id = node.id.clone();
            match node.state {
                NodeState::Pending if !loops.started.contains(&id) => {
                    todo.push((100, 3_000, Deed::Started(id)));
                }
                NodeState::Terminating => todo.push((100, 2_000, Deed::Ended(id))),
                _ => {}
            }
        }
        for (_, _, deed) in &todo {
            if let Deed::Started(id) | Deed::Ended(id) = deed {
                loops.busy.insert(id.clone());
            }
        }
        if self.mutation == Some(Mutation::IdleProvider) {
            todo.clear();
        }
        for (least, more, deed) in todo {
            self.soon(least, more, deed);
        }
        let now = self.agenda.now();
        let due = self.server.as_ref()?.loops.looked.is_none_or(|at| now.since(at) >= NODES);
        if due {
            self.miss_nodes(state);
        }
        Some(NODES)
    }

    /// Whether the nodes that should be there are.
    fn miss_nodes(&mut self, state: &State) {
        let now = self.agenda.now();
        let mut gone = Vec::new();
        let Some(server) = &mut self.server else { return };
        let loops = &mut server.loops;
        loops.looked = Some(now);
        for node in state.capacity().all_nodes() {
            let due = node.state > NodeState::Pending || loops.started.contains(&node.id);
            let machine = self.outside.machines.get(&node.id).and_then(|n| self.nodes.get(*n));
            let there = machine.is_some_and(|machine| !machine.gone);
            if there || !due || loops.busy.contains(&node.id) {
                loops.missed.remove(&node.id);
                continue;
            }
            let missed = loops.missed.entry(node.id.clone()).or_default();
            *missed += 1;
            if *missed >= MISSES {
                gone.push(node.id.clone());
            }
        }
        for id in gone {
            self.meet("node found gone");
            self.report(Command::Capacity(CapacityCommand::ReportNode(id, NodeReport::Gone)));
        }
    }

    fn node_started(&mut self, id: NodeId) {
        let now = self.agenda.now();
        let node = self.published.capacity().node(&id).cloned();
        let Some(server) = &mut self.server else { return };
        server.loops.busy.remove(&id);
        if self.outside.barren_until.is_some_and(|until| until > now) {
            self.meet("node fails to start");
            let why = NodeReport::Failed("no machine is free".to_owned());
            return self.report(Command::Capacity(CapacityCommand::ReportNode(id, why)));
        }
        server.loops.started.insert(id.clone());
        let Some(node) = node else { return };
        if self.outside.machines.contains_key(&id) {
            return;
        }
        let zone = u32::from(node.zone.ends_with('b'));
        let machine = Machine { cpu: 1024, memory: 1024, gpus: 2, zone };
        let mut there = Node::new(machine);
        there.ec2 = Some(id.to_string());
        self.nodes.push(there);
        let number = self.nodes.len() - 1;
        self.outside.machines.insert(id, number);
        if self.outside.duds && self.chance.below(6) == 0 {
            self.meet("node never joins");
            return;
        }
        self.meet("node started");
        let boots = Duration::from_millis(200 + self.chance.below(20_000));
        self.agenda.after(boots, Happening::Join(number));
    }

    // === The calendar ===

    fn look_at_calendar(&mut self, state: &State) -> Option<Duration> {
        let now = self.server_now();
        let mut next = None;
        for rule in state.bus().rules() {
            let Some(at) = scheduler::bus::due(rule, now) else { continue };
            if at <= now {
                let fire = scheduler::BusCommand::Fire(rule.name.clone());
                self.report(Command::Bus(fire));
            } else {
                let wait = at.since(now);
                next = Some(next.map_or(wait, |before: Duration| before.min(wait)));
            }
        }
        next
    }

    /// What was published says that a rule has fired: its target is called until it answers.
    pub(crate) fn rules_fired(&mut self, changes: &[Change]) {
        for change in changes {
            let Change::Bus(BusChange::PutRule(rule)) = change else { continue };
            let Some(at) = rule.schedule.as_ref().and_then(|schedule| schedule.fired) else {
                continue;
            };
            if !self.outside.fired.insert(at) {
                continue;
            }
            self.meet("scheduled task");
            let number = Self::SCHEDULED + self.outside.fired.len();
            let task = Command::RunTask(RunTask {
                started_by: Some(scheduled_by(at)),
                client_token: Some((format!("fired-{at}"), 1)),
                ..run(JOB, 1)
            });
            self.insist(number, 0, task.into());
        }
    }

    /// Callers of this number and beyond are the bus.
    pub(crate) const SCHEDULED: usize = 1_000_000;

    /// At the end all is well around: what was broken is whole.
    pub(crate) fn calm_around(&mut self) {
        self.outside.mood = Mood::Willing;
        self.outside.alarm = false;
        self.outside.busy = false;
        self.outside.barren_until = None;
        self.outside.duds = false;
        self.outside.attentive = true;
        self.outside.sick.clear();
        self.begin_around();
    }
}

/// By whom the bus's task of an instant was started.
pub(crate) fn scheduled_by(at: Timestamp) -> String {
    format!("events-rule/{}", at.as_millis())
}

fn told(target: &Target, news: TargetNews) -> TargetReport {
    TargetReport { key: target.key.clone(), registered_at: target.registered_at, news }
}

fn verdict(state: VerdictState) -> TargetNews {
    let bad = state == VerdictState::Unhealthy;
    TargetNews::Health {
        state,
        reason: bad.then_some(VerdictReason::ResponseCodeMismatch),
        description: bad.then(|| "Health checks failed with these codes: [502]".to_owned()),
    }
}

/// After which time a task's targets fail, if its image says so.
fn mute_after(state: &State, task: &TaskKey) -> Option<Duration> {
    let task = state.task(task)?;
    let container = state.definition(&task.facts.definition)?.spec.containers.first()?;
    match Image::of(&container.image) {
        Image::Mute(after) => Some(after),
        _ => None,
    }
}

/// A node as a user finds it unwell.
pub(crate) fn unwell(node: NodeId) -> Command {
    let (health, respect_grace) = (NodeHealth::Unhealthy, false);
    Command::Capacity(CapacityCommand::SetHealth { node, health, respect_grace })
}
