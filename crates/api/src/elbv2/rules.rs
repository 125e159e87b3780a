//! Rules of listeners.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Rule.html>

use aws::Error;
use aws::elbv2 as wire;
use model::{BalancingResource, Listener, Realm, Rule, RuleId, State};
use scheduler::{BalancingCommand, NewRule, Reply};

use super::errors::{invalid, not_built, submit};
use super::refer::{self, no_rule};
use super::{actions, conditions, listeners};
use crate::door::Door;

fn priority(given: Option<i32>) -> Result<u32, Error> {
    let given = given.unwrap_or_default();
    let read = u32::try_from(given).ok().filter(|priority| (1..=50_000).contains(priority));
    read.ok_or_else(|| invalid(format!("Rule priority '{given}' must be between 1 and 50000")))
}

pub(super) async fn create(
    door: &Door,
    request: wire::CreateRuleInput,
) -> Result<wire::CreateRuleOutput, Error> {
    no_transforms(request.transforms.as_ref())?;
    let new = NewRule {
        listener: refer::listener(door.realm(), request.listener_arn.as_ref())?,
        priority: priority(request.priority)?,
        conditions: conditions::read(request.conditions.as_ref())?,
        action: actions::read(door.realm(), request.actions.as_ref())?,
        tags: refer::tags(request.tags.as_ref())?,
    };
    let committed = submit(door, BalancingCommand::CreateRule(new)).await?;
    let made = match &committed.reply {
        Reply::Balancing(BalancingResource::Rule(id)) => committed.state.balancing().rule(id),
        _ => None,
    };
    let made = made.map(|rule| view(door.realm(), rule));
    Ok(wire::CreateRuleOutput { rules: Some(made.into_iter().collect()) })
}

fn no_transforms(given: Option<&Vec<wire::RuleTransform>>) -> Result<(), Error> {
    let given = given.filter(|given| !given.is_empty());
    not_built("Transforms", given, "rewriting of hosts and URLs is")
}

pub(super) async fn modify(
    door: &Door,
    request: wire::ModifyRuleInput,
) -> Result<wire::ModifyRuleOutput, Error> {
    no_transforms(request.transforms.as_ref())?;
    let id = refer::rule(door.realm(), request.rule_arn.as_ref())?;
    let given = request.conditions.as_ref();
    let conditions = given.map(|given| conditions::read(Some(given))).transpose()?;
    let given = request.actions.as_ref();
    let action = given.map(|given| actions::read(door.realm(), Some(given))).transpose()?;
    let command = BalancingCommand::EditRule(id.clone(), conditions, action);
    let committed = submit(door, command).await?;
    let after = committed.state.balancing().rule(&id);
    let after = after.map(|rule| view(door.realm(), rule));
    Ok(wire::ModifyRuleOutput { rules: Some(after.into_iter().collect()) })
}

pub(super) async fn delete(
    door: &Door,
    request: wire::DeleteRuleInput,
) -> Result<wire::DeleteRuleOutput, Error> {
    let id = refer::rule(door.realm(), request.rule_arn.as_ref())?;
    submit(door, BalancingCommand::DeleteRule(id)).await?;
    Ok(wire::DeleteRuleOutput {})
}

pub(super) async fn set_priorities(
    door: &Door,
    request: wire::SetRulePrioritiesInput,
) -> Result<wire::SetRulePrioritiesOutput, Error> {
    let one = |pair: &wire::RulePriorityPair| {
        let id = refer::rule(door.realm(), pair.rule_arn.as_ref())?;
        Ok((id, priority(pair.priority)?))
    };
    let pairs: Vec<(RuleId, u32)> =
        request.rule_priorities.iter().flatten().map(one).collect::<Result<_, Error>>()?;
    let ids: Vec<RuleId> = pairs.iter().map(|(id, _)| id.clone()).collect();
    let committed = submit(door, BalancingCommand::SetPriorities(pairs)).await?;
    let rules = ids.iter().filter_map(|id| committed.state.balancing().rule(id));
    let rules = rules.map(|rule| view(door.realm(), rule)).collect();
    Ok(wire::SetRulePrioritiesOutput { rules: Some(rules) })
}

pub(super) fn describe(
    state: &State,
    request: &wire::DescribeRulesInput,
) -> Result<wire::DescribeRulesOutput, Error> {
    let arns = request.rule_arns.as_deref().unwrap_or_default();
    if request.listener_arn.is_some() != arns.is_empty() {
        return Err(invalid("You must specify either listener rule ARNs or a listener ARN"));
    }
    let (realm, book) = (state.realm(), state.balancing());
    let mut entries = Vec::new();
    for arn in arns {
        let id = refer::rule(realm, Some(arn))?;
        let default = book.listener(&id.listener()).filter(|it| it.default_rule == id);
        let shown = match (book.rule(&id), default) {
            (Some(rule), _) => (place(rule.priority), view(realm, rule)),
            (None, Some(listener)) => (place(u32::MAX), view_default(realm, listener)),
            (None, None) => return Err(no_rule(arn)),
        };
        entries.push((format!("{}/{id}", shown.0), shown.1));
    }
    if request.listener_arn.is_some() {
        let listener = listeners::find(state, request.listener_arn.as_ref())?;
        let rules = book.rules(&listener.id);
        entries.extend(rules.map(|rule| (place(rule.priority), view(realm, rule))));
        entries.push((place(u32::MAX), view_default(realm, listener)));
    }
    let (page, next) =
        refer::page("DescribeRules", request.marker.as_ref(), request.page_size, entries)?;
    Ok(wire::DescribeRulesOutput { rules: Some(page), next_marker: next })
}

/// A key by which rules come in the order in which they are tried.
fn place(priority: u32) -> String {
    format!("{priority:010}")
}

fn view(realm: &Realm, rule: &Rule) -> wire::Rule {
    wire::Rule {
        rule_arn: Some(realm.rule(&rule.id)),
        priority: Some(rule.priority.to_string()),
        conditions: Some(conditions::view(&rule.conditions)),
        actions: Some(actions::view(realm, &rule.action)),
        is_default: Some(false),
        ..Default::default()
    }
}

fn view_default(realm: &Realm, listener: &Listener) -> wire::Rule {
    wire::Rule {
        rule_arn: Some(realm.rule(&listener.default_rule)),
        priority: Some("default".to_owned()),
        conditions: Some(Vec::new()),
        actions: Some(actions::view(realm, &listener.default_action)),
        is_default: Some(true),
        ..Default::default()
    }
}
