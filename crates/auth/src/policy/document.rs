//! Policy documents, from JSON. What IAM refuses is refused here, in IAM's words.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::condition::{Condition, Operator};

/// What a document is for, which tells what has to stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What a principal may do: it names resources.
    Identity,
    /// Who may assume a role: it names principals.
    Trust,
}

/// A policy document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    variables: bool,
    statements: Vec<Statement>,
}

/// One of its statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    pub(super) principals: Option<Principals>,
    pub(super) actions: Names,
    pub(super) resources: Option<Names>,
    pub(super) conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// Patterns, or everything but what they match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) not: bool,
    pub(super) patterns: Vec<String>,
}

/// Principals by kind (`AWS`, `Service`, …; `*` for everybody), or everybody but them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Principals {
    pub(super) not: bool,
    pub(super) names: Vec<(String, String)>,
}

impl Names {
    /// Whether one of the patterns fits, or, negated, none does.
    pub(super) fn hold(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.patterns.iter().any(|pattern| fits(pattern)) != self.not
    }
}

/// What is wrong with a document: the message of IAM's `MalformedPolicyDocument`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

fn wrong<T>(message: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(message.into()))
}

/// What IAM says when nothing better is to be said.
const SYNTAX: &str = "Syntax errors in policy.";

/// Since which variables are replaced.
const CURRENT: &str = "2012-10-17";
/// The version of documents that name none; variables are letters there.
const OLD: &str = "2008-10-17";

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as IAM says it.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, Malformed> {
        let Ok(Value::Object(object)) = serde_json::from_str(text) else {
            return wrong("This policy contains invalid Json");
        };
        only(&object, &["Version", "Id", "Statement"])?;
        let version = match object.get("Version") {
            None => OLD,
            Some(Value::String(version)) if version == CURRENT || version == OLD => version,
            Some(_) => return wrong("The policy must contain a valid version string"),
        };
        let statements = match object.get("Statement") {
            Some(Value::Array(all)) if !all.is_empty() => all.iter().collect(),
            Some(one @ Value::Object(_)) => vec![one],
            _ => return wrong(SYNTAX),
        };
        let mut sids = BTreeSet::new();
        let statements = statements
            .into_iter()
            .map(|value| {
                let Value::Object(statement) = value else { return wrong(SYNTAX) };
                sid(statement, &mut sids, kind)?;
                Statement::parse(statement, kind)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { variables: version == CURRENT, statements })
    }

    pub(super) fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Whether `${…}` in its resources stands for something.
    pub(super) const fn has_variables(&self) -> bool {
        self.variables
    }
}

fn only(object: &Map<String, Value>, known: &[&str]) -> Result<(), Malformed> {
    if object.keys().all(|key| known.contains(&key.as_str())) { Ok(()) } else { wrong(SYNTAX) }
}

/// Statement ids are unique, and of letters and digits where a policy is an identity's.
fn sid<'v>(
    statement: &'v Map<String, Value>,
    seen: &mut BTreeSet<&'v str>,
    kind: Kind,
) -> Result<(), Malformed> {
    let sid = match statement.get("Sid") {
        None => return Ok(()),
        Some(Value::String(sid)) => sid,
        Some(_) => return wrong(SYNTAX),
    };
    if kind == Kind::Identity && !sid.chars().all(|letter| letter.is_ascii_alphanumeric()) {
        return wrong(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular \
             expression [0-9A-Za-z]*",
        );
    }
    if !sid.is_empty() && !seen.insert(sid) {
        return wrong("Statement IDs (SID) in a single policy must be unique.");
    }
    Ok(())
}

impl Statement {
    fn parse(object: &Map<String, Value>, kind: Kind) -> Result<Self, Malformed> {
        only(
            object,
            &[
                "Sid",
                "Effect",
                "Principal",
                "NotPrincipal",
                "Action",
                "NotAction",
                "Resource",
                "NotResource",
                "Condition",
            ],
        )?;
        let effect = match object.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            None if kind == Kind::Trust => return wrong("Missing required field Effect"),
            _ => return wrong(SYNTAX),
        };
        let statement = Self {
            effect,
            principals: principals(object, kind)?,
            actions: actions(object, kind)?,
            resources: resources(object, kind)?,
            conditions: conditions(object.get("Condition"))?,
        };
        Ok(statement)
    }
}

fn actions(object: &Map<String, Value>, kind: Kind) -> Result<Names, Malformed> {
    let Some(actions) = names(object, "Action", "NotAction")? else {
        return match kind {
            Kind::Identity => wrong("Policy statement must contain actions."),
            Kind::Trust => wrong("Missing required field Action"),
        };
    };
    for action in &actions.patterns {
        let vendor = action.split_once(':').map(|(vendor, _)| vendor);
        if action != "*" && vendor.is_none_or(str::is_empty) {
            return wrong(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            );
        }
        let assumes = || vendor.is_some_and(|vendor| vendor.eq_ignore_ascii_case("sts"));
        if kind == Kind::Trust && !assumes() {
            return wrong("AssumeRole policy may only specify STS AssumeRole actions.");
        }
    }
    Ok(actions)
}

fn resources(object: &Map<String, Value>, kind: Kind) -> Result<Option<Names>, Malformed> {
    let resources = names(object, "Resource", "NotResource")?;
    match (kind, &resources) {
        (Kind::Trust, Some(_)) => wrong("Has prohibited field Resource"),
        (Kind::Identity, None) => wrong("Policy statement must contain resources."),
        (Kind::Identity, Some(names)) => {
            let odd = names.patterns.iter().find(|r| *r != "*" && !r.starts_with("arn:"));
            match odd {
                Some(odd) => wrong(format!("Resource {odd} must be in ARN format or \"*\".")),
                None => Ok(resources),
            }
        }
        (Kind::Trust, None) => Ok(None),
    }
}

/// A member or its negation, not both.
fn names(
    object: &Map<String, Value>,
    member: &str,
    negated: &str,
) -> Result<Option<Names>, Malformed> {
    let (not, value) = match (object.get(member), object.get(negated)) {
        (Some(value), None) => (false, value),
        (None, Some(value)) => (true, value),
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return wrong(SYNTAX),
    };
    Ok(Some(Names { not, patterns: texts(value)? }))
}

/// A text or a list of some.
fn texts(value: &Value) -> Result<Vec<String>, Malformed> {
    let values = match value {
        Value::String(one) => return Ok(vec![one.clone()]),
        Value::Array(values) if !values.is_empty() => values,
        _ => return wrong(SYNTAX),
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    values.iter().map(text).collect::<Option<_>>().ok_or_else(|| Malformed(SYNTAX.to_owned()))
}

fn principals(object: &Map<String, Value>, kind: Kind) -> Result<Option<Principals>, Malformed> {
    let (not, value) = match (object.get("Principal"), object.get("NotPrincipal")) {
        (Some(value), None) => (false, value),
        (None, Some(value)) => (true, value),
        (None, None) if kind == Kind::Trust => return wrong("Missing required field Principal"),
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return wrong(SYNTAX),
    };
    if kind == Kind::Identity {
        return wrong("Policy document should not specify a principal.");
    }
    let names = match value {
        Value::String(all) if all == "*" => vec![("*".to_owned(), "*".to_owned())],
        Value::Object(kinds) if !kinds.is_empty() => {
            let mut names = Vec::new();
            for (kind, value) in kinds {
                for name in texts(value)? {
                    principal(kind, &name)?;
                    names.push((kind.clone(), name));
                }
            }
            names
        }
        Value::String(other) => return wrong(format!("Invalid principal in policy: \"{other}\"")),
        _ => return wrong(SYNTAX),
    };
    Ok(Some(Principals { not, names }))
}

/// Whether a principal of this kind may be written so.
fn principal(kind: &str, name: &str) -> Result<(), Malformed> {
    let invalid = || wrong(format!("Invalid principal in policy: \"{kind}\":\"{name}\""));
    match kind {
        "AWS" => {
            let account = name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit());
            let parts: Vec<&str> = name.splitn(6, ':').collect();
            let arn = matches!(parts[..], ["arn", _, "iam" | "sts", "", account, rest]
                if account.len() == 12 && !rest.is_empty() && !rest.contains('*'));
            if name == "*" || account || arn { Ok(()) } else { invalid() }
        }
        "Service" if name.contains('.') && !name.contains('*') => Ok(()),
        "Federated" | "CanonicalUser" if !name.is_empty() => Ok(()),
        _ => invalid(),
    }
}

fn conditions(value: Option<&Value>) -> Result<Vec<Condition>, Malformed> {
    let operators = match value {
        None => return Ok(Vec::new()),
        Some(Value::Object(operators)) => operators,
        Some(_) => return wrong(SYNTAX),
    };
    let mut conditions = Vec::new();
    for (name, keys) in operators {
        let Some(operator) = Operator::parse(name) else {
            return wrong(format!("Invalid Condition type : {name}."));
        };
        let Value::Object(keys) = keys else { return wrong(SYNTAX) };
        for (key, values) in keys {
            if !key.contains(':') {
                return wrong(
                    "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
                );
            }
            conditions.push(Condition { operator, key: key.clone(), values: plain(values)? });
        }
    }
    Ok(conditions)
}

/// Values of conditions may be numbers and booleans too.
fn plain(value: &Value) -> Result<Vec<String>, Malformed> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => wrong(SYNTAX),
    };
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        other => Ok(vec![one(other)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str, kind: Kind) -> String {
        Document::parse(text, kind).unwrap_err().0
    }

    /// A document around one statement's members.
    fn one(inside: &str) -> String {
        format!(r#"{{"Version":"2012-10-17","Statement":[{{{inside}}}]}}"#)
    }

    const VENDOR: &str =
        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";

    #[test]
    fn documents_that_are_none_are_told_so() {
        for (text, message) in [
            ("x", "This policy contains invalid Json"),
            ("[]", "This policy contains invalid Json"),
            (r#"{"Version":"2012-10-17"}"#, SYNTAX),
            (
                r#"{"Version":"2013","Statement":[]}"#,
                "The policy must contain a valid version string",
            ),
            (r#"{"Wersion":"2012-10-17","Statement":[]}"#, SYNTAX),
        ] {
            assert_eq!(fault(text, Kind::Identity), message, "{text}");
        }
    }

    #[test]
    fn trust_policies_are_told_what_they_lack() {
        let service = r#""Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"}"#;
        let with = |more: &str| format!("{service}{more}");
        for (inside, message) in [
            (
                r#""Effect":"Allow","Action":"sts:AssumeRole""#.to_owned(),
                "Missing required field Principal",
            ),
            (
                r#""Principal":"*","Action":"sts:AssumeRole""#.to_owned(),
                "Missing required field Effect",
            ),
            (with(""), "Missing required field Action"),
            (
                with(r#","Action":"ecs:RunTask""#),
                "AssumeRole policy may only specify STS AssumeRole actions.",
            ),
            (with(r#","Action":"sts:AssumeRole","Resource":"*""#), "Has prohibited field Resource"),
            (
                r#""Effect":"Allow","Principal":{"AWS":"me"},"Action":"sts:AssumeRole""#.to_owned(),
                r#"Invalid principal in policy: "AWS":"me""#,
            ),
        ] {
            assert_eq!(fault(&one(&inside), Kind::Trust), message, "{inside}");
        }
    }

    #[test]
    fn what_is_malformed_is_told_in_iams_words() {
        for (inside, message) in [
            (r#""Effect":"Allow","Resource":"*""#, "Policy statement must contain actions."),
            (r#""Effect":"Allow","Action":"*""#, "Policy statement must contain resources."),
            (r#""Effect":"allow","Action":"*","Resource":"*""#, SYNTAX),
            (r#""Effect":"Allow","Action":"Run","Resource":"*""#, VENDOR),
            (
                r#""Effect":"Allow","Action":"*","Resource":"x""#,
                "Resource x must be in ARN format or \"*\".",
            ),
            (
                r#""Effect":"Allow","Principal":"*","Action":"*","Resource":"*""#,
                "Policy document should not specify a principal.",
            ),
            (r#""Effect":"Allow","Action":"*","NotAction":"*","Resource":"*""#, SYNTAX),
            (
                r#""Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringIs":{"aws:x":"y"}}"#,
                "Invalid Condition type : StringIs.",
            ),
            (
                r#""Sid":"a b","Effect":"Allow","Action":"*","Resource":"*""#,
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the \
                 regular expression [0-9A-Za-z]*",
            ),
        ] {
            assert_eq!(fault(&one(inside), Kind::Identity), message, "{inside}");
        }
        let twice = r#"{"Statement":[{"Sid":"a","Effect":"Deny","Action":"*","Resource":"*"},{"Sid":"a","Effect":"Deny","Action":"*","Resource":"*"}]}"#;
        assert_eq!(
            fault(twice, Kind::Identity),
            "Statement IDs (SID) in a single policy must be unique."
        );
    }

    #[test]
    fn a_statement_alone_and_values_of_any_plain_kind_are_taken() {
        let text = r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"Bool":{"aws:SecureTransport":false},"NumericLessThan":{"s3:max-keys":[5]}}}}"#;
        let document = Document::parse(text, Kind::Identity).unwrap();
        assert!(!document.has_variables());
        assert_eq!(document.statements()[0].conditions.len(), 2);
    }
}
