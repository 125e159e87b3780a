//! `wharf top`: services with their load, live.
//!
//! It asks what any client may ask: ECS for services, ELBv2 for targets, CloudWatch for the last
//! seconds, Application Auto Scaling for what it did last.

mod load;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use aws::application_autoscaling::{
    Client as Scaling, DescribeScalingActivitiesRequest, ScalingActivity, ServiceNamespace,
};
use aws::ecs::{Client as Ecs, Service};
use shell::{Clock, SystemClock};
use stdx::Timestamp;

use crate::ps::services;
use crate::table::{Table, age, colours, short};
use crate::{Connection, HttpTransport, Target};
use load::{Load, Loads};

/// Between two looks.
const REFRESH: Duration = Duration::from_secs(1);
/// To the upper left corner, and nothing below.
const HOME: &str = "\x1b[H\x1b[J";
/// The screen that was there is kept aside meanwhile.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Shows services, their tasks, targets, load and scaling, each second anew
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  wharf top\n  wharf top --once --cluster staging")]
pub struct TopArgs {
    /// Which server.
    #[command(flatten)]
    pub target: Target,
    /// Which cluster
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub cluster: String,
    /// Print one table and end, as it does when the output is no terminal
    #[arg(long)]
    pub once: bool,
}

/// Shows the table until it is interrupted, or once.
///
/// # Errors
/// No server is known, or it refuses; or the output is gone.
pub async fn top(args: &TopArgs) -> Result<()> {
    let view = View::new(Connection::find(&args.target)?.transport()?, &args.cluster);
    let mut out = std::io::stdout();
    if args.once || !out.is_terminal() {
        let text = view.look(colours()).await?;
        return out.write_all(text.as_bytes()).context("print the table");
    }
    write(&mut out, ENTER)?;
    let mut screen = std::io::stdout();
    let ended = tokio::select! {
        ended = live(&view, &mut screen) => ended,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("wait for ^C"),
    };
    write(&mut out, LEAVE)?;
    ended
}

async fn live(view: &View, out: &mut impl Write) -> Result<()> {
    let mut tick = tokio::time::interval(REFRESH);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // A server that restarts comes back: what it says meanwhile is shown.
        let text = match view.look(colours()).await {
            Ok(text) => text,
            Err(error) => format!("{error:#}\n"),
        };
        write(out, &format!("{HOME}{text}"))?;
    }
}

fn write(out: &mut impl Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("print the table")
}

/// One cluster of one server.
struct View {
    cluster: String,
    ecs: Ecs<HttpTransport>,
    scaling: Scaling<HttpTransport>,
    loads: Loads,
}

impl View {
    fn new(transport: HttpTransport, cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            ecs: Ecs::new(transport.clone()),
            scaling: Scaling::new(transport.clone()),
            loads: Loads::new(transport),
        }
    }

    async fn look(&self, colours: bool) -> Result<String> {
        let services = services(&self.ecs, &self.cluster).await?;
        let now = SystemClock.now();
        let loads = self.loads.of(&self.cluster, &services, now).await?;
        let scaled = self.scaled().await?;
        Ok(render(&self.cluster, &services, &loads, &scaled, now, colours))
    }

    /// What scaling did last, by the id of the resource.
    async fn scaled(&self) -> Result<BTreeMap<String, ScalingActivity>> {
        let request = DescribeScalingActivitiesRequest {
            service_namespace: Some(ServiceNamespace::Ecs),
            ..DescribeScalingActivitiesRequest::default()
        };
        let page = self.scaling.describe_scaling_activities(request).await;
        let activities = page.context("describe the scaling activities")?.scaling_activities;
        let mut newest = BTreeMap::new();
        for activity in activities.unwrap_or_default() {
            let resource = activity.resource_id.clone().unwrap_or_default();
            newest.entry(resource).or_insert(activity);
        }
        Ok(newest)
    }
}

fn render(
    cluster: &str,
    services: &[Service],
    loads: &[Load],
    scaled: &BTreeMap<String, ScalingActivity>,
    now: Timestamp,
    colours: bool,
) -> String {
    let mut table = Table::new(&[
        "SERVICE", "TASKS", "TARGETS", "REQ/S", "P50", "CPU", "MEMORY", "ROLLOUT", "SCALED",
    ]);
    let none = Load::default();
    for (at, service) in services.iter().enumerate() {
        let load = loads.get(at).unwrap_or(&none);
        let name = service.service_name.clone().unwrap_or_default();
        let primary = service.deployments.iter().flatten().next();
        let rollout = primary.and_then(|d| d.rollout_state.as_ref());
        let last = scaled.get(&format!("service/{cluster}/{name}"));
        let count = |count: Option<i32>| count.unwrap_or(0);
        let tasks = format!("{}/{}", count(service.running_count), count(service.desired_count));
        table.row(vec![
            name,
            tasks,
            load.targets.map(|(healthy, all)| format!("{healthy}/{all}")).unwrap_or_default(),
            load.requests.map(|rate| format!("{rate:.1}")).unwrap_or_default(),
            load.p50.map(latency).unwrap_or_default(),
            load.cpu.map(|percent| format!("{percent:.0}%")).unwrap_or_default(),
            load.memory.map(|percent| format!("{percent:.0}%")).unwrap_or_default(),
            rollout.map(|r| r.as_str().to_owned()).unwrap_or_default(),
            last.map(|last| activity(last, now)).unwrap_or_default(),
        ]);
    }
    if table.is_empty() {
        return format!("No services in cluster {cluster}.\n");
    }
    table.render(colours)
}

/// Seconds as people read them.
fn latency(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1}ms", seconds * 1000.0) } else { format!("{seconds:.2}s") }
}

/// Such as `12s ago: desired count to 4 (cpu)`.
fn activity(last: &ScalingActivity, now: Timestamp) -> String {
    let ago = last.start_time.map(|at| age(now.since(at))).unwrap_or_default();
    let what = last.description.as_deref().unwrap_or_default();
    let what = what.trim_start_matches("Setting ").trim_end_matches('.');
    let cause = last.cause.as_deref().unwrap_or_default();
    let policy = cause.split_once("triggered policy ").map(|(_, rest)| rest);
    let policy = policy.map(|rest| rest.split_once(". ").map_or(rest, |(policy, _)| policy));
    let by = policy.map(|policy| format!(" ({})", short(policy))).unwrap_or_default();
    format!("{ago} ago: {what}{by}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_one_line() {
        let now = Timestamp::from_millis(100_000);
        let web = Service {
            service_name: Some("web".to_owned()),
            running_count: Some(2),
            desired_count: Some(4),
            ..Service::default()
        };
        let idle = Service { service_name: Some("idle".to_owned()), ..Service::default() };
        let load = Load {
            targets: Some((2, 3)),
            requests: Some(120.04),
            p50: Some(0.0123),
            cpu: Some(88.4),
            memory: Some(12.0),
        };
        let last = ScalingActivity {
            start_time: Some(Timestamp::from_millis(88_000)),
            description: Some("Setting desired count to 4.".to_owned()),
            cause: Some(
                "monitor alarm a in state ALARM triggered policy cpu. Over the last 10 s"
                    .to_owned(),
            ),
            ..ScalingActivity::default()
        };
        let scaled = BTreeMap::from([("service/default/web".to_owned(), last)]);
        assert_eq!(
            render("default", &[web, idle], &[load], &scaled, now, false),
            "SERVICE  TASKS  TARGETS  REQ/S  P50     CPU  MEMORY  ROLLOUT  SCALED\n\
             web      2/4    2/3      120.0  12.3ms  88%  12%              12s ago: desired count to 4 (cpu)\n\
             idle     0/0\n"
        );
        assert_eq!(render("x", &[], &[], &scaled, now, false), "No services in cluster x.\n");
    }
}
