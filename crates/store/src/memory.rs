//! An engine that keeps its records in memory: for tests and simulations. A clone shares them, so a
//! restart is another store over a clone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::Change;

use crate::record;
use crate::{Engine, EngineError, Write};

/// Records in memory, and faults on demand.
#[derive(Clone, Debug, Default)]
pub struct MemoryEngine(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    records: BTreeMap<String, Vec<u8>>,
    revision: u64,
    commits: u64,
    fail_commits: u32,
}

impl MemoryEngine {
    /// Makes the next commits fail, as a full disk would.
    pub fn fail_next_commits(&self, commits: u32) {
        self.lock().fail_commits = commits;
    }

    /// How many commits were made.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for MemoryEngine {
    fn load(&mut self, each: &mut dyn FnMut(Change)) -> Result<u64, EngineError> {
        let inner = self.lock();
        stdx::sharing(|| {
            inner.records.iter().try_for_each(|(key, value)| {
                each(record::decode(key, value)?);
                Ok::<(), EngineError>(())
            })
        })?;
        Ok(inner.revision)
    }

    fn commit(&mut self, revision: u64, writes: &[Write]) -> Result<(), EngineError> {
        let mut inner = self.lock();
        if inner.fail_commits > 0 {
            inner.fail_commits -= 1;
            return Err(EngineError::io("write the commit", "no space left on device (ordered)"));
        }
        for write in writes {
            match &write.value {
                Some(value) => inner.records.insert(write.key.clone(), value.clone()),
                None => inner.records.remove(&write.key),
            };
        }
        inner.revision = revision;
        inner.commits += 1;
        Ok(())
    }
}
