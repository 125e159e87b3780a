//! `wharf exec`: a program in a container, as if it ran here.
//!
//! It asks ExecuteCommand for a session and speaks the client's end of its data channel, so that
//! nothing else has to be installed. Beyond what AWS's plugin does it passes pipes through and ends
//! with the program's exit status. When the connection breaks, or the server is restarted, the session
//! goes on by ResumeSession. The program's output and error output come as one.

mod carry;
mod line;
mod terminal;

use std::io::IsTerminal;

use anyhow::{Context, Result, anyhow, bail};
use aws::ClientError;
use aws::ecs::{Client, DesiredStatus, ExecuteCommandRequest, ExecuteCommandResponse, Session};
use channel::{ClientSide, Wish};

use crate::{Connection, HttpTransport, Target, ps};

/// The letters of a task's id.
const WHOLE_ID: usize = 32;

/// Runs a program in a container of a task
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  wharf exec 4f1c                             a shell in the task whose id begins so\n  wharf exec 4f1c -c web -- ls -l /srv        one command in one of its containers\n  wharf exec 4f1c -- tar c /data > data.tar   its output, byte by byte\n  wharf exec 4f1c -- sh -c 'cat > /tmp/in' < in\n\nThe exit status is the program's. The task must have been started with\nenableExecuteCommand (aws ecs run-task --enable-execute-command …)."
)]
pub struct ExecArgs {
    /// Which server.
    #[command(flatten)]
    pub target: Target,
    /// Which cluster
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub cluster: String,
    /// The task: its id, how its id begins, or its ARN
    #[arg(value_name = "TASK")]
    pub task: String,
    /// Which container; needed if the task has several
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// No terminal, even if there is one here
    #[arg(short = 'T', long)]
    pub no_terminal: bool,
    /// The program and its arguments [default: /bin/sh]
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// Runs the program; its exit status.
///
/// # Errors
/// No server is known, it refuses, or the connection breaks.
pub async fn exec(args: &ExecArgs) -> Result<i32> {
    let connection = Connection::find(&args.target)?;
    let endpoint = connection.endpoint.clone();
    let transport = connection.transport()?;
    let client = Client::new(transport.clone());
    let task = find(&client, args).await?;
    let request = ExecuteCommandRequest {
        cluster: Some(cluster(args, &task)),
        task: Some(task.clone()),
        container: args.container.clone(),
        command: Some(one_line(&args.command)?),
        interactive: Some(true),
    };
    let answer = client.execute_command(request).await;
    let answer = answer.map_err(|error| explain(error, &task))?;
    let session = session(answer)?;
    let here = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let terminal = here && !args.no_terminal;
    let wish = Wish {
        terminal,
        exit_code: true,
        size: terminal.then(terminal::size).flatten(),
        term: std::env::var("TERM").ok(),
    };
    let line = line::Line {
        url: websocket(&endpoint, session.stream_url.as_deref().unwrap_or_default()),
        session: session.session_id.unwrap_or_default(),
        ssm: aws::ssm::Client::new(transport),
    };
    let socket = line.open(session.token_value.unwrap_or_default()).await?;
    // From here on the terminal is the program's; it is given back however this ends.
    let raw = if terminal { Some(terminal::Raw::begin()?) } else { None };
    let side = ClientSide::new(wish, env!("CARGO_PKG_VERSION"));
    let ended = carry::carry(line, socket, side, terminal).await;
    drop(raw);
    let ended = ended?;
    if !ended.words.is_empty() {
        eprintln!("wharf: {}", ended.words.trim_end());
    }
    Ok(ended.code.unwrap_or(i32::from(!ended.words.is_empty())))
}

/// The task's own cluster, if it is named by its ARN.
fn cluster(args: &ExecArgs, task: &str) -> String {
    let in_arn = task.starts_with("arn:").then(|| task.split('/').nth(1)).flatten();
    in_arn.map_or_else(|| args.cluster.clone(), str::to_owned)
}

/// The task that is meant: as it is given, or the only one whose id begins so.
async fn find(client: &Client<HttpTransport>, args: &ExecArgs) -> Result<String> {
    let given = args.task.as_str();
    if given.starts_with("arn:") || given.len() >= WHOLE_ID {
        return Ok(given.to_owned());
    }
    let tasks = ps::tasks(client, &args.cluster, DesiredStatus::Running).await?;
    let ids = tasks.iter().filter_map(|task| task.task_arn.as_deref()?.rsplit('/').next());
    let found: Vec<&str> = ids.filter(|id| id.starts_with(given)).collect();
    match found.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => bail!(
            "no task in cluster {} has an id that begins with {given:?}; `wharf ps --cluster {}` shows \
             them",
            args.cluster,
            args.cluster
        ),
        several => bail!(
            "{} tasks have ids that begin with {given:?}: {}; give more of it",
            several.len(),
            several.join(", ")
        ),
    }
}

/// The command as one line, from which the node takes the same words.
fn one_line(words: &[String]) -> Result<String> {
    if words.is_empty() {
        return Ok("/bin/sh".to_owned());
    }
    shlex::try_join(words.iter().map(String::as_str)).context("write the command as one line")
}

/// What the server refused, and what to do now.
fn explain(error: ClientError, task: &str) -> anyhow::Error {
    let said = error.service().map(|service| service.message.clone()).unwrap_or_default();
    let error = anyhow!(error).context(format!("open a session in task {task}"));
    if said.contains("Container name must be specified") {
        return error.context("name a container with -c");
    }
    if said.contains("not enabled") {
        return error.context(
            "the task takes no sessions: start it with --enable-execute-command (services: aws ecs \
             update-service --enable-execute-command --force-new-deployment)",
        );
    }
    error
}

fn session(answer: ExecuteCommandResponse) -> Result<Session> {
    answer.session.context("the server answered without a session; is it a Wharf server?")
}

/// The session's URL at the server as it is reached from here.
fn websocket(endpoint: &str, told: &str) -> String {
    let path = told.splitn(4, '/').nth(3).unwrap_or_default();
    let base = endpoint.trim_end_matches('/').replacen("http", "ws", 1);
    format!("{base}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_keep_their_words() {
        assert_eq!(one_line(&[]).unwrap(), "/bin/sh");
        let words: Vec<String> =
            ["sh", "-c", "echo \"$HOME\" 'x y'", ""].map(str::to_owned).to_vec();
        assert_eq!(shlex::split(&one_line(&words).unwrap()).unwrap(), words);
    }

    #[test]
    fn the_session_is_reached_as_the_server_is() {
        let told = "ws://10.0.0.1:4747/v1/data-channel/s-1?role=publish_subscribe";
        assert_eq!(
            websocket("https://wharf.example/", told),
            "wss://wharf.example/v1/data-channel/s-1?role=publish_subscribe"
        );
    }
}
