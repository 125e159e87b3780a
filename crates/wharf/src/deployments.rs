//! Deployments watch alarms of CloudWatch.

use std::sync::Arc;
use std::time::Duration;

use control::deployments::{AlarmSource, AlarmStates};
use shell::Shutdown;
use store::Store;
use telemetry::metrics::alarm::AlarmQuery;
use telemetry::{AlarmState, Metrics};

/// Begins: hooks are called, and alarms looked at.
pub(crate) fn start(store: &Store, metrics: &Metrics, shutdown: &Shutdown) {
    let source = Arc::new(Alarms(metrics.clone()));
    let (clock, store, shutdown) = (store.clock(), store.clone(), shutdown.clone());
    tokio::spawn(control::deployments::run(store, clock, source, shutdown));
}

#[derive(Debug)]
struct Alarms(Metrics);

impl AlarmSource for Alarms {
    fn look(&self, names: &[String]) -> AlarmStates {
        let found = self.0.alarms(&AlarmQuery { names: names.to_vec(), ..AlarmQuery::default() });
        let in_alarm = found.iter().filter(|alarm| alarm.state == AlarmState::Alarm);
        let notice = |config: &telemetry::AlarmConfig| {
            let seconds = u64::from(config.watched.period()) * u64::from(config.evaluation_periods);
            Duration::from_secs(seconds)
        };
        AlarmStates {
            in_alarm: in_alarm.map(|alarm| alarm.config.name.clone()).collect(),
            notice: found.iter().map(|alarm| notice(&alarm.config)).max().unwrap_or_default(),
        }
    }
}
