//! ListServicesByNamespace: there are no namespaces of Cloud Map here, so nothing is in one.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServicesByNamespace.html>

use aws::Error;
use aws::ecs::{ErrorKind, ListServicesByNamespaceRequest, ListServicesByNamespaceResponse};
use model::State;

use crate::errors::invalid;

/// Service Connect and namespaces are refused wherever they are asked for, so none is ever found.
pub(crate) fn services(
    _: &State,
    request: &ListServicesByNamespaceRequest,
) -> Result<ListServicesByNamespaceResponse, Error> {
    match request.namespace.as_deref().unwrap_or_default() {
        "" => Err(invalid("namespace: it names a namespace of AWS Cloud Map.")),
        given => Err(ErrorKind::NamespaceNotFoundException.with(format!(
            "The namespace {given} could not be found: Service Connect and namespaces of Cloud Map are \
             not built in Wharf."
        ))),
    }
}
