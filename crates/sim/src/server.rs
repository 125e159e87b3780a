//! The server's half: the one writer turned by hand, the sessions, and the planning loop. All of it is
//! gone with the process but what the engine has.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use aws::agent::acs::RoleCredentials;
use control::{Dialogue, Mint, MintError, RolePurpose};
use model::{InstanceKey, Realm, State, TaskKey};
use scheduler::Command;
use stdx::{SeededEntropy, Timestamp};
use store::disk::Disk;
use store::{Engine, EngineError, MemoryEngine, RedbEngine, Rounds, Steady, latest};

use crate::around::Loops;
use crate::writer::{Decided, Writing};

/// Whose answer a command's is.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A call's, by its number.
    Call(u64),
    /// The planning loop's.
    Plan,
    /// Something around the scheduler: see [`crate::around`].
    Around,
    /// A session that is over: it is tried until it is written.
    Goodbye(InstanceKey),
    /// A session that begins: it says its greeting then.
    Greeting(InstanceKey, u64),
    /// Nobody's.
    Nobody,
}

/// A session as the server has it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) node: usize,
    pub(crate) dialogue: Dialogue,
    /// It has said its greeting; what happens before is in there.
    pub(crate) greeted: bool,
    /// When the last frame arrives that was sent: the next does not overtake it.
    pub(crate) last: Timestamp,
}

/// What became of the commands of a plan so far.
#[derive(Debug, Default)]
pub(crate) struct Planning {
    pub(crate) outstanding: usize,
    pub(crate) done: usize,
    pub(crate) failed: usize,
    /// Something changed since it last looked.
    pub(crate) changed: bool,
    /// Tells apart wake-ups that count from those that were overtaken.
    pub(crate) alarm: u64,
    /// Plans in a row that came to nothing.
    pub(crate) fruitless: u32,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) rounds: Rounds,
    /// The answers of the round under way.
    pub(crate) decided: Vec<Decided>,
    /// The round before, while it is being written.
    pub(crate) writing: Option<Writing>,
    pub(crate) ids: SeededEntropy,
    /// The time by which it decides.
    pub(crate) steady: Cell<Steady>,
    pub(crate) queue: Vec<(Origin, Command)>,
    pub(crate) sessions: BTreeMap<InstanceKey, Session>,
    pub(crate) planning: Planning,
    /// What the loops beside the planning loop remember.
    pub(crate) loops: Loops,
    /// It has told the store that no session stands, and serves.
    pub(crate) ready: bool,
}

/// What keeps the records over a server's lives.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// Memory that outlives the process.
    Memory(MemoryEngine),
    /// The real engine over a disk whose power may fail.
    Disk(Disk),
}

impl Storage {
    /// Starts a server over what is kept.
    pub(crate) fn open(
        &self,
        realm: Realm,
        seed: u64,
        now: Timestamp,
    ) -> Result<Server, EngineError> {
        let mut engine: Box<dyn Engine> = match self {
            Self::Memory(engine) => Box::new(engine.clone()),
            Self::Disk(disk) => Box::new(RedbEngine::over(disk.clone())?),
        };
        let rounds = Rounds::open(engine.as_mut(), realm)?;
        let steady = Cell::new(Steady::after(latest(rounds.snapshot()), now));
        Ok(Server {
            rounds,
            steady,
            engine,
            decided: Vec::new(),
            writing: None,
            ids: SeededEntropy::new(seed),
            queue: Vec::new(),
            sessions: BTreeMap::new(),
            planning: Planning::default(),
            loops: Loops::default(),
            ready: false,
        })
    }

    /// Whether the machine has power.
    pub(crate) fn has_power(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Disk(disk) => disk.has_power(),
        }
    }
}

impl Server {
    /// What every reader sees.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(self.rounds.snapshot())
    }
}

/// Nobody's tasks have roles here.
#[derive(Debug)]
pub(crate) struct NoRoles;

impl Mint for NoRoles {
    fn mint(
        &self,
        role: &str,
        _: &TaskKey,
        _: RolePurpose,
        _: Timestamp,
    ) -> Result<RoleCredentials, MintError> {
        Err(MintError::CannotAssume(role.to_owned()))
    }
}
