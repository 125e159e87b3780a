//! What ties the containers of a task together: `dependsOn`, `links` and `volumesFrom`. Each makes
//! one container start after another, so together they must not form a circle.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDependency.html>

use std::collections::{BTreeMap, BTreeSet};

use aws::Error;
use aws::ecs::{ContainerCondition, ContainerDefinition, NetworkMode};

use super::container::wrong;
use super::validate::Surroundings;
use crate::errors::client;

/// The member by which a container waits for those that it is linked to.
const LINKS: &str = "links";

/// Checks what a container waits for.
pub(super) fn check(
    name: &str,
    container: &ContainerDefinition,
    task: &Surroundings<'_>,
) -> Result<(), Error> {
    borrowed(name, container, task)?;
    links(name, container, task)?;
    dependencies(name, container, task)
}

/// The other container of the task with this name.
fn other<'a>(name: &str, wanted: &str, task: &Surroundings<'a>) -> Option<&'a ContainerDefinition> {
    task.containers.iter().find(|c| c.name.as_deref() == Some(wanted) && wanted != name)
}

/// Volumes of other containers of the task.
fn borrowed(name: &str, c: &ContainerDefinition, task: &Surroundings<'_>) -> Result<(), Error> {
    for from in c.volumes_from.iter().flatten() {
        let source = from.source_container.as_deref().unwrap_or_default();
        if other(name, source, task).is_none() {
            return Err(wrong(
                name,
                "volumesFrom",
                format!("there is no other container '{source}' in the task."),
            ));
        }
    }
    Ok(())
}

/// Names of other containers, with an alias behind a colon: a thing of Docker's default bridge.
fn links(name: &str, c: &ContainerDefinition, task: &Surroundings<'_>) -> Result<(), Error> {
    let links = c.links.as_deref().unwrap_or_default();
    if links.is_empty() {
        return Ok(());
    }
    if *task.mode != NetworkMode::Bridge {
        return Err(client(format!("Links are not supported when networkMode={}.", task.mode)));
    }
    if c.disable_networking == Some(true) {
        return Err(wrong(name, "links", "disableNetworking leaves the container no network."));
    }
    let right = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let mut aliases = BTreeSet::new();
    for link in links {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        if alias.is_empty() || !alias.bytes().all(right) {
            return Err(wrong(
                name,
                "links",
                format!("\"{link}\" is neither a container nor container:alias."),
            ));
        }
        match other(name, target, task) {
            None => {
                return Err(wrong(
                    name,
                    "links",
                    format!("there is no other container '{target}' in the task."),
                ));
            }
            Some(target) if target.disable_networking == Some(true) => {
                return Err(wrong(name, "links", format!("'{link}' has no network.")));
            }
            Some(_) => {}
        }
        if !aliases.insert(alias) {
            return Err(wrong(name, "links", format!("the alias '{alias}' is given twice.")));
        }
    }
    Ok(())
}

fn dependencies(name: &str, c: &ContainerDefinition, task: &Surroundings<'_>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for dependency in c.depends_on.iter().flatten() {
        let on = dependency.container_name.as_deref().unwrap_or_default();
        let Some(other) = task.containers.iter().find(|o| o.name.as_deref() == Some(on)) else {
            // The plus sign is ECS's own.
            return Err(client(format!(
                "Cannot depend on container + '{on}' because it does not exist"
            )));
        };
        if !seen.insert(on) {
            return Err(wrong(name, "dependsOn", format!("'{on}' is named twice.")));
        }
        match &dependency.condition {
            Some(ContainerCondition::Start) => {}
            Some(ContainerCondition::Healthy) if other.health_check.is_some() => {}
            Some(ContainerCondition::Healthy) => {
                return Err(wrong(
                    name,
                    "dependsOn",
                    format!("'{on}' has no healthCheck, so it never becomes HEALTHY."),
                ));
            }
            Some(ContainerCondition::Complete | ContainerCondition::Success)
                if !other.essential.unwrap_or(true) => {}
            Some(ContainerCondition::Complete | ContainerCondition::Success) => {
                return Err(client(
                    "A dependency container with SUCCESS or COMPLETE condition cannot be an essential \
                     container",
                ));
            }
            Some(ContainerCondition::Unrecognized(_)) | None => {
                return Err(wrong(
                    name,
                    "dependsOn",
                    "the condition is START, COMPLETE, SUCCESS or HEALTHY.",
                ));
            }
        }
    }
    match in_a_circle(name, task.containers) {
        Some(LINKS) => Err(client("Container links should not have a cycle")),
        Some(member) => {
            Err(wrong(name, member, "the containers wait for one another in a circle."))
        }
        None => Ok(()),
    }
}

/// Whether a container waits, by way of others, for itself; if so, the member by which it waits first.
fn in_a_circle(name: &str, containers: &[ContainerDefinition]) -> Option<&'static str> {
    let waits: BTreeMap<&str, Vec<(&'static str, &str)>> =
        containers.iter().map(|c| (c.name.as_deref().unwrap_or_default(), waits_for(c))).collect();
    for (member, first) in waits.get(name).into_iter().flatten() {
        let mut open = vec![*first];
        let mut seen = BTreeSet::new();
        while let Some(next) = open.pop() {
            if next == name {
                return Some(member);
            }
            if seen.insert(next) {
                open.extend(waits.get(next).into_iter().flatten().map(|(_, on)| *on));
            }
        }
    }
    None
}

/// Whom a container waits for, and by which member.
fn waits_for(c: &ContainerDefinition) -> Vec<(&'static str, &str)> {
    let depends = c.depends_on.iter().flatten().filter_map(|d| d.container_name.as_deref());
    let links = c.links.iter().flatten().map(|l| l.split(':').next().unwrap_or_default());
    let volumes = c.volumes_from.iter().flatten().filter_map(|v| v.source_container.as_deref());
    depends
        .map(|on| ("dependsOn", on))
        .chain(links.map(|on| (LINKS, on)))
        .chain(volumes.map(|on| ("volumesFrom", on)))
        .collect()
}
