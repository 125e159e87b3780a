//! The checks bite: something is broken on purpose, and histories of which each is clean otherwise are
//! found out.

use std::ops::Range;

use sim::{Field, Forgery, Mutation, Script, history};

/// What is said of the first history that shows it, of those that are apt.
fn found(mutation: Mutation, seeds: Range<u64>, apt: impl Fn(&Script) -> bool) -> String {
    let scripts = seeds.map(Script::of).filter(apt);
    let mut broken = scripts.map(|script| Script { mutation: Some(mutation), ..script });
    broken.find_map(|script| history::run(&script, false).fault).unwrap_or_default()
}

#[test]
fn an_agent_that_forgets_at_once_runs_a_task_twice() {
    let first = found(Mutation::ForgetfulAgents, 0..600, |s| s.weather.twice + s.weather.lost > 0);
    assert!(first.contains("begins on node"), "{first}");
}

#[test]
fn an_agent_that_never_tells_an_end_keeps_the_cluster_from_its_rest() {
    let first = found(Mutation::MuteAgents, 0..30, |_| true);
    assert!(first.contains("at rest"), "{first}");
}

#[test]
fn a_disk_that_lies_loses_what_was_acknowledged() {
    let power = |script: &Script| {
        script.on_disk
            && script.steps.iter().any(|(_, step)| matches!(step, sim::Step::Power { .. }))
    };
    let first = found(Mutation::LyingDisk, 0..400, power);
    assert!(first.contains("acknowledged") || first.contains("does not start"), "{first}");
}

#[test]
fn a_user_who_insists_without_a_token_gets_more_than_was_asked_for() {
    let shaky = |script: &Script| script.weather.unanswered > 10;
    let first = found(Mutation::NoTokens, 0..900, shaky);
    assert!(first.contains("tasks and got"), "{first}");
}

#[test]
fn a_server_that_tells_nobody_serves_nothing() {
    let first = found(Mutation::SilentServer, 0..20, |_| true);
    assert!(!first.is_empty(), "no history showed it");
}

#[test]
fn a_balancer_that_tells_nothing_keeps_services_from_their_rest() {
    let has = |script: &Script| script.fields.contains(&Field::Balanced);
    let first = found(Mutation::BlindBalancer, 0..200, has);
    assert!(first.contains("at rest"), "{first}");
}

#[test]
fn nodes_that_nobody_starts_keep_the_cluster_from_its_rest() {
    let has = |script: &Script| script.fields.contains(&Field::Capacity);
    let first = found(Mutation::IdleProvider, 0..200, has);
    assert!(first.contains("at rest"), "{first}");
}

/// What is said of the first history of a field in which a decision could be made worse.
fn forged(forgery: Forgery, field: Option<Field>) -> String {
    let apt = |script: &Script| field.is_none_or(|field| script.fields.contains(&field));
    found(Mutation::Forged(forgery), 0..600, apt)
}

#[test]
fn each_decision_that_is_made_worse_is_found_out() {
    for (forgery, field, says) in [
        (Forgery::Ghost, Some(Field::Balanced), "still a target"),
        (Forgery::Hasty, Some(Field::Balanced), "is taken out"),
        (Forgery::Nobody, Some(Field::Progressive), "nobody to answer"),
        (Forgery::Undone, None, "is over and becomes"),
        (Forgery::Unkept, Some(Field::Capacity), "is kept"),
        (Forgery::Crowd, Some(Field::Capacity), "are allowed"),
        (Forgery::Twice, Some(Field::Daemons), "twice"),
        (Forgery::Address, Some(Field::Own), "the same address"),
        (Forgery::Anywhere, Some(Field::Hopeless), "constraint"),
        (Forgery::Unprotected, None, "is protected until"),
        (Forgery::Again, Some(Field::Calendar), "fires twice"),
    ] {
        let first = forged(forgery, field);
        assert!(first.contains(says), "{forgery:?}: {first:?}");
    }
}
