//! Capacity providers, and which of them clusters have.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{
    CapacityChange, CapacityProvider, Change, Cluster, ClusterName, ManagedScaling, ProviderName,
    StrategyItem,
};

use super::live;
use crate::capacity::{CapacityRejection, NewProvider};
use crate::desk::Desk;
use crate::{Rejection, Reply};

/// A strategy has at most so many items.
const MOST_ITEMS: usize = 20;

pub(super) fn create(desk: &mut Desk<'_>, new: &NewProvider) -> Result<Reply, Rejection> {
    let book = desk.state.capacity();
    if book.provider(&new.name).is_some() {
        return Err(CapacityRejection::ProviderExists(new.name.clone()).into());
    }
    let group = live(desk, &new.group)?;
    if let Some(other) = book.provider_of(&new.group) {
        let other = other.name.clone();
        return Err(CapacityRejection::GroupTaken(new.group.clone(), other).into());
    }
    if new.termination_protection && !group.protect_new {
        return Err(CapacityRejection::NotProtected.into());
    }
    let provider = CapacityProvider {
        name: new.name.clone(),
        group: new.group.clone(),
        scaling: new.scaling,
        termination_protection: new.termination_protection,
        draining: new.draining,
        tags: new.tags.clone(),
        created_at: desk.now,
    };
    desk.put(Change::Capacity(CapacityChange::PutProvider(Arc::new(provider))));
    Ok(Reply::Done)
}

pub(super) fn update(
    desk: &mut Desk<'_>,
    name: &ProviderName,
    scaling: Option<Option<ManagedScaling>>,
    termination_protection: Option<bool>,
    draining: Option<bool>,
) -> Result<Reply, Rejection> {
    let before = find(desk, name)?;
    let next = CapacityProvider {
        scaling: scaling.unwrap_or(before.scaling),
        termination_protection: termination_protection.unwrap_or(before.termination_protection),
        draining: draining.unwrap_or(before.draining),
        ..CapacityProvider::clone(&before)
    };
    if next.termination_protection && !live(desk, &next.group)?.protect_new {
        return Err(CapacityRejection::NotProtected.into());
    }
    desk.put(Change::Capacity(CapacityChange::PutProvider(Arc::new(next))));
    Ok(Reply::Done)
}

pub(super) fn delete(desk: &mut Desk<'_>, name: &ProviderName) -> Result<Reply, Rejection> {
    find(desk, name)?;
    let has = |cluster: &&Arc<Cluster>| cluster.capacity_providers.contains(name);
    if let Some(cluster) = desk.state.clusters().find(has) {
        let cluster = cluster.name.clone();
        return Err(CapacityRejection::ProviderInUse(name.clone(), cluster).into());
    }
    desk.put(Change::Capacity(CapacityChange::DeleteProvider(name.clone())));
    Ok(Reply::Done)
}

pub(super) fn put_cluster(
    desk: &mut Desk<'_>,
    name: &ClusterName,
    providers: &[ProviderName],
    strategy: &[StrategyItem],
) -> Result<Reply, Rejection> {
    let cluster = crate::decide::active_cluster(desk.state, name)?.clone();
    for provider in providers.iter().filter(|name| !name.is_fargate()) {
        find(desk, provider)?;
    }
    check_strategy(strategy, providers)?;
    let leaving = cluster.capacity_providers.iter().filter(|old| !providers.contains(old));
    for old in leaving {
        let of = |task: &&model::Task| task.facts.provider.as_ref() == Some(old);
        if desk.state.tasks(name).filter(|task| task.holds_resources()).any(|task| of(&task)) {
            return Err(CapacityRejection::ProviderHasTasks(old.clone()).into());
        }
    }
    let next = Cluster {
        capacity_providers: providers.to_vec(),
        default_strategy: strategy.to_vec(),
        ..Cluster::clone(&cluster)
    };
    desk.put(Change::PutCluster(Arc::new(next)));
    Ok(Reply::Cluster(name.clone()))
}

/// Whether a strategy holds together, for a cluster that has these providers.
///
/// # Errors
///
/// Tells what does not hold.
pub fn check_strategy(
    strategy: &[StrategyItem],
    providers: &[ProviderName],
) -> Result<(), CapacityRejection> {
    let refuse = |why: String| Err(CapacityRejection::Strategy(why));
    if strategy.len() > MOST_ITEMS {
        return refuse(format!(
            "A capacity provider strategy can have at most {MOST_ITEMS} items."
        ));
    }
    let mut named = BTreeSet::new();
    for item in strategy {
        if !named.insert(&item.provider) {
            return refuse(format!(
                "The capacity provider {} is more than once in the strategy.",
                item.provider
            ));
        }
        if !providers.contains(&item.provider) {
            return refuse(format!(
                "The specified capacity provider {} is not associated with the cluster. Associate \
                 it with PutClusterCapacityProviders first.",
                item.provider
            ));
        }
    }
    let fargate = strategy.iter().filter(|item| item.provider.is_fargate()).count();
    if fargate > 0 && fargate < strategy.len() {
        return refuse(
            "A capacity provider strategy cannot contain a mix of capacity providers using Auto \
             Scaling groups and Fargate providers. Specify one or the other and try again."
                .to_owned(),
        );
    }
    if strategy.iter().filter(|item| item.base > 0).count() > 1 {
        return refuse("Only one item of a capacity provider strategy can have a base.".to_owned());
    }
    let idle = |item: &StrategyItem| item.weight == 0 && item.base == 0;
    if !strategy.is_empty() && strategy.iter().all(idle) {
        return refuse(
            "At least one item of a capacity provider strategy must have a weight above 0."
                .to_owned(),
        );
    }
    Ok(())
}

fn find(desk: &Desk<'_>, name: &ProviderName) -> Result<Arc<CapacityProvider>, CapacityRejection> {
    let found = desk.state.capacity().provider(name).cloned();
    found.ok_or_else(|| CapacityRejection::NoProvider(name.clone()))
}
