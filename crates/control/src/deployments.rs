//! What deployments on their way are told from outside: the answers of their lifecycle hooks, and how
//! their alarms stand.
//!
//! It keeps nothing but which calls are under way: after a restart what is due is asked again, so a
//! hook may be asked the same thing twice, as Lambda's retries have it.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/lambda-lifecycle-hooks.html>

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use model::{DeploymentId, HookId, RevisionKey, ServiceDeployment, State, TrafficShare};
use scheduler::{Command, DeploymentCommand, HookAnswer, HookCall, Rejection};
use serde::Deserialize;
use serde_json::{Value, json};
use shell::{Clock, Shutdown};
use store::{Store, SubmitError};
use tokio::task::JoinSet;

/// How often alarms are looked at while a deployment watches some.
const TICK: Duration = Duration::from_secs(1);
/// How often it looks while there is nothing to do.
const IDLE: Duration = Duration::from_secs(60);
/// A hook answers within this, as a Lambda function has to end.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15 * 60);
/// A connection stands within this.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);
/// No longer answer is read.
const LONGEST_ANSWER: usize = 256 * 1024;
/// The longest time that a hook may ask for before it is asked again: an hour.
const LONGEST_DELAY: u64 = 60 * 60;

/// How alarms stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmStates {
    /// Those of them that are in alarm.
    pub in_alarm: Vec<String>,
    /// How long the slowest of them takes to notice something.
    pub notice: Duration,
}

/// Where alarms are.
pub trait AlarmSource: Send + Sync + Debug {
    /// How these stand. One that does not exist is in no alarm.
    fn look(&self, names: &[String]) -> AlarmStates;
}

/// Runs until shutdown.
pub async fn run(
    store: Store,
    clock: Arc<dyn Clock>,
    alarms: Arc<dyn AlarmSource>,
    mut shutdown: Shutdown,
) {
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECTS_WITHIN)
        .timeout(ANSWERS_WITHIN)
        .redirect(reqwest::redirect::Policy::none())
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(error = stdx::chain(&error), "No lifecycle hook can be called.");
            return;
        }
    };
    let mut changed = store.subscribe();
    let mut calls: JoinSet<HookId> = JoinSet::new();
    let mut under_way: BTreeSet<HookId> = BTreeSet::new();
    loop {
        changed.mark_unchanged();
        let state = store.snapshot();
        let (due, next) = scheduler::hook_calls(&state, clock.now());
        for call in due {
            if under_way.insert(call.hook.clone()) {
                let body = body(&state, &call);
                calls.spawn(ask(client.clone(), store.clone(), call, body));
            }
        }
        let watched = scheduler::watched_alarms(&state);
        let quiet = watched.is_empty();
        for (record, names) in watched {
            look(&store, &record, &names, alarms.as_ref()).await;
        }
        let usual = if quiet { IDLE } else { TICK };
        let wait = next.map_or(usual, |at| at.since(clock.now()).min(usual));
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(wait) => {}
            Some(done) = calls.join_next() => {
                if let Ok(hook) = done {
                    under_way.remove(&hook);
                }
            }
            gone = changed.changed() => if gone.is_err() { return },
        }
        if shutdown.is_stopping() {
            return;
        }
    }
}

/// Tells a deployment of its alarms, if that is news.
async fn look(
    store: &Store,
    record: &ServiceDeployment,
    names: &[String],
    source: &dyn AlarmSource,
) {
    let AlarmStates { in_alarm, notice } = source.look(names);
    let news = match &record.ignored {
        None => true,
        Some(ignored) => in_alarm.iter().any(|name| !ignored.contains(name)),
    };
    if news {
        let key = record.key.clone();
        submit(store, DeploymentCommand::Alarms { key, in_alarm, notice }).await;
    }
}

/// Asks a hook, and tells its deployment what it said.
async fn ask(client: reqwest::Client, store: Store, call: HookCall, body: String) -> HookId {
    let answer = post(&client, &call.url, body).await;
    tracing::info!(
        deployment = %call.deployment, hook = %call.hook, url = call.url, ?answer,
        "A lifecycle hook was called."
    );
    let (key, hook) = (call.deployment, call.hook.clone());
    submit(&store, DeploymentCommand::Answer { key, hook, answer }).await;
    call.hook
}

async fn submit(store: &Store, command: DeploymentCommand) {
    match store.submit(Command::Deployment(command.clone())).await {
        Ok(_) | Err(SubmitError::Rejected(Rejection::Stale)) => {}
        Err(error) => tracing::error!(?command, %error, "A deployment could not be told."),
    }
}

async fn post(client: &reqwest::Client, url: &str, body: String) -> HookAnswer {
    let request = client.post(url).header("content-type", "application/json").body(body);
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_builder() => {
            return HookAnswer::Failed(format!("{url} cannot be called: {}", stdx::chain(&error)));
        }
        Err(error) => return HookAnswer::Unreachable(stdx::chain(&error)),
    };
    let status = response.status();
    if status.is_server_error() {
        return HookAnswer::Unreachable(format!("{url} answered HTTP {status}"));
    }
    if !status.is_success() {
        return HookAnswer::Failed(format!("{url} answered HTTP {status}"));
    }
    match response.bytes().await {
        Ok(bytes) if bytes.len() > LONGEST_ANSWER => {
            HookAnswer::Failed(format!("{url} answered more than {LONGEST_ANSWER} bytes"))
        }
        Ok(bytes) => read(url, &bytes),
        Err(error) => HookAnswer::Unreachable(stdx::chain(&error)),
    }
}

/// What a hook answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    hook_status: Option<String>,
    call_back_delay: Option<f64>,
    hook_details: Option<Value>,
    reason: Option<String>,
}

fn read(url: &str, bytes: &[u8]) -> HookAnswer {
    let said: Said = match serde_json::from_slice(bytes) {
        Ok(said) => said,
        Err(error) => {
            return HookAnswer::Failed(format!("{url} answered no JSON object: {error}"));
        }
    };
    match said.hook_status.as_deref() {
        Some("SUCCEEDED") => HookAnswer::Succeeded,
        Some("FAILED") => {
            HookAnswer::Failed(said.reason.unwrap_or_else(|| format!("{url} answered FAILED")))
        }
        Some("IN_PROGRESS") => HookAnswer::InProgress {
            delay: said.call_back_delay.filter(|delay| *delay >= 0.0).map(|delay| {
                // Whole seconds of an hour at most.
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "clamped"
                )]
                let seconds = delay.min(3600.0) as u64;
                Duration::from_secs(seconds.min(LONGEST_DELAY))
            }),
            details: said.hook_details.filter(Value::is_object).map(|details| details.to_string()),
        },
        Some(other) => HookAnswer::Failed(format!(
            "{url} answered the hookStatus \"{other}\", which is none of SUCCEEDED, FAILED and IN_PROGRESS"
        )),
        None => HookAnswer::Failed(format!("{url} answered without a hookStatus")),
    }
}

/// The event as ECS sends it to a function.
fn body(state: &State, call: &HookCall) -> String {
    let realm = state.realm();
    let service = &call.deployment.service;
    let record = state.deployments().deployment(&call.deployment);
    let arn = |id: &DeploymentId| {
        realm.service_revision(&RevisionKey { service: service.clone(), deployment: id.clone() })
    };
    let (mut production, mut test) = (BTreeMap::new(), BTreeMap::new());
    if let Some(record) = record {
        let rest = TrafficShare(TrafficShare::ALL.0 - record.production.0);
        let source = record.sources.first().map(|id| (id, rest, !record.test));
        let target = (&record.target, record.production, record.test);
        for (id, share, tested) in source.into_iter().chain([target]) {
            production.insert(arn(id), number(share.percent()));
            test.insert(arn(id), number(if tested { 100.0 } else { 0.0 }));
        }
    }
    let mut event = json!({
        "executionDetails": {
            "testTrafficWeights": test,
            "productionTrafficWeights": production,
            "serviceArn": realm.service(service),
            "targetServiceRevisionArn": record.map(|record| arn(&record.target)),
        },
        "executionId": call.hook.as_str(),
        "lifecycleStage": scheduler::words::stage(call.stage),
        "resourceArn": realm.service_deployment(&call.deployment),
    });
    let details = call.details.as_deref().and_then(|text| serde_json::from_str(text).ok());
    if let (Some(details), Some(event)) = (details, event.as_object_mut()) {
        event.insert("hookDetails".to_owned(), details);
    }
    event.to_string()
}

/// A whole number as one.
fn number(percent: f64) -> Value {
    if percent.fract() == 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "0 to 100")]
        let whole = percent as i64;
        return json!(whole);
    }
    json!(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood_or_are_a_no() {
        let seconds = |n| Some(Duration::from_secs(n));
        let in_progress = |delay, details: Option<&str>| HookAnswer::InProgress {
            delay,
            details: details.map(str::to_owned),
        };
        for (text, answer) in [
            (r#"{"hookStatus":"SUCCEEDED"}"#, HookAnswer::Succeeded),
            (r#"{"hookStatus":"IN_PROGRESS"}"#, in_progress(None, None)),
            (r#"{"hookStatus":"IN_PROGRESS","callBackDelay":5}"#, in_progress(seconds(5), None)),
            (
                r#"{"hookStatus":"IN_PROGRESS","callBackDelay":1e9,"hookDetails":{"n":2}}"#,
                in_progress(seconds(3600), Some(r#"{"n":2}"#)),
            ),
            (r#"{"hookStatus":"IN_PROGRESS","callBackDelay":-1}"#, in_progress(None, None)),
            (r#"{"hookStatus":"FAILED","reason":"no"}"#, HookAnswer::Failed("no".to_owned())),
        ] {
            assert_eq!(read("u", text.as_bytes()), answer, "{text}");
        }
        for (text, says) in [
            (r#"{"hookStatus":"FAILED"}"#, "u answered FAILED"),
            (r#"{"hookStatus":"OK"}"#, "is none of SUCCEEDED"),
            ("{}", "without a hookStatus"),
            ("null", "no JSON object"),
            ("", "no JSON object"),
        ] {
            let HookAnswer::Failed(why) = read("u", text.as_bytes()) else { panic!("{text}") };
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn whole_percents_are_whole_numbers() {
        assert_eq!(number(10.0).to_string(), "10");
        assert_eq!(number(5.5).to_string(), "5.5");
    }
}
