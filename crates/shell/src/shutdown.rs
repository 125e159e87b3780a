//! Orderly shutdown: one trigger, many listeners.

use tokio::sync::watch;

/// Tells every [`Shutdown`] that it is time to stop. Dropping it tells them too.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

/// Resolves when it is time to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and its listener.
pub fn shutdown() -> (ShutdownTrigger, Shutdown) {
    let (tx, rx) = watch::channel(false);
    (ShutdownTrigger(tx), Shutdown(rx))
}

impl ShutdownTrigger {
    /// Tells every listener to stop.
    pub fn fire(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Waits for the order to stop. Safe to cancel.
    pub async fn wait(&mut self) {
        // An error means that the trigger is gone, which is the order as well.
        drop(self.0.wait_for(|stop| *stop).await);
    }

    /// Whether the order has been given.
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_listener_hears_it_and_a_lost_trigger_counts() {
        let (trigger, mut one) = shutdown();
        let mut two = one.clone();
        assert!(!one.is_stopping());
        trigger.fire();
        one.wait().await;
        two.wait().await;
        assert!(two.is_stopping());

        let (trigger, mut lost) = shutdown();
        drop(trigger);
        lost.wait().await;
        assert!(lost.is_stopping());
    }
}
