//! Which agents are connected, and who is told when a task of theirs changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws::agent::acs::ExecuteCommandMessage;
use model::{Change, InstanceKey, State, TaskKey};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use crate::Control;

/// What a session is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nudge {
    /// A task of its instance may need to be sent.
    Task(TaskKey),
    /// A session of ExecuteCommand is to be opened.
    Execute(ExecuteCommandMessage),
    /// Anything may have changed.
    Everything,
    /// The instance is gone.
    Deregistered,
    /// Another session of the same instance has begun: this one ends quietly.
    Superseded,
}

/// The sessions by instance; the newest one of an instance counts.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    open: BTreeMap<InstanceKey, (u64, mpsc::UnboundedSender<Nudge>)>,
}

impl Sessions {
    /// Begins a session; an older one of the same instance is told to end.
    pub(crate) fn begin(&self, key: &InstanceKey) -> (u64, mpsc::UnboundedReceiver<Nudge>) {
        let (nudge, nudged) = mpsc::unbounded_channel();
        let mut inner = self.lock();
        inner.next += 1;
        let number = inner.next;
        if let Some((_, older)) = inner.open.insert(key.clone(), (number, nudge)) {
            tell(&older, Nudge::Superseded);
        }
        (number, nudged)
    }

    /// Ends a session; tells whether it was the instance's newest, so that the agent is now away.
    pub(crate) fn end(&self, key: &InstanceKey, number: u64) -> bool {
        let mut inner = self.lock();
        let newest = inner.open.get(key).is_some_and(|(open, _)| *open == number);
        if newest {
            inner.open.remove(key);
        }
        newest
    }

    /// Whether an instance has a session.
    pub(crate) fn is_open(&self, key: &InstanceKey) -> bool {
        self.lock().open.contains_key(key)
    }

    /// Tells one session; whether there is one.
    fn ask(&self, key: &InstanceKey, what: Nudge) -> bool {
        self.lock().open.get(key).is_some_and(|(_, session)| session.send(what).is_ok())
    }

    fn nudge(&self, key: &InstanceKey, what: Nudge) {
        if let Some((_, session)) = self.lock().open.get(key) {
            tell(session, what);
        }
    }

    fn nudge_all(&self) {
        for (_, session) in self.lock().open.values() {
            tell(session, Nudge::Everything);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connected agents, for who has something to ask of one.
#[derive(Clone, Debug)]
pub struct Agents(pub(crate) Arc<Sessions>);

impl Agents {
    /// Asks an instance's agent to open a session of ExecuteCommand; false if it is not connected.
    pub fn execute(&self, key: &InstanceKey, message: ExecuteCommandMessage) -> bool {
        self.0.ask(key, Nudge::Execute(message))
    }
}

/// A session that has ended meanwhile needs no telling.
fn tell(session: &mpsc::UnboundedSender<Nudge>, what: Nudge) {
    drop(session.send(what));
}

/// Tells each session what concerns it, until shutdown.
pub(crate) async fn route(control: Control) {
    let mut changes = control.store.changes();
    let mut shutdown = control.shutdown.clone();
    loop {
        let received = tokio::select! {
            () = shutdown.wait() => return,
            received = changes.recv() => received,
        };
        match received {
            Ok(batch) => {
                let state = control.store.snapshot();
                for change in &batch.changes {
                    if let Some((key, what)) = concerns(&state, change) {
                        control.sessions.nudge(&key, what);
                    }
                }
            }
            Err(RecvError::Lagged(_)) => control.sessions.nudge_all(),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Which instance's agent a change concerns, and what its session is to be told.
pub fn concerns(state: &State, change: &Change) -> Option<(InstanceKey, Nudge)> {
    match change {
        Change::PutTask(facts) => Some((facts.instance_key()?, Nudge::Task(facts.key.clone()))),
        Change::PutProgress(key, _) => {
            Some((state.task(key)?.facts.instance_key()?, Nudge::Task(key.clone())))
        }
        Change::DeleteInstance(key) => Some((key.clone(), Nudge::Deregistered)),
        Change::PutCluster(_)
        | Change::DeleteCluster(_)
        | Change::PutDefinition(_)
        | Change::DeleteDefinition(_)
        | Change::PutInstance(_)
        | Change::PutService(_)
        | Change::DeleteService(_)
        | Change::PutEvent(..)
        | Change::DeleteTask(_)
        | Change::PutToken(_)
        | Change::DeleteToken(_)
        | Change::PutRole(_)
        | Change::DeleteRole(_)
        | Change::PutPolicy(_)
        | Change::DeletePolicy(_)
        | Change::Balancing(_)
        | Change::Scaling(_)
        | Change::Deployment(_)
        | Change::Bus(_)
        | Change::Setting(_)
        | Change::Capacity(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_session_of_an_instance_counts() {
        let sessions = Sessions::default();
        let key = InstanceKey { cluster: "c".into(), instance: "i".into() };
        let (first, mut told) = sessions.begin(&key);
        let (second, mut told_second) = sessions.begin(&key);
        assert_eq!(told.try_recv(), Ok(Nudge::Superseded));
        sessions.nudge_all();
        assert_eq!(told_second.try_recv(), Ok(Nudge::Everything));
        assert!(told.try_recv().is_err());
        assert!(!sessions.end(&key, first), "the older one's end says nothing of the agent");
        assert!(sessions.end(&key, second));
    }
}
