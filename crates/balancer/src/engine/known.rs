//! Groups and targets beside what requests know of them: who is watched, who drains, who is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stdx::Timestamp;
use tokio::task::AbortHandle;

use crate::probe::{self, Teller};
use crate::state::{Deed, GroupRuntime, TargetRuntime};
use crate::worker::Worker;
use crate::{
    Group, GroupId, GroupProtocol, Health, HealthCheck, Phase, ProtocolVersion, TargetKey,
};

/// A target is not told idle sooner than this after it began to drain: a request that chose it just
/// before may be about to begin.
const LINGER: Duration = Duration::from_millis(100);

/// What a target's watch goes by; with another it begins anew.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Checks {
    pub(super) check: HealthCheck,
    pub(super) version: ProtocolVersion,
}

/// What is known of a target beside what requests know.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) runtime: Arc<TargetRuntime>,
    pub(super) watch: Option<(Checks, AbortHandle)>,
    pub(super) idle_told: bool,
    pub(super) cut: bool,
}

/// A group with its targets.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) runtime: Arc<GroupRuntime>,
    pub(super) config: Option<Arc<Group>>,
    pub(super) targets: BTreeMap<TargetKey, Watched>,
    pub(super) used: bool,
}

pub(super) fn known<'a>(
    groups: &'a mut BTreeMap<GroupId, Known>,
    shards: usize,
    id: &GroupId,
) -> &'a mut Known {
    groups.entry(id.clone()).or_insert_with(|| Known {
        runtime: GroupRuntime::new(id.clone(), shards),
        config: None,
        targets: BTreeMap::new(),
        used: false,
    })
}

pub(super) fn deed(
    groups: &mut BTreeMap<GroupId, Known>,
    shards: usize,
    action: &crate::Action,
) -> Deed {
    Deed::new(action, |id| Arc::clone(&known(groups, shards, id).runtime))
}

/// Whether requests and flows are cut when a target's time is over.
pub(super) fn cuts(config: &Group) -> bool {
    matches!(config.protocol, GroupProtocol::Http | GroupProtocol::Https)
        || config.connection_termination
}

pub(super) fn end_target(workers: &[Arc<Worker>], config: Option<&Group>, removed: Watched) {
    if let Some((_, watch)) = removed.watch {
        watch.abort();
    }
    for worker in workers {
        worker.pool.forget(removed.runtime.uid);
    }
    if config.is_none_or(cuts) {
        removed.runtime.cut();
    }
}

/// Watches a used group's targets, each by its own task; those whose settings are the same go on.
pub(super) fn watch(known: &mut Known, workers: &[Arc<Worker>], next: &mut usize, teller: &Teller) {
    let Some(config) = &known.config else { return };
    let wanted = Checks { check: config.health_check.clone(), version: config.version };
    for watched in known.targets.values_mut() {
        let runs = watched.runtime.target.phase == Phase::Registered && wanted.check.enabled;
        if watched.watch.as_ref().is_some_and(|(course, _)| runs && *course == wanted) {
            continue;
        }
        if let Some((_, watch)) = watched.watch.take() {
            watch.abort();
        }
        if !runs {
            continue;
        }
        *next = (*next + 1) % workers.len();
        let worker = Arc::clone(&workers[*next]);
        let task = probe::watch(
            Arc::clone(&known.runtime),
            Arc::clone(&watched.runtime),
            wanted.check.clone(),
            wanted.version,
            Arc::clone(&worker),
            teller.clone(),
        );
        watched.watch = Some((wanted.clone(), worker.handle.spawn(task).abort_handle()));
    }
}

/// No listener uses the group: nothing is asked of its targets.
pub(super) fn unused(known: &mut Known, teller: &Teller) {
    for watched in known.targets.values_mut() {
        if let Some((_, watch)) = watched.watch.take() {
            watch.abort();
        }
        if watched.runtime.become_unused() {
            teller.health(&known.runtime, &watched.runtime, Health::Unused);
        }
    }
}

/// Tells of targets that drain and are idle, and cuts those whose time is over. Says whether any is left.
pub(super) fn drain(known: &mut Known, teller: &Teller, now: Timestamp) -> bool {
    let Some(config) = &known.config else { return false };
    let mut left = false;
    for watched in known.targets.values_mut() {
        let Phase::Draining { since } = watched.runtime.target.phase else { continue };
        let settled = now.since(since) >= LINGER;
        if settled && watched.runtime.outstanding() == 0 && !watched.idle_told {
            watched.idle_told = true;
            teller.idle(&known.runtime, &watched.runtime);
        }
        if !watched.cut && now.since(since) >= config.deregistration_delay && cuts(config) {
            watched.cut = true;
            watched.runtime.cut();
        }
        left |= !watched.idle_told || !watched.cut;
    }
    left
}
