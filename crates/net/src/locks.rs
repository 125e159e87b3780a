//! One operation at a time for each attachment, any number for different ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Waiters = Arc<Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>>;

/// Locks by name. A name costs memory only while somebody holds or awaits it.
#[derive(Debug, Default)]
pub(crate) struct Locks(Waiters);

/// The right to work on one name, until dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    name: String,
    held: Option<OwnedMutexGuard<()>>,
    waiters: Waiters,
}

impl Locks {
    /// Waits until nobody else works on `name`.
    pub(crate) async fn turn(&self, name: &str) -> Turn {
        let lock = {
            let mut waiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(waiters.entry(name.to_owned()).or_default())
        };
        // Made before the wait, so that a caller who gives up leaves nothing behind either.
        let mut turn = Turn { name: name.to_owned(), held: None, waiters: Arc::clone(&self.0) };
        turn.held = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        // One reference is the map's own; others are waiting. New ones need the map's lock.
        if waiters.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            waiters.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_exclude_themselves_only_and_leave_nothing_behind() {
        let locks = Locks::default();
        let a = locks.turn("a").await;
        let b = locks.turn("b").await;
        let mut again = Box::pin(locks.turn("a"));
        assert!(futures_util::poll!(&mut again).is_pending());
        drop(a);
        let a = again.await;
        let mut given_up = Box::pin(locks.turn("a"));
        assert!(futures_util::poll!(&mut given_up).is_pending());
        drop((a, b));
        drop(given_up);
        assert!(locks.0.lock().unwrap().is_empty());
    }
}
