//! Programs that a shim runs in its containers: on request, or to probe their health.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use super::proto::{Failure, FailureKind, Reply};
use super::{Shim, clock};
use crate::engine::{Attempt, Fault, enter, oci, process, sys};
use crate::{ContainerId, ExecResult, ExecSpec};

/// The status of a program that was killed for its time, as `timeout(1)` has it.
const TIMED_OUT: i32 = 124;

/// What a program is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The connection that asked.
    Reply(u64),
    /// The container's health check.
    Probe,
    /// A connection whose asker reads and writes by itself.
    Session(u64),
}

/// What is to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program<'a> {
    pub(crate) args: &'a [String],
    pub(crate) env: &'a [String],
    /// None for the container's own.
    pub(crate) user: Option<&'a str>,
}

/// One program, under way.
#[derive(Debug)]
pub(crate) struct Job {
    container: ContainerId,
    pub(crate) purpose: Purpose,
    helper: i32,
    pub(crate) pid: Option<i32>,
    said: Vec<u8>,
    /// What its session's asker is given once it runs, and whether that has been done.
    pub(crate) handed: Vec<OwnedFd>,
    pub(crate) told: bool,
    collected: Vec<u8>,
    max_output: usize,
    killed: bool,
    pub(crate) status: Option<OwnedFd>,
    pub(crate) output: Option<OwnedFd>,
    pub(crate) deadline: Option<Duration>,
}

impl Job {
    pub(crate) fn is_killed(&self) -> bool {
        self.killed
    }

    /// Kills it: the helper, or the program with its process group.
    pub(crate) fn kill(&mut self) {
        self.killed = true;
        self.deadline = None;
        let target = self.pid.map_or(self.helper, |pid| -pid);
        // Gone already is as good.
        if sys::kill(target, libc::SIGKILL).is_err() {
            sys::kill(self.pid.unwrap_or(self.helper), libc::SIGKILL).unwrap_or_default();
        }
    }

    /// Why it could not be started, if it could not: what is said after the pid and the terminal.
    pub(crate) fn refusal(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.said);
        let rest = match text.strip_prefix('P') {
            Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest),
            None => &text,
        };
        let rest = rest.strip_prefix('T').unwrap_or(rest);
        rest.strip_prefix('E').map(str::to_owned)
    }

    fn learn_pid(&mut self) {
        let text = String::from_utf8_lossy(&self.said);
        let line = text.strip_prefix('P').and_then(|rest| rest.split_once('\n'));
        self.pid = line.and_then(|(pid, _)| pid.parse().ok());
    }

    fn read_output(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        let Some(output) = &self.output else { return false };
        match rustix::io::read(output, &mut chunk) {
            Ok(0) => self.output = None,
            Ok(read) => {
                let room = self.max_output.saturating_sub(self.collected.len());
                self.collected.extend_from_slice(&chunk[..read.min(room)]);
                return true;
            }
            Err(Errno::INTR) => return true,
            Err(Errno::AGAIN) => {}
            Err(_) => self.output = None,
        }
        false
    }
}

impl Shim {
    /// Runs a program; the answer comes when it has ended.
    pub(crate) fn exec(
        &mut self,
        from: u64,
        id: &ContainerId,
        spec: &ExecSpec,
    ) -> Result<Option<Reply>, Failure> {
        self.run_in(id, spec, Purpose::Reply(from))?;
        Ok(None)
    }

    /// Begins to run a program whose output is collected.
    pub(crate) fn run_in(
        &mut self,
        id: &ContainerId,
        spec: &ExecSpec,
        purpose: Purpose,
    ) -> Result<(), Failure> {
        let user = Some(spec.user.as_str()).filter(|user| !user.is_empty());
        let program = Program { args: &spec.args, env: &spec.env, user };
        let (output, theirs) = process::pipe()?;
        rustix::fs::fcntl_setfl(&output, OFlags::NONBLOCK)
            .attempt(|| "set a pipe not to block".into())?;
        let stdio = enter::Stdio::Pipes { input: None, output: theirs };
        let job = self.enter(id, program, stdio, purpose)?;
        if let Some(job) = self.jobs.get_mut(&job) {
            job.output = Some(output);
            job.max_output = spec.max_output;
            job.deadline = clock::monotonic().checked_add(spec.timeout);
        }
        Ok(())
    }

    /// Begins to run a program in a container; the job's number.
    pub(crate) fn enter(
        &mut self,
        id: &ContainerId,
        program: Program<'_>,
        stdio: enter::Stdio,
        purpose: Purpose,
    ) -> Result<u64, Failure> {
        let missing = || Failure::new(FailureKind::NotFound, id.as_str());
        let container = self.containers.get(id).ok_or_else(missing)?;
        if !container.is_running() {
            return Err(Failure::new(FailureKind::Invalid, format!("{id} does not run")));
        }
        let order = &container.order.order;
        if order.oci.as_ref().is_some_and(oci::Oci::has_own_kernel) {
            let why = "runsc runs it on a kernel of its own, into which this node's agent runs no \
                       further programs; use another --oci-runtime, or none";
            return Err(Failure::new(FailureKind::Invalid, why));
        }
        let first = match order.oci {
            Some(_) => oci::first_process(container.pid)?,
            None => container.pid,
        };
        let pid = Pid::from_raw(first).ok_or_else(missing)?;
        let target = rustix::process::pidfd_open(pid, PidfdFlags::empty())
            .attempt(|| format!("open the process of {id}"))?;
        let group = &container.record.cgroup;
        let entry = match order.oci {
            Some(_) => self.cgroups.entry(&oci::group_in(group)),
            None => self.cgroups.entry(group),
        }?;
        let (status, their_status) = process::socket_pair()?;
        let into = entry.for_clone();
        let enter = enter::Enter {
            target,
            entry,
            status: their_status,
            stdio,
            spec: &order.spec,
            user: program.user.unwrap_or(&order.user),
            groups: if program.user.is_none() { &order.groups } else { &[] },
            args: program.args,
            env: program.env,
            in_users: order.users.is_some(),
        };
        if let (Some(users), enter::Stdio::Pipes { input, output }) = (&order.users, &enter.stdio) {
            for pipe in input.iter().chain([output]) {
                users.range.own(pipe)?;
            }
        }
        let helper = match sys::clone3(0, into).attempt(|| "make a process".into())? {
            sys::Fork::Child => enter::run(&enter),
            sys::Fork::Parent(pid) => pid,
        };
        drop(enter);
        rustix::fs::fcntl_setfl(&status, OFlags::NONBLOCK)
            .attempt(|| "set a socket not to block".into())?;
        let job = Job {
            container: id.clone(),
            purpose,
            helper,
            pid: None,
            said: Vec::new(),
            handed: Vec::new(),
            told: false,
            collected: Vec::new(),
            max_output: 0,
            killed: false,
            status: Some(status),
            output: None,
            deadline: None,
        };
        let number = self.next_job;
        self.jobs.insert(number, job);
        self.next_job += 1;
        Ok(number)
    }

    /// Hears what a program's processes say of its start.
    pub(crate) fn hear_job(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let mut chunk = [0; 4096];
        while let Some(status) = &job.status {
            match process::receive_with_fds(status, &mut chunk) {
                Ok((0, _)) => job.status = None,
                Ok((read, fds)) => {
                    job.said.extend_from_slice(&chunk[..read]);
                    job.handed.extend(fds);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => job.status = None,
            }
        }
        if job.pid.is_none() {
            job.learn_pid();
            if let Some((pid, killed)) = job.pid.map(|pid| (pid, job.killed)) {
                if let Some(code) = self.strays.remove(&pid) {
                    self.finish_job(id, code);
                } else if killed {
                    job.kill();
                }
            }
        }
        self.tell_session(id);
    }

    /// Reads what a program has written at present.
    pub(crate) fn read_job_output(&mut self, id: u64) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.read_output();
        }
    }

    /// A child ended; whether it belonged to a program.
    pub(crate) fn job_ended(&mut self, pid: i32, code: i32) -> bool {
        let mut jobs = self.jobs.iter();
        let found = jobs.find(|(_, job)| job.pid == Some(pid) || job.helper == pid);
        let Some((id, job)) = found.map(|(id, job)| (*id, job)) else { return false };
        // The helper ends well once it has told the program's pid.
        if job.pid == Some(pid) || job.pid.is_none() {
            self.finish_job(id, code);
        }
        true
    }

    fn finish_job(&mut self, id: u64, code: i32) {
        self.tell_session(id);
        let Some(mut job) = self.jobs.remove(&id) else { return };
        while job.read_output() {}
        let refusal = job.refusal();
        match job.purpose {
            Purpose::Probe => {
                let succeeded = code == 0 && !job.killed && refusal.is_none();
                self.probed(&job.container, succeeded);
            }
            Purpose::Session(to) => {
                let reply = match refusal {
                    Some(why) => Reply::Failed(Failure::new(FailureKind::Start, why)),
                    None => Reply::SessionEnded { code },
                };
                self.connections.reply(to, &reply);
            }
            Purpose::Reply(to) => {
                let reply = match refusal {
                    Some(why) => Reply::Failed(Failure::new(FailureKind::Start, why)),
                    None => Reply::Executed(ExecResult {
                        code: if job.killed { TIMED_OUT } else { code },
                        output: job.collected,
                    }),
                };
                self.connections.reply(to, &reply);
            }
        }
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        fault.line()
    }
}
