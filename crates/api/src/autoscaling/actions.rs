//! Scheduled actions of groups.
//! <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutScheduledUpdateGroupAction.html>

use aws::Error;
use aws::autoscaling::*;
use model::{AutoScalingGroupName, GroupAction, GroupActionKey, State};
use scheduler::CapacityCommand;
use scheduler::capacity::{NewGroupAction, action_due};
use scheduler::scaling::parse_recurrence;

use super::errors::{cut, invalid, number, required, submit};
use crate::door::Door;
use crate::page::{Order, Page};

/// The most actions of one batch.
const MOST_AT_ONCE: usize = 50;

pub(super) async fn put(
    door: &Door,
    request: PutScheduledUpdateGroupActionType,
) -> Result<PutScheduledUpdateGroupActionResponse, Error> {
    let group = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?;
    if let (Some(time), Some(start)) = (request.time, request.start_time)
        && time != start
    {
        return Err(invalid("Time and StartTime are the same; they are given differently."));
    }
    let given = ScheduledUpdateGroupActionRequest {
        scheduled_action_name: request.scheduled_action_name,
        start_time: request.start_time.or(request.time),
        end_time: request.end_time,
        recurrence: request.recurrence,
        min_size: request.min_size,
        max_size: request.max_size,
        desired_capacity: request.desired_capacity,
        time_zone: request.time_zone,
    };
    let new = read(&group.into(), &given)?;
    submit(door, CapacityCommand::PutGroupActions(vec![new])).await?;
    Ok(PutScheduledUpdateGroupActionResponse {})
}

fn read(
    group: &AutoScalingGroupName,
    given: &ScheduledUpdateGroupActionRequest,
) -> Result<NewGroupAction, Error> {
    let name = required("ScheduledActionName", given.scheduled_action_name.as_ref())?;
    let zone = given.time_zone.clone();
    let recurrence = match &given.recurrence {
        Some(text) => {
            let schedule = parse_recurrence(text, zone.as_deref()).map_err(invalid)?;
            Some((text.clone(), zone, schedule))
        }
        None if zone.is_some() => {
            return Err(invalid("TimeZone is for a Recurrence; StartTime and EndTime are in UTC."));
        }
        None => None,
    };
    let count = |member: &str, given: Option<i32>| given.map(|n| number(member, n)).transpose();
    Ok(NewGroupAction {
        key: GroupActionKey { group: group.clone(), name: name.into() },
        recurrence,
        starts: given.start_time,
        ends: given.end_time,
        min: count("MinSize", given.min_size)?,
        max: count("MaxSize", given.max_size)?,
        desired: count("DesiredCapacity", given.desired_capacity)?,
    })
}

/// Each by itself: what is refused of some keeps the others from nothing.
pub(super) async fn put_batch(
    door: &Door,
    request: BatchPutScheduledUpdateGroupActionType,
) -> Result<BatchPutScheduledUpdateGroupActionAnswer, Error> {
    let group = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?.into();
    let given = request.scheduled_update_group_actions.unwrap_or_default();
    few(given.len())?;
    let mut failed = Vec::new();
    for action in given {
        let done = match read(&group, &action) {
            Ok(new) => submit(door, CapacityCommand::PutGroupActions(vec![new])).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            failed.push(failure(action.scheduled_action_name, error));
        }
    }
    Ok(BatchPutScheduledUpdateGroupActionAnswer {
        failed_scheduled_update_group_actions: Some(failed),
    })
}

fn few(count: usize) -> Result<(), Error> {
    if count > MOST_AT_ONCE {
        return Err(invalid(format!("A batch has at most {MOST_AT_ONCE} scheduled actions.")));
    }
    Ok(())
}

fn failure(name: Option<String>, error: Error) -> FailedScheduledUpdateGroupActionRequest {
    FailedScheduledUpdateGroupActionRequest {
        scheduled_action_name: name,
        error_code: Some(error.code.to_string()),
        error_message: Some(error.message),
    }
}

pub(super) async fn delete(
    door: &Door,
    request: DeleteScheduledActionType,
) -> Result<DeleteScheduledActionResponse, Error> {
    let key = GroupActionKey {
        group: required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?.into(),
        name: required("ScheduledActionName", request.scheduled_action_name.as_ref())?.into(),
    };
    submit(door, CapacityCommand::DeleteGroupAction(key)).await?;
    Ok(DeleteScheduledActionResponse {})
}

pub(super) async fn delete_batch(
    door: &Door,
    request: BatchDeleteScheduledActionType,
) -> Result<BatchDeleteScheduledActionAnswer, Error> {
    let group: AutoScalingGroupName =
        required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?.into();
    let names = request.scheduled_action_names.unwrap_or_default();
    few(names.len())?;
    let mut failed = Vec::new();
    for name in names {
        let key = GroupActionKey { group: group.clone(), name: name.as_str().into() };
        if let Err(error) = submit(door, CapacityCommand::DeleteGroupAction(key)).await {
            failed.push(failure(Some(name), error));
        }
    }
    Ok(BatchDeleteScheduledActionAnswer { failed_scheduled_actions: Some(failed) })
}

pub(super) fn describe(
    state: &State,
    request: &DescribeScheduledActionsType,
) -> Result<ScheduledActionsType, Error> {
    let token = request.next_token.as_deref();
    let page = Page::of_100("DescribeScheduledActions", token, request.max_records);
    let group = request.auto_scaling_group_name.as_deref();
    let names = request.scheduled_action_names.as_deref().unwrap_or_default();
    // Times count only where no names are given, as on AWS.
    let within = |action: &GroupAction| {
        let next = action_due(action);
        names.is_empty()
            && request.start_time.is_none_or(|start| next.is_some_and(|at| at >= start))
            && request.end_time.is_none_or(|end| next.is_some_and(|at| at <= end))
    };
    let actions = state.capacity().actions().filter(|action| {
        group.is_none_or(|group| action.key.group.as_str() == group)
            && (within(action) || names.iter().any(|name| *name == action.key.name.as_str()))
    });
    let entries = actions.map(|action| (action.key.to_string(), view(state, action))).collect();
    let (actions, next_token) = cut(&page, entries, Order::Ascending)?;
    Ok(ScheduledActionsType { scheduled_update_group_actions: Some(actions), next_token })
}

fn view(state: &State, action: &GroupAction) -> ScheduledUpdateGroupAction {
    let small = |n: u32| i32::try_from(n).ok();
    // AWS tells the next run as the start.
    let next = action_due(action).or(action.starts);
    ScheduledUpdateGroupAction {
        auto_scaling_group_name: Some(action.key.group.to_string()),
        scheduled_action_name: Some(action.key.name.to_string()),
        scheduled_action_arn: Some(state.realm().group_action(action)),
        time: next,
        start_time: next,
        end_time: action.ends,
        recurrence: action.recurrence.clone(),
        min_size: action.min.and_then(small),
        max_size: action.max.and_then(small),
        desired_capacity: action.desired.and_then(small),
        time_zone: action.zone.clone(),
    }
}
