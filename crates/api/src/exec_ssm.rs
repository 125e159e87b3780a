//! Session Manager's operations on the sessions of ExecuteCommand: resume, terminate, describe.
//!
//! AWS's session-manager-plugin asks for ResumeSession when its websocket breaks. Sessions begin with
//! ECS's ExecuteCommand alone; those that are over are not kept.
//! <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ResumeSession.html>

use aws::Error;
use aws::ssm::{
    DescribeSessionsRequest, DescribeSessionsResponse, ErrorKind, ResumeSessionRequest,
    ResumeSessionResponse, Session, SessionFilter, SessionFilterKey, SessionState, SessionStatus,
    TerminateSessionRequest, TerminateSessionResponse,
};

use crate::door::Door;
use crate::exec_relay::{Open, is_id, stream_url};

/// As many sessions as one answer has.
const PAGE: usize = 200;

/// Gives a client whose websocket broke a new token. A session that is over has none, by which AWS's
/// plugin says that it timed out.
pub(crate) async fn resume(
    door: &Door,
    request: ResumeSessionRequest,
) -> Result<ResumeSessionResponse, Error> {
    let session = known(request.session_id)?;
    let token = door.exec().resume(&session).await;
    let found = token.is_some();
    tracing::info!(session, found, "ResumeSession");
    Ok(ResumeSessionResponse {
        stream_url: found.then(|| stream_url(door, &session)),
        token_value: token,
        session_id: Some(session),
    })
}

/// Ends a session; one that is over stays so.
pub(crate) fn terminate(
    door: &Door,
    request: TerminateSessionRequest,
) -> Result<TerminateSessionResponse, Error> {
    let session = known(request.session_id)?;
    let found = door.exec().terminate(&session);
    tracing::info!(session, found, "TerminateSession");
    Ok(TerminateSessionResponse { session_id: Some(session) })
}

fn known(session: Option<String>) -> Result<String, Error> {
    let session = session.unwrap_or_default();
    if is_id(&session) {
        return Ok(session);
    }
    Err(ErrorKind::DoesNotExistException.with(format!(
        "Session {session} does not exist: Wharf has the sessions of ECS's ExecuteCommand, whose ids \
         begin with ecs-execute-command-, and no other."
    )))
}

/// The sessions that are open.
pub(crate) fn describe(
    door: &Door,
    request: &DescribeSessionsRequest,
) -> Result<DescribeSessionsResponse, Error> {
    match &request.state {
        Some(SessionState::Active) | None => {}
        Some(SessionState::History) => {
            return Err(ErrorKind::InvalidFilterKey.with(
                "State: History is not built in Wharf, which does not keep sessions that are over; the \
                 server's log tells of each. Ask for Active.",
            ));
        }
        Some(SessionState::Unrecognized(text)) => {
            return Err(ErrorKind::InvalidFilterKey.with(format!("State: \"{text}\" is unknown.")));
        }
    }
    let filters = request.filters.clone().unwrap_or_default();
    let filters = filters.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let most = request.max_results.and_then(|n| usize::try_from(n).ok()).unwrap_or(PAGE);
    let after = request.next_token.clone().unwrap_or_default();
    let sessions = door.exec().list().into_iter().filter(|open| open.id > after);
    let mut shown: Vec<Session> = sessions.map(|open| show(door, open)).collect();
    shown.retain(|session| filters.iter().all(|filter| filter.lets(session)));
    let more = shown.len() > most;
    shown.truncate(most);
    let next_token = shown.last().filter(|_| more).and_then(|last| last.session_id.clone());
    Ok(DescribeSessionsResponse { sessions: Some(shown), next_token })
}

/// A filter that is honoured.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    Id(String),
    Owner(String),
    Status(String),
    Target(String),
}

impl Filter {
    fn lets(&self, session: &Session) -> bool {
        match self {
            Self::Id(id) => session.session_id.as_ref() == Some(id),
            Self::Owner(owner) => session.owner.as_ref() == Some(owner),
            Self::Target(target) => session.target.as_ref() == Some(target),
            Self::Status(status) => {
                session.status.as_ref().is_some_and(|is| is.to_string() == *status)
            }
        }
    }
}

fn read(filter: &SessionFilter) -> Result<Filter, Error> {
    let value = filter.value.clone().unwrap_or_default();
    match &filter.key {
        Some(SessionFilterKey::SessionId) => Ok(Filter::Id(value)),
        Some(SessionFilterKey::Owner) => Ok(Filter::Owner(value)),
        Some(SessionFilterKey::Status) => Ok(Filter::Status(value)),
        Some(SessionFilterKey::Target) => Ok(Filter::Target(value)),
        other => Err(ErrorKind::InvalidFilterKey.with(format!(
            "Filters: {} is not built in Wharf; Owner, SessionId, Status and Target are.",
            other.as_ref().map_or_else(String::new, ToString::to_string)
        ))),
    }
}

/// As ECS names the target: cluster, task and container.
fn show(door: &Door, open: Open) -> Session {
    let (key, name) = &open.opening.container;
    let state = door.snapshot();
    let progress = state.task(key).map(|task| &task.progress.containers);
    let runtime = progress.and_then(|all| all.iter().find(|c| c.name == *name)?.runtime_id.clone());
    let target = format!("ecs:{}_{}_{}", key.cluster, key.task, runtime.unwrap_or_default());
    let status =
        if open.connected { SessionStatus::Connected } else { SessionStatus::Disconnected };
    Session {
        session_id: Some(open.id),
        target: Some(target),
        status: Some(status),
        start_date: Some(open.begun),
        document_name: Some("AmazonECS-ExecuteInteractiveCommand".to_owned()),
        owner: open.opening.owner,
        ..Session::default()
    }
}
