//! Warm slots: shims made before they are needed. Their first container's process has entered its
//! cgroup by then, which on cgroup v1 costs the kernel 6 to 20 ms when it has been idle.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::shim_client::ShimConnection;
use super::{Inner, guard};
use crate::NetworkMode;

/// Entering a cgroup holds up every fork and exec of the node: slots are made when orders pause.
const QUIET: Duration = Duration::from_millis(100);

/// A shim that waits for its sandbox, and its cgroup.
type Slot = (ShimConnection, String);

/// The slots that are ready.
#[derive(Debug)]
pub(crate) struct Slots {
    wanted: usize,
    private: Mutex<VecDeque<Slot>>,
    host: Mutex<VecDeque<Slot>>,
    /// Counts orders, so that a refill knows whether one came after it was planned.
    orders: AtomicU64,
}

impl Slots {
    pub(crate) fn new(wanted: usize) -> Self {
        let (private, host) = (Mutex::default(), Mutex::default());
        Self { wanted, private, host, orders: AtomicU64::new(0) }
    }

    /// A slot with this network, if one is ready.
    pub(crate) fn take(&self, network: NetworkMode) -> Option<Slot> {
        guard(self.ready(network)).pop_front()
    }

    fn ready(&self, network: NetworkMode) -> &Mutex<VecDeque<Slot>> {
        match network {
            NetworkMode::Private => &self.private,
            NetworkMode::Host => &self.host,
        }
    }

    /// The network of the next slot to make: as many private ones as are wanted, and one that has
    /// the node's, which few tasks use.
    fn missing(&self) -> Option<NetworkMode> {
        let short = |network, wanted| guard(self.ready(network)).len() < wanted;
        if short(NetworkMode::Private, self.wanted) {
            Some(NetworkMode::Private)
        } else {
            short(NetworkMode::Host, self.wanted.min(1)).then_some(NetworkMode::Host)
        }
    }
}

/// Makes what slots are missing once no order has come for a while.
pub(crate) fn refill_later(inner: &Arc<Inner>) {
    if inner.slots.wanted == 0 {
        return;
    }
    let order = inner.slots.orders.fetch_add(1, Ordering::Relaxed) + 1;
    tokio::spawn(refill(Arc::downgrade(inner), order));
}

async fn refill(inner: Weak<Inner>, order: u64) {
    loop {
        tokio::time::sleep(QUIET).await;
        let Some(inner) = inner.upgrade() else { return };
        let is_latest = inner.slots.orders.load(Ordering::Relaxed) == order;
        let Some(network) = inner.slots.missing().filter(|_| is_latest) else { return };
        match inner.bear(network) {
            Ok(slot) => guard(inner.slots.ready(network)).push_back(slot),
            Err(error) => {
                tracing::warn!(error = %stdx::chain(&error), "no sandbox could be made in advance");
                return;
            }
        }
    }
}
