//! `wharf events`: what happened in a cluster, from the history that the server keeps as a log group.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws::logs::{Client, FilterLogEventsRequest};
use serde_json::Value;

use shell::{Clock, SystemClock};

use crate::table::short;
use crate::{Connection, HttpTransport, Target};

/// Where the server keeps its events.
const GROUP: &str = "/wharf/events";
/// Between two looks when following.
const PAUSE: Duration = Duration::from_millis(500);
/// What came late is looked for so far back.
const BACK_MS: i64 = 10_000;

/// Shows what happened: tasks, instances, deployments, what services say
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  wharf events                      the last hour\n  wharf events -f                   as it happens\n  wharf events --since 2d --service web\n  wharf events --task 4f1c0de --json | jq .detail"
)]
pub struct EventsArgs {
    /// Which server.
    #[command(flatten)]
    pub target: Target,
    /// Only of this cluster
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Only of this service: what it says, its deployments, its tasks
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Only of this task: its id, or the beginning of it
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
    /// How far back: a number and s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub since: String,
    /// Go on as more happens, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// One event a line, as EventBridge has it
    #[arg(long)]
    pub json: bool,
}

/// Prints to `out`, until the end or for ever.
///
/// # Errors
/// No server is known, it refuses, or it keeps no events.
pub async fn events(args: &EventsArgs, out: &mut (dyn Write + Send)) -> Result<()> {
    let client = Client::new(Connection::find(&args.target)?.transport()?);
    let now = Duration::from_millis(u64::try_from(SystemClock.now().as_millis()).unwrap_or(0));
    let back = span(&args.since)?;
    let from = i64::try_from(now.saturating_sub(back).as_millis()).unwrap_or(0);
    let mut reader = Reader { from, seen: std::collections::BTreeSet::new() };
    let mut headed = args.json;
    loop {
        for message in reader.read(&client).await? {
            let Ok(event) = serde_json::from_str::<Value>(&message) else { continue };
            if !meant(&event, args) {
                continue;
            }
            if args.json {
                writeln!(out, "{message}")?;
                continue;
            }
            if !headed {
                writeln!(out, "{}", line(["TIME", "CLUSTER", "SUBJECT", "WHAT"]))?;
                headed = true;
            }
            let cells = cells(&event);
            writeln!(out, "{}", line(std::array::from_fn(|at| cells[at].as_str())))?;
        }
        out.flush()?;
        if !args.follow {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// `90s`, `15m`, `2h`, `7d`.
fn span(text: &str) -> Result<Duration> {
    let unit = match text.chars().next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => 0,
    };
    let number = text.get(..text.len().saturating_sub(1)).and_then(|n| n.parse::<u64>().ok());
    match number.filter(|_| unit > 0) {
        Some(number) => Ok(Duration::from_secs(number.saturating_mul(unit))),
        None => bail!("--since {text:?} is not a time: give a number and s, m, h or d, such as 2h"),
    }
}

fn text<'a>(event: &'a Value, path: &str) -> &'a str {
    event.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// The ARN of what an event is about.
fn subject(event: &Value) -> &str {
    text(event, "/resources/0")
}

fn meant(event: &Value, args: &EventsArgs) -> bool {
    let cluster = short(text(event, "/detail/clusterArn"));
    let subject = subject(event);
    let about = |kind: &str| subject.contains(kind);
    let service = |name: &str| {
        text(event, "/detail/group").strip_prefix("service:") == Some(name)
            || (about(":service/") && short(subject) == name)
    };
    args.cluster.as_deref().is_none_or(|name| name == cluster)
        && args.service.as_deref().is_none_or(service)
        && args.task.as_deref().is_none_or(|id| about(":task/") && short(subject).starts_with(id))
}

/// When, where, of whom and what.
fn cells(event: &Value) -> [String; 4] {
    let cluster = short(text(event, "/detail/clusterArn"));
    let subject = subject(event);
    let kind = match subject.split(':').nth(5).and_then(|rest| rest.split('/').next()) {
        Some("container-instance") => "instance",
        Some(kind) => kind,
        None => "",
    };
    let id = short(subject);
    let id = if matches!(kind, "task" | "instance") { id.get(..8).unwrap_or(id) } else { id };
    [
        text(event, "/time").to_owned(),
        if cluster.is_empty() { "-".to_owned() } else { cluster.to_owned() },
        format!("{kind} {id}").trim().to_owned(),
        what(event),
    ]
}

fn what(event: &Value) -> String {
    match text(event, "/detail-type") {
        "ECS Task State Change" => {
            let group = text(event, "/detail/group");
            let (is, wanted) =
                (text(event, "/detail/lastStatus"), text(event, "/detail/desiredStatus"));
            let status = if is == wanted { is.to_owned() } else { format!("{is} → {wanted}") };
            let reason = text(event, "/detail/stoppedReason");
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            format!("{status} ({group}){reason}")
        }
        "ECS Container Instance State Change" => {
            let connected = event.pointer("/detail/agentConnected") == Some(&Value::Bool(true));
            let agent = if connected { "agent connected" } else { "agent away" };
            format!("{}, {agent}", text(event, "/detail/status"))
        }
        "ECS Service Action" | "ECS Deployment State Change" => {
            let (name, reason) = (text(event, "/detail/eventName"), text(event, "/detail/reason"));
            if reason.is_empty() { name.to_owned() } else { format!("{name}: {reason}") }
        }
        "ECS Service Event" => text(event, "/detail/message").to_owned(),
        other => other.to_owned(),
    }
}

fn line(cells: [&str; 4]) -> String {
    let [time, cluster, subject, what] = cells;
    format!("{time:<20}  {cluster:<12}  {subject:<24}  {what}")
}

/// Remembers what was read, so that following shows each event once.
struct Reader {
    from: i64,
    seen: std::collections::BTreeSet<String>,
}

impl Reader {
    async fn read(&mut self, client: &Client<HttpTransport>) -> Result<Vec<String>> {
        let (mut fresh, mut newest) = (Vec::new(), self.from);
        let mut token = None;
        loop {
            let request = FilterLogEventsRequest {
                log_group_name: Some(GROUP.to_owned()),
                start_time: Some(self.from),
                next_token: token,
                ..FilterLogEventsRequest::default()
            };
            let page = match client.filter_log_events(request).await {
                Ok(page) => page,
                Err(error)
                    if error.service().is_some_and(|e| e.code == "ResourceNotFoundException") =>
                {
                    bail!(
                        "the server keeps no events: nothing has happened yet, or it was started with --history-days 0"
                    );
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("read the log group {GROUP}"));
                }
            };
            for event in page.events.into_iter().flatten() {
                newest = newest.max(event.timestamp.unwrap_or(0));
                if event.event_id.is_none_or(|id| self.seen.insert(id)) {
                    fresh.extend(event.message);
                }
            }
            token = page.next_token;
            if token.is_none() {
                self.from = self.from.max(newest - BACK_MS);
                return Ok(fresh);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn args(cluster: Option<&str>, service: Option<&str>, task: Option<&str>) -> EventsArgs {
        EventsArgs {
            target: Target { data_dir: None, endpoint_url: None },
            cluster: cluster.map(str::to_owned),
            service: service.map(str::to_owned),
            task: task.map(str::to_owned),
            since: "1h".into(),
            follow: false,
            json: false,
        }
    }

    #[test]
    fn an_event_is_told_in_a_line_and_found_by_whom_it_is_about() {
        let event = json!({
            "time": "2026-11-23T03:00:00Z",
            "detail-type": "ECS Task State Change",
            "resources": ["arn:aws:ecs:r:1:task/c/0123456789"],
            "detail": {"clusterArn": "arn:aws:ecs:r:1:cluster/c", "group": "service:web",
                       "lastStatus": "RUNNING", "desiredStatus": "STOPPED", "stoppedReason": "why"}
        });
        assert_eq!(
            cells(&event),
            ["2026-11-23T03:00:00Z", "c", "task 01234567", "RUNNING → STOPPED (service:web): why"]
        );
        assert!(meant(&event, &args(Some("c"), Some("web"), Some("0123"))));
        assert!(!meant(&event, &args(Some("d"), None, None)));
        assert!(!meant(&event, &args(None, Some("api"), None)));
        assert!(!meant(&event, &args(None, None, Some("9"))));
        let said = json!({
            "detail-type": "ECS Service Event",
            "resources": ["arn:aws:ecs:r:1:service/c/web"],
            "detail": {"clusterArn": "arn:aws:ecs:r:1:cluster/c", "message": "(service web) …"}
        });
        assert!(meant(&said, &args(None, Some("web"), None)));
        assert_eq!(cells(&said)[2..], ["service web", "(service web) …"]);
    }

    #[test]
    fn times_back_are_read() {
        assert_eq!(span("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(span("2d").unwrap(), Duration::from_secs(172_800));
        for wrong in ["", "5", "h", "-1h", "1w", "é"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
