//! EventBridge's errors, and what several of its operations read alike.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/CommonErrors.html>

use aws::Error;
use aws::events::ErrorKind;
use model::State;
use scheduler::{BusCommand, BusRejection, Command, Rejection};
use store::{Committed, SubmitError};

use crate::door::Door;
use crate::page::{Order, Page};

/// `ValidationException` with a sentence.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new("ValidationException", 400, message)
}

/// What is not built, by name.
pub(super) fn not_built(member: &str, what: &str) -> Error {
    invalid(format!("{member}: {what} not built yet in Wharf; leave it out."))
}

/// `ResourceNotFoundException` with a sentence.
pub(super) fn missing(message: impl Into<String>) -> Error {
    ErrorKind::ResourceNotFoundException.with(message)
}

/// Has a command decided and made durable.
pub(super) async fn submit(door: &Door, command: BusCommand) -> Result<Committed, Error> {
    door.try_submit(Command::Bus(command)).await.map_err(|error| match error {
        SubmitError::Rejected(Rejection::Bus(refusal)) => self::refusal(&refusal),
        other => {
            tracing::error!(error = stdx::chain(&other), "a command of the bus was not committed");
            failed()
        }
    })
}

/// What could not be stored.
pub(super) fn failed() -> Error {
    ErrorKind::InternalException.with(
        "The change could not be stored, and nothing of it was done. The server's log says why.",
    )
}

/// A refusal with its code.
pub(super) fn refusal(refusal: &BusRejection) -> Error {
    use BusRejection as R;
    let message = refusal.to_string();
    match refusal {
        R::NoRule(_) | R::NoConnection(_) | R::NoDestination(_) => missing(message),
        R::HasTargets(_) | R::TooManyTags | R::ConnectionInUse(..) => invalid(message),
        R::Limit(_) => ErrorKind::LimitExceededException.with(message),
        R::ConnectionExists(_) | R::DestinationExists(_) => {
            ErrorKind::ResourceAlreadyExistsException.with(message)
        }
    }
}

/// Refuses any bus but the default one, by its name or its ARN.
pub(super) fn default_bus(state: &State, given: Option<&String>) -> Result<(), Error> {
    match given.map(String::as_str) {
        None | Some("default") => Ok(()),
        Some(arn) if arn == state.realm().event_bus() => Ok(()),
        Some(other) => Err(missing(format!(
            "Event bus {other} does not exist. Wharf has the default event bus and no other."
        ))),
    }
}

/// A page of a list, at most 100.
pub(super) fn page<T>(
    operation: &'static str,
    token: Option<&String>,
    limit: Option<i32>,
    entries: Vec<(String, T)>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let page = Page::of_100(operation, token.map(String::as_str), limit);
    page.cut(entries, Order::Ascending).map_err(|error| invalid(error.message))
}
