//! The places of a task's containers in the node's network.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use futures_util::future::{join_all, try_join_all};
use net::{NetError, OwnAddress, PortRequest, Protocol};
use runtime::ContainerNetwork;
use shell::OsEntropy;
use stdx::{Entropy, chain};

use super::Context;
use super::act::patience;
use crate::plan::{NetworkPlan, PortAsk, TaskPlan};
use crate::task::{Happening, Place};

/// So often host ports in a row are looked for.
const RANGE_TRIES: u32 = 50;

/// Gives every container its place. None of them keeps one if another cannot have one.
pub(super) async fn attach(context: &Context, plan: &TaskPlan) -> Happening {
    let mut places = vec![None; plan.containers.len()];
    let result = match plan.network {
        NetworkPlan::None | NetworkPlan::Runtime => Ok(Vec::new()),
        NetworkPlan::Host => host(context, plan).await,
        NetworkPlan::Own(own) => attach_own(context, plan, own).await,
        NetworkPlan::Bridge => {
            let all = plan.on_bridge().map(|at| async move {
                attach_one(context, plan, at).await.map(|place| (at, place))
            });
            try_join_all(all).await
        }
    };
    match result {
        Ok(found) => {
            for (at, place) in found {
                if let Some(slot) = places.get_mut(at) {
                    *slot = Some(place);
                }
            }
            Happening::Attached(places)
        }
        Err(why) => {
            detach(context, plan).await;
            Happening::AttachFailed(format!("ResourceInitializationError: network: {why}"))
        }
    }
}

/// Gives the task its address, which all its containers share.
async fn attach_own(
    context: &Context,
    plan: &TaskPlan,
    own: OwnAddress,
) -> Result<Vec<(usize, Place)>, String> {
    let netns = context.runtime.network_namespace(&plan.sandbox.id, None).await;
    let netns = netns.map_err(|error| chain(&error))?;
    let attached = context.networking.attach_own(&plan.id, netns, own).await;
    let address = Some(attached.map_err(|error| chain(&error))?.address);
    Ok(plan.sharing().map(|at| (at, Place { address, bindings: Vec::new() })).collect())
}

/// Gives one container its place on the bridge; asked again, it is the same place, made again where
/// the container's namespace is new.
pub(super) async fn attach_one(
    context: &Context,
    plan: &TaskPlan,
    at: usize,
) -> Result<Place, String> {
    let Some(container) = plan.containers.get(at) else { return Ok(Place::default()) };
    let own = container.template.network == ContainerNetwork::Own;
    let id = plan.network_id(at);
    let ranged = container.ports.iter().any(|ask| matches!(ask, PortAsk::Range { .. }));
    let mut tries = 0;
    loop {
        let netns = context
            .runtime
            .network_namespace(&plan.sandbox.id, own.then_some(&container.id))
            .await
            .map_err(|error| chain(&error))?;
        let requests = requests(&container.ports)?;
        match context.networking.attach(&id, netns, &requests).await {
            Ok(a) => return Ok(Place { address: Some(a.address), bindings: a.bindings }),
            // Somebody was faster; nothing has been made for it yet.
            Err(NetError::PortInUse { .. }) if ranged && tries < RANGE_TRIES => tries += 1,
            Err(error) => return Err(chain(&error)),
        }
    }
}

/// Keeps the host's ports for the task.
async fn host(context: &Context, plan: &TaskPlan) -> Result<Vec<(usize, Place)>, String> {
    let counts = plan.containers.iter().map(|container| {
        container.ports.iter().flat_map(|ask| ask.requests(None)).collect::<Vec<_>>()
    });
    let by_container: Vec<Vec<PortRequest>> = counts.collect();
    let all: Vec<PortRequest> = by_container.iter().flatten().copied().collect();
    let bound = context.networking.reserve_host_ports(&plan.id, &all).await;
    let mut bound = bound.map_err(|error| chain(&error))?.into_iter();
    Ok(by_container
        .iter()
        .map(|own| Place { address: None, bindings: bound.by_ref().take(own.len()).collect() })
        .enumerate()
        .collect())
}

/// The single ports of port mappings; host ports in a row are chosen for ranges.
///
/// # Errors
/// There are no so many host ports in a row.
pub(super) fn requests(asks: &[PortAsk]) -> Result<Vec<PortRequest>, String> {
    let mut all = Vec::new();
    for ask in asks {
        let host = match *ask {
            PortAsk::One(_) => None,
            PortAsk::Range { first, last, protocol } => {
                let free = free_range(ask.count(), protocol);
                Some(free.ok_or_else(|| {
                    format!("no {} host ports in a row are free for {first}-{last}", ask.count())
                })?)
            }
        };
        all.extend(ask.requests(host));
    }
    Ok(all)
}

/// The first of so many free host ports in a row, somewhere in the dynamic range.
fn free_range(count: usize, protocol: Protocol) -> Option<u16> {
    let range = net::ephemeral_ports();
    let count = u16::try_from(count).ok()?;
    let places = (range.end() - range.start()).checked_sub(count - 1)?;
    (0..RANGE_TRIES).find_map(|_| {
        let start = range.start() + u16::try_from(OsEntropy.below(u64::from(places) + 1)).ok()?;
        let end = start.checked_add(count - 1)?;
        (start..=end).all(|port| is_free(port, protocol)).then_some(start)
    })
}

fn is_free(port: u16, protocol: Protocol) -> bool {
    let address = (Ipv4Addr::UNSPECIFIED, port);
    match protocol {
        Protocol::Tcp => TcpListener::bind(address).is_ok(),
        Protocol::Udp => UdpSocket::bind(address).is_ok(),
    }
}

/// Takes every place back.
pub(super) async fn detach(context: &Context, plan: &TaskPlan) -> Happening {
    let mut ids: Vec<String> = (0..plan.containers.len()).map(|at| plan.network_id(at)).collect();
    ids.sort();
    ids.dedup();
    join_all(ids.iter().map(|id| async move {
        let mut backoff = patience();
        while let Err(error) = context.networking.detach(id).await {
            let error = chain(&error);
            tracing::warn!(task = plan.id, error, "A task's network could not be taken back yet.");
            tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
        }
    }))
    .await;
    Happening::Detached
}
