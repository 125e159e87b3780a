//! A client's connection: what its parts tell each other, and when it is over.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::{Instant, Sleep};

use crate::ListenerId;
use crate::guard::Refusal;
use crate::worker::Worker;

/// For how long longer than a request's own time-outs a connection waits, so that these come first.
const GRACE: u64 = 5_000;
/// How long a head may take, from its first byte.
const HEAD_TIME: u64 = 60_000;
/// After how long without a request a connection gives back its buffers.
const PARK: u64 = 500;

const UNDECIDED: u8 = 0;
const SWITCHED: u8 = 1;
const STAYED: u8 = 2;

/// What the parts of a connection tell each other. Times are ticks of the worker; zero is never.
#[derive(Debug)]
pub(crate) struct ConnState {
    pub(crate) listener: ListenerId,
    worker: Arc<Worker>,
    opened: u64,
    /// When bytes last came or went.
    active: AtomicU64,
    /// Since when a head is under way.
    head_since: AtomicU64,
    /// When the last request was over.
    rested: AtomicU64,
    in_flight: AtomicU32,
    /// Why a request was refused at the edge.
    pub(crate) refusal: OnceLock<Refusal>,
    head_late: AtomicBool,
    ending: AtomicU8,
    driver: AtomicWaker,
    switched: AtomicU8,
    switch: AtomicWaker,
    /// Bytes wait until the client takes more.
    stuck: AtomicBool,
}

impl ConnState {
    pub(crate) fn new(listener: ListenerId, worker: Arc<Worker>) -> Arc<Self> {
        let now = worker.tick();
        Arc::new(Self {
            listener,
            worker,
            opened: now,
            active: AtomicU64::new(now),
            head_since: AtomicU64::new(0),
            rested: AtomicU64::new(now),
            in_flight: AtomicU32::new(0),
            refusal: OnceLock::new(),
            head_late: AtomicBool::new(false),
            ending: AtomicU8::new(0),
            driver: AtomicWaker::new(),
            switched: AtomicU8::new(UNDECIDED),
            switch: AtomicWaker::new(),
            stuck: AtomicBool::new(false),
        })
    }

    /// Bytes came or went.
    pub(crate) fn touch(&self) {
        self.active.store(self.worker.tick(), Ordering::Relaxed);
    }

    /// Whether bytes wait until the client takes more.
    pub(crate) fn stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    /// A request is refused; the first reason counts, as nothing is read after it.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refusal.get_or_init(|| refusal);
    }

    /// Whether a head is under way now.
    pub(crate) fn head(&self, under_way: bool) {
        if !under_way {
            self.head_since.store(0, Ordering::Relaxed);
        } else if self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.worker.tick(), Ordering::Relaxed);
        }
    }

    /// Whether the head under way is too late.
    pub(crate) fn head_is_late(&self) -> bool {
        self.head_late.load(Ordering::Relaxed)
    }

    pub(crate) fn request_begins(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request_ends(&self) {
        self.rested.store(self.worker.tick(), Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the protocol was switched, once it is known.
    pub(crate) fn switched(&self, context: &Context<'_>) -> Option<bool> {
        self.switch.register(context.waker());
        match self.switched.swap(UNDECIDED, Ordering::AcqRel) {
            SWITCHED => Some(true),
            STAYED => Some(false),
            _ => None,
        }
    }

    /// It is known whether the protocol is switched.
    pub(crate) fn decide(&self, switched: bool) {
        self.switched.store(if switched { SWITCHED } else { STAYED }, Ordering::Release);
        self.switch.wake();
    }

    /// The connection is to end: after its request, or at once.
    pub(crate) fn end(&self, at_once: bool) {
        self.ending.fetch_max(if at_once { 2 } else { 1 }, Ordering::AcqRel);
        self.driver.wake();
    }

    /// Resolves when the connection is to end; for those that no [`Driver`] drives.
    pub(crate) async fn until_ended(&self) {
        std::future::poll_fn(|context| {
            self.driver.register(context.waker());
            if self.ending.load(Ordering::Acquire) > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Resolves when the connection is to end at once; for one whose protocol was switched.
    pub(crate) async fn until_cut(&self) {
        std::future::poll_fn(|context| {
            self.driver.register(context.waker());
            if self.ending.load(Ordering::Acquire) > 1 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn facts(&self) -> Facts {
        Facts {
            now: self.worker.tick(),
            opened: self.opened,
            active: self.active.load(Ordering::Relaxed),
            head_since: self.head_since.load(Ordering::Relaxed),
            rested: self.rested.load(Ordering::Relaxed),
            busy: self.in_flight.load(Ordering::Relaxed) > 0,
            ending: self.ending.load(Ordering::Acquire) > 0,
            stuck: self.stuck.load(Ordering::Relaxed),
        }
    }

    /// Waits until there is something to read, and says whether there is: or else the connection is over.
    pub(crate) async fn rest(
        &self,
        limits: Limits,
        mut readable: impl FnMut(&mut Context<'_>) -> Poll<bool>,
    ) -> bool {
        let readable = std::future::poll_fn(|context| readable(context));
        let silent = async {
            while let Due::Later(wait) =
                due(Facts { busy: false, head_since: 0, ..self.facts() }, limits)
            {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
        };
        tokio::select! {
            biased;
            readable = readable => readable,
            () = self.until_ended() => false,
            () = silent => false,
        }
    }
}

/// How long a connection may last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Silent, in milliseconds.
    pub(crate) idle: u64,
    /// In all, in milliseconds.
    pub(crate) whole: u64,
}

/// How a connection stands, in ticks.
#[derive(Clone, Copy, Debug)]
struct Facts {
    now: u64,
    opened: u64,
    active: u64,
    head_since: u64,
    rested: u64,
    busy: bool,
    ending: bool,
    stuck: bool,
}

/// What a connection's time says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Look again after so many milliseconds.
    Later(u64),
    /// Its head is too late.
    Head,
    /// No further requests.
    Finish,
    /// It is over.
    Close,
}

/// What is to be done about time. Between requests neither empty lines nor pings count as a sign of life,
/// and a head has a time of its own, so that a client cannot hold a connection by trickling bytes.
fn due(facts: Facts, limits: Limits) -> Due {
    let left = |from: u64, allowed: u64| from.saturating_add(allowed).saturating_sub(facts.now);
    let soon = |left: u64| Due::Later(left.max(1));
    if facts.busy {
        return match left(facts.active, limits.idle + GRACE) {
            0 => Due::Close,
            left => soon(left),
        };
    }
    if facts.head_since > 0 {
        return match left(facts.head_since, limits.idle.min(HEAD_TIME)) {
            0 => Due::Head,
            left => soon(left),
        };
    }
    let idle = left(facts.rested, limits.idle);
    if idle == 0 {
        return Due::Close;
    }
    if facts.ending {
        return soon(idle);
    }
    match left(facts.opened, limits.whole) {
        0 => Due::Finish,
        left => soon(left.min(idle)),
    }
}

/// Whether a connection rests: nothing is under way, and what was written is on its way.
fn rests(facts: Facts) -> bool {
    !facts.busy
        && !facts.ending
        && !facts.stuck
        && facts.head_since == 0
        && facts.rested + PARK <= facts.now
}

/// A connection of the HTTP library.
pub(crate) trait Conn: Future + Unpin {
    /// What is left of it when it rests.
    type Io;

    /// No further requests are taken.
    fn finish(self: Pin<&mut Self>);

    /// Gives back everything but its bytes; none if it cannot, and is over.
    fn park(self) -> Option<Self::Io>;

    /// Whether it can be parked at all.
    const PARKS: bool;
}

/// Drives a connection until it ends or its time is over.
pub(crate) struct Driver<C> {
    conn: Option<Box<C>>,
    state: Arc<ConnState>,
    limits: Limits,
    sleep: Pin<Box<Sleep>>,
    finishing: bool,
}

/// Why a connection is not driven any more.
#[derive(Debug)]
pub(crate) enum End<I> {
    /// It is over.
    Over,
    /// It rests.
    Parked(I),
}

impl<C: Conn> Driver<C> {
    pub(crate) fn new(conn: C, state: Arc<ConnState>, limits: Limits) -> Self {
        let first = Duration::from_millis(limits.idle.clamp(1, PARK));
        let sleep = Box::pin(tokio::time::sleep(first));
        Self { conn: Some(Box::new(conn)), state, limits, sleep, finishing: false }
    }

    fn conn(&mut self) -> Option<Pin<&mut C>> {
        self.conn.as_deref_mut().map(Pin::new)
    }

    fn poll_conn(&mut self, context: &mut Context<'_>) -> bool {
        self.conn().is_none_or(|conn| conn.poll(context).is_ready())
    }

    fn finish(&mut self) {
        if !self.finishing {
            self.finishing = true;
            self.state.end(false);
            if let Some(conn) = self.conn() {
                conn.finish();
            }
        }
    }
}

impl<C: Conn> Future for Driver<C> {
    type Output = End<C::Io>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<End<C::Io>> {
        let this = &mut *self;
        this.state.driver.register(context.waker());
        match this.state.ending.load(Ordering::Acquire) {
            0 => {}
            1 => this.finish(),
            _ => return Poll::Ready(End::Over),
        }
        if this.poll_conn(context) {
            return Poll::Ready(End::Over);
        }
        while this.sleep.as_mut().poll(context).is_ready() {
            let facts = this.state.facts();
            if C::PARKS && rests(facts) {
                let parked = this.conn.take().and_then(|conn| conn.park());
                return Poll::Ready(parked.map_or(End::Over, End::Parked));
            }
            let wait = match due(facts, this.limits) {
                Due::Later(wait) => wait.min(PARK),
                Due::Close => return Poll::Ready(End::Over),
                Due::Head => {
                    this.state.head_late.store(true, Ordering::Relaxed);
                    this.state.head(false);
                    PARK
                }
                Due::Finish => {
                    this.finish();
                    PARK
                }
            };
            this.sleep.as_mut().reset(Instant::now() + Duration::from_millis(wait));
            if this.poll_conn(context) {
                return Poll::Ready(End::Over);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_up_as_the_limits_say() {
        let limits = Limits { idle: 60_000, whole: 3_600_000 };
        let facts = Facts {
            now: 100_000,
            opened: 1,
            active: 90_000,
            head_since: 0,
            rested: 80_000,
            busy: false,
            ending: false,
            stuck: false,
        };
        for (facts, expected) in [
            (facts, Due::Later(40_000)),
            (Facts { rested: 40_000, ..facts }, Due::Close),
            // Bytes that are no request do not count.
            (Facts { rested: 40_000, active: 100_000, ..facts }, Due::Close),
            (Facts { head_since: 99_000, ..facts }, Due::Later(59_000)),
            (Facts { head_since: 40_000, active: 100_000, ..facts }, Due::Head),
            (Facts { busy: true, rested: 1, ..facts }, Due::Later(55_000)),
            (Facts { busy: true, active: 35_000, ..facts }, Due::Close),
            (Facts { now: 4_000_000, rested: 3_990_000, ..facts }, Due::Finish),
            (
                Facts { now: 4_000_000, rested: 3_990_000, ending: true, ..facts },
                Due::Later(50_000),
            ),
        ] {
            assert_eq!(due(facts, limits), expected, "{facts:?}");
        }
        assert!(rests(facts));
        for facts in [
            Facts { busy: true, ..facts },
            Facts { stuck: true, ..facts },
            Facts { head_since: 1, ..facts },
            Facts { rested: 99_600, ..facts },
        ] {
            assert!(!rests(facts), "{facts:?}");
        }
    }
}
