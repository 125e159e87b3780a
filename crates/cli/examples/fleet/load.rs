//! Calls at a steady rate, whatever becomes of those before: each is timed from the instant at which it
//! was due, so that a server that falls behind does not look quick.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::http::Pool;
use crate::meter::Series;

/// So many calls are under way at most; others wait, and their time counts.
const UNDER_WAY: usize = 4_000;

/// Makes the body of a call by its number.
pub(crate) type Body = Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>;

/// An operation that is called again and again.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) operation: &'static str,
    pub(crate) body: Body,
}

impl Calls {
    pub(crate) fn new(
        operation: &'static str,
        body: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self { operation, body: Arc::new(body) }
    }

    /// One call and its outcome.
    pub(crate) async fn once(&self, pool: &Pool, number: u64) -> String {
        match pool.call(self.operation, &(self.body)(number)).await {
            Ok(answer) if answer.status == 200 && is_short(self.operation, &answer.body) => {
                "200 with failures".to_owned()
            }
            Ok(answer) => answer.outcome(),
            Err(error) => format!("no answer: {error}"),
        }
    }
}

/// Whether not all tasks of a RunTask were placed.
fn is_short(operation: &str, body: &[u8]) -> bool {
    operation == "RunTask" && !body.windows(13).any(|window| window == b"\"failures\":[]")
}

/// So many calls a second, for so long.
pub(crate) async fn steady(pool: &Pool, calls: &Calls, rate: f64, seconds: f64) -> Series {
    let period = Duration::from_secs_f64(1.0 / rate);
    let mut due = interval_at(Instant::now() + period, period);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (done, mut results) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    for number in 0_u64.. {
        if number as f64 >= rate * seconds {
            break;
        }
        let at = due.tick().await;
        let (pool, calls, done) = (pool.clone(), calls.clone(), done.clone());
        let room = Arc::clone(&room);
        tokio::spawn(async move {
            let _permit = room.acquire_owned().await;
            let outcome = calls.once(&pool, number).await;
            // Who measures listens to the end.
            drop(done.send((at.elapsed(), outcome)));
        });
    }
    drop(done);
    let mut series = Series::default();
    while let Some((wait, outcome)) = results.recv().await {
        series.add(wait, outcome);
    }
    series
}

/// So many callers, each with one call under way, until so many calls are made.
pub(crate) async fn flood(pool: &Pool, calls: &Calls, callers: usize, count: u64) -> Series {
    let next = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let (done, mut results) = mpsc::unbounded_channel();
    for _ in 0..callers {
        let (pool, calls, done) = (pool.clone(), calls.clone(), done.clone());
        let next = Arc::clone(&next);
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let at = Instant::now();
                let outcome = calls.once(&pool, number).await;
                let throttled = outcome.contains("Throttling");
                drop(done.send((at.elapsed(), outcome)));
                if throttled {
                    // As clients do, if not as long.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    drop(done);
    let mut series = Series::default();
    while let Some((wait, outcome)) = results.recv().await {
        series.add(wait, outcome);
    }
    series
}
