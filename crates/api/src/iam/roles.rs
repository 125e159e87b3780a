//! Roles: made, read, changed, given policies.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html>

use aws::Error;
use aws::iam::*;
use model::{RoleName, State};
use scheduler::{IamCommand, NewRole, PolicyRef};

use super::errors::{invalid, missing, not_built, submit};
use super::read::{self, Found};
use super::view;
use crate::door::Door;

/// A session lasts an hour at most unless the role says otherwise.
const USUAL_SESSION: i32 = 3600;

fn name(given: Option<&String>) -> RoleName {
    RoleName::from(given.map(String::as_str).unwrap_or_default())
}

fn find<'s>(state: &'s State, given: Option<&String>) -> Result<&'s model::Role, Error> {
    let name = name(given);
    let role = state.role(&name).map(|role| &**role);
    role.ok_or_else(|| missing(format!("The role with name {name} cannot be found.")))
}

fn session(seconds: i32) -> Result<u32, Error> {
    u32::try_from(seconds).map_err(|_| invalid("MaxSessionDuration can not be negative."))
}

pub(super) async fn create(
    door: &Door,
    request: CreateRoleRequest,
) -> Result<CreateRoleResponse, Error> {
    if request.permissions_boundary.is_some() {
        return Err(not_built("PermissionsBoundary", "permissions boundaries are"));
    }
    let new = NewRole {
        name: name(request.role_name.as_ref()),
        path: read::path(request.path.as_ref())?,
        trust: read::trust(request.assume_role_policy_document.as_ref())?,
        description: request.description.unwrap_or_default(),
        max_session_seconds: session(request.max_session_duration.unwrap_or(USUAL_SESSION))?,
        tags: read::tags(request.tags.as_ref())?,
    };
    let name = new.name.clone();
    let committed = submit(door, IamCommand::CreateRole(new)).await?;
    let role = committed.state.role(&name);
    let role = role
        .map(|role| Role { tags: view::tags(&role.tags), ..view::role(&committed.state, role) });
    Ok(CreateRoleResponse { role })
}

pub(super) async fn delete(
    door: &Door,
    request: DeleteRoleRequest,
) -> Result<DeleteRoleResponse, Error> {
    submit(door, IamCommand::DeleteRole(name(request.role_name.as_ref()))).await?;
    Ok(DeleteRoleResponse {})
}

pub(super) fn get(state: &State, request: &GetRoleRequest) -> Result<GetRoleResponse, Error> {
    let role = find(state, request.role_name.as_ref())?;
    Ok(GetRoleResponse { role: Some(view::whole_role(state, role)) })
}

pub(super) fn list(state: &State, request: &ListRolesRequest) -> Result<ListRolesResponse, Error> {
    let prefix = request.path_prefix.as_deref().unwrap_or("/");
    let roles = state.roles().filter(|role| role.path.starts_with(prefix));
    let roles = roles.map(|role| (role.name.to_string(), view::role(state, role))).collect();
    let (roles, marker) =
        read::page("ListRoles", request.marker.as_ref(), request.max_items, roles)?;
    Ok(ListRolesResponse { roles: Some(roles), is_truncated: Some(marker.is_some()), marker })
}

pub(super) async fn update(
    door: &Door,
    request: UpdateRoleRequest,
) -> Result<UpdateRoleResponse, Error> {
    let max_session_seconds = request.max_session_duration.map(session).transpose()?;
    let role = name(request.role_name.as_ref());
    let description = request.description;
    submit(door, IamCommand::UpdateRole { role, description, max_session_seconds }).await?;
    Ok(UpdateRoleResponse {})
}

pub(super) async fn set_trust(
    door: &Door,
    request: UpdateAssumeRolePolicyRequest,
) -> Result<UpdateAssumeRolePolicyResponse, Error> {
    let document = read::trust(request.policy_document.as_ref())?;
    submit(door, IamCommand::SetTrust(name(request.role_name.as_ref()), document)).await?;
    Ok(UpdateAssumeRolePolicyResponse {})
}

// === Tags ===

pub(super) fn tags(
    state: &State,
    request: &ListRoleTagsRequest,
) -> Result<ListRoleTagsResponse, Error> {
    let role = find(state, request.role_name.as_ref())?;
    let tags = view::tags(&role.tags).unwrap_or_default();
    let tags = tags.into_iter().map(|tag| (tag.key.clone().unwrap_or_default(), tag)).collect();
    let (tags, marker) =
        read::page("ListRoleTags", request.marker.as_ref(), request.max_items, tags)?;
    Ok(ListRoleTagsResponse { tags: Some(tags), is_truncated: Some(marker.is_some()), marker })
}

pub(super) async fn tag(door: &Door, request: TagRoleRequest) -> Result<TagRoleResponse, Error> {
    let tags = read::tags(request.tags.as_ref())?;
    submit(door, IamCommand::TagRole(name(request.role_name.as_ref()), tags)).await?;
    Ok(TagRoleResponse {})
}

pub(super) async fn untag(
    door: &Door,
    request: UntagRoleRequest,
) -> Result<UntagRoleResponse, Error> {
    let keys = request.tag_keys.unwrap_or_default();
    submit(door, IamCommand::UntagRole(name(request.role_name.as_ref()), keys)).await?;
    Ok(UntagRoleResponse {})
}

// === Its own policies ===

pub(super) async fn put_inline(
    door: &Door,
    request: PutRolePolicyRequest,
) -> Result<PutRolePolicyResponse, Error> {
    let role = name(request.role_name.as_ref());
    let document = read::inline_document(request.policy_document.as_ref())?;
    let policy = request.policy_name.unwrap_or_default();
    submit(door, IamCommand::PutInline(role, policy, document)).await?;
    Ok(PutRolePolicyResponse {})
}

pub(super) async fn delete_inline(
    door: &Door,
    request: DeleteRolePolicyRequest,
) -> Result<DeleteRolePolicyResponse, Error> {
    let role = name(request.role_name.as_ref());
    let policy = request.policy_name.unwrap_or_default();
    submit(door, IamCommand::DeleteInline(role, policy)).await?;
    Ok(DeleteRolePolicyResponse {})
}

pub(super) fn get_inline(
    state: &State,
    request: &GetRolePolicyRequest,
) -> Result<GetRolePolicyResponse, Error> {
    let role = find(state, request.role_name.as_ref())?;
    let policy = request.policy_name.as_deref().unwrap_or_default();
    let document = role
        .inline
        .get(policy)
        .ok_or_else(|| missing(format!("The role policy with name {policy} cannot be found.")))?;
    Ok(GetRolePolicyResponse {
        role_name: Some(role.name.to_string()),
        policy_name: Some(policy.to_owned()),
        policy_document: Some(view::encoded(document)),
    })
}

pub(super) fn list_inline(
    state: &State,
    request: &ListRolePoliciesRequest,
) -> Result<ListRolePoliciesResponse, Error> {
    let role = find(state, request.role_name.as_ref())?;
    let names = role.inline.keys().map(|name| (name.clone(), name.clone())).collect();
    let (names, marker) =
        read::page("ListRolePolicies", request.marker.as_ref(), request.max_items, names)?;
    Ok(ListRolePoliciesResponse {
        policy_names: Some(names),
        is_truncated: Some(marker.is_some()),
        marker,
    })
}

// === Managed policies ===

pub(super) async fn attach(
    door: &Door,
    request: AttachRolePolicyRequest,
) -> Result<AttachRolePolicyResponse, Error> {
    let state = door.snapshot();
    let role = name(request.role_name.as_ref());
    let arn = request.policy_arn.unwrap_or_default();
    let policy = match read::policy(&state, Some(&arn)) {
        Ok(Found::Aws(_)) => PolicyRef::Aws(arn),
        Ok(Found::Own(policy)) => PolicyRef::Own(policy.name.clone()),
        Err(error) if error.code == "NoSuchEntity" => {
            return Err(missing(format!("Policy {arn} does not exist or is not attachable.")));
        }
        Err(error) => return Err(error),
    };
    submit(door, IamCommand::Attach(role, policy)).await?;
    Ok(AttachRolePolicyResponse {})
}

pub(super) async fn detach(
    door: &Door,
    request: DetachRolePolicyRequest,
) -> Result<DetachRolePolicyResponse, Error> {
    let role = name(request.role_name.as_ref());
    submit(door, IamCommand::Detach(role, request.policy_arn.unwrap_or_default())).await?;
    Ok(DetachRolePolicyResponse {})
}

pub(super) fn list_attached(
    state: &State,
    request: &ListAttachedRolePoliciesRequest,
) -> Result<ListAttachedRolePoliciesResponse, Error> {
    let role = find(state, request.role_name.as_ref())?;
    let prefix = request.path_prefix.as_deref().unwrap_or("/");
    let path = |arn: &str| arn.split_once(":policy").map(|(_, path)| path.to_owned());
    let attached =
        role.attached.iter().filter(|arn| path(arn).is_some_and(|p| p.starts_with(prefix)));
    let attached = attached
        .map(|arn| {
            let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
            let policy = AttachedPolicy { policy_arn: Some(arn.clone()), policy_name: Some(name) };
            (arn.clone(), policy)
        })
        .collect();
    let operation = "ListAttachedRolePolicies";
    let (attached, marker) =
        read::page(operation, request.marker.as_ref(), request.max_items, attached)?;
    Ok(ListAttachedRolePoliciesResponse {
        attached_policies: Some(attached),
        is_truncated: Some(marker.is_some()),
        marker,
    })
}

/// There are no instance profiles here, so no role is in one.
pub(super) fn instance_profiles(
    state: &State,
    request: &ListInstanceProfilesForRoleRequest,
) -> Result<ListInstanceProfilesForRoleResponse, Error> {
    find(state, request.role_name.as_ref())?;
    Ok(ListInstanceProfilesForRoleResponse {
        instance_profiles: Some(Vec::new()),
        is_truncated: Some(false),
        marker: None,
    })
}
