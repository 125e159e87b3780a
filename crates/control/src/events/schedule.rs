//! The schedules of rules: while any is enabled, wait until it is due and have it fired, once.

use std::sync::Arc;
use std::time::Duration;

use scheduler::{Command, Rejection};
use shell::{Clock, Shutdown};
use store::{Store, SubmitError};

/// It is looked again after so long at the latest.
const TICK: Duration = Duration::from_secs(30);
/// Between two looks at least.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs until shutdown.
pub(super) async fn run(store: Store, clock: Arc<dyn Clock>, mut shutdown: Shutdown) {
    let mut changed = store.subscribe();
    loop {
        changed.mark_unchanged();
        let state = store.snapshot();
        let now = clock.now();
        let (commands, next) = scheduler::bus::watch(&state, now);
        for command in commands {
            match store.submit(Command::Bus(command)).await {
                Ok(_) | Err(SubmitError::Rejected(Rejection::Stale)) => {}
                Err(error) => tracing::error!(%error, "A rule could not be fired."),
            }
        }
        let wait = next.map_or(TICK, |at| at.since(now)).clamp(PAUSE, TICK);
        let due = tokio::time::sleep(wait);
        tokio::pin!(due);
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = &mut due => break,
                gone = changed.changed() => {
                    if gone.is_err() {
                        return;
                    }
                    changed.mark_unchanged();
                    // Only other rules change what is waited for.
                    if !store.snapshot().bus().same_rules(state.bus()) {
                        break;
                    }
                }
            }
        }
    }
}
