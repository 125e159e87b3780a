//! Which rule a request fulfils.
//!
//! Rules are found by host and by the first part of the path where their conditions allow it, so that ten
//! thousand of them cost a request as little as ten. A new list of rules is compared with the old one by
//! pointers, and only what changed is made anew; the index is a persistent map that both share.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::HeaderName;
use imbl::OrdMap;

use crate::pattern::{Glob, Matchable};
use crate::{Cidr, Condition, Pattern, Rule};

/// What conditions ask of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// In lower case, without the port.
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) source: IpAddr,
}

/// A rule made ready, with whatever its action became.
#[derive(Debug)]
pub(crate) struct Ready<A> {
    pub(crate) rule: Arc<Rule>,
    pub(crate) action: A,
    conditions: Vec<Check>,
}

#[derive(Debug)]
enum Check {
    Host(Vec<Matchable>),
    Path(Vec<Matchable>),
    /// A name that is none fulfils nothing.
    Header(Option<HeaderName>, Vec<Matchable>),
    Method(Vec<String>),
    Query(Vec<(Option<Glob>, Glob)>),
    SourceIp(Vec<Cidr>),
}

impl Check {
    fn new(condition: &Condition) -> Self {
        let all = |values: &[Pattern], fold, escapes| {
            values.iter().map(|v| Matchable::new(v, fold, escapes)).collect()
        };
        match condition {
            Condition::Host(values) => Self::Host(all(values, true, false)),
            Condition::Path(values) => Self::Path(all(values, false, false)),
            Condition::Header { name, values } => {
                Self::Header(name.parse().ok(), all(values, true, true))
            }
            Condition::Method(values) => Self::Method(values.clone()),
            Condition::Query(values) => Self::Query(
                values
                    .iter()
                    .map(|v| {
                        (
                            v.key.as_ref().map(|k| Glob::new(k, true, true)),
                            Glob::new(&v.value, true, true),
                        )
                    })
                    .collect(),
            ),
            Condition::SourceIp(values) => Self::SourceIp(values.clone()),
        }
    }

    fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Host(values) => values.iter().any(|v| v.matches(facts.host)),
            Self::Path(values) => values.iter().any(|v| v.matches(facts.path)),
            Self::Header(None, _) => false,
            Self::Header(Some(name), values) => facts
                .headers
                .get_all(name)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .any(|value| values.iter().any(|v| v.matches(value))),
            Self::Method(values) => values.iter().any(|v| v == facts.method),
            Self::Query(values) => facts.query.is_some_and(|query| {
                query.split('&').filter(|part| !part.is_empty()).any(|part| {
                    let (key, value) = part.split_once('=').unwrap_or((part, ""));
                    values.iter().any(|(wanted_key, wanted_value)| {
                        wanted_key.as_ref().is_none_or(|k| k.matches(key.as_bytes()))
                            && wanted_value.matches(value.as_bytes())
                    })
                })
            }),
            Self::SourceIp(ranges) => ranges.iter().any(|range| range.contains(facts.source)),
        }
    }
}

/// Where a rule is looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Under each host that it names in full.
    Host(Box<[u8]>),
    /// Under the first part of each path that it names.
    Segment(Box<[u8]>),
    /// It is looked at for every request.
    Everywhere,
}

fn first_segment(path: &[u8]) -> &[u8] {
    let rest = path.strip_prefix(b"/").unwrap_or(path);
    rest.split(|byte| *byte == b'/').next().unwrap_or(rest)
}

fn places<A>(ready: &Ready<A>) -> Vec<Place> {
    let globs =
        |values: &[Matchable], place: &dyn Fn(&Glob) -> Option<Place>| -> Option<Vec<Place>> {
            values
                .iter()
                .map(|value| match value {
                    Matchable::Glob(glob) => place(glob),
                    Matchable::Regex(_) | Matchable::Never => None,
                })
                .collect()
        };
    let host = |glob: &Glob| match glob.literal_prefix() {
        (text, true) => Some(Place::Host(text.into())),
        (_, false) => None,
    };
    let path = |glob: &Glob| {
        let (text, whole) = glob.literal_prefix();
        let complete = whole || text.iter().skip(1).any(|byte| *byte == b'/');
        (text.first() == Some(&b'/') && complete)
            .then(|| Place::Segment(first_segment(&text).into()))
    };
    let found = ready
        .conditions
        .iter()
        .find_map(|check| if let Check::Host(values) = check { globs(values, &host) } else { None })
        .or_else(|| {
            ready.conditions.iter().find_map(|check| {
                if let Check::Path(values) = check { globs(values, &path) } else { None }
            })
        });
    let mut found = found.unwrap_or_else(|| vec![Place::Everywhere]);
    found.sort();
    found.dedup();
    found
}

type Bucket<A> = Vec<Arc<Ready<A>>>;

/// The rules of a listener.
#[derive(Debug)]
pub(crate) struct Router<A> {
    rules: Vec<Arc<Rule>>,
    index: OrdMap<Place, Arc<Bucket<A>>>,
}

// Not derived: an action need not be cloned.
impl<A> Clone for Router<A> {
    fn clone(&self) -> Self {
        Self { rules: self.rules.clone(), index: self.index.clone() }
    }
}

impl<A> Default for Router<A> {
    fn default() -> Self {
        Self { rules: Vec::new(), index: OrdMap::new() }
    }
}

/// The order of rules; two of one priority, which nobody should make, follow their identities.
fn order(a: &Rule, b: &Rule) -> std::cmp::Ordering {
    (a.priority, &a.id).cmp(&(b.priority, &b.id))
}

impl<A> Router<A> {
    /// A router of these rules that shares what did not change, and how many rules changed.
    pub(crate) fn updated(
        &self,
        rules: &[Arc<Rule>],
        mut make: impl FnMut(&Rule) -> A,
    ) -> (Self, usize) {
        let mut rules = rules.to_vec();
        if !rules.is_sorted_by(|a, b| order(a, b).is_le()) {
            rules.sort_by(|a, b| order(a, b));
        }
        let mut index = self.index.clone();
        let mut changed = 0;
        let (mut old, mut new) = (self.rules.iter().peekable(), rules.iter().peekable());
        loop {
            let ordering = match (old.peek(), new.peek()) {
                (Some(a), Some(b)) if Arc::ptr_eq(a, b) => {
                    old.next();
                    new.next();
                    continue;
                }
                (Some(a), Some(b)) => order(a, b),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => break,
            };
            let (gone, come) = match ordering {
                std::cmp::Ordering::Less => (old.next(), None),
                std::cmp::Ordering::Greater => (None, new.next()),
                std::cmp::Ordering::Equal => (old.next(), new.next()),
            };
            if let (Some(gone), Some(come)) = (gone, come)
                && gone == come
            {
                continue;
            }
            changed += 1;
            if let Some(gone) = gone {
                remove(&mut index, gone);
            }
            if let Some(come) = come {
                let conditions = come.conditions.iter().map(Check::new).collect();
                insert(
                    &mut index,
                    Arc::new(Ready { rule: Arc::clone(come), action: make(come), conditions }),
                );
            }
        }
        (Self { rules, index }, changed)
    }

    /// The first rule that the request fulfils, and how many were looked at.
    pub(crate) fn find(&self, facts: &Facts<'_>) -> (Option<&Arc<Ready<A>>>, u64) {
        if self.rules.is_empty() {
            return (None, 0);
        }
        let bucket =
            |place: &Place| self.index.get(place).map_or(&[][..], |bucket| bucket.as_slice());
        let mut lists = [
            bucket(&Place::Host(facts.host.as_bytes().into())),
            bucket(&Place::Segment(first_segment(facts.path.as_bytes()).into())),
            bucket(&Place::Everywhere),
        ];
        let mut looked = 0;
        // The lists are merged by priority.
        while let Some(list) = lists
            .iter_mut()
            .filter(|list| !list.is_empty())
            .min_by(|a, b| order(&a[0].rule, &b[0].rule))
        {
            let current: &[Arc<Ready<A>>] = list;
            let Some((ready, rest)) = current.split_first() else { break };
            *list = rest;
            looked += 1;
            if ready.conditions.iter().all(|check| check.holds(facts)) {
                return (Some(ready), looked);
            }
        }
        (None, looked)
    }
}

fn insert<A>(index: &mut OrdMap<Place, Arc<Bucket<A>>>, ready: Arc<Ready<A>>) {
    for place in places(&ready) {
        let mut bucket: Bucket<A> =
            index.get(&place).map(|bucket| bucket.to_vec()).unwrap_or_default();
        let at = bucket.partition_point(|other| order(&other.rule, &ready.rule).is_lt());
        bucket.insert(at, Arc::clone(&ready));
        index.insert(place, Arc::new(bucket));
    }
}

fn remove<A>(index: &mut OrdMap<Place, Arc<Bucket<A>>>, rule: &Arc<Rule>) {
    let conditions = rule.conditions.iter().map(Check::new).collect();
    for place in places(&Ready { rule: Arc::clone(rule), action: (), conditions }) {
        let Some(bucket) = index.get(&place) else { continue };
        let left: Bucket<A> = bucket.iter().filter(|ready| ready.rule != *rule).cloned().collect();
        if left.is_empty() {
            index.remove(&place);
        } else {
            index.insert(place, Arc::new(left));
        }
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
