//! Wharf's own operations, beside AWS's: why a service or a task is not as it should be, and what a
//! change would come to. Their model is `models/wharf.json`; nothing is changed by any of them.

mod explain;
mod rehearsal;
mod view;

use aws::Error;
use aws::wharf::{
    ExplainServiceRequest, ExplainServiceResponse, ExplainTaskRequest, ExplainTaskResponse,
    PlanChangeRequest, PlanChangeResponse, Wharf,
};

use crate::door::{Caller, Door};
use crate::errors::invalid;
use rehearsal::Rehearsal;

impl Wharf for Door {
    type Context = Caller;

    async fn explain_service(
        &self,
        _: &Caller,
        request: ExplainServiceRequest,
    ) -> Result<ExplainServiceResponse, Error> {
        explain::service(self, &request)
    }

    async fn explain_task(
        &self,
        _: &Caller,
        request: ExplainTaskRequest,
    ) -> Result<ExplainTaskResponse, Error> {
        explain::task(self, &request)
    }

    async fn plan_change(
        &self,
        caller: &Caller,
        request: PlanChangeRequest,
    ) -> Result<PlanChangeResponse, Error> {
        let name = request.operation.as_deref().unwrap_or_default();
        let Some(operation) = aws::ecs::Operation::from_name(name) else {
            return Err(invalid(format!("operation: ECS has no operation {name}.")));
        };
        let rehearsal = Rehearsal::new(self);
        let body = request.request.as_deref().unwrap_or_default();
        aws::ecs::dispatch(&rehearsal, caller, operation, body.as_bytes()).await?;
        rehearsal.result()
    }
}
