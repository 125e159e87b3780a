//! What a task runs: its definition's document with the caller's overrides merged in.
//!
//! The documents are the wire's own shapes, kept as they came; this and the door are the only rooms
//! on the server's side that read them.

use aws::ecs::{ContainerDefinition, KeyValuePair, TaskDefinition, TaskOverride};
use model::{Document, Task, TaskDefinition as Definition};

/// Why a stored document cannot be read: a bug or a damaged record.
#[derive(Debug, thiserror::Error)]
#[error("read the stored {what} of {subject}")]
pub(crate) struct DocumentError {
    what: &'static str,
    subject: String,
    #[source]
    source: serde_json::Error,
}

fn read<T: serde::de::DeserializeOwned>(
    document: &Document,
    what: &'static str,
    subject: &dyn std::fmt::Display,
) -> Result<T, DocumentError> {
    serde_json::from_slice(&document.0).map_err(|source| DocumentError {
        what,
        subject: subject.to_string(),
        source,
    })
}

/// The definition as this task runs it, and the overrides as they came.
pub(crate) fn effective(
    definition: &Definition,
    task: &Task,
) -> Result<(TaskDefinition, Option<TaskOverride>), DocumentError> {
    let mut document: TaskDefinition =
        read(&definition.document, "task definition", &definition.key)?;
    let overrides: Option<TaskOverride> = match &task.facts.overrides {
        Some(overrides) => Some(read(overrides, "overrides", &task.facts.key)?),
        None => None,
    };
    if let Some(overrides) = &overrides {
        apply(&mut document, overrides);
    }
    Ok((document, overrides))
}

fn apply(document: &mut TaskDefinition, overrides: &TaskOverride) {
    replace(&mut document.cpu, overrides.cpu.as_ref());
    replace(&mut document.memory, overrides.memory.as_ref());
    replace(&mut document.task_role_arn, overrides.task_role_arn.as_ref());
    replace(&mut document.execution_role_arn, overrides.execution_role_arn.as_ref());
    for change in overrides.container_overrides.iter().flatten() {
        let containers = document.container_definitions.iter_mut().flatten();
        for container in containers.filter(|c| c.name == change.name) {
            replace(&mut container.command, change.command.as_ref());
            replace(&mut container.cpu, change.cpu.as_ref());
            replace(&mut container.memory, change.memory.as_ref());
            replace(&mut container.memory_reservation, change.memory_reservation.as_ref());
            environment(container, change.environment.as_deref().unwrap_or_default());
            // ECS: variables of an override's files come behind those of the definition's.
            if let Some(files) = change.environment_files.as_ref().filter(|f| !f.is_empty()) {
                container.environment_files.get_or_insert_default().extend(files.iter().cloned());
            }
            let devices = change.resource_requirements.as_ref();
            replace(&mut container.resource_requirements, devices.filter(|d| !d.is_empty()));
        }
    }
}

fn replace<T: Clone>(value: &mut Option<T>, by: Option<&T>) {
    if let Some(by) = by {
        *value = Some(by.clone());
    }
}

/// A variable of the same name is replaced where it stands; a new one is added.
fn environment(container: &mut ContainerDefinition, changes: &[KeyValuePair]) {
    let variables = container.environment.get_or_insert_default();
    for change in changes {
        match variables.iter_mut().find(|v| v.name == change.name) {
            Some(variable) => variable.value.clone_from(&change.value),
            None => variables.push(change.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws::ecs::ContainerOverride;

    fn pair(name: &str, value: &str) -> KeyValuePair {
        KeyValuePair { name: Some(name.into()), value: Some(value.into()) }
    }

    #[test]
    fn overrides_win_and_the_rest_stays() {
        let web = ContainerDefinition {
            name: Some("web".into()),
            command: Some(vec!["serve".into()]),
            environment: Some(vec![pair("A", "1"), pair("B", "2")]),
            memory: Some(64),
            ..Default::default()
        };
        let side = ContainerDefinition { name: Some("side".into()), ..Default::default() };
        let mut document = TaskDefinition {
            container_definitions: Some(vec![web.clone(), side.clone()]),
            cpu: Some("256".into()),
            ..Default::default()
        };
        let change = ContainerOverride {
            name: Some("web".into()),
            environment: Some(vec![pair("B", "3"), pair("C", "4")]),
            memory: Some(128),
            ..Default::default()
        };
        apply(
            &mut document,
            &TaskOverride { container_overrides: Some(vec![change]), ..Default::default() },
        );
        let [merged, other] = &document.container_definitions.unwrap()[..] else {
            panic!("two containers")
        };
        assert_eq!(merged.command, web.command);
        assert_eq!(merged.memory, Some(128));
        assert_eq!(
            merged.environment.as_deref(),
            Some(&[pair("A", "1"), pair("B", "3"), pair("C", "4")][..])
        );
        assert_eq!(other, &side);
        assert_eq!(document.cpu.as_deref(), Some("256"));
    }
}
