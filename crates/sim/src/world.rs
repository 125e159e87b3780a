//! The whole cluster in one value, in one thread, under virtual time. Everything follows from its seed
//! and from what is done to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aws::agent::acs::{AgentMessage, ServerMessage};
use model::{Change, InstanceKey, Realm, ServiceKey, State, TaskId, TaskKey};
use scheduler::{Command, Reply};
use stdx::{SeededEntropy, Timestamp};
use store::disk::Disk;
use store::{MemoryEngine, SubmitError};

use crate::agenda::Agenda;
use crate::around::Outside;
use crate::checks::Forgery;
use crate::fleet::Machine;
use crate::node::{Node, NodeEvent, Told};
use crate::server::{Server, Storage};
use crate::step::Step;

/// How messages fare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Of a hundred calls, so many never arrive.
    pub lost: u64,
    /// So many are answered, and the answer is lost.
    pub unanswered: u64,
    /// So many arrive a second time, later.
    pub twice: u64,
    /// So many take seconds, and others overtake them.
    pub late: u64,
}

/// Who calls, and for what.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A node, to join.
    Register(usize),
    /// A node, of a task, to tell so much.
    Report(usize, String, Told),
    /// A node, of a task that never began there.
    LastWord(usize, String),
    /// A node, of a task's health.
    Health(usize, String, model::HealthStatus),
    /// Nobody who wants an answer.
    Nobody,
    /// A user, with the number of the step.
    User(usize),
    /// A user who insists until there is an answer.
    Insisting(usize, u32),
}

/// Something to come.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A call reaches the server.
    Arrives(u64, Arc<Command>),
    /// Its answer reaches who called.
    Answered(u64, Result<Reply, Refusal>),
    /// Nobody waits for its answer any longer.
    TimesOut(u64),
    /// A node asks for a session.
    Connects(usize, u64),
    /// A frame reaches an agent.
    ToAgent(usize, u64, Arc<ServerMessage>),
    /// A frame reaches the server.
    ToServer(usize, u64, AgentMessage),
    /// An agent learns that its session is over.
    AgentHears(usize, u64),
    /// The server learns that a session is over.
    ServerHears(usize, u64),
    /// The writer takes what waits. With the life of the server.
    Round(u64),
    /// The disk writes the round that is sealed.
    Writes(u64),
    /// The server hears what became of it: why it failed, if it did.
    Written(u64, Result<(), String>),
    /// The planning loop looks, unless it was told otherwise since.
    Look(u64, u64),
    /// The server starts.
    Starts,
    /// On a node.
    OnNode(usize, NodeEvent),
    /// A node tries again what it has to tell.
    Tell(usize, String),
    /// A node tries to join or to connect, if it is not.
    Join(usize),
    /// A node's agent starts, and its machine.
    Wakes(usize),
    /// A step of the script.
    Step(usize),
    /// Something around the scheduler, in a life of the server.
    Around(u64, crate::around::Deed),
    /// That an agent is away is to be recorded, in a life of the server.
    Goodbye(u64, InstanceKey),
    /// The second of two agents with one identity is found out.
    Exposed(usize),
}

/// Why a call has no effect.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// The decision refused it.
    Rejected(String),
    /// Try again: the server is away or could not write.
    Away,
}

/// The cluster.
#[derive(Debug)]
pub struct World {
    pub(crate) realm: Realm,
    pub(crate) agenda: Agenda<Happening>,
    /// By so many milliseconds the server's clock is wrong.
    pub(crate) skew: i64,
    pub(crate) chance: SeededEntropy,
    pub(crate) seed: u64,
    pub(crate) weather: Weather,
    pub(crate) storage: Storage,
    pub(crate) server: Option<Server>,
    /// How often the server has started.
    pub(crate) life: u64,
    /// What was published last, and what was being written when the power went.
    pub(crate) published: Arc<State>,
    pub(crate) under_way: Option<Arc<State>>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) calls: BTreeMap<u64, Caller>,
    pub(crate) number: u64,
    pub(crate) steps: Vec<Step>,
    /// Users' calls that are to be answered in the end: what they ask.
    pub(crate) insisting: BTreeMap<usize, Arc<Command>>,
    /// Who started which tasks on their own; those that are over are forgotten by the server in time.
    pub(crate) made: BTreeMap<String, BTreeSet<TaskId>>,
    /// Which node each task has begun on, and how often.
    pub(crate) begun: BTreeMap<TaskKey, (usize, u32)>,
    pub(crate) fault: Option<String>,
    pub(crate) trace: Option<VecDeque<String>>,
    /// So long agents remember what is over.
    pub(crate) remembers: Duration,
    pub(crate) commands: u64,
    pub(crate) restarts: u64,
    /// For a trial: what services say, what is refused, and how they fare.
    pub(crate) listening: bool,
    pub(crate) heard: Vec<(Timestamp, String)>,
    pub(crate) refused: Vec<String>,
    pub(crate) lowest: BTreeMap<ServiceKey, usize>,
    pub(crate) started: BTreeMap<ServiceKey, u64>,
    /// What is broken on purpose.
    pub(crate) mutation: Option<Mutation>,
    /// Whether there is anything around the scheduler, and how it fares.
    pub(crate) surrounded: bool,
    pub(crate) outside: Outside,
    /// What was met, and how often.
    pub(crate) met: BTreeMap<&'static str, u64>,
}

/// Something that is broken on purpose, so that the checks can be seen to bite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Agents forget at once what is over, and take an old order for a new one.
    ForgetfulAgents,
    /// Agents never tell the end of a task.
    MuteAgents,
    /// The disk answers that it has written what it has not.
    LyingDisk,
    /// Users who insist do so without a client token.
    NoTokens,
    /// The server forgets to tell agents what to do, sessions that begin included.
    SilentServer,
    /// The balancer never tells what it sees.
    BlindBalancer,
    /// Nobody starts or ends the nodes that the state asks for.
    IdleProvider,
    /// The checks are shown decisions that were made worse.
    Forged(Forgery),
}

/// The last so many lines of a trace are kept.
const TRACE: usize = 120;
/// More commands than any history takes that comes to an end.
const MOST: u64 = 20_000;
/// When every history begins.
const BEGINNING: Timestamp = Timestamp::from_millis(1_750_000_000_000);

impl World {
    /// A cluster without instances, whose server is about to start.
    pub fn new(seed: u64, on_disk: bool) -> Self {
        let realm = Realm::new("us-east-1", "000000000000");
        let storage = if on_disk {
            Storage::Disk(Disk::with_power_for(u64::MAX))
        } else {
            Storage::Memory(MemoryEngine::default())
        };
        let mut world = Self {
            published: Arc::new(State::new(realm.clone())),
            realm,
            agenda: Agenda::new(BEGINNING),
            skew: 0,
            chance: SeededEntropy::new(seed ^ 0x5eed_0000),
            seed,
            weather: Weather::default(),
            storage,
            server: None,
            life: 0,
            under_way: None,
            nodes: Vec::new(),
            calls: BTreeMap::new(),
            number: 0,
            steps: Vec::new(),
            insisting: BTreeMap::new(),
            made: BTreeMap::new(),
            begun: BTreeMap::new(),
            fault: None,
            trace: None,
            remembers: Duration::from_secs(180),
            commands: 0,
            restarts: 0,
            listening: false,
            heard: Vec::new(),
            refused: Vec::new(),
            lowest: BTreeMap::new(),
            started: BTreeMap::new(),
            mutation: None,
            surrounded: false,
            outside: Outside::default(),
            met: BTreeMap::new(),
        };
        world.agenda.after(Duration::ZERO, Happening::Starts);
        world
    }

    /// Keeps what services say and how they fare from now on.
    pub(crate) fn listen(&mut self) {
        self.listening = true;
    }

    /// Hears what a durable round says of services.
    pub(crate) fn hear(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::PutTask(facts) = change
                && let Some(by) = &facts.started_by
                && facts.service.is_none()
            {
                self.made.entry(by.to_string()).or_default().insert(facts.key.task.clone());
            }
        }
        if !self.listening {
            return;
        }
        let (now, state) = (self.agenda.now(), Arc::clone(&self.published));
        for change in changes {
            match change {
                Change::PutEvent(_, event) => self.heard.push((now, event.message.clone())),
                Change::PutTask(facts) => {
                    if let Some(service) = facts.service_key() {
                        *self.started.entry(service).or_default() += 1;
                    }
                }
                Change::PutProgress(key, _) => {
                    let service = state.task(key).and_then(|t| t.facts.service_key());
                    let Some(service) = service.and_then(|key| state.service(&key)) else {
                        continue;
                    };
                    let healthy = crate::checks::healthy(&state, service);
                    // Counted from the moment at which it first had what it wanted.
                    if let Some(lowest) = self.lowest.get_mut(&service.key) {
                        *lowest = healthy.min(*lowest);
                    } else if healthy >= service.desired_count as usize {
                        self.lowest.insert(service.key.clone(), healthy);
                    }
                }
                _ => {}
            }
        }
    }

    /// Keeps the last lines of what happens from now on.
    pub fn watch(&mut self) {
        self.trace = Some(VecDeque::new());
    }

    /// What was kept of what happened, oldest first.
    pub fn seen(&self) -> impl Iterator<Item = &str> {
        self.trace.iter().flatten().map(String::as_str)
    }

    /// What is wrong, if something is.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// The state as everybody sees it.
    pub fn state(&self) -> &State {
        &self.published
    }

    /// Virtual time, by a clock that nobody sets.
    pub fn now(&self) -> Timestamp {
        self.agenda.now()
    }

    /// How many commands were decided, and how often the server started.
    pub fn tally(&self) -> (u64, u64) {
        (self.commands, self.restarts)
    }

    /// The time on the clock of the server's machine.
    pub(crate) fn machine_now(&self) -> Timestamp {
        Timestamp::from_millis(self.agenda.now().as_millis() + self.skew)
    }

    /// The time by which the server decides: its machine's clock, but never going back.
    pub(crate) fn server_now(&self) -> Timestamp {
        let read = self.machine_now();
        let Some(server) = &self.server else { return read };
        let mut steady = server.steady.get();
        let now = steady.tell(read);
        server.steady.set(steady);
        now
    }

    /// A machine is switched on: its agent joins.
    pub fn add(&mut self, machine: Machine) -> usize {
        self.nodes.push(Node::new(machine));
        let node = self.nodes.len() - 1;
        self.agenda.after(Duration::from_millis(1), Happening::Join(node));
        node
    }

    /// Lets time pass, with everything that happens in it. Ends early at a fault.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.agenda.now() + duration;
        while self.fault.is_none()
            && let Some(what) = self.agenda.next(end)
        {
            self.take_place(what);
            if self.commands > MOST {
                self.fail(format!("{MOST} commands, and no end: {}", self.busiest()));
            }
        }
        if self.fault.is_none() {
            self.agenda.pass(end);
        }
    }

    /// The services that have had most tasks, with what became of their deployment.
    fn busiest(&self) -> String {
        let state = self.state();
        let tasks = |service: &model::Service| state.tasks_of(&service.key).count();
        let mut all: Vec<_> = state.all_services().map(|s| (tasks(s), s)).collect();
        all.sort_by_key(|(tasks, service)| (std::cmp::Reverse(*tasks), &service.key));
        let told = all.into_iter().take(2).map(|(tasks, service)| {
            let last = state.tasks_of(&service.key).max_by_key(|t| t.facts.created_at);
            let why = last.map(|task| &task.progress);
            format!("{tasks} tasks of {service:?}, the last of them {why:?}")
        });
        told.collect::<Vec<_>>().join("; ")
    }

    fn take_place(&mut self, what: Happening) {
        match what {
            Happening::Arrives(call, command) => self.arrives(call, &command),
            Happening::Answered(call, result) => self.answered(call, result),
            Happening::TimesOut(call) => self.times_out(call),
            Happening::Connects(node, session) => self.connects(node, session),
            Happening::ToAgent(node, session, message) => {
                self.agent_is_told(node, session, &message)
            }
            Happening::ToServer(node, session, message) => {
                self.server_is_told(node, session, message)
            }
            Happening::AgentHears(node, session) => self.agent_hears(node, session),
            Happening::ServerHears(node, session) => self.server_hears(node, session),
            Happening::Round(life) => self.round(life),
            Happening::Writes(life) => self.writes(life),
            Happening::Written(life, written) => self.written(life, written),
            Happening::Look(life, alarm) => self.look(life, alarm),
            Happening::Starts => self.start_server(),
            Happening::OnNode(node, event) => self.on_node(node, event),
            Happening::Tell(node, arn) => self.tell(node, &arn),
            Happening::Join(node) => self.join(node),
            Happening::Wakes(node) => self.wake(node),
            Happening::Step(number) => self.take(number),
            Happening::Around(life, deed) => self.around(life, deed),
            Happening::Exposed(node) => self.exposed(node),
            Happening::Goodbye(life, key) => self.say_goodbye(life, &key),
        }
    }

    /// Something was met that histories are to meet.
    pub(crate) fn meet(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    /// Something is wrong: the history ends here.
    pub(crate) fn fail(&mut self, what: String) {
        self.note(|| format!("FAULT: {what}"));
        self.fault.get_or_insert(what);
    }

    /// Keeps a line of the trace, if one is kept.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.agenda.now();
        if let Some(trace) = &mut self.trace {
            if trace.len() >= TRACE {
                trace.pop_front();
            }
            let millis = now.since(BEGINNING).as_millis();
            trace.push_back(format!("{:>9}.{:03} {}", millis / 1000, millis % 1000, line()));
        }
    }
}

impl Refusal {
    pub(crate) fn of(error: &SubmitError) -> Self {
        match error {
            SubmitError::Rejected(rejection) => Self::Rejected(format!("{rejection:?}")),
            SubmitError::Storage(_) | SubmitError::Closed | SubmitError::Bug(_) => Self::Away,
        }
    }
}
