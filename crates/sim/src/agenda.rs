//! What happens when: virtual time moves only from one entry to the next.

use std::collections::BTreeMap;
use std::time::Duration;

use stdx::Timestamp;

/// Things to come, by instant and then in the order in which they were entered.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    now: Timestamp,
    entries: BTreeMap<(Timestamp, u64), T>,
    entered: u64,
}

impl<T> Agenda<T> {
    /// Nothing to come.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { now, entries: BTreeMap::new(), entered: 0 }
    }

    /// The present instant, by a clock that nobody sets.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Enters something that happens after so long.
    pub(crate) fn after(&mut self, delay: Duration, what: T) {
        self.at(self.now + delay, what);
    }

    /// Enters something that happens at an instant; what is past happens next.
    pub(crate) fn at(&mut self, at: Timestamp, what: T) {
        self.entered += 1;
        self.entries.insert((at.max(self.now), self.entered), what);
    }

    /// What happens next, if that is not after `end`; the present is then that instant.
    pub(crate) fn next(&mut self, end: Timestamp) -> Option<T> {
        let first = self.entries.first_entry()?;
        let at = first.key().0;
        if at > end {
            return None;
        }
        self.now = at;
        Some(first.remove())
    }

    /// Lets the rest of the time until `end` pass.
    pub(crate) fn pass(&mut self, end: Timestamp) {
        self.now = self.now.max(end);
    }
}
