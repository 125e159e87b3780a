//! Programs that somebody watches and types to: each belongs to one connection, whose asker holds the
//! other ends of its input and output, and is hung up when that connection closes.

use std::time::Duration;

use super::jobs::{Program, Purpose};
use super::proto::{Failure, Reply, SessionOrder};
use super::{Shim, clock};
use crate::ContainerId;
use crate::engine::{enter, process, sys};

/// A program that does not end when it is hung up is killed after this time.
const HANG_UP: Duration = Duration::from_secs(3);

impl Shim {
    /// Begins a session; the first answer comes when its program runs, the second when it has ended.
    pub(crate) fn open_session(
        &mut self,
        from: u64,
        id: &ContainerId,
        order: &SessionOrder,
    ) -> Result<Option<Reply>, Failure> {
        let program = Program { args: &order.args, env: &order.env, user: Some(&order.user) };
        let purpose = Purpose::Session(from);
        let Some((rows, columns)) = order.terminal else {
            let (input, typed) = process::pipe()?;
            let (printed, output) = process::pipe()?;
            let stdio = enter::Stdio::Pipes { input: Some(input), output };
            let job = self.enter(id, program, stdio, purpose)?;
            self.jobs.entry(job).and_modify(|job| job.handed = vec![typed, printed]);
            return Ok(None);
        };
        self.enter(id, program, enter::Stdio::Terminal { rows, columns }, purpose)?;
        Ok(None)
    }

    /// Tells a session's asker that its program runs, once it does.
    pub(crate) fn tell_session(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Purpose::Session(to) = job.purpose else { return };
        if !job.told && job.status.is_none() && job.refusal().is_none() {
            job.told = true;
            self.connections.reply_with(to, &Reply::Session, &std::mem::take(&mut job.handed));
        }
    }

    /// Sends a signal to a session's program; one that has ended does not mind.
    pub(crate) fn signal_session(&mut self, from: u64, signal: i32) {
        let session = self.jobs.values().find(|job| job.purpose == Purpose::Session(from));
        if let Some(pid) = session.and_then(|job| job.pid).filter(|_| (1..=64).contains(&signal)) {
            sys::kill(pid, signal).unwrap_or_default();
        }
    }

    /// Hangs up the sessions whose askers are gone.
    pub(crate) fn hang_up_sessions(&mut self) {
        for job in self.jobs.values_mut() {
            let Purpose::Session(asker) = job.purpose else { continue };
            if self.connections.has(asker) || job.deadline.is_some() || job.is_killed() {
                continue;
            }
            job.handed.clear();
            job.deadline = clock::monotonic().checked_add(HANG_UP);
            match job.pid {
                // A group of its own: it leads a session.
                Some(pid) => sys::kill(-pid, libc::SIGHUP).unwrap_or_default(),
                None => job.kill(),
            }
        }
    }
}
