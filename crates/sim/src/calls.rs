//! Calls over a network that loses, doubles and delays them, and what nodes do in answer.

use std::sync::Arc;
use std::time::Duration;

use aws::agent::acs::ServerMessage;
use model::{ContainerStatus, InstanceKey, TaskKey, TaskStatus};
use scheduler::{Command, ContainerReport, RegisterInstance, Reply, TaskReport};
use stdx::Entropy;

use crate::fleet::CLUSTER;
use crate::node::{Deed, NodeEvent, Told};
use crate::serve::works;
use crate::server::Origin;
use crate::step::Step;
use crate::world::{Caller, Happening, Mutation, Refusal, World};

/// Who waits for an answer longer than this gives up.
const PATIENCE: Duration = Duration::from_secs(10);

impl World {
    /// Calls the server. The answer comes, or the caller gives up.
    pub(crate) fn call(&mut self, caller: Caller, command: Command) -> u64 {
        self.number += 1;
        let call = self.number;
        let cut = match &caller {
            Caller::Register(node)
            | Caller::Report(node, ..)
            | Caller::Health(node, ..)
            | Caller::LastWord(node, _) => self.is_cut(*node),
            Caller::Nobody | Caller::User(_) | Caller::Insisting(..) => false,
        };
        self.calls.insert(call, caller);
        self.agenda.after(PATIENCE, Happening::TimesOut(call));
        let luck = self.chance.below(100);
        if cut || luck < self.weather.lost {
            self.meet("call lost");
            return call;
        }
        let command = Arc::new(command);
        let mut delay = Duration::from_millis(self.chance.below(3));
        if self.chance.below(100) < self.weather.late {
            delay += Duration::from_millis(self.chance.below(15_000));
            self.meet("call late");
        }
        self.agenda.after(delay, Happening::Arrives(call, Arc::clone(&command)));
        if self.chance.below(100) < self.weather.twice {
            self.meet("call doubled");
            let again = delay + Duration::from_millis(self.chance.below(30_000));
            self.agenda.after(again, Happening::Arrives(call, command));
        }
        call
    }

    pub(crate) fn arrives(&mut self, call: u64, command: &Command) {
        if works(self.server.as_ref()) {
            self.submit(Origin::Call(call), command.clone());
        } else {
            self.send_answer(call, Err(Refusal::Away));
        }
    }

    pub(crate) fn send_answer(&mut self, call: u64, result: Result<Reply, Refusal>) {
        if self.chance.below(100) < self.weather.unanswered {
            self.meet("answer lost");
            return;
        }
        let delay = Duration::from_millis(self.chance.below(3));
        self.agenda.after(delay, Happening::Answered(call, result));
    }

    pub(crate) fn times_out(&mut self, call: u64) {
        if self.calls.contains_key(&call) {
            self.answered(call, Err(Refusal::Away));
        }
    }

    /// An answer reaches who called, if it still waits.
    pub(crate) fn answered(&mut self, call: u64, result: Result<Reply, Refusal>) {
        let Some(caller) = self.calls.remove(&call) else { return };
        match caller {
            Caller::Register(node) => self.registered(node, result),
            Caller::Report(node, arn, told) => self.reported(node, &arn, call, told, &result),
            Caller::LastWord(node, arn) => {
                let Some(there) = self.nodes.get_mut(node) else { return };
                match result {
                    Ok(_) | Err(Refusal::Rejected(_)) => drop(there.last_words.remove(&arn)),
                    Err(Refusal::Away) => self.tell_later(node, arn),
                }
            }
            Caller::Nobody => {}
            Caller::Health(node, arn, health) => {
                let local = self.nodes.get_mut(node).and_then(|n| n.tasks.get_mut(&arn));
                match (local, result) {
                    (None, _) => {}
                    (Some(local), Ok(_)) => local.health.1 = health,
                    (Some(_), Err(_)) => self.tell_later(node, arn),
                }
            }
            Caller::User(step) => {
                let of = self.steps.get(step).map(Step::name);
                self.meet(if result.is_ok() { of.unwrap_or("repair") } else { "refusal" });
                if let Err(refusal) = result {
                    self.note(|| format!("step {step} is refused: {refusal:?}"));
                    if self.listening {
                        self.refused.push(format!("{refusal:?}"));
                    }
                }
            }
            Caller::Insisting(step, before) => self.insisted(step, before, &result),
        }
    }

    // === Nodes ===

    /// Whether nothing comes through to a node or from it.
    pub(crate) fn is_cut(&self, node: usize) -> bool {
        self.nodes.get(node).is_none_or(|n| !n.up() || n.cut_until > self.agenda.now())
    }

    /// A node that is up and has no session registers, and then connects.
    pub(crate) fn join(&mut self, node: usize) {
        let now = self.agenda.now();
        let Some(there) = self.nodes.get(node).filter(|n| n.up() && n.session.is_none()) else {
            return;
        };
        if there.cut_until > now {
            return self.agenda.at(there.cut_until, Happening::Join(node));
        }
        if there.arn.is_none() {
            let register = register(there);
            self.call(Caller::Register(node), register);
            return;
        }
        self.number += 1;
        let number = self.number;
        if let Some(there) = self.nodes.get_mut(node) {
            there.session = Some(number);
        }
        let soon = Duration::from_millis(self.chance.below(4));
        self.agenda.after(soon, Happening::Connects(node, number));
        // A session ends by itself after half an hour.
        let life = Duration::from_millis(1_800_000 + self.chance.below(300_000));
        self.agenda.after(life, Happening::AgentHears(node, number));
        self.agenda.after(life, Happening::ServerHears(node, number));
    }

    fn registered(&mut self, node: usize, result: Result<Reply, Refusal>) {
        let Some(there) = self.nodes.get_mut(node) else { return };
        if let Ok(Reply::Instance(instance)) = result
            && there.arn.is_none()
        {
            there.arn = Some(self.realm.instance(&instance.key));
            there.key = Some(instance.key.clone());
            self.note(|| format!("node {node} is {}", instance.key));
        }
        let wait = if self.nodes.get(node).is_some_and(|n| n.arn.is_some()) { 0 } else { 2_000 };
        let wait = Duration::from_millis(self.chance.below(wait + 1));
        self.agenda.after(wait, Happening::Join(node));
    }

    /// A node registers again under its id, as its agent does when it starts.
    pub(crate) fn register_again(&mut self, node: usize) {
        let Some(there) = self.nodes.get(node).filter(|n| n.arn.is_some()) else { return };
        let register = register(there);
        self.call(Caller::Register(node), register);
    }

    /// A frame reaches an agent.
    pub(crate) fn agent_is_told(&mut self, node: usize, number: u64, message: &ServerMessage) {
        let now = self.agenda.now();
        let Some(there) = self.nodes.get_mut(node) else { return };
        if there.session != Some(number) || !there.up() || there.cut_until > now {
            return;
        }
        let deeds = there.hear(&self.realm, message.clone(), &mut self.chance, now);
        self.follow(node, deeds);
        self.tell_all(node);
    }

    /// An agent learns that its session is over: it begins another.
    pub(crate) fn agent_hears(&mut self, node: usize, number: u64) {
        let Some(there) = self.nodes.get_mut(node).filter(|n| n.session == Some(number)) else {
            return;
        };
        there.session = None;
        let wait = Duration::from_millis(50 + self.chance.below(1_000));
        self.agenda.after(wait, Happening::Join(node));
    }

    pub(crate) fn on_node(&mut self, node: usize, event: NodeEvent) {
        let Some(there) = self.nodes.get_mut(node) else { return };
        let deeds = there.happen(event);
        self.follow(node, deeds);
        self.tell_all(node);
    }

    pub(crate) fn follow(&mut self, node: usize, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Say(message) => {
                    let session = self.nodes.get(node).and_then(|n| n.session);
                    if let Some(number) = session.filter(|_| !self.is_cut(node)) {
                        let soon = Duration::from_millis(self.chance.below(4));
                        self.agenda.after(soon, Happening::ToServer(node, number, message));
                    }
                }
                Deed::Later(after, event) => {
                    self.agenda.after(after, Happening::OnNode(node, event));
                }
                Deed::Begins(key) => self.begins(node, &key),
            }
        }
    }

    /// A task begins on a node: on one, and once.
    fn begins(&mut self, node: usize, key: &TaskKey) {
        self.note(|| format!("node {node} begins {key}"));
        let before = self.begun.insert(key.clone(), (node, 1));
        let liar = |node: usize| self.nodes.get(node).is_some_and(|there| there.liar);
        // Two agents with one identity are both told.
        if let Some((there, times)) = before.filter(|(there, _)| !liar(*there) || !liar(node)) {
            self.fail(format!("{key} begins on node {node}, and began on {there} ({times} times)"));
        }
    }

    /// Tells what is to be told of every task of a node.
    pub(crate) fn tell_all(&mut self, node: usize) {
        let Some(there) = self.nodes.get(node).filter(|n| n.up()) else { return };
        let arns: Vec<String> =
            there.tasks.keys().chain(there.last_words.keys()).cloned().collect();
        for arn in arns {
            self.tell(node, &arn);
        }
    }

    /// Tells what is to be told of a task, unless that is under way.
    pub(crate) fn tell(&mut self, node: usize, arn: &str) {
        let Some(there) = self.nodes.get(node).filter(|n| n.up() && n.arn.is_some()) else {
            return;
        };
        let mute = self.mutation == Some(Mutation::MuteAgents);
        if let Some((told, report)) = there.news(arn).filter(|(t, _)| !mute || *t != Told::Stopped)
        {
            self.note(|| format!("node {node} tells {:?} of {}", report.status, report.key));
            let caller = Caller::Report(node, arn.to_owned(), told);
            let call = self.call(caller, Command::ReportTask(report));
            if let Some(local) = self.nodes.get_mut(node).and_then(|n| n.tasks.get_mut(arn)) {
                local.reporting = Some(call);
            }
            return;
        }
        let asks =
            |caller: &Caller| matches!(caller, Caller::Health(n, a, _) if *n == node && a == arn);
        if let Some((key, container, verdict)) = there.verdict(arn)
            && !self.calls.values().any(asks)
        {
            self.note(|| format!("node {node} finds {key} {verdict:?}"));
            let health = vec![(container.as_str().into(), verdict)];
            let caller = Caller::Health(node, arn.to_owned(), verdict);
            self.call(caller, Command::ReportHealth { key, health });
            return;
        }
        let waits =
            |caller: &Caller| matches!(caller, Caller::LastWord(n, a) if *n == node && a == arn);
        let Some(why) = there.last_words.get(arn).filter(|_| !self.calls.values().any(waits))
        else {
            return;
        };
        let (why, resource) = (why.clone(), self.realm.parse(arn));
        let Ok(model::Resource::Task(key)) = resource else { return };
        self.note(|| format!("node {node} has a last word on {key}: {why}"));
        let report = stopped(key, Some(why));
        self.call(Caller::LastWord(node, arn.to_owned()), Command::ReportTask(report));
    }

    fn tell_later(&mut self, node: usize, arn: String) {
        let wait = Duration::from_millis(250 + self.chance.below(3_000));
        self.agenda.after(wait, Happening::Tell(node, arn));
    }

    fn reported(
        &mut self,
        node: usize,
        arn: &str,
        call: u64,
        told: Told,
        result: &Result<Reply, Refusal>,
    ) {
        let Some(there) = self.nodes.get_mut(node) else { return };
        let Some(local) = there.tasks.get_mut(arn).filter(|t| t.reporting == Some(call)) else {
            return;
        };
        local.reporting = None;
        match result {
            // What is refused once is refused for ever.
            Ok(_) | Err(Refusal::Rejected(_)) => {
                local.told = local.told.max(told);
                if local.told == Told::Stopped {
                    let (arn, run) = (arn.to_owned(), local.run);
                    let forget = NodeEvent::Forget { arn, run };
                    self.agenda.after(self.remembers, Happening::OnNode(node, forget));
                }
                self.tell(node, arn);
            }
            Err(Refusal::Away) => self.tell_later(node, arn.to_owned()),
        }
    }

    /// A node's machine and agent are up again.
    pub(crate) fn wake(&mut self, node: usize) {
        let Some(there) = self.nodes.get_mut(node).filter(|n| !n.gone && !n.up()) else { return };
        (there.powered, there.awake) = (true, true);
        self.note(|| format!("node {node} is back"));
        self.tell_all(node);
        if self.nodes.get(node).is_some_and(|n| n.arn.is_some()) {
            self.register_again(node);
        } else {
            self.join(node);
        }
    }
}

fn register(node: &crate::node::Node) -> Command {
    Command::RegisterInstance(RegisterInstance {
        cluster: CLUSTER.into(),
        known_as: node.key.as_ref().map(|key: &InstanceKey| key.instance.clone()),
        ec2_instance_id: node.ec2.clone(),
        address: None,
        resources: node.machine.resources(),
        attributes: node.machine.attributes(),
        tags: model::Tags::default(),
    })
}

/// A report that a task is over.
pub(crate) fn stopped(key: TaskKey, reason: Option<String>) -> TaskReport {
    let container = ContainerReport {
        name: "app".into(),
        status: Some(ContainerStatus::Stopped),
        runtime_id: None,
        image_digest: None,
        exit_code: None,
        reason: None,
        bindings: None,
    };
    TaskReport {
        key,
        status: Some(TaskStatus::Stopped),
        reason,
        containers: vec![container],
        pull_started_at: None,
        pull_stopped_at: None,
        execution_stopped_at: None,
    }
}
