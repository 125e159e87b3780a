//! `dependsOn`: whether a container may start, must wait, or never can.

use stdx::Timestamp;

use super::{Run, TaskView};
use crate::plan::{Condition, Dependency};

/// Whether a container may start for all it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may.
    Ready,
    /// Not yet; at that instant its waiting has an end.
    Wait(Option<Timestamp>),
    /// It never can, and why.
    Never(String),
}

/// Looks at everything that one container depends on.
pub(super) fn verdict(view: &TaskView, container: usize, now: Timestamp) -> Verdict {
    let Some(plan) = view.plan.containers.get(container) else {
        return Verdict::Wait(None);
    };
    let mut all = Verdict::Ready;
    for dependency in &plan.depends_on {
        match one(view, &plan.name, dependency, now) {
            Verdict::Never(why) => return Verdict::Never(why),
            Verdict::Ready => {}
            Verdict::Wait(until) => {
                let earliest = match all {
                    Verdict::Wait(Some(known)) => Some(until.map_or(known, |u| u.min(known))),
                    _ => until,
                };
                all = Verdict::Wait(earliest);
            }
        }
    }
    all
}

/// One dependency, in the words of the ECS agent's dependency graph.
fn one(view: &TaskView, target: &str, dependency: &Dependency, now: Timestamp) -> Verdict {
    let at = dependency.container;
    let (Some(plan), Some(state)) = (view.plan.containers.get(at), view.state.containers.get(at))
    else {
        return Verdict::Wait(None);
    };
    let name = &plan.name;
    let failed = |why: &str| {
        Verdict::Never(format!(
            "failed to resolve container ordering dependency [{name}] for target [{target}] {why}"
        ))
    };
    match (dependency.condition, &state.run) {
        (_, Run::Over(end)) if state.started_at.is_none() => match &end.reason {
            Some(reason) => failed(&format!("because dependency will never start: {reason}")),
            None => failed("because dependency will never start"),
        },
        (Condition::Start, _) if state.started_at.is_some() => Verdict::Ready,
        (Condition::Complete, Run::Over(_)) => Verdict::Ready,
        (Condition::Success, Run::Over(end)) => match end.code {
            Some(0) => Verdict::Ready,
            Some(code) => failed(&format!("as dependency did not exit successfully: code {code}")),
            None => failed("as dependency did not exit successfully: its exit code is lost"),
        },
        (Condition::Healthy, Run::Over(_)) => failed("as dependency ended before it was healthy"),
        (Condition::Healthy, _) if plan.template.health.is_none() => {
            failed("as dependency has no health check to become healthy by")
        }
        (Condition::Healthy, Run::Running { .. }) if is_healthy(state) => Verdict::Ready,
        (Condition::Start, _) => Verdict::Wait(None),
        _ => {
            let deadline = plan.start_timeout.zip(state.started_at).map(|(t, since)| since + t);
            match deadline {
                Some(at) if at <= now => Verdict::Never(format!(
                    "container ordering dependency [{name}] for target [{target}] has timed out."
                )),
                until => Verdict::Wait(until),
            }
        }
    }
}

fn is_healthy(state: &super::ContainerState) -> bool {
    matches!(state.health, Some((runtime::Health::Healthy, _)))
}
