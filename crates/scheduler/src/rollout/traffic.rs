//! Traffic moves between two sets of tasks: the rules of listeners send to both target groups by
//! weight.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/alb-resources-for-blue-green.html>

use std::sync::Arc;

use model::{
    Action, BalancingChange, Book, Change, Deployment, Forward, GroupId, Listener, Rule,
    TrafficRule, TrafficShare, Weighted,
};

use crate::desk::Desk;

/// Where a rule sends now; none if it is gone.
pub(crate) fn action<'a>(book: &'a Book, rule: &TrafficRule) -> Option<&'a Action> {
    match rule {
        TrafficRule::Rule(id) => match book.rule(id) {
            Some(rule) => Some(&rule.action),
            None => {
                let listener = book.listener(&id.listener())?;
                (listener.default_rule == *id).then_some(&listener.default_action)
            }
        },
        TrafficRule::Listener(id) => book.listener(id).map(|listener| &listener.default_action),
    }
}

/// Which traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// That of users.
    Production,
    /// That of testers.
    Test,
}

/// Makes a group one of those to which production traffic could go, so that its targets are looked
/// at; nothing goes there yet. Tells a rule that is gone.
pub(super) fn attach(desk: &mut Desk<'_>, to: &Deployment) -> Result<(), TrafficRule> {
    for target in &to.load_balancers {
        let Some(advanced) = &target.advanced else { continue };
        let rule = &advanced.production;
        let before = action(desk.state.balancing(), rule).ok_or_else(|| rule.clone())?;
        let Action::Forward(forward) = before else { continue };
        let mut groups = forward.groups.clone();
        if groups.iter().all(|there| there.group != target.group) {
            groups.push(Weighted { group: target.group.clone(), weight: 0 });
        }
        put(desk, rule, groups)?;
    }
    Ok(())
}

/// Gives the targets of a deployment this share of the traffic, and the rest to where it went before.
/// Tells a rule that is gone.
pub(super) fn shift(
    desk: &mut Desk<'_>,
    to: &Deployment,
    which: Which,
    share: TrafficShare,
) -> Result<(), TrafficRule> {
    for target in &to.load_balancers {
        let Some(advanced) = &target.advanced else { continue };
        let rule = match which {
            Which::Production => Some(&advanced.production),
            Which::Test => advanced.test.as_ref(),
        };
        let Some(rule) = rule else { continue };
        let before = action(desk.state.balancing(), rule).ok_or_else(|| rule.clone())?;
        let rest = rest(before, &target.group).unwrap_or(&advanced.alternate).clone();
        let (new, old) = weights(share);
        let groups = vec![
            Weighted { group: rest, weight: old },
            Weighted { group: target.group.clone(), weight: new },
        ];
        put(desk, rule, groups)?;
    }
    Ok(())
}

/// Where traffic goes that does not go to this group.
fn rest<'a>(action: &'a Action, group: &GroupId) -> Option<&'a GroupId> {
    let Action::Forward(forward) = action else { return None };
    let other = |weighted: &&Weighted| weighted.group != *group && weighted.weight > 0;
    forward.groups.iter().find(other).map(|weighted| &weighted.group)
}

/// Weights go up to 999: whole percents where that is possible, else thousandths.
const fn weights(TrafficShare(new): TrafficShare) -> (u32, u32) {
    match new {
        0 => (0, 100),
        1000 => (100, 0),
        n if n % 10 == 0 => (n / 10, 100 - n / 10),
        n => (n, 1000 - n),
    }
}

fn put(desk: &mut Desk<'_>, rule: &TrafficRule, groups: Vec<Weighted>) -> Result<(), TrafficRule> {
    let book = desk.state.balancing();
    let gone = || rule.clone();
    let before = action(book, rule).ok_or_else(gone)?;
    let sticky = match before {
        Action::Forward(forward) => forward.sticky,
        Action::Redirect(_) | Action::Fixed { .. } => None,
    };
    let after = Action::Forward(Forward { groups, sticky });
    if *before == after {
        return Ok(());
    }
    let change = match rule {
        TrafficRule::Rule(id) => match book.rule(id) {
            Some(rule) => {
                let rule = Rule { action: after, ..Rule::clone(rule) };
                BalancingChange::PutRule(Arc::new(rule))
            }
            None => default_of(book.listener(&id.listener()).ok_or_else(gone)?, after),
        },
        TrafficRule::Listener(id) => default_of(book.listener(id).ok_or_else(gone)?, after),
    };
    desk.put(Change::Balancing(change));
    Ok(())
}

fn default_of(listener: &Listener, after: Action) -> BalancingChange {
    let listener = Listener { default_action: after, ..Listener::clone(listener) };
    BalancingChange::PutListener(Arc::new(listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights_that_listeners_take() {
        for (share, new, old) in
            [(0, 0, 100), (1000, 100, 0), (100, 10, 90), (55, 55, 945), (1, 1, 999), (999, 999, 1)]
        {
            assert_eq!(weights(TrafficShare(share)), (new, old), "{share}");
        }
    }
}
