//! Task definitions: numbered in their family, deregistered, deleted. A number is never used twice:
//! the highest of a family is remembered even when it is deleted (see [`super::planned::forget`]).

use std::sync::Arc;

use model::{
    Change, DefinitionKey, DefinitionStatus, Document, Family, Revision, Tags, TaskDefinition,
    TaskSpec,
};

use crate::desk::Desk;
use crate::{Rejection, Reply};

/// The most revisions of a family, an ECS quota.
const MOST_REVISIONS: u32 = 1_000_000;

/// What was registered.
pub(super) struct Registered<'a> {
    pub(super) document: &'a Document,
    pub(super) spec: &'a TaskSpec,
    pub(super) tags: &'a Tags,
    pub(super) by: &'a str,
}

/// RegisterTaskDefinition: the family's next number.
pub(super) fn register(
    desk: &mut Desk<'_>,
    family: &Family,
    registered: Registered<'_>,
) -> Result<Reply, Rejection> {
    let highest = desk.state.family(family).next_back().map_or(0, |d| d.key.revision.0);
    if highest >= MOST_REVISIONS {
        return Err(Rejection::Limit(format!(
            "The family {family} has reached its {MOST_REVISIONS} revisions. Use another family."
        )));
    }
    let key = DefinitionKey { family: family.clone(), revision: Revision(highest + 1) };
    desk.put(Change::PutDefinition(Arc::new(TaskDefinition {
        key: key.clone(),
        status: DefinitionStatus::Active,
        document: registered.document.clone(),
        spec: Arc::new(registered.spec.clone()),
        tags: registered.tags.clone(),
        registered_at: desk.now,
        registered_by: registered.by.to_owned(),
        deregistered_at: None,
        delete_requested_at: None,
    })));
    Ok(Reply::Definition(key))
}

/// DeregisterTaskDefinition: it starts nothing new. Again: nothing happens.
pub(super) fn deregister(desk: &mut Desk<'_>, key: &DefinitionKey) -> Result<Reply, Rejection> {
    let definition = find(desk, key)?;
    if definition.status == DefinitionStatus::Active {
        let next = TaskDefinition {
            status: DefinitionStatus::Inactive,
            deregistered_at: Some(desk.now),
            ..TaskDefinition::clone(definition)
        };
        desk.put(Change::PutDefinition(Arc::new(next)));
    }
    Ok(Reply::Definition(key.clone()))
}

/// DeleteTaskDefinitions, one of them: it must have been deregistered before.
pub(super) fn delete(desk: &mut Desk<'_>, key: &DefinitionKey) -> Result<Reply, Rejection> {
    let definition = find(desk, key)?;
    match definition.status {
        DefinitionStatus::Active => return Err(Rejection::DefinitionActive(key.clone())),
        DefinitionStatus::DeleteInProgress => {}
        DefinitionStatus::Inactive => {
            let status = DefinitionStatus::DeleteInProgress;
            let delete_requested_at = Some(desk.now);
            let next =
                TaskDefinition { status, delete_requested_at, ..TaskDefinition::clone(definition) };
            desk.put(Change::PutDefinition(Arc::new(next)));
        }
    }
    Ok(Reply::Definition(key.clone()))
}

fn find<'a>(desk: &Desk<'a>, key: &DefinitionKey) -> Result<&'a Arc<TaskDefinition>, Rejection> {
    desk.state.definition(key).ok_or_else(|| Rejection::DefinitionNotFound(key.clone()))
}
