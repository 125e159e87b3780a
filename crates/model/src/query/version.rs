//! Versions of agents: numbers between dots, compared from left to right.

use std::cmp::Ordering;
use std::fmt;

/// A version such as `1.14.5`, also with a `v` before it or an addition such as `-dev` after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// Reads a version; none if it does not begin with a number.
    pub fn parse(text: &str) -> Option<Self> {
        split(text).map(|_| Self(text.to_owned()))
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// How the version that an agent told compares with this one; none if it told none.
    pub(super) fn compare(&self, told: &str) -> Option<Ordering> {
        let ((told, told_more), (this, this_more)) = (split(told)?, split(&self.0)?);
        let longer = told.len().max(this.len());
        let part = |parts: &[u64], at: usize| parts.get(at).copied().unwrap_or(0);
        for at in 0..longer {
            match part(&told, at).cmp(&part(&this, at)) {
                Ordering::Equal => {}
                unequal => return Some(unequal),
            }
        }
        // As semantic versions have it, 1.2.0-dev comes before 1.2.0.
        Some(match (told_more.is_empty(), this_more.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (true, true) | (false, false) => told_more.cmp(this_more),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The numbers, and the addition after them.
fn split(text: &str) -> Option<(Vec<u64>, &str)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    // What is built beside a version does not order it.
    let text = text.split_once('+').map_or(text, |(version, _)| version);
    let (numbers, more) = text.split_once('-').unwrap_or((text, ""));
    let numbers: Option<Vec<u64>> = numbers.split('.').map(|part| part.parse().ok()).collect();
    Some((numbers?, more))
}
