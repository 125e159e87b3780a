//! How roles and policies are shown.

use auth::policy::managed::Managed;
use aws::iam::{Policy, PolicyVersion, Role, RoleLastUsed, Tag};
use model::{ManagedPolicy, State, Tags};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use stdx::Timestamp;

/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A document as IAM answers it.
pub(super) fn encoded(document: &str) -> String {
    utf8_percent_encode(document, RESERVED).to_string()
}

/// Tags, none if there is none.
pub(super) fn tags(tags: &Tags) -> Option<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    (!tags.is_empty()).then(|| tags.0.iter().map(tag).collect())
}

/// A role in lists.
pub(super) fn role(state: &State, role: &model::Role) -> Role {
    Role {
        arn: Some(state.realm().role(role)),
        assume_role_policy_document: Some(encoded(&role.trust)),
        create_date: Some(seconds(role.created_at)),
        description: Some(role.description.clone()).filter(|text| !text.is_empty()),
        max_session_duration: i32::try_from(role.max_session_seconds).ok(),
        path: Some(role.path.clone()),
        role_id: Some(role.id.clone()),
        role_name: Some(role.name.to_string()),
        ..Role::default()
    }
}

/// A role alone.
pub(super) fn whole_role(state: &State, shown: &model::Role) -> Role {
    Role {
        tags: tags(&shown.tags),
        role_last_used: Some(RoleLastUsed::default()),
        ..role(state, shown)
    }
}

/// How many roles have a policy.
fn attachments(state: &State, arn: &str) -> Option<i32> {
    let count = state.roles().filter(|role| role.attached.contains(arn)).count();
    i32::try_from(count).ok()
}

/// A policy of this account.
pub(super) fn policy(state: &State, policy: &ManagedPolicy) -> Policy {
    let arn = state.realm().policy(policy);
    Policy {
        attachment_count: attachments(state, &arn),
        arn: Some(arn),
        create_date: Some(seconds(policy.created_at)),
        default_version_id: Some(format!("v{}", policy.default_version)),
        description: Some(policy.description.clone()).filter(|text| !text.is_empty()),
        is_attachable: Some(true),
        path: Some(policy.path.clone()),
        permissions_boundary_usage_count: Some(0),
        policy_id: Some(policy.id.clone()),
        policy_name: Some(policy.name.to_string()),
        tags: tags(&policy.tags),
        update_date: Some(seconds(policy.updated_at)),
    }
}

/// A policy of AWS's: version 1 of it, as old as time.
pub(super) fn managed(state: &State, policy: &Managed) -> Policy {
    let arn = policy.arn(&state.realm().partition);
    Policy {
        attachment_count: attachments(state, &arn),
        arn: Some(arn),
        create_date: Some(BUILT_IN_AT),
        default_version_id: Some("v1".to_owned()),
        description: Some(policy.description.to_owned()),
        is_attachable: Some(true),
        path: Some(policy.path.to_owned()),
        permissions_boundary_usage_count: Some(0),
        policy_id: Some(policy.id()),
        policy_name: Some(policy.name.to_owned()),
        tags: None,
        update_date: Some(BUILT_IN_AT),
    }
}

/// When the built-in policies say they were made: 2015-02-06, when AWS made its first.
pub(super) const BUILT_IN_AT: Timestamp = Timestamp::from_millis(1_423_180_800_000);

/// A version; `document` only where it is asked for.
pub(super) fn version(
    number: u32,
    is_default: bool,
    created_at: Timestamp,
    document: Option<&str>,
) -> PolicyVersion {
    PolicyVersion {
        create_date: Some(seconds(created_at)),
        document: document.map(encoded),
        is_default_version: Some(is_default),
        version_id: Some(format!("v{number}")),
    }
}

/// IAM tells whole seconds.
const fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_secs() * 1000)
}
