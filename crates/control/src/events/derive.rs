//! From what is true and what was told to what is to be told.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html>
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_events.html>

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use events::{Cursor, Envelope, Event};
use model::{
    BusChange, Change, Deployment, EventRule, Instance, InstanceKey, ProviderName, Realm,
    RolloutState, ScalingActivity, ScalingChange, Service, ServiceEvent, ServiceKey, State, Task,
    TaskKey, TaskProgress,
};
use serde_json::{Value, json};
use stdx::Timestamp;

use super::Parts;

const ECS: &str = "aws.ecs";
/// The source of what AWS has no events for.
const WHARF: &str = "wharf";
/// The cursor that says that there are cursors.
const BEGUN: &str = "begun";

/// What is told of something, with the cursor that says so.
type Told = (Option<Event>, Cursor);

/// Works out what is to be told.
#[derive(Debug)]
pub(super) struct Teller {
    told: BTreeMap<String, u64>,
    instances: BTreeMap<InstanceKey, Arc<Instance>>,
    waiting: VecDeque<Told>,
}

impl Teller {
    pub(super) fn new(told: BTreeMap<String, u64>) -> Self {
        Self { told, instances: BTreeMap::new(), waiting: VecDeque::new() }
    }

    /// So many of what is to be told; none if there is nothing.
    pub(super) fn take(&mut self, most: usize) -> Option<(Vec<Event>, Vec<Cursor>)> {
        let some: Vec<Told> = self.waiting.drain(..most.min(self.waiting.len())).collect();
        if some.is_empty() {
            return None;
        }
        let (events, cursors): (Vec<_>, Vec<_>) = some.into_iter().unzip();
        Some((events.into_iter().flatten().collect(), cursors))
    }

    /// Compares everything with the cursors. The first time ever nothing is told: what is true then
    /// was so before anybody listened.
    pub(super) fn catch_up(&mut self, parts: &Parts, state: &State) {
        let silent = self.told.insert(BEGUN.to_owned(), 1).is_none();
        let begins = self.waiting.len();
        let now = parts.clock.now();
        let mut with = With { parts, state, now, teller: self };
        state.all_tasks().for_each(|task| with.task(&task.facts.key, &task.progress));
        state.all_instances().for_each(|instance| with.instance(instance));
        for service in state.all_services() {
            with.service(service);
            let said: Vec<_> = state.events(&service.key).cloned().collect();
            said.iter().rev().for_each(|event| with.said(&service.key, event));
        }
        state.bus().rules().for_each(|rule| with.rule(rule));
        self.forget_missing(state);
        if silent {
            self.waiting.range_mut(begins..).for_each(|told| told.0 = None);
            self.waiting.push_back((None, (BEGUN.to_owned(), Some(1))));
        }
    }

    /// Cursors of what is no more.
    fn forget_missing(&mut self, state: &State) {
        let there = |cursor: &str| {
            let mut parts = cursor.splitn(4, '/');
            let (kind, a, b) = (parts.next(), parts.next(), parts.next());
            match (kind, a, b) {
                (Some("task"), Some(a), Some(b)) => {
                    state.task(&TaskKey { cluster: a.into(), task: b.into() }).is_some()
                }
                (Some("instance"), Some(a), Some(b)) => {
                    state.instance(&InstanceKey { cluster: a.into(), instance: b.into() }).is_some()
                }
                (Some("rule"), Some(a), None) => state.bus().rule(&a.into()).is_some(),
                (Some(BEGUN), None, None) => true,
                (_, Some(a), Some(b)) => {
                    state.service(&ServiceKey { cluster: a.into(), service: b.into() }).is_some()
                }
                _ => false,
            }
        };
        let gone: Vec<String> = self.told.keys().filter(|cursor| !there(cursor)).cloned().collect();
        gone.into_iter().for_each(|cursor| self.forget(&cursor));
    }

    fn forget(&mut self, cursor: &str) {
        if self.told.remove(cursor).is_some() {
            self.waiting.push_back((None, (cursor.to_owned(), None)));
        }
    }

    /// What changes tell, in order. `state` is at least as new as they are.
    pub(super) fn batch(&mut self, parts: &Parts, state: &State, changes: &[Change]) {
        let now = parts.clock.now();
        let mut with = With { parts, state, now, teller: self };
        for change in changes {
            match change {
                Change::PutProgress(key, progress) => with.task(key, progress),
                Change::DeleteTask(key) => with.teller.forget(&format!("task/{key}")),
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
        match self.teller.told.get(cursor) {
            Some(told) if *told >= number => false,
            _ => {
                self.teller.told.insert(cursor.to_owned(), number);
                true
            }
        }
    }

    /// What is to be told.
    fn tell(&mut self, cursor: String, number: u64, kind: Kind<'_>, detail: Value) {
        let realm = self.state.realm();
        let envelope = Envelope {
            id: id(kind.detail_type, &cursor, number),
            detail_type: kind.detail_type,
            source: kind.source,
            account: &realm.account,
            region: &realm.region,
            time: kind.time,
            resources: vec![kind.resource],
        };
        let mut event = envelope.with(detail);
        event.only = kind.only;
        self.teller.waiting.push_back((Some(event), (cursor, Some(number))));
    }

    fn task(&mut self, key: &TaskKey, progress: &Arc<TaskProgress>) {
        let cursor = format!("task/{key}");
        let Some(task) = self.state.task(key) else { return };
        if !self.is_new(&cursor, progress.version) {
            return;
        }
        let task = Task { facts: task.facts.clone(), progress: progress.clone() };
        let mut detail = self.parts.describe.task(self.state, &task);
        in_words(&mut detail);
        detail["updatedAt"] = json!(self.now.rfc3339());
        let kind = Kind::ecs("ECS Task State Change", self.state.realm().task(key), self.now);
        self.tell(cursor, progress.version, kind, detail);
    }

    fn instance(&mut self, instance: &Arc<Instance>) {
        let cursor = format!("instance/{}", instance.key);
        self.teller.instances.insert(instance.key.clone(), instance.clone());
        if !self.is_new(&cursor, instance.version) {
            return;
        }
        self.tell_instance(cursor, instance, None);
    }

    fn instance_gone(&mut self, key: &InstanceKey) {
        let cursor = format!("instance/{key}");
        if let Some(before) = self.teller.instances.remove(key) {
            let gone = Instance { version: before.version + 1, ..Instance::clone(&before) };
            self.tell_instance(cursor.clone(), &gone, Some("INACTIVE"));
        }
        self.teller.forget(&cursor);
    }

    fn tell_instance(&mut self, cursor: String, instance: &Instance, status: Option<&str>) {
        // Nodes of Fargate's are no container instances.
        if instance.key.cluster.is_fargates() {
            return;
        }
        let mut detail = self.parts.describe.instance(self.state, instance);
        in_words(&mut detail);
        detail["updatedAt"] = json!(self.now.rfc3339());
        detail["clusterArn"] = json!(self.state.realm().cluster(&instance.key.cluster));
        if let Some(status) = status {
            (detail["status"], detail["agentConnected"]) = (json!(status), json!(false));
        }
        let arn = self.state.realm().instance(&instance.key);
        let kind = Kind::ecs("ECS Container Instance State Change", arn, self.now);
        self.tell(cursor, instance.version, kind, detail);
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

/// What kind of event something is.
struct Kind<'a> {
    detail_type: &'a str,
    source: &'a str,
    resource: String,
    time: Timestamp,
    only: Option<String>,
}

impl<'a> Kind<'a> {
    const fn ecs(detail_type: &'a str, resource: String, time: Timestamp) -> Self {
        Self { detail_type, source: ECS, resource, time, only: None }
    }
}

fn provider_arn(realm: &Realm, name: &ProviderName) -> String {
    let Realm { partition, region, account, .. } = realm;
    format!("arn:{partition}:ecs:{region}:{account}:capacity-provider/{name}")
}

/// The id of an event: the same whenever the same is told.
fn id(kind: &str, cursor: &str, number: u64) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, kind, cursor, number).hash(&mut hasher);
        hasher.finish()
    };
    let (high, low) = (half(1), half(2));
    format!(
        "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

/// Instants of the wire are seconds since 1970; those of events are words.
fn in_words(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("tags");
            for (name, value) in members.iter_mut() {
                match value.as_f64().filter(|_| name.ends_with("At")) {
                    Some(seconds) => *value = json!(Timestamp::from_secs_f64(seconds).rfc3339()),
                    None => in_words(value),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(in_words),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
