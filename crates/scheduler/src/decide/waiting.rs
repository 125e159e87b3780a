//! Tasks that are given to capacity providers: they go where a provider's nodes have room, and wait as
//! PROVISIONING for further nodes where its group may have some.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-auto-scaling.html>

use std::sync::Arc;

use model::{
    CapacityProvider, Change, ClusterName, PlacementTerms, ProviderName, State, StopCode,
    StrategyItem, Task, TaskFacts, TaskKey, TaskProgress, TaskStatus,
};

use super::capacity::providers::check_strategy;
use super::run_task::{give, stamp_waiting, told_to_stop};
use super::{progress, reports};
use crate::capacity::{Share, share};
use crate::desk::Desk;
use crate::placement::{self, Board, Group, Wish};
use crate::{Failure, Rejection, Reply, timing, words};

/// So many tasks of a cluster may wait at once: an ECS quota.
pub(crate) const MOST_WAITING: usize = 500;

/// Which provider each of `count` tasks is given to, in their order and with what each has already;
/// none for all of them if there is no strategy.
pub(crate) fn providers(
    state: &State,
    cluster: &ClusterName,
    strategy: &[StrategyItem],
    has: impl Fn(&ProviderName) -> u32,
    count: u32,
) -> Result<Vec<Option<ProviderName>>, Rejection> {
    if strategy.is_empty() {
        return Ok((0..count).map(|_| None).collect());
    }
    let theirs = state.cluster(cluster).map(|c| c.capacity_providers.as_slice());
    check_strategy(strategy, theirs.unwrap_or_default())?;
    let mut shares: Vec<Share<'_>> =
        strategy.iter().map(|item| Share { item, has: has(&item.provider) }).collect();
    Ok(share(&mut shares, count).into_iter().map(Some).collect())
}

/// The provider whose group grows by itself, if this one's does.
pub(crate) fn grows<'a>(
    state: &'a State,
    provider: Option<&ProviderName>,
) -> Option<&'a Arc<CapacityProvider>> {
    state.capacity().provider(provider?).filter(|provider| provider.scaling.is_some())
}

/// Makes a task that waits for a node of its provider, if that may have one and not too many wait.
pub(super) fn wait(
    desk: &mut Desk<'_>,
    template: &TaskFacts,
    provider: Option<&ProviderName>,
    terms: &PlacementTerms,
    waiting: &mut usize,
) -> Option<TaskKey> {
    let provider = grows(desk.state, provider)?.name.clone();
    if *waiting >= MOST_WAITING {
        return None;
    }
    *waiting += 1;
    Some(stamp_waiting(desk, template, provider, terms.clone()))
}

/// How many tasks of a cluster wait.
pub(crate) fn count(state: &State, cluster: &ClusterName) -> usize {
    state.waiting_tasks().filter(|task| task.facts.cluster() == cluster).count()
}

/// A task that waits as it would be placed now.
pub(crate) fn wish<'a>(state: &'a State, facts: &'a TaskFacts) -> Option<Wish<'a>> {
    let definition = state.definition(&facts.definition)?;
    let terms = facts.terms.as_ref()?;
    Some(Wish {
        cluster: facts.cluster(),
        launch_type: facts.launch_type,
        provider: facts.provider.as_ref(),
        needs: &facts.reserved,
        gpus: terms.gpus.clone(),
        attributes: &definition.spec.required_attributes,
        more_attributes: &terms.attributes,
        rules: placement::rules(&definition.spec, &terms.constraints),
        group: Group::Named(&facts.group, &facts.definition.family),
        strategy: terms.strategy.clone(),
    })
}

/// Why a task that waits finds no place; none if it finds one.
pub(crate) fn nowhere(state: &State, facts: &TaskFacts) -> Option<Failure> {
    placement::somewhere(state, &wish(state, facts)?).err()
}

/// When a task that waits is given up.
pub(crate) fn given_up_at(task: &Task) -> stdx::Timestamp {
    task.facts.created_at + timing::CAPACITY_AWAITED
}

/// Places one task that waits, or gives it up when it has waited for long enough.
pub(super) fn place(desk: &mut Desk<'_>, key: &TaskKey) -> Result<Reply, Rejection> {
    let task = desk.state.task(key).cloned().ok_or(Rejection::Stale)?;
    if task.facts.instance.is_some() || !task.holds_resources() {
        return Err(Rejection::Stale);
    }
    let found: Result<_, Failure> = match wish(desk.state, &task.facts) {
        Some(wish) => Board::new(desk.state, wish).place(desk.ids),
        None => return Err(Rejection::Stale),
    };
    let mut facts = TaskFacts::clone(&task.facts);
    match found.and_then(|place| give(desk, &mut facts, place.into())) {
        Ok(()) => {
            facts.terms = None;
            desk.put(Change::PutTask(Arc::new(facts)));
            let status = TaskStatus::Pending;
            let next = TaskProgress { status, ..TaskProgress::clone(&task.progress) };
            desk.put(progress(key, next));
        }
        Err(_) if given_up_at(&task) <= desk.now => {
            let why = words::CAPACITY_UNAVAILABLE.to_owned();
            let code = StopCode::TaskFailedToStart;
            let mut next = told_to_stop(&task.progress, desk.now, code, why);
            reports::end(&mut next, desk.now);
            desk.put(progress(key, next));
            if let Some(service) = task.facts.service_key() {
                desk.disturb(&service);
            }
        }
        Err(_) => return Err(Rejection::Stale),
    }
    Ok(Reply::Task(key.clone()))
}
