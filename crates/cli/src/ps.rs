//! `wharf ps`: services and tasks at a glance.

use anyhow::{Context, Result};
use aws::ecs::{
    Client, DescribeServicesRequest, DescribeTasksRequest, DesiredStatus, ListServicesRequest,
    ListTasksRequest, Service, Task,
};
use shell::{Clock, SystemClock};
use stdx::Timestamp;

use crate::table::{Table, age, colours, short};
use crate::{Connection, HttpTransport, Target};

/// Shows services and tasks
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  wharf ps\n  wharf ps --all --cluster staging")]
pub struct PsArgs {
    /// Which server.
    #[command(flatten)]
    pub target: Target,
    /// Which cluster
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub cluster: String,
    /// Stopped tasks too, with the reason
    #[arg(short, long)]
    pub all: bool,
}

/// The text to print.
///
/// # Errors
/// No server is known, or it refuses.
pub async fn ps(args: &PsArgs) -> Result<String> {
    let client = Client::new(Connection::find(&args.target)?.transport()?);
    let services = services(&client, &args.cluster).await?;
    let mut tasks = tasks(&client, &args.cluster, DesiredStatus::Running).await?;
    if args.all {
        tasks.extend(self::tasks(&client, &args.cluster, DesiredStatus::Stopped).await?);
    }
    tasks.sort_by(|a, b| (&a.group, a.created_at).cmp(&(&b.group, b.created_at)));
    Ok(render(&services, &tasks, SystemClock.now(), colours()))
}

/// Every service of a cluster.
pub(crate) async fn services(
    client: &Client<HttpTransport>,
    cluster: &str,
) -> Result<Vec<Service>> {
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let page = client
            .list_services(ListServicesRequest {
                cluster: Some(cluster.to_owned()),
                max_results: Some(10),
                next_token: token,
                ..ListServicesRequest::default()
            })
            .await
            .context("list the services")?;
        let arns = page.service_arns.unwrap_or_default();
        if !arns.is_empty() {
            let described = client
                .describe_services(DescribeServicesRequest {
                    cluster: Some(cluster.to_owned()),
                    services: Some(arns),
                    ..DescribeServicesRequest::default()
                })
                .await
                .context("describe the services")?;
            found.extend(described.services.unwrap_or_default());
        }
        token = page.next_token;
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// Every task of a cluster that should run, or that should not.
pub(crate) async fn tasks(
    client: &Client<HttpTransport>,
    cluster: &str,
    desired: DesiredStatus,
) -> Result<Vec<Task>> {
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let page = client
            .list_tasks(ListTasksRequest {
                cluster: Some(cluster.to_owned()),
                desired_status: Some(desired.clone()),
                next_token: token,
                ..ListTasksRequest::default()
            })
            .await
            .context("list the tasks")?;
        let arns = page.task_arns.unwrap_or_default();
        if !arns.is_empty() {
            let described = client
                .describe_tasks(DescribeTasksRequest {
                    cluster: Some(cluster.to_owned()),
                    tasks: Some(arns),
                    ..DescribeTasksRequest::default()
                })
                .await
                .context("describe the tasks")?;
            found.extend(described.tasks.unwrap_or_default());
        }
        token = page.next_token;
        if token.is_none() {
            return Ok(found);
        }
    }
}

fn render(services: &[Service], tasks: &[Task], now: Timestamp, colours: bool) -> String {
    let mut text = String::new();
    let mut table = Table::new(&[
        "SERVICE",
        "STATUS",
        "DESIRED",
        "RUNNING",
        "PENDING",
        "TASK DEFINITION",
        "ROLLOUT",
        "AGE",
    ]);
    for service in services {
        let primary = service.deployments.iter().flatten().next();
        let rollout = primary.and_then(|d| d.rollout_state.as_ref());
        let number = |n: Option<i32>| n.unwrap_or(0).to_string();
        table.row(vec![
            service.service_name.clone().unwrap_or_default(),
            service.status.clone().unwrap_or_default(),
            number(service.desired_count),
            number(service.running_count),
            number(service.pending_count),
            short(service.task_definition.as_deref().unwrap_or_default()).to_owned(),
            rollout.map(|r| r.as_str().to_owned()).unwrap_or_default(),
            since(service.created_at, now),
        ]);
    }
    if !table.is_empty() {
        text.push_str(&table.render(colours));
        text.push('\n');
    }
    let mut table = Table::new(&[
        "TASK",
        "GROUP",
        "TASK DEFINITION",
        "STATUS",
        "HEALTH",
        "PORTS",
        "AGE",
        "REASON",
    ]);
    for task in tasks {
        table.row(vec![
            short(task.task_arn.as_deref().unwrap_or_default()).to_owned(),
            task.group.clone().unwrap_or_default(),
            short(task.task_definition_arn.as_deref().unwrap_or_default()).to_owned(),
            task.last_status.clone().unwrap_or_default(),
            task.health_status.as_ref().map(|h| h.as_str().to_owned()).unwrap_or_default(),
            ports(task),
            since(task.created_at, now),
            reason(task),
        ]);
    }
    if table.is_empty() {
        text.push_str("No tasks. `wharf ps --all` shows stopped ones too.\n");
    } else {
        text.push_str(&table.render(colours));
    }
    text
}

fn since(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map(|then| age(now.since(then))).unwrap_or_default()
}

/// Such as `32768->80/tcp`.
fn ports(task: &Task) -> String {
    let bindings =
        task.containers.iter().flatten().flat_map(|c| c.network_bindings.iter().flatten());
    let told: Vec<String> = bindings
        .filter_map(|b| {
            let protocol = b.protocol.as_ref().map_or("tcp", |p| p.as_str());
            Some(format!("{}->{}/{protocol}", b.host_port?, b.container_port?))
        })
        .collect();
    told.join(",")
}

/// Why a task stopped, and what its first failed container says.
fn reason(task: &Task) -> String {
    let mut told: Vec<String> = task.stopped_reason.iter().cloned().collect();
    for container in task.containers.iter().flatten() {
        let name = container.name.as_deref().unwrap_or_default();
        if let Some(code) = container.exit_code.filter(|code| *code != 0) {
            told.push(format!("{name} exited with {code}"));
        }
        // The task's own reason often is its container's.
        if let Some(reason) = container.reason.as_ref().filter(|reason| !told.contains(reason)) {
            told.push(format!("{name}: {reason}"));
        }
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws::ecs::{Container, NetworkBinding};

    #[test]
    fn a_stopped_task_tells_why() {
        let now = Timestamp::from_millis(1_000_000);
        let task = Task {
            task_arn: Some("arn:aws:ecs:us-east-1:123456789012:task/default/0123".into()),
            group: Some("service:web".into()),
            task_definition_arn: Some("arn:aws:ecs:us-east-1:1:task-definition/web:3".into()),
            last_status: Some("STOPPED".into()),
            stopped_reason: Some("Essential container in task exited".into()),
            created_at: Some(Timestamp::from_millis(940_000)),
            containers: Some(vec![Container {
                name: Some("app".into()),
                exit_code: Some(137),
                network_bindings: Some(vec![NetworkBinding {
                    host_port: Some(32768),
                    container_port: Some(80),
                    ..NetworkBinding::default()
                }]),
                ..Container::default()
            }]),
            ..Task::default()
        };
        assert_eq!(
            render(&[], &[task], now, false),
            "TASK  GROUP        TASK DEFINITION  STATUS   HEALTH  PORTS          AGE  REASON\n\
             0123  service:web  web:3            STOPPED          32768->80/tcp  1m   Essential container in task exited; app exited with 137\n"
        );
    }
}
