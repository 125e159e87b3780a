//! Connections to targets that wait for their next request. One pool a worker, so that a connection stays
//! on its thread.

use std::collections::BTreeMap;
use std::sync::Mutex;

use hyper::client::conn::http2;

use crate::body::UpBody;
use crate::h1::H1;
use crate::state::lock;

/// How long an idle connection is kept, in milliseconds: shorter than what servers commonly allow.
const KEPT: u64 = 55_000;
/// The most idle connections to one target.
const MOST: usize = 1024;

/// The sending side of a connection to a target.
#[derive(Debug)]
pub(crate) enum Sender {
    H1(Box<H1>),
    H2(http2::SendRequest<UpBody>),
}

impl Sender {
    pub(crate) fn is_closed(&mut self) -> bool {
        match self {
            Self::H1(conn) => !conn.is_ready(),
            Self::H2(sender) => sender.is_closed(),
        }
    }
}

/// The idle connections of one worker, by target.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<BTreeMap<u64, Vec<(Sender, u64)>>>);

impl Pool {
    /// A connection to the target, if one waits; the youngest first, so that the others may age away.
    pub(crate) fn take(&self, target: u64, now: u64) -> Option<Sender> {
        let mut pool = lock(&self.0);
        let waiting = pool.get_mut(&target)?;
        while let Some((sender, since)) = waiting.last_mut() {
            if sender.is_closed() || *since + KEPT < now {
                waiting.pop();
                continue;
            }
            // A connection of HTTP/2 serves many requests at once and stays where it is.
            if let Sender::H2(sender) = sender {
                *since = now;
                return Some(Sender::H2(sender.clone()));
            }
            return waiting.pop().map(|(sender, _)| sender);
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(crate) fn put(&self, target: u64, sender: Sender, now: u64) {
        let mut pool = lock(&self.0);
        let waiting = pool.entry(target).or_default();
        if waiting.len() < MOST {
            waiting.push((sender, now));
        }
    }

    /// Forgets a target's connections.
    pub(crate) fn forget(&self, target: u64) {
        lock(&self.0).remove(&target);
    }

    /// Lets go of what waited too long.
    pub(crate) fn sweep(&self, now: u64) {
        let mut pool = lock(&self.0);
        for waiting in pool.values_mut() {
            waiting.retain_mut(|(sender, since)| !sender.is_closed() && *since + KEPT >= now);
        }
        pool.retain(|_, waiting| !waiting.is_empty());
    }
}
