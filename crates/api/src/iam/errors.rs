//! IAM's errors: codes that programs compare, and IAM's sentences.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>

use auth::policy::Malformed;
use aws::Error;
use aws::iam::ErrorKind;
use scheduler::{Command, IamCommand, IamRejection, Rejection};
use store::{Committed, SubmitError};

use crate::door::Door;
use crate::errors;

/// `ValidationError` with a sentence.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new("ValidationError", 400, message)
}

/// `NoSuchEntity` with a sentence.
pub(super) fn missing(message: impl Into<String>) -> Error {
    ErrorKind::NoSuchEntityException.with(message)
}

/// What asks for something that is not built.
pub(super) fn not_built(member: &str, what: &str) -> Error {
    ErrorKind::InvalidInputException
        .with(format!("{member}: {what} not built yet in Wharf; leave it out."))
}

/// A policy document that is none.
pub(crate) fn malformed(error: &Malformed) -> Error {
    ErrorKind::MalformedPolicyDocumentException.with(error.to_string())
}

/// Has a command decided and made durable.
pub(super) async fn submit(door: &Door, command: IamCommand) -> Result<Committed, Error> {
    door.try_submit(Command::Iam(command)).await.map_err(|error| match error {
        SubmitError::Rejected(Rejection::Iam(refusal)) => kind(&refusal).with(refusal.to_string()),
        other => errors::submit(door.realm(), &other),
    })
}

/// Which of IAM's errors a refusal is.
const fn kind(refusal: &IamRejection) -> ErrorKind {
    use ErrorKind as K;
    use IamRejection as R;
    match refusal {
        R::NoRole(_) | R::NoInline(_) | R::NoPolicy(_) | R::NotAttached(_) | R::NoVersion(_) => {
            K::NoSuchEntityException
        }
        R::RoleExists(_) | R::PolicyExists(_) => K::EntityAlreadyExistsException,
        R::RoleHasAttached
        | R::RoleHasInline
        | R::PolicyAttached
        | R::PolicyHasVersions
        | R::DefaultVersion => K::DeleteConflictException,
        R::TooManyVersions | R::TooManyAttached | R::InlineTooLarge(_) | R::TooManyTags => {
            K::LimitExceededException
        }
    }
}
