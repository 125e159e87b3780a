//! Tasks that their service must not stop to scale in or to deploy.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskProtection.html>

use std::time::Duration;

use aws::Error;
use aws::ecs::{
    Failure, GetTaskProtectionRequest, GetTaskProtectionResponse, ProtectedTask,
    UpdateTaskProtectionRequest, UpdateTaskProtectionResponse,
};
use model::{ClusterName, DesiredStatus, State, Task, TaskKey};
use scheduler::{Command, Rejection};
use stdx::Timestamp;
use store::SubmitError;

use crate::door::Door;
use crate::errors::{self, invalid, missing};
use crate::refer;

/// How many tasks can be protected at once.
const MOST_UPDATED: usize = 10;
/// How many tasks can be asked about at once.
const MOST_READ: usize = 100;
/// How long a task is protected unless it is said, in minutes.
const DEFAULT_MINUTES: i32 = 120;
/// How long a task can be protected, in minutes: two days.
const MOST_MINUTES: i32 = 2880;

pub(crate) async fn update(
    door: &Door,
    request: UpdateTaskProtectionRequest,
) -> Result<UpdateTaskProtectionResponse, Error> {
    let cluster = refer::cluster(&door.snapshot(), request.cluster.as_deref())?;
    let Some(enabled) = request.protection_enabled else {
        return Err(invalid("protectionEnabled can not be blank."));
    };
    // Checked also where protection ends and nothing follows from it.
    let minutes = request.expires_in_minutes.unwrap_or(DEFAULT_MINUTES);
    let seconds = u64::try_from(minutes)
        .ok()
        .filter(|_| (1..=MOST_MINUTES).contains(&minutes))
        .map(|minutes| minutes * 60)
        .ok_or_else(|| {
            invalid(format!("expiresInMinutes must be between 1 and {MOST_MINUTES}."))
        })?;
    let period = enabled.then_some(Duration::from_secs(seconds));
    let keys = named(door, &cluster, request.tasks.as_ref(), MOST_UPDATED)?;
    let (mut protected, mut failures) = (Vec::new(), Vec::new());
    for key in keys {
        match door.try_submit(Command::ProtectTask { key: key.clone(), period }).await {
            Ok(committed) => {
                let state = &committed.state;
                let until = state.task(&key).and_then(|task| task.progress.protected_until);
                protected.push(shown(state, &key, until));
            }
            Err(SubmitError::Rejected(Rejection::TaskNotFound(_))) => {
                failures.push(missing(door.realm().task(&key)));
            }
            Err(SubmitError::Rejected(Rejection::TaskNotProtectable(_))) => {
                failures.push(not_valid(&door.snapshot(), &key));
            }
            Err(error) => return Err(errors::submit(door.realm(), &error)),
        }
    }
    Ok(UpdateTaskProtectionResponse { protected_tasks: Some(protected), failures: Some(failures) })
}

pub(crate) async fn get(
    door: &Door,
    request: GetTaskProtectionRequest,
) -> Result<GetTaskProtectionResponse, Error> {
    let state = door.snapshot();
    let cluster = refer::cluster(&state, request.cluster.as_deref())?;
    let keys = named(door, &cluster, request.tasks.as_ref(), MOST_READ)?;
    let now = door.now();
    let (mut protected, mut failures) = (Vec::new(), Vec::new());
    for key in keys {
        match state.task(&key) {
            Some(task) if protectable(task) => {
                protected.push(shown(&state, &key, task.protected_until(now)));
            }
            Some(_) => failures.push(not_valid(&state, &key)),
            None => failures.push(missing(state.realm().task(&key))),
        }
    }
    Ok(GetTaskProtectionResponse { protected_tasks: Some(protected), failures: Some(failures) })
}

/// The tasks that a request names.
fn named(
    door: &Door,
    cluster: &ClusterName,
    given: Option<&Vec<String>>,
    most: usize,
) -> Result<Vec<TaskKey>, Error> {
    let given = given.map(Vec::as_slice).unwrap_or_default();
    if given.is_empty() {
        return Err(invalid("Tasks cannot be empty."));
    }
    if given.len() > most {
        return Err(invalid(format!("tasks: at most {most} can be named at once.")));
    }
    given.iter().map(|given| refer::task(door.realm(), cluster, given)).collect()
}

fn protectable(task: &Task) -> bool {
    task.facts.service.is_some() && task.progress.desired == DesiredStatus::Running
}

fn shown(state: &State, key: &TaskKey, until: Option<Timestamp>) -> ProtectedTask {
    ProtectedTask {
        expiration_date: until,
        protection_enabled: Some(until.is_some()),
        task_arn: Some(state.realm().task(key)),
    }
}

/// The entry of `failures[]` for a task that cannot be protected.
fn not_valid(state: &State, key: &TaskKey) -> Failure {
    let stopping = state.task(key).is_some_and(|task| task.facts.service.is_some());
    let why = if stopping { "The task is stopping." } else { "The task belongs to no service." };
    Failure {
        arn: Some(state.realm().task(key)),
        reason: Some("TASK_NOT_VALID".to_owned()),
        detail: Some(why.to_owned()),
    }
}
