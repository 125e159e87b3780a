//! `wharf logs`: what a task's or a service's containers print, from CloudWatch Logs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws::ecs::{
    self, DescribeTaskDefinitionRequest, DesiredStatus, LogDriver, Task, TaskDefinition,
};
use aws::logs::{FilterLogEventsRequest, FilteredLogEvent};

use crate::ps::tasks;
use crate::table::short;
use crate::{Connection, HttpTransport, Target};

/// Between two looks when following.
const PAUSE: Duration = Duration::from_millis(300);

/// Shows what a task or a service prints
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  wharf logs web\n  wharf logs -f web\n  wharf logs 4f1c0de            the task whose id begins so\n  wharf logs --container app web"
)]
pub struct LogsArgs {
    /// Which server.
    #[command(flatten)]
    pub target: Target,
    /// A service, a task definition's family, or a task's id or the beginning of it
    pub subject: String,
    /// Which cluster
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub cluster: String,
    /// Only this container
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Go on as more is printed, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
}

/// Streams by log group.
type Streams = BTreeMap<String, BTreeSet<String>>;

/// Prints to `out`, until the end or for ever.
///
/// # Errors
/// No server is known, it refuses, or nothing by that name logs here.
pub async fn logs(args: &LogsArgs, out: &mut (dyn Write + Send)) -> Result<()> {
    let transport = Connection::find(&args.target)?.transport()?;
    let ecs = ecs::Client::new(transport.clone());
    let logs = aws::logs::Client::new(transport);
    let mut reader = Reader::default();
    let mut streams = find(&ecs, args).await?;
    loop {
        for (group, names) in &streams {
            for event in reader.read(&logs, group, names).await? {
                print(&event, names.len() > 1, out)?;
            }
        }
        out.flush()?;
        if !args.follow {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
        // A service's tasks come and go.
        match find(&ecs, args).await {
            Ok(found) => streams.extend(found),
            Err(error) if streams.is_empty() => return Err(error),
            Err(_) => {}
        }
    }
}

fn print(event: &FilteredLogEvent, named: bool, out: &mut dyn Write) -> Result<()> {
    let message = event.message.as_deref().unwrap_or_default();
    if named {
        let stream = event.log_stream_name.as_deref().unwrap_or_default();
        let task = short(stream);
        write!(out, "{}  ", task.get(..8).unwrap_or(task))?;
    }
    writeln!(out, "{}", message.trim_end_matches('\n'))?;
    Ok(())
}

/// Where the containers of the subject log to.
async fn find(client: &ecs::Client<HttpTransport>, args: &LogsArgs) -> Result<Streams> {
    let mut all = tasks(client, &args.cluster, DesiredStatus::Running).await?;
    all.extend(tasks(client, &args.cluster, DesiredStatus::Stopped).await?);
    let matching: Vec<Task> = all.into_iter().filter(|task| meant(task, &args.subject)).collect();
    if matching.is_empty() {
        bail!(
            "cluster {} has no service, family or task {:?}; `wharf ps --all` shows what there is",
            args.cluster,
            args.subject
        );
    }
    let mut definitions: BTreeMap<String, TaskDefinition> = BTreeMap::new();
    let mut streams = Streams::new();
    for task in &matching {
        let arn = task.task_definition_arn.clone().unwrap_or_default();
        if !definitions.contains_key(&arn) {
            let request = DescribeTaskDefinitionRequest {
                task_definition: Some(arn.clone()),
                ..DescribeTaskDefinitionRequest::default()
            };
            let answer = client.describe_task_definition(request).await;
            let answer = answer.with_context(|| format!("describe {}", short(&arn)))?;
            definitions.insert(arn.clone(), answer.task_definition.unwrap_or_default());
        }
        if let Some(definition) = definitions.get(&arn) {
            add(&mut streams, definition, task, args.container.as_deref());
        }
    }
    if streams.is_empty() {
        bail!(
            "no container of {:?} logs to CloudWatch Logs: give it a logConfiguration with the driver awslogs, an awslogs-group and an awslogs-stream-prefix",
            args.subject
        );
    }
    Ok(streams)
}

fn meant(task: &Task, subject: &str) -> bool {
    let group = task.group.as_deref().unwrap_or_default();
    let id = short(task.task_arn.as_deref().unwrap_or_default());
    let arn = task.task_arn.as_deref() == Some(subject);
    let family = short(task.task_definition_arn.as_deref().unwrap_or_default())
        .split(':')
        .next()
        .is_some_and(|family| family == subject);
    let named = group.strip_prefix("service:") == Some(subject) || family;
    named || arn || (subject.len() >= 4 && id.starts_with(subject))
}

fn add(streams: &mut Streams, definition: &TaskDefinition, task: &Task, only: Option<&str>) {
    let id = short(task.task_arn.as_deref().unwrap_or_default());
    for container in definition.container_definitions.iter().flatten() {
        let name = container.name.as_deref().unwrap_or_default();
        let Some(log) = &container.log_configuration else { continue };
        let Some(options) = &log.options else { continue };
        if log.log_driver != Some(LogDriver::Awslogs) || only.is_some_and(|only| only != name) {
            continue;
        }
        let Some(group) = options.get("awslogs-group") else { continue };
        let stream = match options.get("awslogs-stream-prefix") {
            Some(prefix) => Some(format!("{prefix}/{name}/{id}")),
            // Without a prefix the runtime's name of the container is the stream's.
            None => task
                .containers
                .iter()
                .flatten()
                .find(|c| c.name.as_deref() == Some(name))
                .and_then(|c| c.runtime_id.clone()),
        };
        streams.entry(group.clone()).or_default().extend(stream);
    }
}

/// Remembers what was read, so that following shows each event once.
#[derive(Default)]
struct Reader {
    from: BTreeMap<String, i64>,
    seen: BTreeSet<String>,
}

impl Reader {
    async fn read(
        &mut self,
        client: &aws::logs::Client<HttpTransport>,
        group: &str,
        streams: &BTreeSet<String>,
    ) -> Result<Vec<FilteredLogEvent>> {
        let mut fresh = Vec::new();
        let mut token = None;
        loop {
            let request = FilterLogEventsRequest {
                log_group_name: Some(group.to_owned()),
                log_stream_names: Some(streams.iter().take(100).cloned().collect()),
                start_time: self.from.get(group).copied(),
                next_token: token,
                ..FilterLogEventsRequest::default()
            };
            let page = match client.filter_log_events(request).await {
                Ok(page) => page,
                // The first line makes the stream.
                Err(error)
                    if error.service().is_some_and(|e| e.code == "ResourceNotFoundException") =>
                {
                    return Ok(fresh);
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("read the log group {group}"));
                }
            };
            fresh.extend(page.events.into_iter().flatten().filter(|e| self.is_new(e)));
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        self.advance(group, &fresh);
        Ok(fresh)
    }

    fn is_new(&mut self, event: &FilteredLogEvent) -> bool {
        event.event_id.clone().is_none_or(|id| self.seen.insert(id))
    }

    /// Late lines of another container are looked for a while back.
    fn advance(&mut self, group: &str, events: &[FilteredLogEvent]) {
        const BACK_MS: i64 = 10_000;
        if let Some(newest) = events.iter().filter_map(|e| e.timestamp).max() {
            let from = self.from.entry(group.to_owned()).or_insert(0);
            *from = (*from).max(newest - BACK_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws::ecs::{Container, ContainerDefinition, LogConfiguration};

    fn task() -> Task {
        Task {
            task_arn: Some("arn:aws:ecs:us-east-1:1:task/default/0123456789".into()),
            task_definition_arn: Some("arn:aws:ecs:us-east-1:1:task-definition/web:3".into()),
            group: Some("service:shop".into()),
            containers: Some(vec![Container {
                name: Some("side".into()),
                runtime_id: Some("abc-side".into()),
                ..Container::default()
            }]),
            ..Task::default()
        }
    }

    fn container(name: &str, options: &[(&str, &str)]) -> ContainerDefinition {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        ContainerDefinition {
            name: Some(name.into()),
            log_configuration: Some(LogConfiguration {
                log_driver: Some(LogDriver::Awslogs),
                options: Some(options),
                ..LogConfiguration::default()
            }),
            ..ContainerDefinition::default()
        }
    }

    #[test]
    fn a_task_is_meant_by_service_family_id_and_arn() {
        for subject in ["shop", "web", "0123", task().task_arn.unwrap().as_str()] {
            assert!(meant(&task(), subject), "{subject}");
        }
        for subject in ["012", "sho", "service:shop", ""] {
            assert!(!meant(&task(), subject), "{subject}");
        }
    }

    #[test]
    fn streams_are_named_as_ecs_names_them() {
        let definition = TaskDefinition {
            container_definitions: Some(vec![
                container("app", &[("awslogs-group", "/g"), ("awslogs-stream-prefix", "p")]),
                container("side", &[("awslogs-group", "/g")]),
            ]),
            ..TaskDefinition::default()
        };
        let mut streams = Streams::new();
        add(&mut streams, &definition, &task(), None);
        let names: Vec<&str> = streams["/g"].iter().map(String::as_str).collect();
        assert_eq!(names, ["abc-side", "p/app/0123456789"]);
        let mut only = Streams::new();
        add(&mut only, &definition, &task(), Some("app"));
        assert_eq!(only["/g"].len(), 1);
    }
}
