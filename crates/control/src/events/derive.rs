//! From what is true and what was told to what is to be told.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html>
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_events.html>

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use events::{Cursor, Event};
use model::{
    BusChange, Change, Deployment, EventRule, Instance, InstanceKey, ProviderName, Realm,
    RolloutState, ScalingActivity, ScalingChange, Service, ServiceEvent, ServiceKey, State, Task,
    TaskKey, TaskProgress,
};
use serde_json::{Value, json};
use stdx::Timestamp;

use super::Parts;
use super::cursors::{self, BEGUN, Cursors};
use super::render::{Kind, event, instance_event, of_instance, task_event};

/// The source of what AWS has no events for.
const WHARF: &str = "wharf";
/// When more than this waits to be told, of each task only the newest state is.
pub(super) const BEHIND: usize = 5_000;
/// So many cursors are moved for each event that is told, at most: there may be nobody who listens.
const CURSORS_AN_EVENT: usize = 16;

/// What is to be told. What tasks and instances are like is written down when it is told, and not while
/// it waits: there may be very many.
#[derive(Debug)]
enum Told {
    /// This, with the cursor that says so.
    Said(Option<Box<Event>>, Cursor),
    /// A task's step. The first time ever it is only remembered.
    Task { key: TaskKey, progress: Arc<TaskProgress>, quiet: bool },
    /// An instance, with its cursor's name.
    Instance(Arc<Instance>, String),
}

/// Works out what is to be told.
#[derive(Debug)]
pub(super) struct Teller {
    cursors: Cursors,
    instances: BTreeMap<InstanceKey, Arc<Instance>>,
    waiting: VecDeque<Told>,
}

impl Teller {
    /// With the cursors that lie in the outbox.
    pub(super) fn new(names: BTreeMap<String, u64>, state: &State) -> Self {
        let (cursors, gone) = Cursors::read(names, state);
        let waiting = gone.into_iter().map(|name| Told::Said(None, (name, None))).collect();
        Self { cursors, instances: BTreeMap::new(), waiting }
    }

    /// How much waits to be told.
    pub(super) fn backlog(&self) -> usize {
        self.waiting.len()
    }

    /// About so many of what is to be told; none if there is nothing.
    pub(super) fn take(
        &mut self,
        parts: &Parts,
        state: &State,
        most: usize,
    ) -> Option<(Vec<Event>, Vec<Cursor>)> {
        if self.waiting.is_empty() {
            return None;
        }
        let (behind, listens) = (self.backlog() > BEHIND, parts.bus.listens());
        let now = parts.clock.now();
        let (mut events, mut moved) = (Vec::new(), Vec::new());
        while events.len() < most && moved.len() < most * CURSORS_AN_EVENT {
            match self.waiting.pop_front() {
                None => break,
                Some(Told::Said(event, cursor)) => {
                    events.extend(event.map(|event| *event));
                    moved.push(cursor);
                }
                Some(Told::Task { key, progress, quiet }) => {
                    let Some(task) = state.task(&key) else { continue };
                    let progress = if behind { task.progress.clone() } else { progress };
                    if !self.cursors.move_task(&key, progress.version) {
                        continue;
                    }
                    let (name, version) = (cursors::of_task(&key), progress.version);
                    if listens && !quiet {
                        let task = Task { facts: task.facts.clone(), progress };
                        events.push(task_event(parts, state, &task, now, &name));
                    }
                    moved.push((name, Some(version)));
                }
                Some(Told::Instance(instance, name)) => {
                    if listens {
                        events.push(instance_event(parts, state, &instance, None, now));
                    }
                    moved.push((name, Some(instance.version)));
                }
            }
        }
        Some((events, moved))
    }

    /// Compares everything with the cursors. The first time ever nothing is told: what is true then
    /// was so before anybody listened.
    pub(super) fn catch_up(&mut self, parts: &Parts, state: &State) {
        let silent = self.cursors.move_to(BEGUN, 1);
        let begins = self.waiting.len();
        for task in state.all_tasks() {
            let (key, progress) = (&task.facts.key, &task.progress);
            if self.cursors.is_behind(key, progress.version) {
                let (key, progress) = (key.clone(), progress.clone());
                self.waiting.push_back(Told::Task { key, progress, quiet: silent });
            }
        }
        let now = parts.clock.now();
        let mut with = With { parts, state, now, teller: self };
        state.all_instances().for_each(|instance| with.instance(instance));
        for service in state.all_services() {
            with.service(service);
            let said: Vec<_> = state.events(&service.key).cloned().collect();
            said.iter().rev().for_each(|event| with.said(&service.key, event));
        }
        state.bus().rules().for_each(|rule| with.rule(rule));
        for key in self.cursors.missing_tasks(state) {
            self.forget_task(&key);
        }
        self.forget_missing(state);
        if silent {
            self.waiting.range_mut(begins..).for_each(silence);
            self.waiting.push_back(Told::Said(None, (BEGUN.to_owned(), Some(1))));
        }
    }

    /// Cursors of what is no more, beside tasks.
    fn forget_missing(&mut self, state: &State) {
        let gone = self.cursors.missing(state);
        gone.iter().for_each(|cursor| self.forget(cursor));
    }

    fn forget_task(&mut self, key: &TaskKey) {
        if self.cursors.forget_task(key) {
            self.waiting.push_back(Told::Said(None, (cursors::of_task(key), None)));
        }
    }

    fn forget(&mut self, cursor: &str) {
        if self.cursors.forget(cursor) {
            self.waiting.push_back(Told::Said(None, (cursor.to_owned(), None)));
        }
    }

    /// What changes tell, in order. `state` is at least as new as they are.
    pub(super) fn batch(&mut self, parts: &Parts, state: &State, changes: &[Change]) {
        let now = parts.clock.now();
        let mut with = With { parts, state, now, teller: self };
        for change in changes {
            match change {
                Change::PutProgress(key, progress) => {
                    let (key, progress) = (key.clone(), progress.clone());
                    let step = Told::Task { key, progress, quiet: false };
                    with.teller.waiting.push_back(step);
                }
                Change::DeleteTask(key) => with.teller.forget_task(key),
                Change::PutInstance(instance) => with.instance(instance),
                Change::DeleteInstance(key) => with.instance_gone(key),
                Change::PutService(service) => with.service(service),
                Change::DeleteService(_) => with.teller.forget_missing(state),
                Change::PutEvent(key, event) => with.said(key, event),
                Change::Scaling(ScalingChange::PutActivity(activity)) => with.scaled(activity),
                Change::Bus(BusChange::PutRule(rule)) => with.rule(rule),
                Change::Bus(BusChange::DeleteRule(name)) => {
                    with.teller.forget(&format!("rule/{name}"));
                }
                // A task's progress is told; the rest is told of nobody here.
                Change::PutTask(_)
                | Change::PutCluster(_)
                | Change::DeleteCluster(_)
                | Change::PutDefinition(_)
                | Change::DeleteDefinition(_)
                | Change::PutToken(_)
                | Change::DeleteToken(_)
                | Change::PutRole(_)
                | Change::DeleteRole(_)
                | Change::PutPolicy(_)
                | Change::DeletePolicy(_)
                | Change::Balancing(_)
                | Change::Scaling(_)
                | Change::Capacity(_)
                | Change::Deployment(_)
                | Change::Bus(_)
                | Change::Setting(_) => {}
            }
        }
    }
}

/// Leaves of what is to be told only the cursor.
fn silence(told: &mut Told) {
    match told {
        Told::Said(event, _) => *event = None,
        Told::Task { quiet, .. } => *quiet = true,
        Told::Instance(instance, name) => {
            *told = Told::Said(None, (std::mem::take(name), Some(instance.version)));
        }
    }
}

/// A teller with what it looks at.
struct With<'a> {
    parts: &'a Parts,
    state: &'a State,
    now: Timestamp,
    teller: &'a mut Teller,
}

impl With<'_> {
    /// Whether a cursor is behind a number, and moves it there.
    fn is_new(&mut self, cursor: &str, number: u64) -> bool {
        self.teller.cursors.move_to(cursor, number)
    }

    /// What is to be told.
    fn tell(&mut self, cursor: String, number: u64, kind: Kind<'_>, detail: Value) {
        let event = event(self.state.realm(), kind, &cursor, number, detail);
        self.teller.waiting.push_back(Told::Said(Some(Box::new(event)), (cursor, Some(number))));
    }

    fn instance(&mut self, instance: &Arc<Instance>) {
        // Nodes of Fargate's are no container instances.
        if instance.key.cluster.is_fargates() {
            return;
        }
        let cursor = of_instance(&instance.key);
        self.teller.instances.insert(instance.key.clone(), instance.clone());
        if self.is_new(&cursor, instance.version) {
            self.teller.waiting.push_back(Told::Instance(instance.clone(), cursor));
        }
    }

    fn instance_gone(&mut self, key: &InstanceKey) {
        let cursor = of_instance(key);
        if let Some(before) = self.teller.instances.remove(key) {
            let gone = Instance { version: before.version + 1, ..Instance::clone(&before) };
            let event = instance_event(self.parts, self.state, &gone, Some("INACTIVE"), self.now);
            let cursor = (cursor.clone(), Some(gone.version));
            self.teller.waiting.push_back(Told::Said(Some(Box::new(event)), cursor));
        }
        self.teller.forget(&cursor);
    }

    fn service(&mut self, service: &Arc<Service>) {
        let key = &service.key;
        for deployment in &service.deployments {
            self.deployment(key, deployment);
        }
        if let Some(at) = service.steady_since {
            self.action(key, "steady", at, ("INFO", "SERVICE_STEADY_STATE"), Vec::new());
        }
        if let Some(at) = service.placement_failed_at
            && let Some(why) = self.unplaced(key, at)
        {
            let mut more = vec![("reason", json!(why))];
            let providers: Vec<String> = service
                .providers
                .iter()
                .filter_map(|item| self.state.capacity().provider(&item.provider))
                .map(|provider| provider_arn(self.state.realm(), &provider.name))
                .collect();
            if !providers.is_empty() {
                more.push(("capacityProviderArns", json!(providers)));
            }
            let what = ("ERROR", "SERVICE_TASK_PLACEMENT_FAILURE");
            self.action(key, "unplaced", at, what, more);
        }
    }

    /// What the service said when it could not place a task; none if it was something else that it
    /// could not do.
    fn unplaced(&self, key: &ServiceKey, at: Timestamp) -> Option<String> {
        let said = self
            .state
            .events(key)
            .find(|event| event.at <= at && scheduler::words::is_complaint(&event.message))?;
        let blocked = scheduler::words::about(&key.service, scheduler::words::BLOCKED);
        (said.message != blocked).then(|| said.message.clone())
    }

    fn deployment(&mut self, key: &ServiceKey, deployment: &Deployment) {
        let (number, level, name) = match deployment.rollout {
            RolloutState::InProgress => (1, "INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS"),
            RolloutState::Completed => (2, "INFO", "SERVICE_DEPLOYMENT_COMPLETED"),
            RolloutState::Failed => (3, "ERROR", "SERVICE_DEPLOYMENT_FAILED"),
        };
        let cursor = format!("deployment/{key}/{}", deployment.id);
        if self.is_new(&cursor, number) {
            let detail = json!({
                "eventType": level,
                "eventName": name,
                "clusterArn": self.state.realm().cluster(&key.cluster),
                "deploymentId": deployment.id.as_str(),
                "updatedAt": deployment.updated_at.rfc3339(),
                "reason": deployment.rollout_reason,
            });
            let arn = self.state.realm().service(key);
            let kind = Kind::ecs("ECS Deployment State Change", arn, deployment.updated_at);
            self.tell(cursor, number, kind, detail);
        }
        if deployment.failures_in_a_row > 1 {
            let at = deployment.updated_at;
            let what = ("WARN", "SERVICE_TASK_START_IMPAIRED");
            self.action(key, "impaired", at, what, Vec::new());
        }
    }

    /// Something that a service did or could not do, at an instant which is its cursor.
    fn action(
        &mut self,
        key: &ServiceKey,
        cursor: &str,
        at: Timestamp,
        (level, name): (&str, &str),
        more: Vec<(&str, Value)>,
    ) {
        let cursor = format!("{cursor}/{key}");
        let number = u64::try_from(at.as_millis()).unwrap_or(0);
        if !self.is_new(&cursor, number) {
            return;
        }
        let mut detail = json!({
            "eventType": level,
            "eventName": name,
            "clusterArn": self.state.realm().cluster(&key.cluster),
            "createdAt": at.rfc3339(),
        });
        for (member, value) in more {
            detail[member] = value;
        }
        let kind = Kind::ecs("ECS Service Action", self.state.realm().service(key), at);
        self.tell(cursor, number, kind, detail);
    }

    fn scaled(&mut self, activity: &Arc<ScalingActivity>) {
        if let Some(desired) = activity.desired {
            let (key, at) = (&activity.service, activity.started_at);
            let more = vec![("desiredCount", json!(desired)), ("reason", json!(activity.cause))];
            self.action(key, "scaled", at, ("INFO", "SERVICE_DESIRED_COUNT_UPDATED"), more);
        }
    }

    /// A line of the service's own events, which AWS does not put on the bus.
    fn said(&mut self, key: &ServiceKey, event: &ServiceEvent) {
        let cursor = format!("said/{key}");
        let number = event.number + 1;
        if !self.is_new(&cursor, number) {
            return;
        }
        let realm = self.state.realm();
        let detail = json!({
            "clusterArn": realm.cluster(&key.cluster),
            "createdAt": event.at.rfc3339(),
            "eventId": event.id,
            "message": event.message,
        });
        let kind =
            Kind { source: WHARF, ..Kind::ecs("ECS Service Event", realm.service(key), event.at) };
        self.tell(cursor, number, kind, detail);
    }

    /// A schedule that has fired makes an event for its own rule.
    fn rule(&mut self, rule: &EventRule) {
        let Some(at) = rule.schedule.as_ref().and_then(|schedule| schedule.fired) else { return };
        let cursor = format!("rule/{}", rule.name);
        let number = u64::try_from(at.as_millis()).unwrap_or(0);
        if self.is_new(&cursor, number) {
            let kind = Kind {
                detail_type: "Scheduled Event",
                source: "aws.events",
                resource: self.state.realm().event_rule(&rule.name),
                time: at,
                only: Some(rule.name.to_string()),
            };
            self.tell(cursor, number, kind, json!({}));
        }
    }
}

fn provider_arn(realm: &Realm, name: &ProviderName) -> String {
    let Realm { partition, region, account, .. } = realm;
    format!("arn:{partition}:ecs:{region}:{account}:capacity-provider/{name}")
}
