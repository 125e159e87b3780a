//! Seeing containers end and change their health: by the Engine's events while they come, and by
//! looking at everything whenever they may have been missed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerSummary, EventMessage};
use bollard::query_parameters::{
    EventsOptions, InspectContainerOptions, ListContainersOptions, RemoveContainerOptions,
};
use futures_util::StreamExt;
use shell::OsEntropy;
use stdx::{Backoff, Timestamp};

use super::fault::status;
use super::found::{Found, found};
use super::{Inner, guard, logs};
use crate::{ContainerId, Event, Exit, Health, RuntimeError, SandboxId};

/// The kernel's word of why it killed may reach the Engine a little later than the end.
const AFTERTHOUGHT: Duration = Duration::from_millis(40);
/// An end that no event told is found after so long at most.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The containers that are watched, by the Engine's ids.
#[derive(Debug, Default)]
pub(crate) struct Watched(BTreeMap<String, Seen>);

/// What was seen of one.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    sandbox: SandboxId,
    container: Option<ContainerId>,
    has_network: bool,
    exit: Option<Exit>,
    health: Option<Health>,
    /// The Engine said that it wants memory.
    oom: bool,
    /// It was killed from here.
    killed: bool,
}

impl Seen {
    /// One that is about to start.
    pub(crate) fn new(
        sandbox: &SandboxId,
        container: Option<&ContainerId>,
        has_network: bool,
    ) -> Self {
        Self {
            sandbox: sandbox.clone(),
            container: container.cloned(),
            has_network,
            exit: None,
            health: None,
            oom: false,
            killed: false,
        }
    }
}

/// Follows the Engine's events for as long as it is let, through the Engine's restarts.
pub(crate) async fn watch(inner: Arc<Inner>) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let mut since = inner.config.clock.now();
    loop {
        let options = EventsOptions {
            since: Some((since.as_millis() / 1000).to_string()),
            until: None,
            filters: Some(inner.names.filter(None)),
        };
        let mut events = std::pin::pin!(inner.engine.events(Some(options)));
        loop {
            match events.next().await {
                Some(Ok(event)) => {
                    backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
                    inner.heed(event);
                }
                Some(Err(Error::RequestTimeoutError)) => {}
                Some(Err(error)) => {
                    let error = stdx::chain(&error);
                    tracing::warn!(error, "Docker Engine does not tell what happens.");
                    break;
                }
                None => break,
            }
        }
        since = inner.config.clock.now();
        loop {
            tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
            match inner.look(false).await {
                Ok(()) => break,
                Err(error) => {
                    let error = stdx::chain(&error);
                    tracing::warn!(error, "Docker Engine does not tell what there is.");
                }
            }
        }
        tracing::info!("Docker Engine is there again.");
    }
}

impl Inner {
    /// Everything of ours on the Engine, or of one sandbox.
    pub(crate) async fn labelled(
        &self,
        sandbox: Option<&SandboxId>,
    ) -> Result<Vec<ContainerSummary>, RuntimeError> {
        let filters = Some(self.names.filter(sandbox));
        let options = ListContainersOptions { all: true, filters, ..Default::default() };
        let listed = self.engine.list_containers(Some(options)).await;
        listed.map_err(|error| self.failed("list the containers on Docker Engine", &error))
    }

    /// A container by its name or id on the Engine; none if there is none of ours.
    pub(crate) async fn inspect(&self, name: &str) -> Result<Option<Found>, RuntimeError> {
        match self.engine.inspect_container(name, None::<InspectContainerOptions>).await {
            Ok(inspected) => Ok(found(inspected)),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.failed(format!("look at container {name}"), &error)),
        }
    }

    /// A container by its name at the seam.
    pub(crate) async fn find(&self, id: &ContainerId) -> Result<Found, RuntimeError> {
        let found = self.inspect(&self.names.container(id)).await?;
        found.ok_or_else(|| RuntimeError::NotFound { what: "container", id: id.to_string() })
    }

    /// Everything of ours, looked at one by one, many at a time.
    pub(crate) async fn find_all(
        &self,
        sandbox: Option<&SandboxId>,
    ) -> Result<Vec<Found>, RuntimeError> {
        let ids: Vec<String> =
            self.labelled(sandbox).await?.into_iter().filter_map(|listed| listed.id).collect();
        let looks = futures_util::stream::iter(ids)
            .map(|id| async move { self.inspect(&id).await })
            .buffer_unordered(16);
        let all: Vec<_> = looks.collect().await;
        all.into_iter().filter_map(Result::transpose).collect()
    }

    /// Removes a container with its own volumes, running or not. Gone already is success.
    pub(crate) async fn discard(&self, name: &str) -> Result<(), RuntimeError> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        match self.engine.remove_container(name, Some(options)).await {
            Ok(()) => Ok(()),
            // Gone, or being removed at this moment.
            Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
            Err(error) => Err(self.failed(format!("remove container {name}"), &error)),
        }
    }

    /// Looks at everything: what has ended or changed its health meanwhile is told. At the `first`
    /// look nothing is news, and logs are gone on with.
    pub(crate) async fn look(self: &Arc<Self>, first: bool) -> Result<(), RuntimeError> {
        for found in self.find_all(None).await? {
            if first {
                self.watch_from_now(&found);
                logs::resume(self, &found);
                continue;
            }
            if let Some((health, at)) = found.health {
                self.changed(&found.engine_id, health, at);
            }
            if let Some(exit) = found.exit {
                self.over(&found.engine_id, exit);
            }
        }
        Ok(())
    }

    /// Watches a container, telling nothing of what has happened so far.
    pub(crate) fn watch_from_now(&self, found: &Found) {
        let container = found.container.as_ref();
        let seen = Seen {
            exit: found.exit.clone(),
            health: found.health.map(|(health, _)| health),
            ..Seen::new(&found.sandbox, container, found.has_network)
        };
        guard(&self.watched).0.entry(found.engine_id.clone()).or_insert(seen);
    }

    /// Watches a container that is about to start.
    pub(crate) fn begin(&self, engine_id: &str, seen: Seen) {
        guard(&self.watched).0.insert(engine_id.to_owned(), seen);
    }

    /// What happens to a container from now on is told to nobody.
    pub(crate) fn forget(&self, engine_id: &str) {
        guard(&self.watched).0.remove(engine_id);
        self.ended.notify_waiters();
    }

    /// The same for every container of a sandbox.
    pub(crate) fn forget_sandbox(&self, sandbox: &SandboxId) {
        guard(&self.watched).0.retain(|_, seen| seen.sandbox != *sandbox);
        self.ended.notify_waiters();
    }

    /// It is killed from here: that is no want of memory.
    pub(crate) fn killing(&self, engine_id: &str) {
        if let Some(seen) = guard(&self.watched).0.get_mut(engine_id) {
            seen.killed = true;
        }
    }

    /// How a container ended, if that was seen.
    pub(crate) fn seen_exit(&self, engine_id: &str) -> Option<Exit> {
        guard(&self.watched).0.get(engine_id).and_then(|seen| seen.exit.clone())
    }

    /// The running container that has a sandbox's network.
    pub(crate) fn network_of(&self, sandbox: &SandboxId) -> Option<ContainerId> {
        let watched = guard(&self.watched);
        let mut all = watched.0.values();
        let one =
            all.find(|seen| seen.sandbox == *sandbox && seen.has_network && seen.exit.is_none());
        one.and_then(|seen| seen.container.clone())
    }

    fn heed(self: &Arc<Self>, event: EventMessage) {
        let at = Timestamp::from_millis(event.time_nano.unwrap_or(0) / 1_000_000);
        let actor = event.actor.unwrap_or_default();
        let (Some(id), Some(action)) = (actor.id, event.action) else { return };
        match action.as_str() {
            "oom" => {
                if let Some(seen) = guard(&self.watched).0.get_mut(&id) {
                    seen.oom = true;
                }
            }
            "die" => {
                let code = actor.attributes.unwrap_or_default().remove("exitCode");
                let code = code.and_then(|code| code.parse().ok());
                let inner = Arc::clone(self);
                tokio::spawn(async move { inner.settle(&id, code, at).await });
            }
            "health_status: healthy" => self.changed(&id, Health::Healthy, at),
            "health_status: unhealthy" => self.changed(&id, Health::Unhealthy, at),
            _ => {}
        }
    }

    /// Finds out how a container ended.
    async fn settle(&self, engine_id: &str, code: Option<i32>, at: Timestamp) {
        let killed = match guard(&self.watched).0.get(engine_id) {
            Some(seen) if seen.exit.is_none() => seen.killed,
            _ => return,
        };
        let mut found = self.inspect(engine_id).await.ok().flatten();
        let doubtful = |found: &Found| {
            let exit = found.exit.as_ref();
            found.limited && exit.is_some_and(|exit| exit.code != Some(0) && !exit.oom_killed)
        };
        if !killed && found.as_ref().is_some_and(doubtful) {
            tokio::time::sleep(AFTERTHOUGHT).await;
            found = self.inspect(engine_id).await.ok().flatten();
        }
        let told = Exit { code, oom_killed: false, at };
        self.over(engine_id, found.and_then(|found| found.exit).unwrap_or(told));
    }

    /// Notes an end and tells it, once.
    pub(crate) fn over(&self, engine_id: &str, mut exit: Exit) {
        let event = {
            let mut watched = guard(&self.watched);
            let Some(seen) = watched.0.get_mut(engine_id) else { return };
            if seen.exit.is_some() {
                return;
            }
            exit.oom_killed |= seen.oom;
            seen.exit = Some(exit.clone());
            let sandbox = seen.sandbox.clone();
            match seen.container.clone() {
                Some(container) => Event::Exited { sandbox, container, exit },
                None => Event::SandboxLost { sandbox },
            }
        };
        // Nobody listening is nobody told.
        self.events.send(event).unwrap_or_default();
        self.ended.notify_waiters();
    }

    fn changed(&self, engine_id: &str, health: Health, at: Timestamp) {
        let mut watched = guard(&self.watched);
        let Some(seen) = watched.0.get_mut(engine_id) else { return };
        if health == Health::Unknown || seen.health.replace(health) == Some(health) {
            return;
        }
        if let Some(container) = seen.container.clone() {
            let sandbox = seen.sandbox.clone();
            self.events.send(Event::Health { sandbox, container, health, at }).unwrap_or_default();
        }
    }

    /// Waits at most so long for a container's end.
    pub(crate) async fn wait(
        &self,
        engine_id: &str,
        limit: Duration,
    ) -> Result<Option<Exit>, RuntimeError> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // Registered before the look, so that an end in between is not missed.
            ended.as_mut().enable();
            if let Some(exit) = self.seen_exit(engine_id) {
                return Ok(Some(exit));
            }
            let now = tokio::time::Instant::now();
            if now >= deadline {
                return Ok(None);
            }
            let pause = (deadline - now).min(LOOK_AGAIN);
            if tokio::time::timeout(pause, ended).await.is_ok() || pause < LOOK_AGAIN {
                continue;
            }
            match self.inspect(engine_id).await? {
                Some(Found { exit: Some(exit), .. }) => {
                    self.over(engine_id, exit.clone());
                    return Ok(Some(exit));
                }
                Some(_) => {}
                None => return Ok(Some(Exit { code: None, oom_killed: false, at: self.now() })),
            }
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }
}
