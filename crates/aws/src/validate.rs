//! Violated constraints, and how each service words them.

use std::fmt;

use crate::Error;
use crate::facts::ServiceFacts;
use crate::schema::Shaped;

/// A constraint of the model that a request violates.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Where: `containerDefinitions[0].name`.
    pub path: String,
    /// What is demanded there.
    pub constraint: Constraint,
    /// What stands there instead, cut to 100 characters; absent if nothing does or if it is secret.
    pub given: Option<String>,
}

/// What a model demands of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Constraint {
    /// To be there.
    Required,
    /// At least so many characters or entries.
    MinLength(f64),
    /// At most so many characters or entries.
    MaxLength(f64),
    /// To be at least.
    MinValue(f64),
    /// To be at most.
    MaxValue(f64),
    /// To match in whole.
    Pattern(&'static str),
    /// To be one of these words.
    OneOf(&'static [&'static str]),
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("Member must not be null"),
            Self::MinLength(min) => {
                write!(f, "Member must have length greater than or equal to {min}")
            }
            Self::MaxLength(max) => {
                write!(f, "Member must have length less than or equal to {max}")
            }
            Self::MinValue(min) => {
                write!(f, "Member must have value greater than or equal to {min}")
            }
            Self::MaxValue(max) => write!(f, "Member must have value less than or equal to {max}"),
            Self::Pattern(pattern) => {
                write!(f, "Member must satisfy regular expression pattern: {pattern}")
            }
            Self::OneOf(words) => {
                write!(f, "Member must satisfy enum value set: [{}]", words.join(", "))
            }
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.given {
            Some(given) => write!(f, "Value '{given}' at '{}'", self.path)?,
            None => write!(f, "Value at '{}'", self.path)?,
        }
        write!(f, " failed to satisfy constraint: {}", self.constraint)
    }
}

/// How a service words a violated constraint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// ECS: `taskDefinition can not be blank.`
    Ecs,
    /// ECR: `Invalid parameter at 'repositoryName' failed to satisfy constraint: '…'`
    Ecr,
    /// Most others: `1 validation error detected: Value '' at 'logGroupName' failed to satisfy …`
    Coral,
}

impl Wording {
    /// The sentence for these violations.
    pub fn sentence(self, violations: &[Violation]) -> String {
        match self {
            Self::Ecs => violations.iter().map(ecs).collect::<Vec<_>>().join(" "),
            Self::Ecr => violations.iter().map(ecr).collect::<Vec<_>>().join("; "),
            Self::Coral => {
                let count = violations.len();
                let plural = if count == 1 { "" } else { "s" };
                let each: Vec<String> = violations.iter().map(Violation::to_string).collect();
                format!("{count} validation error{plural} detected: {}", each.join("; "))
            }
        }
    }
}

fn ecs(violation: &Violation) -> String {
    match violation.constraint {
        Constraint::Required => format!("{} can not be blank.", violation.path),
        _ => format!("{violation}."),
    }
}

fn ecr(violation: &Violation) -> String {
    let given =
        violation.given.as_ref().map_or_else(String::new, |given| format!(" (given: '{given}')"));
    let demand = violation.constraint.to_string();
    let demand = demand.strip_prefix("Member ").unwrap_or(&demand);
    format!(
        "Invalid parameter at '{}' failed to satisfy constraint: '{demand}'{given}",
        violation.path
    )
}

/// The service's answer to violated constraints.
pub(crate) fn refusal(service: &ServiceFacts, violations: &[Violation]) -> Error {
    Error::new(service.validation_error, 400, service.wording.sentence(violations))
}

/// A request that can be held against the constraints of its model.
pub trait Validate {
    /// What it violates, first things first; at most [`crate::MAX_VIOLATIONS`].
    fn violations(&self) -> Vec<Violation>;
}

impl<T: Shaped> Validate for T {
    fn violations(&self) -> Vec<Violation> {
        serde_json::to_value(self)
            .ok()
            .and_then(|mut value| crate::check::check(T::shape(), &mut value, false).ok())
            .unwrap_or_default()
    }
}
