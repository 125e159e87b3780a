//! Where tasks of the launch type `FARGATE` go: on nodes that offer it, whichever cluster those are
//! registered in. To their users there are no nodes, only capacity.
//!
//! Nodes that offer nothing else come first, so that container instances stay free for those who can
//! use nothing but them; then those of the task's own cluster, then the others by the names of theirs.

use model::{ClusterName, FARGATE_CLUSTER, LaunchType, State};
use stdx::Entropy;

use super::filter::merge;
use super::{Board, Place, Wish, board};
use crate::{Failure, FailureReason, Lack};

/// The boards on which tasks of one call may be placed: that of their cluster, or all that offer
/// Fargate.
#[derive(Debug)]
pub(crate) struct Boards<'a> {
    boards: Vec<(Option<ClusterName>, Board<'a>)>,
    fargate: bool,
}

/// Where a task goes, and in which cluster that instance is registered if not in the task's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) host: Option<ClusterName>,
    pub(crate) place: Place,
}

impl From<Place> for Spot {
    fn from(place: Place) -> Self {
        Self { host: None, place }
    }
}

impl<'a> Boards<'a> {
    /// Sets up the boards.
    pub(crate) fn new(state: &'a State, wish: Wish<'a>) -> Self {
        let fargate = wish.launch_type == LaunchType::Fargate;
        let boards = if fargate {
            wishes(state, &wish).map(|(host, wish)| (host, Board::new(state, wish))).collect()
        } else {
            vec![(None, Board::new(state, wish))]
        };
        Self { boards, fargate }
    }

    /// Places one task, or tells why it fits nowhere.
    pub(crate) fn place(&mut self, chance: &mut dyn Entropy) -> Result<Spot, Failure> {
        let mut failures = Vec::new();
        for (host, board) in &mut self.boards {
            match board.place(chance) {
                Ok(place) => return Ok(Spot { host: host.clone(), place }),
                Err(failure) => failures.push(failure),
            }
        }
        Err(match failures.pop() {
            Some(only) if !self.fargate => only,
            last => {
                failures.extend(last);
                unavailable(failures)
            }
        })
    }
}

/// Whether one task finds a place at all, and if not, why.
pub(super) fn somewhere(state: &State, wish: &Wish<'_>) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for (_, wish) in wishes(state, wish) {
        match board::within(state, &wish) {
            Ok(()) => return Ok(()),
            Err(failure) => failures.push(failure),
        }
    }
    Err(unavailable(failures))
}

/// The wish of each fleet in turn.
fn wishes<'a>(
    state: &'a State,
    wish: &Wish<'a>,
) -> impl Iterator<Item = (Option<ClusterName>, Wish<'a>)> {
    let own = wish.cluster;
    let mut clusters: Vec<&ClusterName> =
        state.fleets_of_fargate().map(|(cluster, _)| cluster).collect();
    // Stable: otherwise by their names.
    clusters.sort_by_key(|cluster| (cluster.as_str() != FARGATE_CLUSTER, *cluster != own));
    let of = |cluster| Wish { cluster, provider: None, ..wish.clone() };
    let all: Vec<_> = clusters
        .into_iter()
        .map(|cluster| ((cluster != own).then(|| cluster.clone()), of(cluster)))
        .collect();
    all.into_iter()
}

/// What its users are told: that there is no capacity. What keeps a task off the nodes that offer it
/// is told beside.
fn unavailable(failures: Vec<Failure>) -> Failure {
    let mut all = Failure {
        instance: None,
        reason: FailureReason::Capacity,
        shortfalls: Vec::new(),
        detail: Vec::new(),
    };
    for mut failure in failures {
        failure.shortfalls.retain(|shortfall| shortfall.lack != Lack::LaunchType);
        failure.detail.retain(|(_, lack)| *lack != Lack::LaunchType);
        merge(&mut all, failure);
    }
    all
}
