//! What requests have in common: which service's desired count they are about, counts, pages.

use aws::Error;
use aws::application_autoscaling::{ErrorKind, ScalableDimension, ServiceNamespace};
use model::ServiceKey;

use super::errors::invalid;
use crate::page::{Order, Page};

/// Refuses namespaces and dimensions that are not of ECS.
pub(super) fn only_ecs(
    namespace: Option<&ServiceNamespace>,
    dimension: Option<&ScalableDimension>,
) -> Result<(), Error> {
    let namespace = namespace.unwrap_or(&ServiceNamespace::Ecs);
    let dimension = dimension.unwrap_or(&ScalableDimension::EcsServiceDesiredCount);
    if *namespace == ServiceNamespace::Ecs
        && *dimension == ScalableDimension::EcsServiceDesiredCount
    {
        return Ok(());
    }
    Err(invalid(format!(
        "Unsupported service namespace, resource type or scalable dimension: {namespace}, {dimension}. \
         Wharf scales ecs:service:DesiredCount of the namespace ecs only."
    )))
}

/// The service that `service/CLUSTER/NAME` names.
pub(super) fn resource(id: &str) -> Result<ServiceKey, Error> {
    let parts: Vec<&str> = id.split('/').collect();
    match parts[..] {
        ["service", cluster, service] if !cluster.is_empty() && !service.is_empty() => {
            Ok(ServiceKey { cluster: cluster.into(), service: service.into() })
        }
        _ => Err(invalid(format!(
            "Unsupported service namespace, resource type or scalable dimension: the resource ID \
             {id} is not of the form service/CLUSTER/SERVICE."
        ))),
    }
}

/// The service that a request is about.
pub(super) fn service(
    namespace: Option<&ServiceNamespace>,
    dimension: Option<&ScalableDimension>,
    id: Option<&String>,
) -> Result<ServiceKey, Error> {
    only_ecs(namespace, dimension)?;
    resource(id.map(String::as_str).unwrap_or_default())
}

/// The service that a list is restricted to, if it is. A dimension alone restricts nothing.
pub(super) fn filter(
    namespace: Option<&ServiceNamespace>,
    dimension: Option<&ScalableDimension>,
    id: Option<&String>,
) -> Result<Option<ServiceKey>, Error> {
    only_ecs(namespace, dimension)?;
    id.map(|id| resource(id)).transpose()
}

/// A count of tasks, or of something alike.
pub(super) fn count(member: &str, given: Option<i32>) -> Result<Option<u32>, Error> {
    let refuse = |_| invalid(format!("{member} must not be negative."));
    given.map(|count| u32::try_from(count).map_err(refuse)).transpose()
}

/// A count as the wire has it.
pub(super) fn wire(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// One page of a list.
pub(super) fn page<T>(
    operation: &'static str,
    token: Option<&String>,
    max_results: Option<i32>,
    (most, order): (i32, Order),
    entries: Vec<(String, T)>,
) -> Result<(Vec<T>, Option<String>), Error> {
    if max_results.is_some_and(|n| !(1..=most).contains(&n)) {
        return Err(invalid(format!("MaxResults must be between 1 and {most}.")));
    }
    let usual = usize::try_from(most).unwrap_or(50);
    let token = token.map(String::as_str);
    let page = Page { operation, token, max_results, usual, most, query: 0 };
    page.cut(entries, order)
        .map_err(|_| ErrorKind::InvalidNextTokenException.with("The next token is not valid."))
}
