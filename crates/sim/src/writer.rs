//! The server's writer, turned by hand: rounds are decided while the one before is being written, and
//! the disk takes its time, so that anything may happen between deciding, writing and hearing of it.

use std::sync::Arc;
use std::time::Duration;

use scheduler::{Command, Reply};
use stdx::Entropy;
use store::{Sealed, SubmitError};

use crate::checks;
use crate::server::Origin;
use crate::world::{Happening, World};

/// A command, whose it was, and its answer, which must not be given yet.
pub(crate) type Decided = (Origin, Command, Result<Reply, SubmitError>);

/// The round that is being written, and who waits for it.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) round: Sealed,
    pub(crate) decided: Vec<Decided>,
}

impl World {
    /// Queues a command for the writer.
    pub(crate) fn submit(&mut self, origin: Origin, command: Command) {
        let Some(server) = &mut self.server else { return };
        if server.queue.is_empty() {
            let soon = Duration::from_millis(u64::from(self.chance.below(3) == 0));
            self.agenda.after(soon, Happening::Round(self.life));
        }
        server.queue.push((origin, command));
    }

    /// The writer decides what waits, and seals the round if no other is being written.
    pub(crate) fn round(&mut self, life: u64) {
        let now = self.server_now();
        let Some(server) = self.server.as_mut().filter(|_| self.life == life) else { return };
        for (origin, command) in std::mem::take(&mut server.queue) {
            self.commands += 1;
            let before = server.rounds.draft().clone();
            let from = server.rounds.pending();
            let result = server.rounds.decide(&command, now, &mut server.ids);
            let after = server.rounds.draft();
            let verdict = match &result {
                Ok(_) => {
                    let changes = server.rounds.changes().get(from..).unwrap_or_default();
                    let shown = self.mutation.and_then(|mutation| {
                        checks::shown(mutation, &before, after, &command, changes, now)
                    });
                    shown
                        .unwrap_or_else(|| checks::decision(&before, after, &command, changes, now))
                }
                Err(SubmitError::Bug(what)) => Err(format!("the decision on {what} panicked")),
                Err(_) if before != *after => Err("what is refused changes nothing".to_owned()),
                Err(_) => Ok(()),
            };
            if let Err(what) = verdict {
                return self.fail(format!("{command:?}: {what}"));
            }
            server.decided.push((origin, command, result));
        }
        self.seal();
    }

    /// The round under way is on its way to the disk, if nothing else is.
    fn seal(&mut self) {
        let Some(server) = &mut self.server else { return };
        if server.rounds.is_writing() || server.decided.is_empty() {
            return;
        }
        let decided = std::mem::take(&mut server.decided);
        match server.rounds.seal() {
            Some(round) => {
                self.under_way = Some(Arc::clone(round.state()));
                server.writing = Some(Writing { round, decided });
                let soon = self.disk_takes();
                self.agenda.after(soon, Happening::Writes(self.life));
            }
            None => self.answer(decided, None),
        }
    }

    /// Mostly no time that counts; sometimes so much that another round is decided meanwhile.
    fn disk_takes(&mut self) -> Duration {
        let slow = self.chance.below(4) == 0;
        Duration::from_millis(if slow { 1 + self.chance.below(4) } else { 0 })
    }

    /// The disk writes the sealed round. Nobody hears of it yet.
    pub(crate) fn writes(&mut self, life: u64) {
        let Some(server) = self.server.as_mut().filter(|_| self.life == life) else { return };
        let Some(writing) = &server.writing else { return };
        match writing.round.write(server.engine.as_mut()) {
            Err(_) if !self.storage.has_power() => {
                self.note(|| "the power goes while the writer writes".to_owned());
                self.meet("power lost, disk torn");
                let back = Duration::from_millis(200 + self.chance.below(20_000));
                self.end_server(back);
                self.restore_power();
            }
            written => {
                let written = written.map_err(|error| stdx::chain(&error));
                let soon = self.disk_takes();
                self.agenda.after(soon, Happening::Written(life, written));
            }
        }
    }

    /// The server hears what became of the round: it is published and answered, or it and the one that
    /// was decided upon it never were. The next one goes out.
    pub(crate) fn written(&mut self, life: u64, written: Result<(), String>) {
        let Some(server) = self.server.as_mut().filter(|_| self.life == life) else { return };
        let Some(Writing { mut decided, .. }) = server.writing.take() else { return };
        self.under_way = None;
        match written {
            Ok(()) => {
                if let Some(batch) = server.rounds.durable() {
                    self.publish(&batch.changes);
                }
                self.answer(decided, None);
            }
            Err(why) => {
                server.rounds.undo();
                decided.append(&mut server.decided);
                let upon = decided.len();
                self.meet("commit failed");
                self.note(|| format!("{upon} decisions are undone: {why}"));
                self.answer(decided, Some(()));
            }
        }
        self.seal();
    }
}
