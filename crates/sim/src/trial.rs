//! An operator tries a cluster and changes to it, on the real decisions and without a fault that was
//! not asked for: what happens is told as it happens, and what became of each service at the end.

mod parse;
mod play;

use std::time::Duration;

use crate::fleet::{Family, Machine};

pub use parse::ParseError;
pub use play::{Outcome, ServiceOutcome, ZoneOutcome, play};

/// A cluster, what runs in it, and what is done to it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What there is.
    pub machines: Vec<Machine>,
    /// What is asked for at first.
    pub services: Vec<Wanted>,
    /// What is done then, each once the cluster has settled after the one before.
    pub changes: Vec<Change>,
    /// So long it may take to settle each time.
    pub patience: Duration,
    /// From which all chance follows.
    pub seed: u64,
}

/// A service that is asked for: `NAME:COUNT:CPU:MEMORY[:OPTION,…]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its name, and its family's.
    pub name: String,
    /// How many tasks.
    pub count: u32,
    /// What each is.
    pub family: Family,
    /// `(maximum, minimum)` percent.
    pub percents: (Option<u32>, Option<u32>),
    /// Whether the circuit breaker acts and rolls back.
    pub breaker: bool,
    /// How it is placed; none for ECS's own way.
    pub strategy: Vec<model::PlacementStrategy>,
}

/// Something that is done to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `update NAME [image=IMAGE]`: a new revision is deployed.
    Update {
        /// Which service.
        service: String,
        /// What it runs from now on; [`crate::Image`] reads what that does.
        image: String,
    },
    /// `scale NAME COUNT`.
    Scale {
        /// Which service.
        service: String,
        /// How many tasks from now on.
        count: u32,
    },
    /// `delete NAME`, by force.
    Delete {
        /// Which service.
        service: String,
    },
    /// `lose COUNT`: machines are never seen again, and deregistered when they have been silent, as an
    /// Auto Scaling group does.
    Lose {
        /// How many.
        count: usize,
    },
    /// `lose zone LETTER`: all machines of an availability zone at once.
    LoseZone {
        /// Its number.
        zone: u32,
    },
    /// `drain COUNT`: instances are set to DRAINING.
    Drain {
        /// How many.
        count: usize,
    },
    /// `drain zone LETTER`: all instances of an availability zone.
    DrainZone {
        /// Its number.
        zone: u32,
    },
    /// `add COUNT`: machines like the first join.
    Add {
        /// How many.
        count: usize,
    },
    /// `crash`: the server is killed and comes back after two seconds.
    Crash,
    /// `wait SECONDS`.
    Wait {
        /// How long.
        time: Duration,
    },
}
