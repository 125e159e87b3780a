//! Attributes of container instances: put, delete, list.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-placement-constraints.html#attributes>

use aws::Error;
use aws::ecs::{
    Attribute as Wire, DeleteAttributesRequest, DeleteAttributesResponse, ErrorKind,
    ListAttributesRequest, ListAttributesResponse, PutAttributesRequest, PutAttributesResponse,
    TargetType,
};
use model::{Attribute, ClusterName, InstanceKey, Realm, State};
use scheduler::Command;

use crate::door::Door;
use crate::errors::invalid;
use crate::page::{Order, Page};
use crate::refer;

/// How many attributes a call may name.
const MOST_A_CALL: usize = 10;

/// The longest name and the longest value.
const LONGEST: usize = 128;

/// How names begin that nodes' agents alone may give.
const BUILT_IN: [&str; 3] = ["ecs.", "com.amazonaws.ecs.", "wharf."];

pub(crate) async fn put(
    door: &Door,
    request: PutAttributesRequest,
) -> Result<PutAttributesResponse, Error> {
    let cluster = refer::cluster(&door.snapshot(), request.cluster.as_deref())?;
    let given = request.attributes.unwrap_or_default();
    let attributes = read(&door.snapshot(), &cluster, &given, true)?;
    let put = attributes.clone();
    let committed = door.submit(Command::PutAttributes { cluster, attributes }).await?;
    let realm = committed.state.realm();
    let attributes = put.iter().map(|(key, attribute)| view(realm, key, attribute)).collect();
    Ok(PutAttributesResponse { attributes: Some(attributes) })
}

/// What is not there needs no deletion, and is not answered.
pub(crate) async fn delete(
    door: &Door,
    request: DeleteAttributesRequest,
) -> Result<DeleteAttributesResponse, Error> {
    let before = door.snapshot();
    let cluster = refer::cluster(&before, request.cluster.as_deref())?;
    let given = request.attributes.unwrap_or_default();
    let attributes = read(&before, &cluster, &given, false)?;
    let there = |(key, wanted): &(InstanceKey, Attribute)| {
        let found = before.instance(key)?.attributes.iter().find(|a| a.name == wanted.name)?;
        Some(view(before.realm(), key, found))
    };
    let deleted = attributes.iter().filter_map(there).collect();
    door.submit(Command::DeleteAttributes { cluster, attributes }).await?;
    Ok(DeleteAttributesResponse { attributes: Some(deleted) })
}

pub(crate) fn list(
    state: &State,
    request: &ListAttributesRequest,
) -> Result<ListAttributesResponse, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    target_type(request.target_type.as_ref())?;
    let some = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
    let (name, value) = (some(&request.attribute_name), some(&request.attribute_value));
    if value.is_some() && name.is_none() {
        return Err(invalid(
            "attributeValue filters the values of one attribute: give its name as attributeName.",
        ));
    }
    let wanted = |attribute: &&Attribute| {
        name.as_ref().is_none_or(|name| *name == attribute.name)
            && value.as_ref().is_none_or(|value| attribute.value.as_ref() == Some(value))
    };
    let mut entries = Vec::new();
    for instance in state.instances(&cluster) {
        for attribute in instance.attributes.iter().filter(wanted) {
            let key = format!("{}\n{}", instance.key.instance, attribute.name);
            entries.push((key, view(state.realm(), &instance.key, attribute)));
        }
    }
    let question = ListAttributesRequest { next_token: None, max_results: None, ..request.clone() };
    let token = request.next_token.as_deref();
    let page = Page::of_100("ListAttributes", token, request.max_results).of(&question)?;
    let (attributes, next_token) = page.cut(entries, Order::Ascending)?;
    Ok(ListAttributesResponse { attributes: Some(attributes), next_token })
}

fn view(realm: &Realm, key: &InstanceKey, attribute: &Attribute) -> Wire {
    Wire {
        name: Some(attribute.name.clone()),
        value: attribute.value.clone(),
        target_id: Some(realm.instance(key)),
        target_type: None,
    }
}

fn target_type(given: Option<&TargetType>) -> Result<(), Error> {
    match given {
        Some(TargetType::ContainerInstance) => Ok(()),
        Some(TargetType::Unrecognized(_)) | None => {
            Err(invalid("targetType must be container-instance."))
        }
    }
}

/// Whose attributes, and which.
fn read(
    state: &State,
    cluster: &ClusterName,
    given: &[Wire],
    put: bool,
) -> Result<Vec<(InstanceKey, Attribute)>, Error> {
    if given.is_empty() {
        return Err(invalid("Attributes cannot be empty."));
    }
    if given.len() > MOST_A_CALL {
        return Err(invalid(format!(
            "{} attributes are given; at most {MOST_A_CALL} can be in one call.",
            given.len()
        )));
    }
    let one = |wire: &Wire| {
        let key = target(state, cluster, wire)?;
        let name = name(wire.name.as_deref().unwrap_or_default())?;
        let value = wire.value.as_deref().filter(|_| put).map(|v| value(name, v)).transpose()?;
        Ok((key, Attribute { name: name.to_owned(), value: value.map(str::to_owned) }))
    };
    given.iter().map(one).collect()
}

/// The instance by its ARN, or by its id with `targetType`.
fn target(state: &State, cluster: &ClusterName, wire: &Wire) -> Result<InstanceKey, Error> {
    let given = wire.target_id.as_deref().unwrap_or_default();
    if given.is_empty() {
        return Err(invalid(
            "targetId is missing: it is the ARN of a container instance, or its id with \
             targetType container-instance.",
        ));
    }
    if wire.target_type.is_some() || !given.starts_with("arn:") {
        target_type(wire.target_type.as_ref())?;
    }
    let key = refer::instance(state.realm(), cluster, given)?;
    if state.instance(&key).is_none() {
        return Err(ErrorKind::TargetNotFoundException.with(format!(
            "The referenced target was not found: {}. See ListContainerInstances.",
            state.realm().instance(&key)
        )));
    }
    Ok(key)
}

fn name(given: &str) -> Result<&str, Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/\\.".contains(&byte);
    if given.is_empty() || given.len() > LONGEST || !given.bytes().all(fits) {
        return Err(invalid(format!(
            "Invalid attribute name \"{given}\": it has 1 to {LONGEST} letters, digits, hyphens, \
             underscores, slashes, back slashes and periods."
        )));
    }
    match BUILT_IN.iter().find(|prefix| given.starts_with(**prefix)) {
        Some(prefix) => Err(invalid(format!(
            "Invalid attribute name \"{given}\": what begins with \"{prefix}\" is told by the \
             instance's agent, and cannot be put or deleted. Choose another name."
        ))),
        None => Ok(given),
    }
}

fn value<'a>(name: &str, given: &'a str) -> Result<&'a str, Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@/\\: ".contains(&byte);
    let edges = given.starts_with(' ') || given.ends_with(' ');
    if given.is_empty() || given.len() > LONGEST || edges || !given.bytes().all(fits) {
        return Err(invalid(format!(
            "Invalid value \"{given}\" of the attribute {name}: it has 1 to {LONGEST} letters, \
             digits, hyphens, underscores, periods, at signs, slashes, back slashes, colons and \
             spaces, none of them a space at an end."
        )));
    }
    Ok(given)
}
