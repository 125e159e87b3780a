//! Application Auto Scaling's errors.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/CommonErrors.html>

use aws::Error;
use aws::application_autoscaling::ErrorKind;
use scheduler::{Command, Rejection, ScalingCommand, ScalingRejection};
use store::{Committed, SubmitError};

use crate::door::Door;

/// `ValidationException` with a sentence.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    ErrorKind::ValidationException.with(message)
}

/// Has a command decided and made durable.
pub(super) async fn submit(door: &Door, command: ScalingCommand) -> Result<Committed, Error> {
    door.try_submit(Command::Scaling(command)).await.map_err(|error| match error {
        SubmitError::Rejected(Rejection::Scaling(refusal)) => {
            kind(&refusal).with(refusal.to_string())
        }
        other => {
            tracing::error!(error = stdx::chain(&other), "a scaling command was not committed");
            ErrorKind::InternalServiceException.with(
                "The change could not be stored, and nothing of it was done. The server's log says \
                 why.",
            )
        }
    })
}

/// Which of its errors a refusal is.
const fn kind(refusal: &ScalingRejection) -> ErrorKind {
    use ErrorKind as K;
    use ScalingRejection as R;
    match refusal {
        R::NoTarget(_) | R::NoPolicy(_) | R::NoAction(_) => K::ObjectNotFoundException,
        R::NoService(_) | R::Bounds { .. } | R::Invalid(_) | R::NotDone(_) => {
            K::ValidationException
        }
        R::Limit(_) => K::LimitExceededException,
        R::TooManyTags => K::TooManyTagsException,
    }
}
