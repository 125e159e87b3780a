//! Sets of classes, and what a query selects of them.

use std::sync::Arc;

use crate::query::{Match, Query, Test};

/// A set of classes by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassSet(Arc<Vec<u64>>);

const BITS: usize = 64;

/// The word and the bit of a class.
fn place(class: u32) -> (usize, u64) {
    let class = usize::try_from(class).unwrap_or(usize::MAX);
    (class / BITS, 1 << (class % BITS))
}

impl ClassSet {
    /// The first so many classes.
    pub fn first(classes: usize) -> Self {
        let mut words = vec![u64::MAX; classes / BITS];
        if !classes.is_multiple_of(BITS) {
            words.push((1 << (classes % BITS)) - 1);
        }
        Self(Arc::new(words))
    }

    /// Whether a class is in it.
    pub fn contains(&self, class: u32) -> bool {
        let (word, bit) = place(class);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Puts a class in.
    pub fn insert(&mut self, class: u32) {
        let (word, bit) = place(class);
        let words = Arc::make_mut(&mut self.0);
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        words[word] |= bit;
    }

    /// Takes a class out.
    pub fn remove(&mut self, class: u32) {
        let (word, bit) = place(class);
        if let Some(word) = Arc::make_mut(&mut self.0).get_mut(word) {
            *word &= !bit;
        }
    }

    /// Whether no class is in it.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// How many classes are in it.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The classes by number.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let base = u32::try_from(at * BITS).unwrap_or(u32::MAX);
            std::iter::successors(Some(*word), |left| Some(left & left.wrapping_sub(1)))
                .take_while(|left| *left != 0)
                .map(move |left| base + left.trailing_zeros())
        })
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(Arc::new(self.0.iter().zip(other.0.iter()).map(|(a, b)| a & b).collect()))
    }

    /// Those that are in one of both.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let (long, short) =
            if self.0.len() < other.0.len() { (other, self) } else { (self, other) };
        let mut words = Vec::clone(&long.0);
        for (word, more) in words.iter_mut().zip(short.0.iter()) {
            *word |= more;
        }
        Self(Arc::new(words))
    }

    /// Those that are in this one only.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut words = Vec::clone(&self.0);
        for (word, less) in words.iter_mut().zip(other.0.iter()) {
            *word &= !less;
        }
        Self(Arc::new(words))
    }
}

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

impl super::Fleet {
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

    fn matching(&self, name: &str, wanted: &Match) -> ClassSet {
        let mut found = ClassSet::default();
        if let Match::Compares(crate::query::Order::Equal, value) = wanted {
            return self.having(name, value).cloned().unwrap_or_default();
        }
        for (value, classes) in self.values(name) {
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
            None => self.values(name).fold(ClassSet::default(), |all, (_, set)| all.or(set)),
        })
    }
}
