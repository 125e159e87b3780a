//! Roles that a request gives to tasks: the caller has to be allowed to pass them, and ECS has to be
//! able to assume them.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>

use aws::Error;
use aws::ecs::{Operation, TaskOverride};
use model::{Document, State, TaskDefinition};
use serde_json::Value;
use stdx::Timestamp;

use super::Need;
use super::request::Asked;
use crate::{definition, errors, identity};

/// Leave to pass each of the roles.
pub(super) fn needs(asked: &Asked<'_>, operation: Operation) -> Vec<Need> {
    let roles = match operation {
        Operation::RegisterTaskDefinition => named(asked.body),
        Operation::RunTask | Operation::StartTask => {
            let overridden = asked.body.get("overrides").map(named).unwrap_or_default();
            effective(asked.definition().map(of_definition).unwrap_or_default(), overridden)
        }
        Operation::CreateService | Operation::UpdateService => {
            asked.definition().map(of_definition).unwrap_or_default()
        }
        _ => return Vec::new(),
    };
    let pass = |role: String| {
        let arn = arn(asked.state, &role);
        Need::new("iam:PassRole", vec![arn]).with("iam:PassedToService", identity::TASKS)
    };
    roles.into_iter().flatten().map(pass).collect()
}

/// The task role and the execution role.
type Roles = [Option<String>; 2];

fn named(value: &Value) -> Roles {
    ["taskRoleArn", "executionRoleArn"].map(|member| {
        let text = value.get(member)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    })
}

fn effective([task, execution]: Roles, overridden: Roles) -> Roles {
    let [other_task, other_execution] = overridden;
    [other_task.or(task), other_execution.or(execution)]
}

/// The roles that a definition names. Most name none, which is told without reading them.
fn of_definition(definition: &TaskDefinition) -> Roles {
    if !mentions_role(&definition.document) {
        return Roles::default();
    }
    match definition::decode(&definition.document) {
        Ok(document) => [document.task_role_arn, document.execution_role_arn],
        Err(_) => Roles::default(),
    }
}

fn mentions_role(document: &Document) -> bool {
    const MEMBER: &[u8] = b"RoleArn\":";
    document.0.windows(MEMBER.len()).any(|window| window == MEMBER)
}

fn arn(state: &State, role: &str) -> String {
    if role.starts_with("arn:") {
        return role.to_owned();
    }
    let realm = state.realm();
    format!("arn:{}:iam::{}:role/{role}", realm.partition, realm.account)
}

/// Refuses to start tasks whose roles ECS can not assume.
///
/// # Errors
///
/// `ClientException` with ECS's sentence.
pub(crate) fn check_roles(
    state: &State,
    definition: &TaskDefinition,
    overrides: Option<&TaskOverride>,
    now: Timestamp,
) -> Result<(), Error> {
    let given = |role: Option<&String>| role.filter(|role| !role.is_empty()).cloned();
    let overridden = overrides.map(|overrides| {
        [given(overrides.task_role_arn.as_ref()), given(overrides.execution_role_arn.as_ref())]
    });
    let roles = effective(of_definition(definition), overridden.unwrap_or_default());
    match roles
        .into_iter()
        .flatten()
        .find(|role| identity::assumable_by_tasks(state, role, now).is_none())
    {
        None => Ok(()),
        Some(role) => Err(errors::client(format!(
            "ECS was unable to assume the role '{}' that was provided for this task. Please verify \
             that the role being passed has the proper trust relationship and permissions and that \
             your IAM user has permissions to pass this role.",
            arn(state, &role)
        ))),
    }
}
