//! The server at work: rounds of the writer, the planning loop, sessions, and its end.

use std::sync::Arc;
use std::time::Duration;

use aws::agent::acs::{AgentMessage, ServerMessage};
use control::{Dialogue, Moment, Nudge, concerns};
use model::{AgentInfo, Change, InstanceKey, State};
use scheduler::{Command, Rejection};
use stdx::{Entropy, Timestamp};
use store::SubmitError;

use crate::server::{NoRoles, Origin, Server, Session, Storage};
use crate::step::small;
use crate::world::{Happening, Mutation, Refusal, World};
use crate::writer::Decided;

/// The planning loop's own times, as `control` has them.
const TICK: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// So many plans in a row that change nothing are a loop.
const FRUITLESS: u32 = 200;

impl World {
    /// The server starts, or tries to.
    pub(crate) fn start_server(&mut self) {
        if self.server.is_some() {
            return;
        }
        self.life += 1;
        self.restarts += 1;
        let seed = self.seed.wrapping_mul(31).wrapping_add(self.life);
        let now = self.machine_now();
        let server = match self.storage.open(self.realm.clone(), seed, now) {
            Ok(server) => server,
            Err(_) if !self.storage.has_power() => {
                self.note(|| "the power goes while the server starts".to_owned());
                self.restore_power();
                return self.agenda.after(Duration::from_secs(1), Happening::Starts);
            }
            Err(error) => {
                return self.fail(format!("the server does not start: {}", stdx::chain(&error)));
            }
        };
        let loaded = server.state();
        let in_flight = self.under_way.take();
        if *loaded == *self.published {
            self.note(|| "the server starts with all that was acknowledged".to_owned());
        } else if in_flight.as_deref() == Some(&*loaded) {
            self.note(|| "the server starts with the round that was under way".to_owned());
        } else {
            return self.fail("what was acknowledged is not what was loaded".to_owned());
        }
        self.published = loaded;
        self.server = Some(server);
        self.submit(Origin::Nobody, Command::DisconnectAll);
    }

    /// The power is back, and some of what the disk had not written is lost.
    pub(crate) fn restore_power(&mut self) {
        let percent = [0, 20, 50, 80, 100].get(small::<usize>(&mut self.chance, 5));
        if let Storage::Disk(disk) = &self.storage {
            disk.reboot(percent.copied().unwrap_or(0), u64::MAX, &mut self.chance);
        }
    }

    /// The server ends without a word. Its peers hear of it when they hear of anything.
    pub(crate) fn end_server(&mut self, back_after: Duration) {
        let Some(server) = self.server.take() else { return };
        for session in server.sessions.into_values() {
            let soon = Duration::from_millis(1 + self.chance.below(5_000));
            self.agenda.after(soon, Happening::AgentHears(session.node, session.number));
        }
        self.agenda.after(back_after, Happening::Starts);
    }

    /// Everybody sees what is durable: sessions are told what concerns them, the loop wakes.
    pub(crate) fn publish(&mut self, changes: &[Change]) {
        let Some(server) = &mut self.server else { return };
        let state = server.state();
        self.published = Arc::clone(&state);
        self.hear(changes);
        if changes.is_empty() {
            return;
        }
        let mut nudges: Vec<(InstanceKey, Vec<Nudge>)> = Vec::new();
        for (key, nudge) in changes.iter().filter_map(|change| concerns(&state, change)) {
            match nudges.iter_mut().find(|(known, _)| *known == key) {
                Some((_, some)) => some.push(nudge),
                None => nudges.push((key, vec![nudge])),
            }
        }
        for (key, nudges) in nudges {
            self.nudged(&state, &key, nudges);
        }
        self.rules_fired(changes);
        self.look_around();
        if let Some(server) = &mut self.server {
            server.planning.changed = true;
            if server.ready && server.planning.outstanding == 0 {
                self.alarm(Duration::ZERO);
            }
        }
    }

    /// A session is told what concerns it.
    fn nudged(&mut self, state: &State, key: &InstanceKey, nudges: Vec<Nudge>) {
        let now = self.server_now();
        let Some(server) = &mut self.server else { return };
        let Some(session) = server.sessions.get_mut(key) else { return };
        let revision = server.rounds.revision();
        let moment = Moment { state, revision, mint: &NoRoles, now };
        let mut tasks = Vec::new();
        for nudge in nudges {
            match nudge {
                Nudge::Task(_) | Nudge::Everything if !session.greeted => {}
                Nudge::Task(task) => tasks.extend(session.dialogue.task(moment, &task)),
                Nudge::Everything => tasks.extend(session.dialogue.everything(moment)),
                Nudge::Deregistered | Nudge::Superseded => {
                    let (node, number) = (session.node, session.number);
                    server.sessions.remove(key);
                    self.agenda
                        .after(Duration::from_millis(2), Happening::AgentHears(node, number));
                    return;
                }
                Nudge::Execute(_) => {}
            }
        }
        let said = session.dialogue.payloads(tasks, moment);
        self.say(key, said);
    }

    /// Frames of a session, in their order.
    fn say(&mut self, key: &InstanceKey, said: Vec<ServerMessage>) {
        let now = self.agenda.now();
        let Some(server) = &mut self.server else { return };
        let Some(session) = server.sessions.get_mut(key) else { return };
        for message in said {
            if self.mutation == Some(Mutation::SilentServer)
                && matches!(message, ServerMessage::Payload(_))
            {
                continue;
            }
            let at = now + Duration::from_millis(self.chance.below(4));
            session.last = session.last.max(at);
            let (node, number) = (session.node, session.number);
            let what = Happening::ToAgent(node, number, Arc::new(message));
            self.agenda.at(session.last, what);
        }
        let refused = session.dialogue.refused();
        for report in refused {
            self.submit(Origin::Nobody, Command::ReportTask(report));
        }
    }

    pub(crate) fn answer(&mut self, decided: Vec<Decided>, undone: Option<()>) {
        for (origin, command, result) in decided {
            let result = match undone {
                Some(()) => Err(Refusal::Away),
                None => result.map_err(|error| {
                    let stale = matches!(error, SubmitError::Rejected(Rejection::Stale));
                    if !stale {
                        let note = format!("refused: {error:?}: {command:?}");
                        self.note(|| note.chars().take(300).collect());
                    }
                    Refusal::of(&error)
                }),
            };
            match origin {
                Origin::Call(call) => self.send_answer(call, result),
                Origin::Plan => self.planned(&result),
                Origin::Greeting(key, number) if result.is_ok() => self.greet(&key, number),
                Origin::Greeting(key, number) => self.turn_away(&key, number),
                Origin::Goodbye(key) if matches!(result, Err(Refusal::Away)) => {
                    let again = Happening::Goodbye(self.life, key);
                    self.agenda.after(Duration::from_secs(1), again);
                }
                Origin::Goodbye(_) => {}
                Origin::Around if matches!(result, Err(Refusal::Away)) => self.begin_around(),
                Origin::Around | Origin::Nobody => {}
            }
        }
        if let Some(server) = &mut self.server
            && !server.ready
        {
            server.ready = true;
            self.alarm(Duration::ZERO);
            self.look_around();
        }
    }

    // === The planning loop ===

    /// Sets when the loop looks next.
    fn alarm(&mut self, after: Duration) {
        let Some(server) = &mut self.server else { return };
        server.planning.alarm += 1;
        let alarm = server.planning.alarm;
        self.agenda.after(after, Happening::Look(self.life, alarm));
    }

    /// The loop looks at everything and submits what ought to happen.
    pub(crate) fn look(&mut self, life: u64, alarm: u64) {
        let now = self.server_now();
        let Some(server) = self.server.as_mut().filter(|_| self.life == life) else { return };
        if server.planning.alarm != alarm || server.planning.outstanding > 0 {
            return;
        }
        let seed = server.ids.next_u64();
        let state = server.state();
        let plan = scheduler::plan(&state, now, seed);
        server.planning.changed = false;
        (server.planning.done, server.planning.failed) = (0, 0);
        if plan.commands.is_empty() {
            server.planning.fruitless = 0;
            let wait = plan.wake_at.map_or(TICK, |at| at.since(now).min(TICK));
            return self.alarm(wait);
        }
        server.planning.outstanding = plan.commands.len();
        for command in plan.commands {
            self.submit(Origin::Plan, command);
        }
    }

    /// What became of a planned command; after the last the loop decides when to look again.
    fn planned(&mut self, result: &Result<scheduler::Reply, Refusal>) {
        let Some(server) = &mut self.server else { return };
        let planning = &mut server.planning;
        planning.outstanding = planning.outstanding.saturating_sub(1);
        match result {
            Ok(_) => planning.done += 1,
            Err(Refusal::Away) => planning.failed += 1,
            Err(Refusal::Rejected(_)) => {}
        }
        if planning.outstanding > 0 {
            return;
        }
        planning.fruitless = if planning.done > 0 { 0 } else { planning.fruitless + 1 };
        let wait = if planning.done > 0 || planning.changed {
            Duration::ZERO
        } else if planning.failed > 0 {
            LONG_PAUSE
        } else {
            PAUSE
        };
        if planning.fruitless > FRUITLESS {
            return self.fail("the loop plans again and again what is refused".to_owned());
        }
        self.alarm(wait);
    }

    // === Sessions ===

    /// A node asks for a session.
    pub(crate) fn connects(&mut self, node: usize, number: u64) {
        let soon = Duration::from_millis(1 + self.chance.below(3));
        let key = self.nodes.get(node).and_then(|n| n.key.clone());
        let (Some(key), Some(server)) = (key, self.server.as_mut().filter(|s| s.ready)) else {
            return self.agenda.after(soon, Happening::AgentHears(node, number));
        };
        let state = server.state();
        if state.instance(&key).is_none() {
            self.note(|| format!("node {node} is not registered and gets no session"));
            return self.agenda.after(soon, Happening::AgentHears(node, number));
        }
        let realm = &self.realm;
        let dialogue =
            Dialogue::new(key.clone(), realm.cluster(&key.cluster), realm.instance(&key));
        let last = self.agenda.now();
        let session = Session { number, node, dialogue, greeted: false, last };
        if let Some(older) = server.sessions.insert(key.clone(), session) {
            self.agenda.after(soon, Happening::AgentHears(older.node, older.number));
        }
        let agent = AgentInfo { connected: true, ..AgentInfo::default() };
        let command = Command::AgentSession { key: key.clone(), agent };
        self.submit(Origin::Greeting(key, number), command);
    }

    fn greet(&mut self, key: &InstanceKey, number: u64) {
        let now = self.server_now();
        let Some(server) = &mut self.server else { return };
        let state = server.state();
        let Some(session) = server.sessions.get_mut(key).filter(|s| s.number == number) else {
            return;
        };
        session.greeted = true;
        let revision = server.rounds.revision();
        let moment = Moment { state: &state, revision, mint: &NoRoles, now };
        let said = session.dialogue.greet(moment);
        self.say(key, said);
    }

    /// A session that could not be recorded ends: its agent comes back.
    fn turn_away(&mut self, key: &InstanceKey, number: u64) {
        let Some(server) = &mut self.server else { return };
        let Some(session) = server.sessions.get(key).filter(|s| s.number == number) else { return };
        let node = session.node;
        server.sessions.remove(key);
        self.meet("session turned away");
        self.agenda.after(Duration::from_millis(2), Happening::AgentHears(node, number));
        self.say_goodbye(self.life, key);
    }

    /// Makes known that an agent is away, unless another session of it has begun.
    pub(crate) fn say_goodbye(&mut self, life: u64, key: &InstanceKey) {
        let Some(server) = self.server.as_ref().filter(|_| self.life == life) else { return };
        if server.sessions.contains_key(key) {
            return;
        }
        let known = server.state().instance(key).map(|i| i.agent.clone()).unwrap_or_default();
        let agent = AgentInfo { connected: false, ..known };
        let command = Command::AgentSession { key: key.clone(), agent };
        self.submit(Origin::Goodbye(key.clone()), command);
    }

    /// The server learns that a session is over.
    pub(crate) fn server_hears(&mut self, node: usize, number: u64) {
        let Some(server) = &mut self.server else { return };
        let found = server.sessions.iter().find(|(_, s)| s.node == node && s.number == number);
        let Some(key) = found.map(|(key, _)| key.clone()) else { return };
        server.sessions.remove(&key);
        self.say_goodbye(self.life, &key);
    }

    /// A frame reaches the server.
    pub(crate) fn server_is_told(&mut self, node: usize, number: u64, message: AgentMessage) {
        let now = self.server_now();
        let Some(server) = &mut self.server else { return };
        let state = server.state();
        let mut sessions = server.sessions.iter_mut();
        let found = sessions.find(|(_, s)| s.node == node && s.number == number);
        let Some((key, session)) = found else { return };
        let key = key.clone();
        let moment =
            Moment { state: &state, revision: server.rounds.revision(), mint: &NoRoles, now };
        let answer = session.dialogue.hear(moment, message);
        self.say(&key, answer.into_iter().collect());
    }

    /// The sessions that the server has of nodes that can be reached.
    pub(crate) fn session_of(&self, node: usize) -> Option<u64> {
        let sessions = &self.server.as_ref()?.sessions;
        sessions.values().find(|s| s.node == node).map(|s| s.number)
    }
}

/// Whether the server works: it has started and serves.
pub(crate) fn works(server: Option<&Server>) -> bool {
    server.is_some_and(|server| server.ready)
}

/// So that a clock's jump is told as such.
pub(crate) fn jump(now: Timestamp, millis: i64) -> String {
    format!("the server's clock jumps from {now} by {millis} ms")
}
