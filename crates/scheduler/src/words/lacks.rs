//! What keeps a task off a whole fleet, told by what its instances lack.

use std::fmt::Write;

use crate::{Failure, Lack, placement};

/// So many kinds of lack are told, of those that the most instances have.
const KINDS: usize = 4;

/// The kinds of lack with the instances that have them, and the instance that came nearest.
pub(super) fn classes(failure: &Failure, all: usize) -> String {
    let mut text = format!("none of {all} container instances takes it");
    let mut separator = ": ";
    for shortfall in failure.shortfalls.iter().take(KINDS) {
        let kind = many(&shortfall.lack, shortfall.instances);
        _ = write!(text, "{separator}{} {kind}", shortfall.instances);
        separator = ", ";
    }
    let others = failure.shortfalls.iter().skip(KINDS).map(|s| s.instances);
    match others.sum::<u32>() {
        0 => {}
        others => _ = write!(text, "{separator}{others} lack something else"),
    }
    let nearest = failure.shortfalls.iter().find(|shortfall| {
        Some(&shortfall.nearest) == failure.instance.as_ref()
            && placement::reason(&shortfall.lack) == failure.reason
    });
    if let Some(nearest) = nearest {
        _ = write!(text, "; {} comes nearest: it {}", nearest.nearest, super::lack(&nearest.lack));
    }
    text
}

/// What so many instances lack: the rest of a sentence about them.
fn many(lack: &Lack, instances: u32) -> String {
    let (have, are, do_not) = match instances {
        1 => ("has", "is", "does not"),
        _ => ("have", "are", "do not"),
    };
    match lack {
        Lack::AgentDisconnected => format!("{are} not connected"),
        Lack::Draining => format!("{are} draining or not in service"),
        Lack::Unknown => format!("{are} not registered in the cluster"),
        Lack::LaunchType => format!("{are} of another launch type"),
        Lack::Provider(provider) => format!("{are} not of the capacity provider {provider}"),
        Lack::Cpu { .. } => format!("{have} too few CPU units left"),
        Lack::Memory { .. } => format!("{have} too little memory left"),
        Lack::Port(port) => format!("{have} host port {} in use", super::port(*port)),
        Lack::Gpu { .. } => format!("{have} too few GPUs free"),
        Lack::Address(_) => format!("{have} no address for it"),
        Lack::Attribute(name) => format!("{have} no attribute {name}"),
        Lack::NotDistinct => format!("{have} a task of the group already"),
        Lack::Expression(text) => format!("{do_not} satisfy {text}"),
    }
}
