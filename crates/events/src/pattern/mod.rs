//! Event patterns: which events a rule takes.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html>
//!
//! A pattern has the form of the events that it takes: members that all have to be there, each with a
//! list of which one has to fit. A list in an event fits if one of its entries does; what is asked of
//! several members of an object in a list has to be true of the same object.

mod condition;
mod parse;
#[cfg(test)]
mod tests;
mod wildcard;

use serde_json::Value;

use condition::Condition;

/// The longest pattern, in characters.
pub const LONGEST: usize = 4096;

/// A pattern that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern(Node);

/// What is asked of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Node {
    /// Each member has to fit.
    members: Vec<(String, Want)>,
    /// Of each group, one has to fit.
    choices: Vec<Vec<Node>>,
}

/// What is asked of a member.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Want {
    /// Of an object.
    Inside(Node),
    /// Of a value: one of these.
    OneOf(Vec<Condition>),
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}{}", place(at))]
pub struct PatternError {
    /// What is wrong.
    pub why: String,
    /// In which member, from the outermost in; none if that cannot be told.
    pub at: Vec<String>,
}

fn place(at: &[String]) -> String {
    if at.is_empty() { String::new() } else { format!(" at {}", at.join(".")) }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        parse::pattern(text).map(Self)
    }

    /// Whether an event fits.
    pub fn matches(&self, event: &Value) -> bool {
        self.0.matches(event)
    }
}

impl Node {
    fn matches(&self, value: &Value) -> bool {
        match value {
            Value::Object(members) => {
                self.members.iter().all(|(name, want)| want.matches(members.get(name)))
                    && self.choices.iter().all(|some| some.iter().any(|node| node.matches(value)))
            }
            Value::Array(all) => all.iter().any(|one| self.matches(one)),
            // Nothing is inside, which may be what is asked for.
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => self.absent(),
        }
    }

    /// Whether it fits though nothing is there.
    fn absent(&self) -> bool {
        self.members.iter().all(|(_, want)| want.matches(None))
            && self.choices.iter().all(|some| some.iter().any(Self::absent))
    }
}

impl Want {
    fn matches(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Inside(node) => match value {
                Some(Value::Array(all)) if all.is_empty() => node.absent(),
                Some(value) => node.matches(value),
                None => node.absent(),
            },
            Self::OneOf(conditions) => {
                let mut leaves = Vec::new();
                if let Some(value) = value {
                    collect(value, &mut leaves);
                }
                conditions.iter().any(|condition| condition.takes(&leaves))
            }
        }
    }
}

/// The values that are no objects, also those in lists.
fn collect<'a>(value: &'a Value, leaves: &mut Vec<&'a Value>) {
    match value {
        Value::Object(_) => {}
        Value::Array(all) => all.iter().for_each(|one| collect(one, leaves)),
        leaf => leaves.push(leaf),
    }
}
