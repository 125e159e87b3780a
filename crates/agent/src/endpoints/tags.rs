//! Tags of tasks and of the instance, asked of the server and remembered for a moment: a task may
//! ask forty times a second.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws::{ClientError, TransportError};
use stdx::Timestamp;
use tokio::time::timeout;

use super::server::Server;

/// So long what was answered is told again.
const MEMORY: Duration = Duration::from_secs(10);
/// The server is waited for so long.
const PATIENCE: Duration = Duration::from_secs(4);

type Remembered = BTreeMap<String, (BTreeMap<String, String>, Timestamp)>;

/// The tags that were lately asked for.
#[derive(Debug, Default)]
pub(super) struct Tags(Mutex<Remembered>);

impl Tags {
    /// The tags of a resource. A failure is not remembered.
    pub(super) async fn of(
        &self,
        arn: &str,
        server: &dyn Server,
        now: Timestamp,
    ) -> Result<BTreeMap<String, String>, ClientError> {
        let known = {
            let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            remembered.retain(|_, (_, at)| now.since(*at) < MEMORY);
            remembered.get(arn).map(|(tags, _)| tags.clone())
        };
        if let Some(tags) = known {
            return Ok(tags);
        }
        let Ok(answer) = timeout(PATIENCE, server.tags(arn)).await else {
            let attempt = format!("the server did not answer in {} s", PATIENCE.as_secs());
            let source = TransportError::message(attempt);
            return Err(ClientError::Transport { operation: "ListTagsForResource", source });
        };
        let tags: BTreeMap<String, String> = answer?
            .into_iter()
            .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
            .collect();
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.insert(arn.to_owned(), (tags.clone(), now));
        Ok(tags)
    }
}
