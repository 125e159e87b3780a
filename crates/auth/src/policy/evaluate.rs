//! What policies say to an action on a resource.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>

use super::Context;
use super::document::{Document, Effect, Names, Statement};
use super::pattern::{like, like_with};

/// What is asked of policies.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Such as `ecs:RunTask`.
    pub action: &'a str,
    /// An ARN, or `*` for an action that has no resource.
    pub resource: &'a str,
    /// What else is known of the request.
    pub context: &'a Context,
}

/// What they answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it, and none denies it.
    Allowed,
    /// A statement denies it.
    Denied,
    /// No statement says anything of it, which is a no.
    Silent,
}

/// What the documents together answer.
pub fn evaluate<'d>(
    documents: impl IntoIterator<Item = &'d Document>,
    question: &Question<'_>,
) -> Decision {
    let mut decision = Decision::Silent;
    for document in documents {
        let variables = document.has_variables();
        for statement in document.statements() {
            if !concerns(statement, question, variables) {
                continue;
            }
            match statement.effect {
                Effect::Deny => return Decision::Denied,
                Effect::Allow => decision = Decision::Allowed,
            }
        }
    }
    decision
}

fn concerns(statement: &Statement, question: &Question<'_>, variables: bool) -> bool {
    acts(&statement.actions, question.action)
        && statement.resources.as_ref().is_none_or(|resources| {
            resources.hold(|pattern| {
                if variables {
                    like_with(pattern, question.resource, question.context)
                } else {
                    like(pattern, question.resource, false)
                }
            })
        })
        && statement.conditions.iter().all(|condition| condition.holds(question.context))
}

/// Whether the statement is about the action, whatever its letters' case.
pub(super) fn acts(actions: &Names, action: &str) -> bool {
    actions.hold(|pattern| like(pattern, action, true))
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;
    use proptest::prelude::*;

    fn document(statements: &str) -> Document {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#);
        Document::parse(&text, Kind::Identity).unwrap()
    }

    fn ask(documents: &[Document], action: &str, resource: &str) -> Decision {
        let context = Context::default().with("ecs:cluster", "arn:aws:ecs:r:1:cluster/a");
        evaluate(documents, &Question { action, resource, context: &context })
    }

    #[test]
    fn statements_speak_for_their_actions_and_resources() {
        use Decision::{Allowed, Denied, Silent};
        let run = r#"[{"Effect":"Allow","Action":["ecs:run*","ECS:List?asks"],"Resource":"arn:aws:ecs:*:1:task-definition/web:*"}]"#;
        let web = "arn:aws:ecs:r:1:task-definition/web:3";
        let not = r#"{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}"#;
        let elsewhere =
            r#"{"Effect":"Allow","Action":"s3:*","NotResource":"arn:aws:s3:::secret/*"}"#;
        let here = r#"{"Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"ArnLike":{"ecs:cluster":"arn:aws:ecs:*:*:cluster/a"}}}"#;
        let there = r#"{"Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"ArnLike":{"ecs:cluster":"arn:aws:ecs:*:*:cluster/b"}}}"#;
        for (statements, action, resource, decision) in [
            (run, "ecs:RunTask", web, Allowed),
            (run, "ecs:ListTasks", web, Allowed),
            (run, "ecs:StopTask", web, Silent),
            (run, "ecs:RunTask", "arn:aws:ecs:r:1:task-definition/db:3", Silent),
            (not, "ecs:RunTask", web, Allowed),
            (not, "iam:PassRole", web, Silent),
            (elsewhere, "s3:GetObject", "arn:aws:s3:::open/x", Allowed),
            (elsewhere, "s3:GetObject", "arn:aws:s3:::secret/x", Silent),
            (here, "ecs:RunTask", web, Allowed),
            (there, "ecs:RunTask", web, Silent),
        ] {
            let found = ask(&[document(statements)], action, resource);
            assert_eq!(found, decision, "{statements} {action} {resource}");
        }
        let deny = document(r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#);
        assert_eq!(ask(&[document(run), deny], "ecs:RunTask", web), Denied);
        assert_eq!(ask(&[], "ecs:RunTask", web), Silent);
    }

    proptest! {
        /// Whatever else is said, and in whatever order, a deny that fits wins.
        #[test]
        fn a_deny_wins(
            statements in prop::collection::vec(("Allow|Deny", "(ecs|s3):(Run|Get|\\*)"), 1..6),
            action in "(ecs|s3):(Run|Get)",
        ) {
            let documents: Vec<Document> = statements
                .iter()
                .map(|(effect, pattern)| document(&format!(
                    r#"{{"Effect":"{effect}","Action":"{pattern}","Resource":"*"}}"#
                )))
                .collect();
            let fits = |effect: &str| statements.iter().any(|(e, pattern)| {
                e == effect && (*pattern == action
                    || pattern.strip_suffix('*').is_some_and(|p| action.starts_with(p)))
            });
            let expected = match (fits("Deny"), fits("Allow")) {
                (true, _) => Decision::Denied,
                (false, true) => Decision::Allowed,
                (false, false) => Decision::Silent,
            };
            prop_assert_eq!(ask(&documents, &action, "x"), expected);
        }
    }
}
