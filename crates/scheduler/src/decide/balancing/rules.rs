//! Rules of listeners.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateRule.html>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{
    Action, BalancerKind, BalancingChange, BalancingResource, Condition, ListenerId, Rule, RuleId,
};

use super::{Decided, balancers, done, draft, listeners, put, tail, within};
use crate::desk::Desk;
use crate::{BalancingLimit, BalancingRejection, NewRule, Reply};

type Refusal = BalancingRejection;

/// The rule of that id. A default rule is none: it is changed with its listener.
pub(super) fn find<'s>(desk: &Desk<'s>, id: &RuleId) -> Result<&'s Arc<Rule>, Refusal> {
    let book = desk.state.balancing();
    if let Some(rule) = book.rule(id) {
        return Ok(rule);
    }
    let arn = desk.state.realm().rule(id);
    if book.listener(&id.listener()).is_some_and(|listener| listener.default_rule == *id) {
        return Err(Refusal::NotPermitted(format!(
            "Default rule '{arn}' cannot be modified, prioritised, tagged or deleted; use ModifyListener"
        )));
    }
    Err(Refusal::NoRule(arn))
}

pub(super) fn create(desk: &mut Desk<'_>, new: &NewRule) -> Decided {
    within(BalancingLimit::Tags, new.tags.0.len())?;
    let listener = listeners::find(desk, &new.listener)?.clone();
    let balancer = balancers::find(desk, &new.listener.balancer())?.clone();
    if balancer.kind == BalancerKind::Network {
        return Err(Refusal::InvalidConfiguration(
            "Rules are only for listeners of application load balancers".to_owned(),
        ));
    }
    let book = desk.state.balancing();
    if book.rules(&new.listener).any(|rule| rule.priority == new.priority) {
        return Err(Refusal::PriorityInUse(new.priority));
    }
    let count: usize =
        book.listeners(&balancer.id).map(|listener| book.rules(&listener.id).count()).sum();
    within(BalancingLimit::Rules, count + 1)?;
    listeners::check_action(desk, &balancer, listener.protocol, &new.action)?;
    let id = RuleId::from(format!("{}/{}", new.listener, tail(desk.ids)).as_str());
    let rule = Rule {
        id: id.clone(),
        priority: new.priority,
        conditions: new.conditions.clone(),
        action: new.action.clone(),
        tags: new.tags.clone(),
        created_at: desk.now,
    };
    put(desk, BalancingChange::PutRule(Arc::new(rule)));
    done(BalancingResource::Rule(id))
}

pub(super) fn edit(
    desk: &mut Desk<'_>,
    id: &RuleId,
    conditions: Option<&[Condition]>,
    action: Option<&Action>,
) -> Decided {
    let mut rule = draft(find(desk, id)?);
    if let Some(conditions) = conditions {
        rule.conditions = conditions.to_vec();
    }
    if let Some(action) = action {
        let listener = listeners::find(desk, &id.listener())?;
        let balancer = balancers::find(desk, &id.listener().balancer())?;
        listeners::check_action(desk, balancer, listener.protocol, action)?;
        rule.action = action.clone();
    }
    put(desk, BalancingChange::PutRule(Arc::new(rule)));
    done(BalancingResource::Rule(id.clone()))
}

pub(super) fn delete(desk: &mut Desk<'_>, id: &RuleId) -> Decided {
    find(desk, id)?;
    put(desk, BalancingChange::DeleteRule(id.clone()));
    Ok(Reply::Done)
}

/// All at once, so that two rules may trade places.
pub(super) fn set_priorities(desk: &mut Desk<'_>, pairs: &[(RuleId, u32)]) -> Decided {
    let mut wanted: BTreeMap<&RuleId, u32> = BTreeMap::new();
    for (id, priority) in pairs {
        if wanted.insert(id, *priority).is_some() {
            let arn = desk.state.realm().rule(id);
            return Err(Refusal::Invalid(format!("Rule '{arn}' is given twice")));
        }
    }
    let listeners: BTreeSet<ListenerId> = wanted.keys().map(|id| id.listener()).collect();
    let mut edited = Vec::new();
    for (id, priority) in &wanted {
        let mut rule = draft(find(desk, id)?);
        rule.priority = *priority;
        edited.push(rule);
    }
    for listener in listeners {
        let rules = desk.state.balancing().rules(&listener);
        let mut taken = BTreeSet::new();
        for priority in rules.map(|rule| *wanted.get(&rule.id).unwrap_or(&rule.priority)) {
            if !taken.insert(priority) {
                return Err(Refusal::PriorityInUse(priority));
            }
        }
    }
    for rule in edited {
        put(desk, BalancingChange::PutRule(Arc::new(rule)));
    }
    Ok(Reply::Done)
}
