//! Making a container's log stream, and sending what its log holds.

use std::sync::Arc;
use std::time::Duration;

use aws::ClientError;
use aws::logs::PutLogEventsRequest;
use regex_lite::Regex;
use runtime::log::LogPosition;
use shell::OsEntropy;
use stdx::Backoff;
use tokio::sync::watch;

use super::{Batch, Tail};
use crate::calls::{Calls, is};
use crate::plan::AwsLogs;
use crate::record::{Recorder, log_file};
use crate::roles::Roles;

/// How often a log is looked at while it grows, and when nothing has come for [`QUIET`]: no line is
/// older than that when it is sent.
const LOOK: Duration = Duration::from_millis(50);
const RARE_LOOK: Duration = Duration::from_millis(200);
/// A multi-line event is whole when no line has come for so long.
const QUIET: Duration = Duration::from_secs(1);
/// A container's log is at its end when it is over and nothing has come for so long, even if nobody
/// lived to mark the end.
const SILENT: Duration = Duration::from_secs(2);
/// So often a stream is tried to be made before the container fails to start.
const TRIES: u32 = 4;

/// Makes a container's log stream, and its group if that is asked for. What is there is fine.
///
/// # Errors
/// Why it could not be made, in ECS's words.
pub(crate) async fn prepare(calls: &dyn Calls, logs: &AwsLogs) -> Result<(), String> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let mut tries = 1;
    loop {
        match make(calls, logs).await {
            Ok(()) => return Ok(()),
            Err(error) if error.retryable() && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
            }
            Err(error) => {
                return Err(format!(
                    "ResourceInitializationError: failed to validate logger args: create stream {} \
                     in log group {} has been tried {tries} times: failed to create Cloudwatch log \
                     stream: {}",
                    logs.stream,
                    logs.group,
                    stdx::chain(&error)
                ));
            }
        }
    }
}

async fn make(calls: &dyn Calls, logs: &AwsLogs) -> Result<(), ClientError> {
    match there(calls.create_log_stream(&logs.group, &logs.stream).await) {
        Err(error) if logs.create_group && is(&error, "ResourceNotFoundException") => {
            there(calls.create_log_group(&logs.group).await)?;
            there(calls.create_log_stream(&logs.group, &logs.stream).await)
        }
        other => other,
    }
}

fn there(result: Result<(), ClientError>) -> Result<(), ClientError> {
    match result {
        Err(error) if is(&error, "ResourceAlreadyExistsException") => Ok(()),
        other => other,
    }
}

/// The execution role that a container's log is sent as.
#[derive(Clone)]
pub(crate) struct ShipAs {
    pub(crate) roles: Roles,
    /// The id of its credentials.
    pub(crate) credentials_id: String,
}

/// Sends one container's log.
pub(crate) struct Shipper {
    /// As the node.
    pub(crate) calls: Arc<dyn Calls>,
    /// As the task's execution role, while it has one.
    pub(crate) role: Option<ShipAs>,
    pub(crate) recorder: Recorder,
    /// The container's runtime id, which names the record of the place reached.
    pub(crate) container: String,
    pub(crate) logs: AwsLogs,
    /// Becomes true when the container is over for good.
    pub(crate) over: watch::Receiver<bool>,
}

impl Shipper {
    /// The place up to which the log has been sent.
    pub(crate) fn start(recorder: &Recorder, container: &str) -> LogPosition {
        recorder.read(&log_file(container)).unwrap_or_default()
    }

    /// Sends until the container is over and all of its log is sent.
    pub(crate) async fn run(mut self, mut tail: Box<dyn Tail>) {
        let starts = self.logs.multiline.as_deref().and_then(|pattern| Regex::new(pattern).ok());
        let mut batch = Batch::new(starts);
        // Since the last entry.
        let mut idle = Duration::ZERO;
        loop {
            let over = *self.over.borrow();
            let mut at_end = false;
            match self.read(tail.as_mut(), &mut batch) {
                Ok(true) => idle = Duration::ZERO,
                // Read after the container was known to be over, and found at its end.
                Ok(false) => at_end = over && (tail.is_finished() || idle >= SILENT),
                Err(error) => {
                    let container = &self.container;
                    tracing::error!(container, %error, "A container's log cannot be read further.");
                    batch.finish();
                    self.send(&mut batch, tail.position()).await;
                    return;
                }
            }
            if at_end {
                batch.finish();
            } else if batch.is_waiting() && idle >= QUIET {
                batch.end_event();
            }
            let full = batch.is_full();
            self.send(&mut batch, tail.position()).await;
            if at_end {
                return;
            }
            if !full {
                let pause = if idle < QUIET { LOOK } else { RARE_LOOK };
                self.pause(pause).await;
                idle += pause;
            }
        }
    }

    /// Reads what is there, as far as the batch can hold it; whether there was anything.
    fn read(&self, tail: &mut dyn Tail, batch: &mut Batch) -> std::io::Result<bool> {
        let mut any = false;
        while !batch.is_full() {
            let from = tail.position();
            let Some(entry) = tail.next_entry()? else { break };
            any = true;
            batch.push(entry, from);
        }
        Ok(any)
    }

    /// Waits for so long, or until the container is over.
    async fn pause(&mut self, pause: Duration) {
        if *self.over.borrow_and_update() {
            tokio::time::sleep(pause).await;
            return;
        }
        let over = async {
            if self.over.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        drop(tokio::time::timeout(pause, over).await);
    }

    /// Sends a batch until it is taken, and records the place.
    async fn send(&self, batch: &mut Batch, read: LogPosition) {
        if batch.is_empty() {
            return;
        }
        for events in batch.take() {
            let request = PutLogEventsRequest {
                log_group_name: Some(self.logs.group.clone()),
                log_stream_name: Some(self.logs.stream.clone()),
                log_events: Some(events),
                ..Default::default()
            };
            self.put(request).await;
        }
        self.recorder.write(&log_file(&self.container), &batch.safe_position(read));
    }

    async fn put(&self, request: PutLogEventsRequest) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let mut told = false;
        // What a task wrote while it ran is sent by the node itself once its role has ended.
        let mut as_node = false;
        loop {
            let role = self.role.as_ref().filter(|_| !as_node);
            let role = role.and_then(|role| role.roles.get(&role.credentials_id));
            let calls = match &role {
                Some(role) => self.calls.with(role),
                None => Arc::clone(&self.calls),
            };
            match calls.put_log_events(request.clone()).await {
                Ok(_) => return,
                Err(error) if role.is_some() && has_ended(&error) => as_node = true,
                // Somebody deleted it; Docker's driver makes it again too.
                Err(error) if is(&error, "ResourceNotFoundException") => {
                    if make(calls.as_ref(), &self.logs).await.is_err() {
                        tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
                    }
                }
                Err(error) => {
                    let (container, text) = (&self.container, stdx::chain(&error));
                    let refused = is(&error, "InvalidParameterException")
                        || (is(&error, "AccessDeniedException") && *self.over.borrow());
                    if !error.retryable() && refused {
                        tracing::error!(
                            container,
                            error = text,
                            "Log events were refused; they are dropped."
                        );
                        return;
                    }
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(
                            container,
                            error = text,
                            "Log events cannot be sent; they wait."
                        );
                    }
                    tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
                }
            }
        }
    }
}

/// Whether credentials are refused because their time is over.
fn has_ended(error: &ClientError) -> bool {
    ["ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId"]
        .iter()
        .any(|code| is(error, code))
}
