//! Lifecycle hooks.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html>

use std::time::Duration;

use aws::Error;
use aws::autoscaling::{
    CompleteLifecycleActionAnswer, CompleteLifecycleActionType, DeleteLifecycleHookAnswer,
    DeleteLifecycleHookType, DescribeLifecycleHooksAnswer, DescribeLifecycleHooksType,
    LifecycleHook as Wire, LifecycleHookSpecification, PutLifecycleHookAnswer,
    PutLifecycleHookType, RecordLifecycleActionHeartbeatAnswer, RecordLifecycleActionHeartbeatType,
};
use model::{AutoScalingGroupName, HookOutcome, LifecycleHook, NodeId, State, Transition};
use scheduler::CapacityCommand;

use super::errors::{invalid, not_built, required, submit};
use crate::door::Door;

/// The transitions by their names.
pub(super) const WAYS: [(&str, Transition); 2] = [
    ("autoscaling:EC2_INSTANCE_LAUNCHING", Transition::Launching),
    ("autoscaling:EC2_INSTANCE_TERMINATING", Transition::Terminating),
];

/// The bounds of a heartbeat timeout in seconds, and what it is unless given.
const TIMEOUT: (u32, u32, u32) = (30, 7_200, 3_600);

struct Given<'a> {
    name: Option<&'a String>,
    transition: Option<&'a String>,
    timeout: Option<i32>,
    default: Option<&'a String>,
    notifies: bool,
    metadata: Option<&'a String>,
    role: Option<&'a String>,
}

fn read(given: &Given<'_>, before: Option<&LifecycleHook>) -> Result<LifecycleHook, Error> {
    not_built(&[
        ("NotificationTargetARN", given.notifies),
        ("NotificationMetadata", given.metadata.is_some()),
        ("RoleARN", given.role.is_some()),
    ])?;
    let name = required("LifecycleHookName", given.name)?;
    let transition = match (given.transition, before) {
        (None, Some(before)) => before.transition,
        (given, _) => {
            let text = required("LifecycleTransition", given)?;
            let known = WAYS.iter().find(|(name, _)| *name == text).map(|(_, way)| *way);
            known.ok_or_else(|| {
                invalid(format!("LifecycleTransition: there is no transition \"{text}\"."))
            })?
        }
    };
    let (least, most, usual) = TIMEOUT;
    let timeout = match (given.timeout, before) {
        (None, Some(before)) => before.timeout,
        (None, None) => Duration::from_secs(u64::from(usual)),
        (Some(given), _) => {
            let seconds = u32::try_from(given).ok().filter(|n| (least..=most).contains(n));
            let seconds = seconds.ok_or_else(|| {
                invalid(format!("HeartbeatTimeout: it must be between {least} and {most} seconds."))
            })?;
            Duration::from_secs(u64::from(seconds))
        }
    };
    let default = match (given.default, before) {
        (None, Some(before)) => before.default,
        (None, None) => HookOutcome::Abandon,
        (Some(text), _) => outcome("DefaultResult", text)?,
    };
    Ok(LifecycleHook { name: name.to_owned(), transition, timeout, default })
}

fn outcome(member: &str, text: &str) -> Result<HookOutcome, Error> {
    match text {
        "CONTINUE" => Ok(HookOutcome::Continue),
        "ABANDON" => Ok(HookOutcome::Abandon),
        other => Err(invalid(format!("{member}: \"{other}\" is neither CONTINUE nor ABANDON."))),
    }
}

/// A hook that a group has from its beginning.
pub(super) fn read_specification(
    given: &LifecycleHookSpecification,
) -> Result<LifecycleHook, Error> {
    let given = Given {
        name: given.lifecycle_hook_name.as_ref(),
        transition: given.lifecycle_transition.as_ref(),
        timeout: given.heartbeat_timeout,
        default: given.default_result.as_ref(),
        notifies: given.notification_target_arn.as_ref().is_some_and(|arn| !arn.is_empty()),
        metadata: given.notification_metadata.as_ref(),
        role: given.role_arn.as_ref(),
    };
    read(&given, None)
}

pub(super) async fn put(
    door: &Door,
    request: PutLifecycleHookType,
) -> Result<PutLifecycleHookAnswer, Error> {
    let group = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?;
    let group = AutoScalingGroupName::from(group);
    let state = door.snapshot();
    let same = |hook: &&LifecycleHook| Some(&hook.name) == request.lifecycle_hook_name.as_ref();
    let known = state.capacity().group(&group);
    let before = known.and_then(|known| known.hooks.iter().find(same));
    let given = Given {
        name: request.lifecycle_hook_name.as_ref(),
        transition: request.lifecycle_transition.as_ref(),
        timeout: request.heartbeat_timeout,
        default: request.default_result.as_ref(),
        notifies: request.notification_target_arn.as_ref().is_some_and(|arn| !arn.is_empty()),
        metadata: request.notification_metadata.as_ref(),
        role: request.role_arn.as_ref(),
    };
    let hook = read(&given, before)?;
    submit(door, CapacityCommand::PutHook(group, hook)).await?;
    Ok(PutLifecycleHookAnswer {})
}

pub(super) async fn delete(
    door: &Door,
    request: DeleteLifecycleHookType,
) -> Result<DeleteLifecycleHookAnswer, Error> {
    let group = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?;
    let hook = required("LifecycleHookName", request.lifecycle_hook_name.as_ref())?;
    submit(door, CapacityCommand::DeleteHook(group.into(), hook.to_owned())).await?;
    Ok(DeleteLifecycleHookAnswer {})
}

/// Which node waits: by its id, or by the token, which is its id here.
fn waiting(instance: Option<&String>, token: Option<&String>) -> Result<NodeId, Error> {
    match instance.or(token) {
        Some(id) => Ok(id.as_str().into()),
        None => Err(invalid("InstanceId or LifecycleActionToken is required.")),
    }
}

pub(super) async fn complete(
    door: &Door,
    request: CompleteLifecycleActionType,
) -> Result<CompleteLifecycleActionAnswer, Error> {
    let group = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?;
    let hook = required("LifecycleHookName", request.lifecycle_hook_name.as_ref())?;
    let result = required("LifecycleActionResult", request.lifecycle_action_result.as_ref())?;
    let command = CapacityCommand::CompleteHook {
        group: group.into(),
        hook: hook.to_owned(),
        node: waiting(request.instance_id.as_ref(), request.lifecycle_action_token.as_ref())?,
        outcome: outcome("LifecycleActionResult", result)?,
    };
    submit(door, command).await?;
    Ok(CompleteLifecycleActionAnswer {})
}

pub(super) async fn extend(
    door: &Door,
    request: RecordLifecycleActionHeartbeatType,
) -> Result<RecordLifecycleActionHeartbeatAnswer, Error> {
    let group = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?;
    let hook = required("LifecycleHookName", request.lifecycle_hook_name.as_ref())?;
    let command = CapacityCommand::ExtendHook {
        group: group.into(),
        hook: hook.to_owned(),
        node: waiting(request.instance_id.as_ref(), request.lifecycle_action_token.as_ref())?,
    };
    submit(door, command).await?;
    Ok(RecordLifecycleActionHeartbeatAnswer {})
}

pub(super) fn describe(
    state: &State,
    request: &DescribeLifecycleHooksType,
) -> Result<DescribeLifecycleHooksAnswer, Error> {
    let name = required("AutoScalingGroupName", request.auto_scaling_group_name.as_ref())?;
    let Some(group) = state.capacity().group(&name.into()) else {
        return Err(invalid(format!(
            "AutoScalingGroup name not found - AutoScalingGroup {name} not found"
        )));
    };
    let wanted = request.lifecycle_hook_names.as_deref().unwrap_or_default();
    let hooks = group.hooks.iter().filter(|h| wanted.is_empty() || wanted.contains(&h.name));
    let hooks = hooks.map(|hook| view(name, hook)).collect();
    Ok(DescribeLifecycleHooksAnswer { lifecycle_hooks: Some(hooks) })
}

fn view(group: &str, hook: &LifecycleHook) -> Wire {
    let way = WAYS.iter().find(|(_, way)| *way == hook.transition).map(|(name, _)| *name);
    let seconds = i32::try_from(hook.timeout.as_secs()).ok();
    Wire {
        auto_scaling_group_name: Some(group.to_owned()),
        lifecycle_hook_name: Some(hook.name.clone()),
        lifecycle_transition: way.map(str::to_owned),
        heartbeat_timeout: seconds,
        global_timeout: seconds,
        default_result: Some(
            match hook.default {
                HookOutcome::Continue => "CONTINUE",
                HookOutcome::Abandon => "ABANDON",
            }
            .to_owned(),
        ),
        ..Wire::default()
    }
}
