//! The cluster query language: expressions that select container instances.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-query-language.html>
//!
//! [`parse`] reads an expression once, with a position and what was expected for one that means
//! nothing; [`Query::holds`] asks it of an instance. What is kept is the text as it was written.
//! Nothing here recurses deeper than [`MOST_NESTED`], and patterns are matched in linear time.

mod display;
mod evaluate;
mod parse;
mod pattern;
mod version;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stdx::Timestamp;

pub use evaluate::Facts;
pub use parse::{ParseError, parse};
pub use pattern::Pattern;
pub use version::Version;

/// The longest expression, in bytes.
pub const LONGEST: usize = 2_000;

/// So deep may parentheses and negations be nested.
pub const MOST_NESTED: usize = 32;

/// An expression as it was written, with its meaning.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    query: Option<Arc<Query>>,
}

/// What an expression means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Each of at least two holds.
    And(Vec<Query>),
    /// One of at least two holds.
    Or(Vec<Query>),
    /// It does not hold.
    Not(Box<Query>),
    /// A single expression: `subject operator [argument]`. The negated operators (`!=`, `!in`, `!~`,
    /// `!exists`) hold exactly where the others do not.
    Test {
        /// What is asked.
        test: Test,
        /// Whether the opposite is.
        negated: bool,
    },
}

/// A subject and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `agentConnected`: `true` or `false`.
    AgentConnected(Match),
    /// `agentVersion`; no order holds for an agent that has not told its version.
    AgentVersion(Order, Version),
    /// `attribute:NAME`; one without a value has the empty one.
    Attribute(String, Match),
    /// `ec2InstanceId`
    Ec2InstanceId(Match),
    /// `registeredAt`, in whole seconds.
    RegisteredAt(Order, Timestamp),
    /// `runningTasksCount`
    RunningTasks(Order, u32),
    /// `task:group`: the groups of the tasks that the instance hosts, of which one has to do.
    TaskGroup(Match),
}

/// What is asked of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// That it is there.
    Exists,
    /// How it compares: as numbers if both are, else letter by letter.
    Compares(Order, String),
    /// That it is one of these.
    In(Vec<String>),
    /// That all of it matches.
    Like(Pattern),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `==`
    Equal,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
}

impl Expression {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let query = parse(text)?;
        Ok(Self { text: text.into(), query: Some(Arc::new(query)) })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it means; none for a record that this version cannot read, which then selects nothing.
    pub fn query(&self) -> Option<&Query> {
        self.query.as_deref()
    }

    /// Whether it selects an instance.
    pub fn holds(&self, facts: &dyn Facts) -> bool {
        self.query.as_ref().is_some_and(|query| query.holds(facts))
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        // The meaning follows from the text.
        self.text == other.text
    }
}

impl Eq for Expression {}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let query = parse(&text).ok().map(Arc::new);
        Ok(Self { text: text.into(), query })
    }
}

#[cfg(test)]
mod tests;
