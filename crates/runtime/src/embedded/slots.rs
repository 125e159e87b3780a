//! Warm slots: shims made before they are needed. Their first container's process has entered its
//! cgroup by then, which on cgroup v1 costs the kernel 6 to 20 ms when it has been idle.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::shim_client::ShimConnection;
use super::{Inner, guard};
use crate::{IpcMode, NetworkMode, PidMode, SandboxSpec};

/// Entering a cgroup holds up every fork and exec of the node: slots are made when orders pause.
const QUIET: Duration = Duration::from_millis(100);

/// What cannot be changed of a shim once it is born.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotKind {
    pub(crate) network: NetworkMode,
    pub(crate) pid: PidMode,
    pub(crate) ipc: IpcMode,
}

impl SlotKind {
    /// What a sandbox needs.
    pub(crate) fn of(spec: &SandboxSpec) -> Self {
        Self { network: spec.network, pid: spec.pid, ipc: spec.ipc }
    }

    /// What is kept ready: the namespaces that nearly every sandbox has.
    fn usual(network: NetworkMode) -> Self {
        Self { network, pid: PidMode::Container, ipc: IpcMode::Container }
    }
}

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

    /// A slot of this kind, if one is ready. A container without `/dev/shm` differs only in its
    /// mounts from one with.
    pub(crate) fn take(&self, kind: SlotKind) -> Option<Slot> {
        let fits = kind.pid == PidMode::Container
            && matches!(kind.ipc, IpcMode::Container | IpcMode::None);
        if fits { guard(self.ready(kind.network)).pop_front() } else { None }
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
        match inner.bear(SlotKind::usual(network)) {
            Ok(slot) => guard(inner.slots.ready(network)).push_back(slot),
            Err(error) => {
                tracing::warn!(error = %stdx::chain(&error), "no sandbox could be made in advance");
                return;
            }
        }
    }
}
