//! Rules.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html>

use aws::Error;
use aws::events::*;
use events::pattern::Pattern;
use model::{Document, EventRule, EventRuleName, Schedule, State};
use scheduler::scaling::parse_schedule;
use scheduler::{BusCommand, BusRejection, NewEventRule};

use super::errors::{default_bus, invalid, not_built, page, refusal, submit};
use super::tags;
use crate::door::Door;
use crate::identity;

pub(super) async fn put(door: &Door, request: PutRuleRequest) -> Result<PutRuleResponse, Error> {
    let state = door.snapshot();
    default_bus(&state, request.event_bus_name.as_ref())?;
    let enabled = match &request.state {
        None | Some(RuleState::Enabled) => true,
        Some(RuleState::Disabled) => false,
        Some(other @ RuleState::EnabledWithAllCloudtrailManagementEvents) => {
            return Err(not_built("State", &format!("{other} is")));
        }
        Some(RuleState::Unrecognized(text)) => {
            return Err(invalid(format!("State: {text} is no state of a rule.")));
        }
    };
    let pattern = request.event_pattern.filter(|text| !text.is_empty());
    let expression = request.schedule_expression.filter(|text| !text.is_empty());
    if pattern.is_none() && expression.is_none() {
        return Err(invalid("Parameter(s) EventPattern or ScheduleExpression must be specified."));
    }
    if let Some(text) = &pattern {
        self::pattern(text)?;
    }
    let schedule = expression.map(schedule).transpose()?;
    let role = request.role_arn.filter(|arn| !arn.is_empty());
    if let Some(arn) = role.as_deref() {
        known_role(&state, "RoleArn", arn)?;
    }
    let name = EventRuleName::from(request.name.unwrap_or_default());
    let arn = state.realm().event_rule(&name);
    let new = NewEventRule {
        name,
        pattern: pattern.map(|text| Document(text.into_bytes().into())),
        schedule,
        enabled,
        description: request.description.filter(|text| !text.is_empty()),
        role,
        tags: tags::read(request.tags.as_deref().unwrap_or_default())?,
    };
    submit(door, BusCommand::PutRule(new)).await?;
    Ok(PutRuleResponse { rule_arn: Some(arn) })
}

/// Reads a pattern only to know that it is one.
pub(super) fn pattern(text: &str) -> Result<Pattern, Error> {
    Pattern::parse(text).map_err(|error| {
        ErrorKind::InvalidEventPatternException
            .with(format!("Event pattern is not valid. Reason: {error}"))
    })
}

fn schedule(expression: String) -> Result<(String, Schedule), Error> {
    let bad = |why: &str| invalid(format!("Parameter ScheduleExpression is not valid. {why}"));
    let schedule = parse_schedule(&expression, None).map_err(|why| bad(&why))?;
    if let Schedule::At(_) = schedule {
        return Err(bad("rate(…) and cron(…) are the forms for a rule."));
    }
    Ok((expression, schedule))
}

/// A role that is there.
pub(super) fn known_role(state: &State, member: &str, arn: &str) -> Result<(), Error> {
    match identity::find(state, arn).filter(|_| arn.starts_with("arn:")) {
        Some(_) => Ok(()),
        None => Err(invalid(format!(
            "Parameter {member} is not valid. Reason: there is no role {arn}; create it with \
             CreateRole of IAM, with a trust policy for events.amazonaws.com."
        ))),
    }
}

/// The rule of that name.
pub(super) fn find<'s>(
    state: &'s State,
    bus: Option<&String>,
    name: Option<&String>,
) -> Result<&'s EventRule, Error> {
    default_bus(state, bus)?;
    let name = EventRuleName::from(name.map(String::as_str).unwrap_or_default());
    let rule = state.bus().rule(&name);
    rule.map(|rule| &**rule).ok_or_else(|| refusal(&BusRejection::NoRule(name)))
}

fn text(document: &Document) -> String {
    String::from_utf8_lossy(&document.0).into_owned()
}

const fn status(rule: &EventRule) -> RuleState {
    if rule.enabled { RuleState::Enabled } else { RuleState::Disabled }
}

pub(super) fn describe(
    state: &State,
    request: &DescribeRuleRequest,
) -> Result<DescribeRuleResponse, Error> {
    let rule = find(state, request.event_bus_name.as_ref(), request.name.as_ref())?;
    Ok(DescribeRuleResponse {
        arn: Some(state.realm().event_rule(&rule.name)),
        created_by: Some(state.realm().account.clone()),
        description: rule.description.clone(),
        event_bus_name: Some("default".to_owned()),
        event_pattern: rule.pattern.as_ref().map(text),
        managed_by: None,
        name: Some(rule.name.to_string()),
        role_arn: rule.role.clone(),
        schedule_expression: rule.schedule.as_ref().map(|s| s.expression.clone()),
        state: Some(status(rule)),
    })
}

pub(super) fn list(state: &State, request: &ListRulesRequest) -> Result<ListRulesResponse, Error> {
    default_bus(state, request.event_bus_name.as_ref())?;
    let prefix = request.name_prefix.as_deref().unwrap_or_default();
    let rules = state.bus().rules().filter(|rule| rule.name.as_str().starts_with(prefix));
    let show = |rule: &EventRule| Rule {
        arn: Some(state.realm().event_rule(&rule.name)),
        description: rule.description.clone(),
        event_bus_name: Some("default".to_owned()),
        event_pattern: rule.pattern.as_ref().map(text),
        managed_by: None,
        name: Some(rule.name.to_string()),
        role_arn: rule.role.clone(),
        schedule_expression: rule.schedule.as_ref().map(|s| s.expression.clone()),
        state: Some(status(rule)),
    };
    let entries = rules.map(|rule| (rule.name.to_string(), show(rule))).collect();
    let (rules, next_token) =
        page("ListRules", request.next_token.as_ref(), request.limit, entries)?;
    Ok(ListRulesResponse { rules: Some(rules), next_token })
}

pub(super) async fn enable(
    door: &Door,
    request: EnableRuleRequest,
) -> Result<EnableRuleResponse, Error> {
    set(door, request.event_bus_name.as_ref(), request.name, true).await?;
    Ok(EnableRuleResponse {})
}

pub(super) async fn disable(
    door: &Door,
    request: DisableRuleRequest,
) -> Result<DisableRuleResponse, Error> {
    set(door, request.event_bus_name.as_ref(), request.name, false).await?;
    Ok(DisableRuleResponse {})
}

async fn set(
    door: &Door,
    bus: Option<&String>,
    name: Option<String>,
    enabled: bool,
) -> Result<(), Error> {
    default_bus(&door.snapshot(), bus)?;
    let name = name.unwrap_or_default().into();
    submit(door, BusCommand::SetRule { name, enabled }).await.map(drop)
}

/// `Force` is for rules that a service of AWS manages; there are none.
pub(super) async fn delete(
    door: &Door,
    request: DeleteRuleRequest,
) -> Result<DeleteRuleResponse, Error> {
    default_bus(&door.snapshot(), request.event_bus_name.as_ref())?;
    submit(door, BusCommand::DeleteRule(request.name.unwrap_or_default().into())).await?;
    Ok(DeleteRuleResponse {})
}
