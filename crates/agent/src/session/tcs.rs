//! The telemetry service: metrics, health and the instance's status out, acknowledgements in.

use std::sync::Arc;
use std::time::Duration;

use aws::agent::tcs::{AgentMessage, ConnectQuery, Frame, ServerMessage};
use futures_util::StreamExt;
use shell::{OsEntropy, Shutdown};
use stdx::{Backoff, Entropy, Timestamp};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::socket::{self, Socket};
use super::{End, LIFE, LIFE_JITTER, Link, SILENCE, about, pause};
use crate::metrics::{self, Samples, Whose};
use crate::task::{Status, TaskView};

/// Between two reports of health and of the instance's status, as the ECS agent has it.
const ROUND: Duration = Duration::from_secs(20);
/// Between two looks at what containers use, and reports of it, at the least and at the most.
const SOONEST: u64 = 1;
const LATEST: u64 = 20;
/// So many tasks are looked at in a second: more of them are looked at less often.
const TASKS_A_SECOND: usize = 10;

struct Tcs {
    link: Arc<Link>,
    whose: Whose,
    samples: Samples,
    verdicts: watch::Receiver<u64>,
    /// Whether the container runtime answers, since when.
    well: (bool, Timestamp),
}

/// Keeps a session open until the agent goes down.
pub(crate) async fn keep(link: Arc<Link>, mut shutdown: Shutdown) {
    let whose = Whose { cluster: link.config.cluster.clone(), instance: link.instance.arn.clone() };
    let verdicts = link.node.context().board.health_changes();
    let well = (true, link.config.clock.now());
    let mut tcs = Tcs { link, whose, samples: Samples::default(), verdicts, well };
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    loop {
        let began = tcs.link.config.clock.now();
        let end = tokio::select! {
            end = tcs.session() => end,
            () = shutdown.wait() => return,
        };
        let lived = tcs.link.config.clock.now().since(began);
        let wait = match end {
            // As the ECS agent: telemetry is asked for again soon.
            End::Inactive => backoff.delay(&mut OsEntropy),
            end => pause(end, lived, &mut backoff, &mut OsEntropy),
        };
        tracing::debug!(?end, ?wait, "The session for telemetry has ended.");
        tokio::select! {
            () = sleep(wait) => {}
            () = shutdown.wait() => return,
        }
    }
}

impl Tcs {
    async fn session(&mut self) -> End {
        let Some(endpoints) = self.link.endpoints().await else { return End::Failed };
        let config = &self.link.config;
        let query = ConnectQuery {
            agent_hash: config.hash.clone(),
            agent_version: config.version.clone(),
            cluster: config.cluster.clone(),
            container_instance_arn: self.link.instance.arn.clone(),
            docker_version: config.runtime_version.clone(),
        };
        let url = socket::url(&endpoints.tcs, &query.render());
        let opened = socket::open(&url, config.signer.as_ref(), config.clock.as_ref()).await;
        let mut socket = match opened {
            Ok(socket) => socket,
            Err(end) => return end,
        };
        let end = self.talk(&mut socket, &url).await;
        if matches!(end, End::Expired | End::Silent) {
            socket::close(&mut socket, "ConnectionExpired: Reconnect to continue").await;
        }
        end
    }

    async fn talk(&mut self, socket: &mut Socket, url: &str) -> End {
        let expires = Instant::now() + about(LIFE, LIFE_JITTER);
        let mut silent = Instant::now() + about(SILENCE, SILENCE);
        let mut round = interval(ROUND);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut look, mut idle_since) = (Instant::now(), None);
        let mut first = true;
        // Verdicts that changed while nobody listened are told with the first round.
        self.verdicts.mark_changed();
        loop {
            let result = tokio::select! {
                received = socket.next() => socket::text(received).map(|text| {
                    if text.is_some_and(|text| recognised(&text)) {
                        silent = Instant::now() + about(SILENCE, SILENCE);
                    }
                }),
                () = sleep_until(look) => {
                    let (running, now) = (self.sample().await, Instant::now());
                    look = now + every(running);
                    let idle = running == 0;
                    // That nothing runs is told once in a round.
                    let told = idle_since.is_some_and(|since| now < since + ROUND);
                    if idle && told {
                        Ok(())
                    } else {
                        idle_since = idle.then_some(now);
                        let frames = self.metrics();
                        self.send(socket, url, frames).await
                    }
                }
                _ = round.tick() => {
                    let frames = self.round(std::mem::take(&mut first));
                    self.send(socket, url, frames).await
                }
                Ok(()) = self.verdicts.changed() => {
                    let frames = self.health();
                    self.send(socket, url, frames).await
                }
                () = sleep_until(silent) => Err(End::Silent),
                () = sleep_until(expires) => Err(End::Expired),
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.link.config.clock.now()
    }

    fn tasks(&self) -> Vec<TaskView> {
        self.link.node.context().board.all()
    }

    /// Looks at what every running task uses; how many there are.
    async fn sample(&mut self) -> usize {
        let tasks = self.tasks();
        self.samples.retain(&tasks);
        let (mut well, mut running) = (true, 0);
        for view in tasks.iter().filter(|view| view.state.status == Status::Running) {
            running += 1;
            let (link, sandbox) = (Arc::clone(&self.link), &view.plan.sandbox.id);
            let context = link.node.context();
            match context.runtime.usage(sandbox).await {
                Ok(usage) => {
                    for (container, usage) in usage {
                        self.samples.usage(container.as_str(), usage, context.clock.now());
                    }
                }
                // It may have ended this moment.
                Err(runtime::RuntimeError::NotFound { .. }) => {}
                Err(error) => {
                    well = false;
                    let error = stdx::chain(&error);
                    tracing::debug!(task = view.plan.id, error, "What a task uses is not known.");
                }
            }
            for (at, plan, state) in view.containers() {
                // What the containers of a task share is counted once.
                let shared = view.plan.sharing().next().is_some_and(|first| first != at);
                if !shared
                    && state.place.as_ref().is_some_and(|place| place.address.is_some())
                    && let Some(counters) = context.networking.counters(&view.plan.network_id(at))
                {
                    self.samples.counters(plan.id.as_str(), counters, context.clock.now());
                }
            }
        }
        if well != self.well.0 {
            self.well = (well, self.now());
        }
        running
    }

    /// What was seen since the report before.
    fn metrics(&mut self) -> Vec<AgentMessage> {
        let (now, id) = (self.now(), OsEntropy.uuid());
        let tasks = self.tasks();
        let metrics = metrics::metrics(&self.whose, &tasks, &mut self.samples, &id, now);
        metrics.into_iter().map(AgentMessage::PublishMetrics).collect()
    }

    /// What is due every 20 seconds; the instance's status not yet in the first round.
    fn round(&mut self, first: bool) -> Vec<AgentMessage> {
        let now = self.now();
        let mut frames = self.health();
        if !first {
            let status = metrics::instance_status(&self.whose, self.well, &OsEntropy.uuid(), now);
            frames.push(AgentMessage::PublishInstanceStatus(status));
        }
        frames
    }

    fn health(&self) -> Vec<AgentMessage> {
        let messages = metrics::health(&self.whose, &self.tasks(), &OsEntropy.uuid(), self.now());
        messages.into_iter().map(AgentMessage::PublishHealth).collect()
    }

    /// Sends frames, each signed over its JSON as the ECS agent does.
    async fn send(
        &self,
        socket: &mut Socket,
        url: &str,
        messages: Vec<AgentMessage>,
    ) -> Result<(), End> {
        for message in messages {
            let mut frame = Frame::plain(message);
            match self.link.config.signer.sign(url, frame.body.as_bytes(), self.now()) {
                Ok(headers) => frame.headers = headers,
                Err(error) => {
                    tracing::error!(%error, "Telemetry cannot be signed.");
                    return Err(End::Failed);
                }
            }
            socket::send(socket, frame.encode()).await?;
        }
        Ok(())
    }
}

/// How long until tasks are looked at again: a second for up to ten of them, a second more for each
/// ten more, and never more than the ECS agent's twenty. So the work of a second is that of ten
/// tasks, however many there are up to two hundred.
fn every(running: usize) -> Duration {
    let seconds = u64::try_from(running.div_ceil(TASKS_A_SECOND)).unwrap_or(LATEST);
    Duration::from_secs(seconds.clamp(SOONEST, LATEST))
}

/// Whether a frame is a message that this agent knows: only those show that the server is there.
fn recognised(text: &str) -> bool {
    match ServerMessage::decode(text) {
        Ok(ServerMessage::Unrecognized { .. }) => false,
        Ok(_) => true,
        Err(error) => {
            let error = stdx::chain(&error);
            tracing::warn!(error, "A telemetry frame from the server cannot be read.");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_tasks_are_looked_at_less_often() {
        for (running, seconds) in
            [(0, 1), (1, 1), (10, 1), (11, 2), (50, 5), (200, 20), (1000, 20), (usize::MAX, 20)]
        {
            assert_eq!(every(running), Duration::from_secs(seconds), "{running} tasks");
        }
    }
}
