//! What a query selects of a fleet.

use std::sync::Arc;

use super::{ClassSet, Fleet, NODE, Values};
use crate::query::{Match, Order, Query, Test};

/// What is known of a query from the classes alone.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Every instance of these is selected.
    pub always: ClassSet,
    /// None of any other is. Those of the difference have to be asked each.
    pub perhaps: ClassSet,
}

impl Selection {
    /// Exactly these.
    pub fn exactly(set: ClassSet) -> Self {
        Self { always: set.clone(), perhaps: set }
    }

    /// Whether no instance has to be asked.
    pub fn is_certain(&self) -> bool {
        self.perhaps.without(&self.always).is_empty()
    }

    /// What both select.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self { always: self.always.and(&other.always), perhaps: self.perhaps.and(&other.perhaps) }
    }
}

/// Places outside of which nothing is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within(pub Vec<Whereabouts>);

/// A place in a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// A value of an attribute that makes no classes.
    Section {
        /// Which attribute.
        division: usize,
        /// Which section of it.
        number: u32,
    },
    /// The instances that host tasks of a group.
    Group(Arc<str>),
}

impl Fleet {
    /// What a query selects.
    pub fn select(&self, query: &Query) -> Selection {
        match query {
            Query::And(all) => {
                let every = Selection::exactly(self.all().clone());
                all.iter().fold(every, |so_far, one| so_far.and(&self.select(one)))
            }
            Query::Or(any) => {
                let mut so_far = Selection::exactly(ClassSet::default());
                for one in any {
                    let more = self.select(one);
                    so_far.always = so_far.always.or(&more.always);
                    so_far.perhaps = so_far.perhaps.or(&more.perhaps);
                }
                so_far
            }
            Query::Not(one) => self.opposite(&self.select(one)),
            Query::Test { test, negated } => {
                let selection = self.test(test);
                if *negated { self.opposite(&selection) } else { selection }
            }
        }
    }

    fn opposite(&self, of: &Selection) -> Selection {
        Selection {
            always: self.all().without(&of.perhaps),
            perhaps: self.all().without(&of.always),
        }
    }

    fn test(&self, test: &Test) -> Selection {
        match test {
            Test::Attribute(name, wanted) if !self.is_own(name) => {
                Selection::exactly(self.matching(name, wanted))
            }
            Test::Attribute(..)
            | Test::AgentConnected(_)
            | Test::AgentVersion(..)
            | Test::Ec2InstanceId(_)
            | Test::RegisteredAt(..)
            | Test::RunningTasks(..)
            | Test::TaskGroup(_) => {
                Selection { always: ClassSet::default(), perhaps: self.all().clone() }
            }
        }
    }

    /// Where all instances are that a query selects, if that is told by values of attributes which make
    /// no classes, by nodes or by groups of tasks; others may be there too. Unless it is to be
    /// thorough, only what is named outright is looked up; else every value is asked.
    pub fn within(&self, query: &Query, thorough: bool) -> Option<Within> {
        match query {
            Query::And(all) => {
                let each = all.iter().filter_map(|one| self.within(one, thorough));
                each.min_by_key(|within| self.size(within))
            }
            Query::Or(any) => {
                let mut all = Vec::new();
                for one in any {
                    all.extend(self.within(one, thorough)?.0);
                }
                Some(Within(all))
            }
            Query::Not(_) | Query::Test { negated: true, .. } => None,
            Query::Test { test, negated: false } => self.whereabouts(test, thorough),
        }
    }

    fn whereabouts(&self, test: &Test, thorough: bool) -> Option<Within> {
        match test {
            Test::Attribute(name, wanted) => self.sections_of(name, wanted, thorough),
            Test::Ec2InstanceId(wanted) => self.sections_of(NODE, wanted, thorough),
            Test::TaskGroup(Match::Compares(Order::Equal, group)) => {
                Some(Within(vec![Whereabouts::Group(group.as_str().into())]))
            }
            Test::TaskGroup(Match::In(groups)) => {
                let group = |group: &String| Whereabouts::Group(group.as_str().into());
                Some(Within(groups.iter().map(group).collect()))
            }
            Test::TaskGroup(_)
            | Test::AgentConnected(_)
            | Test::AgentVersion(..)
            | Test::RegisteredAt(..)
            | Test::RunningTasks(..) => None,
        }
    }

    fn sections_of(&self, name: &str, wanted: &Match, thorough: bool) -> Option<Within> {
        let (division, of) = self.division(name)?;
        let numbers: Vec<u32> = match wanted {
            Match::Compares(Order::Equal, value) => of.number(value).into_iter().collect(),
            Match::In(values) => values.iter().filter_map(|value| of.number(value)).collect(),
            Match::Exists | Match::Compares(..) | Match::Like(_) if thorough => {
                of.numbers().filter(|(value, _)| wanted.passes(value)).map(|(_, n)| n).collect()
            }
            Match::Exists | Match::Compares(..) | Match::Like(_) => return None,
        };
        let section = |number| Whereabouts::Section { division, number };
        Some(Within(numbers.into_iter().map(section).collect()))
    }

    /// Where all instances are that have an attribute, `name`, or have it with a value, `name=value`,
    /// if the attribute makes no classes.
    pub fn required_within(&self, wanted: &str) -> Option<Within> {
        let (name, value) = wanted.split_once('=')?;
        self.sections_of(name, &Match::Compares(Order::Equal, value.to_owned()), false)
    }

    /// How many instances there are at most in these places.
    pub fn size(&self, within: &Within) -> usize {
        let size = |place: &Whereabouts| match place {
            Whereabouts::Section { division, number } => {
                let section = self.divisions.get(*division).and_then(|d| d.section(*number));
                section.map_or(0, |section| section.len())
            }
            Whereabouts::Group(group) => {
                self.crowds.get(group).map_or(0, |crowd| crowd.present().len())
            }
        };
        within.0.iter().map(size).sum()
    }

    fn matching(&self, name: &str, wanted: &Match) -> ClassSet {
        let mut found = ClassSet::default();
        if let Match::Compares(Order::Equal, value) = wanted {
            return self.having(name, value).cloned().unwrap_or_default();
        }
        for (value, classes) in self.values(name).into_iter().flat_map(Values::iter) {
            if wanted.passes(value) {
                found = found.or(classes);
            }
        }
        found
    }

    /// What asks for an attribute, `name`, or for it with a value, `name=value`, selects.
    pub fn required(&self, wanted: &str) -> Selection {
        let (name, value) = match wanted.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (wanted, None),
        };
        if self.is_own(name) {
            return Selection { always: ClassSet::default(), perhaps: self.all().clone() };
        }
        Selection::exactly(match value {
            // An attribute without a value is not one with the empty value here.
            Some("") => {
                let perhaps = self.having(name, "").cloned().unwrap_or_default();
                return Selection { always: ClassSet::default(), perhaps };
            }
            Some(value) => self.having(name, value).cloned().unwrap_or_default(),
            None => {
                let values = self.values(name).into_iter().flat_map(Values::iter);
                values.fold(ClassSet::default(), |all, (_, set)| all.or(set))
            }
        })
    }
}
