//! UDP listeners: datagrams of one client go to one target until they cease.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::state::{ListenerRuntime, Outstanding};
use crate::tcp::way;
use crate::usage::bump;
use crate::worker::Worker;

/// How long a flow may be silent, as an NLB has it.
const IDLE: u64 = 120_000;
/// The most flows of a listener; datagrams of further ones are dropped.
const FLOWS: usize = 16_384;
/// The largest datagram.
const LARGEST: usize = 65_535;

/// A client's flow to its target.
#[derive(Debug)]
struct Flow {
    socket: Arc<UdpSocket>,
    active: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

/// Passes datagrams until `stop` says so.
pub(crate) async fn serve(
    socket: UdpSocket,
    listener: Arc<ListenerRuntime>,
    worker: Arc<Worker>,
    mut stop: watch::Receiver<bool>,
) {
    let socket = Arc::new(socket);
    let mut flows: BTreeMap<SocketAddr, Flow> = BTreeMap::new();
    let mut buffer = vec![0; LARGEST];
    let mut sweep = tokio::time::interval(Duration::from_secs(1));
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            _ = stop.wait_for(|stop| *stop) => return,
            _ = sweep.tick() => {
                flows.retain(|_, flow| !flow.over.load(Ordering::Relaxed));
                continue;
            }
        };
        // An error tells of an earlier datagram that nobody took.
        let Ok((length, client)) = received else { continue };
        listener.cells.processed_bytes.fetch_add(length as u64, Ordering::Relaxed);
        if flows.get(&client).is_none_or(|flow| flow.over.load(Ordering::Relaxed)) {
            flows.remove(&client);
            if flows.len() >= FLOWS {
                continue;
            }
            match begin(&socket, client, &listener, &worker).await {
                Ok(Some(flow)) => drop(flows.insert(client, flow)),
                Ok(None) => continue,
                Err(error) => {
                    bump(&listener.cells.target_connection_errors);
                    tracing::debug!(%client, %error, "no flow to a target");
                    continue;
                }
            }
        }
        if let Some(flow) = flows.get(&client) {
            flow.active.store(worker.tick(), Ordering::Relaxed);
            // A datagram that is lost is lost, as on any network.
            drop(flow.socket.send(&buffer[..length]).await);
        }
    }
}

/// A flow for a client, whose answers are passed back by a task of its own; none if there is no target.
async fn begin(
    listening: &Arc<UdpSocket>,
    client: SocketAddr,
    listener: &Arc<ListenerRuntime>,
    worker: &Arc<Worker>,
) -> io::Result<Option<Flow>> {
    let Some(way) = way(&listener.plan.load(), worker.random()) else { return Ok(None) };
    let Some(place) = way.target(worker, client, None) else { return Ok(None) };
    let target = &way.view.eligible[place];
    let any: SocketAddr = match target.target.address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target.target.address).await?;
    let flow = Flow {
        socket: Arc::new(socket),
        active: Arc::new(AtomicU64::new(worker.tick())),
        over: Arc::default(),
    };
    bump(&way.group.cells.requests);
    bump(&listener.cells.new_connections);
    bump(&listener.cells.active_connections);
    let outstanding = Outstanding::begin(target);
    let link = outstanding.0.link();
    let back = answers(
        Arc::clone(&flow.socket),
        Arc::clone(listening),
        client,
        Arc::clone(&flow.active),
        Arc::clone(worker),
        Arc::clone(listener),
    );
    let (over, listener) = (Arc::clone(&flow.over), Arc::clone(listener));
    tokio::spawn(async move {
        link.while_whole(back).await;
        over.store(true, Ordering::Relaxed);
        listener.cells.active_connections.fetch_sub(1, Ordering::Relaxed);
        drop((link, outstanding));
    });
    Ok(Some(flow))
}

/// Passes a target's datagrams back until the flow has been silent for its time.
async fn answers(
    from: Arc<UdpSocket>,
    to: Arc<UdpSocket>,
    client: SocketAddr,
    active: Arc<AtomicU64>,
    worker: Arc<Worker>,
    listener: Arc<ListenerRuntime>,
) {
    let mut buffer = Vec::with_capacity(2048);
    loop {
        let quiet = worker.tick().saturating_sub(active.load(Ordering::Relaxed));
        if quiet >= IDLE {
            return;
        }
        buffer.clear();
        buffer.reserve(LARGEST);
        let wait = Duration::from_millis((IDLE - quiet).max(1));
        // Refused: the target has no such port now, and may have it again.
        let Ok(Ok(length)) = tokio::time::timeout(wait, from.recv_buf(&mut buffer)).await else {
            continue;
        };
        active.store(worker.tick(), Ordering::Relaxed);
        listener.cells.processed_bytes.fetch_add(length as u64, Ordering::Relaxed);
        drop(to.send_to(&buffer[..length], client).await);
        // What waits does so without its buffer's room.
        buffer = Vec::new();
    }
}
