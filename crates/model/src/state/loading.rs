//! A state made at once of its records, which is much less work than to apply them one by one: what is
//! sorted is put together, and each fold is made once.

use std::sync::Arc;

use super::State;
use crate::index::TaskIndex;
use crate::tasks::Tasks;
use crate::{Change, Realm, Task, TaskFacts, TaskKey, TaskProgress, packed};

/// A state in the making. What comes out is what [`State::apply`] would have made of the same changes,
/// whatever they are and in whichever order they come; that they are records of tasks that stand in the
/// order of their keys is only what makes it quick.
#[derive(Debug)]
pub struct Loading {
    state: State,
    facts: Vec<Arc<TaskFacts>>,
    progress: Vec<(TaskKey, Arc<TaskProgress>)>,
}

impl Loading {
    /// A state of this realm that is to be loaded.
    pub fn new(realm: Realm) -> Self {
        Self { state: State::new(realm), facts: Vec::new(), progress: Vec::new() }
    }

    /// Takes a change in.
    pub fn take(&mut self, change: Change) {
        match change {
            Change::PutTask(facts) => self.facts.push(facts),
            Change::PutProgress(key, progress) => self.progress.push((key, progress)),
            Change::DeleteTask(_) => {
                // No record: it ends what came before it, so that has to be there.
                self.settle();
                self.state.apply(&change);
            }
            other => self.state.apply(&other),
        }
    }

    /// The state that all of it makes.
    pub fn finish(mut self) -> State {
        self.settle();
        self.state
    }

    /// Puts the tasks that were gathered into the state.
    fn settle(&mut self) {
        let facts = std::mem::take(&mut self.facts);
        let progress = std::mem::take(&mut self.progress);
        if facts.is_empty() && progress.is_empty() {
            return;
        }
        if self.state.tasks.is_empty() && self.state.early.is_empty() {
            self.settle_all(facts, progress);
            return;
        }
        for facts in facts {
            self.state.put_task(&facts);
        }
        for (key, progress) in progress {
            self.state.put_progress(&key, &progress);
        }
    }

    /// The same, of a state that has no task.
    fn settle_all(
        &mut self,
        mut facts: Vec<Arc<TaskFacts>>,
        mut progress: Vec<(TaskKey, Arc<TaskProgress>)>,
    ) {
        // Both sorts leave alone what is in order, and keep the order of what is told twice.
        facts.sort_by(|one, other| one.key.cmp(&other.key));
        progress.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut progress = progress.into_iter().peekable();
        let mut tasks: Vec<Task> = Vec::with_capacity(facts.len());
        for facts in facts {
            if let Some(last) = tasks.last_mut().filter(|task| task.facts.key == facts.key) {
                last.facts = facts;
                continue;
            }
            while let Some((key, early)) = progress.next_if(|(key, _)| *key < facts.key) {
                self.state.early.insert(key, early);
            }
            let mut last = None;
            while let Some((_, progress)) = progress.next_if(|(key, _)| *key == facts.key) {
                last = Some(progress);
            }
            let progress = last.unwrap_or_else(|| Arc::new(TaskProgress::first(&facts)));
            tasks.push(Task { facts, progress });
        }
        self.state.early.extend(progress);
        self.state.tasks = by_cluster(tasks);
        self.state.index = TaskIndex::of(&self.state.tasks);
        self.state.settle_fleets();
    }
}

/// Tasks in the order of their keys, cluster by cluster.
fn by_cluster(tasks: Vec<Task>) -> Tasks {
    let mut clusters = Vec::new();
    let mut tasks = tasks.into_iter().peekable();
    while let Some(first) = tasks.next() {
        let cluster = first.facts.cluster().clone();
        let mut here = vec![(first.facts.key.task.clone(), first)];
        while let Some(task) = tasks.next_if(|task| *task.facts.cluster() == cluster) {
            here.push((task.facts.key.task.clone(), task));
        }
        clusters.push((cluster, packed::map(here)));
    }
    Tasks::of(clusters)
}
