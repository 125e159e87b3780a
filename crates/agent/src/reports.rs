//! Telling the server what becomes of tasks: in order for each task, ten at a time, until it is heard.

use std::sync::Arc;
use std::time::Duration;

use aws::ecs::SubmitTaskStateChangeRequest;
use shell::OsEntropy;
use stdx::Backoff;
use tokio::sync::{Semaphore, watch};

use crate::calls::{Calls, is};

/// So many calls at a time.
const AT_ONCE: usize = 10;

/// Sends reports. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reports {
    calls: Arc<dyn Calls>,
    permits: Arc<Semaphore>,
    /// Grows each time the server is reached again, so that nobody sleeps on.
    reached: watch::Receiver<u64>,
}

impl Reports {
    pub(crate) fn new(calls: Arc<dyn Calls>, reached: watch::Receiver<u64>) -> Self {
        Self { calls, permits: Arc::new(Semaphore::new(AT_ONCE)), reached }
    }

    /// Returns once the server has taken the report, or has said that it never will.
    pub(crate) async fn deliver(&self, request: SubmitTaskStateChangeRequest) {
        let mut refused = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let mut failed = Backoff::new(Duration::from_millis(100), Duration::from_secs(300));
        let mut reached = self.reached.clone();
        let mut told = false;
        loop {
            reached.mark_unchanged();
            let result = {
                let permit = self.permits.acquire().await;
                debug_assert!(permit.is_ok(), "the semaphore is never closed");
                self.calls.report(request.clone()).await
            };
            let Err(error) = result else { return };
            let task = request.task.as_deref().unwrap_or_default();
            let text = stdx::chain(&error);
            if is(&error, "InvalidParameterException") {
                tracing::error!(
                    task,
                    error = text,
                    "The server will never take a report; it is dropped."
                );
                return;
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(
                    task,
                    error = text,
                    "The server has not taken a report; it is repeated."
                );
            }
            let delay = if is(&error, "ClientException") {
                refused.delay(&mut OsEntropy)
            } else {
                failed.delay(&mut OsEntropy)
            };
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                changed = reached.changed() => if changed.is_err() {
                    // The agent is going down; what is not told is told by the next.
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }
}
