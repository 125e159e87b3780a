//! Roles as the door sees them: what their policies are, who may assume them, and whether a session
//! still stands.

use std::borrow::Cow;

use auth::RoleSession;
use auth::policy::{self, Asker, Context, Document, Kind, Malformed, Trust};
use model::{PolicyName, Role, RoleName, State, TaskKey, TaskStatus};
use stdx::Timestamp;

/// The service as which tasks assume their roles.
pub(crate) const TASKS: &str = "ecs-tasks.amazonaws.com";

/// The trust policy of a role for tasks.
pub const TRUST_TASKS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// What assuming is called in trust policies.
pub(crate) const ASSUME: &str = "sts:AssumeRole";

/// The role that `role` names (by ARN or name), if it is there and lets ECS's tasks assume it.
pub fn assumable_by_tasks<'s>(state: &'s State, role: &str, now: Timestamp) -> Option<&'s Role> {
    assumable_by(state, role, TASKS, &format!("{}*", ecs_prefix(state)), now)
}

/// The role that `role` names (by ARN or name), if it is there and lets a service of AWS assume it on
/// behalf of what `source` names.
pub(crate) fn assumable_by<'s>(
    state: &'s State,
    role: &str,
    service: &str,
    source: &str,
    now: Timestamp,
) -> Option<&'s Role> {
    let role = find(state, role)?;
    let document = Document::parse(&role.trust, Kind::Trust).ok()?;
    let context = times(Context::default(), now)
        .with("aws:SourceAccount", &state.realm().account)
        .with("aws:SourceArn", source);
    let trust = policy::trusted(&document, Asker::Service(service), ASSUME, &context);
    (trust == Trust::Direct).then_some(role)
}

fn ecs_prefix(state: &State) -> String {
    let realm = state.realm();
    format!("arn:{}:ecs:{}:{}:", realm.partition, realm.region, realm.account)
}

/// The role of this account that an ARN or a bare name names.
pub(crate) fn find<'s>(state: &'s State, role: &str) -> Option<&'s Role> {
    let name = state.realm().role_name(role)?;
    let found = state.role(&RoleName::from(name))?;
    // An ARN has to be right to the letter; its path too.
    (!role.starts_with("arn:") || state.realm().role(found) == role).then_some(&**found)
}

/// What is the same of every request at one instant.
pub(crate) fn times(context: Context, now: Timestamp) -> Context {
    context.with("aws:CurrentTime", now.rfc3339()).with("aws:EpochTime", now.as_secs().to_string())
}

/// Whether the credentials of a role's session still stand, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They do.
    Good,
    /// The role was deleted, or deleted and made again.
    RoleGone,
    /// The task whose credentials they are is over.
    TaskOver,
}

/// Whether a session still stands.
pub fn standing(state: &State, session: &RoleSession) -> Standing {
    let role = state.role(&RoleName::from(session.role_name()));
    if role.is_none_or(|role| role.id != session.role_id) {
        return Standing::RoleGone;
    }
    let Some(task) = &session.task else { return Standing::Good };
    let key = task
        .split_once('/')
        .map(|(cluster, task)| TaskKey { cluster: cluster.into(), task: task.into() });
    let task = key.and_then(|key| state.task(&key));
    if task.is_none_or(|task| task.progress.status == TaskStatus::Stopped) {
        return Standing::TaskOver;
    }
    Standing::Good
}

/// The policies of a role: its own, and the managed ones that it has.
///
/// # Errors
///
/// A stored document that can not be read. Whoever asks must then be refused, since a denial may
/// stand in it.
pub(crate) fn policies<'s>(
    state: &'s State,
    role: &'s Role,
) -> Result<Vec<Cow<'s, Document>>, Malformed> {
    let inline = role.inline.values().map(|text| read(text));
    let attached = role.attached.iter().filter_map(|arn| managed(state, arn));
    inline.chain(attached).collect()
}

fn read<'s>(text: &str) -> Result<Cow<'s, Document>, Malformed> {
    Document::parse(text, Kind::Identity).map(Cow::Owned)
}

/// The document in force of the managed policy that an ARN names.
pub(crate) fn managed<'s>(
    state: &State,
    arn: &str,
) -> Option<Result<Cow<'s, Document>, Malformed>> {
    if let Some(built_in) = policy::managed::find(arn) {
        return Some(Ok(Cow::Borrowed(built_in.policy())));
    }
    let policy = own_policy(state, arn)?;
    Some(read(&policy.default()?.document))
}

/// The managed policy of this account that an ARN names.
pub(crate) fn own_policy<'s>(state: &'s State, arn: &str) -> Option<&'s model::ManagedPolicy> {
    let name = arn.rsplit('/').next()?;
    let policy = state.policy(&PolicyName::from(name))?;
    (state.realm().policy(policy) == arn).then_some(&**policy)
}
