//! Why a service or a task is not as it should be.

use aws::Error;
use aws::wharf::{
    ErrorKind, ExplainServiceRequest, ExplainServiceResponse, ExplainTaskRequest,
    ExplainTaskResponse,
};

use super::view;
use crate::door::Door;
use crate::refer;

/// ExplainService.
pub(super) fn service(
    door: &Door,
    request: &ExplainServiceRequest,
) -> Result<ExplainServiceResponse, Error> {
    let state = door.snapshot();
    let cluster = refer::cluster(&state, request.cluster.as_deref())?;
    let given = request.service.as_deref().unwrap_or_default();
    let key = refer::service(door.realm(), &cluster, given)?;
    let explained = scheduler::explain::service(&state, &key, door.now())
        .ok_or_else(|| ErrorKind::ServiceNotFoundException.with("Service not found."))?;
    let subject = format!("service {}", key.service);
    Ok(ExplainServiceResponse { explanation: Some(view::explanation(subject, explained)) })
}

/// ExplainTask. An id may be cut short as long as one task alone begins so.
pub(super) fn task(
    door: &Door,
    request: &ExplainTaskRequest,
) -> Result<ExplainTaskResponse, Error> {
    let state = door.snapshot();
    let cluster = refer::cluster(&state, request.cluster.as_deref())?;
    let given = request.task.as_deref().unwrap_or_default();
    let key = refer::task(door.realm(), &cluster, given)?;
    let explained = scheduler::explain::task(&state, &key, door.now()).ok_or_else(|| {
        ErrorKind::TaskNotFoundException.with("The referenced task was not found.")
    })?;
    let subject = format!("task {}", key.task);
    Ok(ExplainTaskResponse { explanation: Some(view::explanation(subject, explained)) })
}
