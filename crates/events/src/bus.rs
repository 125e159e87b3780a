//! The bus: what is published is kept, matched and put into the outbox, and only then is it published.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use shell::{Clock, Shutdown};
use stdx::Entropy;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::courier::{Calls, Count, Counts, Courier, Load};
use crate::outbox::{Contents, Cursor, Delivery, Outbox, OutboxError};
use crate::rules::{Event, Rule};

/// So many deliveries wait for one target at most; what comes beside them is given up at once.
pub const MOST_WAITING: usize = 10_000;

/// So many cursors are moved at most before they are made durable.
const MOST_OWED: usize = 50_000;

/// What [`Keeps::keep`] gives back.
pub type Kept<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Keeps events so that they can be read later.
pub trait Keeps: Send + Sync + Debug {
    /// Whether anything is kept at all: if not, and no rule takes events, none need be made.
    fn keeps(&self) -> bool {
        true
    }

    /// Keeps them; an event may come twice.
    fn keep<'a>(&'a self, events: &'a [Event]) -> Kept<'a>;
}

/// Why events are not published. Nothing of them is delivered, unless they are published again.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// They could not be kept.
    #[error("keep events: {0}")]
    Keep(String),
    /// The outbox does not take them.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// The bus. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    outbox: Outbox,
    rules: Arc<dyn Rules>,
    keeper: Arc<dyn Keeps>,
    counts: Arc<dyn Counts>,
    clock: Arc<dyn Clock>,
    next: AtomicU64,
    load: Load,
    /// Cursors that were moved and are not durable yet.
    owed: Mutex<BTreeMap<String, Option<u64>>>,
    queue: UnboundedSender<Vec<(u64, Delivery)>>,
    rest: Mutex<Option<Rest>>,
}

/// What lay in the outbox, for who asks for it once.
#[derive(Debug)]
struct Rest {
    deliveries: BTreeMap<u64, Delivery>,
    queued: UnboundedReceiver<Vec<(u64, Delivery)>>,
}

/// Knows the rules that hold now.
pub trait Rules: Send + Sync + Debug {
    /// The rules that do anything.
    fn rules(&self) -> Arc<Vec<Rule>>;
}

/// What a bus is made of.
#[derive(Debug)]
pub struct BusConfig {
    /// The rules that it follows.
    pub rules: Arc<dyn Rules>,
    /// Keeps every event.
    pub keeper: Arc<dyn Keeps>,
    /// Counts what happens to rules.
    pub counts: Arc<dyn Counts>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Follows no rules, and keeps and counts nothing.
#[derive(Clone, Copy, Debug)]
struct Silent;

impl Keeps for Silent {
    fn keeps(&self) -> bool {
        false
    }

    fn keep<'a>(&'a self, _: &'a [Event]) -> Kept<'a> {
        Box::pin(async { Ok(()) })
    }
}

impl Rules for Silent {
    fn rules(&self) -> Arc<Vec<Rule>> {
        Arc::default()
    }
}

impl Counts for Silent {
    fn count(&self, _: &str, _: Count, _: u32) {}
}

impl BusConfig {
    /// A bus without rules that keeps and counts nothing.
    pub fn silent() -> Self {
        Self {
            rules: Arc::new(Silent),
            keeper: Arc::new(Silent),
            counts: Arc::new(Silent),
            clock: shell::SystemClock::shared(),
        }
    }
}

impl Bus {
    /// Opens the bus over its outbox, and gives the cursors that lie there. Nothing is delivered before
    /// [`Bus::deliver`].
    ///
    /// # Errors
    ///
    /// If the outbox cannot be opened.
    pub fn open(
        path: &Path,
        config: BusConfig,
    ) -> Result<(Self, BTreeMap<String, u64>), OutboxError> {
        let (outbox, Contents { deliveries, cursors }) = Outbox::open(path)?;
        let (queue, queued) = unbounded_channel();
        let mut load = BTreeMap::new();
        for delivery in deliveries.values() {
            *load.entry((delivery.rule.clone(), delivery.target.clone())).or_default() += 1;
        }
        let next = deliveries.keys().next_back().map_or(1, |last| last + 1);
        let bus = Self(Arc::new(Inner {
            outbox,
            rules: config.rules,
            keeper: config.keeper,
            counts: config.counts,
            clock: config.clock,
            next: AtomicU64::new(next),
            load: Arc::new(Mutex::new(load)),
            owed: Mutex::default(),
            queue,
            rest: Mutex::new(Some(Rest { deliveries, queued })),
        }));
        Ok((bus, cursors))
    }

    /// Delivers until shutdown. Once: a second call does nothing.
    pub async fn deliver(
        self,
        calls: Arc<dyn Calls>,
        chance: Box<dyn Entropy>,
        shutdown: Shutdown,
    ) {
        let rest = self.0.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Rest { deliveries, queued }) = rest else { return };
        let courier = Courier {
            outbox: self.0.outbox.clone(),
            calls,
            counts: Arc::clone(&self.0.counts),
            clock: Arc::clone(&self.0.clock),
            load: Arc::clone(&self.0.load),
            chance,
        };
        drop(self);
        courier.run(deliveries, queued, shutdown).await;
    }

    /// Whether anybody would notice an event: it would be kept, or a rule might take it.
    pub fn listens(&self) -> bool {
        self.0.keeper.keeps() || self.0.rules.rules().iter().any(|rule| rule.pattern.is_some())
    }

    /// Publishes events, in order, and moves cursors: together or not at all, but that what was kept
    /// stays kept. When it answers, deliveries are durable and the cursors with them. Where there is
    /// nothing to deliver the cursors are durable with the next delivery, or by [`Bus::save`].
    ///
    /// # Errors
    ///
    /// If they could not be made durable.
    pub async fn publish(
        &self,
        events: &[Event],
        cursors: Vec<Cursor>,
    ) -> Result<(), PublishError> {
        if !events.is_empty() {
            self.0.keeper.keep(events).await.map_err(PublishError::Keep)?;
        }
        let rules = self.0.rules.rules();
        let deliveries = self.0.matched(events, &rules);
        let owed = {
            let mut owed = self.0.owed.lock().unwrap_or_else(PoisonError::into_inner);
            owed.extend(cursors);
            owed.len()
        };
        if deliveries.is_empty() && owed < MOST_OWED {
            return Ok(());
        }
        self.write(deliveries).await
    }

    /// Makes the cursors durable that were moved since they last were.
    ///
    /// # Errors
    ///
    /// If they could not be; they are owed still.
    pub async fn save(&self) -> Result<(), PublishError> {
        if self.0.owed.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Ok(());
        }
        self.write(Vec::new()).await
    }

    /// Writes deliveries, and all cursors that are owed.
    async fn write(&self, deliveries: Vec<(u64, Delivery)>) -> Result<(), PublishError> {
        let owed = std::mem::take(&mut *self.0.owed.lock().unwrap_or_else(PoisonError::into_inner));
        let outbox = self.0.outbox.clone();
        let putting = tokio::task::spawn_blocking(move || {
            let put = outbox.put(&deliveries, &owed);
            (put, deliveries, owed)
        });
        let (put, deliveries, owed) = putting.await.map_err(|_| OutboxError::Closed)?;
        if let Err(error) = put {
            self.0.unload(&deliveries);
            self.0.owe(owed);
            return Err(error.into());
        }
        if !deliveries.is_empty() && self.0.queue.send(deliveries).is_err() {
            tracing::debug!("Events wait in the outbox until the next start.");
        }
        Ok(())
    }
}

impl Inner {
    /// Cursors that could not be written. Those that were moved again meanwhile are newer.
    fn owe(&self, cursors: BTreeMap<String, Option<u64>>) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, number) in cursors {
            owed.entry(name).or_insert(number);
        }
    }

    /// What did not get into the outbox waits for nothing.
    fn unload(&self, deliveries: &[(u64, Delivery)]) {
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, delivery) in deliveries {
            if let Some(n) = load.get_mut(&(delivery.rule.clone(), delivery.target.clone())) {
                *n = n.saturating_sub(1);
            }
        }
    }

    /// The deliveries that events make, each with its number.
    fn matched(&self, events: &[Event], rules: &[Rule]) -> Vec<(u64, Delivery)> {
        let mut deliveries = Vec::new();
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let mut text: Option<Arc<str>> = None;
            for rule in rules.iter().filter(|rule| rule.takes(event)) {
                self.counts.count(&rule.name, Count::Matched, 1);
                for target in &rule.targets {
                    let place = (rule.name.clone(), target.id.clone());
                    let waiting = load.entry(place).or_default();
                    if *waiting >= MOST_WAITING {
                        self.counts.count(&rule.name, Count::Throttled, 1);
                        self.counts.count(&rule.name, Count::Failed, 1);
                        continue;
                    }
                    *waiting += 1;
                    let text = text.get_or_insert_with(|| event.document.to_string().into());
                    let delivery = Delivery {
                        rule: rule.name.clone(),
                        target: target.id.clone(),
                        event_id: event.id.clone(),
                        event: Arc::clone(text),
                        came: self.clock.now(),
                        attempts: 0,
                        most_retries: target.most_retries,
                        most_seconds: target.most_seconds,
                    };
                    deliveries.push((self.next.fetch_add(1, Ordering::Relaxed), delivery));
                }
            }
        }
        deliveries
    }
}

#[cfg(test)]
mod tests;
