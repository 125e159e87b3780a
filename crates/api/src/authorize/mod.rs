//! What may be done: every request of a role's session is held against the role's policies, one
//! action on one resource after the other. The root key, which node agents use too, may do everything
//! and costs nothing here.
//!
//! What an operation needs stands in one table for each service (`ecs`, `neighbours`); what is known
//! of the request beside action and resource is in `context`.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html>

mod context;
mod ecs;
mod eventbridge;
mod neighbours;
mod passing;
mod request;
mod traffic;

use std::borrow::Cow;

use auth::policy::{Context, Decision, Document, Kind, Malformed, Question, evaluate};
use auth::{AuthError, Identity, RoleSession};
use aws::protocol::Call;
use aws::{
    Error, acm, application_autoscaling, autoscaling, cloudwatch, ec2, elbv2, events, iam, logs,
    secretsmanager, ssm,
};
use model::{AccountSetting, SettingValue, State};
use serde_json::Value;

use crate::authenticate::{dialect, refusal};
use crate::door::{Caller, Door};
use crate::{identity, settings};
use request::Asked;

pub(crate) use passing::check_roles;

/// One permission that a request needs, for each of the resources.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Need {
    /// Such as `ecs:RunTask`.
    action: String,
    /// ARNs, or `*`.
    resources: Vec<String>,
    /// What is known beside what is known of every request.
    context: Vec<(String, String)>,
}

impl Need {
    pub(crate) fn new(action: impl Into<String>, resources: Vec<String>) -> Self {
        // An action without a resource is asked on everything.
        let everything = || vec!["*".to_owned()];
        let resources = if resources.is_empty() { everything() } else { resources };
        Self { action: action.into(), resources, context: Vec::new() }
    }

    /// Whether it is only about tags that something new brings.
    fn is_tagging_at_creation(&self) -> bool {
        self.action == "ecs:TagResource"
            && self.context.iter().any(|(key, _)| key == "ecs:CreateAction")
    }

    fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.context.push((key.into(), value.into()));
        self
    }
}

/// Checks that the caller may do what the request asks for.
///
/// # Errors
///
/// `AccessDeniedException` (Query: `AccessDenied`), in AWS's words.
pub(crate) async fn operation(
    door: &Door,
    caller: &Caller,
    call: &Call,
    body: &[u8],
) -> Result<(), Error> {
    if caller.identity.role.is_none() {
        return Ok(());
    }
    let state = door.snapshot();
    // What is no JSON is refused when it is decoded.
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let secret = known_secret(door, call, &body).await;
    let asked = Asked { state: &state, body: &body, secret: secret.as_deref() };
    let refuse = |error: AuthError| refusal(&error, dialect(call.protocol));
    let untagged = tags_freely(&state, caller);
    for need in needs(&asked, call) {
        if untagged && need.is_tagging_at_creation() {
            continue;
        }
        permit(door, &state, caller, &need).map_err(|refused| refuse(refused.error))?;
    }
    Ok(())
}

/// Whether the account setting `tagResourceAuthorization` of the caller is off.
fn tags_freely(state: &State, caller: &Caller) -> bool {
    let principal = settings::principal(caller);
    let setting = AccountSetting::TagAuthorization;
    let value = state.settings().effective(&state.realm().root(), &principal, setting);
    value == SettingValue::Off
}

impl Door {
    /// Checks that somebody whose password the registry took may do `action` on a repository.
    ///
    /// # Errors
    ///
    /// A sentence that says what is not allowed, and why.
    pub fn may_use_repository(
        &self,
        identity: &Identity,
        action: &str,
        repository: &str,
    ) -> Result<(), String> {
        let (identity, request_id) = (identity.clone(), String::new());
        let caller = Caller { identity, request_id, source: None };
        let resource = format!("repository/{repository}");
        let realm = self.realm();
        let arn =
            format!("arn:{}:ecr:{}:{}:{resource}", realm.partition, realm.region, realm.account);
        self.permit(&caller, action, &arn).map_err(|error| error.message())
    }

    /// Checks that the caller may do `action` on `resource`, for requests that are no operation of a
    /// generated service: S3's, the sockets of agents.
    ///
    /// # Errors
    ///
    /// [`AuthError::AccessDenied`].
    pub(crate) fn permit(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
    ) -> Result<(), AuthError> {
        if caller.identity.role.is_none() {
            return Ok(());
        }
        let need = Need::new(action, vec![resource.to_owned()]);
        permit(self, &self.snapshot(), caller, &need).map_err(|refused| refused.error)
    }
}

/// The ARN of the secret that a request names otherwise, if there is one.
async fn known_secret(door: &Door, call: &Call, body: &Value) -> Option<String> {
    let id = body.get("SecretId").filter(|_| call.service.name == "secretsmanager")?.as_str()?;
    let found = door.config().vault.describe_secret(id).await;
    found.ok().map(|secret| secret.arn)
}

/// What an operation needs. One without a table here needs its action on everything.
fn needs(asked: &Asked<'_>, call: &Call) -> Vec<Need> {
    let name = call.operation.name;
    let prefix = match call.service.name {
        // The one service whose actions have another name than its signatures.
        "cloudwatch" => "cloudwatch",
        _ => call.service.signing_name,
    };
    let resources = match call.service.name {
        "ecs" => {
            let operation = aws::ecs::Operation::from_name(name);
            return operation.map(|operation| ecs::needs(asked, operation)).unwrap_or_default();
        }
        // Everybody may ask who they are, and AssumeRole asks the role's trust policy first.
        "sts" => return Vec::new(),
        "ecr" => aws::ecr::Operation::from_name(name).and_then(|o| neighbours::ecr(asked, o)),
        "logs" => logs::Operation::from_name(name).and_then(|o| neighbours::logs(asked, o)),
        "iam" => iam::Operation::from_name(name).and_then(|o| neighbours::iam(asked, o)),
        "ssm" => ssm::Operation::from_name(name).and_then(|o| neighbours::ssm(asked, o)),
        "secretsmanager" => {
            secretsmanager::Operation::from_name(name).and_then(|o| neighbours::secrets(asked, o))
        }
        "elbv2" => elbv2::Operation::from_name(name).and_then(|o| traffic::elbv2(asked, o)),
        "events" => events::Operation::from_name(name).and_then(|o| eventbridge::events(asked, o)),
        "acm" => acm::Operation::from_name(name).and_then(|o| traffic::acm(asked, o)),
        "ec2" => ec2::Operation::from_name(name).and_then(|o| traffic::ec2(asked, o)),
        "cloudwatch" => {
            cloudwatch::Operation::from_name(name).and_then(|o| traffic::cloudwatch(asked, o))
        }
        "application-autoscaling" => application_autoscaling::Operation::from_name(name)
            .and_then(|o| traffic::application_autoscaling(asked, o)),
        "autoscaling" => {
            autoscaling::Operation::from_name(name).and_then(|o| traffic::autoscaling(asked, o))
        }
        _ => None,
    };
    let mut need = Need::new(format!("{prefix}:{name}"), resources.unwrap_or_default());
    need.context = asked.tags();
    let mut needs = vec![need];
    if let Some(operation) = events::Operation::from_name(name)
        && call.service.name == "events"
    {
        needs.extend(eventbridge::passes(asked, operation));
    }
    if name == "BatchGetSecretValue" {
        // Each secret is read as if it were read alone; by filters, any could be.
        let each = neighbours::secret_names(asked, "SecretIdList");
        needs.push(Need::new("secretsmanager:GetSecretValue", each));
    }
    needs
}

/// A refusal, and whether a statement says so in so many words.
#[derive(Debug)]
struct Refused {
    explicit: bool,
    error: AuthError,
}

/// Holds one need against the policies of the caller's role and session.
fn permit(door: &Door, state: &State, caller: &Caller, need: &Need) -> Result<(), Refused> {
    let Some(session) = &caller.identity.role else { return Ok(()) };
    let denied = |explicit: bool, resource: &str, why: &str| Refused {
        explicit,
        error: AuthError::AccessDenied {
            principal: caller.identity.principal.arn.clone(),
            action: format!("{} on resource: {resource} {why}", need.action),
        },
    };
    let (Ok(role), Ok(narrowing)) = (of_role(state, session), of_session(state, session)) else {
        tracing::error!(role = session.role_arn, "a stored policy can not be read");
        return Err(denied(true, "*", "because a stored policy can not be read"));
    };
    let mut context = context::of(door, caller, session);
    for (key, value) in &need.context {
        context.add(key, value);
    }
    for resource in &need.resources {
        let context = context::of_resource(context.clone(), state, resource);
        let question = Question { action: &need.action, resource, context: &context };
        let silent = |kind: &str| {
            denied(
                false,
                resource,
                &format!("because no {kind} policy allows the {} action", need.action),
            )
        };
        let explicit =
            |kind: &str| denied(true, resource, &format!("with an explicit deny in {kind} policy"));
        match evaluate(role.iter().map(Cow::as_ref), &question) {
            Decision::Allowed => {}
            Decision::Denied => return Err(explicit("an identity-based")),
            Decision::Silent => return Err(silent("identity-based")),
        }
        match narrowing.as_ref().map(|all| evaluate(all.iter().map(Cow::as_ref), &question)) {
            None | Some(Decision::Allowed) => {}
            Some(Decision::Denied) => return Err(explicit("a session")),
            Some(Decision::Silent) => return Err(silent("session")),
        }
    }
    Ok(())
}

type Documents<'s> = Vec<Cow<'s, Document>>;

/// The policies of the session's role; none if it is gone.
fn of_role<'s>(state: &'s State, session: &RoleSession) -> Result<Documents<'s>, Malformed> {
    let role = identity::find(state, &session.role_arn);
    role.map(|role| identity::policies(state, role)).unwrap_or_else(|| Ok(Vec::new()))
}

/// The policies that narrow the session, if any do.
fn of_session<'s>(
    state: &'s State,
    session: &RoleSession,
) -> Result<Option<Documents<'s>>, Malformed> {
    if session.policies.is_empty() && session.policy_arns.is_empty() {
        return Ok(None);
    }
    let given = session.policies.iter().map(|text| Document::parse(text, Kind::Identity));
    let named = session.policy_arns.iter().filter_map(|arn| identity::managed(state, arn));
    given.map(|document| document.map(Cow::Owned)).chain(named).collect::<Result<_, _>>().map(Some)
}

/// The context of a request to assume a role, for the role's trust policy.
pub(crate) fn context_of(door: &Door, caller: &Caller) -> Context {
    match &caller.identity.role {
        Some(session) => context::of(door, caller, session),
        None => context::of_anybody(door, caller, &caller.identity.principal.arn),
    }
}

/// Whether the caller's own policies deny it `action` on `resource`, in so many words.
pub(crate) fn denies(door: &Door, caller: &Caller, action: &str, resource: &str) -> bool {
    let need = Need::new(action, vec![resource.to_owned()]);
    permit(door, &door.snapshot(), caller, &need).is_err_and(|refused| refused.explicit)
}

/// Whether the caller's own policies let it do `action` on `resource`; the root key may.
pub(crate) fn allows(door: &Door, caller: &Caller, action: &str, resource: &str) -> bool {
    door.permit(caller, action, resource).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation that is built has a line in a table; `sts` has none on purpose.
    #[test]
    fn every_built_operation_has_its_line() {
        let state = State::new(model::Realm::new("eu-west-1", "123456789012"));
        let asked = Asked { state: &state, body: &Value::Null, secret: None };
        let built = |facts: &aws::OperationFacts| facts.shapes.is_some();
        for o in aws::ecr::Operation::ALL.iter().filter(|o| built(o.facts())) {
            assert!(neighbours::ecr(&asked, *o).is_some(), "ecr:{o}");
        }
        for o in logs::Operation::ALL.iter().filter(|o| built(o.facts())) {
            assert!(neighbours::logs(&asked, *o).is_some(), "logs:{o}");
        }
        for o in iam::Operation::ALL.iter().filter(|o| built(o.facts())) {
            assert!(neighbours::iam(&asked, *o).is_some(), "iam:{o}");
        }
        for o in ssm::Operation::ALL.iter().filter(|o| built(o.facts())) {
            assert!(neighbours::ssm(&asked, *o).is_some(), "ssm:{o}");
        }
        for o in secretsmanager::Operation::ALL.iter().filter(|o| built(o.facts())) {
            assert!(neighbours::secrets(&asked, *o).is_some(), "secretsmanager:{o}");
        }
        for o in elbv2::Operation::ALL.iter().filter(|o| built(o.facts())) {
            assert!(traffic::elbv2(&asked, *o).is_some(), "elasticloadbalancing:{o}");
        }
        for o in events::Operation::ALL.iter().filter(|o| built(o.facts())) {
            assert!(eventbridge::events(&asked, *o).is_some(), "events:{o}");
        }
        for o in acm::Operation::ALL.iter().filter(|o| built(o.facts())) {
            assert!(traffic::acm(&asked, *o).is_some(), "acm:{o}");
        }
        for o in ec2::Operation::ALL.iter().filter(|o| built(o.facts())) {
            assert!(traffic::ec2(&asked, *o).is_some(), "ec2:{o}");
        }
        for o in cloudwatch::Operation::ALL.iter().filter(|o| built(o.facts())) {
            assert!(traffic::cloudwatch(&asked, *o).is_some(), "cloudwatch:{o}");
        }
        for o in application_autoscaling::Operation::ALL.iter().filter(|o| built(o.facts())) {
            let line = traffic::application_autoscaling(&asked, *o);
            assert!(line.is_some(), "application-autoscaling:{o}");
        }
        for o in autoscaling::Operation::ALL.iter().filter(|o| built(o.facts())) {
            assert!(traffic::autoscaling(&asked, *o).is_some(), "autoscaling:{o}");
        }
    }
}
