//! The shim: one process with one thread per sandbox, which outlives the engine.
//!
//! It holds the sandbox's namespaces (by a pause process), starts containers, reaps them, keeps their
//! logs, probes their health, runs programs in them, and records how they end. If it dies, the kernel
//! kills what it started.

pub(crate) mod birth;
pub(crate) mod clock;
pub(crate) mod connections;
pub(crate) mod containers;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod logs;
pub(crate) mod proto;
pub(crate) mod sessions;
pub(crate) mod users;
pub(crate) mod writer;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use self::connections::Connections;
use self::containers::Container;
use self::jobs::Job;
use crate::ContainerId;
use crate::engine::cgroup::Cgroups;
use crate::engine::{Fault, sys};

pub(crate) use birth::{Birth, run};

/// Everything a shim knows.
#[derive(Debug)]
pub(crate) struct Shim {
    pub(crate) cgroups: Cgroups,
    /// The sandbox's cgroup.
    pub(crate) group: String,
    /// The sandbox's run folder, once it has been assigned to one.
    pub(crate) folder: Option<PathBuf>,
    /// What it was born with.
    pub(crate) birth: Birth,
    /// The namespaces that its containers share, each with its kind.
    pub(crate) namespaces: Vec<(OwnedFd, i32)>,
    /// The user namespace of its containers, if they have one of their own.
    pub(crate) users: Option<users::Namespace>,
    /// Copies of this process that do something short: their ends mean nothing.
    pub(crate) helpers: Vec<i32>,
    /// Networks of containers that have not started yet.
    pub(crate) networks: BTreeMap<ContainerId, OwnedFd>,
    /// The process that holds the namespaces.
    pub(crate) pause: i32,
    /// A first process that waits for an order.
    pub(crate) spare: Option<birth::Spare>,
    /// The number of the next container's cgroup.
    pub(crate) next_group: u32,
    pub(crate) containers: BTreeMap<ContainerId, Container>,
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) next_job: u64,
    /// Children that ended before anybody knew their pid.
    pub(crate) strays: BTreeMap<i32, i32>,
    pub(crate) listener: Option<UnixListener>,
    pub(crate) connections: Connections,
    /// The connection on which the end of everything was asked for.
    pub(crate) removing: Option<u64>,
    pub(crate) signals: OwnedFd,
}

/// What a ready descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ready {
    Signal,
    Listener,
    Connection(u64),
    Start(usize),
    LogIn(usize, usize),
    LogOut(usize),
    JobStatus(u64),
    JobOutput(u64),
}

impl Shim {
    /// Serves until the sandbox is removed, or, before it is assigned, until its maker is gone.
    pub(crate) fn serve(&mut self) -> Result<(), Fault> {
        loop {
            for ready in self.wait()? {
                self.handle(ready);
            }
            self.run_timers();
            self.connections.flush();
            self.hang_up_sessions();
            if self.folder.is_none() && self.connections.is_empty() {
                self.destroy();
                return Ok(());
            }
            if self.removing.is_some() && self.is_empty() {
                self.finish_removal();
                return Ok(());
            }
        }
    }

    fn interests(&self) -> (Vec<PollFd<'_>>, Vec<Ready>) {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let mut what = vec![Ready::Signal];
        if let Some(listener) = &self.listener {
            fds.push(PollFd::new(listener, PollFlags::IN));
            what.push(Ready::Listener);
        }
        for (id, stream, writes) in self.connections.interests() {
            let flags = if writes { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            fds.push(PollFd::new(stream, flags));
            what.push(Ready::Connection(id));
        }
        for (index, container) in self.containers.values().enumerate() {
            if let Some(socket) = container.start_socket() {
                fds.push(PollFd::new(socket, PollFlags::IN));
                what.push(Ready::Start(index));
            }
            let Some(pump) = &container.pump else { continue };
            for (input, fd) in pump.waiting_inputs() {
                let poll = PollFd::from_borrowed_fd(fd, PollFlags::IN);
                fds.push(poll);
                what.push(Ready::LogIn(index, input));
            }
            if let Some(fd) = pump.waiting_output() {
                let poll = PollFd::from_borrowed_fd(fd, PollFlags::OUT);
                fds.push(poll);
                what.push(Ready::LogOut(index));
            }
        }
        for (id, job) in &self.jobs {
            if let Some(status) = &job.status {
                fds.push(PollFd::new(status, PollFlags::IN));
                what.push(Ready::JobStatus(*id));
            }
            if let Some(output) = &job.output {
                fds.push(PollFd::new(output, PollFlags::IN));
                what.push(Ready::JobOutput(*id));
            }
        }
        (fds, what)
    }

    fn wait(&self) -> Result<Vec<Ready>, Fault> {
        let timeout = self.next_deadline().map(|at| {
            let left = at.saturating_sub(clock::monotonic());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let (mut fds, what) = self.interests();
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                return Err(Fault { attempt: "wait for events".into(), source: error.into() });
            }
        }
        let ready = fds.iter().zip(what).filter(|(fd, _)| !fd.revents().is_empty());
        Ok(ready.map(|(_, what)| what).collect())
    }

    fn handle(&mut self, ready: Ready) {
        match ready {
            Ready::Signal => {
                let mut drain = [0; 1024];
                while rustix::io::read(&self.signals, &mut drain).is_ok_and(|read| read > 0) {}
                self.reap();
            }
            Ready::Listener => self.accept(),
            Ready::Connection(id) => self.serve_connection(id),
            Ready::Start(index) => self.with(index, |shim, id| shim.hear_start(id)),
            // Inputs may have ended or moved while earlier ones were handled: an index that is too
            // high is ignored, one that moved is read without waiting.
            Ready::LogIn(index, input) => {
                if let Some(pump) = self.pump(index) {
                    pump.read(input);
                }
            }
            Ready::LogOut(index) => {
                if let Some(pump) = self.pump(index) {
                    pump.write();
                    pump.let_go_if_drained();
                }
            }
            Ready::JobStatus(id) => self.hear_job(id),
            Ready::JobOutput(id) => self.read_job_output(id),
        }
    }

    fn pump(&mut self, index: usize) -> Option<&mut logs::Pump> {
        self.containers.values_mut().nth(index)?.pump.as_mut()
    }

    fn with(&mut self, index: usize, act: impl FnOnce(&mut Self, &ContainerId)) {
        if let Some(id) = self.containers.keys().nth(index).cloned() {
            act(self, &id);
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        while let Ok((stream, _)) = listener.accept() {
            self.connections.add(stream);
        }
    }

    /// Takes the endings of all children that there are.
    pub(crate) fn reap(&mut self) {
        let mut ended = Vec::new();
        while let Some(one) = sys::reap() {
            ended.push(one);
        }
        if ended.is_empty() {
            return;
        }
        // What the ended have said before is heard first.
        for id in self.jobs.keys().copied().collect::<Vec<_>>() {
            self.hear_job(id);
        }
        for (pid, code) in ended {
            if let Some(at) = self.helpers.iter().position(|helper| *helper == pid) {
                self.helpers.swap_remove(at);
            } else if pid == self.pause {
                self.pause = 0;
            } else if self.spare.as_ref().is_some_and(|spare| spare.pid == pid) {
                self.spare = None;
            } else if !self.container_ended(pid, code) && !self.job_ended(pid, code) {
                self.strays.insert(pid, code);
            }
        }
        if self.jobs.is_empty() {
            self.strays.clear();
        }
    }

    fn next_deadline(&self) -> Option<Duration> {
        let containers = self.containers.values().filter_map(Container::deadline);
        containers.chain(self.jobs.values().filter_map(|job| job.deadline)).min()
    }

    fn run_timers(&mut self) {
        let now = clock::monotonic();
        for (id, job) in &mut self.jobs {
            if job.deadline.is_some_and(|at| at <= now) {
                tracing::debug!(job = id, "a program took too long");
                job.kill();
            }
        }
        for id in self.containers.keys().cloned().collect::<Vec<_>>() {
            self.container_timers(&id, now);
        }
    }

    /// Whether nothing runs any more.
    fn is_empty(&self) -> bool {
        self.pause == 0
            && self.spare.is_none()
            && self.jobs.is_empty()
            && self.containers.values().all(|container| !container.is_alive())
    }

    /// Kills everything; [`Self::reap`] hears of it.
    pub(crate) fn kill_all(&mut self) {
        let mut pids = vec![self.pause];
        pids.extend(self.spare.iter().map(|spare| spare.pid));
        pids.extend(self.containers.values().filter(|c| c.is_alive()).map(|c| c.pid));
        for pid in pids.into_iter().filter(|pid| *pid > 1) {
            // Gone already is as good.
            sys::kill(pid, libc::SIGKILL).unwrap_or_default();
        }
        for job in self.jobs.values_mut() {
            job.kill();
        }
    }

    fn finish_removal(&mut self) {
        self.destroy();
        if let Some(id) = self.removing {
            self.connections.reply(id, &proto::Reply::Done);
            self.connections.flush_all();
        }
    }

    /// Removes the cgroup with whatever is left in it.
    fn destroy(&mut self) {
        self.kill_all();
        for container in self.containers.values_mut() {
            container.pump = None;
        }
        self.spare = None;
        if let Err(fault) = self.cgroups.destroy(&self.group) {
            eprintln!("{}", fault.line());
        }
    }
}
