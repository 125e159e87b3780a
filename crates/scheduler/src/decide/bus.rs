//! The event bus: rules, targets, connections and API destinations.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Operations.html>

use std::sync::Arc;

use model::{
    ApiDestination, BusBook, BusChange, Change, Connection, ConnectionName, EventRule,
    EventRuleName, EventTarget, EventTargetId, EventTargetKey, RuleSchedule, Tags,
};

use crate::bus::{MOST_DESTINATIONS, MOST_RULES, MOST_TARGETS, due};
use crate::desk::Desk;
use crate::{BusCommand, BusRejection, NewEventRule, Rejection, Reply};

/// A command of the bus.
pub(super) fn decide(desk: &mut Desk<'_>, command: &BusCommand) -> Result<Reply, Rejection> {
    use BusCommand as C;
    match command {
        C::PutRule(new) => put_rule(desk, new)?,
        C::SetRule { name, enabled } => set_rule(desk, name, *enabled)?,
        C::DeleteRule(name) => delete_rule(desk, name)?,
        C::PutTargets(name, targets) => put_targets(desk, name, targets)?,
        C::RemoveTargets(name, ids) => remove_targets(desk, name, ids)?,
        C::Tag(name, tags) => retag(desk, name, |before| before.with(tags))?,
        C::Untag(name, keys) => retag(desk, name, |mut before| {
            before.0.retain(|key, _| !keys.contains(key));
            before
        })?,
        C::CreateConnection(new) => create_connection(desk, new)?,
        C::DeleteConnection(name) => delete_connection(desk, name)?,
        C::CreateDestination(new) => create_destination(desk, new)?,
        C::DeleteDestination(name) => {
            let found = book(desk).destination(name);
            found.ok_or_else(|| BusRejection::NoDestination(name.clone()))?;
            put(desk, BusChange::DeleteDestination(name.clone()));
        }
        C::Fire(name) => fire(desk, name)?,
    }
    Ok(Reply::Done)
}

fn book<'a>(desk: &Desk<'a>) -> &'a BusBook {
    desk.state.bus()
}

fn put(desk: &mut Desk<'_>, change: BusChange) {
    desk.put(Change::Bus(change));
}

fn rule<'a>(desk: &Desk<'a>, name: &EventRuleName) -> Result<&'a Arc<EventRule>, BusRejection> {
    book(desk).rule(name).ok_or_else(|| BusRejection::NoRule(name.clone()))
}

fn few_enough(tags: &Tags) -> Result<(), BusRejection> {
    if tags.0.len() <= Tags::MOST { Ok(()) } else { Err(BusRejection::TooManyTags) }
}

fn put_rule(desk: &mut Desk<'_>, new: &NewEventRule) -> Result<(), Rejection> {
    let before = book(desk).rule(&new.name);
    if before.is_none() && book(desk).rules().len() >= MOST_RULES {
        return Err(BusRejection::Limit(format!("a bus has at most {MOST_RULES} rules")).into());
    }
    few_enough(&new.tags)?;
    let kept = before
        .and_then(|before| before.schedule.as_ref())
        .filter(|_| before.is_some_and(|before| before.enabled) == new.enabled);
    let schedule = new.schedule.clone().map(|(expression, schedule)| match kept {
        // The same schedule goes on.
        Some(kept) if kept.expression == expression => kept.clone(),
        _ => RuleSchedule {
            expression,
            schedule,
            since: desk.now,
            done_until: desk.now,
            fired: kept.and_then(|kept| kept.fired),
        },
    });
    let next = EventRule {
        name: new.name.clone(),
        pattern: new.pattern.clone(),
        schedule,
        enabled: new.enabled,
        description: new.description.clone(),
        role: new.role.clone(),
        tags: before.map_or_else(|| new.tags.clone(), |before| before.tags.clone()),
        created_at: before.map_or(desk.now, |before| before.created_at),
    };
    if before.is_none_or(|before| **before != next) {
        put(desk, BusChange::PutRule(Arc::new(next)));
    }
    Ok(())
}

fn set_rule(desk: &mut Desk<'_>, name: &EventRuleName, enabled: bool) -> Result<(), Rejection> {
    let before = rule(desk, name)?;
    if before.enabled == enabled {
        return Ok(());
    }
    let mut next = EventRule { enabled, ..EventRule::clone(before) };
    if let Some(schedule) = &mut next.schedule {
        // A rule that is enabled again begins again.
        (schedule.since, schedule.done_until) = (desk.now, desk.now);
    }
    put(desk, BusChange::PutRule(Arc::new(next)));
    Ok(())
}

fn delete_rule(desk: &mut Desk<'_>, name: &EventRuleName) -> Result<(), Rejection> {
    if book(desk).targets(name).next().is_some() {
        return Err(BusRejection::HasTargets(name.clone()).into());
    }
    if book(desk).rule(name).is_some() {
        put(desk, BusChange::DeleteRule(name.clone()));
    }
    Ok(())
}

fn put_targets(
    desk: &mut Desk<'_>,
    name: &EventRuleName,
    targets: &[EventTarget],
) -> Result<(), Rejection> {
    rule(desk, name)?;
    let there = book(desk).targets(name).count();
    let new = targets.iter().filter(|target| book(desk).target(&target.key).is_none()).count();
    if there + new > MOST_TARGETS {
        let why = format!("a rule has at most {MOST_TARGETS} targets");
        return Err(BusRejection::Limit(why).into());
    }
    for target in targets {
        if book(desk).target(&target.key).is_none_or(|before| **before != *target) {
            put(desk, BusChange::PutTarget(Arc::new(target.clone())));
        }
    }
    Ok(())
}

fn remove_targets(
    desk: &mut Desk<'_>,
    name: &EventRuleName,
    ids: &[EventTargetId],
) -> Result<(), Rejection> {
    rule(desk, name)?;
    for id in ids {
        let key = EventTargetKey { rule: name.clone(), id: id.clone() };
        if book(desk).target(&key).is_some() {
            put(desk, BusChange::DeleteTarget(key));
        }
    }
    Ok(())
}

fn retag(
    desk: &mut Desk<'_>,
    name: &EventRuleName,
    change: impl FnOnce(Tags) -> Tags,
) -> Result<(), Rejection> {
    let before = rule(desk, name)?;
    let tags = change(before.tags.clone());
    few_enough(&tags)?;
    put(desk, BusChange::PutRule(Arc::new(EventRule { tags, ..EventRule::clone(before) })));
    Ok(())
}

fn create_connection(desk: &mut Desk<'_>, new: &Connection) -> Result<(), Rejection> {
    if book(desk).connection(&new.name).is_some() {
        return Err(BusRejection::ConnectionExists(new.name.clone()).into());
    }
    if book(desk).connections().len() >= MOST_DESTINATIONS {
        let why = format!("there are at most {MOST_DESTINATIONS} connections");
        return Err(BusRejection::Limit(why).into());
    }
    put(desk, BusChange::PutConnection(Arc::new(new.clone())));
    Ok(())
}

fn delete_connection(desk: &mut Desk<'_>, name: &ConnectionName) -> Result<(), Rejection> {
    let found = book(desk).connection(name);
    found.ok_or_else(|| BusRejection::NoConnection(name.clone()))?;
    if let Some(user) = book(desk).destinations().find(|it| it.connection == *name) {
        return Err(BusRejection::ConnectionInUse(name.clone(), user.name.clone()).into());
    }
    put(desk, BusChange::DeleteConnection(name.clone()));
    Ok(())
}

fn create_destination(desk: &mut Desk<'_>, new: &ApiDestination) -> Result<(), Rejection> {
    if book(desk).destination(&new.name).is_some() {
        return Err(BusRejection::DestinationExists(new.name.clone()).into());
    }
    if book(desk).connection(&new.connection).is_none() {
        return Err(BusRejection::NoConnection(new.connection.clone()).into());
    }
    if book(desk).destinations().len() >= MOST_DESTINATIONS {
        let why = format!("there are at most {MOST_DESTINATIONS} API destinations");
        return Err(BusRejection::Limit(why).into());
    }
    put(desk, BusChange::PutDestination(Arc::new(new.clone())));
    Ok(())
}

/// A rule's schedule is due: it is written down that it has fired, once for each instant.
fn fire(desk: &mut Desk<'_>, name: &EventRuleName) -> Result<(), Rejection> {
    let before = book(desk).rule(name).ok_or(Rejection::Stale)?;
    let at = due(before, desk.now).filter(|at| *at <= desk.now).ok_or(Rejection::Stale)?;
    let mut next = EventRule::clone(before);
    if let Some(schedule) = &mut next.schedule {
        (schedule.done_until, schedule.fired) = (at, Some(at));
    }
    put(desk, BusChange::PutRule(Arc::new(next)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{Document, Realm, State};
    use stdx::{SeededEntropy, Timestamp};

    use super::*;
    use crate::{Command, decide as decide_command, scaling::parse_schedule};

    struct Bench(State, Timestamp);

    impl Bench {
        fn new() -> Self {
            let state = State::new(Realm::new("eu-west-1", "123456789012"));
            Self(state, Timestamp::parse("2026-11-23T03:00:00Z").unwrap())
        }

        fn tell(&mut self, command: BusCommand) -> Result<(), Rejection> {
            let mut chance = SeededEntropy::new(1);
            let outcome = decide_command(&self.0, &Command::Bus(command), self.1, &mut chance)?;
            outcome.changes.iter().for_each(|change| self.0.apply(change));
            Ok(())
        }

        fn rule(&mut self, name: &str, expression: Option<&str>) -> Result<(), Rejection> {
            let schedule =
                expression.map(|text| (text.to_owned(), parse_schedule(text, None).unwrap()));
            self.tell(BusCommand::PutRule(NewEventRule {
                name: name.into(),
                pattern: None,
                schedule,
                enabled: true,
                description: None,
                role: None,
                tags: Tags::default(),
            }))
        }

        fn fired(&self) -> Option<Timestamp> {
            self.0.bus().rule(&"r".into())?.schedule.as_ref()?.fired
        }
    }

    fn target(rule: &str, id: usize) -> EventTarget {
        let key = EventTargetKey { rule: rule.into(), id: id.to_string().into() };
        EventTarget { key, arn: "a".into(), document: Document(Arc::from(b"{}".as_slice())) }
    }

    fn refusal(result: Result<(), Rejection>) -> BusRejection {
        match result {
            Err(Rejection::Bus(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rule_fires_once_for_each_instant() {
        let mut bench = Bench::new();
        bench.rule("r", Some("rate(1 minute)")).unwrap();
        let fire = || BusCommand::Fire("r".into());
        assert_eq!(bench.tell(fire()), Err(Rejection::Stale));
        bench.1 = bench.1 + std::time::Duration::from_secs(61);
        bench.tell(fire()).unwrap();
        assert_eq!(bench.fired(), Timestamp::parse("2026-11-23T03:01:00Z"));
        assert_eq!(bench.tell(fire()), Err(Rejection::Stale));
        // The same schedule again goes on, another begins anew.
        bench.rule("r", Some("rate(1 minute)")).unwrap();
        assert_eq!(bench.tell(fire()), Err(Rejection::Stale));
        bench.1 = bench.1 + std::time::Duration::from_secs(59);
        bench.tell(fire()).unwrap();
        assert_eq!(bench.fired(), Timestamp::parse("2026-11-23T03:02:00Z"));
        bench.tell(BusCommand::SetRule { name: "r".into(), enabled: false }).unwrap();
        bench.1 = bench.1 + std::time::Duration::from_secs(300);
        assert_eq!(bench.tell(fire()), Err(Rejection::Stale));
        bench.tell(BusCommand::SetRule { name: "r".into(), enabled: true }).unwrap();
        assert_eq!(bench.tell(fire()), Err(Rejection::Stale));
    }

    #[test]
    fn what_hangs_together_is_held_together() {
        let mut bench = Bench::new();
        let no_rule = BusRejection::NoRule("r".into());
        let put = |ids: std::ops::Range<usize>| {
            BusCommand::PutTargets("r".into(), ids.map(|id| target("r", id)).collect())
        };
        assert_eq!(refusal(bench.tell(put(0..1))), no_rule);
        bench.tell(BusCommand::DeleteRule("r".into())).unwrap();
        bench.rule("r", None).unwrap();
        bench.tell(put(0..5)).unwrap();
        bench.tell(put(0..5)).unwrap();
        assert!(matches!(refusal(bench.tell(put(4..6))), BusRejection::Limit(_)));
        let delete = || BusCommand::DeleteRule("r".into());
        assert_eq!(refusal(bench.tell(delete())), BusRejection::HasTargets("r".into()));
        let ids = (0..5).map(|id| id.to_string().into()).collect();
        bench.tell(BusCommand::RemoveTargets("r".into(), ids)).unwrap();
        bench.tell(delete()).unwrap();
        assert!(bench.0.bus().rules().next().is_none());
        for n in 0..MOST_RULES {
            bench.rule(&format!("r{n}"), None).unwrap();
        }
        assert!(matches!(refusal(bench.rule("more", None)), BusRejection::Limit(_)));
        bench.rule("r7", None).unwrap();
    }
}
