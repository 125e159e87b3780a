//! The resources of the operations beside ECS's own: ECR, CloudWatch Logs, IAM, Parameter Store and
//! Secrets Manager. `None` for what is not built.

use aws::{ecr, iam, logs, secretsmanager, ssm};

use super::request::Asked;
use crate::identity;

type Resources = Option<Vec<String>>;

/// ECR. <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html>
pub(super) fn ecr(asked: &Asked<'_>, operation: ecr::Operation) -> Resources {
    use ecr::Operation as O;
    let repositories =
        |member: &str| asked.arns(member, |name| asked.arn("ecr", &format!("repository/{name}")));
    Some(match operation {
        O::GetAuthorizationToken => Vec::new(),
        O::DescribeRepositories => {
            let named = repositories("repositoryNames");
            if named.is_empty() { vec![asked.arn("ecr", "repository/*")] } else { named }
        }
        O::BatchCheckLayerAvailability
        | O::BatchDeleteImage
        | O::BatchGetImage
        | O::CreateRepository
        | O::DeleteRepository
        | O::DescribeImages
        | O::ListImages
        | O::PutImageTagMutability => repositories("repositoryName"),
        O::ListTagsForResource | O::TagResource | O::UntagResource => repositories("resourceArn"),
        _ => return None,
    })
}

/// CloudWatch Logs: a group's ARN ends as one of its streams would, so that `GROUP:*` matches both.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html>
pub(super) fn logs(asked: &Asked<'_>, operation: logs::Operation) -> Resources {
    use logs::Operation as O;
    let name = || {
        let given = asked.text("logGroupName").or_else(|| asked.text("logGroupIdentifier"));
        let given = given.unwrap_or_default();
        given.rsplit_once(":log-group:").map_or(given, |(_, name)| name).trim_end_matches(":*")
    };
    let group = |stream: &str| {
        vec![asked.arn("logs", &format!("log-group:{}:log-stream:{stream}", name()))]
    };
    Some(match operation {
        O::DescribeLogGroups => vec![asked.arn("logs", "log-group::log-stream:")],
        O::CreateLogGroup
        | O::DeleteLogGroup
        | O::DeleteRetentionPolicy
        | O::DescribeLogStreams
        | O::FilterLogEvents
        | O::PutRetentionPolicy => group(""),
        O::CreateLogStream | O::DeleteLogStream | O::GetLogEvents | O::PutLogEvents => {
            group(asked.text("logStreamName").unwrap_or_default())
        }
        O::ListTagsForResource | O::TagResource | O::UntagResource => {
            asked.texts("resourceArn").into_iter().map(str::to_owned).collect()
        }
        _ => return None,
    })
}

/// IAM. <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html>
pub(super) fn iam(asked: &Asked<'_>, operation: iam::Operation) -> Resources {
    use iam::Operation as O;
    let realm = asked.realm();
    let own = |rest: String| format!("arn:{}:iam::{}:{rest}", realm.partition, realm.account);
    let path = || asked.text("Path").unwrap_or("/");
    let role = || {
        let name = asked.text("RoleName").unwrap_or_default();
        let found = identity::find(asked.state, name).map(|role| realm.role(role));
        vec![found.unwrap_or_else(|| own(format!("role{}{name}", path())))]
    };
    let policy = || asked.texts("PolicyArn").into_iter().map(str::to_owned).collect();
    Some(match operation {
        O::ListRoles | O::ListPolicies => Vec::new(),
        O::CreatePolicy => {
            let name = asked.text("PolicyName").unwrap_or_default();
            vec![own(format!("policy{}{name}", path()))]
        }
        O::CreatePolicyVersion
        | O::DeletePolicy
        | O::DeletePolicyVersion
        | O::GetPolicy
        | O::GetPolicyVersion
        | O::ListEntitiesForPolicy
        | O::ListPolicyVersions
        | O::SetDefaultPolicyVersion => policy(),
        O::AttachRolePolicy
        | O::CreateRole
        | O::DeleteRole
        | O::DeleteRolePolicy
        | O::DetachRolePolicy
        | O::GetRole
        | O::GetRolePolicy
        | O::ListAttachedRolePolicies
        | O::ListInstanceProfilesForRole
        | O::ListRolePolicies
        | O::ListRoleTags
        | O::PutRolePolicy
        | O::TagRole
        | O::UntagRole
        | O::UpdateAssumeRolePolicy
        | O::UpdateRole => role(),
        _ => return None,
    })
}

/// Parameter Store. <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html>
pub(super) fn ssm(asked: &Asked<'_>, operation: ssm::Operation) -> Resources {
    use ssm::Operation as O;
    // A name may have a version or a label behind a colon.
    let named = |member: &str| {
        asked
            .texts(member)
            .into_iter()
            .map(|name| match name.split_once(":parameter/") {
                Some((_, rest)) => rest,
                None => name,
            })
            .map(|name| name.split(':').next().unwrap_or(name).trim_start_matches('/'))
            .map(|name| asked.arn("ssm", &format!("parameter/{name}")))
            .collect()
    };
    Some(match operation {
        O::DescribeParameters | O::DescribeSessions => Vec::new(),
        O::ResumeSession | O::TerminateSession => {
            let session = asked.text("SessionId").unwrap_or_default();
            vec![asked.arn("ssm", &format!("session/{session}"))]
        }
        O::DeleteParameter
        | O::GetParameter
        | O::GetParameterHistory
        | O::LabelParameterVersion
        | O::PutParameter
        | O::UnlabelParameterVersion => named("Name"),
        O::DeleteParameters | O::GetParameters => named("Names"),
        O::GetParametersByPath => named("Path"),
        O::AddTagsToResource | O::ListTagsForResource | O::RemoveTagsFromResource => {
            named("ResourceId")
        }
        _ => return None,
    })
}

/// Secrets Manager: a secret's name stands for its ARN, which ends in six letters of its own.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html>
pub(super) fn secrets(asked: &Asked<'_>, operation: secretsmanager::Operation) -> Resources {
    use secretsmanager::Operation as O;
    Some(match operation {
        O::BatchGetSecretValue | O::GetRandomPassword | O::ListSecrets => Vec::new(),
        O::CreateSecret => secret_names(asked, "Name"),
        O::DeleteSecret
        | O::DescribeSecret
        | O::GetSecretValue
        | O::ListSecretVersionIds
        | O::PutSecretValue
        | O::RestoreSecret
        | O::TagResource
        | O::UntagResource
        | O::UpdateSecret
        | O::UpdateSecretVersionStage => match asked.secret {
            Some(arn) => vec![arn.to_owned()],
            None => secret_names(asked, "SecretId"),
        },
        _ => return None,
    })
}

/// ARNs of the secrets that a member names; those of names lack the six letters.
pub(super) fn secret_names(asked: &Asked<'_>, member: &str) -> Vec<String> {
    asked.arns(member, |name| asked.arn("secretsmanager", &format!("secret:{name}")))
}
