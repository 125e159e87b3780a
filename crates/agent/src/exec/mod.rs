//! Sessions of ExecuteCommand on this node.
//!
//! The server asks for one; the agent opens a websocket to the server, speaks the agent's end of the
//! data channel on it, and runs the program in the container as ECS does: as root, with the
//! container's own environment, on a terminal unless the client wishes otherwise. A session outlives
//! its websocket, and with it a restart of the server: see `wire`. It does not outlive the agent.

mod pump;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws::agent::acs::{ExecConnectQuery, ExecuteCommandMessage};
use channel::{AgentEvent, Wish};
use runtime::{ContainerId, Runtime, RuntimeError, Session, SessionSpec};
use shell::{Clock, OsEntropy};
use tokio::time::{sleep, timeout};

use self::pump::{Ending, pump};
pub(crate) use self::wire::{Dial, Dialled, Gone, Wire};
use crate::board::Board;
use crate::session::{Link, Socket, open_exec};
use crate::task::{Run, Status};

/// A client that does not answer the greeting for so long is not there.
const GREETING: Duration = Duration::from_secs(60);
/// A client is told so long that the agent goes down.
const FAREWELL: Duration = Duration::from_secs(1);
/// A container's end may become known a little after that of its sessions.
const TOGETHER: Duration = Duration::from_millis(500);
/// What shells answer when a program is not found.
const NOT_FOUND: i32 = 127;
/// An exit status above this is a signal's number and this.
const SIGNALLED: i32 = 128;
/// The terminal's kind, unless the client names its own.
const TERM: &str = "xterm-256color";
/// A terminal whose size nobody has told: rows and columns.
const USUAL_SIZE: (u16, u16) = (24, 80);

/// What a session has in common with the rest of the agent.
pub(crate) struct Place<'a> {
    pub(crate) runtime: &'a dyn Runtime,
    pub(crate) board: &'a Board,
    pub(crate) clock: &'a dyn Clock,
}

/// How this session reaches the server.
struct Reach {
    link: Arc<Link>,
    message: ExecuteCommandMessage,
}

impl Reach {
    async fn open(&self, resumed: bool) -> Result<Socket, Option<u16>> {
        let base = self.link.config.endpoint.trim_end_matches('/');
        let query = ExecConnectQuery {
            container_name: self.message.container_name.clone(),
            resumed,
            task_arn: self.message.task_arn.clone(),
        };
        let url = format!("{base}/exec/{}?{}", self.message.session_id, query.render());
        open_exec(&self.link, &url).await
    }
}

#[async_trait]
impl Dial for Reach {
    async fn dial(&self) -> Dialled {
        match self.open(true).await {
            Ok(socket) => Dialled::Up(Box::new(socket)),
            // A server that has just started may not have everything at hand; a proxy none at all.
            Err(None | Some(408 | 425 | 429 | 500..)) => Dialled::Later,
            Err(Some(_)) => Dialled::Never,
        }
    }
}

/// Runs a session from the server's wish to its end.
pub(crate) async fn run(link: Arc<Link>, message: ExecuteCommandMessage) {
    let reach = Arc::new(Reach { link: Arc::clone(&link), message: message.clone() });
    // Why not is in the log; the server tells the client after a while.
    let Ok(socket) = reach.open(false).await else { return };
    let context = link.node.context();
    let place = Place {
        runtime: context.runtime.as_ref(),
        board: &context.board,
        clock: context.clock.as_ref(),
    };
    let mut shutdown = context.shutdown.clone();
    let session = message.session_id.clone();
    tracing::info!(session, task = message.task_arn, "A session of ExecuteCommand begins.");
    let mut wire = Wire::new(socket, Some(reach), &session, place.clock);
    let why = tokio::select! {
        why = serve(&place, &message, &mut wire) => Some(why),
        () = shutdown.wait() => None,
    };
    let why = match why {
        Some(why) => why,
        None => {
            // The client may be away.
            drop(
                timeout(FAREWELL, wire.leave("The agent of the task's node is going down.")).await,
            );
            "the agent goes down"
        }
    };
    tracing::info!(session, why, "A session of ExecuteCommand has ended.");
}

/// Speaks with the client, and runs the program once it is there.
async fn serve(
    place: &Place<'_>,
    message: &ExecuteCommandMessage,
    wire: &mut Wire<'_>,
) -> &'static str {
    let (why, words) = match timeout(GREETING, greet(wire)).await {
        Err(_) => ("the client did not answer", "The client did not answer in time.".to_owned()),
        Ok(Err(Gone)) => ("the client is gone", String::new()),
        Ok(Ok(Err(words))) => ("the client refused", words),
        Ok(Ok(Ok((wish, early)))) => match begin(place, message, &wish).await {
            Ok((id, session)) => match pump(wire, session, early).await {
                Ending::Exited(code) => {
                    wire.side.exited(code, place.clock.now(), &mut OsEntropy);
                    ("the program ended", epitaph(place, &id, code).await)
                }
                Ending::Terminated => ("the client ended it", String::new()),
                Ending::Gone => return "the client is gone",
            },
            Err((code, words)) => {
                wire.side.exited(code, place.clock.now(), &mut OsEntropy);
                ("the program could not be started", words)
            }
        },
    };
    match wire.close(&words).await {
        Ok(()) => why,
        Err(Gone) => "the client is gone",
    }
}

/// Waits for the handshake: what the client wishes, and what it did meanwhile.
async fn greet(wire: &mut Wire<'_>) -> Result<Result<(Wish, Vec<AgentEvent>), String>, Gone> {
    loop {
        let (due, now) = (wire.side.due(), wire.clock.now());
        let events = tokio::select! {
            received = wire.receive() => received?,
            () = Wire::due(due, now) => {
                wire.side.tick(wire.clock.now()).map_err(|_| Gone)?;
                Vec::new()
            }
        };
        wire.flush().await?;
        let mut events = events.into_iter();
        while let Some(event) = events.next() {
            match event {
                AgentEvent::Start(wish) => return Ok(Ok((wish, events.collect()))),
                AgentEvent::Refused(words) => return Ok(Err(words)),
                AgentEvent::Terminate => return Err(Gone),
                AgentEvent::Input(_) | AgentEvent::EndOfInput | AgentEvent::Resize(_) => {}
            }
        }
    }
}

/// Starts the program; or its exit status and the words for the user.
async fn begin(
    place: &Place<'_>,
    message: &ExecuteCommandMessage,
    wish: &Wish,
) -> Result<(ContainerId, Session), (i32, String)> {
    let id = container(place.board, message)
        .ok_or_else(|| (1, "The container does not run on this node.".to_owned()))?;
    let args = shlex::split(&message.command).filter(|args| !args.is_empty());
    let args = args
        .ok_or_else(|| (NOT_FOUND, format!("The command cannot be read: {}", message.command)))?;
    let term = wish.term.as_deref().filter(|term| !term.is_empty()).unwrap_or(TERM);
    let size = wish.size.map(|size| (pump::cells(size.rows), pump::cells(size.cols)));
    let spec = SessionSpec {
        args,
        env: vec![format!("TERM={term}"), "LANG=C.UTF-8".to_owned()],
        user: String::new(),
        terminal: wish.terminal.then(|| size.unwrap_or(USUAL_SIZE)),
    };
    match place.runtime.open_session(&id, &spec).await {
        Ok(session) => Ok((id, session)),
        Err(error) => {
            let code = if matches!(error, RuntimeError::Start { .. }) { NOT_FOUND } else { 1 };
            let words = stdx::chain(&error);
            tracing::warn!(session = message.session_id, error = words, "It could not be started.");
            Err((code, words))
        }
    }
}

/// The container that is meant, if it runs.
fn container(board: &Board, message: &ExecuteCommandMessage) -> Option<ContainerId> {
    let views = board.all();
    let view = views.iter().find(|view| view.plan.order.arn == message.task_arn)?;
    let mut named = view.containers().filter(|(_, plan, _)| plan.name == message.container_name);
    let (_, plan, state) = named.next()?;
    (state.status() == Status::Running).then(|| plan.id.clone())
}

/// What the user is told at the end: nothing, unless the container itself is over.
async fn epitaph(place: &Place<'_>, id: &ContainerId, code: i32) -> String {
    if code <= SIGNALLED {
        return String::new();
    }
    let over = || {
        let views = place.board.all();
        let mut all = views.iter().flat_map(|view| view.containers());
        // A container that is removed with its task is over, too.
        all.find(|(_, plan, _)| plan.id == *id)
            .is_none_or(|(_, _, state)| !matches!(state.run, Run::Running { .. }))
    };
    if !over() {
        sleep(TOGETHER).await;
    }
    if over() { "The container has stopped.".to_owned() } else { String::new() }
}
