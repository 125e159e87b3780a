//! `wharf why`: why a service or a task is not as it should be.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use aws::client::ClientError;
use aws::wharf::{Client, ExplainServiceRequest, ExplainTaskRequest, Explanation};

use crate::ps::tasks;
use crate::table::{Table, colours};
use crate::{Connection, HttpTransport, Target};

/// The fewest digits of a task's id that name it.
const FEWEST_DIGITS: usize = 6;
/// All of them.
const DIGITS: usize = 32;

/// Tells why a service or a task is not as it should be, and what can be done
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  wharf why web\n  wharf why 7a99838e15fa91ed834b0d6023bb6f23\n  wharf why 7a9983 --cluster staging"
)]
pub struct WhyArgs {
    /// Which server.
    #[command(flatten)]
    pub target: Target,
    /// Which cluster
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub cluster: String,
    /// A service's name, or a task's id (its first six digits are enough) or ARN
    #[arg(value_name = "SERVICE|TASK")]
    pub what: String,
}

/// The text to print.
///
/// # Errors
/// No server is known, it refuses, or neither a service nor a task is called so.
pub async fn why(args: &WhyArgs) -> Result<String> {
    let connection = Connection::find(&args.target)?;
    let client = Client::new(connection.transport()?);
    if !args.what.contains(":task/")
        && let Some(found) = service(&client, args).await?
    {
        return Ok(render(&found, colours()));
    }
    let ecs = aws::ecs::Client::new(connection.transport()?);
    let id = whole(&ecs, args).await?;
    let cluster = Some(args.cluster.clone());
    let explained = client
        .explain_task(ExplainTaskRequest { cluster, task: Some(id) })
        .await
        .with_context(|| format!("ask why {} is as it is", args.what))?;
    Ok(render(&explained.explanation.unwrap_or_default(), colours()))
}

/// The service of that name, if there is one.
async fn service(client: &Client<HttpTransport>, args: &WhyArgs) -> Result<Option<Explanation>> {
    let cluster = Some(args.cluster.clone());
    let asked = ExplainServiceRequest { cluster, service: Some(args.what.clone()) };
    match client.explain_service(asked).await {
        Ok(answer) => Ok(answer.explanation),
        Err(ClientError::Service(error)) if error.code == "ServiceNotFoundException" => Ok(None),
        Err(error) => Err(error).with_context(|| format!("ask why {} is as it is", args.what)),
    }
}

/// A task's id from its beginning.
async fn whole(ecs: &aws::ecs::Client<HttpTransport>, args: &WhyArgs) -> Result<String> {
    let given = args.what.as_str();
    let short = given.len() < DIGITS && given.chars().all(|c| c.is_ascii_hexdigit());
    if !short {
        return Ok(given.to_owned());
    }
    let mut ids = Vec::new();
    if given.len() >= FEWEST_DIGITS {
        for desired in [aws::ecs::DesiredStatus::Running, aws::ecs::DesiredStatus::Stopped] {
            let found = tasks(ecs, &args.cluster, desired).await?;
            let arns = found.into_iter().filter_map(|task| task.task_arn);
            let id = |arn: String| arn.rsplit('/').next().unwrap_or_default().to_owned();
            ids.extend(arns.map(id).filter(|id| id.starts_with(given)));
        }
        ids.sort();
        ids.dedup();
    }
    match ids.as_slice() {
        [id] => Ok(id.clone()),
        [] => bail!(
            "no service of the cluster {} is called {given}, and no task's id begins so: see `wharf ps --all`",
            args.cluster
        ),
        several => {
            bail!("{} tasks have an id that begins with {given}: give more of it", several.len())
        }
    }
}

fn render(explained: &Explanation, colours: bool) -> String {
    let settled = explained.settled.unwrap_or_default();
    let (on, off) = match (colours, settled) {
        (false, _) => ("", ""),
        (true, true) => ("\x1b[32m", "\x1b[0m"),
        (true, false) => ("\x1b[33m", "\x1b[0m"),
    };
    let subject = explained.subject.as_deref().unwrap_or_default();
    let verdict = explained.verdict.as_deref().unwrap_or_default();
    let mut text = format!("{on}{subject}{off}: {verdict}\n");
    list(&mut text, "Why", explained.reasons.as_deref());
    let obstacles = explained.obstacles.as_deref().unwrap_or_default();
    if !obstacles.is_empty() {
        let mut table = Table::new(&["LACKING", "INSTANCES", "NEAREST"]);
        for obstacle in obstacles {
            table.row(vec![
                obstacle.reason.clone().unwrap_or_default(),
                obstacle.instances.unwrap_or_default().to_string(),
                obstacle.text.clone().unwrap_or_default(),
            ]);
        }
        _ = write!(text, "\nNo instance takes it:\n{}", indent(&table.render(colours)));
    }
    list(&mut text, "What can be done", explained.advice.as_deref());
    list(&mut text, "Last events", explained.history.as_deref());
    text
}

fn list(text: &mut String, heading: &str, lines: Option<&[String]>) {
    let lines = lines.unwrap_or_default();
    if lines.is_empty() {
        return;
    }
    _ = writeln!(text, "\n{heading}:");
    for line in lines {
        _ = writeln!(text, "  {line}");
    }
}

/// Each line, two columns in.
pub(crate) fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use aws::wharf::Obstacle;

    use super::*;

    #[test]
    fn what_is_empty_has_no_heading() {
        let explained = Explanation {
            subject: Some("service web".to_owned()),
            verdict: Some("It is as it should be: 2 of 2 tasks run.".to_owned()),
            settled: Some(true),
            ..Explanation::default()
        };
        assert_eq!(
            render(&explained, false),
            "service web: It is as it should be: 2 of 2 tasks run.\n"
        );
    }

    #[test]
    fn obstacles_line_up() {
        let obstacle = |reason: &str, instances, text: &str| Obstacle {
            reason: Some(reason.to_owned()),
            instances: Some(instances),
            nearest: None,
            text: Some(text.to_owned()),
        };
        let explained = Explanation {
            subject: Some("service web".to_owned()),
            verdict: Some("1 of 2 tasks run.".to_owned()),
            obstacles: Some(vec![
                obstacle("RESOURCE:MEMORY", 12, "a has 5"),
                obstacle("AGENT", 1, "b is away"),
            ]),
            advice: Some(vec!["Add one.".to_owned()]),
            ..Explanation::default()
        };
        assert_eq!(
            render(&explained, false),
            "service web: 1 of 2 tasks run.\n\nNo instance takes it:\n  LACKING          INSTANCES  NEAREST\n  \
             RESOURCE:MEMORY  12         a has 5\n  AGENT            1          b is away\n\nWhat can be done:\n  \
             Add one.\n"
        );
    }
}
