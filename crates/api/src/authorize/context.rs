//! What is known of a request beside its action and resource: the condition keys.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>

use auth::RoleSession;
use auth::policy::Context;
use model::{RoleName, State, Tags};

use crate::door::{Caller, Door};
use crate::{identity, tags};

/// Of every request; a session counts as its role.
pub(super) fn of_anybody(door: &Door, caller: &Caller, arn: &str) -> Context {
    let principal = &caller.identity.principal;
    let mut context = identity::times(Context::default(), door.now())
        .with("aws:RequestedRegion", &caller.identity.region)
        .with("aws:SecureTransport", "false")
        .with("aws:PrincipalAccount", &principal.account)
        .with("aws:PrincipalArn", arn)
        .with("aws:userid", &principal.user_id)
        .with("aws:ViaAWSService", "false");
    if let Some(source) = caller.source {
        context.add("aws:SourceIp", source.to_string());
    }
    context
}

/// Of a request by a role's session.
pub(super) fn of(door: &Door, caller: &Caller, session: &RoleSession) -> Context {
    let mut context = of_anybody(door, caller, &session.role_arn)
        .with("aws:PrincipalType", "AssumedRole")
        .with("aws:TokenIssueTime", session.issued_at().rfc3339());
    let state = door.snapshot();
    if let Some(role) = state.role(&RoleName::from(session.role_name())) {
        for (key, value) in &role.tags.0 {
            context.add(&format!("aws:PrincipalTag/{key}"), value);
        }
    }
    context
}

/// With the tags of the resource, as far as the state has them.
pub(super) fn of_resource(mut context: Context, state: &State, arn: &str) -> Context {
    let service = arn.split(':').nth(2).unwrap_or_default();
    if let Some(tags) = tags_of(state, service, arn) {
        for (key, value) in &tags.0 {
            context.add(&format!("aws:ResourceTag/{key}"), value);
            context.add(&format!("{service}:ResourceTag/{key}"), value);
        }
    }
    context
}

fn tags_of<'s>(state: &'s State, service: &str, arn: &str) -> Option<&'s Tags> {
    match service {
        "ecs" => tags::find(state, &state.realm().parse(arn).ok()?),
        "iam" => identity::find(state, arn)
            .map(|role| &role.tags)
            .or_else(|| identity::own_policy(state, arn).map(|policy| &policy.tags)),
        _ => None,
    }
}
