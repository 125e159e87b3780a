//! The one place where refusals of the domain become AWS's errors: the code that programs compare and
//! the sentence that people read.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html>

use aws::Error;
use aws::ecs::{ErrorKind, Failure as WireFailure};
use model::{ClusterName, InstanceKey, Realm};
use scheduler::{CapacityRejection, DeploymentRejection, Failure, Rejection};
use store::SubmitError;

/// `InvalidParameterException` with a sentence.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    ErrorKind::InvalidParameterException.with(message)
}

/// `ClientException` with a sentence.
pub(crate) fn client(message: impl Into<String>) -> Error {
    ErrorKind::ClientException.with(message)
}

/// A fault of ours that a repetition may get past.
pub(crate) fn server(message: impl Into<String>) -> Error {
    ErrorKind::ServerException.with(message)
}

/// The answer to a command that was not committed.
pub(crate) fn submit(realm: &Realm, error: &SubmitError) -> Error {
    match error {
        SubmitError::Rejected(rejection) => self::rejection(realm, rejection),
        other => {
            tracing::error!(error = stdx::chain(other), "a command could not be committed");
            server(
                "The change could not be stored, and nothing of it was done. The server's log says why.",
            )
        }
    }
}

/// A refusal of the domain: AWS's code, and the sentence that the domain has for it.
pub(crate) fn rejection(realm: &Realm, rejection: &Rejection) -> Error {
    kind(rejection).with(scheduler::words::rejection(rejection, realm))
}

/// Which of ECS's errors a refusal is.
const fn kind(rejection: &Rejection) -> ErrorKind {
    use ErrorKind as K;
    match rejection {
        Rejection::ClusterNotFound(_) => K::ClusterNotFoundException,
        Rejection::ClusterContainsInstances(..) => K::ClusterContainsContainerInstancesException,
        Rejection::ClusterContainsServices(..) => K::ClusterContainsServicesException,
        Rejection::ClusterContainsTasks(..) => K::ClusterContainsTasksException,
        Rejection::DefinitionNotFound(_)
        | Rejection::FamilyNotFound(_)
        | Rejection::DefinitionInactive(_)
        | Rejection::DefinitionActive(_)
        | Rejection::Incompatible { .. } => K::ClientException,
        Rejection::TargetNotFound(_) => K::TargetNotFoundException,
        Rejection::TooManyAttributes(..) => K::AttributeLimitExceededException,
        Rejection::ServiceNotFound(_) => K::ServiceNotFoundException,
        Rejection::ServiceNotActive(_) => K::ServiceNotActiveException,
        Rejection::TaskSetNotFound(_) => K::TaskSetNotFoundException,
        Rejection::ServiceExists(_)
        | Rejection::ServiceDraining(_)
        | Rejection::ServiceHasTasks(..)
        | Rejection::TaskNotFound(_)
        | Rejection::TaskNotProtectable(_)
        | Rejection::InstanceNotFound(_)
        | Rejection::InstanceHasTasks(..)
        | Rejection::Invalid { .. }
        | Rejection::Misfit(_)
        | Rejection::Refused(_)
        | Rejection::NotBuilt(_) => K::InvalidParameterException,
        // Their own errors are in their rooms; ECS has no command that is refused so.
        Rejection::Iam(_) | Rejection::Scaling(_) | Rejection::Bus(_) => K::ClientException,
        Rejection::Deployment(refusal) => deployment(refusal),
        Rejection::Capacity(refusal) => capacity(refusal),
        // Likewise those of Elastic Load Balancing, in `elbv2`.
        Rejection::Balancing(_) => K::ClientException,
        Rejection::TokenReused(_) => K::ConflictException,
        Rejection::Limit(_) => K::LimitExceededException,
        Rejection::Stale => K::ServerException,
    }
}

/// Which of ECS's errors a refusal about a service deployment is.
const fn deployment(refusal: &DeploymentRejection) -> ErrorKind {
    use ErrorKind as K;
    match refusal {
        DeploymentRejection::NotFound(_) => K::ServiceDeploymentNotFoundException,
        DeploymentRejection::NotStoppable { .. } | DeploymentRejection::TooLate(_) => {
            K::ConflictException
        }
        DeploymentRejection::NotPaused { .. } => K::InvalidParameterException,
    }
}

/// Which of ECS's errors a refusal of capacity is; those of Auto Scaling are in `autoscaling`.
const fn capacity(refusal: &CapacityRejection) -> ErrorKind {
    use ErrorKind as K;
    match refusal {
        CapacityRejection::NoProvider(_) | CapacityRejection::ProviderInUse(..) => {
            K::ClientException
        }
        CapacityRejection::ProviderHasTasks(_) => K::ResourceInUseException,
        _ => K::InvalidParameterException,
    }
}

/// Why one task was not placed, as an entry of `failures[]`.
pub(crate) fn failure(realm: &Realm, cluster: &ClusterName, failure: &Failure) -> WireFailure {
    let (reason, detail) = scheduler::words::failure(failure);
    let arn = failure.instance.as_ref().map(|instance| {
        realm.instance(&InstanceKey { cluster: cluster.clone(), instance: instance.clone() })
    });
    WireFailure { arn, reason: Some(reason), detail: Some(detail).filter(|d| !d.is_empty()) }
}

/// The entry of `failures[]` for what does not exist.
pub(crate) fn missing(arn: String) -> WireFailure {
    WireFailure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DefinitionKey, Revision, ServiceKey, TaskKey};

    #[test]
    fn refusals_have_the_codes_and_sentences_that_clients_compare() {
        let realm = Realm::new("eu-west-1", "123456789012");
        let cluster = ClusterName::from("c");
        let service = ServiceKey { cluster: cluster.clone(), service: "s".into() };
        let definition = DefinitionKey { family: "web".into(), revision: Revision(1) };
        for (refusal, code, words) in [
            (
                Rejection::ClusterNotFound(cluster.clone()),
                "ClusterNotFoundException",
                "Cluster not found.",
            ),
            (
                Rejection::ClusterContainsTasks(cluster.clone(), 2),
                "ClusterContainsTasksException",
                "The Cluster cannot be deleted while Tasks are active.",
            ),
            (
                Rejection::DefinitionInactive(definition),
                "ClientException",
                "TaskDefinition is inactive",
            ),
            (
                Rejection::ServiceNotFound(service.clone()),
                "ServiceNotFoundException",
                "Service not found.",
            ),
            (
                Rejection::ServiceDraining(service),
                "InvalidParameterException",
                "Unable to Start a service that is still Draining.",
            ),
            (
                Rejection::TaskNotFound(TaskKey { cluster: cluster.clone(), task: "0f".into() }),
                "InvalidParameterException",
                "The referenced task was not found",
            ),
            (Rejection::TokenReused("t".to_owned()), "ConflictException", "The clientToken t"),
            (Rejection::Stale, "ServerException", ""),
        ] {
            let error = rejection(&realm, &refusal);
            assert_eq!(error.code, code, "{error}");
            assert!(error.message.starts_with(words), "{error}");
        }
    }
}
