//! What happens to tasks, instances and services becomes events on the bus, and rules that are due
//! become events too.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwe_events.html>
//!
//! Events are derived from what the store has published: nobody else emits any. How far each task,
//! instance and service has been told of is a cursor in the bus's outbox, moved in the transaction that
//! takes the events which a rule delivers, and within seconds otherwise. So after a crash, or when batches
//! came faster than they could be followed, what is true now is compared with the cursors: of each thing
//! the newest state is told, and only states in between are left out. An event that is told twice has the
//! same id.
//!
//! Nobody waits for events, so they give way: what is behind is told with pauses, and of each task only
//! the newest state.

mod cursors;
mod derive;
mod render;
mod rules;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use events::Bus;
use model::{Instance, State, Task};
use serde_json::Value;
use shell::{Clock, Shutdown};
use store::{Batch, Store};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior};

use derive::Teller;

pub use rules::StateRules;

/// Changes that come within this are told together, in one transaction.
const TOGETHER: Duration = Duration::from_millis(50);
/// So many events are published at once.
const MOST: usize = 500;
/// After a failure of the bus.
const PAUSE: Duration = Duration::from_secs(1);
/// So often it is made durable how far everything has been told of, if no delivery does so before.
const SAVE: Duration = Duration::from_secs(5);

/// Describes what events are about, as ECS's own operations do.
pub trait Describe: Send + Sync + Debug {
    /// A task as DescribeTasks shows it, without its tags.
    fn task(&self, state: &State, task: &Task) -> Value;
    /// A container instance as DescribeContainerInstances shows it, without its tags.
    fn instance(&self, state: &State, instance: &Instance) -> Value;
}

/// What tells events.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What happens.
    pub store: Store,
    /// Where it is told.
    pub bus: Bus,
    /// How.
    pub describe: Arc<dyn Describe>,
    /// When.
    pub clock: Arc<dyn Clock>,
}

/// Runs until shutdown: `cursors` are those of the bus's outbox.
pub async fn run(parts: Parts, cursors: BTreeMap<String, u64>, mut shutdown: Shutdown) {
    tokio::spawn(schedule::run(parts.store.clone(), parts.store.clock(), shutdown.clone()));
    let mut changes = parts.store.changes();
    let mut last = parts.store.revision();
    // With a million tasks it takes a moment, and requests come meanwhile.
    let beginning = tokio::task::spawn_blocking({
        let parts = parts.clone();
        move || {
            let state = parts.store.snapshot();
            let mut teller = Teller::new(cursors, &state);
            teller.catch_up(&parts, &state);
            teller
        }
    });
    let Ok(mut teller) = beginning.await else { return };
    let mut saves = tokio::time::interval(SAVE);
    saves.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let begun = Instant::now();
        if !tell(&parts, &mut teller, &mut shutdown).await {
            break;
        }
        let mut batches = Vec::new();
        let mut lagged = false;
        if teller.backlog() == 0 {
            tokio::select! {
                () = shutdown.wait() => break,
                _ = saves.tick() => save(&parts).await,
                batch = changes.recv() => match batch {
                    Ok(batch) => batches.push(batch),
                    Err(RecvError::Lagged(_)) => lagged = true,
                    Err(RecvError::Closed) => break,
                },
            }
            tokio::time::sleep(TOGETHER).await;
        } else if teller.backlog() > derive::BEHIND {
            tokio::time::sleep(begun.elapsed()).await;
        }
        lagged |= drain(&mut changes, &mut batches);
        // First the number: the state is at least as new.
        let revision = parts.store.revision();
        let state = parts.store.snapshot();
        if lagged {
            tracing::debug!("Changes came faster than they were told; the newest states are told.");
            teller.catch_up(&parts, &state);
            last = revision;
        }
        for batch in batches.iter().filter(|batch| batch.revision > last) {
            teller.batch(&parts, &state, &batch.changes);
        }
    }
    save(&parts).await;
}

/// Makes durable how far everything has been told of.
async fn save(parts: &Parts) {
    if let Err(error) = parts.bus.save().await {
        let error = stdx::chain(&error);
        tracing::error!(error, "How far events have been told is not written; it is tried again.");
    }
}

/// Takes what is there, and tells whether something was missed.
fn drain(changes: &mut Receiver<Arc<Batch>>, batches: &mut Vec<Arc<Batch>>) -> bool {
    let mut lagged = false;
    while batches.len() < MOST {
        match changes.try_recv() {
            Ok(batch) => batches.push(batch),
            Err(tokio::sync::broadcast::error::TryRecvError::Lagged(_)) => lagged = true,
            Err(_) => break,
        }
    }
    lagged
}

/// Publishes some of what is to be told; false if shutdown comes first.
async fn tell(parts: &Parts, teller: &mut Teller, shutdown: &mut Shutdown) -> bool {
    let taken = teller.take(parts, &parts.store.snapshot(), MOST);
    if let Some((events, cursors)) = taken {
        loop {
            match parts.bus.publish(&events, cursors.clone()).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::error!(error = %stdx::chain(&error), "Events could not be published; it is tried again.");
                }
            }
            tokio::select! {
                () = shutdown.wait() => return false,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
    true
}
