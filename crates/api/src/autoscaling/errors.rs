//! Auto Scaling's errors: codes that programs compare, and its sentences.
//! <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html>

use aws::Error;
use aws::autoscaling::ErrorKind;
use scheduler::{CapacityCommand, CapacityRejection, Command, Rejection};
use store::{Committed, SubmitError};

use crate::door::Door;
use crate::errors;
use crate::page::{Order, Page};

/// `ValidationError` with a sentence.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new("ValidationError", 400, message)
}

/// A page of a list with the token of the next, refused as Auto Scaling refuses it.
pub(super) fn cut<T>(
    page: &Page<'_>,
    entries: Vec<(String, T)>,
    order: Order,
) -> Result<(Vec<T>, Option<String>), Error> {
    if page.has_foreign_token() {
        return Err(ErrorKind::InvalidNextToken.with("The NextToken value is not valid."));
    }
    page.cut(entries, order).map_err(|error| invalid(error.message))
}

/// Refuses members that ask for what is not built, by name.
pub(super) fn not_built(asked: &[(&str, bool)]) -> Result<(), Error> {
    match asked.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((member, _)) => {
            Err(invalid(format!("{member} is not built yet in Wharf; leave it out.")))
        }
    }
}

/// Text that must be there.
pub(super) fn required<'a>(member: &str, given: Option<&'a String>) -> Result<&'a str, Error> {
    match given.map(|text| text.trim()) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(invalid(format!("{member} is required."))),
    }
}

/// A number that is not negative.
pub(super) fn number(member: &str, given: i32) -> Result<u32, Error> {
    u32::try_from(given).map_err(|_| invalid(format!("{member}: {given} is below 0.")))
}

/// Has a command decided and made durable.
pub(super) async fn submit(door: &Door, command: CapacityCommand) -> Result<Committed, Error> {
    door.try_submit(Command::Capacity(command)).await.map_err(|error| match error {
        SubmitError::Rejected(Rejection::Capacity(refusal)) => refused(&refusal),
        other => errors::submit(door.realm(), &other),
    })
}

fn refused(refusal: &CapacityRejection) -> Error {
    use CapacityRejection as R;
    let code = match refusal {
        R::GroupExists(_) | R::LaunchExists(_) => "AlreadyExists",
        R::GroupHasNodes(_)
        | R::LaunchInUse(..)
        | R::GroupHasProvider(..)
        | R::GroupDeleting(_) => "ResourceInUse",
        R::InProgress(_) => "ScalingActivityInProgress",
        R::Limit(_) => "LimitExceeded",
        _ => "ValidationError",
    };
    Error::new(code, 400, refusal.to_string())
}
