//! The values of an attribute that makes classes.

use std::sync::Arc;

use super::ClassSet;

/// The values of an attribute that makes classes, each with the classes that have it.
#[derive(Clone, Debug, Default)]
pub struct Values {
    // One whose set is empty is free for another value, so that numbers stay.
    sets: Vec<(Arc<str>, ClassSet)>,
    // By class the number of its value, plus one.
    of: Vec<u16>,
}

impl Values {
    /// How many values any class has.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether no class has any.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// One more than the largest number of a value.
    pub fn numbers(&self) -> usize {
        self.sets.len()
    }

    /// The values with their classes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ClassSet)> {
        let used = self.sets.iter().filter(|(_, set)| !set.is_empty());
        used.map(|(value, set)| (&**value, set))
    }

    /// The classes that have a value.
    pub fn having(&self, value: &str) -> Option<&ClassSet> {
        self.iter().find(|(known, _)| *known == value).map(|(_, set)| set)
    }

    /// The number of the value of a class; none if it does not have the attribute.
    pub fn of(&self, class: u32) -> Option<usize> {
        let number = usize::try_from(class).ok().and_then(|class| self.of.get(class)).copied()?;
        usize::from(number).checked_sub(1)
    }

    /// The value of a class; none if it does not have the attribute.
    pub fn value_of(&self, class: u32) -> Option<&str> {
        self.sets.get(self.of(class)?).map(|(value, _)| &**value)
    }

    pub(super) fn insert(&mut self, value: &Arc<str>, class: u32) {
        let known = self.sets.iter().position(|(other, set)| other == value && !set.is_empty());
        let at = known.or_else(|| self.sets.iter().position(|(_, set)| set.is_empty()));
        let at = at.unwrap_or_else(|| {
            self.sets.push((value.clone(), ClassSet::default()));
            self.sets.len() - 1
        });
        let Some((name, set)) = self.sets.get_mut(at) else {
            return;
        };
        name.clone_from(value);
        set.insert(class);
        self.tell(class, u16::try_from(at + 1).unwrap_or(0));
    }

    pub(super) fn remove(&mut self, class: u32) {
        let at = self.of(class);
        if let Some((_, set)) = at.and_then(|at| self.sets.get_mut(at)) {
            set.remove(class);
        }
        self.tell(class, 0);
    }

    fn tell(&mut self, class: u32, number: u16) {
        let Ok(class) = usize::try_from(class) else {
            return;
        };
        if self.of.len() <= class {
            self.of.resize(class + 1, 0);
        }
        self.of[class] = number;
    }
}
