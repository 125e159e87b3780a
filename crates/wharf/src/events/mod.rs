//! The event bus put together: what is kept, what is counted, and what targets are.

mod call;
mod history;
mod hook;
mod logs;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use api::Door;
use control::events::StateRules;
use events::{Bus, BusConfig, Count, Counts};
use model::{Instance, State, Task};
use serde_json::Value;
use shell::{Clock, OsEntropy, Shutdown};
use store::Store;
use telemetry::{Logs, MetricId, Metrics, Resolution, Sample, StatisticSet, Unit, Values};
use vault::Vault;

use crate::places::Places;

/// The bus before anybody listens or is called.
pub(crate) struct Opened {
    pub(crate) bus: Bus,
    cursors: BTreeMap<String, u64>,
}

/// Opens the bus. `days` is for how many days events are kept; none keeps no event.
pub(crate) fn open(
    places: &Places,
    (store, logs, metrics): (&Store, &Arc<Logs>, &Metrics),
    clock: &Arc<dyn Clock>,
    days: u32,
) -> Result<Opened> {
    let config = BusConfig {
        rules: Arc::new(StateRules::new(store.clone())),
        keeper: Arc::new(history::History::new(Arc::clone(logs), Arc::clone(clock), days)),
        counts: Arc::new(Counter(metrics.clone(), Arc::clone(clock))),
        clock: Arc::clone(clock),
    };
    let path = places.folder("events")?.join("outbox.redb");
    let (bus, cursors) = Bus::open(&path, config).context("open the outbox of events")?;
    Ok(Opened { bus, cursors })
}

/// What the bus works with once there is a door.
pub(crate) struct Parts {
    pub(crate) door: Door,
    pub(crate) store: Store,
    pub(crate) logs: Arc<Logs>,
    pub(crate) vault: Vault,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shutdown: Shutdown,
}

/// Begins to tell events and to deliver them.
pub(crate) fn start(opened: Opened, parts: Parts) -> Result<()> {
    let Parts { door, store, logs, vault, clock, shutdown } = parts;
    let calls = call::Caller {
        door,
        store: store.clone(),
        logs: logs::LogTargets(logs),
        hooks: hook::Hooks::new(vault)?,
    };
    let Opened { bus, cursors } = opened;
    let chance = Box::new(OsEntropy);
    tokio::spawn(bus.clone().deliver(Arc::new(calls), chance, shutdown.clone()));
    let teller = control::events::Parts { store, bus, describe: Arc::new(Describer), clock };
    tokio::spawn(control::events::run(teller, cursors, shutdown));
    Ok(())
}

/// What events are about, as ECS describes it.
#[derive(Debug)]
struct Describer;

impl control::events::Describe for Describer {
    fn task(&self, state: &State, task: &Task) -> Value {
        serde_json::to_value(api::describe_task(state, task)).unwrap_or_default()
    }

    fn instance(&self, state: &State, instance: &Instance) -> Value {
        serde_json::to_value(api::describe_instance(state, instance)).unwrap_or_default()
    }
}

/// What happens to rules, as metrics.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html>
#[derive(Debug)]
struct Counter(Metrics, Arc<dyn Clock>);

impl Counts for Counter {
    fn count(&self, rule: &str, what: Count, more: u32) {
        let names: &[&str] = match what {
            Count::Matched => &["MatchedEvents", "TriggeredRules"],
            Count::Invoked => &["Invocations"],
            Count::Failed => &["FailedInvocations"],
            Count::Retried => &["RetryInvocationAttempts"],
            Count::Throttled => &["ThrottledRules"],
        };
        let number = f64::from(more);
        let set = StatisticSet { sum: number, count: number, min: 1.0, max: 1.0 };
        let sample = |name: &&str| Sample {
            id: MetricId::new("AWS/Events", *name, [("RuleName", rule)]),
            unit: Unit::Count,
            at: self.1.now(),
            values: Values::Set(set),
            resolution: Resolution::Standard,
        };
        self.0.record(&names.iter().map(sample).collect::<Vec<_>>());
    }
}
