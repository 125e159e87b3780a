//! Events as they are written down.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwe_events.html>

use std::hash::{DefaultHasher, Hash, Hasher};

use events::{Envelope, Event};
use model::{Instance, InstanceKey, Realm, State, Task};
use serde_json::{Value, json};
use stdx::Timestamp;

use super::Parts;

const ECS: &str = "aws.ecs";

/// What kind of event something is.
pub(super) struct Kind<'a> {
    pub(super) detail_type: &'a str,
    pub(super) source: &'a str,
    pub(super) resource: String,
    pub(super) time: Timestamp,
    /// The one rule that it is for, if a rule has made it.
    pub(super) only: Option<String>,
}

impl<'a> Kind<'a> {
    /// One of ECS's own.
    pub(super) const fn ecs(detail_type: &'a str, resource: String, time: Timestamp) -> Self {
        Self { detail_type, source: ECS, resource, time, only: None }
    }
}

/// A task as it is after a step.
pub(super) fn task_event(
    parts: &Parts,
    state: &State,
    task: &Task,
    now: Timestamp,
    cursor: &str,
) -> Event {
    let mut detail = parts.describe.task(state, task);
    in_words(&mut detail);
    detail["updatedAt"] = json!(now.rfc3339());
    let arn = state.realm().task(&task.facts.key);
    let kind = Kind::ecs("ECS Task State Change", arn, now);
    event(state.realm(), kind, cursor, task.progress.version, detail)
}

/// An instance as it is, or as it was with another status.
pub(super) fn instance_event(
    parts: &Parts,
    state: &State,
    instance: &Instance,
    status: Option<&str>,
    now: Timestamp,
) -> Event {
    let mut detail = parts.describe.instance(state, instance);
    in_words(&mut detail);
    detail["updatedAt"] = json!(now.rfc3339());
    detail["clusterArn"] = json!(state.realm().cluster(&instance.key.cluster));
    if let Some(status) = status {
        (detail["status"], detail["agentConnected"]) = (json!(status), json!(false));
    }
    let arn = state.realm().instance(&instance.key);
    let kind = Kind::ecs("ECS Container Instance State Change", arn, now);
    event(state.realm(), kind, &of_instance(&instance.key), instance.version, detail)
}

/// The name of an instance's cursor.
pub(super) fn of_instance(key: &InstanceKey) -> String {
    format!("instance/{key}")
}

/// An event whose id is the same whenever the same is told.
pub(super) fn event(
    realm: &Realm,
    kind: Kind<'_>,
    cursor: &str,
    number: u64,
    detail: Value,
) -> Event {
    let envelope = Envelope {
        id: id(kind.detail_type, cursor, number),
        detail_type: kind.detail_type,
        source: kind.source,
        account: &realm.account,
        region: &realm.region,
        time: kind.time,
        resources: vec![kind.resource],
    };
    let mut event = envelope.with(detail);
    event.only = kind.only;
    event
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
