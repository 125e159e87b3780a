//! A task's protection against scale-in, asked for from inside it: the request read and the answer
//! worded as the ECS agent does.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html>

use aws::{ClientError, ecs};
use serde::Serialize;
use serde_json::Value;
use stdx::{Timestamp, chain};

/// What a task asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) enabled: Option<bool>,
    pub(super) minutes: Option<i32>,
}

/// Reads a request. Members are matched without regard to case, as Go does; an unknown one, or one
/// of another type, makes it unreadable.
pub(super) fn read(body: &[u8]) -> Option<Wish> {
    let mut wish = Wish::default();
    let Value::Object(members) = serde_json::from_slice(body).ok()? else { return None };
    for (name, value) in members {
        if value.is_null() && known(&name) {
            continue;
        }
        if name.eq_ignore_ascii_case("ProtectionEnabled") {
            wish.enabled = Some(value.as_bool()?);
        } else if name.eq_ignore_ascii_case("ExpiresInMinutes") {
            // What the server's type cannot hold, it refuses as too much or too little.
            let minutes = value.as_i64()?;
            let clamped = minutes.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            wish.minutes = i32::try_from(clamped).ok();
        } else {
            return None;
        }
    }
    Some(wish)
}

fn known(name: &str) -> bool {
    ["ProtectionEnabled", "ExpiresInMinutes"].iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// The answer: one of its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Answer {
    /// The protection as it now is.
    Protection(Protection),
    /// Why the server could not do it.
    Failure(Failure),
    /// Why the call failed.
    Error(Trouble),
}

/// A task's protection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Protection {
    expiration_date: Option<String>,
    protection_enabled: bool,
    task_arn: Option<String>,
}

/// A failure that the server tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Failure {
    arn: Option<String>,
    detail: Option<String>,
    reason: Option<String>,
}

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Trouble {
    #[serde(skip_serializing_if = "String::is_empty")]
    arn: String,
    code: String,
    message: String,
}

impl Answer {
    /// An error about a task; about none if `arn` is empty.
    pub(super) fn error(arn: &str, code: &str, message: impl Into<String>) -> Self {
        Self::Error(Trouble { arn: arn.to_owned(), code: code.to_owned(), message: message.into() })
    }
}

/// The request that cannot be read.
pub(super) fn unreadable() -> (u16, Answer) {
    let message = "UpdateTaskProtection: failed to decode request";
    (400, Answer::error("", "InvalidParameterException", message))
}

/// The endpoint's id that is nobody's.
pub(super) fn no_task() -> (u16, Answer) {
    let message = "Failed to find a task for the request";
    (404, Answer::error("", "ResourceNotFoundException", message))
}

/// The request that does not say whether to protect.
pub(super) fn says_nothing(arn: &str) -> (u16, Answer) {
    let message = "Invalid request: does not contain 'ProtectionEnabled' field";
    (400, Answer::error(arn, "InvalidParameterException", message))
}

/// The task that has no role to ask as.
pub(super) fn no_role(arn: &str) -> (u16, Answer) {
    let message = "Invalid Request: no task IAM role credentials available for task";
    (403, Answer::error(arn, "AccessDeniedException", message))
}

/// The server that takes too long.
pub(super) fn too_late(arn: &str) -> (u16, Answer) {
    (504, Answer::error(arn, "RequestCanceled", "Timed out calling ECS Task Protection API"))
}

/// The call that failed.
pub(super) fn failed(arn: &str, error: &ClientError) -> (u16, Answer) {
    match error.service() {
        Some(error) => (error.status, Answer::error(arn, &error.code, error.message.clone())),
        None => (500, Answer::error(arn, "ServerException", chain(error))),
    }
}

/// The call that was answered.
pub(super) fn answered(
    arn: &str,
    tasks: Option<Vec<ecs::ProtectedTask>>,
    failures: Option<Vec<ecs::Failure>>,
) -> (u16, Answer) {
    let unexpected = || (500, Answer::error(arn, "ServerException", "Unexpected error occurred"));
    let (mut tasks, mut failures) = (tasks.unwrap_or_default(), failures.unwrap_or_default());
    match (tasks.pop(), failures.pop()) {
        (_, Some(failure)) if failures.is_empty() => {
            let ecs::Failure { arn, detail, reason } = failure;
            (200, Answer::Failure(Failure { arn, detail, reason }))
        }
        (Some(task), None) if tasks.is_empty() => {
            let protection = Protection {
                expiration_date: task.expiration_date.map(Timestamp::rfc3339),
                protection_enabled: task.protection_enabled == Some(true),
                task_arn: task.task_arn,
            };
            (200, Answer::Protection(protection))
        }
        _ => unexpected(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_are_read_as_strictly_as_the_agent_reads_them() {
        let wish = |enabled, minutes| Some(Wish { enabled, minutes });
        assert_eq!(
            read(br#"{"ProtectionEnabled":true,"ExpiresInMinutes":60}"#),
            wish(Some(true), Some(60))
        );
        assert_eq!(read(br#"{"protectionEnabled":false}"#), wish(Some(false), None));
        assert_eq!(read(br"{}"), wish(None, None));
        assert_eq!(read(br#"{"ExpiresInMinutes":99999999999}"#), wish(None, Some(i32::MAX)));
        for wrong in [
            &b""[..],
            b"[]",
            b"{",
            br#"{"ProtectionEnabled":"yes"}"#,
            br#"{"ProtectionEnabled":true,"Forever":true}"#,
            br#"{"ExpiresInMinutes":1.5}"#,
        ] {
            assert_eq!(read(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn answers_are_worded_as_documented() {
        let json = |answer: &Answer| serde_json::to_value(answer).unwrap();
        let task = ecs::ProtectedTask {
            expiration_date: Some(Timestamp::from_millis(1_795_357_857_123)),
            protection_enabled: Some(true),
            task_arn: Some("arn:t".to_owned()),
        };
        let (status, answer) = answered("arn:t", Some(vec![task]), Some(Vec::new()));
        assert_eq!(status, 200);
        assert_eq!(
            json(&answer),
            json!({"protection": {"ExpirationDate": "2026-11-22T14:30:57.123Z",
                "ProtectionEnabled": true, "TaskArn": "arn:t"}})
        );
        let failure = ecs::Failure {
            arn: Some("arn:t".to_owned()),
            detail: None,
            reason: Some("DEPLOYMENT_BLOCKED".to_owned()),
        };
        let (status, answer) = answered("arn:t", None, Some(vec![failure]));
        assert_eq!(status, 200);
        assert_eq!(
            json(&answer),
            json!({"failure": {"Arn": "arn:t", "Detail": null, "Reason": "DEPLOYMENT_BLOCKED"}})
        );
        assert_eq!(answered("arn:t", None, None).0, 500);
        let refused = aws::Error::new("AccessDeniedException", 400, "User: … is not authorized");
        let (status, answer) = failed("arn:t", &ClientError::Service(refused));
        assert_eq!(status, 400);
        assert_eq!(
            json(&answer),
            json!({"error": {"Arn": "arn:t", "Code": "AccessDeniedException",
                "Message": "User: … is not authorized"}})
        );
        assert_eq!(
            json(&no_task().1),
            json!({"error": {"Code": "ResourceNotFoundException",
                "Message": "Failed to find a task for the request"}})
        );
    }
}
