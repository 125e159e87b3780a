//! STS: who is asking, and temporary credentials for roles.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
//!
//! Unlike AWS, the root key may assume a role whose trust policy names the account: it is the one
//! long-term key here.

use std::time::Duration;

use auth::policy::{self, Asker, Document, Kind, Trust};
use auth::{AuthError, Dialect, RoleSession};
use aws::Error;
use aws::sts::*;
use model::{Role, State};

use crate::authenticate::refusal;
use crate::authorize;
use crate::door::{Caller, Door};
use crate::iam::malformed;
use crate::identity::{self, ASSUME};

/// A session lasts so many seconds unless the request says otherwise.
const USUAL: i32 = 3600;
/// A session that a role's session asked for lasts an hour at most.
const CHAINED: i32 = 3600;
/// The most managed policies of a session.
const MOST_POLICIES: usize = 10;
/// The most characters of a session's own policy.
const LONGEST_POLICY: usize = 2048;

impl Sts for Door {
    type Context = Caller;

    async fn get_caller_identity(
        &self,
        caller: &Caller,
        _request: GetCallerIdentityRequest,
    ) -> Result<GetCallerIdentityResponse, Error> {
        let principal = &caller.identity.principal;
        Ok(GetCallerIdentityResponse {
            account: Some(principal.account.clone()),
            arn: Some(principal.arn.clone()),
            user_id: Some(principal.user_id.clone()),
        })
    }

    async fn assume_role(
        &self,
        caller: &Caller,
        request: AssumeRoleRequest,
    ) -> Result<AssumeRoleResponse, Error> {
        refuse_unbuilt(&request)?;
        let state = self.snapshot();
        let arn = request.role_arn.as_deref().unwrap_or_default();
        let role =
            trusting(self, &state, caller, arn, &request).ok_or_else(|| denied(caller, arn))?;
        let seconds = duration(caller, role, request.duration_seconds)?;
        let (policies, policy_arns) = narrowing(&state, &request)?;
        let size: usize = policies.iter().chain(&policy_arns).map(String::len).sum();
        let now = self.now();
        let expires = now + Duration::from_secs(seconds);
        let session = RoleSession {
            role_arn: state.realm().role(role),
            role_id: role.id.clone(),
            name: request.role_session_name.unwrap_or_default(),
            issued: now.as_millis(),
            expires: expires.as_millis(),
            task: None,
            policies,
            policy_arns,
        };
        let credentials = self.config().sessions.mint(&session);
        let principal = session.principal();
        Ok(AssumeRoleResponse {
            assumed_role_user: Some(AssumedRoleUser {
                arn: Some(principal.arn),
                assumed_role_id: Some(principal.user_id),
            }),
            credentials: Some(Credentials {
                access_key_id: Some(credentials.access_key_id),
                secret_access_key: Some(credentials.secret.reveal().to_owned()),
                session_token: credentials.session_token.map(|token| token.reveal().to_owned()),
                expiration: Some(expires),
            }),
            packed_policy_size: (size > 0)
                .then(|| i32::try_from(size * 100 / LONGEST_POLICY).unwrap_or(100)),
            ..AssumeRoleResponse::default()
        })
    }
}

/// `ValidationError` with a sentence.
fn invalid(message: impl Into<String>) -> Error {
    Error::new("ValidationError", 400, message)
}

fn denied(caller: &Caller, role: &str) -> Error {
    let error = AuthError::AccessDenied {
        principal: caller.identity.principal.arn.clone(),
        action: format!("{ASSUME} on resource: {role}"),
    };
    refusal(&error, Dialect::Query)
}

fn refuse_unbuilt(request: &AssumeRoleRequest) -> Result<(), Error> {
    let some =
        |list: bool, member: &'static str, what: &'static str| list.then_some((member, what));
    let filled = request.tags.as_ref().is_some_and(|list| !list.is_empty());
    let transitive = request.transitive_tag_keys.as_ref().is_some_and(|list| !list.is_empty());
    let contexts = request.provided_contexts.as_ref().is_some_and(|list| !list.is_empty());
    let unbuilt = some(filled, "Tags", "session tags are")
        .or(some(transitive, "TransitiveTagKeys", "session tags are"))
        .or(some(contexts, "ProvidedContexts", "provided contexts are"))
        .or(some(request.serial_number.is_some(), "SerialNumber", "MFA devices are"))
        .or(some(request.token_code.is_some(), "TokenCode", "MFA devices are"))
        .or(some(request.source_identity.is_some(), "SourceIdentity", "source identities are"))
        .or(some(
            request.minimum_session_token_size.is_some(),
            "MinimumSessionTokenSize",
            "padded session tokens are",
        ));
    match unbuilt {
        None => Ok(()),
        Some((member, what)) => {
            Err(invalid(format!("{member}: {what} not built yet in Wharf; leave it out.")))
        }
    }
}

/// The role, if its trust policy lets the caller assume it: by its own name, or through its account
/// with a policy of the caller's own.
fn trusting<'s>(
    door: &Door,
    state: &'s State,
    caller: &Caller,
    arn: &str,
    request: &AssumeRoleRequest,
) -> Option<&'s Role> {
    let role = identity::find(state, arn).filter(|_| arn.starts_with("arn:"))?;
    let document = Document::parse(&role.trust, Kind::Trust).ok()?;
    let mut context = authorize::context_of(door, caller);
    if let Some(id) = &request.external_id {
        context.add("sts:ExternalId", id);
    }
    if let Some(name) = &request.role_session_name {
        context.add("sts:RoleSessionName", name);
    }
    let principal = &caller.identity.principal;
    let asker = Asker::Aws {
        account: &principal.account,
        arn: &principal.arn,
        role: caller.identity.role.as_ref().map(|session| session.role_arn.as_str()),
    };
    let allowed = match policy::trusted(&document, asker, ASSUME, &context) {
        Trust::Direct => !authorize::denies(door, caller, ASSUME, arn),
        Trust::Account => authorize::allows(door, caller, ASSUME, arn),
        Trust::None | Trust::Denied => false,
    };
    allowed.then_some(role)
}

/// How many seconds the session lasts.
fn duration(caller: &Caller, role: &Role, given: Option<i32>) -> Result<u64, Error> {
    let most = i32::try_from(role.max_session_seconds).unwrap_or(i32::MAX);
    let seconds = given.unwrap_or(USUAL);
    if caller.identity.role.is_some() && seconds > CHAINED {
        return Err(invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by \
             role chaining.",
        ));
    }
    if seconds > most {
        return Err(invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    u64::try_from(seconds).map_err(|_| invalid("DurationSeconds can not be negative."))
}

/// The policies that narrow the session: its own, and ARNs of managed ones.
fn narrowing(
    state: &State,
    request: &AssumeRoleRequest,
) -> Result<(Vec<String>, Vec<String>), Error> {
    let own = request.policy.clone().into_iter().collect::<Vec<_>>();
    for text in &own {
        Document::parse(text, Kind::Identity).map_err(|error| malformed(&error))?;
        if text.len() > LONGEST_POLICY {
            return Err(ErrorKind::PackedPolicyTooLargeException
                .with(format!("Packed policy consumes more than {LONGEST_POLICY} characters.")));
        }
    }
    let arns: Vec<String> = request
        .policy_arns
        .iter()
        .flatten()
        .map(|policy| policy.arn.clone().unwrap_or_default())
        .collect();
    if arns.len() > MOST_POLICIES {
        return Err(invalid(format!("PolicyArns has more than {MOST_POLICIES} entries.")));
    }
    match arns.iter().find(|arn| identity::managed(state, arn).is_none()) {
        None => Ok((own, arns)),
        Some(arn) => Err(invalid(format!("Policy {arn} does not exist."))),
    }
}
