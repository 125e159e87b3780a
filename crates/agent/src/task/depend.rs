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
        match one(view, dependency, now) {
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

fn one(view: &TaskView, dependency: &Dependency, now: Timestamp) -> Verdict {
    let at = dependency.container;
    let (Some(plan), Some(state)) = (view.plan.containers.get(at), view.state.containers.get(at))
    else {
        return Verdict::Wait(None);
    };
    let name = &plan.name;
    let never = |what: &str| Verdict::Never(format!("dependency {name} {what}"));
    match (dependency.condition, &state.run) {
        (_, Run::Over(end)) if state.started_at.is_none() => match &end.reason {
            Some(reason) => never(&format!("did not start: {reason}")),
            None => never("did not start"),
        },
        (Condition::Start, _) if state.started_at.is_some() => Verdict::Ready,
        (Condition::Complete, Run::Over(_)) => Verdict::Ready,
        (Condition::Success, Run::Over(end)) => match end.code {
            Some(0) => Verdict::Ready,
            Some(code) => never(&format!("ended with code {code}, not 0")),
            None => never("ended, and its exit code is lost"),
        },
        (Condition::Healthy, Run::Over(_)) => never("ended before it was healthy"),
        (Condition::Healthy, _) if plan.template.health.is_none() => {
            never("has no health check to become healthy by")
        }
        (Condition::Healthy, Run::Running { .. }) if is_healthy(state) => Verdict::Ready,
        (Condition::Start, _) => Verdict::Wait(None),
        _ => {
            let deadline = plan.start_timeout.zip(state.started_at).map(|(t, since)| since + t);
            match deadline {
                Some(at) if at <= now => never("did not get there within its startTimeout"),
                until => Verdict::Wait(until),
            }
        }
    }
}

fn is_healthy(state: &super::ContainerState) -> bool {
    matches!(state.health, Some((runtime::Health::Healthy, _)))
}
