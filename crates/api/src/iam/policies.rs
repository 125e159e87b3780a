//! Managed policies: AWS's, which are built in, and this account's, with their versions.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html>

use auth::policy::managed;
use aws::Error;
use aws::iam::*;
use model::{PolicyName, State};
use scheduler::{IamCommand, NewPolicy, Reply};

use super::errors::{missing, submit};
use super::read::{self, Found};
use super::view;
use crate::door::{Door, odd_reply};

pub(super) async fn create(
    door: &Door,
    request: CreatePolicyRequest,
) -> Result<CreatePolicyResponse, Error> {
    let new = NewPolicy {
        name: PolicyName::from(request.policy_name.unwrap_or_default()),
        path: read::path(request.path.as_ref())?,
        document: read::managed_document(request.policy_document.as_ref())?,
        description: request.description.unwrap_or_default(),
        tags: read::tags(request.tags.as_ref())?,
    };
    let name = new.name.clone();
    let committed = submit(door, IamCommand::CreatePolicy(new)).await?;
    let policy = committed.state.policy(&name);
    Ok(CreatePolicyResponse { policy: policy.map(|policy| view::policy(&committed.state, policy)) })
}

pub(super) async fn delete(
    door: &Door,
    request: DeletePolicyRequest,
) -> Result<DeletePolicyResponse, Error> {
    let policy = read::own(&door.snapshot(), request.policy_arn.as_ref())?;
    submit(door, IamCommand::DeletePolicy(policy)).await?;
    Ok(DeletePolicyResponse {})
}

pub(super) fn get(state: &State, request: &GetPolicyRequest) -> Result<GetPolicyResponse, Error> {
    let policy = match read::policy(state, request.policy_arn.as_ref())? {
        Found::Aws(policy) => view::managed(state, policy),
        Found::Own(policy) => view::policy(state, policy),
    };
    Ok(GetPolicyResponse { policy: Some(policy) })
}

pub(super) fn list(
    state: &State,
    request: &ListPoliciesRequest,
) -> Result<ListPoliciesResponse, Error> {
    let prefix = request.path_prefix.as_deref().unwrap_or("/");
    let (aws, local) = match request.scope {
        Some(PolicyScopeType::Aws) => (true, false),
        Some(PolicyScopeType::Local) => (false, true),
        _ => (true, true),
    };
    let built_in = managed::ALL.iter().filter(|_| aws).map(|policy| view::managed(state, policy));
    let own = state.policies().filter(|_| local).map(|policy| view::policy(state, policy));
    let boundaries = request.policy_usage_filter == Some(PolicyUsageType::PermissionsBoundary);
    let attached = request.only_attached.unwrap_or(false);
    let policies = built_in
        .chain(own)
        .map(|policy| Policy { description: None, tags: None, ..policy })
        .filter(|policy| policy.path.as_deref().is_some_and(|path| path.starts_with(prefix)))
        .filter(|_| !boundaries)
        .filter(|policy| !attached || policy.attachment_count != Some(0))
        .map(|policy| (policy.arn.clone().unwrap_or_default(), policy))
        .collect();
    let (policies, marker) =
        read::page("ListPolicies", request.marker.as_ref(), request.max_items, policies)?;
    Ok(ListPoliciesResponse {
        policies: Some(policies),
        is_truncated: Some(marker.is_some()),
        marker,
    })
}

// === Versions ===

pub(super) async fn create_version(
    door: &Door,
    request: CreatePolicyVersionRequest,
) -> Result<CreatePolicyVersionResponse, Error> {
    let name = read::own(&door.snapshot(), request.policy_arn.as_ref())?;
    let command = IamCommand::CreateVersion {
        policy: name.clone(),
        document: read::managed_document(request.policy_document.as_ref())?,
        set_default: request.set_as_default.unwrap_or(false),
    };
    let committed = submit(door, command).await?;
    let Reply::Policy(_, number) = committed.reply else {
        return Err(odd_reply("CreatePolicyVersion", &committed.reply));
    };
    let policy = committed.state.policy(&name);
    let version = policy.and_then(|policy| {
        let version = policy.versions.get(&number)?;
        Some(view::version(number, policy.default_version == number, version.created_at, None))
    });
    Ok(CreatePolicyVersionResponse { policy_version: version })
}

pub(super) async fn delete_version(
    door: &Door,
    request: DeletePolicyVersionRequest,
) -> Result<DeletePolicyVersionResponse, Error> {
    let arn = request.policy_arn.as_ref();
    let policy = read::own(&door.snapshot(), arn)?;
    let number = read::version(arn, request.version_id.as_ref())?;
    submit(door, IamCommand::DeleteVersion(policy, number)).await?;
    Ok(DeletePolicyVersionResponse {})
}

pub(super) async fn set_default(
    door: &Door,
    request: SetDefaultPolicyVersionRequest,
) -> Result<SetDefaultPolicyVersionResponse, Error> {
    let arn = request.policy_arn.as_ref();
    let policy = read::own(&door.snapshot(), arn)?;
    let number = read::version(arn, request.version_id.as_ref())?;
    submit(door, IamCommand::SetDefaultVersion(policy, number)).await?;
    Ok(SetDefaultPolicyVersionResponse {})
}

pub(super) fn get_version(
    state: &State,
    request: &GetPolicyVersionRequest,
) -> Result<GetPolicyVersionResponse, Error> {
    let arn = request.policy_arn.as_ref();
    let number = read::version(arn, request.version_id.as_ref())?;
    let version = match read::policy(state, arn)? {
        Found::Aws(policy) if number == 1 => {
            Some(view::version(1, true, view::BUILT_IN_AT, Some(&policy.document())))
        }
        Found::Aws(_) => None,
        Found::Own(policy) => policy.versions.get(&number).map(|version| {
            let default = policy.default_version == number;
            view::version(number, default, version.created_at, Some(&version.document))
        }),
    };
    let version = version.ok_or_else(|| {
        let arn = arn.map(String::as_str).unwrap_or_default();
        missing(format!("Policy {arn} version v{number} does not exist or is not attachable."))
    })?;
    Ok(GetPolicyVersionResponse { policy_version: Some(version) })
}

pub(super) fn list_versions(
    state: &State,
    request: &ListPolicyVersionsRequest,
) -> Result<ListPolicyVersionsResponse, Error> {
    let versions = match read::policy(state, request.policy_arn.as_ref())? {
        Found::Aws(_) => {
            vec![(String::new(), view::version(1, true, view::BUILT_IN_AT, None))]
        }
        // The newest first, as IAM has them.
        Found::Own(policy) => policy
            .versions
            .iter()
            .map(|(number, version)| {
                let default = policy.default_version == *number;
                let shown = view::version(*number, default, version.created_at, None);
                (format!("{:010}", u32::MAX - number), shown)
            })
            .collect(),
    };
    let (versions, marker) =
        read::page("ListPolicyVersions", request.marker.as_ref(), request.max_items, versions)?;
    Ok(ListPolicyVersionsResponse {
        versions: Some(versions),
        is_truncated: Some(marker.is_some()),
        marker,
    })
}

/// Who has a policy: roles, since there are neither users nor groups here.
pub(super) fn entities(
    state: &State,
    request: &ListEntitiesForPolicyRequest,
) -> Result<ListEntitiesForPolicyResponse, Error> {
    read::policy(state, request.policy_arn.as_ref())?;
    let arn = request.policy_arn.as_deref().unwrap_or_default();
    let prefix = request.path_prefix.as_deref().unwrap_or("/");
    let of_roles = matches!(request.entity_filter, None | Some(EntityType::Role))
        && request.policy_usage_filter != Some(PolicyUsageType::PermissionsBoundary);
    let roles = state
        .roles()
        .filter(|role| of_roles && role.attached.contains(arn) && role.path.starts_with(prefix))
        .map(|role| {
            let shown = PolicyRole {
                role_id: Some(role.id.clone()),
                role_name: Some(role.name.to_string()),
            };
            (role.name.to_string(), shown)
        })
        .collect();
    let operation = "ListEntitiesForPolicy";
    let (roles, marker) = read::page(operation, request.marker.as_ref(), request.max_items, roles)?;
    Ok(ListEntitiesForPolicyResponse {
        policy_roles: Some(roles),
        policy_groups: Some(Vec::new()),
        policy_users: Some(Vec::new()),
        is_truncated: Some(marker.is_some()),
        marker,
    })
}
