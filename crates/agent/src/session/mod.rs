//! The two websockets to the server, kept open.
//!
//! Timers and back-off are the ECS agent's own: a session that hears nothing for 60 to 120 s is
//! given up, one ends by itself after 30 to 35 minutes, and how it ended decides how soon the next
//! begins.

mod acs;
mod socket;
mod tcs;

use std::sync::Arc;
use std::time::Duration;

use aws::ecs::DiscoverPollEndpointRequest;
use shell::OsEntropy;
use stdx::{Backoff, Entropy, Timestamp};
use tokio::sync::{Mutex, watch};

pub(crate) use self::acs::keep as keep_acs;
pub(crate) use self::socket::Socket;
pub(crate) use self::tcs::keep as keep_tcs;

use crate::config::AgentConfig;
use crate::node::Node;
use crate::registration::Instance;

/// Endpoints are kept for so long.
const ENDPOINT_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// A session hears something recognised within this time, and up to so much more by chance.
const SILENCE: Duration = Duration::from_secs(60);
/// A session lasts for so long.
const LIFE: Duration = Duration::from_secs(30 * 60);
/// … and up to so much more by chance.
const LIFE_JITTER: Duration = Duration::from_secs(5 * 60);
/// A server that says that the instance is deregistered is left alone for so long.
const INACTIVE: Duration = Duration::from_secs(60 * 60);
/// A session that did not last for so long is not begun again at once, however it ended.
const LASTING: Duration = Duration::from_secs(1);

/// What both sessions need.
pub(crate) struct Link {
    pub(crate) config: AgentConfig,
    pub(crate) instance: Instance,
    pub(crate) node: Arc<Node>,
    endpoints: Mutex<Option<(Endpoints, Timestamp)>>,
    /// Grows each time the server is reached again.
    pub(crate) reached: watch::Sender<u64>,
}

#[derive(Clone, Debug)]
struct Endpoints {
    acs: String,
    tcs: String,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The server closed it with this code, or the connection broke (no code).
    Closed(Option<u16>),
    /// Nothing was heard.
    Silent,
    /// It was old.
    Expired,
    /// It did not begin.
    Failed,
    /// It did not begin: the instance is deregistered.
    Inactive,
}

impl Link {
    pub(crate) fn new(
        config: AgentConfig,
        instance: Instance,
        node: Arc<Node>,
        reached: watch::Sender<u64>,
    ) -> Self {
        Self { config, instance, node, endpoints: Mutex::new(None), reached }
    }

    /// The base URLs of both services, asked for once in 12 hours.
    async fn endpoints(&self) -> Option<Endpoints> {
        let mut kept = self.endpoints.lock().await;
        let now = self.config.clock.now();
        if let Some((endpoints, until)) = kept.as_ref()
            && *until > now
        {
            return Some(endpoints.clone());
        }
        let request = DiscoverPollEndpointRequest {
            cluster: Some(self.config.cluster.clone()),
            container_instance: Some(self.instance.arn.clone()),
        };
        match self.node.context().calls.discover(request).await {
            Ok(answer) => {
                let endpoints =
                    Endpoints { acs: answer.endpoint?, tcs: answer.telemetry_endpoint? };
                *kept = Some((endpoints.clone(), now + ENDPOINT_LIFE));
                Some(endpoints)
            }
            Err(error) => {
                let error = stdx::chain(&error);
                tracing::warn!(error, "The server has not told where its agents connect.");
                None
            }
        }
    }
}

/// How long to wait before the next session.
fn pause(end: End, lived: Duration, backoff: &mut Backoff, chance: &mut dyn Entropy) -> Duration {
    if lived >= LASTING {
        backoff.reset();
        if matches!(end, End::Closed(None | Some(1000 | 1001 | 1006 | 1011)) | End::Expired) {
            return Duration::ZERO;
        }
    }
    match end {
        End::Inactive => INACTIVE,
        _ => backoff.delay(chance),
    }
}

/// A time between `least` and `jitter` more.
fn about(least: Duration, jitter: Duration) -> Duration {
    let millis = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX);
    least + Duration::from_millis(OsEntropy.below(millis.saturating_add(1)))
}

/// Opens a signed websocket for a session of ExecuteCommand.
///
/// # Errors
/// The status with which the server refused it, if it did; why is told to the log.
pub(crate) async fn open_exec(link: &Link, url: &str) -> Result<Socket, Option<u16>> {
    let config = &link.config;
    socket::open_exec(url, config.signer.as_ref(), config.clock.as_ref()).await
}

/// Opens a session; whether the server says that the instance is deregistered.
#[cfg(test)]
pub(crate) async fn open_for_test(url: &str, signer: &dyn crate::config::Signer) -> bool {
    let opened = socket::open(url, signer, &shell::SystemClock).await;
    matches!(opened, Err(End::Inactive))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stdx::SeededEntropy;

    #[test]
    fn the_end_of_a_session_decides_how_soon_the_next_begins() {
        let long = Duration::from_secs(10);
        let mut chance = SeededEntropy::new(1);
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(120));
        let mut wait = |end, lived| pause(end, lived, &mut backoff, &mut chance);
        for end in
            [End::Closed(None), End::Closed(Some(1000)), End::Closed(Some(1011)), End::Expired]
        {
            assert_eq!(wait(end, long), Duration::ZERO, "{end:?}");
        }
        for end in [End::Closed(Some(1008)), End::Silent, End::Failed] {
            let waited = wait(end, long);
            assert!(waited >= Duration::from_millis(200), "{end:?}: {waited:?}");
            assert!(waited <= Duration::from_millis(250), "{end:?}: {waited:?}");
        }
        assert_eq!(wait(End::Inactive, Duration::ZERO), INACTIVE);
        // A server that closes at once is not asked in a loop.
        let first = wait(End::Closed(None), Duration::ZERO);
        let second = wait(End::Closed(None), Duration::ZERO);
        assert!(first > Duration::ZERO && second > first);
    }
}
