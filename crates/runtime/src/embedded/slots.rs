//! Warm slots: shims made before they are needed. Namespaces and cgroups are there by then, and the
//! first container's process waits in them. How many are kept follows from use: see
//! [`super::demand`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::demand::Demand;
use super::shim_client::ShimConnection;
use super::users::Lease;
use super::{Inner, guard};
use crate::{IpcMode, NetworkMode, PidMode, SandboxSpec};

/// Slots are made when orders pause, so that they take no time from what was ordered.
const QUIET: Duration = Duration::from_millis(100);
/// Between two slots.
const PAUSE: Duration = Duration::from_millis(15);

/// What cannot be changed of a shim once it is born.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotKind {
    pub(crate) network: NetworkMode,
    pub(crate) pid: PidMode,
    pub(crate) ipc: IpcMode,
    /// Whether it must have a user namespace of its own.
    pub(crate) hardened: bool,
}

impl SlotKind {
    /// What a sandbox needs.
    pub(crate) fn of(spec: &SandboxSpec) -> Self {
        let SandboxSpec { network, pid, ipc, hardened, .. } = *spec;
        Self { network, pid, ipc, hardened }
    }

    /// What is kept ready: the namespaces that nearly every sandbox has.
    pub(crate) fn usual(network: NetworkMode) -> Self {
        Self { network, pid: PidMode::Container, ipc: IpcMode::Container, hardened: false }
    }
}

/// What a shim that waits for its sandbox has already.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Its cgroup.
    pub(crate) group: String,
    /// The ids of its user namespace, if it has one of its own.
    pub(crate) lease: Option<Lease>,
}

/// A shim that waits for its sandbox.
type Waiting = (ShimConnection, Slot);

/// The slots that are ready.
#[derive(Debug)]
pub(crate) struct Slots {
    demand: Mutex<Demand>,
    private: Mutex<VecDeque<Waiting>>,
    host: Mutex<VecDeque<Waiting>>,
    /// Counts orders, so that a refill knows whether one came after it was planned.
    orders: AtomicU64,
}

/// What is to be done about the slots.
#[derive(Debug)]
enum Step {
    /// Make one.
    Make(NetworkMode),
    /// Let these go.
    Drop(Vec<Waiting>),
    /// Look again after a while.
    Wait(Duration),
    /// All is well until the next order.
    Rest,
}

impl Slots {
    /// None is kept if none are wanted.
    pub(crate) fn new(wanted: usize) -> Self {
        let (private, host) = (Mutex::default(), Mutex::default());
        let demand = Mutex::new(Demand::new(wanted, memory()));
        Self { demand, private, host, orders: AtomicU64::new(0) }
    }

    /// A slot of this kind, if one is ready. A container without `/dev/shm` differs only in its
    /// mounts from one with.
    pub(crate) fn take(&self, kind: SlotKind) -> Option<Waiting> {
        let fits = kind.pid == PidMode::Container
            && matches!(kind.ipc, IpcMode::Container | IpcMode::None);
        let mut ready = guard(self.ready(kind.network));
        // Either all that are ready have ids of their own, or none has.
        let holds = !kind.hardened || ready.front().is_some_and(|(_, slot)| slot.lease.is_some());
        if fits && holds { ready.pop_front() } else { None }
    }

    fn ready(&self, network: NetworkMode) -> &Mutex<VecDeque<Waiting>> {
        match network {
            NetworkMode::Private => &self.private,
            NetworkMode::Host => &self.host,
        }
    }

    /// What is to be done now. One slot with the node's own network is kept, which few tasks use.
    fn step(&self, now: u64) -> Step {
        let mut demand = guard(&self.demand);
        demand.settle(now);
        let wanted = demand.wanted();
        let mut private = guard(&self.private);
        if private.len() < wanted {
            return Step::Make(NetworkMode::Private);
        }
        if guard(&self.host).len() < wanted.min(1) {
            return Step::Make(NetworkMode::Host);
        }
        if private.len() > wanted {
            return Step::Drop(private.split_off(wanted).into());
        }
        demand
            .shrinks_in(now)
            .map_or(Step::Rest, |wait| Step::Wait(Duration::from_millis(wait).max(PAUSE)))
    }
}

/// The node's memory in bytes.
fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

/// Makes what slots are missing once no order has come for a while. `ordered` if a sandbox was just
/// asked for.
pub(crate) fn refill_later(inner: &Arc<Inner>, ordered: bool) {
    let now = now(inner);
    let wanted = {
        let mut demand = guard(&inner.slots.demand);
        if ordered {
            demand.ordered(now);
        }
        demand.wanted()
    };
    if wanted == 0 {
        return;
    }
    let order = inner.slots.orders.fetch_add(1, Ordering::Relaxed) + 1;
    tokio::spawn(refill(Arc::downgrade(inner), order));
}

fn now(inner: &Inner) -> u64 {
    u64::try_from(inner.config.clock.now().as_millis()).unwrap_or(0)
}

async fn refill(inner: Weak<Inner>, order: u64) {
    let mut pause = QUIET;
    loop {
        tokio::time::sleep(pause).await;
        let Some(inner) = inner.upgrade() else { return };
        if inner.slots.orders.load(Ordering::Relaxed) != order {
            return;
        }
        match inner.slots.step(now(&inner)) {
            Step::Make(network) => match inner.bear(SlotKind::usual(network)) {
                Ok(slot) => guard(inner.slots.ready(network)).push_back(slot),
                Err(error) => {
                    let error = stdx::chain(&error);
                    tracing::warn!(%error, "no sandbox could be made in advance");
                    return;
                }
            },
            // A shim that is nobody's ends with its connection.
            Step::Drop(slots) => drop(slots),
            Step::Wait(long) => {
                pause = long;
                continue;
            }
            Step::Rest => return,
        }
        pause = PAUSE;
    }
}
