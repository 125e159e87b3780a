//! `wharf plan`: what a change would come to, before it is made.

use std::fmt::Write as _;
use std::io::Read;

use anyhow::{Context, Result};
use aws::wharf::{
    Client, PlanChangeRequest, PlanChangeResponse, PlanOutcome, PlannedAction, PlannedStep,
};
use serde_json::{Map, Value, json};

use crate::table::{Table, colours};
use crate::why::indent;
use crate::{Connection, Target};

/// Shows what a change would do, without doing it: tasks to start and stop, where, in what order, and what would block
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  wharf plan scale web 10\n  wharf plan update web --task-definition web:7\n  wharf plan drain 3fd0c1e2a4b5968778695a4b3c2d1e0f\n  wharf plan call RunTask '{\"taskDefinition\":\"job\",\"count\":5}'\n  wharf plan call CreateService - < service.json"
)]
pub struct PlanArgs {
    /// Which server.
    #[command(flatten)]
    pub target: Target,
    /// Which cluster
    #[arg(long, value_name = "NAME", default_value = "default", global = true)]
    pub cluster: String,
    /// What services would say of it, too
    #[arg(long, global = true)]
    pub events: bool,
    /// The change
    #[command(subcommand)]
    pub change: Change,
}

/// A change to look ahead at.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Change {
    /// Another desired count
    Scale {
        /// The service
        service: String,
        /// How many tasks
        count: u32,
    },
    /// UpdateService
    Update {
        /// The service
        service: String,
        /// What it would run
        #[arg(long, value_name = "FAMILY[:REVISION]")]
        task_definition: Option<String>,
        /// How many tasks
        #[arg(long, value_name = "N")]
        desired_count: Option<u32>,
        /// minimumHealthyPercent
        #[arg(long, value_name = "PERCENT")]
        minimum_healthy_percent: Option<u32>,
        /// maximumPercent
        #[arg(long, value_name = "PERCENT")]
        maximum_percent: Option<u32>,
        /// A new deployment even if nothing else changes
        #[arg(long)]
        force_new_deployment: bool,
    },
    /// Container instances that are to be empty
    Drain {
        /// Their ids
        #[arg(required = true, value_name = "INSTANCE")]
        instances: Vec<String>,
    },
    /// DeleteService
    Delete {
        /// The service
        service: String,
        /// Also while it wants tasks
        #[arg(long)]
        force: bool,
    },
    /// Any operation of ECS that starts or stops tasks, with its request in JSON
    Call {
        /// Such as RunTask or CreateService
        operation: String,
        /// The request, or - to read it from the standard input
        request: String,
    },
}

impl Change {
    /// The operation and its request.
    fn request(&self, cluster: &str) -> Result<(String, Value)> {
        let (operation, mut request) = match self {
            Self::Scale { service, count } => {
                ("UpdateService", json!({"service": service, "desiredCount": count}))
            }
            Self::Update {
                service,
                task_definition,
                desired_count,
                minimum_healthy_percent,
                maximum_percent,
                force_new_deployment,
            } => {
                let mut request = Map::new();
                let mut put = |name: &str, value: Option<Value>| {
                    request.extend(value.map(|value| (name.to_owned(), value)));
                };
                put("service", Some(json!(service)));
                put("taskDefinition", task_definition.as_ref().map(|given| json!(given)));
                put("desiredCount", desired_count.map(|count| json!(count)));
                put("forceNewDeployment", force_new_deployment.then(|| json!(true)));
                let mut percents = Map::new();
                percents.extend(
                    minimum_healthy_percent.map(|p| ("minimumHealthyPercent".to_owned(), json!(p))),
                );
                percents.extend(maximum_percent.map(|p| ("maximumPercent".to_owned(), json!(p))));
                put(
                    "deploymentConfiguration",
                    (!percents.is_empty()).then_some(Value::Object(percents)),
                );
                ("UpdateService", Value::Object(request))
            }
            Self::Drain { instances } => (
                "UpdateContainerInstancesState",
                json!({"containerInstances": instances, "status": "DRAINING"}),
            ),
            Self::Delete { service, force } => {
                ("DeleteService", json!({"service": service, "force": force}))
            }
            Self::Call { operation, request } => (operation.as_str(), given(request)?),
        };
        if let Some(request) = request.as_object_mut() {
            request.entry("cluster").or_insert_with(|| json!(cluster));
        }
        Ok((operation.to_owned(), request))
    }
}

fn given(text: &str) -> Result<Value> {
    let mut read = String::new();
    let text = if text == "-" {
        std::io::stdin()
            .read_to_string(&mut read)
            .context("read the request from the standard input")?;
        &read
    } else {
        text
    };
    serde_json::from_str(text)
        .context("understand the request: it is JSON, as for --cli-input-json")
}

/// The text to print.
///
/// # Errors
/// No server is known, or it refuses the change.
pub async fn plan(args: &PlanArgs) -> Result<String> {
    let client = Client::new(Connection::find(&args.target)?.transport()?);
    let (operation, request) = args.change.request(&args.cluster)?;
    let asked = PlanChangeRequest {
        operation: Some(operation.clone()),
        request: Some(request.to_string()),
    };
    let answer =
        client.plan_change(asked).await.with_context(|| format!("plan this {operation}"))?;
    Ok(render(&answer, args.events, colours()))
}

fn render(planned: &PlanChangeResponse, events: bool, colours: bool) -> String {
    let mut text = "Nothing is changed by this. If nothing fails, it would come to:\n".to_owned();
    let wanted = |step: &&PlannedStep| events || step.action != Some(PlannedAction::Event);
    let mut table = Table::new(&["AFTER", "SERVICE", "WHAT"]);
    for step in planned.steps.iter().flatten().filter(wanted) {
        table.row(vec![
            format!("{:.0}s", step.after_seconds.unwrap_or_default()),
            step.service.clone().unwrap_or_else(|| "-".to_owned()),
            step.text.clone().unwrap_or_default(),
        ]);
    }
    match table.is_empty() {
        true => text.push_str("\n  no task started, none stopped.\n"),
        false => _ = write!(text, "\n{}", indent(&table.render(colours))),
    }
    let services = planned.services.as_deref().unwrap_or_default();
    if !services.is_empty() {
        let mut table = Table::new(&["SERVICE", "DESIRED", "FEWEST RUNNING", "MOST AT ONCE"]);
        for service in services {
            let count = |given: Option<i32>| given.unwrap_or_default().to_string();
            table.row(vec![
                service.service.clone().unwrap_or_default(),
                count(service.desired_count),
                count(service.fewest_running),
                count(service.most_existing),
            ]);
        }
        _ = write!(text, "\n{}", indent(&table.render(colours)));
    }
    text.push('\n');
    match &planned.outcome {
        Some(PlanOutcome::Settled) => {
            _ = writeln!(
                text,
                "It would be as asked after {:.0} s.",
                planned.seconds.unwrap_or_default()
            );
        }
        Some(PlanOutcome::Waits) => {
            for wait in planned.waits.iter().flatten() {
                let service = wait.service.as_deref().unwrap_or_default();
                _ = writeln!(
                    text,
                    "{service} would stay short. {}",
                    wait.text.as_deref().unwrap_or_default()
                );
            }
        }
        _ => text.push_str("It would still be going on after all that was looked at.\n"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_the_request_that_would_make_it() {
        let update = Change::Update {
            service: "web".to_owned(),
            task_definition: Some("web:2".to_owned()),
            desired_count: None,
            minimum_healthy_percent: Some(50),
            maximum_percent: None,
            force_new_deployment: false,
        };
        let (operation, request) = update.request("staging").unwrap();
        assert_eq!(operation, "UpdateService");
        assert_eq!(
            request,
            json!({"service": "web", "taskDefinition": "web:2", "cluster": "staging",
                   "deploymentConfiguration": {"minimumHealthyPercent": 50}})
        );
        let call = Change::Call {
            operation: "RunTask".to_owned(),
            request: "{\"cluster\":\"b\"}".to_owned(),
        };
        assert_eq!(call.request("a").unwrap().1, json!({"cluster": "b"}));
        let bad = Change::Call { operation: "RunTask".to_owned(), request: "{".to_owned() };
        assert!(bad.request("a").is_err());
    }

    #[test]
    fn events_are_told_when_they_are_asked_for() {
        let step = |action, text: &str| PlannedStep {
            after_seconds: Some(1.0),
            action: Some(action),
            text: Some(text.to_owned()),
            ..PlannedStep::default()
        };
        let planned = PlanChangeResponse {
            outcome: Some(PlanOutcome::Settled),
            seconds: Some(1.0),
            steps: Some(vec![
                step(PlannedAction::Start, "start one"),
                step(PlannedAction::Event, "said"),
            ]),
            ..PlanChangeResponse::default()
        };
        assert!(!render(&planned, false, false).contains("said"));
        assert!(render(&planned, true, false).contains("said"));
        assert!(render(&planned, false, false).contains("after 1 s"));
    }
}
