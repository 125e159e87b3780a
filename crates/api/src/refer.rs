//! How requests name things: by short name or by ARN, in a cluster that is `default` unless given.

use aws::Error;
use aws::ecs::ErrorKind;
use model::{
    ClusterName, DefinitionKey, Family, InstanceKey, Realm, Resource, ServiceKey, State,
    TaskDefinition, TaskKey,
};
use std::sync::Arc;

use crate::errors::invalid;

/// The longest name of a cluster, service or family.
const LONGEST_NAME: usize = 255;

/// The longest id of a task or container instance, as ECS says it.
const LONGEST_ID: usize = 36;

/// Letters, digits, `-` and `_`, at most 255: ECS's names.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LONGEST_NAME
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_arn(text: &str) -> bool {
    text.starts_with("arn:")
}

fn parse(realm: &Realm, arn: &str) -> Result<Resource, Error> {
    realm.parse(arn).map_err(|error| invalid(format!("Invalid identifier: {error}.")))
}

fn kind(arn: &str, expected: &str) -> Error {
    invalid(format!("Invalid identifier: \"{arn}\" is not the ARN of a {expected}."))
}

/// The cluster that a request acts upon. It need not exist.
pub(crate) fn cluster_name(realm: &Realm, given: Option<&str>) -> Result<ClusterName, Error> {
    match given {
        None | Some("") => Ok("default".into()),
        Some(arn) if is_arn(arn) => match parse(realm, arn)? {
            Resource::Cluster(name) => Ok(name),
            _ => Err(kind(arn, "cluster")),
        },
        Some(name) if is_name(name) => Ok(name.into()),
        Some(name) => Err(invalid(format!(
            "\"{name}\" is not a cluster name: it has up to {LONGEST_NAME} letters, digits, \
             hyphens and underscores."
        ))),
    }
}

/// The cluster that a request acts upon, which must be active.
pub(crate) fn cluster(state: &State, given: Option<&str>) -> Result<ClusterName, Error> {
    let name = cluster_name(state.realm(), given)?;
    match state.cluster(&name) {
        Some(cluster) if cluster.status == model::ClusterStatus::Active => Ok(name),
        _ => Err(ErrorKind::ClusterNotFoundException.with("Cluster not found.")),
    }
}

/// The same, or where nodes are registered that offer Fargate alone.
pub(crate) fn cluster_of_nodes(state: &State, given: Option<&str>) -> Result<ClusterName, Error> {
    match cluster_name(state.realm(), given)? {
        name if name.is_fargates() => Ok(name),
        _ => cluster(state, given),
    }
}

fn same_cluster(theirs: &ClusterName, ours: &ClusterName) -> Result<(), Error> {
    if theirs == ours {
        return Ok(());
    }
    Err(invalid(format!(
        "Invalid identifier: Identifier is for cluster {theirs}. Your cluster is {ours}"
    )))
}

/// A task of this cluster. It need not exist.
pub(crate) fn task(realm: &Realm, cluster: &ClusterName, given: &str) -> Result<TaskKey, Error> {
    if is_arn(given) {
        return match parse(realm, given)? {
            Resource::Task(key) => same_cluster(&key.cluster, cluster).map(|()| key),
            _ => Err(kind(given, "task")),
        };
    }
    short_id("taskId", given)?;
    Ok(TaskKey { cluster: cluster.clone(), task: given.into() })
}

/// A container instance of this cluster. It need not exist.
pub(crate) fn instance(
    realm: &Realm,
    cluster: &ClusterName,
    given: &str,
) -> Result<InstanceKey, Error> {
    if is_arn(given) {
        return match parse(realm, given)? {
            Resource::Instance(key) => same_cluster(&key.cluster, cluster).map(|()| key),
            _ => Err(kind(given, "container instance")),
        };
    }
    short_id("containerInstanceId", given)?;
    Ok(InstanceKey { cluster: cluster.clone(), instance: given.into() })
}

/// A service of this cluster. It need not exist.
pub(crate) fn service(
    realm: &Realm,
    cluster: &ClusterName,
    given: &str,
) -> Result<ServiceKey, Error> {
    if is_arn(given) {
        return match parse(realm, given)? {
            Resource::Service(key) => same_cluster(&key.cluster, cluster).map(|()| key),
            _ => Err(kind(given, "service")),
        };
    }
    if !is_name(given) {
        return Err(invalid(format!(
            "\"{given}\" is not a service name: it has up to {LONGEST_NAME} letters, digits, \
             hyphens and underscores."
        )));
    }
    Ok(ServiceKey { cluster: cluster.clone(), service: given.into() })
}

fn short_id(what: &str, given: &str) -> Result<(), Error> {
    if given.is_empty() {
        return Err(invalid(format!("{what} can not be blank.")));
    }
    if given.len() > LONGEST_ID {
        return Err(invalid(format!("{what} longer than {LONGEST_ID}.")));
    }
    if given.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        return Err(invalid(format!("{what} \"{given}\" contains invalid characters.")));
    }
    Ok(())
}

/// How a request names a task definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DefinitionRef {
    /// The newest active one of a family.
    Family(Family),
    /// This one.
    Exact(DefinitionKey),
}

/// Reads `family`, `family:revision` or the ARN of either.
pub(crate) fn definition(realm: &Realm, given: &str) -> Result<DefinitionRef, Error> {
    let text = if is_arn(given) {
        let prefix = format!(
            "arn:{}:ecs:{}:{}:task-definition/",
            realm.partition, realm.region, realm.account
        );
        match given.strip_prefix(&prefix) {
            Some(text) => text,
            None => return Err(foreign_definition(realm, given)),
        }
    } else {
        given
    };
    match text.split_once(':') {
        None if is_name(text) => Ok(DefinitionRef::Family(text.into())),
        Some((family, _)) if is_name(family) => DefinitionKey::parse(text)
            .map(DefinitionRef::Exact)
            .ok_or_else(|| invalid(format!("Invalid revision number in \"{given}\"."))),
        _ => Err(invalid(format!(
            "\"{given}\" does not name a task definition: write FAMILY, FAMILY:REVISION or its ARN."
        ))),
    }
}

fn foreign_definition(realm: &Realm, arn: &str) -> Error {
    match realm.parse(arn) {
        Err(error) => invalid(format!("Invalid identifier: {error}.")),
        Ok(_) => kind(arn, "task definition"),
    }
}

/// The task definition that a request means, in any status if it is named with its revision; a
/// family means its newest active one.
pub(crate) fn find_definition<'a>(
    state: &'a State,
    given: &str,
) -> Result<Option<&'a Arc<TaskDefinition>>, Error> {
    Ok(match definition(state.realm(), given)? {
        DefinitionRef::Family(family) => state.latest_active(&family),
        DefinitionRef::Exact(key) => state.definition(&key),
    })
}

/// The task definition that new tasks are to run.
pub(crate) fn definition_to_run<'a>(
    state: &'a State,
    given: &str,
) -> Result<&'a Arc<TaskDefinition>, Error> {
    find_definition(state, given)?
        .ok_or_else(|| ErrorKind::ClientException.with("TaskDefinition not found."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Revision;

    fn realm() -> Realm {
        Realm::new("eu-west-1", "123456789012")
    }

    #[test]
    fn clusters_are_named_by_name_or_arn() {
        let realm = realm();
        for (given, name) in [
            (None, "default"),
            (Some(""), "default"),
            (Some("a-b_C1"), "a-b_C1"),
            (Some("arn:aws:ecs:eu-west-1:123456789012:cluster/x"), "x"),
        ] {
            assert_eq!(cluster_name(&realm, given), Ok(name.into()));
        }
        for given in [
            "a b",
            "a/b",
            "arn:aws:ecs:us-east-1:123456789012:cluster/x",
            "arn:aws:ecs:eu-west-1:123456789012:task/x/y",
            "arn:",
        ] {
            let error = cluster_name(&realm, Some(given)).unwrap_err();
            assert_eq!(error.code, "InvalidParameterException", "{given}");
        }
    }

    #[test]
    fn an_arn_of_another_cluster_is_refused() {
        let arn = "arn:aws:ecs:eu-west-1:123456789012:task/other/0f";
        let error = task(&realm(), &"default".into(), arn).unwrap_err();
        assert_eq!(
            error.message,
            "Invalid identifier: Identifier is for cluster other. Your cluster is default"
        );
        assert!(task(&realm(), &"other".into(), arn).is_ok());
        let error = task(&realm(), &"default".into(), &"a".repeat(37)).unwrap_err();
        assert_eq!(error.message, "taskId longer than 36.");
        assert!(instance(&realm(), &"default".into(), "a/b").is_err());
        assert!(service(&realm(), &"default".into(), "a:b").is_err());
    }

    #[test]
    fn definitions_are_named_in_three_ways() {
        let exact =
            DefinitionRef::Exact(DefinitionKey { family: "web".into(), revision: Revision(3) });
        let family = DefinitionRef::Family("web".into());
        let arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web";
        for (given, expected) in [
            ("web".to_owned(), &family),
            ("web:3".to_owned(), &exact),
            (arn.to_owned(), &family),
            (format!("{arn}:3"), &exact),
        ] {
            assert_eq!(definition(&realm(), &given).as_ref(), Ok(expected), "{given}");
        }
        for given in ["", ":", "web:", "web:0", "web:x", "web:-1", "a/b", "web:99999999999"] {
            assert!(definition(&realm(), given).is_err(), "{given}");
        }
    }
}
