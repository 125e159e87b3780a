//! What each task uses now, as it was last told.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{State, TaskKey, TaskStatus};
use stdx::Timestamp;

use super::report::Usage;

/// What was told longer ago is no longer so: three rounds of the stock agent.
const FRESH: Duration = Duration::from_secs(65);

/// Usage by task.
#[derive(Debug, Default)]
pub(crate) struct Book {
    tasks: BTreeMap<TaskKey, (Usage, Timestamp)>,
    /// Whether anything was told since the last look.
    news: bool,
}

impl Book {
    /// Notes what a task uses.
    pub(crate) fn put(&mut self, key: TaskKey, usage: Usage, at: Timestamp) {
        self.tasks.insert(key, (usage, at));
        self.news = true;
    }

    /// Whether anything was told since this was asked last.
    pub(crate) const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.news, false)
    }

    /// Forgets tasks that no longer run or are no longer told of.
    pub(crate) fn retain(&mut self, state: &State, now: Timestamp) {
        self.tasks.retain(|key, (_, at)| {
            now.since(*at) <= FRESH
                && state.task(key).is_some_and(|task| task.progress.status == TaskStatus::Running)
        });
    }

    /// What every task uses, in the order of clusters.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&TaskKey, &Usage)> {
        self.tasks.iter().map(|(key, (usage, _))| (key, usage))
    }
}
