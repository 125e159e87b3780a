//! Elastic Load Balancing's errors: codes that programs compare, and its sentences.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/CommonErrors.html>

use aws::Error;
use aws::elbv2::ErrorKind;
use scheduler::{BalancingCommand, BalancingLimit, BalancingRejection, Command, Rejection};
use store::{Committed, SubmitError};

use crate::door::Door;
use crate::errors;

/// `ValidationError` with a sentence.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new("ValidationError", 400, message)
}

/// `InvalidConfigurationRequest` with a sentence.
pub(super) fn configuration(message: impl Into<String>) -> Error {
    ErrorKind::InvalidConfigurationRequestException.with(message)
}

/// Refuses a member that asks for what is not built.
pub(super) fn not_built<T>(member: &str, value: Option<&T>, what: &str) -> Result<(), Error> {
    match value {
        None => Ok(()),
        Some(_) => Err(configuration(format!(
            "{member}: {what} not built yet in Wharf, and nothing was done; leave it out."
        ))),
    }
}

/// Has a command decided and made durable.
pub(super) async fn submit(door: &Door, command: BalancingCommand) -> Result<Committed, Error> {
    door.try_submit(Command::Balancing(command)).await.map_err(|error| match error {
        SubmitError::Rejected(Rejection::Balancing(refusal)) => self::refusal(&refusal),
        other => errors::submit(door.realm(), &other),
    })
}

/// A refusal as the error that it is.
pub(super) fn refusal(refusal: &BalancingRejection) -> Error {
    match kind(refusal) {
        Some(kind) => kind.with(refusal.to_string()),
        None => invalid(refusal.to_string()),
    }
}

/// Which of the errors a refusal is; none is a `ValidationError`, which no shape has.
const fn kind(refusal: &BalancingRejection) -> Option<ErrorKind> {
    use BalancingLimit as L;
    use BalancingRejection as R;
    use ErrorKind as K;
    Some(match refusal {
        R::NoBalancer(_) => K::LoadBalancerNotFoundException,
        R::NoGroup(_) => K::TargetGroupNotFoundException,
        R::NoListener(_) => K::ListenerNotFoundException,
        R::NoRule(_) => K::RuleNotFoundException,
        R::BalancerExists(_) => K::DuplicateLoadBalancerNameException,
        R::GroupExists(_) => K::DuplicateTargetGroupNameException,
        R::ListenerExists(_) => K::DuplicateListenerException,
        R::PriorityInUse(_) => K::PriorityInUseException,
        R::GroupInUse(_) => K::ResourceInUseException,
        R::NotPermitted(_) => K::OperationNotPermittedException,
        R::GroupTaken(_) => K::TargetGroupAssociationLimitException,
        R::IncompatibleProtocols(_) => K::IncompatibleProtocolsException,
        R::UnsupportedProtocol(_) => K::UnsupportedProtocolException,
        R::InvalidConfiguration(_) => K::InvalidConfigurationRequestException,
        R::NoSuchTarget(_) => K::InvalidTargetException,
        R::Invalid(_) => return None,
        R::TooMany(limit, _) => match limit {
            L::Balancers => K::TooManyLoadBalancersException,
            L::Groups => K::TooManyTargetGroupsException,
            L::Listeners => K::TooManyListenersException,
            L::Rules => K::TooManyRulesException,
            L::Targets => K::TooManyTargetsException,
            L::Certificates => K::TooManyCertificatesException,
            L::Tags => K::TooManyTagsException,
        },
    })
}
