//! Who may assume a role: the principals of trust policies.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>

use super::Context;
use super::document::{Document, Effect, Principals};
use super::evaluate::acts;

/// Who wants to assume a role.
#[derive(Clone, Copy, Debug)]
pub enum Asker<'a> {
    /// A service, such as `ecs-tasks.amazonaws.com`.
    Service(&'a str),
    /// A principal of an account.
    Aws {
        /// Its account.
        account: &'a str,
        /// Its ARN: of the account's root, or of a role's session.
        arn: &'a str,
        /// The role's own ARN, for a session.
        role: Option<&'a str>,
    },
}

/// What a trust policy answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// A statement denies it.
    Denied,
    /// No statement is about who asks.
    None,
    /// The asker's account is trusted: a policy of the asker's own has to allow it too.
    Account,
    /// The asker itself is trusted.
    Direct,
}

/// Whether the trust policy lets `asker` do `action`, which is `sts:AssumeRole` in most cases.
pub fn trusted(document: &Document, asker: Asker<'_>, action: &str, context: &Context) -> Trust {
    let mut trust = Trust::None;
    for statement in document.statements() {
        let conditions = || statement.conditions.iter().all(|c| c.holds(context));
        let Some(principals) = &statement.principals else { continue };
        let found = named(principals, asker);
        if found == Trust::None || !acts(&statement.actions, action) || !conditions() {
            continue;
        }
        match statement.effect {
            Effect::Deny => return Trust::Denied,
            Effect::Allow => trust = trust.max(found),
        }
    }
    trust
}

/// How `asker` is named; with `NotPrincipal`, everybody who is not.
fn named(principals: &Principals, asker: Asker<'_>) -> Trust {
    let found = principals.names.iter().map(|(kind, name)| one(kind, name, asker)).max();
    let found = found.unwrap_or(Trust::None);
    match (principals.not, found) {
        (false, found) => found,
        (true, Trust::None) => Trust::Account,
        (true, _) => Trust::None,
    }
}

fn one(kind: &str, name: &str, asker: Asker<'_>) -> Trust {
    match (kind, asker) {
        // Everybody: an account's principals still need their account's leave.
        ("*", Asker::Service(_)) => Trust::Direct,
        ("*" | "AWS", Asker::Aws { .. }) if name == "*" => Trust::Account,
        ("Service", Asker::Service(service)) if name == service => Trust::Direct,
        ("AWS", Asker::Aws { account, arn, role }) => {
            if name == arn || Some(name) == role {
                Trust::Direct
            } else if name == account || is_root(name, account) {
                Trust::Account
            } else {
                Trust::None
            }
        }
        _ => Trust::None,
    }
}

fn is_root(name: &str, account: &str) -> bool {
    let parts: Vec<&str> = name.splitn(6, ':').collect();
    matches!(parts[..], ["arn", _, "iam", "", theirs, "root"] if theirs == account)
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    const ACCOUNT: &str = "123456789012";
    const ROLE: &str = "arn:aws:iam::123456789012:role/app";
    const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/app/s";

    fn trust(principal: &str, more: &str, asker: Asker<'_>) -> Trust {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow",{principal},"Action":"sts:AssumeRole"{more}}}]}}"#
        );
        let document = Document::parse(&text, Kind::Trust).unwrap();
        let context = Context::default().with("sts:ExternalId", "e");
        trusted(&document, asker, "sts:AssumeRole", &context)
    }

    #[test]
    fn principals_are_found_by_service_account_and_arn() {
        let service = Asker::Service("ecs-tasks.amazonaws.com");
        let session = Asker::Aws { account: ACCOUNT, arn: SESSION, role: Some(ROLE) };
        let tasks = r#""Principal":{"Service":["ec2.amazonaws.com","ecs-tasks.amazonaws.com"]}"#;
        let account = r#""Principal":{"AWS":"arn:aws:iam::123456789012:root"}"#;
        for (principal, more, asker, expected) in [
            (tasks, "", service, Trust::Direct),
            (tasks, "", session, Trust::None),
            (r#""Principal":{"Service":"ec2.amazonaws.com"}"#, "", service, Trust::None),
            (account, "", service, Trust::None),
            (account, "", session, Trust::Account),
            (r#""Principal":{"AWS":"123456789012"}"#, "", session, Trust::Account),
            (r#""Principal":{"AWS":"210987654321"}"#, "", session, Trust::None),
            (r#""Principal":"*""#, "", service, Trust::Direct),
            (r#""Principal":{"AWS":"*"}"#, "", session, Trust::Account),
            (r#""Principal":{"AWS":"*"}"#, "", service, Trust::None),
            (
                r#""Principal":{"AWS":"arn:aws:iam::123456789012:role/app"}"#,
                "",
                session,
                Trust::Direct,
            ),
            (
                r#""Principal":{"AWS":"arn:aws:iam::123456789012:role/other"}"#,
                "",
                session,
                Trust::None,
            ),
            (
                account,
                r#","Condition":{"StringEquals":{"sts:ExternalId":"e"}}"#,
                session,
                Trust::Account,
            ),
            (
                account,
                r#","Condition":{"StringEquals":{"sts:ExternalId":"f"}}"#,
                session,
                Trust::None,
            ),
        ] {
            assert_eq!(trust(principal, more, asker), expected, "{principal} {more} {asker:?}");
        }
    }

    #[test]
    fn a_deny_wins_in_trust_too() {
        let text = r#"{"Version":"2012-10-17","Statement":[
            {"Effect":"Allow","Principal":"*","Action":"sts:*"},
            {"Effect":"Deny","NotPrincipal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
        let document = Document::parse(text, Kind::Trust).unwrap();
        let ask = |service| {
            trusted(&document, Asker::Service(service), "sts:AssumeRole", &Context::default())
        };
        assert_eq!(ask("ecs-tasks.amazonaws.com"), Trust::Denied);
        assert_eq!(ask("ec2.amazonaws.com"), Trust::Direct);
    }
}
