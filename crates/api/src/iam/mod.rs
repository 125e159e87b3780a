//! IAM, as far as roles need it: roles, their policies, and managed policies with versions.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/welcome.html>
//!
//! Policy documents are answered percent-encoded (RFC 3986), as IAM does; SDKs decode them.

mod errors;
mod policies;
mod read;
mod roles;
mod view;

use aws::Error;
use aws::iam::*;

use crate::door::{Caller, Door};

pub(crate) use errors::malformed;

/// Operations that read the state as it is now.
macro_rules! reads {
    ($($operation:ident, $request:ident, $response:ident => $read:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $read(&self.snapshot(), &request)
        }
    )+};
}

/// Operations that change it.
macro_rules! writes {
    ($($operation:ident, $request:ident, $response:ident => $write:path;)+) => {$(
        async fn $operation(&self, _: &Caller, request: $request) -> Result<$response, Error> {
            $write(self, request).await
        }
    )+};
}

impl Iam for Door {
    type Context = Caller;

    reads! {
        get_role, GetRoleRequest, GetRoleResponse => roles::get;
        list_roles, ListRolesRequest, ListRolesResponse => roles::list;
        list_role_tags, ListRoleTagsRequest, ListRoleTagsResponse => roles::tags;
        get_role_policy, GetRolePolicyRequest, GetRolePolicyResponse => roles::get_inline;
        list_role_policies, ListRolePoliciesRequest, ListRolePoliciesResponse => roles::list_inline;
        list_attached_role_policies, ListAttachedRolePoliciesRequest, ListAttachedRolePoliciesResponse => roles::list_attached;
        list_instance_profiles_for_role, ListInstanceProfilesForRoleRequest, ListInstanceProfilesForRoleResponse => roles::instance_profiles;
        get_policy, GetPolicyRequest, GetPolicyResponse => policies::get;
        list_policies, ListPoliciesRequest, ListPoliciesResponse => policies::list;
        get_policy_version, GetPolicyVersionRequest, GetPolicyVersionResponse => policies::get_version;
        list_policy_versions, ListPolicyVersionsRequest, ListPolicyVersionsResponse => policies::list_versions;
        list_entities_for_policy, ListEntitiesForPolicyRequest, ListEntitiesForPolicyResponse => policies::entities;
    }

    writes! {
        create_role, CreateRoleRequest, CreateRoleResponse => roles::create;
        delete_role, DeleteRoleRequest, DeleteRoleResponse => roles::delete;
        update_role, UpdateRoleRequest, UpdateRoleResponse => roles::update;
        update_assume_role_policy, UpdateAssumeRolePolicyRequest, UpdateAssumeRolePolicyResponse => roles::set_trust;
        tag_role, TagRoleRequest, TagRoleResponse => roles::tag;
        untag_role, UntagRoleRequest, UntagRoleResponse => roles::untag;
        put_role_policy, PutRolePolicyRequest, PutRolePolicyResponse => roles::put_inline;
        delete_role_policy, DeleteRolePolicyRequest, DeleteRolePolicyResponse => roles::delete_inline;
        attach_role_policy, AttachRolePolicyRequest, AttachRolePolicyResponse => roles::attach;
        detach_role_policy, DetachRolePolicyRequest, DetachRolePolicyResponse => roles::detach;
        create_policy, CreatePolicyRequest, CreatePolicyResponse => policies::create;
        delete_policy, DeletePolicyRequest, DeletePolicyResponse => policies::delete;
        create_policy_version, CreatePolicyVersionRequest, CreatePolicyVersionResponse => policies::create_version;
        delete_policy_version, DeletePolicyVersionRequest, DeletePolicyVersionResponse => policies::delete_version;
        set_default_policy_version, SetDefaultPolicyVersionRequest, SetDefaultPolicyVersionResponse => policies::set_default;
    }
}
