//! What requests name: ARNs, pages, tags.

use aws::Error;
use aws::elbv2::{ErrorKind, Tag};
use model::{BalancerId, BalancingResource, GroupId, ListenerId, Realm, RuleId, Tags};

use super::errors::invalid;
use crate::page::{Order, Page};

fn named<T>(
    realm: &Realm,
    arn: Option<&String>,
    what: &str,
    of: impl Fn(BalancingResource) -> Option<T>,
) -> Result<T, Error> {
    let arn = arn.map(String::as_str).unwrap_or_default();
    let found = realm.parse_balancing(arn).and_then(of);
    found.ok_or_else(|| invalid(format!("'{arn}' is not a valid {what} ARN")))
}

/// The load balancer that an ARN names, whether or not it is there.
pub(super) fn balancer(realm: &Realm, arn: Option<&String>) -> Result<BalancerId, Error> {
    named(realm, arn, "load balancer", |found| match found {
        BalancingResource::Balancer(id) => Some(id),
        _ => None,
    })
}

/// The target group that an ARN names.
pub(super) fn group(realm: &Realm, arn: Option<&String>) -> Result<GroupId, Error> {
    named(realm, arn, "target group", |found| match found {
        BalancingResource::Group(id) => Some(id),
        _ => None,
    })
}

/// The listener that an ARN names.
pub(super) fn listener(realm: &Realm, arn: Option<&String>) -> Result<ListenerId, Error> {
    named(realm, arn, "listener", |found| match found {
        BalancingResource::Listener(id) => Some(id),
        _ => None,
    })
}

/// The rule that an ARN names.
pub(super) fn rule(realm: &Realm, arn: Option<&String>) -> Result<RuleId, Error> {
    named(realm, arn, "listener rule", |found| match found {
        BalancingResource::Rule(id) => Some(id),
        _ => None,
    })
}

/// `LoadBalancerNotFound`
pub(super) fn no_balancer(what: &str) -> Error {
    ErrorKind::LoadBalancerNotFoundException.with(format!("Load balancers '[{what}]' not found"))
}

/// `TargetGroupNotFound`
pub(super) fn no_group(what: &str) -> Error {
    ErrorKind::TargetGroupNotFoundException
        .with(format!("One or more target groups not found: {what}"))
}

/// `ListenerNotFound`
pub(super) fn no_listener(what: &str) -> Error {
    ErrorKind::ListenerNotFoundException.with(format!("One or more listeners not found: {what}"))
}

/// `RuleNotFound`
pub(super) fn no_rule(what: &str) -> Error {
    ErrorKind::RuleNotFoundException.with(format!("One or more rules not found: {what}"))
}

/// One page of `entries`, each with its unique key, in the order of the keys.
pub(super) fn page<T>(
    operation: &'static str,
    marker: Option<&String>,
    page_size: Option<i32>,
    entries: Vec<(String, T)>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let token = marker.map(String::as_str);
    let page = Page { operation, token, max_results: page_size, usual: 400, most: 400, query: 0 };
    page.cut(entries, Order::Ascending).map_err(|_| match marker {
        Some(marker) => invalid(format!("Invalid marker: '{marker}'")),
        None => invalid("PageSize must be between 1 and 400"),
    })
}

/// Reads tags; none is the same as an empty list.
pub(super) fn tags(tags: Option<&Vec<Tag>>) -> Result<Tags, Error> {
    let mut read = Tags::default();
    for tag in tags.into_iter().flatten() {
        let key = tag.key.clone().unwrap_or_default();
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(invalid(format!(
                "The tag key '{key}' begins with 'aws:', which is reserved; choose another"
            )));
        }
        if read.0.insert(key.clone(), tag.value.clone().unwrap_or_default()).is_some() {
            return Err(ErrorKind::DuplicateTagKeysException
                .with(format!("The tag key '{key}' is given more than once")));
        }
    }
    Ok(read)
}

/// Tags as answers have them.
pub(super) fn wire_tags(tags: &Tags) -> Vec<Tag> {
    let one = |(key, value): (&String, &String)| Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    tags.0.iter().map(one).collect()
}

/// A name of a load balancer or a target group: 32 letters, digits and hyphens, none at its ends.
pub(super) fn name(what: &str, given: Option<&String>) -> Result<String, Error> {
    let name = given.cloned().unwrap_or_default();
    let refuse = |why: &str| Err(invalid(format!("The {what} name '{name}' {why}")));
    if name.is_empty() || name.chars().count() > 32 {
        return refuse("must have between 1 and 32 characters");
    }
    if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-') {
        return refuse(
            "can only contain characters that are alphanumeric characters or hyphens(-)",
        );
    }
    if name.starts_with('-') || name.ends_with('-') {
        return refuse("must not begin or end with a hyphen");
    }
    if name.starts_with("internal-") {
        return refuse("must not begin with 'internal-'");
    }
    Ok(name)
}

/// A port.
pub(super) fn port(given: i32) -> Result<u16, Error> {
    let port = u16::try_from(given).ok().filter(|port| *port > 0);
    port.ok_or_else(|| invalid(format!("Port '{given}' must be between 1 and 65535")))
}
