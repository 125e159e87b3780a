//! Targets of rules.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutTargets.html>

use std::collections::BTreeSet;

use aws::Error;
use aws::events::*;
use model::{Document, EventTarget, EventTargetKey, State};
use scheduler::BusCommand;

use super::check;
use super::errors::{default_bus, failed, invalid, page, submit};
use super::rules::find;
use crate::door::Door;

pub(super) async fn put(
    door: &Door,
    request: PutTargetsRequest,
) -> Result<PutTargetsResponse, Error> {
    let state = door.snapshot();
    let rule = find(&state, request.event_bus_name.as_ref(), request.rule.as_ref())?;
    let mut ids = BTreeSet::new();
    let mut targets = Vec::new();
    for target in request.targets.unwrap_or_default() {
        let id = target.id.clone().unwrap_or_default();
        if !ids.insert(id.clone()) {
            return Err(invalid(format!("Duplicate target id {id} in the request.")));
        }
        check::target(&state, rule, &target)?;
        let text = serde_json::to_vec(&target).map_err(|_| failed())?;
        targets.push(EventTarget {
            key: EventTargetKey { rule: rule.name.clone(), id: id.into() },
            arn: target.arn.unwrap_or_default(),
            document: Document(text.into()),
        });
    }
    submit(door, BusCommand::PutTargets(rule.name.clone(), targets)).await?;
    Ok(PutTargetsResponse { failed_entries: Some(Vec::new()), failed_entry_count: Some(0) })
}

/// `Force` is for rules that a service of AWS manages; there are none.
pub(super) async fn remove(
    door: &Door,
    request: RemoveTargetsRequest,
) -> Result<RemoveTargetsResponse, Error> {
    let state = door.snapshot();
    let rule = find(&state, request.event_bus_name.as_ref(), request.rule.as_ref())?;
    let ids = request.ids.unwrap_or_default();
    let gone = |id: &&String| {
        let key = EventTargetKey { rule: rule.name.clone(), id: id.as_str().into() };
        state.bus().target(&key).is_none()
    };
    let failed_entries: Vec<_> = ids
        .iter()
        .filter(gone)
        .map(|id| RemoveTargetsResultEntry {
            error_code: Some("ResourceNotFoundException".to_owned()),
            error_message: Some(format!(
                "Rule {} does not have a target with the Id {id}.",
                rule.name
            )),
            target_id: Some(id.clone()),
        })
        .collect();
    let count = i32::try_from(failed_entries.len()).unwrap_or(i32::MAX);
    let ids = ids.into_iter().map(Into::into).collect();
    submit(door, BusCommand::RemoveTargets(rule.name.clone(), ids)).await?;
    Ok(RemoveTargetsResponse {
        failed_entries: Some(failed_entries),
        failed_entry_count: Some(count),
    })
}

pub(super) fn list(
    state: &State,
    request: &ListTargetsByRuleRequest,
) -> Result<ListTargetsByRuleResponse, Error> {
    let rule = find(state, request.event_bus_name.as_ref(), request.rule.as_ref())?;
    let targets = state.bus().targets(&rule.name);
    let entries = targets.filter_map(|target| {
        let wire: Target = serde_json::from_slice(&target.document.0).ok()?;
        Some((target.key.id.to_string(), wire))
    });
    let (targets, next_token) =
        page("ListTargetsByRule", request.next_token.as_ref(), request.limit, entries.collect())?;
    Ok(ListTargetsByRuleResponse { targets: Some(targets), next_token })
}

pub(super) fn rule_names(
    state: &State,
    request: &ListRuleNamesByTargetRequest,
) -> Result<ListRuleNamesByTargetResponse, Error> {
    default_bus(state, request.event_bus_name.as_ref())?;
    let arn = request.target_arn.as_deref().unwrap_or_default();
    let targets = state.bus().all_targets().filter(|target| target.arn == arn);
    let names: BTreeSet<String> = targets.map(|target| target.key.rule.to_string()).collect();
    let entries = names.into_iter().map(|name| (name.clone(), name)).collect();
    let (names, next_token) =
        page("ListRuleNamesByTarget", request.next_token.as_ref(), request.limit, entries)?;
    Ok(ListRuleNamesByTargetResponse { rule_names: Some(names), next_token })
}
