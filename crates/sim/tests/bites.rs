//! The checks bite: something is broken on purpose, and histories of which each is clean otherwise are
//! found out.

use std::ops::Range;

use sim::{Mutation, Script, history};

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
    let first = found(Mutation::NoTokens, 0..150, shaky);
    assert!(first.contains("tasks and got"), "{first}");
}

#[test]
fn a_server_that_tells_nobody_serves_nothing() {
    let first = found(Mutation::SilentServer, 0..20, |_| true);
    assert!(!first.is_empty(), "no history showed it");
}
