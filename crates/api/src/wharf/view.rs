//! Explanations and foresights as they are told.

use aws::wharf::{
    Explanation as WireExplanation, Obstacle as WireObstacle, PlanChangeResponse, PlanOutcome,
    PlannedAction, PlannedService, PlannedStep, PlannedWait,
};
use model::{InstanceId, Realm};
use scheduler::explain::{Explanation, Obstacle};
use scheduler::foresee::{End, Foresight, Happening, Step};
use scheduler::words;

use crate::view::count;

/// A foresight.
pub(super) fn foresight(realm: &Realm, foresight: &Foresight) -> PlanChangeResponse {
    let (outcome, waits) = match &foresight.end {
        End::Settled => (PlanOutcome::Settled, Vec::new()),
        End::GoesOn => (PlanOutcome::GoesOn, Vec::new()),
        End::Waits(reports) => {
            let wait = |report: &scheduler::Report| PlannedWait {
                service: Some(report.service.service.to_string()),
                text: Some(words::waiting(&report.why)),
            };
            (PlanOutcome::Waits, reports.iter().map(wait).collect())
        }
    };
    let services = foresight.bounds.iter().map(|(key, bounds)| PlannedService {
        service: Some(key.service.to_string()),
        desired_count: Some(count(bounds.desired)),
        fewest_running: Some(count(bounds.fewest_running)),
        most_existing: Some(count(bounds.most_existing)),
    });
    PlanChangeResponse {
        outcome: Some(outcome),
        seconds: Some(foresight.span.as_secs_f64()),
        steps: Some(foresight.steps.iter().map(|each| step(realm, each)).collect()),
        services: Some(services.collect()),
        waits: Some(waits),
    }
}

fn step(realm: &Realm, step: &Step) -> PlannedStep {
    let told = PlannedStep {
        after_seconds: Some(step.after.as_secs_f64()),
        service: step.service.as_ref().map(|key| key.service.to_string()),
        ..PlannedStep::default()
    };
    let place = |instance: &Option<InstanceId>| instance.as_ref().map(ToString::to_string);
    match &step.what {
        Happening::Start { task, definition, instance } => PlannedStep {
            action: Some(PlannedAction::Start),
            text: Some(match instance {
                Some(instance) => format!("start a task of {definition} on {instance}"),
                None => format!("start a task of {definition}, which waits for capacity"),
            }),
            task: Some(task.to_string()),
            task_definition: Some(realm.definition(definition)),
            container_instance: place(instance),
            ..told
        },
        Happening::Stop { task, definition, instance, reason } => PlannedStep {
            action: Some(PlannedAction::Stop),
            text: Some(format!("stop {task} of {definition}: {reason}")),
            task: Some(task.to_string()),
            task_definition: Some(realm.definition(definition)),
            container_instance: place(instance),
            ..told
        },
        Happening::Say(message) => {
            PlannedStep { action: Some(PlannedAction::Event), text: Some(message.clone()), ..told }
        }
    }
}

/// An explanation of `subject`.
pub(super) fn explanation(subject: String, explained: Explanation) -> WireExplanation {
    let Explanation { verdict, settled, reasons, obstacles, advice, history } = explained;
    WireExplanation {
        subject: Some(subject),
        verdict: Some(verdict),
        settled: Some(settled),
        reasons: Some(reasons),
        obstacles: Some(obstacles.into_iter().map(obstacle).collect()),
        advice: Some(advice),
        history: Some(history),
    }
}

fn obstacle(obstacle: Obstacle) -> WireObstacle {
    WireObstacle {
        reason: Some(obstacle.reason),
        instances: Some(count(obstacle.instances)),
        nearest: obstacle.nearest.map(|id| id.to_string()),
        text: Some(obstacle.text),
    }
}
