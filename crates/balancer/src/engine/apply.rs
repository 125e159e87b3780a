//! One table after another: what changed is found by pointers and made anew, all else stays.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::known::{Known, Watched, deed, drain, end_target, known, unused, watch};
use crate::bind::{self, BindError};
use crate::health::Course;
use crate::probe::Teller;
use crate::route::Router;
use crate::state::{GroupRuntime, ListenerRuntime, Plan, TargetRuntime, View, lock};
use crate::tls::ServerTls;
use crate::usage::{BalancerCells, Sharded};
use crate::worker::Worker;
use crate::{
    BalancerId, Group, GroupId, Listener, ListenerId, Phase, Table, Transport, accept, udp,
};

/// A listener that listens.
#[derive(Debug)]
struct Running {
    runtime: Arc<ListenerRuntime>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
}

/// Everything that runs.
#[derive(Debug)]
pub(super) struct State {
    workers: Arc<[Arc<Worker>]>,
    teller: Teller,
    listeners: BTreeMap<ListenerId, Running>,
    groups: BTreeMap<GroupId, Known>,
    cells: BTreeMap<BalancerId, Arc<Sharded<BalancerCells>>>,
    /// Groups with targets that drain.
    draining: BTreeSet<GroupId>,
    /// Groups that changed since it was last looked after them.
    touched: BTreeSet<GroupId>,
    next: usize,
}

impl State {
    pub(super) fn new(workers: Arc<[Arc<Worker>]>, teller: Teller) -> Self {
        Self {
            workers,
            teller,
            listeners: BTreeMap::new(),
            groups: BTreeMap::new(),
            cells: BTreeMap::new(),
            draining: BTreeSet::new(),
            touched: BTreeSet::new(),
            next: 0,
        }
    }

    pub(super) fn balancer_cells(
        &self,
    ) -> impl Iterator<Item = (&BalancerId, &Sharded<BalancerCells>)> {
        self.cells.iter().map(|(id, cells)| (id, &**cells))
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &GroupRuntime> {
        self.groups.values().filter(|known| known.config.is_some()).map(|known| &*known.runtime)
    }

    pub(super) fn apply(
        &mut self,
        table: &Table,
    ) -> Vec<(ListenerId, Result<SocketAddr, BindError>)> {
        self.apply_groups(&table.groups);
        let wanted: BTreeSet<&ListenerId> =
            table.listeners.iter().map(|listener| &listener.id).collect();
        let gone: Vec<ListenerId> =
            self.listeners.keys().filter(|id| !wanted.contains(id)).cloned().collect();
        for id in gone {
            self.end_listener(&id);
        }
        let outcome = table
            .listeners
            .iter()
            .map(|listener| (listener.id.clone(), self.apply_listener(listener)))
            .collect();
        let named: BTreeSet<&BalancerId> =
            table.listeners.iter().map(|listener| &listener.balancer.id).collect();
        self.cells.retain(|id, _| named.contains(id));
        self.look_after();
        outcome
    }

    fn worker(&mut self) -> (usize, Arc<Worker>) {
        self.next = (self.next + 1) % self.workers.len();
        (self.next, Arc::clone(&self.workers[self.next]))
    }

    fn end_listener(&mut self, id: &ListenerId) {
        let Some(running) = self.listeners.remove(id) else { return };
        running.stop.send_replace(true);
        for worker in &*self.workers {
            worker.end(false, |state| state.listener == *id);
        }
    }

    fn apply_listener(&mut self, listener: &Arc<Listener>) -> Result<SocketAddr, BindError> {
        let before =
            self.listeners.get(&listener.id).map(|running| running.runtime.plan.load_full());
        if let Some(before) = &before {
            if Arc::ptr_eq(&before.listener, listener) {
                return Ok(self.listeners[&listener.id].address);
            }
            let same_socket = before.listener.bind == listener.bind
                && before.listener.port == listener.port
                && before.listener.protocol.transports() == listener.protocol.transports()
                && before.listener.balancer.id == listener.balancer.id;
            if !same_socket {
                self.end_listener(&listener.id);
            }
        }
        let plan = Arc::new(self.plan(listener, before.as_deref())?);
        if let Some(running) = self.listeners.get(&listener.id) {
            running.runtime.plan.store(plan);
            return Ok(running.address);
        }
        let sockets = sockets(listener)?;
        let address = sockets.first().map(|(address, ..)| *address).ok_or(BindError::NoAddress)?;
        let shards = self.workers.len();
        let cells = self.cells.entry(listener.balancer.id.clone());
        let cells = Arc::clone(cells.or_insert_with(|| Arc::new(Sharded::new(shards))));
        let runtime =
            Arc::new(ListenerRuntime { plan: ArcSwap::new(plan), cells, port: address.port() });
        let (stop, stopped) = watch::channel(false);
        for (address, transport, socket) in sockets {
            self.begin(&runtime, transport, socket, stopped.clone())
                .map_err(|error| BindError::Other { address, message: error.to_string() })?;
        }
        self.listeners.insert(listener.id.clone(), Running { runtime, address, stop });
        Ok(address)
    }

    fn plan(&mut self, listener: &Arc<Listener>, before: Option<&Plan>) -> Result<Plan, BindError> {
        let http2 = listener.balancer.http2;
        let tls = match (listener.protocol.tls(), before) {
            (None, _) => None,
            (Some(_), Some(before))
                if before.listener.protocol == listener.protocol
                    && before.listener.balancer.http2 == http2 =>
            {
                before.tls.clone()
            }
            (Some(settings), _) => {
                Some(Arc::new(ServerTls::new(&listener.protocol, settings, http2)?))
            }
        };
        let nothing = Router::default();
        let router = before.map_or(&nothing, |before| &before.router);
        let (groups, shards) = (&mut self.groups, self.workers.len());
        let (router, changed) =
            router.updated(&listener.rules, |rule| deed(groups, shards, &rule.action));
        tracing::debug!(listener = %listener.id, changed, "a listener's rules");
        let default = match before {
            Some(before) if before.listener.default_action == listener.default_action => {
                Arc::clone(&before.default)
            }
            _ => Arc::new(deed(groups, shards, &listener.default_action)),
        };
        Ok(Plan { listener: Arc::clone(listener), router, default, tls })
    }

    fn begin(
        &mut self,
        runtime: &Arc<ListenerRuntime>,
        transport: Transport,
        socket: OwnedFd,
        stop: watch::Receiver<bool>,
    ) -> std::io::Result<()> {
        let (own, worker) = self.worker();
        let runtime = Arc::clone(runtime);
        // Sockets register with the runtime that is entered.
        let _entered = worker.handle.enter();
        match transport {
            Transport::Tcp => {
                let socket = tokio::net::TcpListener::from_std(socket.into())?;
                drop(worker.handle.spawn(accept::accept(
                    socket,
                    runtime,
                    own,
                    Arc::clone(&self.workers),
                    stop,
                )));
            }
            Transport::Udp => {
                let socket = tokio::net::UdpSocket::from_std(socket.into())?;
                drop(worker.handle.spawn(udp::serve(socket, runtime, Arc::clone(&worker), stop)));
            }
        }
        Ok(())
    }

    fn apply_groups(&mut self, groups: &BTreeMap<GroupId, Arc<Group>>) {
        let gone: Vec<GroupId> = self
            .groups
            .iter()
            .filter(|(id, known)| known.config.is_some() && !groups.contains_key(*id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.apply_group(&id, None);
        }
        for (id, group) in groups {
            let same = self
                .groups
                .get(id)
                .and_then(|known| known.config.as_ref())
                .is_some_and(|old| Arc::ptr_eq(old, group));
            if !same {
                self.apply_group(id, Some(Arc::clone(group)));
            }
        }
    }

    /// A group's new settings and targets. A target that is still the same registration keeps its health.
    fn apply_group(&mut self, id: &GroupId, config: Option<Arc<Group>>) {
        let known = known(&mut self.groups, self.workers.len(), id);
        let old = std::mem::replace(&mut known.config, config.clone());
        let mut before = std::mem::take(&mut known.targets);
        let check = config.as_ref().map(|config| config.health_check.clone()).unwrap_or_default();
        let toggled = old.is_some_and(|old| old.health_check.enabled != check.enabled);
        let mut leaves = false;
        for (key, target) in config.iter().flat_map(|config| &config.targets) {
            leaves |= matches!(target.phase, Phase::Draining { .. });
            let kept = before.remove(key).filter(|old| {
                old.runtime.target.registered_at == target.registered_at
                    && old.runtime.target.address == target.address
                    && !toggled
            });
            let watched = match kept {
                Some(kept) if kept.runtime.target == **target => kept,
                // It drains now, or serves again: the counters and connections stay with the old face.
                Some(mut kept) => {
                    kept.runtime = kept.runtime.with_target((**target).clone());
                    kept.idle_told = false;
                    kept
                }
                None => {
                    let runtime =
                        TargetRuntime::new((**target).clone(), &check, self.workers.len());
                    if known.used {
                        self.teller.health(&known.runtime, &runtime, runtime.health());
                    }
                    Watched { runtime, watch: None, idle_told: false, cut: false }
                }
            };
            known.targets.insert(key.clone(), watched);
        }
        for removed in before.into_values() {
            end_target(&self.workers, known.config.as_deref(), removed);
        }
        let all = known.targets.values().map(|watched| Arc::clone(&watched.runtime)).collect();
        known.runtime.view.store(Arc::new(View::new(config.clone(), all)));
        if leaves {
            self.draining.insert(id.clone());
        }
        if known.used {
            watch(known, &self.workers, &mut self.next, &self.teller);
        }
        // Whether it is used at all shows when the listeners are as the table has them.
        self.touched.insert(id.clone());
    }

    /// What time brings: groups that came into use or out of it, targets that are idle or out of time.
    pub(super) fn look_after(&mut self) {
        let now = self.workers[0].now();
        let mut forgotten = Vec::new();
        for (id, known) in &mut self.groups {
            let used = known.runtime.is_used();
            if used != known.used {
                known.used = used;
                if used {
                    for watched in known.targets.values_mut() {
                        let check = known
                            .config
                            .as_ref()
                            .map(|config| config.health_check.clone())
                            .unwrap_or_default();
                        *lock(&watched.runtime.course) = Course::new(&check);
                        self.teller.health(
                            &known.runtime,
                            &watched.runtime,
                            watched.runtime.health(),
                        );
                    }
                    known.runtime.refresh();
                    watch(known, &self.workers, &mut self.next, &self.teller);
                }
                self.touched.insert(id.clone());
            }
            if !used && known.config.is_none() {
                forgotten.push(id.clone());
            }
        }
        for id in forgotten {
            self.groups.remove(&id);
        }
        for id in std::mem::take(&mut self.touched) {
            if let Some(known) = self.groups.get_mut(&id).filter(|known| !known.used) {
                unused(known, &self.teller);
            }
        }
        let (groups, teller) = (&mut self.groups, &self.teller);
        self.draining
            .retain(|id| groups.get_mut(id).is_some_and(|known| drain(known, teller, now)));
    }
}

type Socket = (SocketAddr, Transport, OwnedFd);

/// The sockets of a listener, all or none.
fn sockets(listener: &Listener) -> Result<Vec<Socket>, BindError> {
    let mut sockets = Vec::new();
    let mut port = listener.port;
    for ip in &listener.bind {
        for transport in listener.protocol.transports() {
            let socket = bind::take(SocketAddr::new(*ip, port), *transport)?;
            let address = bind::address(&socket, SocketAddr::new(*ip, port))?;
            // All of them have the port that the system chose for the first.
            port = address.port();
            sockets.push((address, *transport, socket));
        }
    }
    Ok(sockets)
}
