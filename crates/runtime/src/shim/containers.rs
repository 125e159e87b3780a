//! The containers of a shim: start, signals, stop, exit, removal, and their timers.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::birth::Spare;
use super::health::Probe;
use super::jobs::Purpose;
use super::logs::{Keep, Pump};
use super::proto::{self, Failure, FailureKind, Notice, Record, Reply, StartOrder};
use super::{Shim, birth, clock, users};
use crate::engine::exec::raise_rlimits;
use crate::engine::init::Order;
use crate::engine::user_map::UserRange;
use crate::engine::{Attempt, Fault, mounts, oci, process, sys};
use crate::log::Stream;
use crate::{ContainerId, ContainerStatus, ExecSpec, Exit, Health, LogMode, PidMode, spec};

/// How far a container is.
#[derive(Debug)]
enum Stage {
    /// Its first process prepares itself; it tells on `socket`.
    Starting { socket: OwnedFd, reply_to: u64, refused: Option<String>, terminal: Option<OwnedFd> },
    /// Its program runs.
    Running,
    /// It has ended.
    Exited,
}

/// One container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) record: Record,
    pub(crate) pid: i32,
    pub(crate) order: StartOrder,
    pub(crate) pump: Option<Pump>,
    stage: Stage,
    /// Held open for as long as it runs.
    stdin: Option<OwnedFd>,
    pipes: Vec<(OwnedFd, Stream)>,
    kill_at: Option<Duration>,
    waiters: Vec<u64>,
    probe: Option<Probe>,
}

impl Container {
    pub(crate) fn start_socket(&self) -> Option<&OwnedFd> {
        match &self.stage {
            Stage::Starting { socket, refused: None, .. } => Some(socket),
            _ => None,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.stage, Stage::Exited)
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running)
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        let probe = self.probe.as_ref().filter(|_| self.is_running()).and_then(Probe::due);
        self.kill_at.into_iter().chain(probe).min()
    }

    /// Writes the record, so that it is found after the shim's death too.
    fn write_record(&self) {
        if let Err(fault) = write_record(&self.order.folder, &self.record) {
            eprintln!("{}", fault.line());
        }
    }
}

fn write_record(folder: &Path, record: &Record) -> Result<(), Fault> {
    let path = folder.join("record.json");
    let what = || format!("write {}", path.display());
    let bytes = serde_json::to_vec(record).map_err(std::io::Error::other).attempt(what)?;
    let draft: PathBuf = folder.join("record.json.new");
    std::fs::write(&draft, bytes).attempt(what)?;
    std::fs::rename(&draft, &path).attempt(what)
}

fn not_found(container: &ContainerId) -> Failure {
    Failure::new(FailureKind::NotFound, container.as_str())
}

impl Shim {
    /// Orders a waiting first process to become a container.
    pub(crate) fn start(&mut self, from: u64, order: StartOrder) -> Result<Option<Reply>, Failure> {
        if let Some(container) = self.containers.get(&order.id) {
            let status = &container.record.status;
            return match status.started_at {
                Some(at) => {
                    let pid = status.pid.unwrap_or(container.pid.cast_unsigned());
                    Ok(Some(Reply::Started { pid, at }))
                }
                None => Err(Failure::new(FailureKind::Invalid, "it is being started already")),
            };
        }
        if order.order.own_network && !self.networks.contains_key(&order.id) {
            let network = self.new_network()?;
            self.networks.insert(order.id.clone(), network);
        }
        let in_users = order.order.users.is_some();
        if self.spare.as_ref().is_some_and(|spare| spare.in_users != in_users) {
            self.drop_spare()?;
        }
        let spare = match self.spare.take() {
            Some(spare) => spare,
            None => self.new_spare(in_users)?,
        };
        let group = spare.group.clone();
        if let Err(fault) = self.give_order(&spare, &order) {
            // Its end is heard as a stray's.
            sys::kill(spare.pid, libc::SIGKILL).unwrap_or_default();
            self.cgroups.destroy(&group)?;
            return Err(fault.into());
        }
        let status = ContainerStatus {
            id: order.id.clone(),
            pid: Some(spare.pid.cast_unsigned()),
            started_at: None,
            exit: None,
            health: None,
        };
        let (socket, terminal) = (spare.socket, None);
        let container = Container {
            record: Record { status, cgroup: group },
            pid: spare.pid,
            pump: None,
            stage: Stage::Starting { socket, reply_to: from, refused: None, terminal },
            stdin: order.order.open_stdin.then_some(spare.stdin),
            pipes: vec![(spare.stdout, Stream::Output), (spare.stderr, Stream::Error)],
            kill_at: None,
            waiters: Vec::new(),
            probe: None,
            order,
        };
        // While its process prepares itself.
        container.write_record();
        self.containers.insert(container.order.id.clone(), container);
        Ok(None)
    }

    fn give_order(&mut self, spare: &Spare, order: &StartOrder) -> Result<(), Fault> {
        let spec = &order.order.spec;
        let linux = spec.linux().as_ref();
        if let Some(resources) = linux.and_then(|linux| linux.resources().as_ref()) {
            let mut resources = resources.clone();
            if order.order.oci.is_some() {
                // It limits a group of its own below, and must not be limited itself while it does.
                resources = spec::resources(&crate::Limits::default());
                resources.set_devices(Some(spec::all_devices()));
            }
            // Those were given to the cgroup when it was made.
            if resources.devices().as_ref() == Some(&spec::default_device_rules()) {
                resources.set_devices(None);
            }
            self.cgroups.apply(&spare.group, &resources)?;
        }
        let mut sources = Vec::new();
        let users = order.order.users.as_ref();
        if let Some(users) = users {
            if let Some(process) = spec.process() {
                raise_rlimits(spare.pid, process)?;
            }
            sources.extend(self.made_for_users(&order.order, users.range)?);
        }
        let namespace = self.users.as_ref().map(|users| &users.fd);
        for mount in spec.mounts().iter().flatten().filter(|m| mounts::is_bind(m)) {
            let shown = users.is_some_and(|users| users.shown.contains(mount.destination()));
            sources.push(mounts::source_of(mount, namespace.filter(|_| shown))?);
        }
        let network = self.networks.get(&order.id).filter(|_| order.order.own_network);
        let handed: Vec<_> = network.into_iter().chain(&sources).map(AsFd::as_fd).collect();
        let bytes = proto::encode(&order.order);
        let written = process::send_with_fds(&spare.socket, &bytes, &handed)
            .attempt(|| "order the container's process to start".into())?;
        let mut left = &bytes[written..];
        while !left.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(&spare.socket, left))
                .attempt(|| "order the container's process to start".into())?;
            left = &left[written..];
        }
        Ok(())
    }

    /// What only the node's root can make for a container in a user namespace: its root, its `/dev`.
    fn made_for_users(&mut self, order: &Order, range: UserRange) -> Result<Vec<OwnedFd>, Fault> {
        let missing = || Fault::refused("enter the user namespace", "its sandbox has none");
        let users = self.users.take().ok_or_else(missing)?;
        let root = self.root_for_users(&order.root, &users.fd);
        self.users = Some(users);
        let mut made = vec![root?];
        let linux = order.spec.linux().as_ref();
        let devices = linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
        let all = order.spec.mounts().as_deref().unwrap_or_default();
        made.extend(users::dev_of(all, devices, range)?);
        Ok(made)
    }

    /// Hears what a starting container says: its terminal, a refusal, or (the end) that it runs.
    pub(crate) fn hear_start(&mut self, id: &ContainerId) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Stage::Starting { socket, refused, terminal, .. } = &mut container.stage else {
            return;
        };
        if refused.is_some() {
            return;
        }
        let mut bytes = [0; 4096];
        match process::receive_with_fds(&*socket, &mut bytes) {
            Ok((0, _)) => self.started(id),
            Ok((read, mut fds)) => {
                *terminal = fds.pop().or(terminal.take());
                let text = String::from_utf8_lossy(&bytes[..read]);
                let text = text.strip_prefix('T').unwrap_or(&text);
                *refused = text.strip_prefix('E').map(str::to_owned);
            }
            Err(error) => *refused = Some(format!("its process cannot be heard: {error}")),
        }
    }

    fn started(&mut self, id: &ContainerId) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let stage = std::mem::replace(&mut container.stage, Stage::Running);
        let Stage::Starting { reply_to, terminal, .. } = stage else { return };
        let at = clock::now();
        // Its namespaces live by its processes now, and end with them.
        self.networks.remove(id);
        container.record.status.started_at = Some(at);
        let first = match container.order.order.oci {
            Some(_) => oci::first_process(container.pid).unwrap_or(container.pid),
            None => container.pid,
        };
        let pid = first.cast_unsigned();
        container.record.status.pid = Some(pid);
        self.connections.reply(reply_to, &Reply::Started { pid, at });
        self.connections.flush();
        // The program runs: what follows costs it no time.
        if let Some(check) = container.order.health.clone() {
            container.record.status.health = Some((Health::Unknown, at));
            container.probe = Some(Probe::new(check, clock::monotonic()));
        }
        container.write_record();
        let mut pipes = std::mem::take(&mut container.pipes);
        if let Some(master) = terminal {
            pipes = vec![(master, Stream::Output)];
        }
        let pump = match container.order.log.clone() {
            LogMode::Files { max_bytes, max_files, non_blocking_bytes } => {
                let keep = Keep { max_bytes, max_files, non_blocking_bytes };
                Pump::start(pipes, &container.order.log_folder, keep)
            }
            // The engine refuses other drivers before it orders anything.
            LogMode::None | LogMode::Driver { .. } => Pump::discard(pipes),
        };
        match pump {
            Ok(pump) => container.pump = Some(pump),
            Err(fault) => eprintln!("{}", fault.line()),
        }
    }

    /// A child ended; whether it was a container's first process.
    pub(crate) fn container_ended(&mut self, pid: i32, code: i32) -> bool {
        let found = self.containers.iter().find(|(_, c)| c.pid == pid && c.is_alive());
        let Some(id) = found.map(|(id, _)| id.clone()) else { return false };
        // A program may end before its start has been heard of.
        while self.containers.get(&id).and_then(Container::start_socket).is_some() {
            self.hear_start(&id);
        }
        let Some(container) = self.containers.get_mut(&id) else { return true };
        if let Stage::Starting { reply_to, refused, .. } = &mut container.stage {
            let why = refused.take().unwrap_or_else(|| "its process ended too early".into());
            let (reply_to, group) = (*reply_to, container.record.cgroup.clone());
            self.containers.remove(&id);
            if let Err(fault) = self.cgroups.destroy(&group) {
                eprintln!("{}", fault.line());
            }
            let failure = Failure::new(FailureKind::Start, why);
            self.connections.reply(reply_to, &Reply::Failed(failure));
            return true;
        }
        if self.birth.pid != PidMode::Container {
            // No process namespace of its own died with it.
            self.cgroups.kill(&container.record.cgroup);
        }
        let oom_killed = self.cgroups.oom_kills(&container.record.cgroup) > 0;
        let exit = Exit { code: Some(code), oom_killed, at: clock::now() };
        container.stage = Stage::Exited;
        container.record.status.pid = None;
        container.record.status.exit = Some(exit.clone());
        container.stdin = None;
        container.pipes.clear();
        container.kill_at = None;
        container.probe = None;
        container.write_record();
        if let Some(pump) = &mut container.pump {
            pump.finish();
        }
        for waiter in std::mem::take(&mut container.waiters) {
            self.connections.reply(waiter, &Reply::Exited(exit.clone()));
        }
        self.connections.notify(&Notice::Exited { container: id, exit });
        true
    }

    /// Sends a signal; a container that has ended does not mind.
    pub(crate) fn signal(
        &mut self,
        id: &ContainerId,
        signal: i32,
    ) -> Result<Option<Reply>, Failure> {
        let container = self.containers.get(id).ok_or_else(|| not_found(id))?;
        if !(1..=64).contains(&signal) {
            return Err(Failure::new(FailureKind::Invalid, format!("there is no signal {signal}")));
        }
        if container.is_alive() {
            // Not yet reaped, so the number is still its own.
            sys::kill(container.pid, signal).attempt(|| format!("send signal {signal} to {id}"))?;
        }
        Ok(Some(Reply::Done))
    }

    /// Asks a container to end; the answer comes when it has.
    pub(crate) fn stop(
        &mut self,
        from: u64,
        id: &ContainerId,
        grace_ms: u64,
    ) -> Result<Option<Reply>, Failure> {
        let container = self.containers.get_mut(id).ok_or_else(|| not_found(id))?;
        if let Some(exit) = &container.record.status.exit {
            return Ok(Some(Reply::Exited(exit.clone())));
        }
        let at = clock::monotonic() + Duration::from_millis(grace_ms);
        container.kill_at = Some(container.kill_at.map_or(at, |earlier| earlier.min(at)));
        container.waiters.push(from);
        let signal = if grace_ms == 0 { libc::SIGKILL } else { container.order.stop_signal };
        sys::kill(container.pid, signal).attempt(|| format!("send signal {signal} to {id}"))?;
        Ok(None)
    }

    /// What is due for a container: the end of its grace, its next probe.
    pub(crate) fn container_timers(&mut self, id: &ContainerId, now: Duration) {
        let Some(container) = self.containers.get_mut(id) else { return };
        if container.is_alive() && container.kill_at.is_some_and(|at| at <= now) {
            container.kill_at = None;
            // Gone already is as good.
            sys::kill(container.pid, libc::SIGKILL).unwrap_or_default();
        }
        if !container.is_running() {
            return;
        }
        let Some(probe) = container.probe.as_mut() else { return };
        if probe.due().is_none_or(|at| at > now) {
            return;
        }
        let (args, timeout) = probe.begin();
        let spec = ExecSpec { args, env: Vec::new(), user: String::new(), timeout, max_output: 0 };
        if self.run_in(id, &spec, Purpose::Probe).is_err() {
            self.probed(id, false);
        }
    }

    /// A probe ended.
    pub(crate) fn probed(&mut self, id: &ContainerId, succeeded: bool) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(probe) = container.probe.as_mut() else { return };
        if let Some(health) = probe.ended(succeeded, clock::monotonic()) {
            let at = clock::now();
            container.record.status.health = Some((health, at));
            container.write_record();
            let container = id.clone();
            self.connections.notify(&Notice::Health { container, health, at });
        }
    }

    /// The network of a container: that which it has, or one that waits for its start.
    pub(crate) fn network(&mut self, id: &ContainerId) -> Result<OwnedFd, Failure> {
        if let Some(container) = self.containers.get(id).filter(|c| c.is_running()) {
            if !container.order.order.own_network {
                let why = format!("{id} was started without a network of its own");
                return Err(Failure::new(FailureKind::Invalid, why));
            }
            let pid = container.record.status.pid.unwrap_or(container.pid.cast_unsigned());
            return Ok(birth::open_namespace(&format!("/proc/{pid}/ns/net"))?);
        }
        let held = match self.networks.remove(id) {
            Some(held) => held,
            None => self.new_network()?,
        };
        let copy = held.try_clone().attempt(|| "copy a descriptor".into())?;
        self.networks.insert(id.clone(), held);
        Ok(copy)
    }

    /// Forgets a container that has ended.
    pub(crate) fn remove_container(&mut self, id: &ContainerId) -> Result<Option<Reply>, Failure> {
        self.networks.remove(id);
        let Some(container) = self.containers.get(id) else { return Ok(Some(Reply::Done)) };
        if container.is_alive() {
            let why = format!("{id} still runs; stop it before it is removed");
            return Err(Failure::new(FailureKind::Invalid, why));
        }
        self.cgroups.destroy(&container.record.cgroup)?;
        self.containers.remove(id);
        Ok(Some(Reply::Done))
    }
}
