//! Task definitions: register, describe, list, deregister, delete.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definitions.html>

use std::collections::BTreeMap;

use aws::Error;
use aws::ecs::{
    DeleteTaskDefinitionsRequest, DeleteTaskDefinitionsResponse, DeregisterTaskDefinitionRequest,
    DeregisterTaskDefinitionResponse, DescribeTaskDefinitionRequest,
    DescribeTaskDefinitionResponse, Failure, ListTaskDefinitionFamiliesRequest,
    ListTaskDefinitionFamiliesResponse, ListTaskDefinitionsRequest, ListTaskDefinitionsResponse,
    RegisterTaskDefinitionRequest, RegisterTaskDefinitionResponse, SortOrder,
    TaskDefinition as Wire, TaskDefinitionFamilyStatus, TaskDefinitionField, TaskDefinitionStatus,
};
use model::{DefinitionKey, DefinitionStatus, Family, State, TaskDefinition};
use scheduler::{Command, Rejection, Reply};
use store::SubmitError;

use crate::definition;
use crate::door::{Caller, Door, odd_reply};
use crate::errors::{self, client, invalid};
use crate::page::{Order, Page};
use crate::refer::{self, DefinitionRef};
use crate::view;

/// How many definitions can be deleted at once.
const MOST_DELETED: usize = 10;

pub(crate) async fn register(
    door: &Door,
    caller: &Caller,
    request: RegisterTaskDefinitionRequest,
) -> Result<RegisterTaskDefinitionResponse, Error> {
    let definition::Parsed { family, document, spec, tags } =
        definition::parse(door.realm(), request)?;
    let by = caller.identity.principal.arn.clone();
    let command = Command::RegisterDefinition { family, document, spec, tags, by };
    let committed = door.submit(command).await?;
    let Reply::Definition(key) = &committed.reply else {
        return Err(odd_reply("RegisterTaskDefinition", &committed.reply));
    };
    let definition = committed.state.definition(key);
    Ok(RegisterTaskDefinitionResponse {
        task_definition: definition.map(|d| definition_view(&committed.state, d)).transpose()?,
        tags: definition.map(|d| view::tags(&d.tags)),
    })
}

pub(crate) fn describe(
    state: &State,
    request: &DescribeTaskDefinitionRequest,
) -> Result<DescribeTaskDefinitionResponse, Error> {
    let given = request.task_definition.as_deref().unwrap_or_default();
    let definition = refer::find_definition(state, given)?
        .ok_or_else(|| client("Unable to describe task definition."))?;
    let tags = request.include.as_ref().is_some_and(|i| i.contains(&TaskDefinitionField::Tags));
    Ok(DescribeTaskDefinitionResponse {
        task_definition: Some(definition_view(state, definition)?),
        tags: Some(if tags { view::tags(&definition.tags) } else { Vec::new() }),
    })
}

/// `familyPrefix` is the whole name of a family here, as ECS has it.
pub(crate) fn list(
    state: &State,
    request: &ListTaskDefinitionsRequest,
) -> Result<ListTaskDefinitionsResponse, Error> {
    let wanted = match &request.status {
        None | Some(TaskDefinitionStatus::Active) => DefinitionStatus::Active,
        Some(TaskDefinitionStatus::Inactive) => DefinitionStatus::Inactive,
        Some(TaskDefinitionStatus::DeleteInProgress) => DefinitionStatus::DeleteInProgress,
        Some(TaskDefinitionStatus::Unrecognized(text)) => {
            return Err(invalid(format!("status: \"{text}\" is no status of a task definition.")));
        }
    };
    let order = match &request.sort {
        Some(SortOrder::Desc) => Order::Descending,
        _ => Order::Ascending,
    };
    let arn = |d: &TaskDefinition| {
        let key = format!("{}:{:010}", d.key.family, d.key.revision.0);
        (key, state.realm().definition(&d.key))
    };
    let entries = match request.family_prefix.as_deref().filter(|family| !family.is_empty()) {
        Some(family) => state
            .family(&Family::from(family))
            .filter(|d| d.status == wanted)
            .map(|d| arn(d))
            .collect(),
        None => state.definitions().filter(|d| d.status == wanted).map(|d| arn(d)).collect(),
    };
    let question =
        ListTaskDefinitionsRequest { next_token: None, max_results: None, ..request.clone() };
    let token = request.next_token.as_deref();
    let page = Page::of_100("ListTaskDefinitions", token, request.max_results).of(&question)?;
    let (arns, next_token) = page.cut(entries, order)?;
    Ok(ListTaskDefinitionsResponse { task_definition_arns: Some(arns), next_token })
}

/// A family is active while it has an active revision. Deleted revisions do not make a family.
pub(crate) fn list_families(
    state: &State,
    request: &ListTaskDefinitionFamiliesRequest,
) -> Result<ListTaskDefinitionFamiliesResponse, Error> {
    let prefix = request.family_prefix.as_deref().unwrap_or_default();
    let mut families: BTreeMap<&str, bool> = BTreeMap::new();
    for definition in state.definitions() {
        let family = definition.key.family.as_str();
        if family.starts_with(prefix) && definition.status != DefinitionStatus::DeleteInProgress {
            *families.entry(family).or_default() |= definition.status == DefinitionStatus::Active;
        }
    }
    let wanted = |active: bool| match &request.status {
        None | Some(TaskDefinitionFamilyStatus::All) => Ok(true),
        Some(TaskDefinitionFamilyStatus::Active) => Ok(active),
        Some(TaskDefinitionFamilyStatus::Inactive) => Ok(!active),
        Some(TaskDefinitionFamilyStatus::Unrecognized(text)) => {
            Err(invalid(format!("status: \"{text}\" is no status of a family.")))
        }
    };
    let mut entries = Vec::new();
    for (family, active) in families {
        if wanted(active)? {
            entries.push((family.to_owned(), family.to_owned()));
        }
    }
    let question = ListTaskDefinitionFamiliesRequest {
        next_token: None,
        max_results: None,
        ..request.clone()
    };
    let token = request.next_token.as_deref();
    let page =
        Page::of_100("ListTaskDefinitionFamilies", token, request.max_results).of(&question)?;
    let (families, next_token) = page.cut(entries, Order::Ascending)?;
    Ok(ListTaskDefinitionFamiliesResponse { families: Some(families), next_token })
}

pub(crate) async fn deregister(
    door: &Door,
    request: DeregisterTaskDefinitionRequest,
) -> Result<DeregisterTaskDefinitionResponse, Error> {
    let key = exact(door, request.task_definition.as_deref().unwrap_or_default())?;
    let result = door.try_submit(Command::DeregisterDefinition(key.clone())).await;
    let committed = result.map_err(|error| match &error {
        SubmitError::Rejected(Rejection::DefinitionNotFound(_)) => no_such(),
        _ => errors::submit(door.realm(), &error),
    })?;
    let definition = committed.state.definition(&key);
    Ok(DeregisterTaskDefinitionResponse {
        task_definition: definition.map(|d| definition_view(&committed.state, d)).transpose()?,
    })
}

/// Each is deleted by itself; what can not be is told in `failures`.
pub(crate) async fn delete(
    door: &Door,
    request: DeleteTaskDefinitionsRequest,
) -> Result<DeleteTaskDefinitionsResponse, Error> {
    let given = request.task_definitions.unwrap_or_default();
    if given.is_empty() || given.len() > MOST_DELETED {
        return Err(invalid(format!(
            "taskDefinitions: between 1 and {MOST_DELETED} can be given."
        )));
    }
    let keys = given.iter().map(|given| exact(door, given)).collect::<Result<Vec<_>, _>>()?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for key in keys {
        let before = door.snapshot().definition(&key).cloned();
        match door.try_submit(Command::DeleteDefinition(key.clone())).await {
            Ok(committed) => {
                // One that nothing refers to is gone at once; it is told as it was.
                let now = committed.state.definition(&key).cloned().or(before);
                if let Some(definition) = now {
                    let mut wire = definition_view(&committed.state, &definition)?;
                    wire.status = Some(TaskDefinitionStatus::DeleteInProgress);
                    wire.delete_requested_at = wire.delete_requested_at.or(Some(door.now()));
                    deleted.push(wire);
                }
            }
            Err(error) => {
                let told = match &error {
                    SubmitError::Rejected(Rejection::DefinitionNotFound(_)) => no_such(),
                    SubmitError::Rejected(_) => errors::submit(door.realm(), &error),
                    _ => return Err(errors::submit(door.realm(), &error)),
                };
                failures.push(Failure {
                    arn: Some(door.realm().definition(&key)),
                    reason: Some(told.message),
                    detail: None,
                });
            }
        }
    }
    Ok(DeleteTaskDefinitionsResponse { task_definitions: Some(deleted), failures: Some(failures) })
}

fn exact(door: &Door, given: &str) -> Result<DefinitionKey, Error> {
    match refer::definition(door.realm(), given)? {
        DefinitionRef::Exact(key) => Ok(key),
        DefinitionRef::Family(family) => Err(client(format!(
            "Invalid revision number. Name the revision too, such as {family}:1."
        ))),
    }
}

fn no_such() -> Error {
    client(
        "The specified task definition does not exist. Specify a valid account, family, revision and \
         try again.",
    )
}

/// A definition as it is described: the document, and what belongs to the revision.
pub(crate) fn definition_view(state: &State, definition: &TaskDefinition) -> Result<Wire, Error> {
    Ok(Wire {
        task_definition_arn: Some(state.realm().definition(&definition.key)),
        revision: Some(view::count(definition.key.revision.0)),
        status: Some(view::definition_status(definition.status)),
        registered_at: Some(definition.registered_at),
        registered_by: Some(definition.registered_by.clone()),
        deregistered_at: definition.deregistered_at,
        delete_requested_at: definition.delete_requested_at,
        ..definition::decode(&definition.document)?
    })
}
