//! What a delivery is: the target as it now is, what it is told, and who calls it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use api::Door;
use aws::events::Target;
use events::template::{Circumstances, Telling, Template};
use events::{Answers, Calls, Delivery, Outcome, Path};
use model::{EventRule, EventTargetKey, State};
use serde_json::Value;
use store::Store;

use super::hook::Hooks;
use super::logs::LogTargets;

/// Calls the targets of rules.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) door: Door,
    pub(super) store: Store,
    pub(super) logs: LogTargets,
    pub(super) hooks: Hooks,
}

impl Calls for Caller {
    fn call<'a>(&'a self, deliveries: &'a [Delivery]) -> Answers<'a> {
        Box::pin(self.deliver(deliveries))
    }
}

impl Caller {
    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Outcome> {
        let state = self.store.snapshot();
        let Some(first) = deliveries.first() else { return Vec::new() };
        let key =
            EventTargetKey { rule: first.rule.as_str().into(), id: first.target.as_str().into() };
        let (Some(rule), Some(held)) = (state.bus().rule(&key.rule), state.bus().target(&key))
        else {
            return deliveries.iter().map(|_| Outcome::Gone).collect();
        };
        let refused =
            |why: String| deliveries.iter().map(|_| Outcome::Refused(why.clone())).collect();
        let target: Target = match serde_json::from_slice(&held.document.0) {
            Ok(target) => target,
            Err(error) => return refused(error.to_string()),
        };
        let telling = match telling(&target) {
            Ok(telling) => telling,
            Err(why) => return refused(why),
        };
        let told: Vec<(&Delivery, String)> =
            deliveries.iter().map(|it| (it, tell(&state, rule, &telling, it))).collect();
        match held.arn.split(':').nth(2) {
            Some("logs") => self.logs.put(&held.arn, &told).await,
            Some("ecs") => self.run_tasks(rule, &target, &telling, &told).await,
            Some("events") => self.hooks.post(&state, &held.arn, &target, &told).await,
            _ => refused(format!("{} cannot be called", held.arn)),
        }
    }

    async fn run_tasks(
        &self,
        rule: &EventRule,
        target: &Target,
        telling: &Telling,
        told: &[(&Delivery, String)],
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (delivery, text) in told {
            // The event itself says nothing about how to run a task.
            let said = (*telling != Telling::Event).then_some(text.as_str());
            let by = (rule.name.as_str(), rule.role.as_deref());
            let ran = api::run_for_rule(&self.door, target, by, said, &token(delivery)).await;
            outcomes.push(match ran {
                Ok(()) => Outcome::Done,
                Err(api::Refusal::Never(why)) => Outcome::Refused(why),
                Err(api::Refusal::Later(why)) => {
                    outcomes.push(Outcome::Failed(why));
                    return outcomes;
                }
            });
        }
        outcomes
    }
}

/// The client token of a delivery: RunTask with it runs once, however often it is asked.
fn token(delivery: &Delivery) -> String {
    let mut hasher = DefaultHasher::new();
    (&delivery.rule, &delivery.target).hash(&mut hasher);
    format!("{}-{:016x}", delivery.event_id, hasher.finish())
}

/// What a target is told, as it says.
fn telling(target: &Target) -> Result<Telling, String> {
    if let Some(text) = &target.input {
        return Ok(Telling::Text(text.clone()));
    }
    if let Some(path) = &target.input_path {
        return Path::parse(path).map(Telling::Part).map_err(|error| error.to_string());
    }
    let Some(transformer) = &target.input_transformer else { return Ok(Telling::Event) };
    let paths: BTreeMap<String, String> = transformer.input_paths_map.clone().unwrap_or_default();
    let template = transformer.input_template.as_deref().unwrap_or_default();
    Template::parse(template, &paths).map(Telling::Template).map_err(|error| error.to_string())
}

fn tell(state: &State, rule: &EventRule, telling: &Telling, delivery: &Delivery) -> String {
    if *telling == Telling::Event {
        return delivery.event.to_string();
    }
    let event: Value = serde_json::from_str(&delivery.event).unwrap_or_default();
    let around = Circumstances {
        rule_arn: &state.realm().event_rule(&rule.name),
        rule_name: rule.name.as_str(),
        ingested: &delivery.came.rfc3339(),
    };
    telling.tell(&event, around)
}
