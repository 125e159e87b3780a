//! Scheduled actions.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_PutScheduledAction.html>

use aws::Error;
use aws::application_autoscaling::*;
use model::{ScheduledActionKey, State};
use scheduler::ScalingCommand;
use scheduler::scaling::{NewAction, parse_schedule};

use super::errors::{invalid, submit};
use super::{read, view};
use crate::door::Door;
use crate::page::Order;

pub(super) async fn put(
    door: &Door,
    request: PutScheduledActionRequest,
) -> Result<PutScheduledActionResponse, Error> {
    let service = read::service(
        request.service_namespace.as_ref(),
        request.scalable_dimension.as_ref(),
        request.resource_id.as_ref(),
    )?;
    let name = request.scheduled_action_name.unwrap_or_default();
    let key = ScheduledActionKey { service, name: name.into() };
    let state = door.snapshot();
    let before = state.scaling().action(&key);
    // A time zone alone is about the schedule that is there.
    let expression = request.schedule.or_else(|| {
        before.filter(|_| request.timezone.is_some()).map(|before| before.expression.clone())
    });
    let zone = request.timezone.or_else(|| before.and_then(|before| before.zone.clone()));
    let schedule = match expression {
        None => None,
        Some(expression) => {
            let schedule = parse_schedule(&expression, zone.as_deref()).map_err(invalid)?;
            Some((expression, zone, schedule))
        }
    };
    let bounds = match &request.scalable_target_action {
        None => None,
        Some(action) => Some((
            read::count("MinCapacity", action.min_capacity)?,
            read::count("MaxCapacity", action.max_capacity)?,
        )),
    };
    let (starts, ends) = (request.start_time, request.end_time);
    let new = NewAction { key, schedule, starts, ends, bounds };
    submit(door, ScalingCommand::PutAction(new)).await?;
    Ok(PutScheduledActionResponse {})
}

pub(super) async fn delete(
    door: &Door,
    request: DeleteScheduledActionRequest,
) -> Result<DeleteScheduledActionResponse, Error> {
    let service = read::service(
        request.service_namespace.as_ref(),
        request.scalable_dimension.as_ref(),
        request.resource_id.as_ref(),
    )?;
    let name = request.scheduled_action_name.unwrap_or_default();
    let key = ScheduledActionKey { service, name: name.into() };
    submit(door, ScalingCommand::DeleteAction(key)).await?;
    Ok(DeleteScheduledActionResponse {})
}

pub(super) fn describe(
    state: &State,
    request: &DescribeScheduledActionsRequest,
) -> Result<DescribeScheduledActionsResponse, Error> {
    let service = read::filter(
        request.service_namespace.as_ref(),
        request.scalable_dimension.as_ref(),
        request.resource_id.as_ref(),
    )?;
    let names = request.scheduled_action_names.as_deref().unwrap_or_default();
    let actions = state.scaling().all_actions();
    let actions = actions
        .filter(|action| service.as_ref().is_none_or(|service| action.key.service == *service))
        .filter(|action| names.is_empty() || names.iter().any(|n| n == action.key.name.as_str()));
    let entries =
        actions.filter_map(|a| Some((a.key.to_string(), view::action(state, a)?))).collect();
    let (actions, next_token) = read::page(
        "DescribeScheduledActions",
        request.next_token.as_ref(),
        request.max_results,
        (50, Order::Ascending),
        entries,
    )?;
    Ok(DescribeScheduledActionsResponse { scheduled_actions: Some(actions), next_token })
}
