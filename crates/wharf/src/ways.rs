//! The ways from the server to tasks with an address of their own on nodes of other machines, for its
//! balancer and for whoever works on its machine.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use model::State;
use net::Ways;
use shell::Shutdown;
use stdx::chain;
use store::Store;

/// Keeps the routes of this machine to what the state says, until the server ends; then they go.
pub(crate) fn start(store: &Store, shutdown: &Shutdown) {
    tokio::spawn(keep(store.clone(), shutdown.clone()));
}

async fn keep(store: Store, mut shutdown: Shutdown) {
    let block = store.snapshot().realm().vpc;
    let mut news = store.subscribe();
    let mut known = None;
    let mut ways = None;
    loop {
        let wanted = wanted(&store.snapshot());
        if known.as_ref() != Some(&wanted) {
            if ways.is_none() {
                ways = open(block);
            }
            let Some(ways) = &ways else { return };
            lead(ways, wanted.clone()).await;
            known = Some(wanted);
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() { break },
            () = shutdown.wait() => break,
        }
    }
    if let Some(ways) = &ways {
        lead(ways, BTreeMap::new()).await;
    }
}

fn open(block: model::Block) -> Option<Ways> {
    Ways::open((block.base(), block.prefix()))
        .inspect_err(|error| tracing::warn!(error = chain(error), "no routes can be kept here"))
        .ok()
}

async fn lead(ways: &Ways, wanted: BTreeMap<Ipv4Addr, Ipv4Addr>) {
    let told = "tasks with networkMode awsvpc on other machines are not reached from this one";
    match ways.lead(wanted).await {
        Ok(failures) => {
            if let Some(first) = failures.first() {
                tracing::warn!(error = chain(first), routes = failures.len(), "{told}");
            }
        }
        Err(error) => tracing::warn!(error = chain(&error), "{told}"),
    }
}

/// By the addresses of tasks: the addresses of their nodes.
fn wanted(state: &State) -> BTreeMap<Ipv4Addr, Ipv4Addr> {
    let on_node = |(interface, task): (&model::TaskInterface, &model::Task)| match state
        .instance_of(&task.facts)?
        .address?
    {
        IpAddr::V4(node) if !node.is_loopback() => Some((interface.address, node)),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    };
    state.tasks_with_interfaces().filter_map(on_node).collect()
}
